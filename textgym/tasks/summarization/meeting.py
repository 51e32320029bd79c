"""Reports of meetings: what was decided, by when it is due, and who does it."""

from __future__ import annotations

from typing import NamedTuple

from textgym.tasks.draws import Draws
from textgym.tasks.summarization.report import KeyFact, Report, Step, Way, low
from textgym.tasks.summarization.words import (
    BODIES,
    DAYS,
    NUMBERS,
    PEOPLE,
    PLANS,
    TOWNS,
    Plan,
)

OPENINGS = (
    "the {body} met on {met}.",
    "on {met} the {body} came together.",
    "the {body} of {town} met on {met}.",
    "there was a meeting of the {body} on {met}.",
)
DECIDED = (
    "the members decided to {plan}.",
    "it was agreed to {plan}.",
    "after a vote it was decided to {plan}.",
)
CHARGED = (
    "{doer} will do the work.",
    "{doer} was put in charge of the work.",
    "{doer} offered to do the work.",
)
DUE = (
    "the work must be done by {due}.",
    "the last day for the work is {due}.",
    "everything has to be ready by {due}.",
)
PROPOSED = (
    "{name} proposed to {plan}.",
    "{name} wanted to {plan}.",
    "{name} asked the members to {plan}.",
)
CHOSEN = (
    "most members sided with {winner}.",
    "most members voted for the {label} plan.",
    "the plan of {winner} won the vote.",
    "the members found the plan of {loser} too costly.",
    "the {other} plan was turned down.",
)
EXCUSED = (
    "{excused} had no time, so {doer} will do the work.",
    "not {excused} but {doer} will do the work.",
    "the work was given to {doer}.",
)
VOTES = (
    "{votes} members voted for the {label} plan.",
    "the {label} plan got {votes} votes.",
    "the plan of {name} got {votes} votes.",
)
REPLACED = (
    ("{excused} was meant to do the work.", "{excused} then fell ill, so {doer} will step in."),
    ("{excused} was asked to do the work first.", "in the end {doer} took on the work."),
    ("{doer} offered to do the work.", "{excused} wanted to do the work, too, but withdrew."),
)
WITHIN = (
    "the work must be done within {days} days.",
    "there are {days} days left for the work.",
    "the members set {days} days for the work.",
)
PUT_OFF = ("the work was due on {early} at first.", "the date was later put off by {delay} days.")

ASIDES = (
    "{writer} took the minutes.",
    "{absent} was absent.",
    "the meeting lasted {minutes} minutes.",
    "there was coffee and cake.",
    "the next meeting is on {next}.",
    "{teller} told of a trip to {other_town}.",
    "there are {cash} euros in the cash box.",
    "{new} joined as a new member.",
    "the room was cold.",
    "somebody asked about the parking spaces.",
    "the agenda had {points} points.",
    "a window would not close.",
    "{late} came {delayed} minutes late.",
    "the letter from {other_town} was read out.",
    "{thanks} thanked everyone for coming.",
)
DEEP_ASIDES = (
    *ASIDES,
    "last year the members decided to {old_plan}.",
    "{writer} did a lot of work last year.",
)
"""Asides from the level "medium" on: some look like what matters."""

REFERENCES = (
    "The {body} decided to {plan}, and {doer} will do it by {due}.",
    "The {body} agreed that {doer} will {plan} by {due}.",
    "{doer} will {plan} by {due}, as the {body} decided.",
    "The {body} asked {doer} to {plan} by {due}.",
    "The {body} voted to {plan} by {due} and put {doer} in charge.",
)

RESOLVED: Step = ("decided", "agreed", "voted", "chose", "will", "has to", "is to")
DECIDED_OR_ASKED: Step = ("decided", "agreed", "voted", "chose", "asked", "told", "put")
WILL: Step = ("will", "has to", "is to", "must")
ASKED: Step = ("asked", "told")
PUT: Step = ("put",)
TO: Step = ("to",)
IN_CHARGE: Step = ("in charge",)
BY: Step = ("by",)


class Proposal(NamedTuple):
    """A plan and who proposed it."""

    name: str
    plan: Plan


