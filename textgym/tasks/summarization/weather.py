"""Reports of a day's weather: how it turned, when, and how warm it became."""

from __future__ import annotations

from textgym.tasks.draws import Draws
from textgym.tasks.summarization.report import KeyFact, Report, Step, Way, capital, low
from textgym.tasks.summarization.words import (
    CONDITIONS,
    OTHER_CONDITIONS,
    PEOPLE,
    TOWNS,
    TURNS,
    Condition,
)

OPENINGS = (
    "the weather in {place} changed during the day.",
    "{place} had a mixed day.",
    "this was the day in {place}.",
    "the weather station in {place} tells of the day.",
)
PLAIN_BEFORE = ("the day began with {before}.", "the morning brought {before}.")
PLAIN_TURN = ("at {time} the {before} turned to {after}.", "at {time} {after} took over.")
PLAIN_HIGH = ("the highest temperature was {high}.", "temperatures reached {high}.")

BEFORE_UNTIL = ("until {time} {there} {before}.", "the {before} lasted until {time}.")
CLUE_UNTIL = ("until {time} {clue}.", "{clue} until {time}.")
AFTERWARDS = ("the rest of the day brought {after}.", "later {there_after} {after}.")
CLUE_AFTERWARDS = ("later {clue_after}.", "for the rest of the day {clue_after}.")
CLUE_BEFORE = ("early in the day {clue}.", "at first {clue}.")
AFTER_FROM = ("from {time} on {there_after} {after}.", "at {time} {after} took over.")
CLUE_FROM = ("from {time} on {clue_after}.",)
LASTED = (
    "the {before} came at {start} and stayed for {hours} hours.",
    "from {start} on {there} {before} for {hours} hours.",
)
READINGS = (
    "at {hour} it was {degrees}.",
    "the thermometer showed {degrees} at {hour}.",
    "the reading at {hour} was {degrees}.",
)
RISE = (
    "by {hour} it was {rise} warmer than at {early}.",
    "at {hour} it was {rise} warmer than at {early}.",
)
FALL = ("by {hour} it was {fall} colder again.", "at {hour} it was {fall} colder again.")

ASIDES = (
    "the wind came from the west.",
    "the wind blew at {wind} kilometres an hour.",
    "in {other} it was {elsewhere}.",
    "{other} had {third} that day.",
    "the air was {humidity} percent damp.",
    "the bus to {other} was late.",
    "a tree fell on the road to {far}.",
    "the market took place as planned.",
    "{keeper} has run the weather station for {years} years.",
    "a school class came to see the weather station.",
    "the airport counted {delays} late flights.",
    "{guest} talked about the weather on the radio.",
    "the ferry to {far} ran on time.",
    "the night before had been quiet.",
    "the next report comes in {gap} hours.",
)
DEEP_ASIDES = (
    *ASIDES,
    "the forecast had promised {promised}.",
    "the day before, it had reached {yesterday}.",
    "the next day should bring {coming}.",
)
"""Asides from the level "medium" on: some look like what matters."""

REFERENCES = (
    "In {place} {before} turned to {after} at {time}, and it reached {high}.",
    "{before} gave way to {after} in {place} at {time}, with a high of {high}.",
    "At {time} {before} turned to {after} in {place}, and the high was {high}.",
    "{place} had {before} until {time}, then {after}, and a high of {high}.",
    "{place} had {before} and from {time} on {after}, with up to {high}.",
)

TURNED: Step = ("turned to", "turned into", "gave way to", "changed to", "then", "and from")
IN: Step = ("in",)
HAD: Step = ("had", "saw")
AT: Step = ("at", "until", "from", "around", "by")
COLDEST: Step = ("low of", "the low was", "at least")

HOURS = ("10 am", "11 am", "noon", "1 pm", "2 pm", "3 pm", "4 pm", "5 pm", "6 pm")
"""When the weather may turn; the first is ten hours after midnight."""

EARLY = ("6 am", "7 am", "8 am", "9 am")
WARM = ("noon", "1 pm", "2 pm", "3 pm")
LATE = ("7 pm", "8 pm", "9 pm", "10 pm")


