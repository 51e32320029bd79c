"""A reward for the mood of a text, told by a lexicon of good and bad words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources

from textgym.rewards.base import ExampleLike, PerTextReward, Stream, references_of

MOODS = {"happy": 1.0, "neutral": 0.0, "sad": -1.0}
"""The sentiments that have a name."""

NEGATIONS = frozenset(
    "not no never neither nor without hardly nobody nothing cannot n't".split()  # noqa: SIM905
)
SCOPE = 2
"""How many words before a word of the lexicon may negate it, within a clause."""

ENOUGH_DISTINCT = 2
"""How many different words of the lexicon make a mood certain."""

ENOUGH_WORDS = 6
"""How many words a text needs at least, for a full score."""

DENSEST = 1 / 3
"""The largest share of words from the lexicon that a text can have without losing score."""

_find_tokens = re.compile(r"n't\b|\w+?(?=n't\b)|\w+|[^\w\s]").findall
_split_sentences = re.compile(r"(?<=[.!?])\s+").split


class Sentiment(PerTextReward):
    """How far the sentiment of a text agrees with the one asked for, in [0, 1].

    The sentiment asked for is ``example.metadata["sentiment"]``: "happy", "neutral", "sad" (or
    1, 0, -1), any number between, or a sequence of these for a mood that turns: the sentences
    are then divided into as many runs of nearly equal length, and the score is the runs' mean.
    Without it the sentiment of the first reference is asked for.

    A text with p different good and n different bad words has the sentiment
    v = (p - n) / max(p + n, 2), and scores max(0, 1 - |v - asked|). Forms of one word ("laugh",
    "laughed") count once; a negation in the same clause, at most two words before, turns a word
    round ("not a good day" is bad). A text of fewer than 6 words loses in proportion, and so
    does one with more than two words of the lexicon where these are more than a third of it, so
    that a pile of good words scores below a story. An empty text scores 0.

    The lexicon is small (about 370 words in all their forms) and knows neither irony nor
    context: the score is a proxy of the mood, not a judgement.
    """

    name = "sentiment"

    @property
    def signature(self) -> str:
        """The name and everything that bounds the score."""
        return (
            f"{self.name}(lexicon={len(lexicon())}, distinct={ENOUGH_DISTINCT}, "
            f"words>={ENOUGH_WORDS}, density<=1/3, negation={SCOPE})"
        )

    def score(self, text: str, example: ExampleLike) -> float:
        """The score of one text.

        Raises:
            ValueError: the sentiment asked for is none, or there is neither one nor a reference.
        """
        return self.agreement(text, self.asked(example))

    def stream(self, example: ExampleLike) -> Stream:
        """Follow one text; it is scored anew as it changes."""
        self.asked(example)
        return super().stream(example)

    def asked(self, example: ExampleLike) -> tuple[float, ...]:
        """The sentiments asked for, each in [-1, 1], one after the other.

        Raises:
            ValueError: as `score`.
        """
        asked = example.metadata.get("sentiment")
        if asked is None:
            return (valence(references_of(self.name, example)[0]),)
        listed = not isinstance(asked, str) and isinstance(asked, Sequence)
        moods = tuple(_number(mood) for mood in (asked if listed else [asked]))
        if not moods or None in moods:
            raise ValueError(
                f'reward {self.name!r}: metadata["sentiment"] must be one of '
                f"{', '.join(MOODS)}, a number in [-1, 1], or a sequence of these, not {asked!r}, "
                f"in the example with the prompt {example.prompt[:60]!r}"
            )
        return tuple(mood for mood in moods if mood is not None)

    def agreement(self, text: str, asked: Sequence[float]) -> float:
        """How far a text agrees with a row of sentiments, in [0, 1]."""
        if len(asked) == 1:
            return _agreement(text, asked[0])
        sentences = [sentence for sentence in _split_sentences(text) if sentence]
        count, runs = len(sentences), len(asked)
        total = 0.0
        for i, mood in enumerate(asked):
            run = sentences[i * count // runs : (i + 1) * count // runs]
            total += _agreement(" ".join(run), mood)
        return total / runs


def valence(text: str) -> float:
    """The sentiment of a text, from -1 (sad) to 1 (happy); 0 without a word of the lexicon."""
    good, bad = _opinions(_find_tokens(text.casefold()))[:2]
    return (len(good) - len(bad)) / max(len(good) + len(bad), ENOUGH_DISTINCT)


@cache
def lexicon() -> Mapping[str, tuple[int, int]]:
    """The bundled lexicon: form -> (number of the word, 1 for good or -1 for bad)."""
    text = (resources.files("textgym") / "data" / "sentiment.txt").read_text(encoding="utf-8")
    forms: dict[str, tuple[int, int]] = {}
    for number, line in enumerate(text.splitlines()):
        sign, *words = line.split()
        if sign != "#":
            forms.update((word, (number, 1 if sign == "+" else -1)) for word in words)
    return forms


def _agreement(text: str, asked: float) -> float:
    tokens: list[str] = _find_tokens(text.casefold())
    words = sum(token[0].isalnum() for token in tokens)
    if not words:
        return 0.0
    good, bad, hits = _opinions(tokens)
    sentiment = (len(good) - len(bad)) / max(len(good) + len(bad), ENOUGH_DISTINCT)
    long_enough = min(1.0, words / ENOUGH_WORDS)
    thin_enough = min(1.0, max(DENSEST * words, ENOUGH_DISTINCT) / hits) if hits else 1.0
    return max(0.0, 1.0 - abs(sentiment - asked)) * long_enough * thin_enough


def _opinions(tokens: Sequence[str]) -> tuple[set[int], set[int], int]:
    """The different good and bad words by number, negation heeded, and how many stand there."""
    known = lexicon()
    good: set[int] = set()
    bad: set[int] = set()
    hits, negated = 0, 0
    for token in tokens:
        if token in NEGATIONS:
            negated = SCOPE
            continue
        if token == "but" or not (token[0].isalnum() or token[0] == "'"):
            negated = 0  # a new clause
            continue
        if token in known:
            number, sign = known[token]
            hits += 1
            (good if (sign > 0) != (negated > 0) else bad).add(number)
        negated -= negated > 0
    return good, bad, hits


def _number(mood: object) -> float | None:
    """A sentiment as a number, or None for what is no sentiment."""
    if isinstance(mood, str):
        return MOODS.get(mood)
    if isinstance(mood, bool) or not isinstance(mood, int | float):
        return None
    return float(mood) if -1.0 <= mood <= 1.0 else None
