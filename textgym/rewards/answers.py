"""Rewards of worked answers: "Working: 3 * 4 = 12. 12 + 5 = 17. Answer: 17"."""

from __future__ import annotations

import re
from typing import NamedTuple

from textgym.rewards.base import ExampleLike, PerTextReward

WORKING, ANSWER = "Working:", "Answer:"
"""What stands before the equations (and may be left out), and before the answer."""

_match_answer = re.compile(r"\s*(-?[0-9]{1,9})\.?\s*").fullmatch
_match_equation = re.compile(r"([0-9]{1,9}) ?([-+*/]) ?([0-9]{1,9}) ?= ?([0-9]{1,9})").fullmatch


class Parsed(NamedTuple):
    """A worked answer taken apart.

    Attributes:
        answer: The number after the only "Answer:", with nothing behind it; else None.
        equations: The working's equations as "3*4=12", the smaller operand of a sum or product
            first.
        parts: How many parts the working has, whatever they are.
    """

    answer: int | None
    equations: tuple[str, ...]
    parts: int


def parse(text: str) -> Parsed:
    """Take a worked answer apart; any text will do.

    The working is what stands before "Answer:", cut up at full stops. Where "Answer:" comes more
    than once, or more than a number follows it, the rest counts as parts of the working.
    """
    working, *rest = text.split(ANSWER)
    found = _match_answer(rest[0]) if len(rest) == 1 else None
    pieces = working.strip().removeprefix(WORKING).split(".")
    if found is None:
        pieces += rest
    parts = [piece.strip() for piece in pieces if piece.strip()]
    equations = [_canonical(match) for match in map(_match_equation, parts) if match]
    return Parsed(int(found[1]) if found else None, tuple(equations), len(parts))


def _canonical(equation: re.Match[str]) -> str:
    left, operator, right, result = equation.groups()
    left, right, result = (str(int(number)) for number in (left, right, result))
    if operator in "+*" and int(left) > int(right):
        left, right = right, left
    return f"{left}{operator}{right}={result}"


class Answer(PerTextReward):
    """1 if the text ends in the right "Answer: N" and has no other answer, else 0.

    The example's ``metadata["answer"]`` is the number.
    """

    name = "answer"

    @property
    def signature(self) -> str:
        """The name, and where the answer stands."""
        return f"{self.name}(only,last)"

    def score(self, text: str, example: ExampleLike) -> float:
        """The score of one text.

        Raises:
            ValueError: ``metadata["answer"]`` is missing or is no whole number.
        """
        answer = example.metadata.get("answer")
        if not isinstance(answer, int):
            raise ValueError(
                f'reward {self.name!r} needs metadata["answer"], a whole number, in the example '
                f"with the prompt {example.prompt[:60]!r}; got {answer!r}"
            )
        return float(parse(text).answer == answer)


class Working(PerTextReward):
    """The share of the equations needed that the working has, less what else is in it, in [0, 1].

    The example's ``metadata["solutions"]`` are the ways to the answer, each a sequence of the
    equations that it needs, "3*4=12" with the smaller operand of a sum or product first. Against
    one way the score is the number of its equations that the working has, over the number of its
    equations or of the working's parts, whichever is more; so an equation that is false, not
    needed or there twice costs as much as any other text between the full stops. The best way
    counts.
    """

    name = "working"

    @property
    def signature(self) -> str:
        """The name, and what the found equations are divided by."""
        return f"{self.name}(found/max(needed,parts))"

    def score(self, text: str, example: ExampleLike) -> float:
        """The score of one text.

        Raises:
            ValueError: ``metadata["solutions"]`` is missing, empty or not made of sequences.
        """
        parsed = parse(text)
        found = set(parsed.equations)
        return max(
            len(found.intersection(way)) / max(len(way), parsed.parts)
            for way in _solutions(self.name, example)
        )


class AnswerFormat(PerTextReward):
    """How far the text has the form of a worked answer, right or wrong, in [0, 1].

    One half is for one answer, "Answer: N", at the end. The other is for the working: as many
    equations as the shortest way needs, and nothing else; see `Working` for the example's
    ``metadata["solutions"]``.
    """

    name = "answer_format"

    @property
    def signature(self) -> str:
        """The name and the two halves."""
        return f"{self.name}(answer=0.5,equations=0.5)"

    def score(self, text: str, example: ExampleLike) -> float:
        """The score of one text.

        Raises:
            ValueError: ``metadata["solutions"]`` is missing, empty or not made of sequences.
        """
        parsed = parse(text)
        needed = min(len(way) for way in _solutions(self.name, example))
        equations = min(needed, len(parsed.equations)) / max(needed, parsed.parts)
        return 0.5 * (parsed.answer is not None) + 0.5 * equations


def _solutions(name: str, example: ExampleLike) -> tuple[tuple[str, ...], ...]:
    solutions = example.metadata.get("solutions")
    ways = solutions if isinstance(solutions, (tuple, list)) else ()
    if not ways or not all(isinstance(way, (tuple, list)) and way for way in ways):
        raise ValueError(
            f'reward {name!r} needs metadata["solutions"], a sequence of ways to the answer, each '
            f'a sequence of equations such as "3*4=12", in the example with the prompt '
            f"{example.prompt[:60]!r}; got {solutions!r}"
        )
    return tuple([tuple(way) for way in ways])
