"""Rewards that know nothing of quality: what a learner does with them shows what it does alone."""

from __future__ import annotations

from textgym.rewards.base import ExampleLike, PerTextReward, Stream


class Constant(PerTextReward):
    """The same score for every text.

    Args:
        value: the score, in [0, 1].

    Raises:
        ValueError: `value` is outside [0, 1].
    """

    name = "constant"

    def __init__(self, value: float = 1.0) -> None:
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"a constant reward lies in [0, 1], got {value!r}")
        self.value = float(value)

    @property
    def signature(self) -> str:
        """The name and the value."""
        return f"{self.name}(value={self.value!r})"

    def score(self, text: str, example: ExampleLike) -> float:
        """The constant."""
        return self.value

    def stream(self, example: ExampleLike) -> Stream:
        """A stream that ignores its text."""
        return _ConstantStream(self.value)


class _ConstantStream(Stream):
    def __init__(self, value: float) -> None:
        self._value = value

    def append(self, text: str) -> None:
        """Nothing to do: the score does not depend on the text."""

    def score(self) -> float:
        return self._value
