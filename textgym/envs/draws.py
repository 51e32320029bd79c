"""Counter-based random draws: which example an episode shows, from its seed and number alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014, figure 16); uint64 [n]."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def draw_uint64(
    seeds: NDArray[np.uint64], counters: NDArray[np.uint64], stream: int
) -> NDArray[np.uint64]:
    """One draw for each pair of a seed and a counter, without any state between draws.

    Args:
        seeds: uint64 [n].
        counters: uint64 [n].
        stream: a small number that keeps draws for different purposes apart.

    Returns:
        uint64 [n], uniform over all 64-bit numbers.
    """
    step = np.uint64(0x9E3779B97F4A7C15)
    keys = _mix(seeds + step)
    return _mix(keys ^ _mix((counters + np.uint64(1)) * step + np.uint64(stream << 32)))


def fold_seed(seed: Any) -> int:
    """A seed of any size as an unsigned 64-bit number."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"a seed must be a whole number from 0 on, not {seed!r}")
    return int(seed) & 0xFFFFFFFFFFFFFFFF
