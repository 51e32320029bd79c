"""How users begin: what they need, with the constraints that they name at once."""

from __future__ import annotations

from textgym.tasks.dialogue.domains import BOOK
from textgym.tasks.dialogue.wording import (
    PRICE_WORDS,
    QUESTIONS,
    capitalized,
    nights,
    number,
    people,
    place,
)
from textgym.tasks.draws import Draws
from textgym.tasks.english import with_article

NEEDS = (
    "I need {}.",
    "I am looking for {}.",
    "Can you find me {}?",
    "I would like {}.",
    "Please find me {}.",
    "Could you please find {}?",
    "I want to book {}.",
    "Please book {}.",
    "Could you please book {}?",
    "I would like to book {}.",
)
FURTHER = (
    "I also need {}.",
    "Thanks. Now I need {}.",
    "Can you also find me {}?",
    "I am also looking for {}.",
    "Thanks. Please also book {}.",
    "Could you also book {}?",
)
LOOKS = NEEDS[:6]
ASKS: dict[str, tuple[str, ...]] = {
    "phone": (
        "Can you give me the phone number of {}?",
        "I need the phone number of {}.",
        "Please tell me the phone number of {}.",
    ),
    "address": (
        "Can you tell me the address of {}?",
        "I need the address of {}.",
        "Please give me the address of {}.",
    ),
}
THANKS = "Thanks. "

SAME = {
    "area": "in the same area",
    "day": "on the same day",
    "people": "for the same number of people",
}
"""How a user refers to what was said for the last goal."""

ASIDE = 0.3
"""How often a constraint is said in a sentence of its own."""


ASIDES = {
    "area": ("It should be {}.", "It has to be {}."),
    "food": ("It should serve {} food.", "I would like to eat {} food."),
    "price": ("It should be {}.", "It has to be {}."),
    "stars": ("It should have {} stars.",),
    "time": ("I want to leave in the {}.", "It should leave in the {}."),
    "day": ("It is for {}.", "It has to be on {}."),
    "people": ("It is for {}.", "It has to be for {}."),
    "nights": ("It is for {}.", "I will stay {}."),
}
"""How a constraint is said in a sentence of its own."""


def opening(
    domain: str,
    want: str,
    given: dict[str, str],
    same: tuple[str, ...],
    first: bool,
    draws: Draws,
) -> str:
    """Say what is wanted, in one sentence or two.

    Args:
        domain: What kind of thing it is about.
        want: `BOOK`, or the field to look up.
        given: The values that are said, by slot.
        same: The slots among them that are said to be the same as before.
        first: Whether this is the user's first goal.
        draws: The example's random choices.
    """
    rest = dict(given)
    aside = ""
    movable = [slot for slot in given if slot in ASIDES and slot not in same]
    if movable and draws.chance(ASIDE):
        slot = draws.pick(movable)
        aside = " " + _aside(slot, rest.pop(slot), draws)
    phrase = _phrase(domain, rest, same, draws)
    if want == BOOK:
        need = draws.pick(NEEDS if first else FURTHER)
        table = "a table at " if domain == "restaurant" and "book" in need else ""
        return need.format(table + phrase) + aside
    thanks = "" if first else THANKS
    if want in ASKS and draws.chance(0.5):
        return thanks + draws.pick(ASKS[want]).format(phrase) + aside
    return thanks + draws.pick(LOOKS).format(phrase) + f"{aside} {draws.pick(QUESTIONS[want])}"


def _aside(slot: str, value: str, draws: Draws) -> str:
    words = {"area": place, "stars": number, "people": people, "nights": nights}
    said = words[slot](value, draws) if slot in words else value
    if slot == "price":
        said = draws.pick(PRICE_WORDS[value])
    return draws.pick(ASIDES[slot]).format(said)


def _phrase(domain: str, given: dict[str, str], same: tuple[str, ...], draws: Draws) -> str:
    """The thing with its constraints: "a cheap Thai restaurant in the north for four people"."""
    said = dict(given)
    before = []
    if "price" in said:
        before.append(draws.pick(PRICE_WORDS[said["price"]]))
    if "food" in said:
        before.append(said["food"])
    if "stars" in said and draws.chance(0.5):
        before.append(f"{number(said.pop('stars'), draws)}-star")
    if "time" in said and draws.chance(0.5):
        before.append(said.pop("time"))
    after = [f"{slot} {said[slot]}" for slot in ("from", "to") if slot in said]
    if "stars" in said:
        after.append(f"with {number(said['stars'], draws)} stars")
    if "area" in said:
        after.append(SAME["area"] if "area" in same else place(said["area"], draws))
    noun = with_article(" ".join([*before, domain]))
    return " ".join([noun, *after, *_ends(said, same, draws)])


def _ends(said: dict[str, str], same: tuple[str, ...], draws: Draws) -> list[str]:
    """When, for how long and for how many, in any order."""
    ends = []
    if "day" in said:
        ends.append(SAME["day"] if "day" in same else f"{_before_day(said, draws)} {said['day']}")
    if "people" in said:
        many = people(said["people"], draws)
        ends.append(SAME["people"] if "people" in same else f"for {many}")
    if "nights" in said:
        ends.append(f"for {nights(said['nights'], draws)}")
    if "time" in said:
        ends.append(f"in the {said['time']}")
    return draws.shuffled(ends)


def _before_day(said: dict[str, str], draws: Draws) -> str:
    if "nights" in said:
        return draws.pick(("on", "from"))
    return "on" if "people" in said else draws.pick(("on", "for"))


def as_user(words: str) -> str:
    """Return a line of the user's."""
    return f"User: {capitalized(words)}\n"
