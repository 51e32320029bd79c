"""Sentences of one clause: statements, questions, predicates, positions."""

from __future__ import annotations

from dataclasses import dataclass

from textgym.tasks.english import make_verb, with_article
from textgym.tasks.translation.clause import Clause
from textgym.tasks.translation.composer import BE, FRAMES, TENSES, Composer, plain_frame
from textgym.tasks.translation.lexicon import (
    Adjective,
    Saying,
    Words,
    government,
    load_lexicon,
)
from textgym.tasks.translation.phrases import (
    FIRST,
    WE,
    Described,
    NounPhrase,
    Phrase,
    Pronoun,
)
from textgym.tasks.translation.sentence import Sentence
from textgym.tasks.translation.style import Style
from textgym.tasks.translation.wording import Wording
from textgym.tasks.translation.writer import Writer

DEGREES = (
    Words("very", ("sehr",)),
    Words("really", ("wirklich",)),
    Words("too", ("zu",)),
    Words("quite", ("ziemlich",), ("rather",)),
)
ABSOLUTE = frozenset(
    ("black", "white", "brown", "grey", "red", "blue", "green", "yellow", "broken", "empty")
)
"""Adjectives without degrees."""
POSITIONED = {
    name: plain_frame(BE.verb, government(text), "preterite", (Saying(verb, "", ""),))
    for name, text, verb in (
        ("lay", "liegen", make_verb("lie", "lay", "lain")),
        ("stand", "stehen", make_verb("stand", "stood", "stood")),
    )
}
DESCRIBED = tuple(noun for noun in load_lexicon().nouns if noun.adjectives)
QUESTIONS = {"place": ("where", "wo"), "time": ("when", "wann"), "reason": ("why", "warum")}


@dataclass(frozen=True, slots=True)
class Predicate:
    """What somebody or something is: an adjective, with a degree or not."""

    adjective: Adjective
    degree: Words | None = None

    @property
    def english(self) -> str:
        """The English words."""
        word = self.adjective.english
        return word if self.degree is None else f"{self.degree.english} {word}"

    def in_english(self, wording: Wording) -> str:
        """Return the English words in a wording."""
        word = self.adjective.in_english(wording)
        return word if self.degree is None else f"{self.degree.in_english(wording)} {word}"

    def german(self, style: Style) -> str:
        """Return the adjective as it stands alone."""
        alone = self.adjective.alone
        word = alone[style.word % len(alone)]
        return word if self.degree is None else f"{self.degree.german(style)} {word}"


def statement(writer: Writer) -> Sentence:
    """Return a statement about what somebody does."""
    composer = Composer(writer)
    frame = writer.pick(FRAMES)
    tense = writer.pick(TENSES[id(frame)])
    adverbials = 1 if writer.level == "easy" else 3
    clause = composer.clause(frame, tense, adverbials=adverbials, negation=0.2)
    return Sentence(clause.english, clause.statement, (clause,))


def question(writer: Writer) -> Sentence:
    """Return a question: yes or no, or where, when, why and who."""
    composer = Composer(writer)
    frame = writer.pick(FRAMES)
    tense = writer.pick([t for t in TENSES[id(frame)] if t != "like"])
    who = frame.people_act and writer.chance(0.15)
    subject: NounPhrase = Pronoun("who") if who else writer.subject(frame)
    if not who and subject.person in (FIRST, WE):
        subject = writer.person_noun(None, None)
    adverbials = 1 if writer.level == "easy" else 2
    clause = composer.clause(frame, tense, subject=subject, adverbials=adverbials)
    clause.time_first = False
    if clause.modal is not None and clause.modal.auxiliary == "would like to":
        clause.modal = None
        clause.tense = "future"
    if who:
        return Sentence(clause.english, clause.statement, (clause,), "?", orders=1)
    english, word = _asked(writer, clause)
    clause.dated = dates(english, clause.tense)

    def in_english(wording: Wording) -> str:
        return clause.english(wording, inverted=True, question=english)

    def german_question(style: Style) -> str:
        return clause.verb_first(style, before=word)

    return Sentence(in_english, german_question, (clause,), "?", orders=2)


