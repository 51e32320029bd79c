"""Infos of some slots in Gymnasium's vector form: arrays of all slots with ``_key`` masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Entries:
    """What some slots tell in one step.

    Attributes:
        slots: The slots, int64 [n].
        values: By key, an array [n] of numbers or objects, aligned with the slots.
    """

    slots: NDArray[np.int64]
    values: Mapping[str, NDArray[Any]]

    def where(self, chosen: NDArray[np.bool_]) -> Entries:
        """The entries of those slots that are chosen, bool [N]."""
        kept = chosen[self.slots]
        values = {key: array[kept] for key, array in self.values.items()}
        return Entries(self.slots[kept], values)

    def by_slot(self, key: str) -> dict[int, Any]:
        """The values of a key by slot."""
        return dict(zip(self.slots.tolist(), self.values[key].tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class FinalInfos(Entries):
    """What the slots that ended in one step tell.

    Attributes:
        scores: The scores, float64 [n].
    """

    scores: NDArray[np.float64]


def add_entries(infos: dict[str, Any], entries: Entries, num_envs: int) -> None:
    """Spread values of some slots over arrays of all slots, as `VectorEnv._add_info` does.

    The keys share one mask array. No entries add no keys.
    """
    slots = entries.slots
    if not slots.size:
        return
    mask = mask_of(slots, num_envs)
    for key, values in entries.values.items():
        make = np.empty if values.dtype == object else np.zeros  # Empty objects are None.
        spread = make(num_envs, dtype=values.dtype)
        spread[slots] = values
        infos[key], infos[f"_{key}"] = spread, mask


def mask_of(slots: NDArray[np.int64], num_envs: int) -> NDArray[np.bool_]:
    """True for these slots; bool [N]."""
    mask = np.zeros(num_envs, dtype=np.bool_)
    mask[slots] = True
    return mask


def row_of(observations: Any, slot: int) -> Any:
    """A copy of one slot's observation, out of an array or a dict of arrays."""
    if isinstance(observations, dict):
        return {key: values[slot].copy() for key, values in observations.items()}
    return observations[slot].copy()
