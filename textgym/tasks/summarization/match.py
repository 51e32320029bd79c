"""Reports of football matches: the score follows from the goals."""

from __future__ import annotations

from typing import NamedTuple

from textgym.tasks.draws import Draws
from textgym.tasks.summarization.report import KeyFact, Report, Step, Way, low
from textgym.tasks.summarization.words import DAYS, PEOPLE, PLAYERS, TOWNS

SCORES = {
    "easy": ((1, 0), (2, 1), (3, 2), (2, 0), (3, 1), (1, 1), (2, 2)),
    "medium": ((1, 0), (2, 1), (2, 1), (2, 0), (3, 1), (1, 1), (1, 1)),
    "hard": ((2, 1), (2, 1), (3, 2), (2, 0), (3, 1), (1, 1), (2, 2)),
}
"""The goals of the first and of the second side, by level."""

OPENINGS = (
    "{home} hosted {away} on {day}.",
    "On {day} {home} played at home against {away}.",
    "{home} and {away} met in {home} on {day}.",
    "{away} travelled to {home} on {day}.",
)
GOALS = (
    "{player} scored for {side} after {minute} minutes.",
    "After {minute} minutes {player} scored for {side}.",
    "{side} scored through {player} after {minute} minutes.",
    "{player} of {side} headed in after {minute} minutes.",
    "{player} of {side} scored from a free kick after {minute} minutes.",
)
BARE_GOALS = (
    "{player} scored after {minute} minutes.",
    "After {minute} minutes {player} found the net.",
    "{player} turned a cross into a goal after {minute} minutes.",
)
"""Goals at the level "hard", where the line-ups tell whose they are."""

ASIDES = (
    "{crowd} people came to watch.",
    "referee {referee} showed {cards} yellow cards.",
    "{idle} of {home} hit the post after {early} minutes.",
    "{unlucky} of {away} missed a penalty after {late} minutes.",
    "the {home} keeper made two fine saves.",
    "the grass was wet and slow.",
    "{home} had more of the ball.",
    "{away} had most of the corners.",
    "the match began {delay} minutes late.",
    "coach {coach} of {home} shouted all the time.",
    "the fans of {away} sang until the end.",
    "next week {home} will play against {third}.",
    "it was a cold evening.",
    "the pitch was full of holes.",
    "a dog ran across the pitch.",
)
DEEP_ASIDES = (
    *ASIDES,
    "a year ago {away} won {old} in {home}.",
    "{unlucky} of {away} scored after {offside} minutes but was offside.",
    "{idle} of {home} had a goal ruled out after {foul} minutes.",
)
"""Asides from the level "medium" on: some look like what matters."""

BEAT: Step = ("beat", "defeated", "overcame")
WON: Step = ("won", "win", "victory")
LOST: Step = ("lost", "defeat")
DREW: Step = ("drew", "draw")
ENDED: Step = (*BEAT, *WON, *LOST, *DREW)
AGAINST: Step = ("against", "over")
WINNER: Step = ("winning goal", "winner", "decisive goal", "deciding goal")
TWICE: Step = ("scored twice", "two goals", "both goals")
LEVELLER: Step = ("equaliser", "equalizer", "levelled")
FROM: Step = ("by", "from")
TO: Step = ("to", "against")
AND: Step = ("and",)
FOR: Step = ("for", "of")

WON_BY_ONE = (
    "{first} beat {second} {score}, and {hero} scored the winning goal.",
    "{hero} scored the winning goal as {first} beat {second} {score}.",
    "{second} lost {score} to {first}, and {hero} scored the winning goal.",
    "{first} won {score} against {second} with a winning goal by {hero}.",
    "A winning goal by {hero} gave {first} a {score} win over {second}.",
)
WON_BY_TWO = (
    "{first} beat {second} {score}, and {hero} scored twice.",
    "{hero} scored twice as {first} beat {second} {score}.",
    "{second} lost {score} to {first}, and {hero} scored twice.",
    "{first} won {score} against {second} with two goals by {hero}.",
    "Two goals by {hero} gave {first} a {score} win over {second}.",
)
DRAWN = (
    "{first} and {second} drew {score}, and {hero} scored the equaliser.",
    "{second} and {first} drew {score}, and {hero} scored the equaliser.",
    "{hero} scored the equaliser as {first} drew {score} with {second}.",
    "{first} drew {score} with {second} after an equaliser by {hero}.",
    "An equaliser by {hero} gave {first} a {score} draw with {second}.",
)
PLAIN_RESULTS = (
    ("the match ended {score}.", "{hero} of {first} scored the equaliser."),
    ("{first} won {score}.", "{hero} scored the winning goal."),
    ("{first} won {score}.", "{hero} scored twice for {first}."),
)
"""What is told at the level "easy", by the margin of the score."""


class Goal(NamedTuple):
    """Who scored, for which side, and when."""

    player: str
    side: str
    minute: int


