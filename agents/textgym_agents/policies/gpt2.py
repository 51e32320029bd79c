"""GPT-2's forward pass from its weights, for steps of a token a row.

Such a step of a small model is over in milliseconds, a fifth of which transformers' own modules
take before and after the products. What is computed is the same, in the same types.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear, scaled_dot_product_attention
from transformers import GPT2LMHeadModel, PreTrainedModel
from transformers.cache_utils import Cache
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP, GPT2Attention, GPT2Block, GPT2Model
from transformers.pytorch_utils import Conv1D

from textgym_agents.policies.decoder import output_head

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

    Not where a part is another class (an adapter's), or the attention is not PyTorch's.
    """
    if type(model) is not GPT2LMHeadModel or model.config._attn_implementation != "sdpa":
        return False
    for module in model.modules():
        parts = _PARTS.get(type(module), {})
        if any(type(getattr(module, name)) is not kind for name, kind in parts.items()):
            return False
    decoder: Any = model.transformer
    return all(
        type(block) is GPT2Block and not hasattr(block, "crossattention") for block in decoder.h
    )


@dataclass(frozen=True, slots=True)
class _Norm:
    """A layer normalisation's weights, as they are."""

    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, states: Tensor) -> Tensor:
        return layer_norm(states, self.weight.shape, self.weight, self.bias, self.eps)


@dataclass(frozen=True, slots=True)
class _Product:
    """A product with weights ``[in, out]``, in their type."""

    weight: Tensor
    bias: Tensor

    def __call__(self, states: Tensor) -> Tensor:
        return torch.addmm(self.bias, states.to(self.weight.dtype), self.weight)


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


class GPT2Weights:
    """A GPT-2's weights as they are now, and its forward pass.

    Args:
        model: One that `is_plain_gpt2`, in evaluation mode.
        dtype: Of the products. If it is not the weights' own, the weights are copied, so that a
            step does not convert them all over again.
    """

    def __init__(self, model: PreTrainedModel, dtype: torch.dtype) -> None:
        def norm(module: nn.LayerNorm) -> _Norm:
            return _Norm(module.weight.detach(), module.bias.detach(), module.eps)

        def product(module: Conv1D) -> _Product:
            return _Product(module.weight.detach().to(dtype), module.bias.detach().to(dtype))

        decoder: Any = model.transformer
        head = output_head(model)
        self._modules = list(model.modules())
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
    def hooked(self) -> bool:
        """Whether a part of the model has a hook, or a forward of its own, that is to be called."""
        return any(
            module._forward_hooks or module._forward_pre_hooks or "forward" in module.__dict__
            for module in self._modules
        )

    def forward(
        self, ids: Tensor, positions: Tensor, mask: Tensor, cache: Cache, select: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Hidden states ``[M, H]`` and logits ``[M, V]``; see `context_cache.Forward`."""
        batch, size = ids.shape
        states = self._tokens[ids.reshape(-1)] + self._positions[positions.reshape(-1)]
        width = states.shape[1]
        for index, layer in enumerate(self._layers):
            joined = layer.attention_in(layer.before_attention(states))
            joined = joined.view(batch, size, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
            query, key, value = joined.unbind()
            key, value = cache.update(key, value, index)
            attended = _attend(query, key, value, mask, layer.scaling)
            attended = attended.transpose(1, 2).reshape(-1, width)
            states = states + layer.attention_out(attended)
            inner = layer.activation(layer.mlp_in(layer.before_mlp(states)))
            states = states + layer.mlp_out(inner)
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
