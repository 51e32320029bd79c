"""What every report is made of, and how its sentences are put in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from textgym.tasks.draws import Draws

Step = tuple[str, ...]
"""Phrases in lower case that are as good as each other."""

Way = tuple[Step, ...]
"""A way to say something: a phrase of each step, in this order, in one sentence."""

LENGTHS = {"easy": (5, 6), "medium": (7, 9), "hard": (10, 15)}
"""The fewest and the most sentences of a report, by level."""


@dataclass(frozen=True, slots=True)
class KeyFact:
    """Something that a summary must say.

    Attributes:
        name: What it is about.
        says: The ways to say it.
        denies: Ways to say that it is otherwise.
    """

    name: str
    says: tuple[Way, ...]
    denies: tuple[Way, ...] = ()

    def as_metadata(self) -> dict[str, Any]:
        """Return the fact as plain data."""
        return {"name": self.name, "says": self.says, "denies": self.denies}


@dataclass(frozen=True, slots=True)
class Report:
    """A report before its sentences are put in order.

    Attributes:
        opening: The first sentence.
        body: The sentences that matter, in their order.
        asides: Templates of sentences that do not matter, at least 14 to choose from.
        slots: What the asides' slots hold.
        references: Summaries, the best one first.
        truth: What happened, by name.
        key_facts: What a summary must say.
    """

    opening: str
    body: Sequence[str]
    asides: Sequence[str]
    slots: Mapping[str, object]
    references: Sequence[str]
    truth: Mapping[str, Any]
    key_facts: Sequence[KeyFact]

    def written(self, draws: Draws, level: str) -> Iterator[str]:
        """Yield the report's text without end: each time other asides, strewn elsewhere."""
        fewest, most = LENGTHS[level]
        opening, *body = [capital(sentence) for sentence in (self.opening, *self.body)]
        told: dict[str, str] = {}
        while True:
            count = max(draws.between(fewest, most) - 1 - len(body), 1)
            asides = draws.sample(self.asides, count)
            for aside in asides:
                if aside not in told:
                    told[aside] = capital(aside.format_map(self.slots))
            sentences = merged(draws, body, [told[aside] for aside in asides])
            yield " ".join([opening, *sentences])


def merged(draws: Draws, first: Sequence[str], second: Sequence[str]) -> list[str]:
    """Return the members of both sequences, each sequence's in their order."""
    left, right = list(first), list(second)
    result = []
    while left and right:
        takes_left = draws.unit() * (len(left) + len(right)) < len(left)
        result.append((left if takes_left else right).pop(0))
    return result + left + right


def capital(sentence: str) -> str:
    """Return the sentence with a capital first letter."""
    return sentence[0].upper() + sentence[1:]


def low(name: str) -> Step:
    """Return the step that is met by one name."""
    return (name.lower(),)
