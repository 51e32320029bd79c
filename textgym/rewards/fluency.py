"""Rewards that ask for known language: which words of a text stand in a context seen before.

A bag of keywords, shuffled words or random tokens can please every reward that counts words. Here
a token counts as fluent where every trigram around it is known, the first time it stands between
these neighbours, and in full only where its whole clause is known too: a walk from one known
trigram to the next is fluent by halves. What is known is a bundled table, made by
`scripts/make_trigrams.py`, and the example's own references. Both hold phrases like "a small key"
as one symbol of the noun's class.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib import resources
from itertools import pairwise
from typing import NamedTuple

from textgym.rewards.base import ExampleLike, PerTextReward, RescoringStream, Stream
from textgym.rewards.constraints import Coverage
from textgym.rewards.sentiment import Sentiment

START, NEXT, END, NAME, UNKNOWN = "^", "&", "$", "*", "_"
"""Before a text's first sentence, before another sentence, after each; a name; what is unfluent."""

ENOUGH_WORDS = 6
"""How many tokens a text needs at least, for a full score."""

GENDERS = (frozenset({"she", "her", "hers", "herself"}), frozenset({"he", "him", "his", "himself"}))
"""The pronouns for a woman and for a man."""

DAYS = frozenset("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split())  # noqa: SIM905
"""Capitalised words that name nobody."""

OPENERS = frozenset({"but", "then", "soon"})
"""Words before a sentence's first clause that are no part of it."""

_find_tokens = re.compile(r"\w+(?:'\w+)*|[^\w\s]").findall

Symbols = tuple[str, ...]
Trigram = tuple[str, str, str]


class Fluency(PerTextReward):
    """The share of a text's tokens that stand in known trigrams and in known clauses.

    In [0, 1]: the mean of two shares. Tokens are words and punctuation marks as they are written.
    A noun of the Story task, with an article, "her" or "his" and an adjective that suits it, is
    one symbol that all nouns of its class share; so is a capitalised word inside a line of the
    prompt, a name. Other names are not known. A token is fluent where the table, or one of the
    example's references, holds every trigram of symbols that it is part of, up to three, and
    where the same five symbols have not stood together before; a sentence's beginning and end
    count as neighbours. For the second share its clause, from one comma to the next, must also be
    known as a whole. "He" is not fluent where the references have "she" alone, nor the reverse,
    in all their forms. A text of fewer than 6 tokens loses in proportion; an empty one scores 0.

    The table knows the English of the Story task alone, so other good English scores low; and a
    text of known clauses need not make sense as a whole.
    """

    name = "fluency"

    @property
    def signature(self) -> str:
        """The name and the size of the table."""
        return f"{self.name}({_size()}, tokens>={ENOUGH_WORDS})"

    def score(self, text: str, example: ExampleLike) -> float:
        """The score of one text."""
        tokens, whole = _graded(text, example)
        if not tokens:
            return 0.0
        fluent = sum(token != UNKNOWN for token in (*tokens, *whole)) / 2
        return fluent / len(tokens) * min(1.0, len(tokens) / ENOUGH_WORDS)


class FluentCoverage(Coverage):
    """The share of an example's keywords that the text uses fluently, in [0, 1].

    As the reward "coverage" with the keywords of ``metadata["keywords"]``, but a keyword counts
    half where it stands in known trigrams, and in full where its clause is known too; see
    `Fluency`. So a list of the keywords covers none of them.
    """

    name = "fluent_coverage"

    @property
    def signature(self) -> str:
        """That of the coverage, and the size of the table."""
        return super().signature.replace("(", f"({_size()}, ", 1)

    def score(self, text: str, example: ExampleLike) -> float:
        """The coverage by the text's fluent tokens, and its errors."""
        return sum(self._covered(tokens, example) for tokens in _graded(text, example)) / 2

    def _covered(self, tokens: Sequence[str], example: ExampleLike) -> float:
        stream = super().stream(example)
        stream.append(" ".join(tokens))
        return stream.score()

    def stream(self, example: ExampleLike) -> Stream:
        """Follow one text; it is scored anew as it changes."""
        self.keywords(example)  # refuses an example that has neither keywords nor a reference
        return RescoringStream(self, example)


class FluentSentiment(Sentiment):
    """How far the sentiment of a text's fluent words agrees with the one asked for, in [0, 1].

    As the reward "sentiment" with ``metadata["sentiment"]``, but the mean of two: that of the
    words in known trigrams alone, and that of the words in known clauses alone; see `Fluency`.
    """

    name = "fluent_sentiment"

    @property
    def signature(self) -> str:
        """That of the sentiment, and the size of the table."""
        return super().signature.replace("(", f"({_size()}, ", 1)

    def score(self, text: str, example: ExampleLike) -> float:
        """The sentiment's score of the text's fluent tokens, and its errors."""
        graded = _graded(text, example)
        return sum(super(FluentSentiment, self).score(" ".join(t), example) for t in graded) / 2


def fluent_tokens(text: str, example: ExampleLike, *, whole_clauses: bool = False) -> Sequence[str]:
    """The tokens of a text, with "_" in the place of each that is not fluent.

    Args:
        text: The text.
        example: Its prompt and references tell names, pronouns and more known language.
        whole_clauses: Whether a token must also stand in a clause that is known as a whole.
    """
    return _graded(text, example)[whole_clauses]


def names_in(prompt: str) -> frozenset[str]:
    """The names of a prompt: the capitalised words that do not begin a line, but no days."""
    lines = (_find_tokens(line) for line in prompt.splitlines())
    found = frozenset(token for line in lines for token in line[1:] if token[0].isupper())
    return found - DAYS


class Sentence(NamedTuple):
    """A sentence as symbols, each with the tokens that it stands for.

    Attributes:
        before: "^" for the first sentence of a text, "&" for another.
        symbols: Words, marks, names as "*", and phrases with a noun like "a:food" or "her:toy".
        tokens: What each symbol stands for.
    """

    before: str
    symbols: Symbols
    tokens: tuple[tuple[str, ...], ...]

    def trigrams(self) -> Iterator[Trigram]:
        """The trigrams of the padded sentence, one a symbol: the symbol is in the middle."""
        padded = (self.before, *self.symbols, END)
        return zip(padded, padded[1:], padded[2:], strict=False)

    def clauses(self) -> Iterator[tuple[Symbols, int]]:
        """The clauses, case-folded, without commas and openers; and how many symbols each takes."""
        ends = [i + 1 for i, symbol in enumerate(self.symbols) if symbol in (",", ".")]
        for start, end in pairwise(dict.fromkeys([0, *ends, len(self.symbols)])):
            clause = tuple(symbol.casefold() for symbol in self.symbols[start:end])
            first = 0
            while start == 0 and first < len(clause) and clause[first] in OPENERS:
                first += 1
            last = len(clause) - (clause[-1] in (",", "."))
            yield clause[first:last], end - start


def sentences_of(text: str, names: frozenset[str], nouns: Mapping[str, str]) -> Iterator[Sentence]:
    """Cut a text into sentences of symbols.

    Args:
        text: The text.
        names: The names; all are alike.
        nouns: The class of each noun ("key") and of each phrase that has it ("a small key").
    """
    before, symbols, spans = START, list[str](), list[tuple[str, ...]]()
    tokens = _find_tokens(text)
    i = 0
    while i < len(tokens):
        symbol, length = _symbol(tokens, i, names, nouns)
        symbols.append(symbol)
        spans.append(tuple(tokens[i : i + length]))
        i += length
        if symbol == "." or i == len(tokens):
            yield Sentence(before, tuple(symbols), tuple(spans))
            before, symbols, spans = NEXT, [], []


def _symbol(
    tokens: Sequence[str], i: int, names: frozenset[str], nouns: Mapping[str, str]
) -> tuple[str, int]:
    """The symbol at a position, and how many tokens it takes."""
    token = tokens[i]
    if token in names:
        return NAME, 1
    folded = token[0].lower() + token[1:]
    if folded in ("a", "an"):
        for length in (3, 2):
            kind = nouns.get(" ".join([folded, *tokens[i + 1 : i + length]]))
            if kind:
                return f"{token[0]}:{kind}", length
    elif folded in ("the", "her", "his") and tokens[i + 1 : i + 2]:
        kind = nouns.get(tokens[i + 1])
        if kind:
            return f"{token}:{kind}", 2
    return nouns.get(token, token), 1


class Language(NamedTuple):
    """What is known: classes of nouns and of their phrases, trigrams and clauses of symbols."""

    nouns: Mapping[str, str]
    trigrams: frozenset[Trigram]
    clauses: frozenset[Symbols]


@cache
def table() -> Language:
    """The bundled language.

    A line of the file is one of these: "@", a class, a noun and its phrases, between tabs; "="
    and a clause; two symbols and those that may follow them.
    """
    text = (resources.files("textgym") / "data" / "trigrams.txt").read_text(encoding="utf-8")
    nouns: dict[str, str] = {}
    trigrams, clauses = set[Trigram](), set[Symbols]()
    for line in text.splitlines():
        if line.startswith("@"):
            _, kind, *phrases = line.split("\t")
            nouns.update(dict.fromkeys(phrases, kind))
        elif line.startswith("= "):
            clauses.add(tuple(line.split(" ")[1:]))
        elif not line.startswith("#"):
            first, second, *followers = line.split(" ")
            trigrams.update((first, second, third) for third in followers)
    return Language(nouns, frozenset(trigrams), frozenset(clauses))


def _size() -> str:
    return f"trigrams={len(table().trigrams)}, clauses={len(table().clauses)}"


Tokens = tuple[str, ...]


def _graded(text: str, example: ExampleLike) -> tuple[Tokens, Tokens]:
    """The marked tokens, by trigrams alone and by clauses too."""
    return _marked(text, example.prompt, tuple(example.references))


@lru_cache(maxsize=256)
def _marked(text: str, prompt: str, references: tuple[str, ...]) -> tuple[Tokens, Tokens]:
    example = _known_of(prompt, references)
    seen: set[tuple[str, ...]] = set()
    fluent, whole = list[str](), list[str]()
    for sentence in sentences_of(text, example.names, table().nouns):
        known = [example.knows(trigram) for trigram in sentence.trigrams()]
        padded = (END, sentence.before, *sentence.symbols, END, NEXT)
        in_clause = list(example.in_clauses(sentence))
        for i, tokens in enumerate(sentence.tokens):
            window = padded[i : i + 5]
            new = window not in seen
            seen.add(window)
            ours = not example.foreign & {token.casefold() for token in tokens}
            good = new and ours and all(known[max(i - 1, 0) : i + 2])
            fluent += tokens if good else [UNKNOWN] * len(tokens)
            whole += tokens if good and in_clause[i] else [UNKNOWN] * len(tokens)
    return tuple(fluent), tuple(whole)


class _Known(NamedTuple):
    """What an example tells: names, language of its references, pronouns of someone else."""

    names: frozenset[str]
    trigrams: frozenset[Trigram]
    clauses: frozenset[Symbols]
    foreign: frozenset[str]

    def knows(self, trigram: Trigram) -> bool:
        return trigram in table().trigrams or trigram in self.trigrams

    def in_clauses(self, sentence: Sentence) -> Iterator[bool]:
        """Whether each symbol stands in a clause that is known as a whole."""
        for clause, length in sentence.clauses():
            known = clause in table().clauses or clause in self.clauses
            yield from [known] * length


@lru_cache(maxsize=1024)
def _known_of(prompt: str, references: Iterable[str]) -> _Known:
    names = names_in(prompt)
    sentences = [s for text in references for s in sentences_of(text, names, table().nouns)]
    trigrams = frozenset(trigram for s in sentences for trigram in s.trigrams())
    clauses = frozenset(clause for s in sentences for clause, _ in s.clauses())
    words = {word.casefold() for s in sentences for tokens in s.tokens for word in tokens}
    women, men = GENDERS
    foreign = frozenset[str]()
    if bool(words & women) != bool(words & men):
        foreign = men if words & women else women
    return _Known(names, trigrams, clauses, foreign)
