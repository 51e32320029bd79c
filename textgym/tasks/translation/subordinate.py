"""Sentences with a subordinate clause: that, whether, because, although, if, while, when."""

from __future__ import annotations

from collections.abc import Sequence

from textgym.tasks.translation.clause import Clause
from textgym.tasks.translation.composer import (
    DURATIVE,
    FRAMES,
    GOVERNING,
    TENSES,
    VOLITIONAL,
    Composer,
)
from textgym.tasks.translation.phrases import (
    Described,
    Name,
    NounPhrase,
    Pronoun,
    ThingPronoun,
    coreferent,
)
from textgym.tasks.translation.reasons import although_clause, condition_clause, reason_clause
from textgym.tasks.translation.sentence import Sentence
from textgym.tasks.translation.simple import dates
from textgym.tasks.translation.style import Style
from textgym.tasks.translation.wording import Wording
from textgym.tasks.translation.writer import Writer

CONJUNCTIONS = {
    "because": ("because", "since"),
    "although": ("although", "even though"),
    "when": ("when", "as"),
}
"""What else a conjunction may be."""
REASONED = tuple(frame for frame in VOLITIONAL if frame.reasons)
QUESTION_WORDS = (("when", "wann"), ("why", "warum"), ("where", "wo"))


def _content(
    writer: Writer,
    avoid: NounPhrase,
    tenses: Sequence[str],
    subject: NounPhrase | None = None,
    negation: float = 0.15,
) -> Clause:
    """Draw the clause that somebody thinks, says or asks about."""
    frame = writer.pick(VOLITIONAL if subject is not None or not negation else FRAMES)
    fitting = [tense for tense in TENSES[id(frame)] if tense in tenses]
    tense = writer.pick(fitting or TENSES[id(frame)])
    clause = Composer(writer).clause(
        frame, tense, subject=subject, avoid=avoid, adverbials=2, negation=negation
    )
    clause.time_first = False
    return clause


def that_clause(writer: Writer) -> Sentence:
    """Return "Anna hopes that ..."."""
    frame = writer.pick(GOVERNING["that"])
    main = Clause(writer.subject(frame), frame, writer.pick(("present", "past", "present")))
    own = frame.verb.base in ("hope", "say") and writer.chance(0.6)
    same = coreferent(main.subject) if own else None
    tenses: tuple[str, ...]
    if frame.verb.base == "hope":
        main.tense, tenses = "present", ("future",) if same else ("future", "perfect")
    elif main.tense == "past":
        tenses = ("past modal", "pluperfect")
    else:
        tenses = ("past", "perfect", "future", "modal", "habit", "progressive", "present")
    content = _content(writer, main.subject, tenses, same)
    if main.tense == "past" and content.tense in ("past", "perfect"):
        content.tense, content.adverb = "pluperfect", None
        content.negation = "not" if content.negation else ""
    elif content.modal is None or not content.modal.past:
        main.tense = "present"
    if writer.to_english and frame.verb.base == "hope" and content.tense == "past":
        content.tense = "perfect"
    main.written = True

    def in_english(wording: Wording) -> str:
        matrix = main.english(wording.calm)
        that = "" if wording.link else "that "
        return f"{matrix} {that}{content.english(wording.calm)}"

    def in_german(style: Style) -> str:
        matrix = main.statement(Style(style.address, style.verb, tense=style.tense))
        plain = style._replace(tense=0)
        if style.order == 1 and "v2" in frame.flags and main.tense == "present":
            return f"{matrix}, {content.statement(plain.calm)}"
        return f"{matrix}, dass {content.verb_last(plain)}"

    return Sentence(in_english, in_german, (main, content), orders=2)


def embedded_question(writer: Writer) -> Sentence:
    """Return "Anna asks whether ..." or "I do not know why ..."."""
    frame = writer.pick(GOVERNING["whether"])
    main = Clause(writer.subject(frame), frame, "present")
    main.negation = "not" if "negative" in frame.flags else ""
    tenses = ("past", "future", "modal", "past", "progressive")
    content = _content(writer, main.subject, tenses, negation=0.0)
    asked: tuple[str, str] = ("whether", "ob")
    if writer.chance(0.45) and not content.negation and content.tense in ("past", "future"):
        asked = writer.pick(QUESTION_WORDS)
        if asked[1] == "wann":
            content.time = None
        elif asked[1] == "wo" and (content.goal is not None or not content.frame.places):
            asked = ("why", "warum")
        if asked[1] == "wo":
            content.place = None
    main.written = True
    question, conjunction = asked
    content.dated = dates(question, content.tense)

    def in_english(wording: Wording) -> str:
        calm = wording.calm
        word = "if" if wording.link and question == "whether" else question
        return f"{main.english(calm)} {content.english(calm, question=word)}"

    def in_german(style: Style) -> str:
        matrix = main.statement(Style(style.address, style.verb))
        return f"{matrix}, {conjunction} {content.verb_last(style)}"

    return Sentence(in_english, in_german, (content, main), orders=2)


