"""Rewards of conversations: what came of them, as the task's simulation says."""

from __future__ import annotations

from textgym.rewards.base import ExampleLike, PerTextReward


class Outcome(PerTextReward):
    """One number of a conversation's outcome, whatever the text.

    The environment puts the outcome into the metadata of the example that it has scored, under
    "outcome"; see `textgym.tasks.Conversation.outcome`.

    Args:
        key: The name of the number.
    """

    def __init__(self, key: str) -> None:
        self.name = key

    @property
    def signature(self) -> str:
        """The name, and that it is an outcome."""
        return f"outcome({self.name})"

    def score(self, text: str, example: ExampleLike) -> float:
        """Look the number up.

        Raises:
            ValueError: The example is no conversation, or its outcome has no such number.
        """
        outcome = example.metadata.get("outcome")
        if outcome is None or self.name not in outcome:
            known = "is not of a conversation" if outcome is None else f"has {sorted(outcome)}"
            raise ValueError(
                f"reward {self.name!r} needs it in the outcome of a conversation; the example "
                f"with the prompt {example.prompt[:60]!r} {known}"
            )
        return float(outcome[self.name])
