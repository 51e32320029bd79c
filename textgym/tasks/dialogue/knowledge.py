"""The knowledge base: finds, books, changes and looks up, and says so in one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, product
from typing import Any, NamedTuple

from textgym.tasks.dialogue.commands import Command
from textgym.tasks.dialogue.domains import DOMAINS, VALUES
from textgym.tasks.dialogue.names import detail_of, name_of, reference_of

SHOWN = 2
"""How many names an answer shows."""


class Thing(NamedTuple):
    """A restaurant, a hotel or a train: its domain, number, name and search values."""

    domain: str
    number: int
    name: str
    values: dict[str, str]


@dataclass(slots=True)
class Booking:
    """What is booked in a domain: the thing, the values of all its slots, and the reference."""

    thing: Thing
    values: dict[str, str]
    reference: str


class KnowledgeBase:
    """What there is in one example, and what has been booked so far.

    There are two things of each combination of search values, unless the facts say otherwise.

    Args:
        facts: "seed", of the names; "absent" and "single", lists of [domain, {slot: value}] of
            which there is none, or one of each combination; "full", a list of [name, day].

    Attributes:
        found: The things that were shown, by name in lower case; others cannot be booked.
        bookings: The present booking of each domain; a new one replaces it.
        looked_up: The things, fields and details that were looked up.
        refused: The domains in which something was not there, or full.
    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._facts = facts
        self._booked = 0
        self.found: dict[str, Thing] = {}
        self.bookings: dict[str, Booking] = {}
        self.looked_up: list[tuple[Thing, str, str]] = []
        self.refused: set[str] = set()

    def answer(self, command: Command) -> str:
        """Carry a command out and say what came of it, without a full stop or line break."""
        if command.error:
            return f"error, {command.error}"
        if command.verb == "find":
            return self._find(command)
        if command.verb == "book":
            return self._book(command)
        return self._change(command) if command.verb == "change" else self._look_up(command)

    def matches(self, domain: str, query: Mapping[str, str]) -> Iterator[Thing]:
        """Yield the things with these search values, in a fixed order."""
        slots = DOMAINS[domain].search
        choices = [(query[slot],) if slot in query else VALUES[slot] for slot in slots]
        for values in product(*choices):
            have = dict(zip(slots, values, strict=True))
            if self._is("absent", domain, have) or have.get("from", "") == have.get("to"):
                continue
            number = 2 * _place(slots, values)
            for copy in range(1 if self._is("single", domain, have) else 2):
                name = name_of(domain, number + copy, self._facts["seed"])
                yield Thing(domain, number + copy, name, have)

    def _is(self, fact: str, domain: str, have: dict[str, str]) -> bool:
        return any(
            d == domain and values.items() <= have.items() for d, values in self._facts[fact]
        )

    def _find(self, command: Command) -> str:
        domain = command.subject
        if domain not in DOMAINS:
            return "error, unknown domain"
        wrong = command.slots.keys() - set(DOMAINS[domain].search)
        if wrong:
            return f"error, no {min(wrong)} to find by"
        if command.slots.get("from", "") == command.slots.get("to"):
            return "error, from and to are the same"
        things = list(islice(self.matches(domain, command.slots), SHOWN + 1))
        if not things:
            self.refused.add(domain)
            return "none"
        shown = things[:SHOWN]
        self.found.update({thing.name.lower(): thing for thing in shown})
        return ", ".join(t.name for t in shown) + (" and more" if len(things) > SHOWN else "")

    def _book(self, command: Command) -> str:
        thing = self.found.get(command.subject)
        if thing is None:
            return "error, unknown name"
        needed = DOMAINS[thing.domain].booking
        missing = [slot for slot in needed if slot not in command.slots]
        if missing:
            return f"error, {missing[0]} missing"
        if len(command.slots) > len(needed):
            return f"error, only {needed[0]} and {needed[1]} to book by"
        if self._full(thing, command.slots["day"]):
            return f"full on {command.slots['day']}"
        reference = reference_of(self._booked, self._facts["seed"])
        self._booked += 1
        values = {**thing.values, **command.slots}
        self.bookings[thing.domain] = Booking(thing, values, reference)
        return f"booked, reference {reference}"

    def _change(self, command: Command) -> str:
        held = [b for b in self.bookings.values() if b.reference == command.subject]
        if not held:
            return "error, unknown reference"
        booking = held[0]
        needed = DOMAINS[booking.thing.domain].booking
        if not command.slots or command.slots.keys() - set(needed):
            return f"error, only {needed[0]} and {needed[1]} to change"
        values = {**booking.values, **command.slots}
        if self._full(booking.thing, values["day"]):
            return f"full on {values['day']}"
        booking.values = values
        return f"changed, reference {booking.reference}"

    def _full(self, thing: Thing, day: str) -> bool:
        full = [thing.name, day] in self._facts["full"]
        if full:
            self.refused.add(thing.domain)
        return full

    def _look_up(self, command: Command) -> str:
        name, _, field = command.subject.rpartition(" ")
        thing = self.found.get(name)
        if thing is None:
            return "error, unknown name"
        if field not in DOMAINS[thing.domain].fields or command.slots:
            return f"error, only {' and '.join(DOMAINS[thing.domain].fields)} to look up"
        detail = detail_of(field, thing.number, self._facts["seed"])
        self.looked_up.append((thing, field, detail))
        return f"{field} {detail}"


def _place(slots: tuple[str, ...], values: tuple[str, ...]) -> int:
    """The place of a combination of values among all combinations, from 0."""
    place = 0
    for slot, value in zip(slots, values, strict=True):
        place = place * len(VALUES[slot]) + VALUES[slot].index(value)
    return place
