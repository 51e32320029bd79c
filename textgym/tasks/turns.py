"""Tasks in which the environment answers: a user, a game or a database, turn by turn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from textgym.tasks.base import Example, Task


@dataclass(frozen=True, slots=True)
class Reply:
    """What the environment says after a turn of the agent.

    Attributes:
        text: Appended to the context as it is; its last character is a separator, as a prompt's.
        done: Whether the conversation is over; the text is then the last word, and may be empty.
    """

    text: str
    done: bool = False


class Conversation(ABC):
    """The environment's side of one episode.

    What it says follows from the example and the agent's turns alone, so that the same turns
    always lead to the same state. It can be pickled and deep-copied.
    """

    @abstractmethod
    def reply(self, turn: str) -> Reply:
        """Take a turn of the agent, any text at all, and answer it."""

    @abstractmethod
    def outcome(self) -> Mapping[str, float]:
        """Return how things stand, as finite numbers by name; the names never change."""


class MultiTurnTask(Task):
    """A task whose examples are conversations: EOS ends the agent's turn, not the episode."""

    @abstractmethod
    def converse(self, example: Example) -> Conversation:
        """Return the environment's side of an example, at its beginning."""

    @abstractmethod
    def expert(self, example: Example, turns: Sequence[tuple[str, str]] = ()) -> str:
        """Return the best next turn.

        Args:
            example: The example.
            turns: What was said so far: the agent's turn and the text of the reply to it.
        """
