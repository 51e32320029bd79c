"""Rewards for being literally right: the whole text, or its words one by one."""

from __future__ import annotations

from collections.abc import Sequence
from operator import eq

from textgym.rewards.base import ExampleLike, PerTextReward, Stream, references_of
from textgym.rewards.incremental import ReferenceReward, TokenStream, split_words


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


class TokenAccuracy(ReferenceReward[tuple[tuple[str, ...], ...]]):
    """The share of positions at which text and reference have the same word, in [0, 1].

    Words are separated by whitespace. Equal positions are divided by the longer one's number
    of words, so that missing and surplus words count as wrong; the best reference counts. Two
    texts without a word are equal: 1.
    """

    name = "token_accuracy"

    @property
    def signature(self) -> str:
        """The name and what a word and the denominator are."""
        return f"{self.name}(words=whitespace, over=longer)"

    def prepare(self, references: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        """Split the references into words."""
        return tuple(tuple(reference.split()) for reference in references)

    def stream(self, example: ExampleLike) -> Stream:
        """Follow one text; only the last word is tentative."""
        return _TokenAccuracyStream(self.prepared(example))


class PositionMatcher:
    """Counts the positions at which a growing sequence equals a reference.

    Attributes:
        matches: equal positions so far.
        length: tokens so far, the tentative ones included.
    """

    __slots__ = ("_reference", "_settled_length", "_settled_matches", "length", "matches")

    def __init__(self, reference: tuple[str, ...]) -> None:
        self._reference = reference
        self._settled_matches = self._settled_length = 0
        self.matches = self.length = 0

    def advance(self, final: Sequence[str], tentative: Sequence[str]) -> None:
        """Replace the tentative tokens of the last call by `final` and then `tentative` ones."""
        self._settled_matches += self._equal(final)
        self._settled_length += len(final)
        self.matches = self._settled_matches + self._equal(tentative)
        self.length = self._settled_length + len(tentative)

    def _equal(self, tokens: Sequence[str]) -> int:
        start = self._settled_length
        expected = self._reference[start : start + len(tokens)]
        return sum(map(eq, tokens, expected))


class _TokenAccuracyStream(TokenStream):
    def __init__(self, references: tuple[tuple[str, ...], ...]) -> None:
        self._positions = [PositionMatcher(reference) for reference in references]
        super().__init__(split_words, self._positions)
        self._lengths = [len(reference) for reference in references]

    def _compute(self) -> float:
        pairs = zip(self._positions, self._lengths, strict=True)
        return max(_accuracy(each.matches, max(each.length, length)) for each, length in pairs)


def _accuracy(matches: int, length: int) -> float:
    return matches / length if length else 1.0
