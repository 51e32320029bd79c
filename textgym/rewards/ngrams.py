"""Clipped n-gram matches of a growing token sequence, kept exact at a constant cost a token.

The n-grams of the references are indexed once, in a trie that reads each n-gram backwards from
its last token. A new token then walks the trie along the tokens before it; the walk ends at the
first n-gram that no reference has, since no longer n-gram ending there can be in one either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

_Children = dict[str | None, "tuple[int, _Children]"]  # None: no token, never a key


class Matcher(Protocol):
    """Statistics of a token sequence whose last tokens may still change."""

    def advance(self, final: Sequence[str], tentative: Sequence[str]) -> None:
        """Replace the tentative tokens of the last call by `final` and then `tentative` ones."""


class NgramIndex:
    """The n-grams of one or several token sequences, with the most often one sequence has each.

    Args:
        sequences: the references' tokens.
        order: the longest n-gram.

    Attributes:
        root: the trie: last token -> (n-gram id, children by the token before).
        limits: by n-gram id, the largest number of times it occurs in one sequence.
        orders: by n-gram id, its length minus one.
    """

    __slots__ = ("limits", "order", "orders", "root")

    def __init__(self, sequences: Sequence[Sequence[str]], order: int) -> None:
        self.order = order
        self.root: _Children = {}
        self.limits: list[int] = []
        self.orders: list[int] = []
        for tokens in sequences:
            self._add(tokens)

    def _add(self, tokens: Sequence[str]) -> None:
        leaf: _Children = {}  # shared by all the longest n-grams, which have no children
        found: list[int] = []
        for end in range(len(tokens)):
            children = self.root
            for depth in range(min(self.order, end + 1)):
                token = tokens[end - depth]
                node = children.get(token)
                if node is None:
                    node = (len(self.limits), {} if depth + 1 < self.order else leaf)
                    children[token] = node
                    self.limits.append(0)
                    self.orders.append(depth)
                found.append(node[0])
                children = node[1]
        limits = self.limits
        for ngram, count in Counter(found).items():
            limits[ngram] = max(limits[ngram], count)

    def __deepcopy__(self, memo: Mapping[int, Any]) -> NgramIndex:
        """The index itself: it never changes, so copies of a stream share it."""
        return self


class NgramMatcher:
    """Counts how many n-grams of a growing sequence are in an index, clipped at its limits.

    Attributes:
        matches: by order minus one, the clipped matches of the tokens so far: the sum over the
            index's n-grams of min(count in the sequence, limit).
    """

    __slots__ = ("_history", "_index", "_left", "_tentative", "_tentative_hits", "matches")

    def __init__(self, index: NgramIndex) -> None:
        self._index = index
        self._left = index.limits.copy()  # how often each n-gram may still match
        self._history: list[str | None] = [None] * index.order
        self._tentative = 0
        self._tentative_hits: list[int] = []
        self.matches = [0] * index.order

    @property
    def length(self) -> int:
        """The number of tokens so far, the tentative ones included."""
        return len(self._history) - self._index.order

    def advance(self, final: Sequence[str], tentative: Sequence[str]) -> None:
        """Replace the tentative tokens of the last call by `final` and then `tentative` ones."""
        if self._tentative:
            self._retract()
        if final:
            self._count(final)
        if tentative:
            self._tentative = len(tentative)
            self._tentative_hits = self._count(tentative)

    def _count(self, tokens: Sequence[str]) -> list[int]:
        """Append tokens; returns the ids of the indexed n-grams that end in them."""
        left, history, matches = self._left, self._history, self.matches
        root = self._index.root
        hits = []
        for token in tokens:
            history.append(token)
            node = root.get(token)
            depth = 0
            while node is not None:
                ngram, children = node
                hits.append(ngram)
                remaining = left[ngram]
                left[ngram] = remaining - 1
                if remaining > 0:
                    matches[depth] += 1
                depth += 1
                node = children.get(history[-1 - depth])
        return hits

    def _retract(self) -> None:
        left, orders, matches = self._left, self._index.orders, self.matches
        for ngram in self._tentative_hits:
            remaining = left[ngram] = left[ngram] + 1
            if remaining > 0:
                matches[orders[ngram]] -= 1
        del self._history[-self._tentative :]
        self._tentative = 0
        self._tentative_hits = []

    def __deepcopy__(self, memo: Mapping[int, Any]) -> NgramMatcher:
        """An independent copy, made without walking the counts one by one."""
        copy = NgramMatcher(self._index)
        copy._left = self._left.copy()
        copy._history = self._history.copy()
        copy._tentative = self._tentative
        copy._tentative_hits = self._tentative_hits.copy()
        copy.matches = self.matches.copy()
        return copy
