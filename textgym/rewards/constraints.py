"""Rewards for what a text should be like whatever it says: how long, and with which words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from textgym.rewards.base import ExampleLike, PerTextReward, Stream, references_of
from textgym.rewards.incremental import TokenStream, split_words

_find_words = re.compile(r"\w+").findall
_CONTENT_WORD_LENGTH = 4

Phrase = tuple[str, ...]


class Length(PerTextReward):
    """How near the number of words is to a target: the smaller over the larger, in [0, 1].

    Words are separated by whitespace. A text of half or of twice the target scores 0.5; a
    target of 0 words is met by an empty text alone.

    Args:
        target: words to aim for, at least 0; None takes each reference's own length, and the
            best one counts.
        penalise_longer: whether a text longer than the target scores less; without it every
            text that reaches the target scores 1.

    Raises:
        ValueError: `target` is negative.
    """

    name = "length"

    def __init__(self, target: int | None = None, *, penalise_longer: bool = True) -> None:
        if target is not None and target < 0:
            raise ValueError(f"the target length must be at least 0 words, got {target}")
        self.target = target
        self.penalise_longer = penalise_longer

    @property
    def signature(self) -> str:
        """The name, the target and what happens above it."""
        target = "reference" if self.target is None else self.target
        longer = "penalised" if self.penalise_longer else "free"
        return f"{self.name}(target={target}, words=whitespace, longer={longer})"

    def score(self, text: str, example: ExampleLike) -> float:
        """The score of one text.

        Raises:
            ValueError: there is no target and the example has no reference.
        """
        return self.from_length(len(text.split()), self.targets(example))

    def targets(self, example: ExampleLike) -> tuple[int, ...]:
        """The lengths, in words, that score 1."""
        if self.target is not None:
            return (self.target,)
        return tuple(len(reference.split()) for reference in references_of(self.name, example))

    def from_length(self, length: int, targets: tuple[int, ...]) -> float:
        """The score of a text of `length` words."""
        if not self.penalise_longer:
            return min(1.0, length / max(min(targets), 1)) if min(targets) else 1.0
        return max(_ratio(length, target) for target in targets)

    def stream(self, example: ExampleLike) -> Stream:
        """A stream that counts words."""
        return _LengthStream(self, self.targets(example))


class _LengthStream(Stream):
    def __init__(self, reward: Length, targets: tuple[int, ...]) -> None:
        self._reward = reward
        self._targets = targets
        self._words = 0
        self._in_word = False

    def append(self, text: str) -> None:
        if text:
            continues = self._in_word and not text[0].isspace()
            self._words += len(text.split()) - continues
            self._in_word = not text[-1].isspace()

    def score(self) -> float:
        return self._reward.from_length(self._words, self._targets)


def _ratio(length: int, target: int) -> float:
    longer = max(length, target)
    return min(length, target) / longer if longer else 1.0


class Coverage(PerTextReward):
    r"""The share of an example's keywords that the text contains, in [0, 1].

    The keywords are ``example.metadata["keywords"]`` (strings; one of several words is a
    phrase that must occur as it stands), or else the distinct words of at least four
    characters of the first reference. Words are runs of ``\w``, compared case-folded. Without
    any keyword nothing is missing: 1.
    """

    name = "coverage"

    @property
    def signature(self) -> str:
        """The name, what a word is, and the keywords where the example names none."""
        return f"{self.name}(words=unicode, case=folded, default=reference>={_CONTENT_WORD_LENGTH})"

    def score(self, text: str, example: ExampleLike) -> float:
        """The score of one text.

        Raises:
            ValueError: the example has neither keywords nor a reference.
            TypeError: ``metadata["keywords"]`` is not a sequence of strings.
        """
        stream = self.stream(example)
        stream.append(text)
        return stream.score()

    def keywords(self, example: ExampleLike) -> frozenset[Phrase]:
        """The example's keywords, each as its case-folded words."""
        named = example.metadata.get("keywords")
        if named is None:
            words = _phrase(references_of(self.name, example)[0])
            return frozenset((word,) for word in words if len(word) >= _CONTENT_WORD_LENGTH)
        if isinstance(named, str) or not all(isinstance(keyword, str) for keyword in named):
            raise TypeError(f'metadata["keywords"] must be a sequence of strings, got {named!r}')
        return frozenset(filter(None, map(_phrase, named)))

    def stream(self, example: ExampleLike) -> Stream:
        """Follow one text; only the last word is tentative."""
        return _CoverageStream(self.keywords(example))


class PhraseMatcher:
    """Collects which of some phrases occur in a growing sequence of words.

    Attributes:
        found: the phrases that end in a final word; those that end in a tentative one are in
            `tentative`.
    """

    def __init__(self, phrases: frozenset[Phrase]) -> None:
        self._phrases = phrases
        self._lengths = sorted({len(phrase) for phrase in phrases})
        self._recent: list[str] = []
        self.found: set[Phrase] = set()
        self.tentative: set[Phrase] = set()

    def advance(self, final: Sequence[str], tentative: Sequence[str]) -> None:
        """Replace the tentative tokens of the last call by `final` and then `tentative` ones."""
        for parts in final:
            self._recent += _phrase(parts)
        self.found |= self._ending_in(self._recent)
        keep = max(self._lengths, default=1) - 1
        self._recent = self._recent[len(self._recent) - keep :] if keep else []
        words = [word for parts in tentative for word in _phrase(parts)]
        self.tentative = self._ending_in(self._recent + words)

    def _ending_in(self, words: list[str]) -> set[Phrase]:
        candidates: set[Phrase] = set()
        for length in self._lengths:
            starts = range(len(words) - length + 1)
            candidates.update(tuple(words[start : start + length]) for start in starts)
        return candidates & self._phrases

    def __deepcopy__(self, memo: Mapping[int, Any]) -> PhraseMatcher:
        """An independent copy that shares the phrases, which never change."""
        copy = PhraseMatcher(self._phrases)
        copy._recent = self._recent.copy()
        copy.found = self.found.copy()
        copy.tentative = self.tentative.copy()
        return copy


class _CoverageStream(TokenStream):
    def __init__(self, keywords: frozenset[Phrase]) -> None:
        self._matcher = PhraseMatcher(keywords)
        super().__init__(split_words, [self._matcher])
        self._count = len(keywords)

    def _compute(self) -> float:
        found = self._matcher.found | self._matcher.tentative
        return len(found) / self._count if self._count else 1.0


def _phrase(text: str) -> Phrase:
    return tuple(word.casefold() for word in _find_words(text))
