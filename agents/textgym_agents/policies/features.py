"""What a small network reads of an observation: its numbers, and its symbols one-hot."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeAlias

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textgym_agents.policies.base import ArrayStore, Observations

_MAX_SYMBOLS = 1_024
_MAX_ONE_HOT = 2**20

_MASK = "action_mask"

_WHOLE = ""
"""The path of an observation that is nothing but an array."""

_Encoding: TypeAlias = tuple[int, Callable[[NDArray[Any]], NDArray[np.float32]]]
"""The length of a part's vector, and what makes ``[N, length]`` of its arrays ``[N, *part]``."""


class Features:
    """Turns observations of a space into vectors.

    Floats, flags and MultiBinary spaces are taken as they are; an integer Box of at most 1,024
    values, Discrete and MultiDiscrete become one-hot, a position after the other; the parts of
    Dict spaces follow one another by sorted keys, those of Tuples in order. A Dict's
    ``action_mask`` is left out; where it has ``input_ids``, nothing else is read, since an
    attention mask says nothing more.

    Args:
        space: One environment's observation space.

    Attributes:
        size: The length of the vectors.
        paths: What is read of a nested observation, as `leaves` names it.

    Raises:
        ValueError: The space is, or has in it, another one, or nothing is left to read.
    """

    def __init__(self, space: gym.Space[Any]) -> None:
        parts = dict(_parts(space))
        if not parts:
            raise ValueError(f"there is nothing to observe in {space}")
        self._shapes = {path: tuple(part.shape or ()) for path, part in parts.items()}
        self._encodings = {path: _encoding(part) for path, part in parts.items()}
        self.size = sum(size for size, _ in self._encodings.values())
        self.paths = frozenset(parts)

    def __call__(self, observations: Any, device: torch.device) -> Tensor:
        """Encode a batch of observations, nested as the space is, or their leaves.

        Returns:
            float32 ``[N, size]``.

        Raises:
            ValueError: They do not fit the space.
        """
        found = leaves(observations)
        encoded = []
        for path, (_, encode) in self._encodings.items():
            self._check(found, path)
            encoded.append(encode(found[path]))
        joined = encoded[0] if len(encoded) == 1 else np.concatenate(encoded, axis=1)
        return torch.from_numpy(joined).to(device)

    def _check(self, found: Mapping[str, NDArray[Any]], path: str) -> None:
        if path not in found:
            raise ValueError(
                f"observations have {_named(found)}; this policy was built for "
                f"{_named(self._shapes)}"
            )
        if found[path].shape[1:] != self._shapes[path]:
            where = f" under {path!r}" if path else ""
            raise ValueError(
                f"observations{where} have the shape {found[path].shape[1:]} after the first "
                f"dimension; this policy was built for {self._shapes[path]}"
            )


class LeafStore(ArrayStore):
    """Keeps of each observation what the features are made of, however it is nested.

    Args:
        num_envs: The number of slots.
        paths: What is kept, as `leaves` names it.
    """

    def __init__(self, num_envs: int, paths: frozenset[str]) -> None:
        super().__init__(num_envs)
        self._paths = paths

    def add(self, observations: Observations, active: NDArray[np.bool_]) -> None:
        """Copy the active slots' rows."""
        if isinstance(observations, Mapping | tuple):
            found = leaves(observations)
            observations = {path: found[path] for path in found if path in self._paths}
        super().add(observations, active)


def leaves(observations: Any) -> dict[str, NDArray[Any]]:
    """The arrays in batched observations, by where they are: ``camera/0`` is in a tuple in a Dict.

    Args:
        observations: ``[N, *obs]``, found under the empty path; or mappings and tuples of such
            arrays, nested or already named so.
    """
    if isinstance(observations, Mapping):
        parts: Iterable[tuple[Any, Any]] = observations.items()
    elif isinstance(observations, tuple):
        parts = enumerate(observations)
    else:
        return {_WHOLE: np.asarray(observations)}
    found = {}
    for name, part in parts:
        for path, leaf in leaves(part).items():
            found[f"{name}/{path}" if path else str(name)] = leaf
    return found


def _parts(space: gym.Space[Any]) -> list[tuple[str, gym.Space[Any]]]:
    """The spaces that are read, by the paths that `leaves` finds their arrays under."""
    if isinstance(space, gym.spaces.Dict):
        if "input_ids" in space.spaces:
            return [("input_ids", space["input_ids"])]
        parts = [(str(key), space[key]) for key in sorted(space.spaces) if key != _MASK]
    elif isinstance(space, gym.spaces.Tuple):
        parts = [(str(index), part) for index, part in enumerate(space.spaces)]
    else:
        return [(_WHOLE, space)]
    return [
        (f"{name}/{path}" if path else name, leaf)
        for name, part in parts
        for path, leaf in _parts(part)
    ]


def _encoding(space: gym.Space[Any]) -> _Encoding:
    if isinstance(space, gym.spaces.Discrete):
        return _one_hot(np.array([space.start]), np.array([space.n]))
    if isinstance(space, gym.spaces.MultiDiscrete):
        return _one_hot(space.start.ravel(), space.nvec.ravel())
    if not isinstance(space, gym.spaces.Box | gym.spaces.MultiBinary):
        raise ValueError(
            "MLPPolicy takes Box, Discrete, MultiDiscrete, MultiBinary, Dict and Tuple "
            f"observations, got {space}"
        )
    size = math.prod(space.shape)
    if isinstance(space, gym.spaces.MultiBinary) or not np.issubdtype(space.dtype, np.integer):
        return size, partial(_numbers, size)
    low, high = int(space.low.min()), int(space.high.max())
    count = high - low + 1
    if count <= _MAX_SYMBOLS and size * count > _MAX_ONE_HOT:
        raise ValueError(
            f"an integer Box of shape {space.shape} with {count} values would be {size * count:,} "
            f"one-hot inputs (at most {_MAX_ONE_HOT:,}): make it a float Box by a wrapper, such as "
            "gymnasium.wrappers.TransformObservation"
        )
    if count > _MAX_SYMBOLS:
        raise ValueError(
            f"an integer Box with {count:,} values is too wide for one-hot vectors (at most "
            f"{_MAX_SYMBOLS:,}); use CausalLMPolicy for token ids, or a float Box for numbers"
        )
    return _one_hot(np.full(size, low), np.full(size, count))


def _one_hot(low: NDArray[np.integer[Any]], count: NDArray[np.integer[Any]]) -> _Encoding:
    """Integers in ``[low, low + count)``, ``[D]`` of each, as one-hot vectors side by side."""
    return int(count.sum()), partial(_symbols, low, count)


def _numbers(size: int, given: NDArray[Any]) -> NDArray[np.float32]:
    return np.array(given, np.float32).reshape(len(given), size)


def _symbols(
    low: NDArray[np.integer[Any]], count: NDArray[np.integer[Any]], given: NDArray[Any]
) -> NDArray[np.float32]:
    symbols = given.reshape(len(given), len(low)) - low
    if ((symbols < 0) | (symbols >= count)).any():
        raise ValueError(
            f"observations hold the integers from {given.min()} to {given.max()}, outside of the "
            "space that this policy was built for"
        )
    encoded = np.zeros((len(given), int(count.sum())), np.float32)
    encoded[np.arange(len(given))[:, None], symbols + (np.cumsum(count) - count)] = 1.0
    return encoded


def _named(paths: Iterable[str]) -> str:
    named = sorted(paths)
    return "a plain array" if named == [_WHOLE] else f"the keys {named}"
