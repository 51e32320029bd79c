"""Gymnasium spaces as JSON, for what rebuilds a policy without its environment."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np


def describe_space(space: gym.Space[Any]) -> dict[str, Any]:
    """A Box (by its least and largest value), Discrete or Dict space as JSON.

    Raises:
        ValueError: Another kind of space.
    """
    if isinstance(space, gym.spaces.Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, gym.spaces.Box):
        return {
            "type": "Box",
            "low": _describe_bound(space.low.min().item()),
            "high": _describe_bound(space.high.max().item()),
            "shape": list(space.shape),
            "dtype": str(space.dtype),
        }
    if isinstance(space, gym.spaces.Dict):
        parts = {key: describe_space(part) for key, part in space.spaces.items()}
        return {"type": "Dict", "spaces": parts}
    raise ValueError(f"policies take Box, Discrete and Dict spaces, got {space}")


def space_from(description: Mapping[str, Any]) -> gym.Space[Any]:
    """The space that `describe_space` described."""
    if description["type"] == "Discrete":
        return gym.spaces.Discrete(description["n"], start=description["start"])
    if description["type"] == "Dict":
        parts = {key: space_from(part) for key, part in description["spaces"].items()}
        return gym.spaces.Dict(parts)
    dtype: Any = np.dtype(description["dtype"]).type
    low, high = (_bound_from(description[name]) for name in ("low", "high"))
    return gym.spaces.Box(low, high, tuple(description["shape"]), dtype)


def _describe_bound(bound: float) -> float | str:
    """The bound; ``"inf"`` or ``"-inf"`` where there is none, which JSON has no number for."""
    return bound if math.isfinite(bound) else str(bound)


def _bound_from(description: float | str) -> float:
    return float(description) if isinstance(description, str) else description
