"""The conversations of many contexts at once."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from textgym.envs.mdp import Prompt, TextMDP
from textgym.envs.turns import Turns


class TurnTable:
    """The conversation of each slot, and where its current turn begins.

    Args:
        mdp: Of a multi-turn task.
        num_envs: The number of slots N.

    Attributes:
        turns: The conversations, list of N.
        starts: Where each slot's current turn begins, int64 [N].
        over: Whether a conversation came to its own end, bool [N].
    """

    def __init__(self, mdp: TextMDP, num_envs: int) -> None:
        self._mdp = mdp
        self.turns: list[Turns] = cast("list[Turns]", [None] * num_envs)
        self.starts = np.zeros(num_envs, dtype=np.int64)
        self.over = np.zeros(num_envs, dtype=np.bool_)

    def begin(self, slot: int, prompt: Prompt, start: int) -> None:
        """Start the conversation of an episode; its first turn begins at `start`."""
        self.turns[slot] = Turns(self._mdp, prompt)
        self.starts[slot] = start
        self.over[slot] = False

    def end_turns(
        self,
        slots: NDArray[np.int64],
        tokens: NDArray[np.int32],
        ends: NDArray[np.int64],
        limits: NDArray[np.int64],
    ) -> tuple[list[str], NDArray[np.bool_]]:
        """End the turn of some slots and append the replies.

        Args:
            slots: The slots, int64 [n].
            tokens: The contexts one after another, int32; written to.
            ends: Where each slot's next token goes, int64 [N]; written to.
            limits: Where each slot's budget ends, int64 [N].

        Returns:
            The replies, and which of the slots' episodes are over, bool [n].
        """
        replies: list[str] = []
        ended = np.zeros(len(slots), dtype=np.bool_)
        for number, slot in enumerate(slots.tolist()):
            end = int(ends[slot])
            turn = tokens[self.starts[slot] : end].tolist()
            appended, reason = self.turns[slot].end_turn(turn, int(limits[slot]) - end)
            tokens[end : end + len(appended)] = appended
            ends[slot] = self.starts[slot] = end + len(appended)
            self.over[slot] = reason == "task"
            ended[number] = reason is not None
            replies.append(self.turns[slot].said[-1][1])
        return replies, ended

    def finished(
        self, slots: NDArray[np.int64], tokens: NDArray[np.int32], ends: NDArray[np.int64]
    ) -> tuple[list[str], list[Prompt], NDArray[np.object_]]:
        """What was said in episodes that end: transcripts, what is judged, and the turns."""
        said: NDArray[Any] = np.empty(len(slots), dtype=object)
        texts, judged = [], []
        for number, slot in enumerate(slots.tolist()):
            turns = self.turns[slot]
            texts.append(turns.transcript(tokens[self.starts[slot] : ends[slot]].tolist()))
            judged.append(turns.judged())
            said[number] = tuple(turns.said)
        return texts, judged, said
