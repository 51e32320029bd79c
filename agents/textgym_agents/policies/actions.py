"""Actions between a policy, which keeps rows of numbers, and an environment's action space."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray


def component_sizes(space: gym.Space[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many choices each component of a discrete action has, and the least of each.

    Args:
        space: Discrete (one component), MultiDiscrete, or MultiBinary (two choices each).

    Returns:
        int64 ``[K]`` twice.

    Raises:
        ValueError: Another space.
    """
    if isinstance(space, gym.spaces.Discrete):
        return np.array([space.n], np.int64), np.array([space.start], np.int64)
    if isinstance(space, gym.spaces.MultiDiscrete):
        return space.nvec.ravel().astype(np.int64), space.start.ravel().astype(np.int64)
    if isinstance(space, gym.spaces.MultiBinary):
        count = int(np.prod(space.shape))
        return np.full(count, 2, np.int64), np.zeros(count, np.int64)
    raise ValueError(f"{space} has no components to choose among")


def to_environment(space: gym.Space[Any], actions: NDArray[Any]) -> NDArray[Any]:
    """The actions as the environment takes them: of its shape and type, a Box's within its bounds.

    Args:
        space: One environment's action space.
        actions: As a policy gave them: int64 ``[N]`` or ``[N, K]``, or float32 ``[N, D]``.

    Returns:
        ``[N, *space.shape]``.
    """
    if isinstance(space, gym.spaces.Discrete):
        return actions
    shaped = actions.reshape(len(actions), *(space.shape or ()))
    if isinstance(space, gym.spaces.Box):
        shaped = np.clip(shaped, space.low, space.high)
    return shaped.astype(space.dtype, copy=False)


def some_actions(
    space: gym.Space[Any], masks: NDArray[np.bool_] | None, num_envs: int
) -> NDArray[Any]:
    """Legal actions for slots where it does not matter which, as a policy would give them.

    Args:
        space: One environment's action space; not Discrete.
        masks: bool ``[N, sum of the component sizes]``, or None: all are legal.
        num_envs: ``N``.

    Returns:
        int64 ``[N, K]``: the first legal choices; float32 ``[N, D]``: zeros.
    """
    if isinstance(space, gym.spaces.Box):
        return np.zeros((num_envs, int(np.prod(space.shape))), np.float32)
    sizes, least = component_sizes(space)
    if masks is None:
        return np.tile(least, (num_envs, 1))
    parts = np.split(masks, np.cumsum(sizes)[:-1], axis=1)
    return np.stack([part.argmax(axis=1) for part in parts], axis=1) + least
