"""Sentences with a relative clause, on the subject or on the object."""

from __future__ import annotations

from collections.abc import Callable

from textgym.tasks.translation.clause import Clause
from textgym.tasks.translation.composer import (
    FRAMES,
    TENSES,
    Composer,
)
from textgym.tasks.translation.german import NOMINATIVE, PLURAL, RELATIVE
from textgym.tasks.translation.lexicon import Frame, Noun, load_lexicon
from textgym.tasks.translation.phrases import (
    Described,
    NounPhrase,
)
from textgym.tasks.translation.sentence import Sentence
from textgym.tasks.translation.style import Style
from textgym.tasks.translation.wording import Wording
from textgym.tasks.translation.writer import Writer

LEXICON = load_lexicon()
HEADS = LEXICON.tagged["person"] + LEXICON.tagged["child"]
DOERS = tuple(f for f in FRAMES if f.people_act and f.particle != "forward to")
RELATIVES = ("that ", "", "which ")


def relative_subject(writer: Writer) -> Sentence:
    """Return "The man who ... ...": the subject of the main clause is described."""
    composer = Composer(writer)
    noun = writer.pick(HEADS)
    plural = writer.chance(0.25)
    head = writer.describe(noun, plural=plural, adjectives=0.0)
    inner = composer.clause(writer.pick(DOERS), "past", subject=head, adverbials=1, among=DOERS)
    inner.time_first = False
    frame = writer.pick(DOERS)
    while frame is inner.frame:
        frame = writer.pick(DOERS)
    tense = writer.pick([t for t in TENSES[id(frame)] if t not in ("perfect", "like")])
    main = composer.clause(frame, tense, subject=head, adverbials=1, negation=0.15)
    main.time_first = False
    inner.dated = True

    def in_english(wording: Wording) -> str:
        pronoun = "that" if wording.link else "who"
        return f"{pronoun} {inner.english(wording.calm, shared=True)}"

    outer = Relative(head, in_english, lambda style: _who(head, inner, style))
    main.subject = outer
    return Sentence(main.english, main.statement, (inner, main), orders=1)


def _who(head: Described, inner: Clause, style: Style) -> str:
    return f"{relative_pronoun(head, NOMINATIVE, style)} {inner.verb_last(style, subject='')}"


def relative_pronoun(head: Described, case: int, style: Style) -> str:
    """Return the relative pronoun for a noun phrase, in the case of the relative clause."""
    noun = head.noun.german[style.word % len(head.noun.german)]
    return RELATIVE[PLURAL if head.plural else noun.gender][case]


class Relative(NounPhrase):
    """A subject with a relative clause between commas."""

    __slots__ = ("clause", "head", "side")

    def __init__(
        self, head: Described, side: Callable[[Wording], str], clause: Callable[[Style], str]
    ) -> None:
        super().__init__(head.person, head.subject, head.object, definite=True, is_pronoun=False)
        self.head = head
        self.side = side
        self.clause = clause

    def core(self) -> NounPhrase:
        """Return the noun phrase that the clause describes."""
        return self.head

    def in_english(self, wording: Wording, *, subject: bool = False) -> str:
        """Return the noun and its clause, without commas."""
        return f"{self.head.in_english(wording)} {self.side(wording)}"

    def german(self, case: int, style: Style, *, negated: bool = False) -> str:
        """Return the noun and its clause; what follows comes after the second comma."""
        return f"{self.head.german(case, style)}, {self.clause(style)},"


def relative_object(writer: Writer) -> Sentence:
    """Return "... the book that ...": the object of the main clause is described."""
    composer = Composer(writer)
    first, second, noun = writer.pick(RELATED)
    plural = bool(noun.plural) and writer.chance(0.3)
    head = writer.describe(noun, plural=plural)
    writer.topic = writer.said(head)
    main = composer.clause(first, writer.pick(("past", "past", "future")), adverbials=0)
    main.object, main.manner = head, None
    if writer.chance(0.3) and main.tense == "past":
        main.time, main.time_first = writer.words("past"), True
    inner = composer.clause(second, "past", avoid=main.subject, adverbials=0)
    inner.object = head
    if main.time is None and writer.chance(0.6):
        inner.time = writer.words("past")
    governs = second.german[0]

    def in_german(style: Style) -> str:
        pronoun = relative_pronoun(head, governs.case, style)
        lead = f"{governs.preposition} {pronoun}" if governs.preposition else pronoun
        plain = style._replace(verb=0, order=0)
        inside = inner.verb_last(plain, without="object")
        return f"{main.statement(style)}, {lead} {inside}"

    def in_english(wording: Wording) -> str:
        calm = wording._replace(tense=0, order=0)
        side = inner.english(calm, without="object")
        link = RELATIVES[wording.link]
        return f"{main.english(calm)} {link}{side}"

    return Sentence(in_english, in_german, (main, inner), orders=min(main.orders(), 2))


FOUND = {"find", "read", "sell", "lose", "bring", "look", "forget", "repair", "translate", "hide"}
MADE = {"buy", "get", "borrow", "order", "write", "steal", "plant", "recommend", "wait"}
MADE |= {"bake", "cook", "build", "paint", "lose", "forget", "talk", "send", "show", "give"}
MISSING = {"lose", "forget", "buy", "get", "borrow", "steal"}
LATER = {
    ("bring", ""): {"borrow", "forget", "lose"},
    ("find", ""): MISSING,
    ("look", "for"): MISSING,
}
"""What was done before to a thing that is brought back, found or looked for."""
EATEN = {"eat", "drink"}


def _related() -> tuple[tuple[Frame, Frame, Noun], ...]:
    """Return pairs of verbs, and what one does to a thing that the other made or got."""
    thing_frames = [f for f in FRAMES if not f.goal and f.people_act and f.object_tags]
    firsts = [f for f in thing_frames if f.verb.base in FOUND | EATEN and not f.has_receiver]
    seconds = [f for f in thing_frames if f.verb.base in MADE and f.verb.base not in EATEN]
    return tuple(
        (first, second, noun)
        for first in firsts
        for second in seconds
        if first.verb.base != second.verb.base
        and second.verb.base in LATER.get((first.verb.base, first.preposition), MADE)
        for noun in first.objects
        if noun in second.objects and not noun.sex
    )


RELATED = _related()
