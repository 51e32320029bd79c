"""How the contexts of a batch go through a model: shared prompts once, and without padding.

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

from textgym_agents.policies.base import Contexts, Evaluation
from textgym_agents.policies.draws import Drawn
from textgym_agents.policies.packed_attention import Block
from textgym_agents.policies.tied import TiedGradient

_IntArray = NDArray[np.int64]

_PASS_COST = {"cpu": 48}
"""By device, measured: 26 to 57 on a core, for GPT-2s of 1 to 90 million parameters."""

_PASS_COST_ELSEWHERE = 4096
"""Accelerators are not measured; they run wide passes best."""

ONE_PASS = 2**40
"""A price of passes at which one is cheapest, whatever the padding."""

_WORTHWHILE = 1.05
"""Sharing must save a twentieth of all tokens: texts without their prompts attend more slowly."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What a model computes of some episodes, their steps one after another.

    Attributes:
        episodes: Which, by their indices in what was asked for.
        hidden: ``[M, H]``, the last hidden states at the steps.
        head_input: ``[M, H]``, what the language-model head makes logits of.
        logits: ``[M, V]``, or ``[0, V]`` where none were asked for.
        left: Where the head is to leave its weights' gradient; see `tied`.
        drawn: What acting drew at the steps; see `Draws.find`. None if that is not known.
    """

    episodes: list[int]
    hidden: Tensor
    head_input: Tensor
    logits: Tensor
    left: TiedGradient | None = None
    drawn: Drawn | None = None


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


@dataclass(frozen=True, slots=True)
class Row:
    """Contexts end to end.

    Attributes:
        tokens: int64 ``[T]``.
        positions: int64 ``[T]``, each token's in its context.
        before: int64 ``[T]``, where in the row the token before each is; -1: it is the first.
        steps: int64 ``[M]``, where in the row the contexts' steps are, one context after another.
        blocks: How its tokens attend.
    """

    tokens: _IntArray
    positions: _IntArray
    before: _IntArray
    steps: _IntArray
    blocks: list[Block]


def pack(contexts: Sequence[Contexts], device: torch.device, dtype: torch.dtype) -> Row:
    """Put contexts into one row; prompts that they share come first, and once.

    Args:
        contexts: One an episode.
        device: Of what the blocks hold.
        dtype: Of their masks.
    """
    row = _Building(device, dtype)
    shared = share_prompts(contexts)
    starts = np.zeros(len(contexts), np.int64)
    if shared is None:
        begins = row.add([context.tokens for context in contexts], starts)
    else:
        prompts = row.add(shared.prompts, np.zeros(len(shared.prompts), np.int64))
        starts = np.array([len(shared.prompts[source]) for source in shared.source])
        texts = [context.tokens[start:] for context, start in zip(contexts, starts, strict=True)]
        begins = row.add(texts, starts, prompts[shared.source])
    steps = [
        begin + context.lengths - 1 - start
        for begin, context, start in zip(begins, contexts, starts, strict=True)
    ]
    return Row(
        np.concatenate(row.tokens),
        np.concatenate(row.positions),
        np.concatenate(row.before),
        np.concatenate(steps),
        row.blocks,
    )


class _Building:
    """A row that grows by sequences."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.tokens: list[_IntArray] = []
        self.positions: list[_IntArray] = []
        self.before: list[_IntArray] = []
        self.blocks: list[Block] = []
        self._size = 0
        self._device, self._dtype = device, dtype

    def add(
        self, sequences: Sequence[_IntArray], starts: _IntArray, prompts: _IntArray | None = None
    ) -> _IntArray:
        """Put sequences at the end, those of similar lengths together.

        Args:
            sequences: ``N``, int64 ``[L_i]``.
            starts: int64 ``[N]``, the position of each one's first token, which is the length of
                the prompt that it follows.
            prompts: int64 ``[N]``, where in the row these prompts begin; None: there are none.

        Returns:
            int64 ``[N]``, where in the row each begins.
        """
        begins = np.zeros(len(sequences), np.int64)
        sizes = np.array([len(sequence) for sequence in sequences])
        for chunk in tight_chunks(sizes, pass_cost(self._device)):
            for index in chunk:
                begins[index] = self._size
                before = np.arange(self._size - 1, self._size + sizes[index] - 1)
                before[0] = -1 if prompts is None else prompts[index] + starts[index] - 1
                self._size += sizes[index]
                self.before.append(before)
                self.tokens.append(sequences[index])
                self.positions.append(starts[index] + np.arange(sizes[index]))
            first = None if prompts is None else prompts[chunk]
            self.blocks.append(self._block(sizes[chunk], starts[chunk], first))
        return begins

    def _block(self, sizes: _IntArray, starts: _IntArray, prompts: _IntArray | None) -> Block:
        longest = int(sizes.max())
        real = np.arange(longest) < sizes[:, None]
        places = None if real.all() else self._tensor(np.flatnonzero(real))
        size, shape = int(sizes.sum()), (len(sizes), longest)
        if prompts is None:
            return Block(size, shape, places)
        columns = np.arange(int(starts.max()))
        tokens = prompts[:, None] + np.minimum(columns, starts[:, None] - 1)
        if (starts == starts[0]).all():
            starts = starts[:1]  # One mask for all.
        mask = following_mask(self._tensor(starts), len(columns), longest, self._dtype)
        return Block(size, shape, places, self._tensor(tokens), mask)

    def _tensor(self, array: _IntArray) -> Tensor:
        return torch.from_numpy(array).to(self._device)


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


def in_slots(rows: Tensor, slots: _IntArray, num_slots: int) -> Tensor:
    """Rows ``[R, ...]`` at their slots of ``[num_slots, ...]``, 0 elsewhere.

    Args:
        rows: ``[R, ...]``.
        slots: int64 ``[R]``; in order where R is ``num_slots``.
        num_slots: At least R.
    """
    if len(slots) == num_slots:
        return rows
    where = torch.from_numpy(slots).to(rows.device)
    return rows.new_zeros((num_slots, *rows.shape[1:])).index_copy_(0, where, rows)
