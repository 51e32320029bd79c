"""ROUGE-1, ROUGE-2 and ROUGE-L of one text, equal to rouge-score's F-measures without stemming."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from textgym.rewards.base import ExampleLike, Stream
from textgym.rewards.incremental import ReferenceReward, TokenStream
from textgym.rewards.ngrams import NgramIndex, NgramMatcher

_find_words = re.compile("[a-z0-9]+").findall


def rouge_words(text: str) -> list[str]:
    """The words ROUGE compares: runs of ASCII letters and digits of the lower-cased text."""
    return _find_words(text.lower())


@lru_cache(maxsize=1)  # ROUGE-1, -2 and -L of one text are often asked for together
def split_rouge(text: str) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """The final words, the tentative word if the text ends in one, and that word as text."""
    lowered = text.lower()
    if lowered.isascii() and lowered.isalnum():  # still inside one word
        return (), (lowered,), lowered
    words = tuple(_find_words(lowered))
    if not words or not lowered.endswith(words[-1]):
        return words, (), ""
    return words[:-1], words[-1:], words[-1]


@dataclass(frozen=True, slots=True)
class RougeNReference:
    """One reference as ROUGE-N sees it."""

    index: NgramIndex
    length: int


class RougeN(ReferenceReward[tuple[RougeNReference, ...]]):
    """ROUGE-N (Lin 2004): the F-measure of word n-grams, in [0, 1], best over references.

    Args:
        n: the length of the n-grams, at least 1.

    Raises:
        ValueError: `n` is below 1.
    """

    def __init__(self, n: int) -> None:
        super().__init__()
        if n < 1:
            raise ValueError(f"ROUGE-N needs n >= 1, got {n}")
        self.n = n
        self.name = f"rouge_{n}"

    @property
    def signature(self) -> str:
        """The name and what is measured."""
        return f"{self.name}(fmeasure, stemmer=no)"

    def prepare(self, references: tuple[str, ...]) -> tuple[RougeNReference, ...]:
        """Index each reference's n-grams."""
        words = [rouge_words(reference) for reference in references]
        return tuple(
            RougeNReference(NgramIndex.of_tokens([each], self.n), len(each)) for each in words
        )

    def stream(self, example: ExampleLike) -> Stream:
        """Follow one text; only the last word is tentative."""
        return _RougeNStream(self.n, self.prepared(example))


class Rouge1(RougeN):
    """ROUGE-1: the F-measure of words."""

    def __init__(self) -> None:
        super().__init__(1)


class Rouge2(RougeN):
    """ROUGE-2: the F-measure of word pairs."""

    def __init__(self) -> None:
        super().__init__(2)


class _RougeNStream(TokenStream):
    def __init__(self, n: int, references: tuple[RougeNReference, ...]) -> None:
        self._ngrams = [NgramMatcher(reference.index) for reference in references]
        super().__init__(split_rouge, self._ngrams)
        self._shorter = n - 1
        totals = [reference.length - self._shorter for reference in references]
        self._pairs = list(zip(self._ngrams, totals, strict=True))

    def _compute(self) -> float:
        shorter, best = self._shorter, 0.0
        for matcher, expected in self._pairs:
            matches = matcher.matches[shorter]
            if matches:
                best = max(best, f_measure(matches, matcher.length - shorter, expected))
        return best


@dataclass(frozen=True, slots=True)
class RougeLReference:
    """One reference as ROUGE-L sees it: in each word's mask, bit i is set if it is word i."""

    masks: dict[str, int]
    length: int

    def __deepcopy__(self, memo: Mapping[int, Any]) -> RougeLReference:
        """The reference itself: it never changes, so copies of a stream share it."""
        return self


class RougeL(ReferenceReward[tuple[RougeLReference, ...]]):
    """ROUGE-L (Lin 2004): the F-measure of the longest common word subsequence, in [0, 1].

    The text is one sequence, as in rouge-score's "rougeL"; the best reference counts.
    """

    name = "rouge_l"

    @property
    def signature(self) -> str:
        """The name and what is measured."""
        return f"{self.name}(fmeasure, stemmer=no)"

    def prepare(self, references: tuple[str, ...]) -> tuple[RougeLReference, ...]:
        """Note at which positions each reference has each word."""
        prepared = []
        for reference in references:
            words = rouge_words(reference)
            masks: dict[str, int] = {}
            for position, word in enumerate(words):
                masks[word] = masks.get(word, 0) | 1 << position
            prepared.append(RougeLReference(masks, len(words)))
        return tuple(prepared)

    def stream(self, example: ExampleLike) -> Stream:
        """Follow one text; only the last word is tentative."""
        return _RougeLStream(self.prepared(example))


class LcsMatcher:
    """The longest common subsequence of a reference and a growing sequence, a bit a word.

    Attributes:
        length: tokens so far, the tentative ones included.
    """

    __slots__ = ("_all", "_reference", "_settled", "_settled_length", "_unmatched", "length")

    def __init__(self, reference: RougeLReference) -> None:
        self._reference = reference
        self._all = (1 << reference.length) - 1
        self._unmatched = self._settled = self._all
        self.length = self._settled_length = 0

    @property
    def matches(self) -> int:
        """The length of the longest common subsequence: the zero bits."""
        return (self._all ^ self._unmatched).bit_count()

    def advance(self, final: Sequence[str], tentative: Sequence[str]) -> None:
        """Replace the tentative tokens of the last call by `final` and then `tentative` ones."""
        if final:
            self._settled = self._after(self._settled, final)
            self._settled_length += len(final)
        self._unmatched = self._after(self._settled, tentative)
        self.length = self._settled_length + len(tentative)

    def _after(self, bits: int, tokens: Sequence[str]) -> int:
        """The bit vector after some more tokens (Hyyrö 2004, "Bit-parallel LCS-length ...")."""
        masks = self._reference.masks
        for token in tokens:
            mask = masks.get(token)
            if mask is not None:
                common = bits & mask
                bits = ((bits + common) | (bits - common)) & self._all
        return bits


class _RougeLStream(TokenStream):
    def __init__(self, references: tuple[RougeLReference, ...]) -> None:
        self._alignments = [LcsMatcher(reference) for reference in references]
        super().__init__(split_rouge, self._alignments)
        lengths = [reference.length for reference in references]
        self._pairs = list(zip(self._alignments, lengths, strict=True))

    def _compute(self) -> float:
        best = 0.0
        for matcher, expected in self._pairs:
            best = max(best, f_measure(matcher.matches, matcher.length, expected))
        return best


def f_measure(matches: int, total: int, expected: int) -> float:
    """The harmonic mean of matches/total and matches/expected, in [0, 1]; 0 without a match."""
    return 2.0 * matches / (total + expected) if matches else 0.0
