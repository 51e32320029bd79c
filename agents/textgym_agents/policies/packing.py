"""How the contexts of a batch go through a model: shared prompts once, and hardly any padding.

The episodes of a group have the same prompt. Causal attention gives a prompt the same keys and
values whatever follows, so it is computed once, and the texts after it attend to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from textgym_agents.policies.base import Contexts, Evaluation

_IntArray = NDArray[np.int64]

_PASS_COST = {"cpu": 48}
"""By device, measured: 26 to 57 on a core, for GPT-2s of 1 to 90 million parameters."""

_PASS_COST_ELSEWHERE = 4096
"""Accelerators are not measured; they run wide passes best."""

_WORTHWHILE = 1.25
"""Sharing must save a fifth of all tokens: it needs a second forward pass."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What a model computes of some episodes, their steps one after another.

    Attributes:
        episodes: Which, by their indices in what was asked for.
        hidden: ``[M, H]``, the last hidden states at the steps.
        head_input: ``[M, H]``, what the language-model head makes logits of.
        logits: ``[M, V]``, or ``[0, V]`` where none were asked for.
    """

    episodes: list[int]
    hidden: Tensor
    head_input: Tensor
    logits: Tensor


@dataclass(frozen=True, slots=True)
class SharedPrompts:
    """The distinct prompts of a batch, each without its last token.

    The last token goes with what follows, since the first action is chosen there.

    Attributes:
        prompts: ``U`` arrays, int64 ``[P_u]``, each of a token or more.
        source: int64 ``[N]``, which of them each context begins with.
    """

    prompts: list[_IntArray]
    source: _IntArray


def share_prompts(contexts: Sequence[Contexts]) -> SharedPrompts | None:
    """Find the prompts that contexts have in common; None where sharing saves little.

    Args:
        contexts: One an episode; the prompt is what the first action was chosen after.
    """
    lengths = np.array([int(context.lengths[0]) - 1 for context in contexts])
    if not lengths.all():
        return None
    known: dict[bytes, int] = {}
    prompts: list[_IntArray] = []
    source = np.zeros(len(contexts), np.int64)
    for index, context in enumerate(contexts):
        prompt = context.tokens[: lengths[index]]
        source[index] = known.setdefault(prompt.tobytes(), len(known))
        if len(prompts) < len(known):
            prompts.append(prompt)
    total = sum(len(context.tokens) for context in contexts)
    saved = int(lengths.sum()) - sum(len(prompt) for prompt in prompts)
    return SharedPrompts(prompts, source) if total > _WORTHWHILE * (total - saved) else None


def pass_cost(device: torch.device) -> int:
    """What a forward and backward pass costs besides its positions, in positions."""
    return _PASS_COST.get(device.type, _PASS_COST_ELSEWHERE)


def tight_chunks(sizes: Sequence[int] | _IntArray, cost: int) -> list[list[int]]:
    """Split sequences into the right-padded batches that cost least, by dynamic programming.

    Args:
        sizes: The sequences' lengths, 1 or more each.
        cost: What a further batch costs, in positions.

    Returns:
        Indices into ``sizes``, each exactly once, shortest first. The positions of all batches,
        padding included, and ``cost`` for each are as few as can be.
    """
    sizes = np.asarray(sizes)
    lengths, counts = np.unique(sizes, return_counts=True)
    ends = np.append(0, np.cumsum(counts))  # Of the sequences up to each length, in order.
    least, begins = np.zeros((2, len(ends)), np.int64)
    for end, length in enumerate(lengths, start=1):
        costs = least[:end] + (ends[end] - ends[:end]) * length + cost
        begins[end] = costs.argmin()
        least[end] = costs[begins[end]]
    order = np.argsort(sizes, kind="stable")
    chunks: list[list[int]] = []
    end = len(lengths)
    while end:
        chunks.append(order[ends[begins[end]] : ends[end]].tolist())
        end = int(begins[end])
    return chunks[::-1]


def padded(rows: Sequence[_IntArray]) -> _IntArray:
    """Rows of different lengths as one array ``[N, longest]``, zeros on the right."""
    full = np.zeros((len(rows), max(len(row) for row in rows)), np.int64)
    for index, row in enumerate(rows):
        full[index, : len(row)] = row
    return full


def in_order(
    parts: Sequence[Evaluation], chunks: Sequence[Sequence[int]], num_steps: Sequence[int]
) -> Evaluation:
    """Put together what was evaluated in chunks of episodes, in the episodes' own order.

    Args:
        parts: One a chunk.
        chunks: The episodes of each chunk.
        num_steps: Steps of each episode.
    """
    if len(parts) == 1 and list(chunks[0]) == list(range(len(num_steps))):
        return parts[0]
    back = torch.from_numpy(step_order(chunks, num_steps)).to(parts[0].log_probs.device)
    return Evaluation(
        torch.cat([part.log_probs for part in parts])[back],
        torch.cat([part.entropy for part in parts])[back],
        torch.cat([part.values for part in parts])[back],
    )


def step_order(chunks: Sequence[Sequence[int]], num_steps: Sequence[int]) -> _IntArray:
    """Where each step of the episodes stands among the steps of the chunks: int64 ``[M]``.

    Args:
        chunks: The episodes of each chunk.
        num_steps: Steps of each episode.
    """
    ends = np.cumsum(num_steps)
    order = [i for chunk in chunks for i in chunk]
    steps = np.concatenate([np.arange(ends[i] - num_steps[i], ends[i]) for i in order])
    return np.argsort(steps)


class PromptLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """One layer's keys and values of prompts: taken once, attended to by what follows.

    Gradients flow through both. `rows` None takes; a tensor int64 ``[B]`` says which prompt each
    of the ``B`` sequences follows.
    """

    is_sliding = False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rows: Tensor | None = None
        self.width = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing: the prompts' own states are kept."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Keep ``[U, heads, P, width]``, or put the prompts' before ``[B, heads, q, width]``."""
        if self.rows is None:
            self.keys, self.values = key_states, value_states
            self.is_initialized = True
            return key_states, value_states
        assert self.keys is not None and self.values is not None
        keys = self.keys[self.rows, :, : self.width]
        values = self.values[self.rows, :, : self.width]
        return torch.cat([keys, key_states], dim=2), torch.cat([values, value_states], dim=2)

    def get_seq_length(self) -> int:
        """The number of the prompts' columns that new tokens attend to."""
        return 0 if self.rows is None else self.width

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """The length and the offset of the mask that ``query_length`` new tokens need."""
        return self.get_seq_length() + query_length, 0

    def get_max_length(self) -> int:
        """No limit."""
        return -1


