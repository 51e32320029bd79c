"""What rewards that compare with references share: a cache of prepared references, a stream.

The stream rests on one observation: only the last few tokens of a text can still change when
more text comes. A `Split` says which tokens are final, which are tentative, and what text must
be looked at again; the matchers take back the tentative tokens and go on.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from textgym.rewards.base import ExampleLike, PerTextReward, Stream, references_of
from textgym.rewards.ngrams import Matcher

Split = Callable[[str], tuple[Sequence[str], Sequence[str], str]]
"""Unfinished text -> (final tokens, tentative tokens, the text the tentative ones came from)."""

Prepared = TypeVar("Prepared")

CACHED_CHARACTERS = 65_536
"""References of about this many characters are kept prepared (for chrF some 0.7 KB each)."""


class ReferenceReward(PerTextReward, Generic[Prepared]):
    """A reward that prepares an example's references once and scores many texts against them."""

    def __init__(self) -> None:
        self._cache: OrderedDict[tuple[str, ...], Prepared] = OrderedDict()
        self._cached_characters = 0

    @abstractmethod
    def prepare(self, references: tuple[str, ...]) -> Prepared:
        """Whatever scoring needs to know of the references; never changed afterwards."""

    def prepared(self, example: ExampleLike) -> Prepared:
        """The example's references, prepared; the least recently used ones are forgotten.

        Raises:
            ValueError: the example has no reference.
        """
        references = references_of(self.name, example)
        known = self._cache.get(references)
        if known is not None:
            self._cache.move_to_end(references)
            return known
        fresh = self._cache[references] = self.prepare(references)
        self._cached_characters += sum(map(len, references))
        while self._cached_characters > CACHED_CHARACTERS and len(self._cache) > 1:
            forgotten, _ = self._cache.popitem(last=False)
            self._cached_characters -= sum(map(len, forgotten))
        return fresh

    def score(self, text: str, example: ExampleLike) -> float:
        """The score of one finished text, in [0, 1].

        Raises:
            ValueError: the example has no reference.
        """
        stream = self.stream(example)
        stream.append(text)
        return stream.score()

    def __getstate__(self) -> dict[str, Any]:
        """The options without the cache, which a copy can fill again."""
        return {**self.__dict__, "_cache": OrderedDict(), "_cached_characters": 0}


class TokenStream(Stream):
    """Feeds a growing text's tokens to matchers, taking back the tokens that have changed.

    Args:
        split: tells final tokens from tentative ones.
        matchers: what to feed; a subclass computes the score from their statistics.
    """

    def __init__(self, split: Split, matchers: Sequence[Matcher]) -> None:
        self._split = split
        self._matchers = matchers
        self._unread = ""
        self._stale = True
        self._score = 0.0

    def append(self, text: str) -> None:
        """Extend the text so far; the work is done when a score is asked for."""
        if text:
            self._unread += text
            self._stale = True

    def score(self) -> float:
        """The score of the text so far."""
        if self._stale:
            final, tentative, self._unread = self._split(self._unread)
            for matcher in self._matchers:
                matcher.advance(final, tentative)
            self._score = self._compute()
            self._stale = False
        return self._score

    @abstractmethod
    def _compute(self) -> float:
        """The score from the matchers' statistics."""


def split_words(text: str) -> tuple[list[str], list[str], str]:
    """Words between whitespace: the final ones, the unfinished one, and that one as text."""
    words = text.split()
    if not words or text[-1].isspace():
        return words, [], ""
    last = words[-1]
    del words[-1]
    return words, [last], last
