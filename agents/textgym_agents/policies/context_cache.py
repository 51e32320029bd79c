"""Finds out what is new in each slot's context, and has only that computed.

The contexts of a vector environment come in as they are. One that extends what the slot had
before costs its new tokens; any other costs itself. No slot waits for another, so an
environment loop with autoreset is continuous batching.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers.cache_utils import Cache

from textgym_agents.policies.activations import ROOT, Activations
from textgym_agents.policies.kv_cache import KeyValueBuffer, Write

_IntArray = NDArray[np.int64]
_BoolArray = NDArray[np.bool_]

Forward: TypeAlias = Callable[[Tensor, Tensor, Tensor, Cache, Tensor | None], tuple[Tensor, Tensor]]
"""``(input_ids [B, q], position_ids [B, q], additive mask [B, 1, q, k], cache, select)`` to
``(last hidden states [M, width], logits [M, V])`` of the selected of the ``B * q`` tokens, given
by flat indices, or of all."""

_IDLE_CALLS = 2
"""A slot inactive for that many calls in a row loses its row; one that is reset waits for one."""


class ContextCache:
    """A key-value cache for the contexts of ``N`` slots.

    Before a step every slot's row holds all tokens of its context but the last; what is missing
    is computed apart (`_extend`, `_prefill`). The step then is one token for every row.

    Args:
        forward: The model.
        num_layers: Decoder layers.
        num_slots: ``N``.
        width: The longest context.
        slack: Columns beyond the longest context so far; more mean fewer moves of the buffers.
        dtype: The model's floating-point type.
        device: The model's device.
        activations: What ``forward`` keeps, whose rows are named after the tokens; None: nothing.
    """

    def __init__(
        self,
        forward: Forward,
        *,
        num_layers: int,
        num_slots: int,
        width: int,
        slack: int,
        dtype: torch.dtype,
        device: torch.device,
        activations: Activations | None = None,
    ) -> None:
        self._forward = forward
        self._activations = activations
        self._device = device
        self._slack = max(slack, 1)
        self._width = width
        self._buffer = KeyValueBuffer(num_layers, num_slots, self._slack, dtype, device)
        self._tokens = np.zeros((num_slots, width), np.int64)
        self._lengths = np.zeros(num_slots, np.int64)
        self._columns = np.zeros((num_slots, width), np.int64)
        self._kept = np.zeros((num_slots, width), np.int64)
        self._slots = np.arange(num_slots)
        self._rows = np.arange(num_slots)
        self._idle = np.zeros(num_slots, np.int64)
        self._nothing = torch.zeros(0, dtype=torch.int64, device=device)

    def clear(self, activations: Activations | None = None) -> None:
        """Forget everything, but keep the memory; `activations` as at first."""
        self._buffer.clear()
        self._lengths[:] = 0
        self._activations = activations

    @property
    def layout(self) -> tuple[int, int, torch.dtype, torch.device]:
        """Slots, longest context, floating-point type and device it was made for."""
        return len(self._lengths), self._width, self._buffer.bias.dtype, self._device

    @property
    def slots(self) -> _IntArray:
        """The slot of each row, int64 ``[R]``; in order if all slots have one."""
        return self._slots

    def rows_of(self, slots: _IntArray, lengths: _IntArray) -> _IntArray:
        """Where `Activations` have the last tokens of contexts, int64 ``[R]``.

        Args:
            slots: int64 ``[R]``, of contexts that were active in the newest `step`.
            lengths: int64 ``[R]``, theirs.
        """
        rows: _IntArray = self._kept[slots, lengths - 1]
        return rows

    def step(
        self, contexts: _IntArray, lengths: _IntArray, active: _BoolArray
    ) -> tuple[_IntArray, Tensor, Tensor]:
        """Bring the cache up to date and compute the last token of every active context.

        Args:
            contexts: int64 ``[N, width]``, right-padded with any legal id.
            lengths: int64 ``[N]``, at least 1 where active.
            active: bool ``[N]``, at least one True.

        Returns:
            The slots of the rows (int64 ``[R]``, every active slot among them), and the hidden
            states ``[R, hidden]`` and logits ``[R, V]`` of their last tokens; meaningless in
            rows of inactive slots.
        """
        missing = self._keep_common_prefix(contexts, lengths, active)
        growing = np.flatnonzero(active & (missing > 0))
        extending = growing[self._lengths[growing] > 0]
        fresh = growing[self._lengths[growing] == 0]
        grown = int(missing[extending].max(initial=0))
        self._make_room(grown, int(missing[fresh].max(initial=0)), active)
        if len(extending):
            self._extend(contexts, extending, missing[extending], grown)
        if len(fresh):
            self._prefill(contexts, fresh, missing[fresh])
        return self._step(contexts, lengths, active)

    def _keep_common_prefix(
        self, contexts: _IntArray, lengths: _IntArray, active: _BoolArray
    ) -> _IntArray:
        """Forget what the contexts don't share; the number of tokens missing before the last."""
        target = lengths - 1
        differs = contexts != self._tokens
        same = np.where(differs.any(axis=1), differs.argmax(axis=1), self._width)
        common = np.minimum(np.minimum(same, self._lengths), target)
        diverged = (common < target) & (common < self._lengths)
        kept = np.where(active, np.where(diverged, 0, common), self._lengths)
        shorter = np.flatnonzero((kept < self._lengths) & (self._rows >= 0))
        if len(shorter):
            self._buffer.hide(
                self._index(self._rows[shorter]), self._columns[shorter, kept[shorter]]
            )
        self._lengths = kept
        missing: _IntArray = np.where(active, target - kept, 0)
        return missing

    def _make_room(self, grown: int, prompt: int, active: _BoolArray) -> None:
        """See that every active slot has a row, and that the new columns fit.

        Args:
            grown: Columns that extended contexts will take after the head.
            prompt: Columns that fresh contexts will take, to end where the head will then be.
            active: bool ``[N]``.
        """
        buffer = self._buffer
        self._idle = np.where(active, 0, self._idle + 1)
        has_row = self._rows >= 0
        idle = has_row & (self._idle >= _IDLE_CALLS)
        full = buffer.head + grown + 1 > buffer.num_columns or buffer.head + grown < prompt
        if full or (active & ~has_row).any():
            slots = np.flatnonzero((has_row & ~idle) | active)
            head = max(int(self._lengths[slots].max()), prompt - grown)
            self._relayout(slots, head, head + grown + self._slack)
        elif idle.any():
            self._drop(idle)

    def _drop(self, idle: _BoolArray) -> None:
        """Take the rows of some slots away; the last of the others take their places."""
        gone = idle[self._slots]
        count = len(gone) - int(gone.sum())
        holes, last = np.flatnonzero(gone[:count]), count + np.flatnonzero(~gone[count:])
        self._buffer.drop(self._index(holes), self._index(last), count)
        slots = self._slots[:count].copy()
        slots[holes] = self._slots[last]
        self._slots = slots
        self._lengths[idle] = 0
        self._rows[idle] = -1
        self._rows[slots] = np.arange(count)

    def _relayout(self, slots: _IntArray, head: int, num_columns: int) -> None:
        lengths = self._lengths[slots]
        longest = int(lengths.max())
        order = np.arange(longest) - (longest - lengths)[:, None]
        columns = np.take_along_axis(self._columns[slots], np.maximum(order, 0), axis=1)
        rows = np.maximum(self._rows[slots], 0)
        self._buffer.relayout(rows, columns, lengths, head, num_columns)
        dropped = np.ones(len(self._rows), np.bool_)
        dropped[slots] = False
        self._lengths[dropped] = 0
        self._rows[dropped] = -1
        self._rows[slots] = np.arange(len(slots))
        self._slots = slots
        self._columns = head - self._lengths[:, None] + np.arange(self._width)

    def _extend(
        self, contexts: _IntArray, slots: _IntArray, missing: _IntArray, grown: int
    ) -> None:
        """Compute several new tokens of some contexts, on top of what their rows hold."""
        buffer = self._buffer
        rows = self._index(self._rows[slots])
        start = int(self._columns[slots, 0].min())
        order = np.arange(grown)
        positions = self._lengths[slots, None] + order
        at = np.minimum(positions, self._width - 1)
        past = buffer.bias[rows, start : buffer.head][:, None, None, :]
        mask = torch.cat(
            [past.expand(-1, 1, grown, -1), self._causal(grown).expand(len(slots), 1, -1, -1)], -1
        )
        cache = buffer.plan(Write(column=buffer.head, attend_from=start, rows=rows))
        ids = np.take_along_axis(contexts[slots], at, axis=1)
        self._forward(self._index(ids), self._index(at), mask, cache, self._nothing)
        self._name(contexts, slots, missing, np.arange(len(slots)) * grown)
        self._append(contexts, slots, missing, buffer.head)
        buffer.head += grown

    def _prefill(self, contexts: _IntArray, slots: _IntArray, missing: _IntArray) -> None:
        """Compute new contexts but for their last tokens, equal ones once."""
        longest = int(missing.max())
        unique: dict[bytes, int] = {}
        source = np.zeros(len(slots), np.int64)
        first: list[int] = []
        for index, (slot, length) in enumerate(zip(slots, missing, strict=True)):
            source[index] = unique.setdefault(contexts[slot, :length].tobytes(), len(unique))
            if len(first) < len(unique):
                first.append(int(slot))
        column = self._buffer.head - longest
        write = Write(
            column=column,
            attend_from=None,
            rows=self._index(self._rows[slots]),
            source=self._index(source),
        )
        ids = self._index(contexts[first, :longest])
        positions = torch.arange(longest, device=self._device).expand(len(first), -1)
        mask = self._causal(longest).expand(len(first), 1, -1, -1)
        self._forward(ids, positions, mask, self._buffer.plan(write), self._nothing)
        self._name(contexts, slots, missing, source * longest)
        self._append(contexts, slots, missing, column)

    def _name(
        self, contexts: _IntArray, slots: _IntArray, missing: _IntArray, first: _IntArray
    ) -> None:
        """Note in which row of the newest pass the products of each slot's next tokens are.

        Args:
            contexts: As in `step`.
            slots: int64 ``[R]``.
            missing: int64 ``[R]``, tokens of each.
            first: int64 ``[R]``, the row of each one's first token, which the others follow.
        """
        if self._activations is None:
            return
        for step in range(int(missing.max())):
            more = missing > step
            own, at = slots[more], self._lengths[slots[more]] + step
            before = np.where(at > 0, self._kept[own, at - 1], ROOT)
            tokens = contexts[own, at]
            self._kept[own, at] = self._activations.name(before, tokens, first[more] + step)

    def _append(
        self, contexts: _IntArray, slots: _IntArray, missing: _IntArray, column: int
    ) -> None:
        """Note that each slot's ``missing`` next tokens stand in the columns from ``column``."""
        for slot, count in zip(slots, missing, strict=True):
            start = self._lengths[slot]
            self._columns[slot, start : start + count] = np.arange(column, column + count)
            self._tokens[slot, start : start + count] = contexts[slot, start : start + count]
        self._lengths[slots] += missing
        self._buffer.show(self._index(self._rows[slots]), np.full(len(slots), column), missing)

    def _step(
        self, contexts: _IntArray, lengths: _IntArray, active: _BoolArray
    ) -> tuple[_IntArray, Tensor, Tensor]:
        buffer, column = self._buffer, self._buffer.head
        slots = np.flatnonzero(active)
        last = lengths[slots] - 1
        tokens = contexts[slots, last]
        rows = self._rows[slots]
        inputs = np.zeros((2, len(self._slots), 1), np.int64)
        inputs[0, rows, 0], inputs[1, rows, 0] = tokens, last
        ids, positions = self._index(inputs)
        buffer.bias[:, column] = 0.0
        mask = buffer.bias[:, None, None]
        cache = buffer.plan(Write(column=column, attend_from=0, attend_to=buffer.num_columns))
        hidden, logits = self._forward(ids, positions, mask, cache, None)
        self._name(contexts, slots, np.ones_like(slots), rows)
        if len(slots) < len(self._slots):
            inactive = np.ones(len(self._slots), np.bool_)
            inactive[rows] = False
            buffer.bias[self._index(np.flatnonzero(inactive)), column] = buffer.never
        self._columns[slots, last] = column
        self._tokens[slots, last] = tokens
        self._lengths[slots] = lengths[slots]
        buffer.head += 1
        return self._slots, hidden, logits

    def _causal(self, size: int) -> Tensor:
        """The additive mask of a text that starts from nothing, ``[1, 1, size, size]``."""
        buffer = self._buffer
        full = buffer.bias.new_full((1, 1, size, size), buffer.never)
        return full.triu_(diagonal=1)

    def _index(self, array: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)
