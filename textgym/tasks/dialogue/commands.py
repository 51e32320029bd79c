"""The notation of commands to the knowledge base."""

from __future__ import annotations

from typing import NamedTuple

from textgym.tasks.dialogue.domains import CANONICAL

VERBS = ("find", "book", "change", "lookup")


class Command(NamedTuple):
    """A turn that speaks to the knowledge base.

    Attributes:
        verb: One of `VERBS`.
        subject: The words between the verb and the first slot, in lower case: a domain, a name, a
            reference, or a name and a field.
        slots: The values by slot.
        error: What is wrong with the notation; empty if nothing is.
    """

    verb: str
    subject: str
    slots: dict[str, str]
    error: str = ""


def parse_command(turn: str) -> Command | None:
    """Read a turn as a command; None if it is none, for its first word is no verb of `VERBS`."""
    words = turn.lower().split()
    if not words or words[0] not in VERBS:
        return None
    subject = 1
    while subject < len(words) and "=" not in words[subject]:
        subject += 1
    slots: dict[str, str] = {}
    error = ""
    for word in words[subject:]:
        slot, _, value = word.partition("=")
        if slot not in CANONICAL:
            error = "unknown slot"
        elif value not in CANONICAL[slot]:
            error = f"unknown {slot}"
        else:
            slots[slot] = CANONICAL[slot][value]
    return Command(words[0], " ".join(words[1:subject]), slots, error)


def write_command(verb: str, subject: str, slots: dict[str, str]) -> str:
    """Write a command: "book Lotus Garden day=Friday people=4"."""
    return " ".join([verb, subject, *(f"{slot}={value}" for slot, value in slots.items())])
