"""The conversation of one episode of a multi-turn task, in tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from textgym.envs.mdp import Prompt, TextMDP
from textgym.tasks import MultiTurnTask


class Turns:
    """What was said in one episode, and what the environment says next.

    Args:
        mdp: Where the task and the tokenizer come from.
        prompt: The example.

    Attributes:
        said: The agent's turns so far and the replies to them.
    """

    def __init__(self, mdp: TextMDP, prompt: Prompt) -> None:
        assert isinstance(mdp.task, MultiTurnTask)
        self._mdp = mdp
        self._prompt = prompt
        self._conversation = mdp.task.converse(prompt.example)
        self.said: list[tuple[str, str]] = []

    def end_turn(self, tokens: Sequence[int], room: int) -> tuple[list[int], str | None]:
        """End the agent's turn.

        Args:
            tokens: The turn's tokens, its EOS among them or not.
            room: How many tokens are left of the budget.

        Returns:
            The tokens that the environment appends, and why the episode is over: "task", or
            "length" where the reply would leave no room for an answer; None if it goes on.
        """
        turn = self._mdp.tokenizer.decode(tokens)
        reply = self._conversation.reply(turn)
        self.said.append((turn, reply.text))
        appended = self._mdp.tokenizer.encode(reply.text) if reply.text else []
        if reply.done:
            return (appended if len(appended) <= room else []), "task"
        return (appended, None) if len(appended) < room else ([], "length")

    def transcript(self, unfinished: Sequence[int] = ()) -> str:
        """All that was said, a line break after each turn, and the tokens of an unfinished one."""
        parts = [f"{turn}\n{reply}" if reply else turn for turn, reply in self.said]
        return "".join(parts) + self._mdp.tokenizer.decode(unfinished)

    def judged(self) -> Prompt:
        """The prompt with an example that also knows what was said and what came of it."""
        example = self._prompt.example
        metadata = {
            **example.metadata,
            "turns": tuple(self.said),
            "outcome": dict(self._conversation.outcome()),
        }
        return replace(self._prompt, example=replace(example, metadata=metadata))


def begin_turns(mdp: TextMDP, prompt: Prompt) -> Turns | None:
    """The conversation of an episode at its beginning; None where the task has one turn."""
    return Turns(mdp, prompt) if isinstance(mdp.task, MultiTurnTask) else None
