"""Sentences of one clause: statements, questions, predicates, positions."""

from __future__ import annotations

from dataclasses import dataclass

from textgym.tasks.english import make_verb, with_article
from textgym.tasks.translation.clause import Clause
from textgym.tasks.translation.composer import (
    ANYONE,
    BE,
    FRAMES,
    OTHERS,
    TENSES,
    Composer,
    plain_frame,
)
from textgym.tasks.translation.lexicon import (
    Adjective,
    Frame,
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
ASKED = {key: tuple(tense for tense in tenses if tense != "like") for key, tenses in TENSES.items()}
DESCRIBED = tuple(noun for noun in load_lexicon().nouns if noun.adjectives)
JOBS = {
    sex: tuple(
        noun
        for noun in load_lexicon().tagged["person"]
        if noun.sex == sex and not noun.tags & {"friend", "royal", "nojob"}
    )
    for sex in "mfx"
}
"""What somebody may be, by sex."""
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


def _opening(
    writer: Writer, tenses: dict[int, tuple[str, ...]], *, asks: bool = False
) -> tuple[Frame, str, NounPhrase]:
    """Draw a verb, its tense and who does it.

    If that is not in the split wanted, other verbs are drawn for the same person, or another
    sentence with a verb of the same kind, so that each kind is as frequent as in other splits.
    """
    frame = writer.pick(writer.frames or FRAMES)
    writer.frames = ANYONE if frame.anyone else OTHERS
    tense = writer.pick(tenses[id(frame)])
    if asks and frame.people_act and writer.chance(0.15):
        subject: NounPhrase = Pronoun("who")
    else:
        subject = writer.subject(frame)
        if asks and subject.person in (FIRST, WE):
            subject = writer.person_noun(None, None)
    if frame.people_act:
        settled = writer.settle(subject, frame, ANYONE if frame.anyone else ())
        if settled is not frame:
            frame, tense = settled, writer.pick(tenses[id(settled)])
    return frame, tense, subject


def statement(writer: Writer) -> Sentence:
    """Return a statement about what somebody does."""
    frame, tense, subject = _opening(writer, TENSES)
    adverbials = 1 if writer.level == "easy" else 3
    clause = Composer(writer).clause(
        frame, tense, subject=subject, adverbials=adverbials, negation=0.2
    )
    return Sentence(clause.english, clause.statement, (clause,))


def question(writer: Writer) -> Sentence:
    """Return a question: yes or no, or where, when, why and who."""
    frame, tense, subject = _opening(writer, ASKED, asks=True)
    adverbials = 1 if writer.level == "easy" else 2
    clause = Composer(writer).clause(frame, tense, subject=subject, adverbials=adverbials)
    clause.time_first = False
    if clause.modal is not None and clause.modal.auxiliary == "would like to":
        clause.modal = None
        clause.tense = "future"
    if subject.subject == "who":
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
    choices = noun.adjectives
    if isinstance(subject, Described) and subject.adjective is not None:
        choices = tuple([each for each in choices if each is not subject.adjective])
    adjective = writer.pick(choices)
    graded = adjective.english not in ABSOLUTE and writer.chance(0.75)
    goal = Predicate(adjective, writer.pick(DEGREES) if graded else None)
    writer.noted(Words("", goal.adjective.alone))
    return _being(writer, subject, goal)


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
    writer.topic = writer.said(where)
    writer.settle(subject, POSITIONED[kind])
    if writer.chance(0.25):
        clause.negation = "not"
    return Sentence(clause.english, clause.statement, (clause,))


def profession(writer: Writer) -> Sentence:
    """Return a statement about what somebody does for a living."""
    relative = writer.pick(writer.lexicon.tagged["kin"])
    while "parent" not in relative.tags and writer.chance(0.2):  # as often as it is a plural
        relative = writer.pick(writer.lexicon.tagged["kin"])
    person = writer.describe(relative, writer.owner(None), adjectives=0.0)
    noun = writer.pick(JOBS[relative.sex])
    german_words = tuple(variant.forms[0][0] for variant in noun.german)
    also = tuple(with_article(singular) for singular, _ in noun.also)
    job = writer.noted(Words(Described(noun, "a").object, german_words, also))
    return _being(writer, person, job)


def _being(writer: Writer, subject: NounPhrase, goal: Phrase) -> Sentence:
    writer.topic = writer.said(goal)
    writer.settle(subject, BE)
    clause = Clause(subject, BE, "past" if writer.chance(0.4) else "present", goal=goal)
    if isinstance(goal, Predicate) and writer.chance(0.2):
        clause.negation = "not"
    return Sentence(clause.english, clause.statement, (clause,))
