"""The conversation of one episode of a multi-turn task, in tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from textgym.envs.mdp import Prompt, TaskError, TextMDP
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
        self._over = False
        self.said: list[tuple[str, str]] = []

    def end_turn(self, tokens: Sequence[int], room: int) -> tuple[list[int], str | None]:
        """End the agent's turn.

        Args:
            tokens: The turn's tokens, its EOS among them or not.
            room: How many tokens are left of the budget.

        Returns:
            The tokens that the environment appends, and why the episode is over: "task", or
            "length" where the reply would leave no room for an answer; None if it goes on.

        Raises:
            TaskError: When the conversation raises, or its reply cannot be encoded.
        """
        turn = self._mdp.tokenizer.decode(tokens)
        try:
            reply = self._conversation.reply(turn)
            ends = reply.done and not reply.text
            appended = [] if ends else self._mdp.frame.reply(reply.text)
        except Exception as error:
            raise TaskError(
                f"the conversation of example {self._prompt.index} (task {self._mdp.task.name!r}, "
                f"split {self._mdp.split!r}) raised {type(error).__name__}: {error} "
                f"after the agent's turn {len(self.said) + 1}, {turn[:80]!r}"
            ) from error
        self.said.append((turn, reply.text))
        self._over = reply.done
        if reply.done:
            return (appended if len(appended) <= room else []), "task"
        return (appended, None) if len(appended) < room else ([], "length")

    def transcript(self, unfinished: Sequence[int] = ()) -> str:
        """All that was said, a line break after each turn, and the tokens of an unfinished one.

        Where the last turn ends the conversation without a reply, no line break follows it.
        """
        said = "".join(f"{turn}\n{reply}" for turn, reply in self.said)
        if self._over and not self.said[-1][1]:
            said = said[:-1]
        return said + self._mdp.tokenizer.decode(unfinished)

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
