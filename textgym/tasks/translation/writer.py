"""Draws words and phrases: the choices of one example, from one random generator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from textgym.tasks.base import Elsewhere, Fits
from textgym.tasks.draws import Draws
from textgym.tasks.translation import numbers
from textgym.tasks.translation.german import ACCUSATIVE, DATIVE, NOMINATIVE
from textgym.tasks.translation.lexicon import Adjective, Frame, Noun, Place, Words, load_lexicon
from textgym.tasks.translation.phrases import (
    THEY,
    WE,
    Count,
    Described,
    Name,
    NounPhrase,
    Phrase,
    PrepositionalPhrase,
    Pronoun,
    own_possessive,
)
from textgym.tasks.translation.style import STYLES

ADJECTIVES = {"easy": 0.0, "medium": 0.42, "hard": 0.15}
"""The chance that a noun gets an adjective, by level."""

MAX_VERBS = 5
"""How many verbs are tried for one subject: with more, verbs of many uses would be too rare."""

OWNED_KINDS = frozenset(["cloth", "vehicle", "thing", "device", "instr", "food", "drink", "kin"])
OWNED_TAGS = frozenset(["friend", "boss", "pet", "owned", "seat", "owned_place", "written", "top"])
OWNERS = ("my", "my", "your", "his", "her", "our", "their")
POSITIONS = {
    "lay": (("on", "auf"), ("on", "auf"), ("next to", "neben"), ("under", "unter")),
    "stand": (("on", "auf"), ("on", "auf"), ("next to", "neben"), ("behind", "hinter")),
}


class Writer(Draws):
    """Draws phrases for one example; remembers which choices of style the example offers.

    Args:
        rng: The example's generator.
        level: "easy", "medium" or "hard".
        to_english: Whether German is the source: then no German pronoun is to be ambiguous.
        fits: Whether a key belongs to the split wanted.

    Attributes:
        key: What decides the split: a subject and its verb, in the language of the prompt; ""
            until they are drawn.
        topic: What else in the sentence is to decide the split, if a pattern says so.
        frames: The kind of verb that the sentence is about, () until it is drawn.
        addressed: Whether somebody is addressed, so that "du" and "Sie" differ.
        synonyms: Whether a word has synonyms.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        level: str,
        *,
        to_english: bool = False,
        fits: Fits = lambda key: True,
    ) -> None:
        super().__init__(rng)
        self.level = level
        self.to_english = to_english
        self.lexicon = load_lexicon()
        self.restart()
        self._adjectives = ADJECTIVES[level]
        self._fits = fits

    def restart(self) -> None:
        """Begin another sentence."""
        self.frames: Sequence[Frame] = ()
        self.retry()

    def retry(self) -> None:
        """Begin another sentence of the same kind."""
        self.key = self.topic = ""
        self.addressed = False
        self.synonyms = False

    def said(self, phrase: Phrase | NounPhrase) -> str:
        """Return a phrase in the language of the prompt, a noun phrase as a subject."""
        if isinstance(phrase, NounPhrase):
            return phrase.german(NOMINATIVE, STYLES[0]) if self.to_english else phrase.subject
        return phrase.german(STYLES[0]) if self.to_english else phrase.english

    def settle(self, subject: NounPhrase, frame: Frame, among: Sequence[Frame] = ()) -> Frame:
        """Let the first clause that asks for it decide the split of the sentence.

        Args:
            subject: The clause's subject.
            frame: Its verb.
            among: Verbs to choose one from that fits, among those whose subject may be anyone.

        Returns:
            The verb, or another one that fits.

        Raises:
            Elsewhere: If the sentence is not in the split wanted.
        """
        if self.key:
            return frame
        who = self.said(subject)
        for _ in range(MAX_VERBS):
            if self.to_english:
                verb = frame.german[0].verb.infinitive
            else:
                verb = f"{frame.verb.base} {frame.particle} {frame.preposition}"
            self.key = f"{who} {verb} {self.topic}"
            if self._fits(self.key):
                return frame
            if not among:
                break
            frame = self.pick(among)
            while not frame.anyone:
                frame = self.pick(among)
        raise Elsewhere

    # --- noun phrases

    def words(self, key: str) -> Words:
        """Return one of the adverbs, bare objects or names of a key."""
        return self.noted(self.pick(self.lexicon.adverbs[key]))

    def noted(self, words: Words) -> Words:
        """Return the words and remember whether they have synonyms."""
        self.synonyms = self.synonyms or len(words.alternatives) > 1
        return words

    def describe(
        self,
        noun: Noun,
        determiner: str = "the",
        *,
        plural: bool = False,
        count: Count | None = None,
        adjectives: float | None = None,
    ) -> Described:
        """Return the noun with a determiner and, by chance, an adjective that fits it."""
        adjective: Adjective | None = None
        if noun.adjectives and self.chance(self._adjectives if adjectives is None else adjectives):
            adjective = self.pick(noun.adjectives)
        many = len(noun.german) > 1 or (adjective is not None and len(adjective.stems) > 1)
        self.synonyms = self.synonyms or many
        self.addressed = self.addressed or determiner == "your"
        return Described(noun, determiner, plural=plural, adjective=adjective, count=count)

    def name(self) -> Name:
        """Return a proper name."""
        male = self.chance(0.5)
        names = self.lexicon.adverbs["male" if male else "female"]
        return Name(self.pick(names), "m" if male else "f")

    def pronoun(self) -> Pronoun:
        """Return a personal pronoun."""
        key = self.pick(("I", "you", "he", "she", "we", "they"))
        self.addressed = self.addressed or key == "you"
        return Pronoun(key)

    def person(self, *, avoid: NounPhrase | None = None, indefinite: bool = True) -> NounPhrase:
        """Return a person: a name, or a noun with its article."""
        if self.chance(0.25) and not isinstance(avoid, Name):
            return self.name()
        return self.person_noun(None, avoid, indefinite=indefinite)

    def companion(self, subject: NounPhrase) -> NounPhrase:
        """Return somebody to do things with: a relative, a friend, somebody with a name."""
        if self.chance(0.3) and not isinstance(subject, Name):
            return self.name()
        nouns = self.lexicon.tagged["kin" if self.chance(0.5) else "friend"]
        noun = self.other(nouns, subject)
        plural = self.chance(0.2) and "parent" not in noun.tags
        return self.describe(noun, self.owner(subject), plural=plural)

    def person_noun(
        self, nouns: Sequence[Noun] | None, avoid: NounPhrase | None, *, indefinite: bool = True
    ) -> Described:
        """Return a noun for a person; relatives and friends are mostly somebody's."""
        tagged = self.lexicon.tagged
        if nouns is None:
            roll = self.unit()
            nouns = tagged["kin" if roll < 0.25 else "child" if roll < 0.35 else "person"]
        noun = self.other(nouns, avoid)
        plural = self.chance(0.2)
        roll = self.unit()
        if noun.kind == "kin" or (noun.tags & OWNED_TAGS and roll < 0.5):
            return self.describe(
                noun, self.owner(avoid), plural=plural and "parent" not in noun.tags
            )
        if roll < 0.2 and indefinite and "royal" not in noun.tags:
            return self.describe(
                noun, self.pick(("some", "many")) if plural else "a", plural=plural
            )
        if roll > 0.96:
            return self.describe(noun, "this", plural=plural)
        return self.describe(noun, plural=plural)

    def other(self, nouns: Sequence[Noun], avoid: NounPhrase | None) -> Noun:
        """Return one of the nouns, not the one to avoid."""
        noun = self.pick(nouns)
        while isinstance(avoid, Described) and noun is avoid.noun and len(nouns) > 1:
            noun = self.pick(nouns)
        return noun

    def owner(self, subject: NounPhrase | None, *, own: bool = False) -> str:
        """Return a possessive: mostly the subject's own, always so if `own`."""
        possessive = own_possessive(subject) if subject is not None else ""
        if possessive and (own or self.chance(0.7)):
            return possessive
        if own:
            return "the"
        if subject is not None and subject.person == 2:
            return self.pick(("my", "my", "our", "your"))
        chosen = self.pick(OWNERS)
        # German has one word for "her" and "their", and would mean the subject's own by it.
        return (
            possessive if self.to_english and (possessive, chosen) == ("their", "her") else chosen
        )

    def subject(self, frame: Frame, *, avoid: NounPhrase | None = None) -> NounPhrase:
        """Return a subject that can do what the frame says."""
        if frame.anyone or (frame.people_act and self.chance(0.85)):
            if self.chance(0.18):
                return self.pronoun()
            return self.person(avoid=avoid)
        nouns = frame.subjects
        if frame.people_act:
            nouns = tuple(n for n in nouns if n.kind == "animal")
        noun = self.other(nouns, avoid)
        if noun.sex:
            return self.person_noun((noun,), avoid)
        plural = bool(noun.plural) and self.chance(0.25)
        owned = noun.kind in OWNED_KINDS or bool(noun.tags & OWNED_TAGS)
        roll = self.unit()
        if owned and roll < 0.35:
            return self.describe(noun, self.pick(OWNERS), plural=plural)
        if roll > 0.9 and noun.kind == "animal":
            return self.describe(
                noun, self.pick(("some", "many")) if plural else "a", plural=plural
            )
        return self.describe(noun, plural=plural)

    def object(self, frame: Frame, subject: NounPhrase, manner: str) -> NounPhrase | Words | None:
        """Return an object of the frame, or None if it takes none.

        Args:
            frame: The frame.
            subject: The subject, whose own things the object may be.
            manner: "plain"; "bare" for a kind of thing, "known" for one thing, in habits.
        """
        tags = frame.object_tags
        if not tags:
            return None
        if tags[0].startswith("$"):
            return self._special(tags[0])
        if tags == ("P",):
            return self.receiver(subject)
        noun = self.other(frame.objects, subject)
        while "womens" in noun.tags and own_possessive(subject) not in ("her", ""):
            noun = self.other(frame.objects, subject)
        if noun.sex:
            return self.person_noun((noun,), subject, indefinite=manner == "plain")
        return self._thing(noun, frame, subject, manner)

    def receiver(self, subject: NounPhrase) -> NounPhrase:
        """Return a person who is given or told something."""
        if self.chance(0.3):
            options = ["me", "us", "you", "him", "her", "them"]
            if subject.person in (0, 3):
                options = ["you", "him", "her", "them"]
            elif subject.person == 1:
                options = ["me", "us", "him", "her", "them"]
            key = self.pick(options)
            self.addressed = self.addressed or key == "you"
            return Pronoun(
                {"me": "I", "us": "we", "him": "he", "her": "she", "them": "they"}.get(key, key)
            )
        return self.person(avoid=subject, indefinite=False)

    def _special(self, tag: str) -> Words:
        if tag == "$price":
            n = self.between(2, 99)
            return Words(
                f"{numbers.english_number(n)} euros", (f"{numbers.german_number(n)} Euro",)
            )
        return self.words(tag[1:])

    def _thing(self, noun: Noun, frame: Frame, subject: NounPhrase, manner: str) -> Described:
        owned = noun.kind in OWNED_KINDS or bool(noun.tags & OWNED_TAGS)
        flags = frame.flags
        if noun.kind == "place":
            return self.describe(noun, self.owner(subject) if owned and self.chance(0.4) else "the")
        if manner == "bare":
            return self.describe(noun, "", plural=bool(noun.plural))
        if "one" in flags:
            return self.describe(noun, "a" if self.chance(0.3) else "the")
        if "own" in flags:
            determiner = self.owner(subject, own=True) if owned else "the"
            several = noun.kind == "cloth" and subject.person in (WE, THEY)
            return self.describe(noun, determiner, plural=several or self.chance(0.05))
        if "def" in flags:
            mine = owned and self.chance(0.25)
            plural = bool(noun.plural) and self.chance(0.25)
            return self.describe(noun, self.owner(subject) if mine else "the", plural=plural)
        if "indef" in flags and not self.chance(0.2):
            return self.describe(noun, "a")
        if noun.plural and (self._may_count(noun) or "indef" in flags):
            return self.describe(noun, "", plural=True, count=self._count("m" in flags))
        roll = self.unit()
        if manner == "known":
            mine = owned and "np" not in flags and roll < 0.4
            return self.describe(noun, self.owner(subject) if mine else "the")
        plural = bool(noun.plural) and self.chance(0.25)
        if roll < 0.38:
            return self.describe(noun, "a" if noun.plural and not plural else "", plural=plural)
        if owned and roll < 0.62 and "np" not in flags:
            return self.describe(noun, self.owner(subject), plural=plural)
        if roll > 0.95:
            return self.describe(noun, "this", plural=plural)
        return self.describe(noun, plural=plural)

    def _may_count(self, noun: Noun) -> bool:
        countable = noun.kind in ("food", "thing", "text", "cloth", "plant", "word")
        return countable and self.level != "easy" and self.chance(0.14)

    def _count(self, many: bool) -> Count:
        n = self.between(2, 99) if many and self.chance(0.4) else self.between(2, 9)
        if n > 12 and self.chance(0.4):
            return Count(str(n), str(n))
        return Count(numbers.english_number(n), numbers.german_number(n))

    # --- places

    def at(self, places: Sequence[Place], subject: NounPhrase) -> PrepositionalPhrase:
        """Return where something happens."""
        place = self.pick(places)
        return PrepositionalPhrase(place.at, self.place_noun(place, subject), DATIVE)

    def to(self, places: Sequence[Place], subject: NounPhrase) -> PrepositionalPhrase:
        """Return where somebody goes."""
        place = self.pick(places)
        return PrepositionalPhrase(place.to, self.place_noun(place, subject), place.to_case)

    def place_noun(self, place: Place, subject: NounPhrase) -> Described:
        """Return a place with its article; one's own garden may be one's own."""
        roll = self.unit()
        adjectives = self._adjectives * 0.4
        if "owned_place" in place.noun.tags and roll < 0.2:
            return self.describe(place.noun, self.owner(subject), adjectives=adjectives)
        if roll > 0.9 and place.noun.adjectives and self.level != "easy":
            return self.describe(place.noun, "a", adjectives=1.0)
        return self.describe(place.noun, adjectives=adjectives)

    def town(self, to: bool) -> PrepositionalPhrase:
        """Return "in Vienna" or "to Vienna"."""
        words = self.words("town")
        prepositions = ("to", "nach") if to else ("in", "in")
        return PrepositionalPhrase(prepositions, Name(words, ""), DATIVE)

    def position(self, thing: Noun, moving: bool) -> PrepositionalPhrase:
        """Return where a thing lies, stands or hangs, or where it is put."""
        case = ACCUSATIVE if moving else DATIVE
        tagged = self.lexicon.tagged
        if "lay" in thing.tags or "stand" in thing.tags:
            kind = "lay" if "lay" in thing.tags else "stand"
            where = self.describe(self.pick(tagged["top"]))
            return PrepositionalPhrase(self.pick(POSITIONS[kind]), where, case)
        return self.inside(case)

    def hook(self, thing: Noun) -> PrepositionalPhrase:
        """Return where a thing is hung: a picture on the wall, a coat in the cupboard."""
        if thing.kind == "cloth":
            closet = self.lexicon.tagged["closet"][0]
            return PrepositionalPhrase(("in", "in"), self.describe(closet), ACCUSATIVE)
        wall = self.lexicon.tagged["wall"][0]
        return PrepositionalPhrase(("on", "an"), self.describe(wall), ACCUSATIVE)

    def inside(self, case: int) -> PrepositionalPhrase:
        """Return "in the box" or "into the box", as the case says."""
        container = self.describe(self.pick(self.lexicon.tagged["inside"]))
        return PrepositionalPhrase(("into" if case == ACCUSATIVE else "in", "in"), container, case)
