"""A goal in the course of a conversation: what the user holds to, says and changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textgym.tasks.dialogue.domains import ANY, BOOK, DOMAINS

OBJECTION = "That is not right."


class Wish:
    """One thing that the user wants, and how far it has come.

    Args:
        facts: The goal, as `Goal.as_facts` gives it.

    Attributes:
        domain: What it is about.
        want: `BOOK`, or the field to look up; a question about a booking changes it.
        books: Whether there has to be a booking.
        slots: The values that the user wants now.
        found: Whether it was searched for by all that the user wanted then.
        acted: Whether something as wished was booked or looked up.
        done: Whether the user is satisfied.
    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.domain: str = facts["domain"]
        self.want: str = facts["want"]
        self.opening: str = facts["opening"]
        self.slots: dict[str, str] = dict(facts["slots"])
        self.books = self.want == BOOK
        self.found = self.acted = self.done = False
        self._lines: dict[str, str] = dict(facts["lines"])
        self._missing: list[str] = list(facts["missing"])
        self._elicited: set[str] = set()
        self._dodge: str = facts["dodge"]
        self._changes: list[dict[str, str]] = list(facts["changes"])
        self._alternative: dict[str, str] | None = facts["alternative"]
        self._turned = 0
        self._turning_points = len(self._changes) + (self._alternative is not None)

    def steps(self) -> tuple[int, int]:
        """How many steps of the way are done, and how many there are.

        A step is each slot that the opening left out, each change of mind, the search, the booking
        or what was looked up, and the user's satisfaction.
        """
        total = len(self._missing) + self._turning_points + 3
        done = len(self._elicited) + self._turned + self.found + self.acted
        return (total if self.done else done), total

    def searched_by(self, query: Mapping[str, str]) -> bool:
        """Whether a query names all that the user minds about."""
        search = DOMAINS[self.domain].search
        return all(self.slots[slot] in (ANY, query.get(slot)) for slot in search)

    def answer(self, slot: str, refused: bool) -> str:
        """Answer the question for a slot; empty where it does not matter.

        Args:
            slot: The slot.
            refused: Whether the knowledge base has said that something is not to be had.
        """
        if slot not in self.slots:
            return ""
        if refused and self._alternative is not None and self._alternative["slot"] == slot:
            change, self._alternative = self._alternative, None
            return self._take(change)
        if self._dodge and self._dodge != slot:
            slot, self._dodge = self._dodge, ""
        return self._say(slot)

    def objection(self, values: Mapping[str, str]) -> str:
        """Name the first slot in which something is not as wished; empty where all is well."""
        for slot, wished in self.slots.items():
            if slot in values and wished not in (ANY, values[slot]):
                return f"{OBJECTION} {self._say(slot)}"
        return ""

    def change(self, *moments: str) -> str:
        """Make the next change of mind of such a moment, and say so; empty where there is none."""
        for change in self._changes:
            if change["moment"] in moments:
                self._changes.remove(change)
                return self._take(change)
        return ""

    def met(self, values: Mapping[str, str]) -> float:
        """The share of the slots, after all changes still to come, that some values meet."""
        to_come = [*self._changes, *([self._alternative] if self._alternative else [])]
        final = {**self.slots, **{c["slot"]: c["value"] for c in to_come if "slot" in c}}
        return sum(final[slot] in (ANY, values.get(slot)) for slot in final) / len(final)

    def _say(self, slot: str) -> str:
        if slot in self._missing:
            self._elicited.add(slot)
        return self._lines[slot]

    def _take(self, change: Mapping[str, str]) -> str:
        self._turned += 1
        if "want" in change:
            self.want = change["want"]
        else:
            self.slots[change["slot"]] = change["value"]
            self._lines[change["slot"]] = change["line"]
        return change["line"]
