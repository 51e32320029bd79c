"""Rewards for texts that do not say the same again: distinct n-grams, and fresh ones."""

from __future__ import annotations

import re
from collections.abc import Sequence

from textgym.rewards.base import ExampleLike, PerTextReward

_find_words = re.compile(r"\w+").findall


class Diversity(PerTextReward):
    r"""How many of a text's words and pairs of words are different, in [0, 1].

    The mean of distinct-1 and distinct-2 (Li et al. 2016, "A Diversity-Promoting Objective
    Function for Neural Conversation Models": the number of different n-grams over
    the number of words), each over what counts as diverse enough, capped at 1. Good prose
    repeats its articles and pronouns, so `enough` is below 1. Words are runs of ``\w``,
    case-folded; n-grams are counted over n-grams. A text below `min_words` words loses in
    proportion; an empty one scores 0.

    Args:
        enough: the distinct-1 and the distinct-2 that score 1, each in (0, 1].
        min_words: the words that a text needs for a full score, at least 1.

    Raises:
        ValueError: an argument is out of its range.
    """

    name = "diversity"

    def __init__(self, enough: tuple[float, float] = (0.6, 0.9), min_words: int = 6) -> None:
        if not all(0.0 < share <= 1.0 for share in enough):
            raise ValueError(f"diversity: the shares that are enough must be in (0, 1]: {enough}")
        self.enough = enough
        self.min_words = _checked_words(self.name, min_words)

    @property
    def signature(self) -> str:
        """The name and the options."""
        shares = ", ".join(f"distinct_{n}>={share}" for n, share in enumerate(self.enough, 1))
        return f"{self.name}({shares}, words>={self.min_words})"

    def score(self, text: str, example: ExampleLike) -> float:
        """The score of one text."""
        words = _words(text)
        shares = [
            min(1.0, _distinct(_ngrams(words, n)) / share) for n, share in enumerate(self.enough, 1)
        ]
        return sum(shares) / len(shares) * min(1.0, len(words) / self.min_words)


class NonRepetition(PerTextReward):
    r"""The share of a text's n-grams that are said for the first time, in [0, 1].

    An n-gram is fresh where it stood neither earlier in the text nor anywhere in the prompt.
    Words are runs of ``\w``, case-folded. A text below `min_words` words loses in proportion;
    one without an n-gram scores 0.

    Args:
        n: the words of an n-gram, at least 1.
        min_words: the words that a text needs for a full score, at least 1.

    Raises:
        ValueError: an argument is out of its range.
    """

    name = "non_repetition"

    def __init__(self, n: int = 3, min_words: int = 6) -> None:
        if n < 1:
            raise ValueError(f"non_repetition: n must be at least 1, got {n}")
        self.n = n
        self.min_words = _checked_words(self.name, min_words)

    @property
    def signature(self) -> str:
        """The name and the options."""
        return f"{self.name}(n={self.n}, words>={self.min_words})"

    def score(self, text: str, example: ExampleLike) -> float:
        """The score of one text."""
        words = _words(text)
        ngrams = _ngrams(words, self.n)
        if not ngrams:
            return 0.0
        fresh = set(ngrams).difference(_ngrams(_words(example.prompt), self.n))
        return len(fresh) / len(ngrams) * min(1.0, len(words) / self.min_words)


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _find_words(text)]


def _ngrams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return list(zip(*(words[i:] for i in range(n)), strict=False))


def _distinct(ngrams: Sequence[tuple[str, ...]]) -> float:
    return len(set(ngrams)) / len(ngrams) if ngrams else 0.0


def _checked_words(name: str, min_words: int) -> int:
    if min_words < 1:
        raise ValueError(f"{name}: min_words must be at least 1, got {min_words}")
    return min_words
