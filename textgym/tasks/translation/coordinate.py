"""Sentences that join two clauses as equals, and those with an infinitive."""

from __future__ import annotations

from textgym.tasks.translation.clause import Clause
from textgym.tasks.translation.composer import (
    DURATIVE,
    FRAMES,
    GOVERNING,
    VOLITIONAL,
    Composer,
)
from textgym.tasks.translation.lexicon import Frame, Noun, Place
from textgym.tasks.translation.phrases import (
    Described,
    PrepositionalPhrase,
    ThingPronoun,
)
from textgym.tasks.translation.sentence import Sentence
from textgym.tasks.translation.style import Style
from textgym.tasks.translation.wording import Wording
from textgym.tasks.translation.writer import Writer

CONJUNCTIONS = (("and", " und"), ("but", ", aber"), ("while", ", während"))


def coordination(writer: Writer) -> Sentence:
    """Return two main clauses with subjects of their own, joined by "and" or "but"."""
    composer = Composer(writer)
    tense = writer.pick(("past", "past", "future", "progressive"))
    frames = DURATIVE if tense == "progressive" else VOLITIONAL
    one = composer.clause(writer.pick(frames), tense, adverbials=1, timed=False, among=frames)
    others = [frame for frame in frames if frame.verb.base != one.frame.verb.base]
    two = composer.clause(
        writer.pick(others), tense, avoid=one.subject, adverbials=1, timed=False, among=others
    )
    words, german_words = writer.pick(CONJUNCTIONS)
    while words == "while" and tense == "future":
        words, german_words = writer.pick(CONJUNCTIONS)
    subordinate = words == "while"

    def in_german(style: Style) -> str:
        side = style.calm
        last = two.verb_last(side) if subordinate else two.statement(side)
        return f"{one.statement(style)}{german_words} {last}"

    comma = "," if words == "but" else ""
    one.dated = two.dated = subordinate and tense == "past"

    def in_english(wording: Wording) -> str:
        last = two.english(wording.calm)
        return f"{one.english(wording)}{comma} {words} {last}"

    return Sentence(in_english, in_german, (one, two), orders=one.orders())


def sequence(writer: Writer) -> Sentence:
    """Return "... bought a book and read it ...": one subject, the same thing twice."""
    composer = Composer(writer)
    first, second, noun = writer.pick(SEQUENCES)
    plural = bool(noun.plural) and writer.chance(0.25)
    subject = writer.subject(first)
    willed = not (first.flags | second.flags) & {"inv"}
    tense = "future" if willed and writer.chance(0.3) else "past"
    writer.topic = writer.said(Described(noun))
    one = composer.clause(first, tense, subject=subject, adverbials=1)
    determiner = "a" if noun.plural and not plural and writer.chance(0.6) else "the"
    one.object = writer.describe(noun, determiner, plural=plural)
    two = composer.clause(second, tense, subject=subject, adverbials=1, timed=False)
    two.object = ThingPronoun(noun, plural)
    two.dated = one.time is not None

    def in_german(style: Style) -> str:
        last = two.without_subject(style.calm, one)
        return f"{one.statement(style)} und {last}"

    def in_english(wording: Wording) -> str:
        calm = wording._replace(tense=0)
        last = two.english(calm.calm, shared=True).removeprefix("will ")
        return f"{one.english(calm)} and {last}"

    return Sentence(in_english, in_german, (one, two), orders=_subject_orders(one))


def _subject_orders(clause: Clause) -> int:
    return 1 if clause.time_first or clause.time is None else 2


THEN = {"hide", "lose", "open", "translate", "repair", "sell", "forget", "eat", "drink", "read"}
GOT = {"find", "get", "steal"}
FIRST = {"buy", "find", "get", "order", "borrow", "pick", "steal"}


def _sequences() -> tuple[tuple[Frame, Frame, Noun], ...]:
    firsts = [f for f in FRAMES if f.verb.base in FIRST and f.people_act and f.object_tags]
    seconds = [
        f
        for f in FRAMES
        if f.verb.base in THEN and f.people_act and not f.has_receiver and f.object_tags
    ]
    return tuple(
        (first, second, noun)
        for first in firsts
        for second in seconds
        if second.verb.base != "sell" or first.verb.base in GOT
        for noun in first.objects
        if noun in second.objects and not noun.sex
    )


SEQUENCES = _sequences()


def purpose(writer: Writer) -> Sentence:
    """Return "... went to the market to buy ...": where one goes fits what one does there."""
    composer = Composer(writer)
    goer, place, doer = writer.pick(PURPOSES)
    goal = PrepositionalPhrase(place.to, writer.describe(place.noun, adjectives=0.1), place.to_case)
    tense = writer.pick(("past", "past", "future", "modal"))
    writer.topic = writer.said(goal)
    main = composer.clause(goer, tense, adverbials=1, goal=goal)
    main.manner = None
    side = composer.clause(doer, "past", subject=main.subject, adverbials=0)
    if doer.shopping and isinstance(side.object, Described):
        nouns = [n for n in doer.objects if f"shop_{n.kind}" in place.noun.tags]
        noun = writer.pick(nouns)
        plural = bool(noun.plural) and writer.chance(0.4)
        side.object = writer.describe(
            noun, "a" if noun.plural and not plural else "", plural=plural
        )

    def in_german(style: Style) -> str:
        return f"{main.statement(style)}, um {side.infinitive(style.calm)}"

    def in_english(wording: Wording) -> str:
        link = "in order to" if wording.link else "to"
        side_words = side.english_infinitive(wording.calm)
        return f"{main.english(wording)} {link} {side_words}"

    return Sentence(in_english, in_german, (main, side), orders=main.orders())


AIMLESS = {"open", "close", "sleep", "laugh", "greet", "answer", "follow", "look", "listen", "give"}


def _purposes() -> tuple[tuple[Frame, Place, Frame], ...]:
    goers = [f for f in FRAMES if (f.verb.base, f.goal) in {("go", "to"), ("drive", "to")}]
    doers = [f for f in VOLITIONAL if not f.goal and f.verb.base not in AIMLESS]
    found = []
    for goer in goers:
        for place in goer.goals:
            for doer in doers:
                shops = doer.shopping and any(
                    f"shop_{noun.kind}" in place.noun.tags for noun in doer.objects
                )
                if shops or (place in doer.places and not doer.shopping):
                    found.append((goer, place, doer))
    return tuple(found)


PURPOSES = _purposes()


def infinitive(writer: Writer) -> Sentence:
    """Return "... tried to ..."."""
    composer = Composer(writer)
    frame = writer.pick(GOVERNING["to"])
    main = Clause(writer.subject(frame), frame, "past")
    side = composer.clause(
        writer.pick(VOLITIONAL),
        "past",
        subject=main.subject,
        adverbials=1,
        timed=False,
        among=VOLITIONAL,
    )
    if writer.chance(0.4):
        main.time, main.time_first = writer.words("past"), True

    def in_german(style: Style) -> str:
        inside = side.infinitive(style._replace(order=0, verb=0))
        return f"{main.statement(style)}, {inside}"

    def in_english(wording: Wording) -> str:
        return f"{main.english(wording)} to {side.english_infinitive(wording.calm)}"

    return Sentence(in_english, in_german, (main, side), orders=main.orders())
