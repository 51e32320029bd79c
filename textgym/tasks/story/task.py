"""The story task: openings, words and moods, and stories that go on from them."""

from __future__ import annotations

import numpy as np

from textgym.tasks.base import AimedTask, Example, Fits
from textgym.tasks.draws import Draws
from textgym.tasks.story.words import ARRIVALS, FOOD, MEN, PLACES, THINGS, TIMES, WOMEN, Noun, Place
from textgym.tasks.story.writer import Hero, Storyteller

SHAPES = {
    "easy": ((1, 1), (2, 1)),
    "medium": ((2, 2), (2, 3), (3, 2), (3, 3)),
    "hard": ((4, 3), (4, 4), (5, 3), (5, 4)),
}
"""How many words are asked for and how many sentences the references have, by level."""

LIMITS = {"easy": (48, 48), "medium": (52, 96), "hard": (68, 132)}
"""The longest prompt, and the room for an answer and its EOS, in tokens, by level."""

TURNING = 0.5
"""How often the mood turns in a story of four sentences."""

BAG = ("person", "person", "animal", "thing", "thing", "thing", "food", "sight", "sight")
"""What the asked words are, drawn without replacement."""

MAX_REFERENCES = 3

MAX_OPENINGS = 100
"""How many openings are drawn for one story before its split is given up."""


class StoryTask(AimedTask):
    r"""Continue an opening so that the given words and the given mood appear.

    The prompt asks for a mood and for words, and tells who went where; the answer goes on. For
    instance::

        Write a happy story with: lighthouse, letter.
        On Monday morning, Mara walked to the old harbour.

        She opened a short letter and found kind words inside. Later, she admired a white
        lighthouse, which was beautiful, so she smiled.

    Words are nouns that fit the place: people, animals, things, food and fixtures. Each of the
    two or three references uses every word in a role that suits it, keeps to the person and the
    tense of the opening, and tells the mood by what happens and by how the person feels.

    Levels: "easy" asks for one or two words and has references of one sentence, "medium" (the
    default) for two or three words in two or three sentences, "hard" for four or five words in
    three or four sentences; in a quarter of the hard stories the mood has to turn ("Write a story
    that turns from sad to happy with: ...").

    Metadata: "keywords", the asked words, a list of strings; "sentiment", "happy" or "sad", or
    both in a list where the mood turns; "level".

    The default reward adds up the words that are used in a known context ("fluent_coverage",
    0.3), the mood of what stands in a known context ("fluent_sentiment", 0.2), the share of such
    tokens ("fluency", 0.3), "non_repetition" (0.1) and "diversity" (0.1). Known trigrams earn
    half of the first three, known clauses the rest. The expert answers with a reference.

    Even "easy" has more than 10**8 prompts: 2 moods, 40 times, 80 names, 22 places under 3 names
    and 6 verbs make 2 million openings, each with at least 80 words to ask for.
    """

    name = "story"

    def __init__(self, *, level: str | None = None, seed: int = 0) -> None:
        super().__init__(level=level, seed=seed)
        self.max_prompt_tokens, self.max_new_tokens = LIMITS[self.level]

    def attempt(self, rng: np.random.Generator, fits: Fits) -> Example | None:
        """Draw a mood and words, write up to three stories, and draw openings until one fits."""
        draws = Draws(rng)
        place = draws.pick(PLACES)
        count, sentences = draws.pick(SHAPES[self.level])
        words = _draw_words(draws, place, count)
        moods = _draw_moods(draws, sentences)
        hero = _draw_hero(draws)
        teller = Storyteller(draws, hero, words, moods, indoors=place.indoors)
        references = tuple(dict.fromkeys(teller.story() for _ in range(MAX_REFERENCES)))
        keywords = [word.word for word in draws.shuffled(words)]
        feelings = list(dict.fromkeys(moods))
        request = f"{_request(feelings)} with: {', '.join(keywords)}.\n"
        prompts = (f"{request}{_opening(draws, hero, place)}\n" for _ in range(MAX_OPENINGS))
        prompt = next(filter(fits, prompts), None)
        if prompt is None:
            return None
        sentiment = feelings if len(feelings) > 1 else feelings[0]
        metadata = {"keywords": keywords, "sentiment": sentiment, "level": self.level}
        return Example(prompt, references, metadata)


def _draw_words(draws: Draws, place: Place, count: int) -> list[Noun]:
    """Draw nouns that may be met at a place, all different."""
    pools = {"person": place.people, "animal": place.animals, "sight": place.sights}
    kinds = draws.sample(BAG, count)
    chosen: list[Noun] = []
    for kind in kinds:
        pool = pools.get(kind) or (FOOD if kind == "food" else THINGS)
        while (word := draws.pick(pool)) in chosen:
            continue
        chosen.append(word)
    return chosen


def _draw_moods(draws: Draws, sentences: int) -> list[str]:
    first, second = draws.shuffled(("happy", "sad"))
    if sentences == 4 and draws.chance(TURNING):
        return [first, first, second, second]
    return [first] * sentences


def _draw_hero(draws: Draws) -> Hero:
    if draws.chance(0.5):
        return Hero(draws.pick(WOMEN), "she", "her", "her")
    return Hero(draws.pick(MEN), "he", "him", "his")


def _request(feelings: list[str]) -> str:
    if len(feelings) == 1:
        return f"Write a {feelings[0]} story"
    return f"Write a story that turns from {feelings[0]} to {feelings[1]}"


def _opening(draws: Draws, hero: Hero, place: Place) -> str:
    name = f"{draws.pick(('', *place.adjectives))} {place.name}".strip()
    return f"{draws.pick(TIMES)}, {hero.name} {draws.pick(ARRIVALS)} the {name}."
