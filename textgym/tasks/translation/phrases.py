"""Noun phrases and prepositional phrases in both languages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from textgym.tasks import english
from textgym.tasks.translation import german
from textgym.tasks.translation.german import CONTRACTIONS, DETERMINERS, PLURAL, PRONOUNS
from textgym.tasks.translation.lexicon import Adjective, Noun, Words
from textgym.tasks.translation.style import Style
from textgym.tasks.translation.wording import Wording

FIRST, SECOND, THIRD, WE, THEY = range(5)
"""Grammatical persons, as the verb tables count them."""

OBJECT_PRONOUNS = {
    "I": "me",
    "he": "him",
    "she": "her",
    "we": "us",
    "they": "them",
}
POSSESSIVES = {"I": "my", "you": "your", "he": "his", "she": "her", "we": "our", "they": "their"}
SWAPPED = {"her": "their", "their": "her"}
"""The possessives that German "ihr" may be."""
DETERMINERS_ALSO = {"many": "a lot of", "some": "several"}
PREPOSITIONS_ALSO = {"next to": "beside"}


class Phrase(Protocol):
    """Anything that has an English and, in every style, a German wording."""

    @property
    def english(self) -> str:
        """The English words."""

    def german(self, style: Style) -> str:
        """Return the German words in a style."""

    def in_english(self, wording: Wording) -> str:
        """Return the English words in a wording."""


class NounPhrase:
    """A subject or an object: the base class of pronouns, names and nouns.

    Attributes:
        person: FIRST to THEY.
        subject: The English words as a subject.
        object: The English words as an object.
        definite: Whether the phrase names something known.
        is_pronoun: Whether German puts it before everything else.
    """

    __slots__ = ("definite", "is_pronoun", "object", "person", "subject")

    def __init__(
        self, person: int, subject: str, obj: str, *, definite: bool, is_pronoun: bool
    ) -> None:
        self.person = person
        self.subject = subject
        self.object = obj
        self.definite = definite
        self.is_pronoun = is_pronoun

    def german(self, case: int, style: Style, *, negated: bool = False) -> str:
        """Return the German words in a case; `negated` asks for "kein"."""
        raise NotImplementedError

    def core(self) -> NounPhrase:
        """Return the phrase without what describes it after the noun."""
        return self

    def in_english(self, wording: Wording, *, subject: bool = False) -> str:
        """Return the English words in a wording, as a subject or an object."""
        return self.subject if subject else self.object


class Pronoun(NounPhrase):
    """A personal pronoun that stands for a person."""

    __slots__ = ("key",)

    def __init__(self, key: str) -> None:
        person = {"I": FIRST, "you": SECOND, "we": WE, "they": THEY}.get(key, THIRD)
        obj = OBJECT_PRONOUNS.get(key, key)
        super().__init__(person, key, obj, definite=True, is_pronoun=True)
        self.key = key

    def german(self, case: int, style: Style, *, negated: bool = False) -> str:
        """Return the pronoun in a case."""
        key = ("du", "Sie")[style.address] if self.key == "you" else self.key
        return PRONOUNS[key][case]


class ThingPronoun(NounPhrase):
    """The pronoun "it" or "they" for a noun; German takes the noun's gender."""

    __slots__ = ("noun",)

    def __init__(self, noun: Noun, plural: bool) -> None:
        person, words = (THEY, ("they", "them")) if plural else (THIRD, ("it", "it"))
        super().__init__(person, *words, definite=True, is_pronoun=True)
        self.noun = noun

    def german(self, case: int, style: Style, *, negated: bool = False) -> str:
        """Return er, sie or es in a case."""
        if self.person == THEY:
            return german.THINGS[PLURAL][case]
        return german.THINGS[self.noun.german[style.word % len(self.noun.german)].gender][case]


class Name(NounPhrase):
    """A proper name."""

    __slots__ = ("alternatives", "sex", "words")

    def __init__(self, words: Words, sex: str) -> None:
        super().__init__(THIRD, words.english, words.english, definite=True, is_pronoun=False)
        self.words = words
        self.alternatives = words.alternatives
        self.sex = sex

    def in_english(self, wording: Wording, *, subject: bool = False) -> str:
        """Return the name, "Ms" for "Mrs" in other words."""
        return self.words.in_english(wording)

    def german(self, case: int, style: Style, *, negated: bool = False) -> str:
        """Return the name; "Herr" is declined."""
        name = self.alternatives[0]
        if case != german.NOMINATIVE and name.startswith("Herr "):
            return "Herrn" + name[4:]
        return name


@dataclass(frozen=True, slots=True)
class Count:
    """A number before a noun."""

    english: str
    german: str


