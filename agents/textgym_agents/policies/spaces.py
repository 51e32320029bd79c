"""Gymnasium spaces as JSON, for what rebuilds a policy without its environment."""

from __future__ import annotations

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
        low, high = space.low.min().item(), space.high.max().item()
        return {
            "type": "Box",
            "low": low,
            "high": high,
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
    return gym.spaces.Box(
        description["low"], description["high"], tuple(description["shape"]), dtype
    )
