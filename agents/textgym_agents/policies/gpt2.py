"""GPT-2's forward pass from its weights, for steps of a token a row.

Such a step of a small model is over in milliseconds, a fifth of which transformers' own modules
take before and after the products. What is computed is the same, in the same types.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear, scaled_dot_product_attention
from transformers import GPT2LMHeadModel, PreTrainedModel
from transformers.cache_utils import Cache
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP, GPT2Attention, GPT2Block, GPT2Model
from transformers.pytorch_utils import Conv1D

from textgym_agents.policies.activations import Activations
from textgym_agents.policies.decoder import output_head
from textgym_agents.policies.lora import adapter_of

_PARTS: dict[type[nn.Module], dict[str, type[nn.Module]]] = {
    GPT2LMHeadModel: {"transformer": GPT2Model, "lm_head": nn.Linear},
    GPT2Model: {"wte": nn.Embedding, "wpe": nn.Embedding, "ln_f": nn.LayerNorm},
    GPT2Block: {
        "ln_1": nn.LayerNorm,
        "attn": GPT2Attention,
        "ln_2": nn.LayerNorm,
        "mlp": GPT2MLP,
    },
    GPT2Attention: {"c_attn": Conv1D, "c_proj": Conv1D},
    GPT2MLP: {"c_fc": Conv1D, "c_proj": Conv1D},
}
"""The classes of what is read instead of called; a subclass may do something else."""


def is_plain_gpt2(model: PreTrainedModel) -> bool:
    """Whether `GPT2Weights` compute what the model computes, hooks aside.

    Not where a part is another class, but for an adapter of `add_adapter` around it, or the
    attention is not PyTorch's.
    """
    if type(model) is not GPT2LMHeadModel or model.config._attn_implementation != "sdpa":
        return False
    for module in model.modules():
        parts = _PARTS.get(type(module), {})
        if any(type(_below(getattr(module, name))) is not kind for name, kind in parts.items()):
            return False
    decoder: Any = model.transformer
    return all(
        type(block) is GPT2Block and not hasattr(block, "crossattention") for block in decoder.h
    )


def _below(module: nn.Module) -> nn.Module:
    """What a layer is without its adapter."""
    adapter = adapter_of(module)
    return module if adapter is None else adapter.layer


def is_hooked(modules: Iterable[nn.Module]) -> bool:
    """Whether one of them has a hook, or a forward of its own, that is to be called."""
    return any(
        module._forward_hooks or module._forward_pre_hooks or "forward" in module.__dict__
        for module in modules
    )


def products_of(model: PreTrainedModel) -> list[nn.Module]:
    """The layers whose products a forward pass can keep, in their order.

    An MLP has two, and is one layer where neither has an adapter.
    """
    decoder: Any = model.transformer
    found: list[nn.Module] = []
    for block in decoder.h:
        inside = [block.mlp.c_fc, block.mlp.c_proj]
        plain = all(adapter_of(layer) is None for layer in inside)
        found += [block.attn.c_attn, block.attn.c_proj, *([block.mlp] if plain else inside)]
    return found


def _packed_types() -> set[torch.dtype]:
    """Of which products oneDNN has an order of its own for weights; none in builds without it."""
    needed = ("_linear_pointwise", "_reorder_linear_weight", "_is_mkldnn_bf16_supported")
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return set()
    if not all(hasattr(torch.ops.mkldnn, name) for name in needed):
        return set()
    bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return {torch.float32, torch.bfloat16} if bf16 else {torch.float32}


_PACKED_TYPES = _packed_types()


@dataclass(frozen=True, slots=True)
class _Norm:
    """A layer normalisation's weights, as they are."""

    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, states: Tensor) -> Tensor:
        return layer_norm(states, self.weight.shape, self.weight, self.bias, self.eps)


class _Product:
    """A product with weights ``[in, out]`` and a bias, in their type.

    Few rows at a time, a product reads its weights more than it computes. On CPUs they are copied
    into the order that oneDNN reads them in, which takes a fifth to a third less time; for a
    single row there is no better order than their own.
    """

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> None:
        self._weight, self._bias = weight.detach().to(dtype), bias.detach().to(dtype)
        packs = dtype in _PACKED_TYPES and weight.device.type == "cpu"
        self._packed = torch.ops.mkldnn._reorder_linear_weight(self._weight.t()) if packs else None

    @property
    def width(self) -> int:
        """Of what comes out."""
        return self._weight.shape[1]

    @property
    def num_bytes(self) -> int:
        """Of the copy in another order."""
        return 0 if self._packed is None else self._weight.nbytes

    def __call__(self, states: Tensor, out: Tensor | None = None) -> Tensor:
        states = states.to(self._weight.dtype)
        if self._packed is None or len(states) < 2:
            return torch.addmm(self._bias, states, self._weight, out=out)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(
            states, self._packed, self._bias, "none", [], ""
        )
        return product if out is None else out.copy_(product)