def dates(question: str, tense: str) -> bool:
    """Say whether a question word says that the clause is about a time of its own."""
    return (question in ("when", "where") and tense == "past") or (
        question == "when" and tense == "future"
    )


def _asked(writer: Writer, clause: Clause) -> tuple[str, str]:
    """Return the question words, "" for yes or no; what is asked for leaves the clause."""
    roll = writer.unit()
    placed = clause.place is not None or bool(clause.frame.places)
    if roll < 0.2 and placed and clause.goal is None and clause.tense != "perfect":
        clause.place = None
        return QUESTIONS["place"]
    if roll < 0.4 and clause.tense in ("past", "future", "modal") and clause.adverb is None:
        clause.time = None
        return QUESTIONS["time"]
    if roll < 0.55 and clause.tense != "perfect":
        return QUESTIONS["reason"]
    return "", ""


def predicate(writer: Writer) -> Sentence:
    """Return a statement about what somebody or something is like."""
    noun = writer.pick(DESCRIBED)
    if noun.sex:
        subject: NounPhrase = writer.person_noun((noun,), None, indefinite=False)
    else:
        plural = bool(noun.plural) and writer.chance(0.3)
        owned = noun.kind in ("cloth", "vehicle", "furn", "device", "instr", "food")
        determiner = writer.owner(None) if owned and writer.chance(0.5) else "the"
        subject = Described(noun, determiner, plural=plural)
        writer.noted(Words("", ("",) * len(noun.german)))
        writer.addressed = writer.addressed or determiner == "your"
    choices = [a for a in noun.adjectives if not _contradicts(subject, a)]
    adjective = writer.pick(choices)
    graded = adjective.english not in ABSOLUTE and writer.chance(0.75)
    goal = Predicate(adjective, writer.pick(DEGREES) if graded else None)
    writer.noted(Words("", goal.adjective.alone))
    return _being(writer, subject, goal)


def _contradicts(subject: NounPhrase, adjective: Adjective) -> bool:
    return isinstance(subject, Described) and subject.adjective is adjective


def position(writer: Writer) -> Sentence:
    """Return a statement about where something lies or stands."""
    kind = writer.pick(("lay", "stand"))
    noun = writer.pick(writer.lexicon.tagged[kind])
    plural = writer.chance(0.25)
    determiner = writer.pick(("the", "the", "my", "your", "his", "her", "our"))
    subject = writer.describe(noun, determiner, plural=plural)
    where = writer.position(noun, moving=False)
    if "lay" in noun.tags:
        kind = "lay"
    clause = Clause(subject, POSITIONED[kind], writer.pick(("present", "past")), goal=where)
    if writer.chance(0.25):
        clause.negation = "not"
    return Sentence(clause.english, clause.statement, (clause,))


def profession(writer: Writer) -> Sentence:
    """Return a statement about what somebody does for a living."""
    person = writer.person_noun(None, None, indefinite=False)
    while person.noun.kind != "kin" or person.plural:
        person = writer.person_noun(None, None, indefinite=False)
    person = Described(person.noun, person.determiner)
    jobs = [
        noun
        for noun in writer.lexicon.tagged["person"]
        if noun.sex == person.noun.sex and not noun.tags & {"friend", "royal", "nojob"}
    ]
    noun = writer.pick(jobs)
    german_words = tuple(variant.forms[0][0] for variant in noun.german)
    also = tuple(with_article(singular) for singular, _ in noun.also)
    job = writer.noted(Words(Described(noun, "a").object, german_words, also))
    return _being(writer, person, job)


def _being(writer: Writer, subject: NounPhrase, goal: Phrase) -> Sentence:
    clause = Clause(subject, BE, "past" if writer.chance(0.4) else "present", goal=goal)
    if isinstance(goal, Predicate) and writer.chance(0.2):
        clause.negation = "not"
    return Sentence(clause.english, clause.statement, (clause,))
