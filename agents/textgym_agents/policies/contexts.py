"""Token contexts as language models read them, and a store that keeps them in O(tokens)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from textgym_agents.policies.base import Contexts, Episode, Observations, ObservationStore

_IntArray = NDArray[np.int64]


class ContextStore(ObservationStore):
    """Keeps each slot's last context and the length it had at each step.

    Args:
        num_envs: The number of slots.
        pad_id: The padding of the observations.
    """

    def __init__(self, num_envs: int, pad_id: int) -> None:
        self._pad_id = pad_id
        self._tokens: _IntArray | None = None
        self._last = np.zeros(num_envs, np.int64)
        self._lengths: list[list[int]] = [[] for _ in range(num_envs)]

    def add(self, observations: Observations, active: NDArray[np.bool_]) -> None:
        """Append the active slots' contexts.

        Raises:
            ValueError: If a context does not begin with the one of the step before.
        """
        tokens, lengths = read_contexts(observations, self._pad_id)
        if self._tokens is None:
            self._tokens = np.zeros_like(tokens)
        new = np.arange(tokens.shape[1]) >= self._last[:, None]
        changed = ((tokens != self._tokens) & ~new).any(axis=1)
        if (active & (changed | (lengths < self._last))).any():
            slot = int(np.flatnonzero(active & (changed | (lengths < self._last)))[0])
            raise ValueError(
                f"the context in slot {slot} does not begin with the context of the step before; "
                "a language-model policy learns from contexts that grow within an episode"
            )
        self._tokens[active] = tokens[active]
        self._last[active] = lengths[active]
        for slot in np.flatnonzero(active).tolist():
            self._lengths[slot].append(int(lengths[slot]))

    def finish(self, slot: int) -> Contexts:
        """Hand over the slot's contexts."""
        assert self._tokens is not None, "finish before any add"
        tokens = self._tokens[slot, : self._last[slot]].copy()
        lengths = np.array(self._lengths[slot], np.int64)
        self._last[slot], self._lengths[slot] = 0, []
        return Contexts(tokens, lengths)


def read_contexts(observations: Observations, pad_id: int) -> tuple[_IntArray, _IntArray]:
    """Token ids and lengths of right-padded contexts.

    Args:
        observations: int ``[N, W]``, or a mapping with ``input_ids`` and ``attention_mask``.
        pad_id: The padding.

    Returns:
        int64 ``[N, W]`` with 0 for the padding, and int64 ``[N]``.

    Raises:
        ValueError: If the observations are anything else.
    """
    if isinstance(observations, Mapping):
        if not {"input_ids", "attention_mask"} <= set(observations):
            raise ValueError(
                "a mapping of observations needs 'input_ids' and 'attention_mask', got the keys "
                f"{sorted(observations)}"
            )
        tokens, present = observations["input_ids"], observations["attention_mask"].astype(bool)
    else:
        tokens = observations
        present = tokens != pad_id
    if tokens.ndim != 2 or not np.issubdtype(tokens.dtype, np.integer):
        raise ValueError(
            "a language-model policy reads integer contexts of shape [N, W], got "
            f"{tokens.dtype} {tokens.shape}"
        )
    width = tokens.shape[1]
    lengths = np.where(present.any(axis=1), width - present[:, ::-1].argmax(axis=1), 0)
    return np.where(present, tokens, 0).astype(np.int64, copy=False), lengths.astype(np.int64)


def episode_contexts(episode: Episode) -> Contexts:
    """The contexts of an episode.

    Raises:
        ValueError: Another kind of policy collected it.
    """
    if not isinstance(episode.observations, Contexts):
        raise ValueError(
            "a language-model policy evaluates episodes that its own store kept (Contexts), got "
            f"observations of type {type(episode.observations).__name__}"
        )
    return episode.observations
