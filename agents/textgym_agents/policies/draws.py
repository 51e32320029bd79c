"""What acting drew, so that learning need not compute the distributions it drew from again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from textgym_agents.policies.base import Episode
from textgym_agents.policies.sampling import Sampling

_IntArray = NDArray[np.int64]
_BoolArray = NDArray[np.bool_]

Note: TypeAlias = Callable[..., None]
"""`Draws.note` of some rows."""

Drawn: TypeAlias = "Callable[[Sequence[Episode], Sampling], tuple[list[float], list[float]] | None]"
"""`Draws.find` of some rows."""


class Draws:
    """The log-probabilities of actions and the entropies of what they were drawn from.

    A draw is known by the row of `Activations` that its context's last token has, by its action and
    by the legal ones.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, int], tuple[float, float]] = {}
        self._sampling: Sampling | None = None

    def note(
        self,
        rows: _IntArray,
        actions: _IntArray,
        masks: _BoolArray | None,
        sampling: Sampling,
        log_probs: Sequence[float],
        entropies: Sequence[float],
    ) -> None:
        """Keep some draws; those of another sampling are forgotten.

        Args:
            rows: int64 ``[M]``.
            actions: int64 ``[M]``.
            masks: bool ``[M, V]``, True where an action was legal; None: all were.
            sampling: What they were drawn with.
            log_probs: ``M`` of them.
            entropies: ``M`` of them, in nats.
        """
        if sampling != self._sampling:
            self._known, self._sampling = {}, sampling
        names = [0] * len(rows) if masks is None else _names(np.packbits(masks, axis=1))
        keys = zip(rows.tolist(), actions.tolist(), names, strict=True)
        self._known.update(zip(keys, zip(log_probs, entropies, strict=True), strict=True))

    def find(
        self, rows: _IntArray, episodes: Sequence[Episode], sampling: Sampling
    ) -> tuple[list[float], list[float]] | None:
        """The log-probabilities and entropies of episodes' steps; None if one is not known.

        Args:
            rows: int64 ``[M]``, of the steps, one episode's after another's.
            episodes: Those.
            sampling: What they would be drawn with now.
        """
        if sampling != self._sampling:
            return None
        actions = np.concatenate([episode.actions for episode in episodes]).tolist()
        names = [name for episode in episodes for name in _choices(episode)]
        found = [self._known.get(key) for key in zip(rows.tolist(), actions, names, strict=True)]
        known = [draw for draw in found if draw is not None]
        if len(known) < len(found):
            return None
        log_probs, entropies = zip(*known, strict=True)
        return list(log_probs), list(entropies)


def _choices(episode: Episode) -> list[int]:
    """The names of the masks of an episode's steps."""
    masks, steps = episode.action_masks, episode.num_steps
    if episode.choices is not None:
        return _names(episode.choices)
    if masks is None:
        return [0] * steps
    names = _names(np.packbits(np.atleast_2d(masks), axis=1))
    return names * steps if masks.ndim == 1 else names


def _names(bits: NDArray[np.uint8]) -> list[int]:
    """A number for each row of packed masks, the same for equal ones.

    Others have another, but for a collision of 64-bit hashes.
    """
    return [hash(row.tobytes()) for row in bits]