@dataclass(frozen=True, slots=True)
class _Layer:
    before_attention: _Norm
    attention_in: _Product
    attention_out: _Product
    scaling: float
    before_mlp: _Norm
    mlp_in: _Product
    activation: nn.Module
    mlp_out: _Product

    @property
    def products(self) -> tuple[_Product, ...]:
        """In their order."""
        return self.attention_in, self.attention_out, self.mlp_in, self.mlp_out


class GPT2Weights:
    """A GPT-2's weights as they are now, and its forward pass.

    Args:
        model: One that `is_plain_gpt2`, in evaluation mode.
        dtype: Of the products. If it is not the weights' own, the weights are copied, so that a
            step does not convert them all over again; so are those that have an adapter, which is
            added to them.
    """

    def __init__(self, model: PreTrainedModel, dtype: torch.dtype) -> None:
        def norm(module: nn.LayerNorm) -> _Norm:
            return _Norm(module.weight.detach(), module.bias.detach(), module.eps)

        def product(module: Any) -> _Product:
            adapter = adapter_of(module)
            if adapter is None:
                return _Product(module.weight, module.bias, dtype)
            layer: Any = adapter.layer
            with torch.no_grad():
                added = adapter.scaling * (adapter.up @ adapter.down).t()
                return _Product(layer.weight + added, layer.bias, dtype)

        decoder: Any = model.transformer
        head = output_head(model)
        self._modules = list(model.modules())
        self._adapted = [module for module in self._modules if adapter_of(module) is not None]
        self._heads = int(model.config.num_attention_heads)
        self._tokens, self._positions = decoder.wte.weight.detach(), decoder.wpe.weight.detach()
        self._layers = [
            _Layer(
                norm(block.ln_1),
                product(block.attn.c_attn),
                product(block.attn.c_proj),
                block.attn.scaling,
                norm(block.ln_2),
                product(block.mlp.c_fc),
                block.mlp.act,
                product(block.mlp.c_proj),
            )
            for block in decoder.h
        ]
        self._norm = norm(decoder.ln_f)
        self._head = head.weight.detach().to(dtype)
        self._head_bias = None if head.bias is None else head.bias.detach().to(dtype)

    @property
    def widths(self) -> list[int]:
        """The width of each product of `products_of`."""
        return [product.width for layer in self._layers for product in layer.products]

    @property
    def num_bytes(self) -> int:
        """Of weights that are copies in another order."""
        return sum(product.num_bytes for layer in self._layers for product in layer.products)

    @property
    def hooked(self) -> bool:
        """Whether a part of the model has a hook, or a forward of its own, that is to be called.

        Or an adapter that is no longer what it was.
        """
        return is_hooked(self._modules) or any(adapter_of(m) is None for m in self._adapted)

    def forward(
        self,
        ids: Tensor,
        positions: Tensor,
        mask: Tensor,
        cache: Cache,
        select: Tensor | None,
        keep: Activations | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Hidden states ``[M, H]`` and logits ``[M, V]``; see `context_cache.Forward`.

        Args:
            ids: See there.
            positions: See there.
            mask: See there.
            cache: See there.
            select: See there.
            keep: Gets the products of all tokens with the weights of `products_of`.
        """
        batch, size = ids.shape
        states = self._tokens[ids.reshape(-1)] + self._positions[positions.reshape(-1)]
        width = states.shape[1]
        room = iter(repeat(None) if keep is None else keep.room(len(states)))
        for index, layer in enumerate(self._layers):
            joined = layer.attention_in(layer.before_attention(states), next(room))
            joined = joined.view(batch, size, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
            query, key, value = joined.unbind()
            key, value = cache.update(key, value, index)
            attended = _attend(query, key, value, mask, layer.scaling)
            attended = attended.transpose(1, 2).reshape(-1, width)
            states = states + layer.attention_out(attended, next(room))
            inner = layer.mlp_in(layer.before_mlp(states), next(room))
            states = states + layer.mlp_out(layer.activation(inner), next(room))
        if select is not None:
            states = states[select]
        states = self._norm(states)
        return states, linear(states.to(self._head.dtype), self._head, self._head_bias)


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float) -> Tensor:
    """Attention, ``[B, heads, q, width]``; two products where PyTorch's own is slow.

    On CPUs it reads keys and values in small pieces, which for one query a sequence takes most of
    the time. In bfloat16 the scores between the products would be rounded.
    """
    if query.shape[2] > 1 or query.device.type != "cpu" or query.dtype != torch.float32:
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling)
    batch, heads = query.shape[:2]
    scores = torch.bmm(query.flatten(0, 1), key.flatten(0, 1).transpose(1, 2))
    scores = scores.mul_(scaling).view(batch, heads, 1, -1).add_(mask)
    shares = torch.softmax(scores, dim=-1).flatten(0, 1)
    return torch.bmm(shares, value.flatten(0, 1)).view(batch, heads, 1, -1)
