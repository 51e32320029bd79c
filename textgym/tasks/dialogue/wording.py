"""What users say: answers, changes of mind, and the short forms of values in them."""

from __future__ import annotations

from textgym.tasks.draws import Draws
from textgym.tasks.english import with_article

NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight")

PRICE_WORDS = {
    "cheap": ("cheap", "cheap", "inexpensive"),
    "moderate": ("moderately priced", "moderately priced", "mid-range"),
    "expensive": ("expensive", "expensive", "upscale"),
}

AREAS = ("in the {}", "in the {}", "in the {} of town")
CENTRE = ("in the centre", "in the town centre", "in the centre of town")

ANSWERS: dict[str, tuple[str, ...]] = {
    "area": ("{place}.", "{place}, please.", "It should be {place}.", "Somewhere {place}."),
    "food": (
        "{value}, please.",
        "{value} food.",
        "I would like {value} food.",
        "{value} food, please.",
    ),
    "price": ("Something {price}.", "{a_price} one, please.", "It should be {price}."),
    "stars": ("{number} stars, please.", "With {number} stars.", "It should have {number} stars."),
    "from": ("From {value}.", "From {value}, please.", "I am leaving from {value}."),
    "to": ("To {value}.", "To {value}, please.", "I am going to {value}."),
    "time": ("In the {value}.", "In the {value}, please.", "I want to leave in the {value}."),
    "day": ("On {value}.", "{value}, please.", "For {value}.", "It is for {value}."),
    "people": ("For {people}.", "{people}.", "{people}, please.", "It is for {people}."),
    "nights": ("{nights}.", "For {nights}, please.", "I will stay {nights}."),
}
"""Answers to a question for a slot."""

ANYTHING: dict[str, tuple[str, ...]] = {
    "area": ("Any area is fine.", "The area does not matter.", "I do not mind where."),
    "food": ("Any food is fine.", "I do not mind, I eat anything.", "The food does not matter."),
    "price": ("Any price is fine.", "I do not mind the price.", "The price does not matter."),
    "stars": ("I do not mind.", "The stars do not matter.", "Any number is fine."),
    "time": ("Any time is fine.", "I do not mind when.", "The time does not matter."),
}
"""Answers of a user who does not mind."""

REVISIONS = (
    "Oh, and make it {} instead.",
    "But I changed my mind: make it {}.",
    "And one more thing: make it {}.",
)
"""Changes of mind beside an answer."""

CHANGES = (
    "Sorry, I have to change it: make it {}.",
    "Actually, make it {} instead.",
    "Sorry, can you make it {}?",
    "Oh dear, it has to be {} now.",
)
"""Changes of mind about what is booked."""

ALTERNATIVES = (
    "Then {}, please.",
    "Then make it {}.",
    "{} would be fine too.",
    "Well, {} will do.",
)
"""What a user says who gives way."""

QUESTIONS: dict[str, tuple[str, ...]] = {
    "phone": (
        "What is the phone number?",
        "Can I have the phone number?",
        "I need the phone number.",
    ),
    "address": ("What is the address?", "Can I have the address?", "I need the address."),
    "platform": (
        "Which platform does it leave from?",
        "What platform is it?",
        "I need the platform.",
    ),
    "fare": ("What is the fare?", "How much is the fare?", "I need to know the fare."),
}
"""What users ask about what is booked."""


def capitalized(words: str) -> str:
    """Return the words with a capital at their beginning."""
    return words[:1].upper() + words[1:]


def number(value: str, draws: Draws) -> str:
    """Write a number as a digit or as a word."""
    return NUMBER_WORDS[int(value)] if draws.chance(0.6) else value


def place(value: str, draws: Draws) -> str:
    """Say where: "in the north of town"."""
    return draws.pick(CENTRE) if value == "centre" else draws.pick(AREAS).format(value)


def people(value: str, draws: Draws) -> str:
    """Say how many people: "four people"."""
    return f"{number(value, draws)} {'person' if value == '1' else 'people'}"


def nights(value: str, draws: Draws) -> str:
    """Say how many nights: "two nights"."""
    return f"{number(value, draws)} {'night' if value == '1' else 'nights'}"


def short(slot: str, value: str, draws: Draws) -> str:
    """Name a value so that "make it ..." can stand before it: "one in the north"."""
    if slot == "area":
        return f"one {place(value, draws)}"
    if slot == "food":
        return f"{value} food"
    if slot == "price":
        return with_article(draws.pick(PRICE_WORDS[value])) + " one"
    if slot == "stars":
        return f"one with {number(value, draws)} stars"
    if slot == "time":
        return with_article(value) + " train"
    if slot in ("from", "to"):
        return f"a train {slot} {value}"
    if slot == "people":
        return people(value, draws)
    return nights(value, draws) if slot == "nights" else value


def answer(slot: str, value: str, draws: Draws) -> str:
    """Answer the question for a slot."""
    price = draws.pick(PRICE_WORDS[value]) if slot == "price" else ""
    said = draws.pick(ANSWERS[slot]).format(
        value=value,
        place=place(value, draws) if slot == "area" else "",
        price=price,
        a_price=with_article(price) if price else "",
        number=number(value, draws) if slot == "stars" else "",
        people=people(value, draws) if slot == "people" else "",
        nights=nights(value, draws) if slot == "nights" else "",
    )
    return capitalized(said)


def changed(templates: tuple[str, ...], slot: str, value: str, draws: Draws) -> str:
    """Say a change of mind in one of the templates."""
    return capitalized(draws.pick(templates).format(short(slot, value, draws)))
