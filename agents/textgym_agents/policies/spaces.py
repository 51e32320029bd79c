"""Gymnasium spaces as JSON, for what rebuilds a policy without its environment."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

_KINDS = "Box, Discrete, MultiDiscrete, MultiBinary, Dict and Tuple"


def describe_space(space: gym.Space[Any]) -> dict[str, Any]:
    """A Box, Discrete, MultiDiscrete, MultiBinary, Dict or Tuple space as JSON.

    A Box's bounds are numbers where they are the same everywhere, else nested lists of numbers.

    Raises:
        ValueError: Another kind of space.
    """
    spaces = gym.spaces
    if isinstance(space, spaces.Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.Box):
        return {
            "type": "Box",
            "low": _describe_bounds(space.low),
            "high": _describe_bounds(space.high),
            "shape": list(space.shape),
            "dtype": str(space.dtype),
        }
    if isinstance(space, spaces.MultiDiscrete):
        return {
            "type": "MultiDiscrete",
            "nvec": space.nvec.tolist(),
            "start": space.start.tolist(),
            "dtype": str(space.dtype),
        }
    if isinstance(space, spaces.MultiBinary):
        n = space.n if isinstance(space.n, int) else [int(size) for size in space.n]
        return {"type": "MultiBinary", "n": n}
    if isinstance(space, spaces.Dict):
        parts = {key: describe_space(part) for key, part in space.spaces.items()}
        return {"type": "Dict", "spaces": parts}
    if isinstance(space, spaces.Tuple):
        return {"type": "Tuple", "spaces": [describe_space(part) for part in space.spaces]}
    raise ValueError(f"policies take {_KINDS} spaces, got {space}")


def space_from(description: Mapping[str, Any]) -> gym.Space[Any]:
    """The space that `describe_space` described."""
    kind = description["type"]
    if kind == "Discrete":
        return gym.spaces.Discrete(description["n"], start=description["start"])
    if kind == "MultiDiscrete":
        dtype: Any = np.dtype(description["dtype"]).type
        nvec, start = (np.array(description[name], dtype) for name in ("nvec", "start"))
        return gym.spaces.MultiDiscrete(nvec, dtype=dtype, start=start)
    if kind == "MultiBinary":
        return gym.spaces.MultiBinary(description["n"])
    if kind == "Dict":
        parts = {key: space_from(part) for key, part in description["spaces"].items()}
        return gym.spaces.Dict(parts)
    if kind == "Tuple":
        return gym.spaces.Tuple([space_from(part) for part in description["spaces"]])
    return _box_from(description)


def _box_from(description: Mapping[str, Any]) -> gym.spaces.Box:
    dtype: Any = np.dtype(description["dtype"]).type
    shape = tuple(description["shape"])
    # Infinite bounds are strings, which NumPy reads; an integer Box has none.
    read = float if np.issubdtype(dtype, np.floating) else int
    low, high = (
        np.full(shape, np.array(_map(read, description[name])), dtype) for name in ("low", "high")
    )
    return gym.spaces.Box(low, high, shape, dtype)


def _describe_bounds(bounds: NDArray[Any]) -> Any:
    """A bound; ``"inf"`` or ``"-inf"`` where there is none, which JSON has no number for."""
    first = bounds.flat[0]
    return _map(_describe_bound, first.item() if (bounds == first).all() else bounds.tolist())


def _describe_bound(bound: float) -> float | str:
    return bound if math.isfinite(bound) else str(bound)


def _map(function: Any, values: Any) -> Any:
    """The function of every number in nested lists."""
    if isinstance(values, list):
        return [_map(function, value) for value in values]
    return function(values)