def _subordinated(
    main: Clause,
    side: Clause,
    words: tuple[str, str],
    *,
    side_first: bool,
    may_turn: bool,
    coordinate: str = "",
) -> Sentence:
    """Join a main clause and a subordinate clause, in the order asked for.

    Args:
        main: The main clause.
        side: The subordinate clause.
        words: The conjunctions: English, German.
        side_first: Whether the subordinate clause comes first.
        may_turn: Whether a paraphrase may turn the two round.
        coordinate: A German conjunction that joins main clauses to the same effect.
    """
    conjunction = words[1]
    conjunctions = CONJUNCTIONS.get(words[0], words[:1])

    def in_english(wording: Wording) -> str:
        turned = may_turn and wording.order == 1
        calm = wording.calm
        first = conjunctions[wording.link % len(conjunctions)]
        if side_first != turned:
            return f"{first} {side.english(calm)}, {main.english(calm)}"
        return f"{main.english(calm)} {first} {side.english(calm)}"

    def in_german(style: Style) -> str:
        turned = may_turn and style.order == 1
        calm = style.calm
        if coordinate and style.order == (2 if may_turn else 1) and not side_first:
            return f"{main.statement(calm)}, {coordinate} {side.statement(calm)}"
        if side_first != turned:
            first = main.verb_first(calm)
            return f"{conjunction} {side.verb_last(calm)}, {first}"
        return f"{main.statement(calm)}, {conjunction} {side.verb_last(calm)}"

    orders = 1 + may_turn + bool(coordinate and not side_first)
    return Sentence(in_english, in_german, (main, side), orders=orders)


def because(writer: Writer) -> Sentence:
    """Return "... because ..."; the reason fits what is done."""
    frame = writer.pick(REASONED)
    tense = writer.pick([t for t in TENSES[id(frame)] if t in ("past", "future")])
    main = Composer(writer).clause(frame, tense, adverbials=1, negation=0.3, among=REASONED)
    main.time_first = False
    side = reason_clause(writer, main)
    main.dated = main.tense == "past"
    if side is None:
        writer.retry()
        return because(writer)
    free = not isinstance(side.subject, ThingPronoun) and side.subject is not main.subject
    first = writer.chance(0.3) and not isinstance(side.subject, Pronoun) and free
    words = ("because", "weil")
    return _subordinated(
        main, side, words, side_first=first, may_turn=_free(side), coordinate="denn"
    )


def _free(side: Clause) -> bool:
    """Say whether a clause does not lean on the other one by a pronoun."""
    return isinstance(side.subject, (Described, Name)) or (
        side.subject.subject == "it" and not (isinstance(side.subject, ThingPronoun))
    )


def although(writer: Writer) -> Sentence:
    """Return "... although ..."."""
    frame = writer.pick(VOLITIONAL)
    main = Composer(writer).clause(frame, "past", adverbials=1, among=VOLITIONAL)
    main.time_first = False
    side = although_clause(writer, main)
    main.dated = True
    if side is None:
        writer.retry()
        return although(writer)
    first = _free(side) and writer.chance(0.35)
    words = ("although", "obwohl")
    return _subordinated(main, side, words, side_first=first, may_turn=_free(side))


def condition(writer: Writer) -> Sentence:
    """Return "If ..., ... will ..."."""
    side, frames = condition_clause(writer)
    assert side.time is not None
    writer.topic = f"{writer.said(side.subject)} {writer.said(side.time)}"
    who = coreferent(side.subject) if isinstance(side.subject, (Name, Described)) else None
    same = who if isinstance(who, Pronoun) else None
    main = Composer(writer).clause(
        writer.pick(frames), "future", subject=same, adverbials=2, timed=False, among=frames
    )
    main.dated = True
    first = same is not None or writer.chance(0.5)
    return _subordinated(main, side, ("if", "wenn"), side_first=first, may_turn=same is None)


def meanwhile(writer: Writer) -> Sentence:
    """Return "While ..., ..."."""
    composer = Composer(writer)
    side = composer.clause(
        writer.pick(DURATIVE), "was doing", adverbials=1, timed=False, among=DURATIVE
    )
    others = [frame for frame in DURATIVE if frame.verb.base != side.frame.verb.base]
    main = composer.clause(
        writer.pick(others), "past", avoid=side.subject, adverbials=1, timed=False, among=others
    )
    main.written = side.written = True
    first = writer.chance(0.6)
    return _subordinated(main, side, ("while", "während"), side_first=first, may_turn=True)


def before_after(writer: Writer) -> Sentence:
    """Return "Before ..., ..." or "After ... had ..., ..."."""
    composer = Composer(writer)
    earlier = writer.chance(0.5)
    side = composer.clause(
        writer.pick(VOLITIONAL),
        "past" if earlier else "pluperfect",
        adverbials=1,
        timed=False,
        among=VOLITIONAL,
    )
    subject = coreferent(side.subject) if writer.chance(0.6) else None
    frame = writer.pick(VOLITIONAL)
    while frame is side.frame:
        frame = writer.pick(VOLITIONAL)
    main = composer.clause(
        frame, "past", subject=subject, avoid=side.subject, adverbials=1, timed=False
    )
    main.written = side.written = True
    first = True if subject is not None else writer.chance(0.5)
    words = ("before", "bevor") if earlier else ("after", "nachdem")
    return _subordinated(main, side, words, side_first=first, may_turn=subject is None)


def when(writer: Writer) -> Sentence:
    """Return "When the bus arrived, ... was ...ing ..."."""
    composer = Composer(writer)
    side = composer.clause(writer.pick(ARRIVALS), "past", adverbials=0, timed=False)
    main = composer.clause(
        writer.pick(DURATIVE), "was doing", avoid=side.subject, adverbials=1, timed=False
    )
    main.written = side.written = True
    first = writer.chance(0.6)
    return _subordinated(main, side, ("when", "als"), side_first=first, may_turn=True)


ARRIVALS = tuple(
    frame
    for frame in FRAMES
    if (frame.verb.base, frame.particle)
    in {("come", "back"), ("arrive", ""), ("begin", ""), ("get", "up"), ("call", "")}
)
