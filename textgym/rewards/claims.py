"""What a text claims: reads controlled English as statements about named entities."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Words = tuple[str, ...]

_find_words = re.compile(r"\d+(?:,\d{3})+|\w+(?:['-]\w+)*|[^\w\s]").findall
COPULAS = ("is", "was", "are", "were")
RELATIVES = ("who", "which")

PREDICATE, MODIFIER, MENTION, PRONOUN = "predicate", "modifier", "mention", "pronoun"
RELATIVE, COMMA, AND, UNKNOWN, START, END = "relative", ",", "and", "unknown", "start", "end"

FOLLOWS: dict[str, frozenset[str]] = {
    PREDICATE: frozenset((MENTION, RELATIVE, COMMA, AND)),
    MODIFIER: frozenset((PREDICATE, MODIFIER, COMMA, AND)),
    MENTION: frozenset((START, AND)),
    RELATIVE: frozenset((PREDICATE, MODIFIER, MENTION, COMMA)),
    COMMA: frozenset((PREDICATE, MODIFIER, MENTION)),
    AND: frozenset((PREDICATE, MODIFIER, COMMA)),
    END: frozenset((PREDICATE, MODIFIER)),
}
"""What each part of a sentence may stand directly after. Names and connectives may also follow
unknown words; phrases may not, since "was never born" is not "was born"."""

UNKNOWN_WORDS_PER_CLAIM = 4
"""How many words that say nothing known weigh as much as one false claim."""


def split_sentences(text: str) -> list[list[str]]:
    """Return the words and punctuation marks of each sentence, without the full stops."""
    sentences: list[list[str]] = [[]]
    for word in _find_words(text):
        if word == ".":
            sentences.append([])
        else:
            sentences[-1].append(word)
    return sentences if sentences[-1] else sentences[:-1]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A sequence of words that means something.

    Attributes:
        words: The words.
        part: PREDICATE, MODIFIER, MENTION or PRONOUN.
        meanings: Of a predicate or modifier: (number of the fact, its subject here, the other
            entity among its words, or ""); of a mention or pronoun: the entities it may stand
            for.
    """

    words: Words
    part: str
    meanings: tuple[Any, ...]


