"""The summarization task: reports whose facts are drawn, and what matters in them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import ClassVar

import numpy as np

from textgym.tasks.base import AimedTask, Example, Fits
from textgym.tasks.draws import Draws
from textgym.tasks.summarization.match import write_match
from textgym.tasks.summarization.meeting import write_meeting
from textgym.tasks.summarization.report import Report
from textgym.tasks.summarization.sales import write_sales
from textgym.tasks.summarization.weather import write_weather
from textgym.tasks.summarization.words import VALUES

LIMITS = {"easy": (104, 40), "medium": (184, 40), "hard": (256, 40)}
"""The most tokens of a prompt and of an answer with its EOS, by level."""

MAX_TEXTS = 100
"""How many texts of one report are tried before its split is given up."""

KINDS: tuple[Callable[[Draws, str], Report], ...] = (
    write_match,
    write_meeting,
    write_weather,
    write_sales,
)


class SummarizationTask(AimedTask):
    """Sum up a report in one sentence that keeps what matters and says nothing else.

    A report tells of a football match, a meeting, a day's weather or a quarter's sales. What
    happened is drawn first, so that it fits together: scores follow from goals, the high from the
    temperatures, deadlines from dates, changes from totals. It is then written up, with sentences
    that do not matter, some of which look as if they did. A summary says

    - of a match: who won, the score, and who scored the winning goal, the equaliser or twice;
    - of a meeting: who decided what, who does it, and by when;
    - of a day's weather: where what turned to what, when, and the highest temperature;
    - of a quarter: whose sales they were, the total, the change, and the best product.

    Example prompt, at the level "medium"::

        The council of Harwick met on Friday. Leo wanted to update the website. Carla wanted to
        install an alarm. Most members sided with Carla. Tara joined as a new member. Amira had
        no time, so Tom will do the work. The last day for the work is Wednesday.

    Answer::

        The council decided to install an alarm, and Tom will do it by Wednesday.

    Levels: "easy" has 5 or 6 sentences and says outright what matters. "medium" (the default) has
    7 to 9: goals are to be counted, the plan is told by who proposed it, umbrellas stand for rain,
    the highest of several numbers counts. "hard" has 10 to 15: line-ups tell whose a goal is,
    votes decide, people and dates are replaced, temperatures and sales are told relative to
    others, and the total is to be summed. In 10,000 draws a prompt hardly ever recurs, so each
    level has far more than 10**6 distinct ones (see `TranslationTask` for the estimate).

    References: the same facts in four or five wordings, the plainest one first; the expert is the
    first. The default reward is half "rouge_l" and half "key_facts".

    Metadata: "level"; "truth", what happened, with its "kind" ("match", "meeting", "weather" or
    "sales"); "key_facts", for each fact its "name" and the ways to state and to deny it; and
    "values", the names and things of this world. The last two are what the reward "key_facts"
    reads.

    Args:
        level: "easy", "medium" or "hard"; None is "medium".
        seed: Another seed draws other examples.

    Raises:
        ValueError: If the level is unknown or the seed is negative.
    """

    name = "summarization"
    levels: ClassVar[tuple[str, ...]] = ("easy", "medium", "hard")

    def __init__(self, *, level: str | None = None, seed: int = 0) -> None:
        super().__init__(level=level, seed=seed)
        self.max_prompt_tokens, self.max_new_tokens = LIMITS[self.level]

    def attempt(self, rng: np.random.Generator, fits: Fits) -> Example | None:
        """Draw what happened, sum it up, and tell it with asides until a text fits."""
        draws = Draws(rng)
        report = draws.pick(KINDS)(draws, self.level)
        prompts = (f"{text}\n" for text in islice(report.written(draws, self.level), MAX_TEXTS))
        prompt = next(filter(fits, prompts), None)
        if prompt is None:
            return None
        metadata = {
            "level": self.level,
            "truth": report.truth,
            "key_facts": [fact.as_metadata() for fact in report.key_facts],
            "values": VALUES,
        }
        return Example(prompt, tuple(report.references), metadata)