def write_meeting(draws: Draws, level: str) -> Report:
    """Draw a meeting and tell it."""
    met = draws.between(0, 6)
    days = draws.between(2, 5)
    people = draws.sample(PEOPLE, 11)
    plans = draws.sample(PLANS, 4)
    town, other_town = draws.sample(TOWNS, 2)
    slots: dict[str, object] = {
        "body": draws.pick(BODIES),
        "met": DAYS[met],
        "town": town,
        "other_town": other_town,
        "plan": plans[0],
        "label": plans[0].label,
        "doer": people[0],
        "excused": people[1],
        "due": DAYS[(met + days) % 7],
    }
    proposals = [Proposal(*each) for each in zip(people[2:5], plans[:3], strict=True)]
    if level == "easy":
        body = [draws.pick(each).format_map(slots) for each in (DECIDED, CHARGED, DUE)]
    elif level == "medium":
        body = _medium(draws, slots, proposals[:2], days)
    else:
        body = _hard(draws, slots, proposals, (met, days))
    truth = {name: str(slots[name]) for name in ("body", "plan", "doer", "due")}
    return Report(
        opening=draws.pick(OPENINGS).format_map(slots),
        body=body,
        asides=ASIDES if level == "easy" else DEEP_ASIDES,
        slots=slots | _aside_slots(draws, people[5:], plans[3], (met, days)),
        references=[reference.format_map(slots) for reference in REFERENCES],
        truth={"kind": "meeting", **truth},
        key_facts=_key_facts(truth, plans[0]),
    )


def _medium(
    draws: Draws, slots: dict[str, object], proposals: list[Proposal], days: int
) -> list[str]:
    """Return two proposals, which one was chosen, who does it, and by when."""
    chosen, other = proposals
    choice = {"winner": chosen.name, "loser": other.name, "other": other.plan.label}
    due = DUE if draws.chance(0.5) else WITHIN
    rest = [
        draws.pick(EXCUSED).format_map(slots),
        draws.pick(due).format(due=slots["due"], days=NUMBERS[days]),
    ]
    return [
        *_proposed(draws, proposals),
        draws.pick(CHOSEN).format_map(slots | choice),
        *draws.shuffled(rest),
    ]


def _hard(
    draws: Draws,
    slots: dict[str, object],
    proposals: list[Proposal],
    met_and_days: tuple[int, int],
) -> list[str]:
    """Return three proposals and their votes, who does it after all, and by when after all."""
    met, days = met_and_days
    most = draws.between(5, 9)
    votes = [most, *draws.sample(range(2, most), 2)]
    counts = [
        draws.pick(VOTES).format(votes=NUMBERS[count], label=each.plan.label, name=each.name)
        for count, each in zip(votes, proposals, strict=True)
    ]
    if draws.chance(0.5) and days > 2:
        delay = draws.between(2, days - 1) if days > 3 else 2
        early = DAYS[(met + days - delay) % 7]
        due = [each.format(early=early, delay=NUMBERS[delay]) for each in PUT_OFF]
    else:
        due = [draws.pick(WITHIN).format(days=NUMBERS[days])]
    doer = [each.format_map(slots) for each in draws.pick(REPLACED)]
    rest = doer + due if draws.chance(0.5) else due + doer
    return [*_proposed(draws, proposals), *draws.shuffled(counts), *rest]


def _proposed(draws: Draws, proposals: list[Proposal]) -> list[str]:
    return [
        draws.pick(PROPOSED).format(name=each.name, plan=each.plan)
        for each in draws.shuffled(proposals)
    ]


def _aside_slots(
    draws: Draws, people: list[str], old_plan: Plan, met_and_days: tuple[int, int]
) -> dict[str, object]:
    met, days = met_and_days
    roles = ("writer", "absent", "teller", "new", "late", "thanks")
    return {
        **dict(zip(roles, people, strict=True)),
        "old_plan": old_plan,
        "next": DAYS[(met + days + draws.between(1, 6)) % 7],
        "minutes": draws.between(8, 36) * 5,
        "cash": draws.between(11, 99) * 10,
        "points": draws.between(5, 12),
        "delayed": draws.between(5, 40),
    }


def _key_facts(truth: dict[str, str], plan: Plan) -> list[KeyFact]:
    doer, due = low(truth["doer"]), low(truth["due"])
    act: Way = ((plan.verb,), (plan.thing.split()[-1],))
    return [
        KeyFact("body", ((low(truth["body"]), DECIDED_OR_ASKED),)),
        KeyFact("plan", ((RESOLVED, *act), (ASKED, doer, TO, *act))),
        KeyFact("doer", ((doer, WILL), (ASKED, doer, TO), (PUT, doer, IN_CHARGE))),
        KeyFact("due", ((BY, due),)),
    ]
