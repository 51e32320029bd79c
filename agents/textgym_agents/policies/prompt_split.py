"""Where each slot's prompt ends and its response begins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from textgym_agents.policies.base import Contexts
from textgym_agents.policies.contexts import ContextStore

_IntArray = NDArray[np.int64]
_BoolArray = NDArray[np.bool_]


class PromptSplit:
    """Follows the contexts of ``N`` slots and remembers what each episode began with.

    An episode's first context is its prompt. A context begins an episode if the slot's episode
    before was declared over (`end`, which the rollout's store does), or if it does not begin with
    the slot's context of the call before. Without a store, an episode whose prompt happens to
    extend the last context of the episode before looks like its continuation; whoever steps
    environments by hand in ``SAME_STEP`` mode, and has such prompts, says where they end.
    """

    def __init__(self) -> None:
        self._tokens: _IntArray = np.zeros((0, 0), np.int64)
        self._lengths: _IntArray = np.zeros(0, np.int64)
        self._prompts: _IntArray = np.zeros(0, np.int64)
        self._ended: _BoolArray = np.zeros(0, np.bool_)

    def end(self, slot: int) -> None:
        """The slot's episode is over: what it next acts on is a prompt."""
        if slot < len(self._ended):
            self._ended[slot] = True

    def update(
        self,
        tokens: _IntArray,
        lengths: _IntArray,
        active: _BoolArray,
        given: _IntArray | None = None,
    ) -> _IntArray:
        """Take the contexts of a step.

        Args:
            tokens: int64 ``[N, W]``, right-padded.
            lengths: int64 ``[N]``.
            active: bool ``[N]``. What inactive slots show counts as a context of theirs, too,
                unless their episode is over: it may be the end of it.
            given: int64 ``[N]``, the lengths of the active slots' prompts, if they are known.

        Returns:
            int64 ``[N]``, the prompts' lengths.
        """
        if tokens.shape != self._tokens.shape:
            self._tokens = np.zeros_like(tokens)
            self._lengths = np.zeros_like(lengths)
            self._prompts = np.zeros_like(lengths)
            self._ended = np.ones(len(lengths), np.bool_)
        seen = active | ~self._ended
        old = np.arange(tokens.shape[1]) < self._lengths[:, None]
        other = ((tokens != self._tokens) & old).any(axis=1) | (lengths < self._lengths)
        begins = seen & (self._ended | other)
        self._prompts = np.where(begins, lengths, self._prompts)
        if given is not None:
            self._prompts = np.where(active, given, self._prompts)
        self._tokens = np.where(seen[:, None], tokens, self._tokens)
        self._lengths = np.where(seen, lengths, self._lengths)
        self._ended &= ~seen
        return self._prompts


class PromptStore(ContextStore):
    """Keeps a rollout's contexts, and tells the policy when an episode is over.

    Args:
        num_envs: The number of slots.
        pad_id: The padding of the observations.
        split: Is told.
    """

    def __init__(self, num_envs: int, pad_id: int, split: PromptSplit) -> None:
        super().__init__(num_envs, pad_id)
        self._split = split

    def finish(self, slot: int) -> Contexts:
        """Hand over the slot's contexts; its next one is a prompt."""
        self._split.end(slot)
        return super().finish(slot)
