"""Reasons and circumstances: clauses that make sense of what somebody does."""

from __future__ import annotations

from textgym.tasks import english
from textgym.tasks.translation.clause import Clause
from textgym.tasks.translation.composer import BE, VOLITIONAL, plain_frame
from textgym.tasks.translation.lexicon import Frame, Words, government, load_lexicon
from textgym.tasks.translation.phrases import (
    Described,
    NounPhrase,
    Pronoun,
    ThingPronoun,
    coreferent,
)
from textgym.tasks.translation.writer import Writer

LEXICON = load_lexicon()
HAVE = plain_frame(english.make_verb("have", "had", "had"), government("haben"), "preterite")
NEED = plain_frame(english.make_verb("need"), government("brauchen"), "preterite")
RAIN = plain_frame(english.make_verb("rain"), government("regnen"), "st")
SNOW = plain_frame(english.make_verb("snow"), government("schneien"), "st")

FEELINGS = {
    "hungry": Words("hungry", ("hungrig",)),
    "thirsty": Words("thirsty", ("durstig",)),
    "tired": Words("tired", ("müde",)),
    "very tired": Words("very tired", ("sehr müde",)),
    "ill": Words("ill", ("krank",), ("sick",)),
}
POSSESSIONS = {
    "time": Words("a lot of time", ("viel Zeit",)),
    "no time": Words("no time", ("keine Zeit",)),
    "little time": Words("little time", ("wenig Zeit",)),
    "a headache": Words("a headache", ("Kopfschmerzen",)),
    "a cold": Words("a cold", ("eine Erkältung",)),
}
QUALITIES = {
    "interesting": Words("interesting", ("interessant",)),
    "cheap": Words("cheap", ("billig", "günstig")),
    "beautiful": Words("beautiful", ("schön",)),
    "broken": Words("broken", ("kaputt",)),
    "dirty": Words("dirty", ("schmutzig", "dreckig")),
    "old": Words("too old", ("zu alt",)),
    "ugly": Words("ugly", ("hässlich",)),
    "easy": Words("easy", ("einfach", "leicht")),
}
HINDRANCES = ("no time", "ill", "tired", "a headache", "a cold")


def _it() -> Pronoun:
    return Pronoun("it")


def _weather(word: str, german: str, tense: str) -> Clause:
    subject = Described(LEXICON.tagged["weather"][0])
    return Clause(subject, BE, tense, goal=Words(word, (german,)))


def _feeling(who: NounPhrase, key: str, tense: str) -> Clause:
    """Return that somebody is hungry, or has no time."""
    if key in FEELINGS:
        return Clause(who, BE, tense, goal=FEELINGS[key])
    return Clause(who, HAVE, tense, object=POSSESSIONS[key])


def reason_clause(writer: Writer, main: Clause) -> Clause | None:
    """Return a clause that gives a reason for the main clause, or None if none fits."""
    tense = "past" if main.tense == "past" else "present"
    who = coreferent(main.subject)
    if main.negation or (main.modal is not None and main.modal.past):
        hindered = main.negation == "not" and who is not None and tense == "past"
        return _feeling(who, writer.pick(HINDRANCES), tense) if hindered and who else None
    key = writer.pick(main.frame.reasons)
    if key in QUALITIES:
        return _quality(writer, main, key, tense)
    if key == "weather":
        good = (("good", "gut"), ("beautiful", "schön"))
        return _weather(*writer.pick(good), tense)
    if key == "weather_bad":
        frame = writer.pick((RAIN, SNOW))
        return Clause(_it(), frame, "was doing" if tense == "past" else "progressive")
    if who is None:
        return None
    if key == "money":
        return Clause(who, NEED, tense, object=Words("money", ("Geld",)))
    return _feeling(who, key, tense)


def _quality(writer: Writer, main: Clause, key: str, tense: str) -> Clause | None:
    """Return that the main clause's object is cheap, broken and so on."""
    obj = main.object
    if not isinstance(obj, Described) or obj.noun.sex or obj.noun.kind == "animal":
        return None
    tags = next((a.tags for a in LEXICON.adjectives if a.english == key), frozenset())
    if not tags & obj.noun.tags or obj.adjective is not None:
        return None
    quality = writer.noted(QUALITIES[key])
    return Clause(ThingPronoun(obj.noun, obj.plural), BE, tense, goal=quality)


def although_clause(writer: Writer, main: Clause) -> Clause | None:
    """Return a circumstance in spite of which somebody did something."""
    who = coreferent(main.subject)
    roll = writer.unit() if main.frame in EXPOSED else 1.0
    if roll < 0.2:
        return Clause(_it(), writer.pick((RAIN, SNOW)), "was doing")
    if roll < 0.4:
        time = writer.pick((("already late", "schon spät"), ("very cold", "sehr kalt")))
        return Clause(_it(), BE, "past", goal=Words(time[0], (time[1],)))
    if roll < 0.5:
        return _weather("bad", "schlecht", "past")
    if who is None or main.frame.verb.base in ("sleep", "fall") or main.frame.particle == "to bed":
        return None
    return _feeling(who, writer.pick(("very tired", "ill", "little time", "a cold")), "past")


def condition_clause(writer: Writer) -> tuple[Clause, tuple[Frame, ...]]:
    """Return a condition for tomorrow and the frames that it may be a condition for."""
    tomorrow = writer.pick(LEXICON.adverbs["future"][:4])
    roll = writer.unit()
    if roll < 0.35:
        clause = _weather("good", "gut", "present")
        frames = OUTDOORS
    elif roll < 0.6:
        clause = Clause(_it(), writer.pick((RAIN, SNOW)), "present")
        frames = INDOORS
    else:
        who = writer.person(indefinite=False)
        clause = Clause(who, HAVE, "present", object=Words("time", ("Zeit",)))
        frames = LEISURE
    clause.time = tomorrow
    return clause, frames


OUTDOORS = tuple(f for f in VOLITIONAL if "weather" in f.reasons)
INDOORS = tuple(
    f for f in VOLITIONAL if "weather_bad" in f.reasons or f.particle == "television"
) + tuple(f for f in VOLITIONAL if f.verb.base == "bake" and not f.has_receiver)
EXPOSED = tuple(
    f
    for f in VOLITIONAL
    if f.goal == "to" or "weather" in f.reasons or any("out" in p.noun.tags for p in f.places)
)
LEISURE = tuple(f for f in VOLITIONAL if "time" in f.reasons)
