"""The reward of a summary: are the key facts there, and nothing that is made up?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from textgym.rewards.base import ExampleLike, PerTextReward, references_of
from textgym.rewards.claims import denies, takes_back

_find_words = re.compile(r"\d+(?:[-.,:]\d+)*|[^\W\d_]+").findall
_find_sentences = re.compile(r"(.+?)([.!?]+(?:\s|$)|$)", re.DOTALL).findall

MAX_GAP = 4
"""The most words between two steps of a way to say something."""

BLOCKERS = frozenset(("by", "than"))
"""Words that turn the sense around, so that they may not stand between two steps."""

NUMBER_WORDS = frozenset(
    _find_words(
        "zero two three four five six seven eight nine ten eleven twelve dozen hundred noon "
        "midnight"
    )
)

Step = Sequence[str]
Way = Sequence[Step]


class KeyFacts(PerTextReward):
    """How many of an example's key facts a text states, less what it gets wrong, in [0, 1].

    The score is ``max(0, facts stated - facts denied - unsupported values) / facts``. A text of
    more words than the longest reference gets less of it, and none from twice that length on;
    words that neither the prompt nor a reference nor a way to say a fact has count double.

    ``example.metadata["key_facts"]`` is a list of mappings with the lists "says" and "denies" of
    ways to say the fact or its contrary. A way is a list of steps, a step a list of phrases that
    are as good as each other. A text says something in a way if one of its sentences has a
    phrase of each step, in this order, with at most four words between two steps. In between, no
    word may turn the sense around ("by", "than"), and no other candidate may stand: a number
    before a step that is a number, or one of the example's values before any other step. So
    "Norton and Kelby beat Corby" does not say that Norton beat Corby. A question states nothing. A
    sentence with a negation or a doubt ("not", "never", "perhaps", "or") states nothing either and
    denies what it would say without; if it says no fact but takes the text back ("All of this is
    false."), nothing is stated.

    ``example.metadata["values"]`` holds the names and things, single words in lower case, that
    a text may be wrong about. Each of them in the text, and each number, is unsupported unless
    it belongs to a way to say a key fact. Case does not matter.
    """

    name = "key_facts"

    @property
    def signature(self) -> str:
        """The name and how facts are found."""
        return f"{self.name}(gap={MAX_GAP}, case=folded, longer=penalised, denials=read)"

    def score(self, text: str, example: ExampleLike) -> float:
        """The score of one text.

        Raises:
            ValueError: the example has no key facts, no values or no reference.
        """
        facts = self._metadata(example, "key_facts", "a list of facts with ways to say them")
        values = _folded(tuple(self._metadata(example, "values", "a list of lower-case words")))
        told = [
            (_find_words(body), "?" in body + end) for body, end in _find_sentences(text.casefold())
        ]
        sentences = [words for words, _ in told]
        negated = [words for words in sentences if denies(words)]
        plain = [words for words, asked in told if not asked and not denies(words)]
        for words in negated:
            claims = any(_said([words], fact["says"], values) for fact in facts)
            if takes_back(words, claims):
                return 0.0
        stated = sum(_said(plain, fact["says"], values) for fact in facts)
        denied = sum(
            _said(sentences, fact["denies"], values) or _said(negated, fact["says"], values)
            for fact in facts
        )
        supported = {
            word
            for fact in facts
            for way in fact["says"]
            for step in way
            for phrase in step
            for word in _words(phrase)
        }
        unsupported = sum(
            word not in supported and (word in values or _is_number(word))
            for sentence in sentences
            for word in sentence
        )
        right = max(0, stated - denied - unsupported) / len(facts)
        known, longest = _world(example.prompt, references_of(self.name, example))
        strange = sum(
            word not in known and word not in supported for words in sentences for word in words
        )
        length = sum(map(len, sentences)) + strange
        return right * min(1.0, max(0.0, 2.0 - length / longest))

    def _metadata(self, example: ExampleLike, key: str, what: str) -> Sequence[Any]:
        found = example.metadata.get(key)
        if not found:
            raise ValueError(
                f"reward {self.name!r} needs metadata[{key!r}], {what}, in the example with the "
                f"prompt {example.prompt[:60]!r}, whose metadata has {sorted(example.metadata)}"
            )
        result: Sequence[Any] = found
        return result


def _said(sentences: Sequence[Sequence[str]], ways: Sequence[Way], values: frozenset[str]) -> bool:
    """Whether a sentence says something in one of the ways."""
    for way in ways:
        heads = [_words(phrase)[0] for phrase in way[0]]
        for words in sentences:
            for start, word in enumerate(words):
                if word in heads and _follows(words, start, way, values, 0):
                    return True
    return False


def _follows(words: Sequence[str], start: int, way: Way, values: frozenset[str], gap: int) -> bool:
    """Whether the steps of a way come one after another from `start`, after `gap` words at most."""
    if not way:
        return True
    number = _is_number(_words(way[0][0])[0])
    for at in range(start, min(start + gap + 1, len(words))):
        for phrase in way[0]:
            end = at + len(_words(phrase))
            if tuple(words[at:end]) == _words(phrase) and _follows(
                words, end, way[1:], values, MAX_GAP
            ):
                return True
        word = words[at]
        if word in BLOCKERS or (_is_number(word) if number else word in values):
            return False
    return False


def _is_number(word: str) -> bool:
    return word[0].isdigit() or word in NUMBER_WORDS


@lru_cache(maxsize=4096)
def _words(phrase: str) -> tuple[str, ...]:
    return tuple(_find_words(phrase.casefold()))


@lru_cache(maxsize=1024)
def _world(prompt: str, references: tuple[str, ...]) -> tuple[frozenset[str], int]:
    """Return the words of the prompt and the references, and the longest reference's length."""
    told = [_find_words(each.casefold()) for each in references]
    words = frozenset(_find_words(prompt.casefold())).union(*told)
    return words, max(map(len, told))


@lru_cache(maxsize=16)
def _folded(values: tuple[str, ...]) -> frozenset[str]:
    return frozenset(value.casefold() for value in values)