class Described(NounPhrase):
    """A noun with its determiner, and maybe a number and an adjective.

    Args:
        noun: The noun.
        determiner: "the", "a", "this", "my" to "their", "many", "some" or "" for none.
        plural: Whether the phrase is plural.
        adjective: An adjective that fits the noun.
        count: A number; the phrase must be plural.
    """

    __slots__ = ("adjective", "count", "determiner", "noun", "plural")

    def __init__(
        self,
        noun: Noun,
        determiner: str = "the",
        *,
        plural: bool = False,
        adjective: Adjective | None = None,
        count: Count | None = None,
    ) -> None:
        self.noun = noun
        self.determiner = determiner
        self.plural = plural
        self.adjective = adjective
        self.count = count
        words = noun.plural if plural else noun.english
        if adjective is not None:
            words = f"{adjective.english} {words}"
        if count is not None:
            words = f"{count.english} {words}"
        words = self._determined(determiner, words)
        indefinite = determiner in ("a", "", "many", "some")
        person = THEY if plural else THIRD
        super().__init__(person, words, words, definite=not indefinite, is_pronoun=False)

    def _determined(self, determiner: str, words: str) -> str:
        if determiner == "a":
            return english.with_article(words)
        if determiner == "this" and self.plural:
            determiner = "these"
        return f"{determiner} {words}" if determiner else words

    def _english(self, wording: Wording) -> str:
        words = self.noun.in_english(wording, self.plural)
        if self.adjective is not None:
            words = f"{self.adjective.in_english(wording)} {words}"
        if self.count is not None:
            words = f"{self.count.english} {words}"
        determiner = self.determiner
        if wording.swapped:
            determiner = SWAPPED.get(determiner, determiner)
        elif wording.word:
            determiner = DETERMINERS_ALSO.get(determiner, determiner)
        return self._determined(determiner, words)

    def in_english(self, wording: Wording, *, subject: bool = False) -> str:
        """Return the English words; `subject` makes no difference."""
        return self._english(wording) if wording.word or wording.swapped else self.subject

    def german(self, case: int, style: Style, *, negated: bool = False) -> str:
        """Return the phrase in a case; `negated` replaces its determiner by "kein"."""
        noun = self.noun.german[style.word % len(self.noun.german)]
        gender = PLURAL if self.plural else noun.gender
        key = "no" if negated else self.determiner
        if key == "your":
            key = ("du", "Sie")[style.address]
        determiner = DETERMINERS[key]
        words = determiner.forms[gender][case]
        if words:
            words += " "
        if self.count is not None:
            words += self.count.german + " "
        if self.adjective is not None:
            stems = self.adjective.stems
            stem = stems[style.word % len(stems)]
            words += stem + determiner.endings[gender][case] + " "
        return words + noun.forms[self.plural][case]


def negatable(phrase: NounPhrase) -> bool:
    """Say whether German negates a phrase with "kein"."""
    return isinstance(phrase, Described) and phrase.determiner in ("a", "") and not phrase.count


@dataclass(frozen=True, slots=True)
class PrepositionalPhrase:
    """A preposition and its noun phrase: where, where to, with whom."""

    prepositions: tuple[str, str]
    inner: NounPhrase
    case: int

    @property
    def english(self) -> str:
        """The English words."""
        return f"{self.prepositions[0]} {self.inner.object}"

    def in_english(self, wording: Wording) -> str:
        """Return the English words in a wording."""
        preposition = self.prepositions[0]
        if wording.word:
            preposition = PREPOSITIONS_ALSO.get(preposition, preposition)
        return f"{preposition} {self.inner.in_english(wording)}"

    def german(self, style: Style) -> str:
        """Return the German words, the article joined to the preposition where it must be."""
        return join_preposition(self.prepositions[1], self.inner, self.case, style)


def join_preposition(preposition: str, inner: NounPhrase, case: int, style: Style) -> str:
    """Return preposition and noun phrase, contracted where German contracts (im, zum, ans)."""
    words = f"{preposition} {inner.german(case, style)}"
    if isinstance(inner, Described) and inner.determiner == "the":
        article_end = words.index(" ", len(preposition) + 1)
        short = CONTRACTIONS.get(words[:article_end])
        if short is not None:
            return short + words[article_end:]
    return words


def own_possessive(subject: NounPhrase) -> str:
    """Return the possessive that points back to a subject, "" where the languages differ."""
    pronoun = coreferent(subject)
    return POSSESSIVES.get(pronoun.key, "") if isinstance(pronoun, Pronoun) else ""


def coreferent(subject: NounPhrase) -> NounPhrase | None:
    """Return the pronoun for a subject; None for a girl or a child, where the languages differ."""
    if isinstance(subject, (Pronoun, ThingPronoun)):
        return subject
    if isinstance(subject, Name):
        return Pronoun("he" if subject.sex == "m" else "she")
    if not isinstance(subject, Described):
        return None
    if subject.noun.sex and subject.plural:
        return Pronoun("they")
    if not subject.noun.sex:
        return ThingPronoun(subject.noun, subject.plural)
    if subject.noun.kind == "child" and subject.noun.sex != "m":
        return None
    return Pronoun("he" if subject.noun.sex == "m" else "she")
