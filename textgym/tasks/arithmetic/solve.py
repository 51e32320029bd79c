"""From the quantities of a problem to every way of working it out, and how a way is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Term(NamedTuple):
    """A quantity that is added or taken away: `sign * value * times`, all whole numbers >= 1."""

    value: int
    times: int = 1
    sign: int = 1

    @property
    def amount(self) -> int:
        """The quantity without its sign."""
        return self.value * self.times


class Step(NamedTuple):
    """One equation of whole numbers."""

    left: int
    operator: str
    right: int
    result: int

    def swapped(self) -> Step:
        """Return the equation with its operands changed round, where that is allowed."""
        if self.operator in "+*":
            return Step(self.right, self.operator, self.left, self.result)
        return self

    def canonical(self) -> str:
        """Return one spelling for equations that differ in the order of operands: "3*4=12"."""
        left, right = self.left, self.right
        if self.operator in "+*" and left > right:
            left, right = right, left
        return f"{left}{self.operator}{right}={self.result}"

    def __str__(self) -> str:
        """Return the equation as it is written: "3 * 4 = 12"."""
        return f"{self.left} {self.operator} {self.right} = {self.result}"


Way = tuple[Step, ...]


def ways(terms: Sequence[Term], shares: int = 1) -> list[Way]:
    """Return every way of working out the sum of the terms, divided by `shares`.

    Products come first, then the terms are put together two at a time, in every order that needs
    no number below 1, and the division comes last. The first way goes from left to right.

    Args:
        terms: The quantities in the order of the story; their sum is a multiple of `shares`, and
            no sum on the way from left to right is below 1.
        shares: What the sum is divided by; 1 divides nothing.
    """
    products: dict[str, Step] = {}
    for term in terms:
        if term.times > 1:
            step = Step(term.times, "*", term.value, term.amount)
            products.setdefault(step.canonical(), step)
    distinct: dict[frozenset[str], Way] = {}
    for sums in _sums([term.sign * term.amount for term in terms]):
        steps = [*products.values(), *sums]
        if shares > 1:
            total = steps[-1].result
            steps.append(Step(total, "/", shares, total // shares))
        distinct.setdefault(frozenset(step.canonical() for step in steps), tuple(steps))
    return list(distinct.values())


def _sums(amounts: list[int]) -> Iterator[list[Step]]:
    """Yield the steps of each way to put signed amounts together, none of them 0."""
    if len(amounts) == 1:
        yield []
        return
    for i, first in enumerate(amounts):
        for j in range(i + 1, len(amounts)):
            second = amounts[j]
            step = _sum(first, second)
            if step is not None:
                rest = [first + second, *amounts[:i], *amounts[i + 1 : j], *amounts[j + 1 :]]
                for steps in _sums(rest):
                    yield [step, *steps]


def _sum(first: int, second: int) -> Step | None:
    """Return the equation that puts two signed amounts together; None if they cancel out."""
    if first + second == 0:
        return None
    left, right = abs(first), abs(second)
    if (first > 0) == (second > 0):
        return Step(left, "+", right, left + right)
    return Step(max(left, right), "-", min(left, right), abs(left - right))


def written(way: Way) -> str:
    """Return a working and its answer: "Working: 3 * 4 = 12. 12 + 5 = 17. Answer: 17"."""
    equations = " ".join([f"{step}." for step in way])
    return f"Working: {equations} Answer: {way[-1].result}"
