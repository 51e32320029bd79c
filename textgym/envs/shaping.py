"""Dense rewards: the score's change with each token, as potential-based shaping."""

from __future__ import annotations

from textgym.envs.mdp import Prompt, TextMDP


class PotentialStream:
    """Follows the potential Phi of one answer, token by token.

    The reward before the end is ``gamma * Phi(s') - Phi(s)``; at the end the score takes the
    place of the potential of the terminal state, which is zero (Ng, Harada and Russell 1999).

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
