"""Runs a decoder over contexts: token by token with a cache, or whole episodes at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from textgym_agents.policies.activations import Activations
from textgym_agents.policies.base import Contexts
from textgym_agents.policies.computing import (
    Precision,
    compute_dtype,
    computing,
    recomputable_layers,
)
from textgym_agents.policies.context_cache import ContextCache
from textgym_agents.policies.decoder import (
    cacheable_width,
    fuse_activations,
    head_is_last,
    output_head,
)
from textgym_agents.policies.draws import Drawn, Note
from textgym_agents.policies.gpt2 import GPT2Weights, is_hooked, is_plain_gpt2, products_of
from textgym_agents.policies.lora import has_adapter
from textgym_agents.policies.memory import give_back
from textgym_agents.policies.packed_attention import can_pack, packed
from textgym_agents.policies.packing import (
    ONE_PASS,
    Pass,
    Row,
    pack,
    padded,
    pass_cost,
    tight_chunks,
)
from textgym_agents.policies.tied import tied
from textgym_agents.policies.versions import Versions, WeightVersions

_IntArray = NDArray[np.int64]

_MOST_ACTIVATIONS = 2**30
"""Bytes that acting leaves for learning at most; batches that need more are computed twice."""


class ContextModel:
    """What a policy and its critic compute of contexts with a decoder.

    Args:
        model: A transformers decoder with a linear head; see `fuse_activations`.
        cache: Keep keys and values between calls of `last_tokens`; see `CausalLMPolicy`.
        cache_slack: Buffer columns beyond the longest context.
        precision: Of matrix products, keys and values.
        gradient_checkpointing: Compute layers again in the backward pass.

    Raises:
        ValueError: The head is not linear, or no layer can be computed again.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        cache: bool = True,
        cache_slack: int = 16,
        precision: Precision = "fp32",
        gradient_checkpointing: bool = False,
    ) -> None:
        config = model.config.get_text_config(decoder=True)
        self.model = fuse_activations(model)
        self.hidden_size = int(output_head(model).weight.shape[-1])
        self._num_layers = int(config.num_hidden_layers)
        self._max_positions = getattr(config, "max_position_embeddings", None)
        self._precision: Precision = precision
        self._recompute = gradient_checkpointing and bool(recomputable_layers(model))
        self._cache_wanted = cache
        self._cacheable_width = cacheable_width(model)
        self._cache_slack = cache_slack
        self._cache: ContextCache | None = None
        self._gpt2: GPT2Weights | None = None
        self._activations: Activations | None = None
        self._keeps = True
        self._versions: WeightVersions | None = None
        self._cached_weights: Versions = ()
        self._head_is_last: bool | None = None
        self._pass_cost: int | None = None

    def __getstate__(self) -> dict[str, Any]:  # copies begin without keys and values
        nothing = dict.fromkeys(("_cache", "_gpt2", "_versions", "_activations"))
        return self.__dict__ | nothing | {"_cached_weights": ()}

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return self.model.device

    @property
    def compute_dtype(self) -> torch.dtype:
        """The type of matrix products."""
        return compute_dtype(self.model, self._precision)

    @property
    def head_is_last(self) -> bool:
        """Whether the logits are what the head's weights and bias make of the hidden states."""
        if self._head_is_last is None:
            self._head_is_last = head_is_last(self.model)
        return self._head_is_last

    def clear_cache(self) -> None:
        """Forget what acting keeps, and free its memory."""
        self._cache = self._gpt2 = self._activations = None

    def keep(self, wanted: bool) -> None:
        """Whether acting keeps what it computes for `steps` to take over, which takes memory."""
        if wanted != self._keeps:
            self._keeps = wanted
            self.clear_cache()

    def in_one_pass(self) -> None:
        """Have `steps` run each layer once, whatever padding that takes."""
        self._pass_cost = ONE_PASS

    def last_tokens(
        self, tokens: _IntArray, lengths: _IntArray, active: NDArray[np.bool_]
    ) -> tuple[_IntArray, Tensor, Tensor]:
        """Compute the last token of every active context.

        Args:
            tokens: int64 ``[N, W]``, right-padded with any id that the model embeds.
            lengths: int64 ``[N]``, at least 1 where active.
            active: bool ``[N]``, at least one True.

        Returns:
            Slots, int64 ``[R]``, every active one among them, and their hidden states ``[R, H]``
            and logits ``[R, V]``; meaningless in slots that are not active.
        """
        if self._cache_wanted and tokens.shape[1] <= self._cacheable_width:
            return self._fresh_cache(tokens).step(tokens, lengths, active)
        slots = np.flatnonzero(active)
        width = int(lengths[slots].max())
        last = np.arange(len(slots)) * width + lengths[slots] - 1
        return slots, *self._whole(self._tensor(tokens[slots, :width]), self._tensor(last))

    def noting(self, slots: _IntArray, lengths: _IntArray) -> Note | None:
        """Where to note what is drawn after the newest `last_tokens`, for `steps` to take over.

        Args:
            slots: int64 ``[R]``, active ones.
            lengths: int64 ``[R]``, of their contexts.

        Returns:
            `Draws.note` of these; None if `steps` will not take over what acting computes.
        """
        kept, cache = self._activations, self._cache
        if kept is None or kept.closed or cache is None:
            return None
        return partial(kept.draws.note, cache.rows_of(slots, lengths))

    def steps(self, contexts: Sequence[Contexts], head: bool = True) -> Iterator[Pass]:
        """Compute episodes with gradients, in one row without padding where the model lets it.

        A prompt that several episodes begin with goes through the model once there. Elsewhere, and
        under gradient checkpointing, those of similar lengths go side by side. With gradients, keys
        and values of acting are forgotten: what is learned makes them stale, and until then they
        take memory.

        Args:
            contexts: One an episode.
            head: Compute logits; otherwise there are none, ``[0, V]``.

        Yields:
            Each episode in one of them; steps in the order of their episodes.

        Raises:
            ValueError: A context is longer than the model's positions.
        """
        width = max(len(context.tokens) for context in contexts)
        self.check_length(width)
        recompute = self._recompute and torch.is_grad_enabled()
        if torch.is_grad_enabled():
            held = 0 if self._gpt2 is None else self._gpt2.num_bytes
            self._cache = self._gpt2 = None
            give_back(held)
        if width <= self._cacheable_width and can_pack(self.model) and not recompute:
            row = pack(contexts, self.device, self.compute_dtype)
            kept, rows = self._activations, self._known_rows(row)
            taken: AbstractContextManager[None] = nullcontext()
            drawn: Drawn | None = None
            if kept is not None and rows is not None:
                taken = kept.given_out(products_of(self.model), rows)
                drawn = partial(kept.draws.find, rows[row.steps])
            with taken, nullcontext() if head else tied(self.model) as left:
                hidden, logits = self._row(row, head)
            yield Pass(list(range(len(contexts))), hidden, hidden, logits, left, drawn)
            return
        sizes = [len(context.tokens) for context in contexts]
        for chunk in tight_chunks(sizes, self._cost):
            ids = padded([contexts[i].tokens for i in chunk])
            at = [contexts[i].lengths - 1 for i in chunk]
            steps = np.concatenate([row * ids.shape[1] + step for row, step in enumerate(at)])
            hidden, logits = self._whole(self._tensor(ids), self._tensor(steps), head)
            yield Pass(chunk, hidden, hidden, logits)

    @property
    def _cost(self) -> int:
        return self._pass_cost or pass_cost(self.device)

    def _row(self, row: Row, head: bool) -> tuple[Tensor, Tensor]:
        """Hidden states and logits at the steps of packed contexts."""
        with packed(self.model, row.blocks):
            return self._forward(
                self._tensor(row.steps),
                head,
                input_ids=self._tensor(row.tokens)[None],
                position_ids=self._tensor(row.positions)[None],
                use_cache=False,
            )

    def _known_rows(self, row: Row) -> _IntArray | None:
        """Where `Activations` has the row's tokens, computed with these weights; None if not all.

        To be asked before the model has hooks of ours.
        """
        kept, versions = self._activations, self._versions
        if kept is None or versions is None or not torch.is_grad_enabled():
            return None
        same = self._is_plain_gpt2() and not is_hooked(self.model.modules())
        if not same or versions.now() != self._cached_weights:
            return None
        return kept.find(row.tokens, row.before)

    def _tensor(self, array: _IntArray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def _fresh_cache(self, tokens: _IntArray) -> ContextCache:
        """The cache, emptied if the weights or the shape of the observations have changed."""
        if self._cache is None or self._versions is None:
            self._versions = WeightVersions(self.model)
        weights = self._versions.now()
        cache, dtype = self._cache, self.compute_dtype
        layout = (*tokens.shape, dtype, self.device)
        fits = cache is not None and cache.layout == layout
        known = fits and weights == self._cached_weights
        if not known:
            self._gpt2 = GPT2Weights(self.model, dtype) if self._is_plain_gpt2() else None
            self._activations = self._new_activations(dtype)
        if cache is None or not fits:
            cache = self._cache = ContextCache(
                self._next,
                num_layers=self._num_layers,
                num_slots=tokens.shape[0],
                width=tokens.shape[1],
                slack=self._cache_slack,
                dtype=dtype,
                device=self.device,
                activations=self._activations,
            )
        elif not known:
            cache.clear(self._activations)
        self._cached_weights = weights
        return cache

    def _is_plain_gpt2(self) -> bool:
        """Whether to act by `GPT2Weights`: rounded to bfloat16, a sum would lose its adapter."""
        rounded = self.compute_dtype not in (torch.float32, torch.float64)
        return is_plain_gpt2(self.model) and not (rounded and has_adapter(self.model))

    def _new_activations(self, dtype: torch.dtype) -> Activations | None:
        """What acting may keep for `steps`; None where it is not to, or these could not use it.

        Not on accelerators, where it is not measured.
        """
        if not self._keeps or self._gpt2 is None or self._recompute or self.device.type != "cpu":
            return None
        layers = products_of(self.model)
        trains = any(parameter.requires_grad for parameter in self.model.parameters())
        if not trains or len(set(layers)) < len(layers):
            return None
        return Activations(self._gpt2.widths, dtype, self.device, _MOST_ACTIVATIONS)

    def _next(
        self, ids: Tensor, positions: Tensor, mask: Tensor, cache: Cache, select: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """What the cache calls."""
        if self._gpt2 is None or self._gpt2.hooked:
            if self._activations is not None:
                self._activations.close()
            return self._step(ids, positions, mask, cache, select)
        return self._gpt2.forward(ids, positions, mask, cache, select, self._activations)

    def _step(
        self,
        ids: Tensor,
        positions: Tensor,
        mask: Tensor,
        cache: Cache,
        select: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        return self._forward(
            select,
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
        )

    def _whole(self, ids: Tensor, select: Tensor, head: bool = True) -> tuple[Tensor, Tensor]:
        """Right-padded contexts ``[B, L]``: causal attention alone keeps the padding out."""
        return self._forward(
            select, head, input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False
        )

    def _forward(
        self, select: Tensor | None, head: bool = True, **inputs: Any
    ) -> tuple[Tensor, Tensor]:
        """Hidden states ``[M, H]`` and logits ``[M, V]``, or none, at the selected tokens.

        The head is applied there alone, by choosing its input; the model's own forward goes on
        to do what it does to logits (scaling, soft caps).
        """
        hidden: list[Tensor] = []

        def choose_input(_: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor]:
            states = arguments[0].reshape(1, -1, arguments[0].shape[-1])
            if select is not None:
                states = states[:, select]
            hidden.append(states[0])
            return (states if head else states[:, :0],)

        taking = output_head(self.model).register_forward_pre_hook(choose_input)
        with taking, computing(self.model, self._precision, self._recompute):
            logits: Tensor = self.model(**inputs, return_dict=True).logits
        return hidden[0], logits[0]

    def check_length(self, length: int) -> None:
        """Check that the model has a position for every token of a context so long.

        Raises:
            ValueError: It has fewer; names both numbers.
        """
        if self._max_positions is not None and length > self._max_positions:
            raise ValueError(
                f"a context of {length:,} tokens exceeds the model's "
                f"max_position_embeddings={self._max_positions:,}; lower max_prompt_tokens or "
                "max_new_tokens of the environment, or take a model with more positions"
            )
