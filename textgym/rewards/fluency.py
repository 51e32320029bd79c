"""Rewards that ask for known language: which words of a text stand in a context seen before.

A bag of keywords, shuffled words or random tokens can please every reward that counts words. Here
a token counts as fluent where it forms a known pair with the token before it and with the token
after it, the first time it stands between these two. What is known is a bundled table of pairs,
made by `scripts/make_bigrams.py`, and the pairs of the example's own references.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from importlib import resources
from typing import NamedTuple

from textgym.rewards.base import ExampleLike, PerTextReward, RescoringStream, Stream
from textgym.rewards.constraints import Coverage
from textgym.rewards.sentiment import Sentiment

START, END, NAME, UNKNOWN = "^", "$", "*", "_"
"""Before the first token, after the last one; what a name stands for; an unfluent token."""

ENOUGH_WORDS = 6
"""How many tokens a text needs at least, for a full score."""

GENDERS = (frozenset({"she", "her", "hers", "herself"}), frozenset({"he", "him", "his", "himself"}))
"""The pronouns for a woman and for a man."""

_find_tokens = re.compile(r"\w+(?:'\w+)*|[^\w\s]").findall

Pair = tuple[str, str]


class Fluency(PerTextReward):
    """The share of a text's tokens that stand between words they are known to stand between.

    In [0, 1]. Tokens are words and punctuation marks as they are written; the beginning and the
    end of the text count as neighbours. A token is fluent where the table of pairs, or one of the
    example's references, holds it with its predecessor and with its successor, and where it has
    not stood between the same two before. A capitalised word
    inside a line of the prompt is a name, and all names are alike; other names are not known.
    Neither is "he" where the references have "she" alone, nor the reverse, in all their forms. A
    text of fewer than 6 tokens loses in proportion; an empty one scores 0.

    The table knows the English of the Story task alone, so other good English scores low; and a
    text of known pairs need not make sense as a whole.
    """

    name = "fluency"

    @property
    def signature(self) -> str:
        """The name and the size of the table."""
        return f"{self.name}(pairs={len(table())}, tokens>={ENOUGH_WORDS})"

    def score(self, text: str, example: ExampleLike) -> float:
        """The score of one text."""
        tokens = fluent_tokens(text, example)
        if not tokens:
            return 0.0
        fluent = sum(token != UNKNOWN for token in tokens)
        return fluent / len(tokens) * min(1.0, len(tokens) / ENOUGH_WORDS)


class FluentCoverage(Coverage):
    """The share of an example's keywords that the text uses fluently, in [0, 1].

    As the reward "coverage" with the keywords of ``metadata["keywords"]``, but a keyword counts
    only where it stands between words that it is known to stand between; see `Fluency`. So a list
    of the keywords covers none of them.
    """

    name = "fluent_coverage"

    @property
    def signature(self) -> str:
        """That of the coverage, and the size of the table."""
        return super().signature.replace("(", f"(pairs={len(table())}, ", 1)

    def score(self, text: str, example: ExampleLike) -> float:
        """The coverage by the text's fluent tokens, and its errors."""
        stream = super().stream(example)
        stream.append(" ".join(fluent_tokens(text, example)))
        return stream.score()

    def stream(self, example: ExampleLike) -> Stream:
        """Follow one text; it is scored anew as it changes."""
        self.keywords(example)  # refuses an example that has neither keywords nor a reference
        return RescoringStream(self, example)


class FluentSentiment(Sentiment):
    """How far the sentiment of a text's fluent words agrees with the one asked for, in [0, 1].

    As the reward "sentiment" with ``metadata["sentiment"]``, but only words count that stand
    between words that they are known to stand between; see `Fluency`.
    """

    name = "fluent_sentiment"

    @property
    def signature(self) -> str:
        """That of the sentiment, and the size of the table."""
        return super().signature.replace("(", f"(pairs={len(table())}, ", 1)

    def score(self, text: str, example: ExampleLike) -> float:
        """The sentiment's score of the text's fluent tokens, and its errors."""
        return super().score(" ".join(fluent_tokens(text, example)), example)


def fluent_tokens(text: str, example: ExampleLike) -> Sequence[str]:
    """The tokens of a text, with "_" in the place of each that is not fluent."""
    return _marked(text, example.prompt, tuple(example.references))


def pairs_of(text: str, names: frozenset[str]) -> Iterator[Pair]:
    """The pairs of neighbours of a text, its names alike, its beginning and end included."""
    tokens = [NAME if token in names else token for token in _find_tokens(text)]
    return zip([START, *tokens], [*tokens, END], strict=True)


def names_in(prompt: str) -> frozenset[str]:
    """The names of a prompt: the capitalised words that do not begin a line."""
    lines = (_find_tokens(line) for line in prompt.splitlines())
    return frozenset(token for line in lines for token in line[1:] if token[0].isupper())


@cache
def table() -> frozenset[Pair]:
    """The bundled pairs: each line of the file is a token and those that may follow it."""
    text = (resources.files("textgym") / "data" / "bigrams.txt").read_text(encoding="utf-8")
    lines = (line.split(" ") for line in text.splitlines() if not line.startswith("#"))
    return frozenset((first, second) for first, *followers in lines for second in followers)


@lru_cache(maxsize=256)
def _marked(text: str, prompt: str, references: tuple[str, ...]) -> tuple[str, ...]:
    example = _known_of(prompt, references)
    pairs = list(pairs_of(text, example.names))
    seen: set[tuple[Pair, Pair]] = set()
    marked = []
    for token, before, after in zip(_find_tokens(text), pairs, pairs[1:], strict=False):
        known = example.knows(before) and example.knows(after)
        new = (before, after) not in seen and token.casefold() not in example.foreign
        marked.append(token if known and new else UNKNOWN)
        seen.add((before, after))
    return tuple(marked)


class _Known(NamedTuple):
    """What an example tells: names, pairs of its references, pronouns of someone else."""

    names: frozenset[str]
    pairs: frozenset[Pair]
    foreign: frozenset[str]

    def knows(self, pair: Pair) -> bool:
        return pair in self.pairs or pair in table()


@lru_cache(maxsize=1024)
def _known_of(prompt: str, references: tuple[str, ...]) -> _Known:
    names = names_in(prompt)
    pairs = frozenset(pair for text in references for pair in pairs_of(text, names))
    words = {first.casefold() for first, _ in pairs}
    women, men = GENDERS
    foreign = frozenset[str]()
    if bool(words & women) != bool(words & men):
        foreign = men if words & women else women
    return _Known(names, pairs, foreign)
