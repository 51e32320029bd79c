"""Dense rewards: the score's change with each token, as potential-based shaping.

The reward before the end is ``gamma * Phi(s') - Phi(s)``; at the end the score takes the place of
the potential of the terminal state, which is zero (Ng, Harada and Russell 1999).
"""

from __future__ import annotations

from typing import Protocol

from textgym.envs.mdp import Prompt, TextMDP
from textgym.envs.turns import Turns


class Potential(Protocol):
    """Pays the tokens of one episode."""

    def append(self, token: int) -> float:
        """The reward of a token after which the episode goes on."""

    def finish(self, score: float) -> float:
        """The reward of the action that ended the episode with `score`."""


class PotentialStream:
    """Follows the potential Phi of one answer, token by token.

    Args:
        mdp: where decoding, scoring and gamma come from.
        prompt: the example that is answered.
    """

    def __init__(self, mdp: TextMDP, prompt: Prompt) -> None:
        self._mdp = mdp
        self._prompt = prompt
        self._decoder = mdp.tokenizer.stream()
        self._stream = mdp.stream(prompt)
        self._text = ""
        self.phi = mdp.potential(self._stream, "", "", prompt)

    def append(self, token: int) -> float:
        """The reward of a token after which the episode goes on."""
        added = self._decoder.append(token)
        before = self.phi
        if added:
            self._text += added
            self.phi = self._mdp.potential(self._stream, added, self._text, self._prompt)
        return self._mdp.gamma * self.phi - before

    def finish(self, score: float) -> float:
        """The reward of the action that ended the episode with `score`."""
        return score - self.phi


class TurnPotential:
    """Follows the potential Phi of a conversation: the score of the turns that are over.

    Args:
        mdp: where scoring and gamma come from.
        turns: the conversation.
    """

    def __init__(self, mdp: TextMDP, turns: Turns) -> None:
        self._mdp = mdp
        self._turns = turns
        self._counted = 0
        self.phi = self._score()

    def _score(self) -> float:
        return float(self._mdp.score([self._turns.transcript()], [self._turns.judged()])[0][0])

    def append(self, token: int) -> float:
        """The reward of a token after which the episode goes on; its turn is ended already."""
        del token
        before = self.phi
        if len(self._turns.said) > self._counted:
            self._counted = len(self._turns.said)
            self.phi = self._score()
        return self._mdp.gamma * self.phi - before

    def finish(self, score: float) -> float:
        """The reward of the action that ended the episode with `score`."""
        return score - self.phi


def begin_potential(mdp: TextMDP, prompt: Prompt, turns: Turns | None) -> Potential:
    """The potential of an episode at its beginning."""
    return PotentialStream(mdp, prompt) if turns is None else TurnPotential(mdp, turns)
