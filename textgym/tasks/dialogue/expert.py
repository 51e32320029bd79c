"""The dialogue manager: says the best next turn, from what was said alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from textgym.tasks.dialogue.commands import Command, parse_command, write_command
from textgym.tasks.dialogue.domains import ANY, BOOK, DOMAINS
from textgym.tasks.dialogue.understanding import (
    DOMAIN,
    FIELD,
    asked_slots,
    heard_values,
    indifferent_slots,
    same_slots,
)

ASK = {
    "area": "Which area?",
    "food": "What kind of food?",
    "price": "What price range?",
    "stars": "How many stars?",
    "from": "From where?",
    "to": "Where to?",
    "time": "At what time?",
    "day": "For which day?",
    "people": "For how many people?",
    "nights": "For how many nights?",
}
ANOTHER = {
    "food": "There is none. Another kind of food?",
    "price": "There is none. Another price range?",
    "time": "There is none. Another time?",
}
TELL = {
    BOOK: "{} is booked, reference {}.",
    "phone": "The phone number of {} is {}.",
    "address": "The address of {} is {}.",
    "platform": "{} leaves from platform {}.",
    "fare": "{} costs {}.",
}

SHOWN = re.compile(r"KB: (?!error)(.*?)(?: and more)?\n")
REFERENCE = re.compile(r"KB: (?:booked|changed), reference (\d+)")
FULL = re.compile(r"KB: full on (\w+)")


@dataclass(slots=True)
class Belief:
    """What the dialogue so far says about the user's present goal.

    Attributes:
        domain: What it is about.
        want: `BOOK`, or the field to look up.
        books: Whether a booking is wanted.
        slots: The values that the user named.
        before: The values of the goal before it.
        names: What the knowledge base showed for each search, by its slots and values.
        full: The names and days of which it said that they are full.
        booked: The name, the booking slots and the reference of the present booking.
        details: What was looked up, by name in lower case and field.
    """

    domain: str
    want: str
    books: bool
    slots: dict[str, str]
    before: dict[str, str]
    names: dict[frozenset[tuple[str, str]], list[str]] = field(default_factory=dict)
    full: set[tuple[str, str]] = field(default_factory=set)
    booked: tuple[str, dict[str, str], str] | None = None
    details: dict[tuple[str, str], str] = field(default_factory=dict)

    def query(self) -> dict[str, str]:
        """What to search by."""
        slots = DOMAINS[self.domain].search
        return {slot: self.slots[slot] for slot in slots if self.slots.get(slot, ANY) != ANY}

    def missing(self) -> list[str]:
        """The slots that the user has not named."""
        wanted = DOMAINS[self.domain].slots(BOOK if self.books else self.want)
        return [slot for slot in wanted if slot not in self.slots]


def next_turn(prompt: str, turns: Sequence[tuple[str, str]]) -> str:
    """Return the best next turn after a prompt and some turns with the replies to them."""
    belief = listen(prompt, "", None)
    for turn, reply in turns:
        belief = observe(belief, turn, reply)
    return act(belief)


def observe(belief: Belief, turn: str, reply: str) -> Belief:
    """Return what is to be believed after one more turn and the reply to it."""
    if not reply.startswith("KB: "):
        return listen(reply, turn, belief)
    command = parse_command(turn)
    if command is not None:
        _note(belief, command, reply)
    return belief


def listen(line: str, turn: str, belief: Belief | None) -> Belief:
    """Return what is to be believed after a line of the user's, said to a turn of the agent."""
    domain = DOMAIN.search(line)
    wanted = FIELD.search(line)
    if belief is None or (domain and domain[1] != belief.domain):
        want = wanted[1] if wanted else BOOK
        before = belief.slots if belief else {}
        kind = domain[1] if domain else next(iter(DOMAINS))
        belief = Belief(kind, want, want == BOOK, {}, before)
    elif wanted:
        belief.want = wanted[1]
    heard = heard_values(line, belief.domain)
    same = {slot: belief.before[slot] for slot in same_slots(line) if slot in belief.before}
    any_value = indifferent_slots(line, asked_slots(turn, belief.domain), heard)
    belief.slots.update({**heard, **same, **any_value})
    return belief


def _note(belief: Belief, command: Command, reply: str) -> None:
    """Note what the knowledge base answered to a command."""
    shown, reference, full = SHOWN.match(reply), REFERENCE.match(reply), FULL.match(reply)
    held = belief.booked if belief.booked and belief.booked[2] == command.subject else None
    if command.verb == "book" and full:
        belief.full.add((command.subject, full[1]))
    elif command.verb == "book" and reference:
        belief.booked = (command.subject, command.slots, reference[1])
    elif held and full:
        belief.full.add((held[0], full[1]))
    elif held and reference:
        belief.booked = (held[0], {**held[1], **command.slots}, held[2])
    elif shown and command.verb == "find" and command.subject == belief.domain:
        names = [] if shown[1] == "none" else shown[1].split(", ")
        belief.names[frozenset(command.slots.items())] = names
    elif shown and command.verb == "lookup":
        name, _, asked = command.subject.rpartition(" ")
        told, _, detail = shown[1].partition(" ")
        if told == asked:
            belief.details[name, asked] = detail


def act(belief: Belief) -> str:
    """Say what is best to say."""
    missing = belief.missing()
    if missing:
        return ASK[missing[0]]
    kind = DOMAINS[belief.domain]
    names = belief.names.get(frozenset(belief.query().items()))
    if names is None:
        return write_command("find", belief.domain, belief.query())
    if not names:
        return ANOTHER[kind.relaxed]
    if not belief.books:
        return _inform(belief, names[0])
    wanted = {slot: belief.slots[slot] for slot in kind.booking}
    free = [name for name in names if (name.lower(), wanted["day"]) not in belief.full]
    if not free:
        return f"{names[-1]} is full on {wanted['day']}. Another day?"
    held = next((n for n in free if belief.booked and n.lower() == belief.booked[0]), None)
    if held is None or belief.booked is None:
        return write_command("book", free[0], wanted)
    _, booked, reference = belief.booked
    if booked != wanted:
        changed = {slot: value for slot, value in wanted.items() if booked[slot] != value}
        return write_command("change", reference, changed)
    return TELL[BOOK].format(held, reference) if belief.want == BOOK else _inform(belief, held)


def _inform(belief: Belief, name: str) -> str:
    """Look up what the user wants to know of a thing, or tell it."""
    detail = belief.details.get((name.lower(), belief.want))
    if detail is None:
        return f"lookup {name} {belief.want}"
    return TELL[belief.want].format(name, detail)