class Lexicon:
    """The patterns of one example's facts.

    Args:
        facts: Each a mapping with "phrases": from the name of an entity to the phrases that
            state the fact when that entity is their subject.
        entities: By name, each a mapping with "pronouns" (what may stand for it, such as "she" or
            "the company") and "relative" ("who" or "which").

    Attributes:
        num_facts: How many facts there are.
        relatives: The relative pronoun of each entity.
    """

    def __init__(
        self, facts: Sequence[Mapping[str, Any]], entities: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self.num_facts = len(facts)
        self.relatives = {name: str(entity["relative"]) for name, entity in entities.items()}
        meanings: dict[tuple[Words, str], list[Any]] = {}
        for number, fact in enumerate(facts):
            for about, phrases in fact["phrases"].items():
                for phrase in phrases:
                    other = next((e for e in entities if e != about and e in phrase), "")
                    words = tuple(_find_words(phrase))
                    meaning = (number, about, other)
                    meanings.setdefault((words, PREDICATE), []).append(meaning)
                    if words[0] in COPULAS:
                        meanings.setdefault((words[1:], MODIFIER), []).append(meaning)
        for name, entity in entities.items():
            meanings.setdefault((tuple(_find_words(name)), MENTION), []).append(name)
            for pronoun in entity["pronouns"]:
                meanings.setdefault((tuple(_find_words(pronoun)), PRONOUN), []).append(name)
        self._by_first_word: dict[str, list[Pattern]] = {}
        for (words, part), meant in sorted(meanings.items(), key=lambda item: -len(item[0][0])):
            pattern = Pattern(words, part, tuple(meant))
            self._by_first_word.setdefault(words[0], []).append(pattern)

    def find(self, words: Sequence[str], start: int) -> Pattern | None:
        """Return the longest pattern that begins at a word; a sentence's first word is capital."""
        first = words[start]
        candidates = self._by_first_word.get(first, ())
        if start == 0:
            lower = first[0].lower() + first[1:]
            pronouns = self._by_first_word.get(lower, ()) if lower != first else ()
            candidates = (*candidates, *(p for p in pronouns if p.part == PRONOUN))
        for pattern in candidates:
            end = start + len(pattern.words)
            if tuple(words[start + 1 : end]) == pattern.words[1:]:
                return pattern
        return None


class Reading:
    """Reads a text sentence by sentence.

    Whom a phrase is about follows from its place: a finite phrase belongs to the sentence's
    subject or, in a relative clause, to the noun before "who" or "which", until a comma ends the
    clause; a phrase without its copula ("born in Velmar", "a doctor") belongs to the noun before
    the comma, or else to the subject of the phrase before it. A pronoun stands for the subject of
    the sentence before, if it can, or else for the entity mentioned last that it can stand for.

    Attributes:
        stated: The numbers of the facts that the text states.
        unsupported: How much else it claims: phrases about the wrong subject, repetitions, names
            of which nothing is said and misplaced connectives count 1 each, a run of n other
            words max(1, n / 4).
    """

    def __init__(self, text: str, lexicon: Lexicon) -> None:
        self.stated: set[int] = set()
        self.unsupported = 0.0
        self._lexicon = lexicon
        self._topic = ""
        self._recent: list[str] = []
        for words in split_sentences(text):
            self._read(words)

    def _read(self, words: list[str]) -> None:
        self._previous = START
        self._subject = self._clause = self._last = self._claimed = ""
        unknown = 0
        i = 0
        while i < len(words):
            step = self._step(words, i)
            if step:
                self._blame(unknown)
                unknown = 0
            else:
                self._previous = UNKNOWN
                unknown += 1
            i += max(step, 1)
        self._blame(unknown)
        if not self._fits(END):
            self.unsupported += 1
        self._topic = self._subject

    def _blame(self, unknown: int) -> None:
        if unknown:
            self.unsupported += max(1.0, unknown / UNKNOWN_WORDS_PER_CLAIM)

    def _fits(self, part: str) -> bool:
        if self._previous == UNKNOWN:
            return part not in (PREDICATE, MODIFIER)
        return self._previous in FOLLOWS[part]

    def _step(self, words: list[str], i: int) -> int:
        """Read what begins at a word; return how many words it takes, 0 where it is unknown."""
        word = words[i]
        if word in (COMMA, AND, *RELATIVES):
            return self._connect(word)
        pattern = self._lexicon.find(words, i)
        if pattern is None:
            return 0
        if pattern.part in (MENTION, PRONOUN):
            if not self._fits(MENTION):
                return 0
            self._mention(pattern)
        else:
            if not self._fits(pattern.part):
                return 0
            self._claim(pattern)
        return len(pattern.words)

    def _connect(self, word: str) -> int:
        part = RELATIVE if word in RELATIVES else word
        if not self._fits(part):
            return 0
        if part == RELATIVE:
            if self._lexicon.relatives.get(self._last) != word:
                return 0
            self._clause = self._last
        elif part == COMMA:
            self._clause = self._subject
        self._previous = part
        return 1

    def _mention(self, pattern: Pattern) -> None:
        name = pattern.meanings[0] if pattern.part == MENTION else self._antecedent(pattern)
        self._subject = self._clause = self._last = self._claimed = name
        self._note(name)
        self._previous = MENTION

    def _antecedent(self, pattern: Pattern) -> str:
        if self._topic in pattern.meanings:
            return self._topic
        return next((name for name in self._recent if name in pattern.meanings), "")

    def _note(self, name: str) -> None:
        """Put an entity before all others that were mentioned."""
        if name in self._recent:
            self._recent.remove(name)
        self._recent.insert(0, name)

    def _claim(self, pattern: Pattern) -> None:
        about = self._clause
        if pattern.part == MODIFIER:
            about = self._last if self._previous == COMMA else self._claimed
            subjects = [subject for _, subject, _ in pattern.meanings]
            if self._previous == COMMA and about not in subjects:
                about = self._subject
        meant = [meaning for meaning in pattern.meanings if meaning[1] == about]
        new = {fact for fact, _, _ in meant} - self.stated
        self.stated |= new
        if not new:
            self.unsupported += 1
        self._claimed = about
        self._last = (meant or pattern.meanings)[0][2] or about
        self._note(self._last)
        self._previous = pattern.part
