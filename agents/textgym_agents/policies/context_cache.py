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
        slack: Columns beyond the longest context; more mean fewer moves of the buffers.
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
        self._dtype, self._device = dtype, device
        self._slack = max(slack, 1)
        self._width = width
        self._buffer = KeyValueBuffer(num_layers, num_slots, min(self._slack, width), dtype, device)
        self._tokens = np.zeros((num_slots, width), np.int64)
        self._lengths = np.zeros(num_slots, np.int64)
        self._kept = np.zeros((num_slots, width), np.int64)
        self._slots = np.arange(num_slots)
        self._rows = np.arange(num_slots)
        self._idle = np.zeros(num_slots, np.int64)
        self._nothing = torch.zeros(0, dtype=torch.int64, device=device)

    def clear(self, activations: Activations | None = None) -> None:
        """Forget everything, but keep the memory; `activations` as at first."""
        self._lengths[:] = 0
        self._buffer.clear()
        self._activations = activations

    @property
    def layout(self) -> tuple[int, int, torch.dtype, torch.device]:
        """Slots, longest context, floating-point type and device it was made for."""
        return len(self._lengths), self._width, self._dtype, self._device

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
        self._make_room(np.where(active, lengths, self._lengths), active)
        if len(extending):
            self._extend(contexts, extending, missing[extending])
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
        self._lengths = np.where(active, np.where(diverged, 0, common), self._lengths)
        missing: _IntArray = np.where(active, target - self._lengths, 0)
        return missing

    def _make_room(self, lengths: _IntArray, active: _BoolArray) -> None:
        """See that every active slot has a row, and every row enough columns, but not far more.

        Args:
            lengths: int64 ``[N]``, how long each context will be.
            active: bool ``[N]``.
        """
        self._idle = np.where(active, 0, self._idle + 1)
        has_row = self._rows >= 0
        idle = has_row & (self._idle >= _IDLE_CALLS)
        staying = (has_row & ~idle) | active
        longest, columns = int(lengths[staying].max()), self._buffer.num_columns
        if (active & ~has_row).any():
            self._move(np.flatnonzero(staying), longest)
            return
        if idle.any():
            self._drop(idle)
        if not longest <= columns <= longest + 2 * self._slack:
            self._move(None, longest)

    def _move(self, slots: _IntArray | None, longest: int) -> None:
        """Move what is live into buffers for contexts of up to ``longest`` tokens, and slack.

        Args:
            slots: int64 ``[R]``, those that have a row from now on; None: as before.
            longest: See there.
        """
        kept = self._lengths[self._slots if slots is None else slots]
        columns = min(longest + self._slack, self._width)
        if slots is None:
            self._buffer.move(None, int(kept.max()), columns)
            return
        rows = np.maximum(self._rows[slots], 0)
        self._buffer.move(self._index(rows), int(kept.max()), columns)
        dropped = np.ones(len(self._rows), np.bool_)
        dropped[slots] = False
        self._lengths[dropped] = 0
        self._rows[dropped] = -1
        self._rows[slots] = np.arange(len(slots))
        self._slots = slots

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

    def _extend(self, contexts: _IntArray, slots: _IntArray, missing: _IntArray) -> None:
        """Compute several new tokens of some contexts, on top of what their rows hold.

        Padding repeats a context's newest token, which some models tell long texts from short by.
        """
        grown, ends = int(missing.max()), self._lengths[slots] + missing
        order = np.arange(grown)
        positions = np.minimum(self._lengths[slots, None] + order, ends[:, None] - 1)
        ids = np.take_along_axis(contexts[slots], positions, axis=1)
        sequence, token = np.nonzero(order < missing[:, None])
        rows = self._rows[slots]
        write = Write(
            rows=self._index(rows[sequence]),
            columns=self._index(positions[sequence, token]),
            tokens=self._index(sequence * grown + token),
            width=int(ends.max()),
            sequences=self._index(rows),
        )
        self._compute(ids, positions, write, self._nothing)
        self._append(contexts, slots, missing, np.arange(len(slots)) * grown)

    def _prefill(self, contexts: _IntArray, slots: _IntArray, missing: _IntArray) -> None:
        """Compute new contexts but for their last tokens, equal ones once."""
        longest = int(missing.max())
        unique: dict[bytes, int] = {}
        source = np.zeros(len(slots), np.int64)
        for index, (slot, length) in enumerate(zip(slots, missing, strict=True)):
            source[index] = unique.setdefault(contexts[slot, :length].tobytes(), len(unique))
        first = slots[np.unique(source, return_index=True)[1]]
        slot, token = np.nonzero(np.arange(longest) < missing[:, None])
        write = Write(
            rows=self._index(self._rows[slots[slot]]),
            columns=self._index(token),
            tokens=self._index(source[slot] * longest + token),
            sequences=self._index(self._rows[first]),
        )
        positions = np.tile(np.arange(longest), (len(first), 1))
        self._compute(contexts[first, :longest], positions, write, self._nothing)
        self._append(contexts, slots, missing, source * longest)

    def _compute(
        self, ids: _IntArray, positions: _IntArray, write: Write, select: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Run the model on ``[B, q]`` tokens; see `Forward`."""
        inputs, places = self._index(np.stack([ids, positions]))
        mask = self._buffer.mask(places, write.width or ids.shape[1])
        return self._forward(inputs, places, mask, self._buffer.plan(write), select)

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
        self, contexts: _IntArray, slots: _IntArray, missing: _IntArray, first: _IntArray
    ) -> None:
        """Note that the rows hold each slot's ``missing`` next tokens; ``first`` as in `_name`."""
        self._name(contexts, slots, missing, first)
        self._tokens[slots] = contexts[slots]
        self._lengths[slots] += missing

    def _step(
        self, contexts: _IntArray, lengths: _IntArray, active: _BoolArray
    ) -> tuple[_IntArray, Tensor, Tensor]:
        """Compute the last token of every active context; inactive rows compute what is unused."""
        slots = self._slots[active[self._slots]]
        rows, last = self._rows[slots], lengths[slots] - 1
        ids, positions = np.zeros((2, len(self._slots), 1), np.int64)
        ids[rows, 0], positions[rows, 0] = contexts[slots, last], last
        at = self._index(rows)
        write = Write(
            rows=at,
            columns=self._index(last),
            tokens=None if len(rows) == len(self._slots) else at,
            width=self._buffer.num_columns,
        )
        hidden, logits = self._compute(ids, positions, write, None)
        self._name(contexts, slots, np.ones_like(slots), rows)
        self._tokens[slots, last] = contexts[slots, last]
        self._lengths[slots] = lengths[slots]
        return self._slots, hidden, logits

    def _index(self, array: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)
