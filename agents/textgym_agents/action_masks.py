"""The masks of legal actions that environments give, slot by slot and step by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from textgym_agents.policies.base import Observations

_BoolArray: TypeAlias = NDArray[np.bool_]


def action_masks(observations: Observations, infos: dict[str, Any]) -> _BoolArray | None:
    """Masks of all slots, bool ``[N, V]``; a slot whose info has none may do anything.

    For MultiDiscrete actions Gymnasium's own masks are tuples of arrays, nested where the actions
    have several dimensions: here one after another.
    """
    masks, present = infos.get("action_mask"), infos.get("_action_mask")
    if masks is None and isinstance(observations, Mapping):
        masks, present = observations.get("action_mask"), None
    if masks is None:
        return None
    masks = np.asarray(masks)
    if masks.dtype != object and (present is None or np.all(present)):
        return masks.astype(np.bool_)
    present = np.ones(len(masks), np.bool_) if present is None else np.asarray(present, np.bool_)
    rows = [_flat_mask(mask) for mask in masks[present]]
    full = np.ones((len(masks), len(rows[0])), np.bool_)
    full[present] = rows
    return full


def _flat_mask(mask: Any) -> NDArray[Any]:
    if isinstance(mask, tuple | list):
        return np.concatenate([_flat_mask(part) for part in mask])
    return np.ravel(mask)


class MaskRecord:
    """Each slot's action masks: one ``[V]`` while it stays the same, rows once it changes."""

    def __init__(self, num_envs: int) -> None:
        self._first: _BoolArray | None = None
        self._steps = np.zeros(num_envs, np.int64)
        self._rows: list[list[_BoolArray]] = [[] for _ in range(num_envs)]
        self._varying = np.zeros(num_envs, np.bool_)
        self._shared: _BoolArray | None = None

    def add(self, masks: _BoolArray | None, active: _BoolArray) -> None:
        """Record the masks ``[N, V]`` of the active slots."""
        if not active.any():  # All slots are about to be reset.
            return
        if masks is None and self._first is None:
            self._steps += active
            return
        if masks is None or (self._first is None and self._steps.any()):
            raise ValueError("the environment gives an action mask at some steps and not at others")
        starting = active & (self._steps == 0)
        if self._first is None:
            self._first = masks.copy()
        elif starting.any():
            self._first[starting] = masks[starting]
        self._varying |= active & np.any(masks != self._first, axis=1)
        for slot in np.flatnonzero(self._varying & active):
            rows = self._rows[slot]
            if not rows:
                rows.extend([self._first[slot].copy()] * int(self._steps[slot]))
            rows.append(masks[slot].copy())
        self._steps += active

    def finish(self, slot: int) -> _BoolArray | None:
        """The slot's masks, ``[V]`` or ``[T, V]``; episodes with equal masks share the array."""
        rows, self._rows[slot] = self._rows[slot], []
        self._varying[slot] = False
        self._steps[slot] = 0
        if self._first is None:
            return None
        if rows:
            return np.stack(rows)
        if self._shared is None or not np.array_equal(self._shared, self._first[slot]):
            self._shared = self._first[slot].copy()
        return self._shared