class PromptCache:
    """The prompts' keys and values of all layers, for the passes over what follows them.

    Args:
        num_layers: Decoder layers.
    """

    def __init__(self, num_layers: int) -> None:
        self._layers = [PromptLayer() for _ in range(num_layers)]
        self.cache = Cache(layers=list(self._layers))

    def follow(self, rows: Tensor, width: int) -> None:
        """Let the next pass attend to the first ``width`` columns of the prompts ``rows``."""
        for layer in self._layers:
            layer.rows, layer.width = rows, width


def following_mask(lengths: Tensor, width: int, size: int, dtype: torch.dtype) -> Tensor:
    """The additive attention mask of ``size`` tokens that follow right-padded prompts.

    Args:
        lengths: int64 ``[B]``, the prompts' lengths.
        width: The prompts' columns.
        size: New tokens a sequence.
        dtype: Of the mask.

    Returns:
        ``[B, 1, size, width + size]``: 0 where attended to, the lowest number elsewhere.
    """
    never = torch.finfo(dtype).min
    device = lengths.device
    hidden = torch.arange(width, device=device) >= lengths[:, None]
    prompt = torch.zeros(hidden.shape, dtype=dtype, device=device).masked_fill_(hidden, never)
    causal = torch.full((size, size), never, dtype=dtype, device=device).triu_(diagonal=1)
    return torch.cat(
        [
            prompt[:, None, None].expand(-1, 1, size, -1),
            causal.expand(len(lengths), 1, -1, -1),
        ],
        dim=-1,
    )


def in_slots(rows: Tensor, slots: _IntArray, num_slots: int) -> Tensor:
    """Rows ``[R, ...]`` at their slots (int64 ``[R]``) of ``[num_slots, ...]``, 0 elsewhere."""
    if len(slots) == num_slots:
        return rows
    where = torch.from_numpy(slots).to(rows.device)
    return rows.new_zeros((num_slots, *rows.shape[1:])).index_copy_(0, where, rows)
