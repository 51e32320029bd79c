"""Clipped n-gram matches of a growing text, kept exact at a constant cost a token.

Only n-grams of the references are counted. A new token is looked up alone, then with the token
before it, and so on up to the first n-gram that no reference has: no longer n-gram that ends
there can be in a reference either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

Ngram = str | tuple[str | None, ...]
"""A token by itself, or several; None stands for the missing tokens before the first one."""

_MANY_CHARACTERS = 128


class Matcher(Protocol):
    """Statistics of a token sequence whose last tokens may still change."""

    def advance(self, final: Sequence[str], tentative: Sequence[str]) -> None:
        """Replace the tentative tokens of the last call by `final` and then `tentative` ones."""


class NgramIndex:
    """The n-grams of one or several token sequences, with the most often one sequence has each.

    Attributes:
        limits: n-gram to the largest number of times it occurs in one sequence.
        order: the length of the longest n-gram.
    """

    __slots__ = ("limits", "order")

    def __init__(self, limits: dict[Ngram, int], order: int) -> None:
        self.limits = limits
        self.order = order

    @classmethod
    def of_tokens(cls, sequences: Sequence[Sequence[str]], order: int) -> NgramIndex:
        """Index the n-grams of up to `order` tokens."""
        limits: dict[Ngram, int] = {}
        for tokens in sequences:
            counts: Counter[Ngram] = Counter(tokens if order else ())
            for n in range(2, order + 1):
                counts.update(zip(*(tokens[start:] for start in range(n)), strict=False))
            if not limits:
                limits = counts
                continue
            for ngram, count in counts.items():
                if count > limits.get(ngram, 0):
                    limits[ngram] = count
        return cls(limits, order)

    @classmethod
    def of_characters(cls, text: str, order: int) -> NgramIndex:
        """Index the substrings of up to `order` characters."""
        limits: Counter[Ngram] = Counter()
        for n in range(1, order + 1):
            limits.update([text[end - n : end] for end in range(n, len(text) + 1)])
        return cls(limits, order)

    def __deepcopy__(self, memo: Mapping[int, Any]) -> NgramIndex:
        """The index itself: it never changes, so copies of a stream share it."""
        return self


class NgramMatcher:
    """Counts how many n-grams of a growing sequence are in an index, clipped at its limits.

    Attributes:
        matches: by order minus one, the clipped matches of the tokens so far: the sum over the
            index's n-grams of min(count in the sequence, limit).
    """

    __slots__ = ("_counts", "_history", "_index", "_tentative", "_tentative_hits", "matches")

    def __init__(self, index: NgramIndex) -> None:
        self._index = index
        self._counts: dict[Ngram, int] = {}
        self._history: list[str | None] = [None] * index.order
        self._tentative = 0
        self._tentative_hits: list[Ngram] = []
        self.matches = [0] * index.order

    @property
    def length(self) -> int:
        """The number of tokens so far, the tentative ones included."""
        return len(self._history) - self._index.order

    def advance(self, final: Sequence[str], tentative: Sequence[str]) -> None:
        """Replace the tentative tokens of the last call by `final` and then `tentative` ones."""
        if self._tentative:
            del self._history[-self._tentative :]
        if self._tentative_hits:
            self._retract()
        if final:
            self._count(final)
        self._tentative = len(tentative)
        self._tentative_hits = self._count(tentative)

    def _count(self, tokens: Sequence[str]) -> list[Ngram]:
        """Append tokens; returns the indexed n-grams that end in them."""
        limits, counts, matches = self._index.limits, self._counts, self.matches
        history, order = self._history, self._index.order
        hits: list[Ngram] = []
        for token in tokens:
            history.append(token)
            ngram: Ngram = token
            depth = 0
            while (limit := limits.get(ngram)) is not None:
                count = counts.get(ngram, 0)
                counts[ngram] = count + 1
                if count < limit:
                    matches[depth] += 1
                hits.append(ngram)
                depth += 1
                if depth == order:
                    break
                ngram = tuple(history[-1 - depth :])
        return hits

    def _retract(self) -> None:
        limits, counts, matches = self._index.limits, self._counts, self.matches
        for ngram in self._tentative_hits:
            count = counts[ngram] = counts[ngram] - 1
            if count < limits[ngram]:
                matches[0 if isinstance(ngram, str) else len(ngram) - 1] -= 1

    def __deepcopy__(self, memo: Mapping[int, Any]) -> NgramMatcher:
        """An independent copy, made without walking the counts one by one."""
        copy = NgramMatcher(self._index)
        copy._counts = self._counts.copy()
        copy._history = self._history.copy()
        copy._tentative = self._tentative
        copy._tentative_hits = self._tentative_hits  # replaced, never changed
        copy.matches = self.matches.copy()
        return copy


class SubstringMatcher:
    """Like `NgramMatcher` for characters, all of them final.

    Attributes:
        matches: by length minus one, the clipped matches of the text so far.
        length: characters so far.
    """

    __slots__ = ("_counts", "_index", "_tail", "length", "matches")

    def __init__(self, index: NgramIndex) -> None:
        self._index = index
        self._counts: dict[str, int] = {}
        self._tail = ""  # the last characters, as many as a longer match can begin with
        self.length = 0
        self.matches = [0] * index.order

    def extend(self, characters: str) -> None:
        """Append characters."""
        text = self._tail + characters
        if len(characters) < _MANY_CHARACTERS:
            self._count_by_end(text, len(self._tail))
        else:
            self._count_by_length(text, len(self._tail))
        self._tail = text[max(len(text) - self._index.order + 1, 0) :]
        self.length += len(characters)

    def _count_by_end(self, text: str, known: int) -> None:
        """Count the substrings that end after `known`, one end at a time."""
        limits, counts, matches = self._index.limits, self._counts, self.matches
        order = self._index.order
        for end in range(known + 1, len(text) + 1):
            for depth, start in enumerate(range(end - 1, max(end - order, 0) - 1, -1)):
                substring = text[start:end]
                limit = limits.get(substring)
                if limit is None:
                    break
                count = counts.get(substring, 0)
                counts[substring] = count + 1
                if count < limit:
                    matches[depth] += 1

    def _count_by_length(self, text: str, known: int) -> None:
        """The same, one length at a time: cheaper if there are many."""
        limits, counts = self._index.limits, self._counts
        for n in range(1, self._index.order + 1):
            ends = range(max(known + 1, n), len(text) + 1)
            found = 0
            for substring, more in Counter([text[end - n : end] for end in ends]).items():
                limit = limits.get(substring)
                if limit is not None:
                    count = counts.get(substring, 0)
                    counts[substring] = count + more
                    left = limit - count
                    if left > 0:
                        found += more if more < left else left
            self.matches[n - 1] += found

    def __deepcopy__(self, memo: Mapping[int, Any]) -> SubstringMatcher:
        """An independent copy, made without walking the counts one by one."""
        copy = SubstringMatcher(self._index)
        copy._counts = self._counts.copy()
        copy._tail = self._tail
        copy.length = self.length
        copy.matches = self.matches.copy()
        return copy
