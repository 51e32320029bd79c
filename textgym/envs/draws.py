"""Counter-based random draws: which example an episode shows, from its seed and number alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MASK = 0xFFFFFFFFFFFFFFFF
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""The odd number nearest to 2^64 divided by the golden ratio."""


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014, figure 16); uint64 [n]."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def seed_keys(seeds: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """What seeds become before they are drawn from, so that near ones lie far apart; uint64 [n]."""
    return _mix(seeds + GOLDEN)


def draw_uint64(
    keys: NDArray[np.uint64], counters: NDArray[np.uint64], stream: int
) -> NDArray[np.uint64]:
    """One draw for each pair of a key and a counter, without any state between draws.

    It is the output number 2 * counter + stream + 1 of the SplitMix64 generator seeded by the key.

    Args:
        keys: uint64 [n], of `seed_keys`.
        counters: uint64 [n], below 2^63.
        stream: 0 or 1; keeps draws for two purposes apart.

    Returns:
        uint64 [n], uniform over all 64-bit numbers.
    """
    return _mix(keys + (counters * np.uint64(2) + np.uint64(stream + 1)) * GOLDEN)


def draw_one(seed: int, counter: int, stream: int) -> int:
    """`draw_uint64` for one seed (not yet a key) in plain integers, which is faster for few."""
    key = _mix_one((seed + int(GOLDEN)) & MASK)
    return _mix_one((key + (2 * counter + stream + 1) * int(GOLDEN)) & MASK)


def _mix_one(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def fold_seed(seed: Any) -> int:
    """A seed of any size as an unsigned 64-bit number."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"a seed must be a whole number from 0 on, not {seed!r}")
    return int(seed) & MASK
