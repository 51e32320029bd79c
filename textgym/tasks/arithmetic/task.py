"""The arithmetic task: a word problem, its working and its answer."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from textgym.tasks.arithmetic.shapes import SHAPES
from textgym.tasks.arithmetic.solve import Way, ways, written
from textgym.tasks.arithmetic.teller import Story, Teller
from textgym.tasks.base import AimedTask, Elsewhere, Example, Fits
from textgym.tasks.draws import Draws

TOKENS = {"easy": (48, 20), "medium": (64, 32), "hard": (112, 40)}
"""The most tokens of a prompt, and of an answer with its EOS, by level."""

OVERALL = ("in the end?", "in all?", "at first?")
"""How questions end that can stand before the story."""

MOST_REFERENCES = 4

MAX_STORIES = 1000
"""How many stories are begun for one example before its split is given up."""


class ArithmeticTask(AimedTask):
    """Solve a word problem, with the working.

    The agent reads a story of a few sentences and a question, and answers with one equation a step
    and the answer, a whole number. A prompt and its answer:

        Rosa planned a tour of 62 miles. She cycled 9 miles a day for 6 days. How many miles did
        Rosa still have to go?

        Working: 6 * 9 = 54. 62 - 54 = 8. Answer: 8

    Numbers are plain decimals, and every one follows a space, so that a byte-level BPE writes a
    number alike wherever it stands. There are thirteen kinds of story: collections, baking,
    harvests, eggs, money, a way ahead and a way behind, a book, a shop, a train, a hall, a camp
    and purchases.

    Levels: "easy" takes one step with + or - and numbers up to 20; "medium" (the default) two
    steps with +, - and * and numbers up to 100; "hard" three steps with / as well and numbers up
    to 120, and one or two numbers in the story do not matter. Some stories tell the end and ask
    for the beginning; at times the question stands first. Counted by recurrence (n draws of N
    equally likely prompts hold about n**2 / 2N that are alike) there are more than 1.7 * 10**6
    distinct prompts at "easy", 9 * 10**6 at "medium" and 10**9 at "hard".

    What decides the split is not the whole prompt, but the numbers that matter, in their roles,
    with the thing and, if there is one, the person that they are about.

    The references are up to four ways to write it: the one that follows the story, that one with
    the operands of its sums and products changed round, and other orders of the steps.

    Metadata: "level", "answer" (a whole number), "solutions" (every order of the steps, each a
    tuple of equations such as "3*4=12", the smaller operand of a sum or product first).

    The default reward is 0.6 "answer" (right or not) + 0.3 "working" (the share of the equations
    needed, less what else is there) + 0.1 "answer_format". The expert is the first reference, which
    scores 1. Always to answer the most frequent number scores 0.09, 0.06 and 0.09 at easy, medium
    and hard; random tokens score 0.

    Args:
        level: "easy", "medium" or "hard"; None is "medium".
        seed: Another seed draws other examples.
    """

    name = "arithmetic"
    levels: ClassVar[tuple[str, ...]] = ("easy", "medium", "hard")

    def __init__(self, *, level: str | None = None, seed: int = 0) -> None:
        super().__init__(level=level, seed=seed)
        self.max_prompt_tokens, self.max_new_tokens = TOKENS[self.level]

    def attempt(self, rng: np.random.Generator, fits: Fits) -> Example | None:
        """Draw a problem of the level that fits and work it out."""
        draws = Draws(rng)
        for _ in range(MAX_STORIES):
            teller = Teller(draws, self.level, fits)
            try:
                story = draws.pick(SHAPES[self.level])(teller)
                break
            except Elsewhere:
                continue
        else:
            return None
        prompt = self._prompt(story, teller)
        solutions = ways(story.terms, story.shares)
        metadata = {
            "level": self.level,
            "answer": solutions[0][-1].result,
            "solutions": tuple([tuple([step.canonical() for step in way]) for way in solutions]),
        }
        return Example(prompt, _references(solutions, teller.limit), metadata)

    def _prompt(self, story: Story, teller: Teller) -> str:
        draws, facts = teller.draws, list(story.facts)
        if self.level == "hard":
            for aside in teller.asides(draws.between(1, 2)):
                facts.insert(draws.between(1, len(facts)), aside)
        asked_of = str(teller.slots["P"])
        if asked_of in story.question and story.question.endswith(OVERALL) and draws.chance(0.3):
            return " ".join([story.question, *facts]) + "\n"
        return " ".join([*facts, story.question]) + "\n"


def _references(solutions: list[Way], limit: int) -> tuple[str, ...]:
    """Write up the first ways within the limit, and the first with its operands changed round."""
    first = solutions[0]
    swapped = tuple([step.swapped() for step in first])
    others = [way for way in solutions[1:] if max(step.result for step in way) <= limit]
    texts = dict.fromkeys([written(way) for way in (first, swapped, *others)])
    return tuple(texts)[:MOST_REFERENCES]