def write_weather(draws: Draws, level: str) -> Report:
    """Draw a day and tell it."""
    before, after = draws.pick(TURNS)
    hour = draws.between(0, len(HOURS) - 1)
    high = _high(draws, before, after)
    place, other, far = draws.sample(TOWNS, 3)
    slots: dict[str, object] = {
        "place": place,
        "other": other,
        "far": far,
        "before": before.noun,
        "after": after.noun,
        "there": before.there,
        "there_after": after.there,
        "clue": draws.pick(before.clues),
        "clue_after": draws.pick(after.clues),
        "time": HOURS[hour],
        "high": degrees(high),
    }
    if level == "easy":
        body = [draws.pick(each).format_map(slots) for each in (PLAIN_BEFORE, PLAIN_TURN)]
        temperatures = [draws.pick(PLAIN_HIGH).format_map(slots)]
    else:
        body = _phases(draws, slots, hour, lasted=level == "hard")
        temperatures = _temperatures(draws, high, relative=level == "hard")
    both = body + temperatures if draws.chance(0.5) else temperatures + body
    truth = {name: str(slots[name]) for name in ("place", "before", "after", "time")}
    return Report(
        opening=draws.pick(OPENINGS).format_map(slots),
        body=both,
        asides=ASIDES if level == "easy" else DEEP_ASIDES,
        slots=slots | _aside_slots(draws, (before, after), high),
        references=[capital(reference.format_map(slots)) for reference in REFERENCES],
        truth={"kind": "weather", **truth, "high": high},
        key_facts=_key_facts(truth, before, after, high),
    )


def degrees(count: int) -> str:
    """Return "1 degree", "2 degrees" and so on."""
    return f"{count} degree" if count == 1 else f"{count} degrees"


def _high(draws: Draws, before: Condition, after: Condition) -> int:
    return draws.between(
        max(before.warmest[0], after.warmest[0]), min(before.warmest[1], after.warmest[1])
    )


def _phases(draws: Draws, slots: dict[str, object], hour: int, *, lasted: bool) -> list[str]:
    """Return how the day went, in two sentences; one of them tells when it turned."""
    if lasted and draws.chance(0.5):
        start = draws.between(0, len(EARLY) - 1)
        hours = hour + 10 - (start + 6)
        length = {"start": EARLY[start], "hours": hours}
        first = draws.pick(LASTED) if hours > 1 else BEFORE_UNTIL[0]
        return [first.format_map(slots | length), draws.pick(CLUE_AFTERWARDS).format_map(slots)]
    clue, clue_after = draws.chance(0.5), draws.chance(0.5)
    if draws.chance(0.5):
        first = draws.pick(CLUE_UNTIL if clue else BEFORE_UNTIL)
        then = draws.pick(CLUE_AFTERWARDS if clue_after else AFTERWARDS)
    else:
        first = draws.pick(CLUE_BEFORE if clue else PLAIN_BEFORE)
        then = draws.pick(CLUE_FROM if clue_after else AFTER_FROM)
    return [first.format_map(slots), then.format_map(slots)]


def _temperatures(draws: Draws, high: int, *, relative: bool) -> list[str]:
    """Return three readings, of which one is the highest; in order, if two are relative."""
    rise, fall = (draws.between(1, min(high, 8)) for _ in range(2))
    early, warm, late = draws.pick(EARLY), draws.pick(WARM), draws.pick(LATE)
    if relative:
        return [
            draws.pick(READINGS).format(hour=early, degrees=degrees(high - rise)),
            draws.pick(RISE).format(hour=warm, rise=degrees(rise), early=early),
            draws.pick(FALL).format(hour=late, fall=degrees(fall)),
        ]
    readings = ((early, high - rise), (warm, high), (late, high - fall))
    return [
        draws.pick(READINGS).format(hour=hour, degrees=degrees(reading))
        for hour, reading in draws.shuffled(readings)
    ]


def _aside_slots(draws: Draws, told: tuple[Condition, ...], high: int) -> dict[str, object]:
    possible = [
        each.noun
        for each in CONDITIONS
        if each not in told and each.warmest[0] <= high <= each.warmest[1]
    ]
    third, promised, coming = draws.sample([*possible, *OTHER_CONDITIONS], 3)
    keeper, guest = draws.sample(PEOPLE, 2)
    return {
        "third": third,
        "promised": promised,
        "coming": coming,
        "elsewhere": degrees(_near(draws, high)),
        "yesterday": degrees(_near(draws, high)),
        "keeper": keeper,
        "guest": guest,
        "wind": draws.between(4, 25),
        "humidity": draws.between(40, 95),
        "years": draws.between(2, 40),
        "delays": draws.between(2, 40),
        "gap": draws.between(2, 12),
    }


def _near(draws: Draws, high: int) -> int:
    """Return another temperature, a few degrees away."""
    away = draws.between(1, 4)
    return high - away if draws.chance(0.5) and high > away else high + away


def _key_facts(
    truth: dict[str, str], before: Condition, after: Condition, high: int
) -> list[KeyFact]:
    place = low(truth["place"])
    first: Step = (before.noun, *before.forms)
    then: Step = (after.noun, *after.forms)
    warmth: Step = (degrees(high),)
    turn: Way = (first, TURNED, then)
    return [
        KeyFact("place", ((IN, place), (place, HAD))),
        KeyFact("turn", (turn,), ((then, TURNED, first),)),
        KeyFact("time", ((AT, (truth["time"],)),)),
        KeyFact("high", ((warmth,),), ((COLDEST, warmth),)),
    ]
