"""Plain English, understood by its words: what the agent asks, and what the user says."""

from __future__ import annotations

import re

from textgym.tasks.dialogue.domains import ANY, DOMAINS, VALUES
from textgym.tasks.dialogue.openings import SAME
from textgym.tasks.dialogue.wording import NUMBER_WORDS, PRICE_WORDS

ASKED = {
    "area": r"area|part|parts|location|located",
    "food": r"food|cuisine|eat|dish",
    "price": r"price|prices|budget|expensive|cheap|cost",
    "stars": r"stars?",
    "from": r"from|departure|leaving",
    "to": r"where to|to where|to which|destination|going|arrive",
    "time": r"time|when|morning|afternoon|evening",
    "day": r"day|date",
    "people": r"people|persons?|guests|party|passengers|travellers|tickets|seats",
    "nights": r"nights?|stay|long",
}
"""The words of a question that ask for a slot."""

QUESTION = re.compile(r"\?|^\W*(?:what|which|where|when|how|who|for (?:what|which|how))\b", re.I)
ASKED_FOR = {slot: re.compile(rf"\b(?:{words})\b", re.I) for slot, words in ASKED.items()}


def asked_slots(turn: str, domain: str) -> list[str]:
    """The slots of a domain that a turn of the agent asks for, in the domain's order."""
    if not QUESTION.search(turn):
        return []
    kind = DOMAINS[domain]
    return [slot for slot in kind.search + kind.booking if ASKED_FOR[slot].search(turn)]


def _values(slot: str) -> str:
    return "|".join(VALUES[slot])


PRICES = {word: value for value, words in PRICE_WORDS.items() for word in words}

HEARD = {
    "area": re.compile(rf"\b({_values('area')})\b"),
    "food": re.compile(rf"\b({_values('food')})\b"),
    "price": re.compile(rf"\b({'|'.join(PRICES)})\b", re.I),
    "stars": re.compile(r"\b(\w+)[- ]stars?\b", re.I),
    "from": re.compile(rf"\bfrom ({_values('from')})\b", re.I),
    "to": re.compile(rf"\bto ({_values('to')})\b", re.I),
    "time": re.compile(rf"\b({_values('time')})\b", re.I),
    "day": re.compile(rf"\b({_values('day')})\b"),
    "people": re.compile(r"\b(\w+) (?:people|person)\b", re.I),
    "nights": re.compile(r"\b(\w+) nights?\b", re.I),
}
"""Where a line of the user's names a value of a slot."""

INDIFFERENT = re.compile(r"\b(?:not mind|any|anything|not matter)\b", re.I)
FIELD = re.compile(r"\b(phone|address|platform|fare)\b")
DOMAIN = re.compile(rf"\b({'|'.join(DOMAINS)})\b")

NUMBERS = {word: str(i) for i, word in enumerate(NUMBER_WORDS)}


def heard_values(line: str, domain: str) -> dict[str, str]:
    """The values of a domain's slots that a line of the user's names; the last ones count."""
    kind = DOMAINS[domain]
    heard = {}
    for slot in kind.search + kind.booking:
        for said in HEARD[slot].findall(line):
            word = said.lower()
            value = PRICES.get(word) or NUMBERS.get(word) or said
            if value in VALUES[slot]:
                heard[slot] = value
    return heard


def same_slots(line: str) -> list[str]:
    """The slots that a line says to be the same as before."""
    return [slot for slot, words in SAME.items() if words in line]


def indifferent_slots(line: str, asked: list[str], heard: dict[str, str]) -> dict[str, str]:
    """The slots that were asked for and that the user does not mind about."""
    if not INDIFFERENT.search(line):
        return {}
    return {slot: ANY for slot in asked if slot not in heard}
