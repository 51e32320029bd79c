"""Tells a story sentence by sentence: draws its people, things and numbers and fills them in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from textgym.tasks.arithmetic.kinds import Kind
from textgym.tasks.arithmetic.more_kinds import KINDS
from textgym.tasks.arithmetic.solve import Term
from textgym.tasks.arithmetic.words import BYSTANDERS, GOODS, HE, MEN, SHE, TREATS, WOMEN
from textgym.tasks.base import Elsewhere, Fits
from textgym.tasks.draws import Draws

T = TypeVar("T")

LIMITS = {"easy": 20, "medium": 100, "hard": 120}
"""The largest number of a problem, by level."""

MOST_MOVED = 40
"""The largest number that comes or goes at once."""

MAX_NUMBERS = 3
"""How often the numbers of a story are drawn: oftener, and those drawn often would be too rare."""

LINKS = ("Then", "Later", "After that,")
LINKED = ("He ", "She ", "His ", "Her ", "The ", "A ", "All ")
"""What a sentence may begin with, in small letters, after a link."""


class Story(NamedTuple):
    """A problem in words and in numbers.

    Attributes:
        facts: The sentences that tell it, in order.
        question: What is asked.
        terms: The quantities whose sum is asked for.
        shares: What that sum is divided by; 1 for nothing.
    """

    facts: list[str]
    question: str
    terms: list[Term]
    shares: int = 1


class Teller:
    """Two people, a kind of story, and the random choices of one example.

    Args:
        draws: The example's random choices.
        level: "easy", "medium" or "hard".
        fits: Whether a key belongs to the split wanted. The key is the numbers of the story and
            what and whom it is about.
    """

    def __init__(self, draws: Draws, level: str, fits: Fits = lambda key: True) -> None:
        self.draws = draws
        self._fits = fits
        self.limit = LIMITS[level]
        self.most_times = 9 if level == "medium" else 12
        people = (draws.pick(WOMEN), draws.pick(MEN))
        female = draws.chance(0.5)
        self.slots: dict[str, str | int] = {
            **(SHE if female else HE),
            "P": people[not female],
            "Q": people[female],
        }
        self._about = str(self.slots["P"])
        self.treats = draws.sample(TREATS, 2)
        self.kind = KINDS[0]

    def choose(self, kinds: Sequence[Kind]) -> Kind:
        """Draw the kind of the story from those that can tell it, and what it is about."""
        self.kind = self.draws.pick(kinds)
        things = self.draws.pick(self.kind.slots)
        self.slots |= things
        thing = next(iter(things.values()))
        self._about = f"{thing} {self.slots['P']}" if self.kind.personal else thing
        return self.kind

    def fitting(self, draw: Callable[[], T]) -> T:
        """Draw the numbers of the story, so that they and what it is about fit the split wanted.

        Raises:
            Elsewhere: If they did not fit time after time.
        """
        for _ in range(MAX_NUMBERS):
            numbers = draw()
            if self._fits(f"{numbers} {self._about}"):
                return numbers
        raise Elsewhere

    def say(self, sentences: Sequence[str] | str, **numbers: int) -> str:
        """Return a sentence (one of several) with its slots filled."""
        sentence = sentences if isinstance(sentences, str) else self.draws.pick(sentences)
        slots = {**self.slots, **numbers}
        if "{treat}" in sentence:
            slots["treat"] = self.treats.pop()
        if "{goods}" in sentence:
            price = numbers["m"]
            fitting = [goods.many for goods in GOODS if goods.least <= price <= goods.most]
            slots["goods"] = self.draws.pick(fitting)
        return sentence.format_map(slots)

    def link(self, sentence: str) -> str:
        """Put "Then" or the like before a sentence, where it goes and half of the time."""
        name = sentence.startswith((str(self.slots["P"]), str(self.slots["Q"])))
        if not (name or sentence.startswith(LINKED)) or " then " in sentence:
            return sentence
        if self.draws.chance(0.5):
            return sentence
        rest = sentence if name else sentence[0].lower() + sentence[1:]
        return f"{self.draws.pick(LINKS)} {rest}"

    def asides(self, count: int) -> list[str]:
        """Return different sentences that do not matter."""
        said = []
        for sentence in self.draws.sample(self.kind.asides, count):
            slots = {**self.slots, "U": self.draws.pick(BYSTANDERS)}
            slots |= {"y": self.draws.between(21, 35), "z": self.draws.between(2, 12)}
            said.append(sentence.format_map(slots))
        return said

    def pair(self, sign: int) -> tuple[int, int]:
        """Draw two numbers whose sum (or difference, by the sign) has every value alike often."""
        end = self.draws.between(4 if sign > 0 else 2, self.limit - (0 if sign > 0 else 2))
        most = end - 2 if sign > 0 else self.limit - end
        moved = self.draws.between(2, min(MOST_MOVED, most))
        return end - sign * moved, moved

    def product(self, most: int) -> tuple[int, int]:
        """Draw how many times, and what, so that their product is at most `most`."""
        times = self.draws.between(2, min(9, most // 2))
        return times, self.draws.between(2, min(self.most_times, most // times))
