"""Makes vector environments from Gymnasium ids whose slots can each be given a seed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, TypeAlias

import gymnasium as gym

VectorEnv: TypeAlias = gym.vector.VectorEnv[Any, Any, Any]


def make_envs(env_id: str, num_envs: int, env_kwargs: Mapping[str, Any] | None = None) -> VectorEnv:
    """Make ``num_envs`` environments.

    The environment's own vector form is used if it has one whose slots take a seed each, else
    Gymnasium's `SyncVectorEnv` of single environments (CartPole's own vector form, for one,
    takes a single seed).

    Args:
        env_id: A Gymnasium id; ``module:Name-v0`` imports the module first, and so does
            ``module/Name-v0``, where no environment is registered in a namespace of that name.
        num_envs: Slots.
        env_kwargs: Passed to the environment.

    Raises:
        ValueError: ``num_envs`` is less than 1, or the environment does not take ``env_kwargs``.
        gymnasium.error.Error: No such id, and whatever else `gymnasium.make_vec` raises.
    """
    if num_envs < 1:
        raise ValueError(f"num_envs must be at least 1, got {num_envs}")
    kwargs, env_id = dict(env_kwargs or {}), _with_module(env_id)
    try:
        envs: VectorEnv = gym.make_vec(env_id, num_envs=num_envs, **kwargs)
        if isinstance(envs.unwrapped, gym.vector.SyncVectorEnv) or _takes_seed_list(envs):
            return envs
        envs.close()
        return gym.make_vec(env_id, num_envs=num_envs, vectorization_mode="sync", **kwargs)
    except TypeError as error:
        raise ValueError(f"{env_id} cannot be made with {kwargs}: {error}") from error


def tokenizer_of(envs: VectorEnv) -> Any:
    """The tokenizer of a text environment, if it has one that can be saved; else None."""
    base: Any = envs.unwrapped
    if isinstance(base, gym.vector.SyncVectorEnv):
        base = base.envs[0].unwrapped
    tokenizer = getattr(getattr(base, "mdp", None), "tokenizer", None)
    return tokenizer if hasattr(tokenizer, "save_pretrained") else None


def _with_module(env_id: str) -> str:
    """The id, with the module that is to register its namespace."""
    namespace = env_id.rpartition("/")[0]
    known = {spec.namespace for spec in gym.registry.values()}
    if not namespace.isidentifier() or namespace in known or find_spec(namespace) is None:
        return env_id
    return f"{namespace}:{env_id}"


def _takes_seed_list(envs: VectorEnv) -> bool:
    seeds: Any = list(range(envs.num_envs))  # The base class's hint knows int alone.
    try:
        envs.reset(seed=seeds)
    except (gym.error.Error, TypeError):
        return False
    return True