def write_match(draws: Draws, level: str) -> Report:
    """Draw a match and tell it; `first` is the winner, or the side that equalised."""
    home, away, third = draws.sample(TOWNS, 3)
    first, second = (home, away) if draws.chance(0.5) else (away, home)
    score = draws.pick(SCORES[level])
    margin = score[0] - score[1]
    players = draws.sample(PLAYERS, 8)
    minutes = draws.sample(range(3, 90), sum(score) + 4)
    goals = _goals(draws, (first, second), score, (players, sorted(minutes[4:])))
    hero = players[0] if margin == 2 else [goal for goal in goals if goal.side == first][-1].player
    slots = {"first": first, "second": second, "hero": hero, "score": f"{score[0]}-{score[1]}"}
    slots |= {"home": home, "away": away, "third": third, "day": draws.pick(DAYS)}
    results = (DRAWN, WON_BY_ONE, WON_BY_TWO)[margin]
    if level == "easy":
        body = [each.format_map(slots) for each in PLAIN_RESULTS[margin]]
    else:
        squads = {home: players[6:7], away: players[7:]} if level == "hard" else {}
        body = _told(draws, goals, squads)
    return Report(
        opening=draws.pick(OPENINGS).format_map(slots),
        body=body,
        asides=ASIDES if level == "easy" else DEEP_ASIDES,
        slots=slots | _aside_slots(draws, players[6:], minutes[:4]),
        references=[reference.format_map(slots) for reference in results],
        truth={
            "kind": "match",
            "winner": first if margin else None,
            "sides": (first, second),
            "score": score,
            "hero": hero,
        },
        key_facts=_key_facts(slots, margin),
    )


def _goals(
    draws: Draws,
    sides: tuple[str, str],
    score: tuple[int, int],
    players_and_minutes: tuple[list[str], list[int]],
) -> list[Goal]:
    """Return the goals in time; three players a side, and a win by two has one who scores twice."""
    first, second = sides
    players, minutes = players_and_minutes
    order = draws.shuffled([first] * score[0] + [second] * score[1])
    if score[0] == score[1]:  # the side that is behind scores last
        order.remove(first)
        order.append(first)
    scorers = {first: players[:3], second: players[3:6]}
    if score[0] - score[1] == 2:
        scorers[first] = draws.shuffled(players[:1] * 2 + players[1:2] * (score[0] - 2))
    return [
        Goal(scorers[side][order[:i].count(side)], side, minute)
        for i, (side, minute) in enumerate(zip(order, minutes, strict=True))
    ]


def _told(draws: Draws, goals: list[Goal], squads: dict[str, list[str]]) -> list[str]:
    """Return the sentences that tell the goals; line-ups come first, where sides have squads.

    Args:
        draws: The report's.
        goals: The goals in time.
        squads: Players of each side that do not score; empty where goals name the sides.
    """
    told = []
    for side, squad in squads.items():
        scorers = {goal.player for goal in goals if goal.side == side}
        told.append(f"{_listed(draws.shuffled([*sorted(scorers), *squad]))} played for {side}.")
    for goal in goals:
        template = draws.pick(BARE_GOALS if squads else GOALS)
        told.append(template.format(player=goal.player, side=goal.side, minute=goal.minute))
    return told


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _aside_slots(draws: Draws, idle: list[str], minutes: list[int]) -> dict[str, object]:
    referee, coach = draws.sample(PEOPLE, 2)
    return {
        "idle": idle[0],
        "unlucky": idle[1],
        **dict(zip(("early", "late", "offside", "foul"), minutes, strict=True)),
        "referee": referee,
        "coach": coach,
        "crowd": draws.between(3, 90) * 100,
        "cards": draws.between(2, 6),
        "delay": draws.between(2, 20),
        "old": f"{draws.between(4, 6)}-{draws.between(0, 3)}",
    }


def _key_facts(slots: dict[str, str], margin: int) -> list[KeyFact]:
    first, second, hero, score = (low(slots[name]) for name in ("first", "second", "hero", "score"))
    if margin == 0:
        result = KeyFact(
            "draw",
            (
                (first, DREW, second),
                (second, DREW, first),
                (first, AND, second, DREW),
                (second, AND, first, DREW),
            ),
            ((BEAT,), (WON,), (LOST,)),
        )
    else:
        false_ways = _won(second, first)
        result = KeyFact("winner", _won(first, second), (*false_ways, (DREW,)))
    deed = (LEVELLER, WINNER, TWICE)[margin]
    others: dict[int, tuple[Step, ...]] = {0: (WINNER, TWICE), 1: (LEVELLER, TWICE), 2: (LEVELLER,)}
    return [
        result,
        KeyFact("score", ((ENDED, score), (score, ENDED))),
        KeyFact(
            "hero",
            ((hero, deed), (deed, FROM, hero)),
            ((hero, FOR, second), *((hero, other) for other in others[margin])),
        ),
    ]


def _won(winner: Step, loser: Step) -> tuple[Way, ...]:
    return ((winner, BEAT, loser), (winner, WON, AGAINST, loser), (loser, LOST, TO, winner))
