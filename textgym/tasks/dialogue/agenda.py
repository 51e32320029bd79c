"""What a user wants, says and changes: the hidden half of an example, drawn all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from textgym.tasks.dialogue.domains import ANY, BOOK, DOMAINS, VALUES
from textgym.tasks.dialogue.knowledge import KnowledgeBase
from textgym.tasks.dialogue.openings import SAME, opening
from textgym.tasks.dialogue.wording import (
    ALTERNATIVES,
    ANYTHING,
    CHANGES,
    QUESTIONS,
    REVISIONS,
    answer,
    changed,
)
from textgym.tasks.draws import Draws

TWISTS = {
    "revise": 0,  # a change of mind beside an answer
    "second": 1,  # the first thing found is full: another one
    "day": 2,  # all are full: another day
    "none": 2,  # there is no such thing: give way
    "correct": 2,  # a change to the booking
    "further": 2,  # a question about what is booked
    "another": 3,  # a change of mind after the booking
}
"""What may come between, and how many turns it costs the expert."""

BOOK_SHARE = 0.75
"""How often a user wants a booking, rather than to look something up."""

ANY_SHARE = 0.15
"""How often a user does not mind about a slot, where the agent has to ask."""

SAME_SHARE = 0.6
"""How often a second goal refers to the first one, where it can."""


@dataclass(slots=True)
class Goal:
    """One thing that a user wants, as it is drawn; `as_facts` gives what the user goes by."""

    domain: str
    want: str
    slots: dict[str, str]
    missing: list[str]
    twist: str = ""
    opening: str = ""
    dodge: str = ""
    changes: list[dict[str, str]] = field(default_factory=list)
    alternative: dict[str, str] | None = None

    def final(self) -> dict[str, str]:
        """The slots as they will be after all changes."""
        changes = [c for c in self.changes if "slot" in c]
        if self.alternative:
            changes.append(self.alternative)
        return {**self.slots, **{c["slot"]: c["value"] for c in changes}}

    def expert_turns(self) -> int:
        """How many turns the expert takes: questions, find, book or look up, tell; the twist."""
        dodged = bool(self.dodge) and self.dodge not in self.missing
        return len(self.missing) + dodged + 3 + (TWISTS[self.twist] if self.twist else 0)

    def as_facts(self, draws: Draws) -> dict[str, Any]:
        """The goal as JSON-like facts, with a line for whatever the user may be asked."""
        lines = {}
        for slot, value in self.slots.items():
            indifferent = value == ANY
            lines[slot] = draws.pick(ANYTHING[slot]) if indifferent else answer(slot, value, draws)
        return {
            "domain": self.domain,
            "want": self.want,
            "opening": self.opening,
            "slots": self.slots,
            "missing": self.missing,
            "lines": lines,
            "dodge": self.dodge,
            "changes": self.changes,
            "alternative": self.alternative,
        }


def draw_goal(
    domain: str, missing: int, twists: Sequence[str], last: Goal | None, draws: Draws
) -> Goal:
    """Draw a goal, with its opening.

    Args:
        domain: What it is about.
        missing: How many slots the opening leaves out, at most.
        twists: What may come between, one of which does where it can; may be empty.
        last: The goal before it, to which it may refer.
        draws: The example's random choices.
    """
    kind = DOMAINS[domain]
    want = BOOK if draws.chance(BOOK_SHARE) else draws.pick(kind.fields)
    slots = kind.slots(want)
    missing = min(missing, len(slots) - 2)
    left_out = draws.sample(slots, missing)
    goal = Goal(domain, want, _values(slots, draws), [s for s in slots if s in left_out])
    possible = [t for t in twists if _possible(t, goal)]
    goal.twist = draws.pick(possible) if possible else ""
    if goal.twist not in ("day", "none", "second", "another"):
        for slot in goal.missing:
            if slot in ANYTHING and draws.chance(ANY_SHARE):
                goal.slots[slot] = ANY
    same = () if last is None else _same(goal, last, draws)
    _add_twist(goal, draws)
    given = {slot: goal.slots[slot] for slot in slots if slot not in goal.missing}
    goal.opening = opening(domain, want, given, same, last is None, draws)
    return goal


def _values(slots: Sequence[str], draws: Draws) -> dict[str, str]:
    values = {slot: draws.pick(VALUES[slot]) for slot in slots}
    while "from" in values and values["from"] == values["to"]:
        values["to"] = draws.pick(VALUES["to"])
    return values


def _possible(twist: str, goal: Goal) -> bool:
    if twist == "revise":
        return bool(goal.missing)
    return twist == "none" or goal.want == BOOK


def _same(goal: Goal, last: Goal, draws: Draws) -> tuple[str, ...]:
    """Give the goal values of the last one where its opening refers to them; return the slots."""
    before = last.final()
    shared = [
        slot
        for slot in SAME
        if slot in goal.slots and slot not in goal.missing and before.get(slot, ANY) != ANY
    ]
    if not shared or not draws.chance(SAME_SHARE):
        return ()
    slot = draws.pick(shared)
    goal.slots[slot] = before[slot]
    return (slot,)


def _other(slot: str, goal: Goal, draws: Draws) -> str:
    """Another value for a slot; trains go somewhere else."""
    taken = {goal.slots[slot], goal.slots.get("from"), goal.slots.get("to")}
    return draws.pick([value for value in VALUES[slot] if value not in taken])


def _add_twist(goal: Goal, draws: Draws) -> None:
    kind = DOMAINS[goal.domain]
    said = [slot for slot in goal.slots if slot not in goal.missing]
    if goal.twist == "revise":
        goal.changes.append(_change(goal, draws.pick(said), REVISIONS, draws, moment="answer"))
    elif goal.twist == "correct":
        goal.changes.append(_change(goal, draws.pick(kind.booking), CHANGES, draws))
    elif goal.twist == "another":
        minded = [slot for slot in kind.search if goal.slots[slot] != ANY]
        goal.changes.append(_change(goal, draws.pick(minded), CHANGES, draws))
    elif goal.twist == "further":
        want = draws.pick(kind.fields)
        line = f"Thanks. {draws.pick(QUESTIONS[want])}"
        goal.changes.append({"moment": "told", "want": want, "line": line})
    elif goal.twist in ("day", "none"):
        slot = "day" if goal.twist == "day" else kind.relaxed
        goal.alternative = _change(goal, slot, ALTERNATIVES, draws, moment="refused")


def _change(
    goal: Goal, slot: str, templates: tuple[str, ...], draws: Draws, moment: str = "told"
) -> dict[str, str]:
    value = _other(slot, goal, draws)
    line = changed(templates, slot, value, draws)
    return {"moment": moment, "slot": slot, "value": value, "line": line}


def draw_dodge(goal: Goal, draws: Draws) -> None:
    """Let the user answer the first question with something else."""
    taken = {goal.missing[0], *(change.get("slot", "") for change in goal.changes)}
    others = [s for s in goal.slots if s not in taken and goal.slots[s] != ANY]
    goal.dodge = draws.pick(others) if others else ""


def draw_knowledge(goals: Sequence[Goal], draws: Draws) -> dict[str, Any]:
    """Draw the facts of the knowledge base so that the twists of the goals come about."""
    facts: dict[str, Any] = {
        "seed": draws.between(0, 2**31 - 1),
        "absent": [],
        "single": [],
        "full": [],
    }
    for goal in goals:
        search = DOMAINS[goal.domain].search
        query = {slot: goal.slots[slot] for slot in search if goal.slots[slot] != ANY}
        if goal.twist == "none":
            facts["absent"].append([goal.domain, query])
        elif goal.twist == "day" or (goal.twist != "second" and draws.chance(0.5)):
            facts["single"].append([goal.domain, query])
        if goal.twist in ("day", "second"):
            first = next(KnowledgeBase(facts).matches(goal.domain, query))
            facts["full"].append([first.name, goal.slots["day"]])
    return facts
