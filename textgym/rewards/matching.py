"""Rewards for being literally right: the whole text, or its words one by one."""

from __future__ import annotations

from textgym.rewards.base import ExampleLike, PerTextReward, Stream, references_of


class ExactMatch(PerTextReward):
    """1 if the text equals a reference, else 0; whitespace at the ends does not count."""

    name = "exact_match"

    @property
    def signature(self) -> str:
        """The name and what is stripped."""
        return f"{self.name}(strip=whitespace)"

    def score(self, text: str, example: ExampleLike) -> float:
        """1.0 or 0.0.

        Raises:
            ValueError: the example has no reference.
        """
        stripped = text.strip()
        references = references_of(self.name, example)
        return float(any(stripped == reference.strip() for reference in references))

    def stream(self, example: ExampleLike) -> Stream:
        """A stream that remembers how far each reference has been matched."""
        references = references_of(self.name, example)
        return _ExactMatchStream([reference.strip() for reference in references])


class _ExactMatchStream(Stream):
    def __init__(self, references: list[str]) -> None:
        self._length = 0
        self._alive = references  # the references the text still agrees with

    def append(self, text: str) -> None:
        if self._length == 0:
            text = text.lstrip()
        start, self._length = self._length, self._length + len(text)
        self._alive = [reference for reference in self._alive if _agrees(reference, start, text)]

    def score(self) -> float:
        return float(any(self._length >= len(reference) for reference in self._alive))


def _agrees(reference: str, start: int, text: str) -> bool:
    """Whether `text`, placed at `start`, continues `reference`, or only adds whitespace to it."""
    expected = reference[start : start + len(text)]
    rest = text[len(expected) :]
    return text.startswith(expected) and not rest.strip()
