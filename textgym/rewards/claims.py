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

UNKNOWN_WORDS_PER_CLAIM = 2
"""How many words that say nothing known weigh as much as one false claim."""

RETRACTIONS = frozenset(
    _find_words(
        "false falsely untrue wrong incorrect lie lied lying nonsense fiction joke joking kidding "
        "none nothing"
    )
)
"""Words that take back what was said."""

DENIALS = RETRACTIONS | frozenset(
    _find_words(
        "not t cannot dont didnt doesnt isnt wasnt no nor neither never nobody untruth hardly "
        "scarcely nearly almost failed fails without unless if whether maybe perhaps possibly "
        "probably allegedly supposedly apparently either or might could denied deny denies "
        "denying disputed disputes doubt doubts doubted doubtful unlikely believe believes "
        "believed claim claims claimed pretend pretends think thinks thought guess suppose rumour "
        "rumoured myth mistake mistaken"
    )
)
"""Words of sentences that state nothing; "t" is the end of "didn't" where that is two words."""

TRUTH = frozenset(("true", "so", "real", "right", "correct", "happened", "believe", "believes"))
WHOLE = frozenset(("this", "these", "all", "above", "everything"))

EMPTY_WORDS = frozenset((*COPULAS, "a", "an", "the", "has", "have"))
"""Words that say nothing of how a subject and a value are related."""

OPENERS = frozenset(("in", "at", "by", "from", "on", "for", "since", "to", "as", "with"))
"""Prepositions that the end of a phrase may begin with when it opens the sentence."""

MAX_VALUE_WORDS = 4
"""The most words of a value that stands in the place of a triple's."""


def denies(words: Sequence[str]) -> bool:
    """Whether one of the words is a negation or a doubt."""
    return any(w.endswith("n't") or w in DENIALS for w in map(str.casefold, words))


def takes_back(words: Sequence[str], claims: bool) -> bool:
    """Whether a sentence takes back the whole text.

    "Wrong.", "Not so." and "None of it is true." do; a sentence that makes claims of its own takes
    back no more than these, unless it speaks of "all", "this" or the like.

    Args:
        words: The words of the sentence.
        claims: Whether it makes claims of its own.
    """
    found = {word.casefold() for word in words if word[0].isalnum()}
    if claims and WHOLE.isdisjoint(found):
        return False
    vague = len(found) <= 2 or not TRUTH.isdisjoint(found)
    return not RETRACTIONS.isdisjoint(found) or (vague and denies(words))


def split_sentences(text: str) -> list[list[str]]:
    """Return the words and marks of each sentence, with its question mark, without full stops."""
    sentences: list[list[str]] = [[]]
    for word in _find_words(text):
        if word == ".":
            sentences.append([])
        else:
            sentences[-1].append(word)
            if word == "?":
                sentences.append([])
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
        self._frames: set[tuple[Words, Words, Words, int, str]] = set()
        meanings: dict[tuple[Words, str], list[Any]] = {}
        for number, fact in enumerate(facts):
            for about, phrases in fact["phrases"].items():
                for phrase in phrases:
                    other = next((e for e in entities if e != about and e in phrase), "")
                    words = tuple(_find_words(phrase))
                    meaning = (number, about, other)
                    meanings.setdefault((words, PREDICATE), []).append(meaning)
                    if list(fact.get("triple", ()))[:1] == [about]:
                        self._add_frames(words, str(fact["triple"][2]), number, about)
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

    def _add_frames(self, words: Words, value: str, number: int, about: str) -> None:
        """Note what stands before and after the value in a phrase, where it says enough."""
        named = tuple(_find_words(value))
        at = max(_index(words, named), 0)
        after = words[at + len(named) :]
        for before in (words[:at], words[1:at] if words[0] in COPULAS else ()):
            if before and (after or not EMPTY_WORDS.issuperset(before)):
                self._frames.add((before, named, after, number, about))

    def contradicted(self, words: Sequence[str], start: int, about: set[str]) -> set[int]:
        """Return the facts of some subjects in which another value stands from a word on."""
        found = set()
        for before, named, after, number, subject in self._frames:
            value = start + len(before)
            if subject not in about or tuple(words[start:value]) != before:
                continue
            rest = words[value : value + MAX_VALUE_WORDS + max(len(named), len(after))]
            if len(rest) > len(after) and _index(rest[1:], after) >= 0 > _index(rest, named):
                found.add(number)
        return found

    def unmatched(self, words: Sequence[str]) -> list[str]:
        """Return the words that no pattern takes."""
        left, i = [], 0
        while i < len(words):
            pattern = self.find(words, i)
            if pattern is None:
                left.append(words[i])
            i += len(pattern.words) if pattern else 1
        return left

    def in_order(self, words: list[str]) -> list[str]:
        """Put the subject before a phrase that opens the sentence.

        "Born in A, B has C" becomes "B, born in A, has C", and "In 2008, B was published" becomes
        "B was published in 2008". A comma behind words of which none is known is left out.
        """
        comma = words.index(COMMA) if COMMA in words else 0
        named = self.find(words, comma + 1) if 0 < comma < len(words) - 1 else None
        if named is None or named.part not in (MENTION, PRONOUN):
            return words
        opener = [words[0][0].lower() + words[0][1:], *words[1:comma]]
        start = comma + 1 + len(named.words)
        first = self.find(opener, 0)
        if first is not None and first.part == MODIFIER:
            return [*named.words, COMMA, *opener, COMMA, *words[start:]]
        if opener[0] in OPENERS:
            for end in range(len(words), start, -1):
                phrase = [*words[start:end], *opener]
                found = self.find(phrase, 0)
                if found is not None and found.words == tuple(phrase):
                    return [*named.words, *phrase, *words[end:]]
        if len(self.unmatched(opener)) == comma:
            return [*opener, *words[comma + 1 :]]
        return words

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


