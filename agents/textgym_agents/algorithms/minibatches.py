"""Splits a batch for several epochs of optimizer steps, each in passes of bounded memory.

Single steps are shuffled where observations are arrays, so that the members of a minibatch are as
independent as can be. Where an episode is one sequence, whole episodes are: one forward pass
evaluates all of a sequence's steps at the price of its last one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from textgym_agents.algorithms.base import episode_tokens, passes
from textgym_agents.policies import Episode
from textgym_agents.policies.base import joined

_Indices: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Part:
    """What one forward pass evaluates.

    Attributes:
        episodes: Episodes, or one that holds shuffled steps.
        steps: int64 ``[M]``, where in the batch, its episodes' steps one after another, the
            steps of ``episodes`` stand.
    """

    episodes: list[Episode]
    steps: _Indices


class Split:
    """The ways to split a batch.

    Args:
        episodes: The batch, not empty.
        max_tokens: Positions (tokens, or steps) of a pass at most; 0: no limit.
        whole_episodes: Never shuffle single steps: for losses of whole episodes.
    """

    def __init__(
        self, episodes: Sequence[Episode], max_tokens: int, whole_episodes: bool = False
    ) -> None:
        self._episodes, self._max_tokens = episodes, max_tokens
        self._ends = np.cumsum([episode.num_steps for episode in episodes])
        arrays = isinstance(episodes[0].observations, (np.ndarray, dict))
        self._joined = _join(episodes) if arrays and not whole_episodes else None

    @property
    def num_steps(self) -> int:
        """Steps of the whole batch."""
        return int(self._ends[-1])

    def whole(self) -> list[Part]:
        """The batch as one minibatch."""
        if self._joined is not None:
            return self._passes_of_steps(np.arange(self.num_steps))
        return self._passes_of_episodes(np.arange(len(self._episodes)))

    def shuffled(self, count: int, rng: np.random.Generator) -> Iterator[list[Part]]:
        """Minibatches in random order: each step of the batch is in exactly one.

        Args:
            count: Minibatches, of sizes that differ by one step at most. Of whole episodes, they
                have about equally many tokens, and there are fewer if there are fewer episodes.
            rng: Draws the order.
        """
        if self._joined is not None:
            for steps in np.array_split(rng.permutation(self.num_steps), count):
                if len(steps):
                    yield self._passes_of_steps(steps)
            return
        order = rng.permutation(len(self._episodes))
        sizes = np.array([episode_tokens(self._episodes[index]) for index in order])
        middles = np.cumsum(sizes) - sizes / 2
        places = (middles * count / sizes.sum()).astype(np.int64)
        for place in range(count):
            if (places == place).any():
                yield self._passes_of_episodes(order[places == place])

    def _passes_of_steps(self, steps: _Indices) -> list[Part]:
        assert self._joined is not None
        limit = self._max_tokens or len(steps)
        chunks = [steps[start : start + limit] for start in range(0, len(steps), limit)]
        return [Part([self._joined.some_steps(chunk)], chunk) for chunk in chunks]

    def _passes_of_episodes(self, indices: _Indices) -> list[Part]:
        chosen = [self._episodes[index] for index in indices]
        parts = []
        for members in passes(chosen, self._max_tokens):
            episodes = [chosen[member] for member in members]
            ends = self._ends[indices[members]]
            spans = [
                np.arange(end - episode.num_steps, end)
                for end, episode in zip(ends, episodes, strict=True)
            ]
            parts.append(Part(episodes, np.concatenate(spans)))
        return parts


def _join(episodes: Sequence[Episode]) -> Episode:
    """One episode that holds the steps of all; their observations are arrays."""
    return replace(
        episodes[0],
        observations=_concatenated([episode.observations for episode in episodes]),
        actions=np.concatenate([episode.actions for episode in episodes]),
        log_probs=np.concatenate([episode.log_probs for episode in episodes]),
        values=np.concatenate([episode.values for episode in episodes]),
        rewards=np.concatenate([episode.rewards for episode in episodes]),
        kept=joined(episodes, "kept"),
        action_masks=_joined_masks(episodes),
        choices=joined(episodes, "choices"),
    )


def _concatenated(observations: Sequence[Any]) -> Any:
    if isinstance(observations[0], dict):
        return {key: np.concatenate([o[key] for o in observations]) for key in observations[0]}
    return np.concatenate(observations)


def _joined_masks(episodes: Sequence[Episode]) -> NDArray[np.bool_] | None:
    """One mask ``[V]`` if all episodes share it, else one a step, ``[M, V]``."""
    masks = [episode.action_masks for episode in episodes]
    first = next((mask for mask in masks if mask is not None), None)
    if first is None or (first.ndim == 1 and all(mask is first for mask in masks)):
        return first
    width = first.shape[-1]
    rows = [np.ones(width, np.bool_) if mask is None else mask for mask in masks]
    return np.concatenate(
        [
            np.broadcast_to(row, (episode.num_steps, width))
            for row, episode in zip(rows, episodes, strict=True)
        ]
    )