def _index(words: Sequence[str], part: Words) -> int:
    """Return where a sequence of words begins in another, -1 where it does not."""
    starts = range(len(words) - len(part) + 1)
    return next((i for i in starts if tuple(words[i : i + len(part)]) == part), -1)


class Reading:
    """Reads a text sentence by sentence.

    Whom a phrase is about follows from its place: a finite phrase belongs to the sentence's
    subject or, in a relative clause, to the noun before "who" or "which", until a comma ends the
    clause; a phrase without its copula ("born in Velmar", "a doctor") belongs to the noun before
    the comma, or else to the subject of the phrase before it. A pronoun stands for the subject of
    the sentence before, if it can, or else for the entity mentioned last that it can stand for. A
    phrase that opens a sentence before "Name," is read as if it stood behind the name.

    A sentence with a negation or a doubt, or a question, states nothing. What a text denies, or
    says with another value, it does not state either, wherever else it says it; and a text that
    takes itself back ("All of this is false.") states nothing at all.

    Attributes:
        stated: The numbers of the facts that the text states.
        unsupported: How much else it claims: phrases about the wrong subject or in a sentence that
            states nothing, repetitions, names of which nothing is said and misplaced connectives
            count 1 each, a run of n other words max(1, n / 2).
    """

    def __init__(self, text: str, lexicon: Lexicon) -> None:
        self.stated: set[int] = set()
        self.unsupported = 0.0
        self._lexicon = lexicon
        self._topic = ""
        self._recent: list[str] = []
        self._denied: set[int] = set()
        retracted = False
        for words in split_sentences(text):
            ordered = lexicon.in_order(words)
            left = lexicon.unmatched(ordered)
            self._denies = denies(left)
            self._states = not self._denies and "?" not in left
            self._claims = False
            self._read(ordered)
            retracted |= self._denies and takes_back(left, self._claims)
        self.stated -= set(range(lexicon.num_facts)) if retracted else self._denied

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
                self._doubt(words, i)
                self._previous = UNKNOWN
                unknown += 1
            i += max(step, 1)
        self._blame(unknown)
        if not self._fits(END):
            self.unsupported += 1
        self._topic = self._subject

    def _doubt(self, words: list[str], i: int) -> None:
        """Note the facts that words which state nothing deny, or tell with another value."""
        about = {self._subject, self._clause, self._last, self._claimed}
        pattern = self._lexicon.find(words, i)
        if pattern is None:
            if self._states:
                self._denied |= self._lexicon.contradicted(words, i, about)
        elif self._denies and pattern.part in (PREDICATE, MODIFIER):
            self._denied |= {fact for fact, subject, _ in pattern.meanings if subject in about}
            self._claims = True

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
        facts = {fact for fact, _, _ in meant}
        new = facts - self.stated if self._states else set()
        self.stated |= new
        if self._denies:
            self._denied |= facts
        self._claims = True
        if not new:
            self.unsupported += 1
        self._claimed = about
        self._last = (meant or pattern.meanings)[0][2] or about
        self._note(self._last)
        self._previous = pattern.part
