"""The recommendation task: from a user's ratings to a ranked list of titles."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np

from textgym.tasks.base import AimedTask, Example, Fits
from textgym.tasks.draws import Draws
from textgym.tasks.recommendation.catalogue import catalogue


class Setting(NamedTuple):
    """What a level is made of.

    Attributes:
        genres: The tastes of a user; more have more titles in the catalogue.
        rated: Titles in the history.
        candidates: Titles on offer; None offers every title that is not in the history.
        relevant: How many of those on offer gain anything.
        k: The length of the list asked for.
        prompt_tokens: A bound on the tokens of a prompt: all titles as long as the longest ones.
        new_tokens: Likewise for an answer, EOS included.
    """

    genres: int
    rated: int
    candidates: int | None
    relevant: int
    k: int
    prompt_tokens: int
    new_tokens: int


SETTINGS = {
    "easy": Setting(4, 6, 8, 3, 3, 60, 20),
    "medium": Setting(5, 8, 10, 4, 4, 76, 24),
    "hard": Setting(6, 12, None, 15, 5, 60, 28),
}

SPREAD = 1.25
"""Standard deviation of a user's taste for a genre, in stars; a neutral title has 3."""

MAX_ORDERS = 100
"""How many orders of a history are tried for one example before its split is given up."""

NOISE = 0.4
"""Standard deviation of a rating about the user's true one, in stars, before rounding."""


class RecommendationTask(AimedTask):
    """Recommend films to a user: from a few ratings to a ranked list of titles.

    The agent reads how many stars, 1 to 5, a user gave to some films, and lists the best others
    for that user, best first, separated by "; ". A prompt and its answer:

        Ratings: Tender Zombie 2; Ghostly Rocket 3; Galactic Wedding 4; Stolen Bride 4; Distant
        Parrot 3; Crooked Uncle 4; Creepy Clown 2; Creepy Alien 2
        Candidates: Haunted Kiss; Guilty Tomb; Stolen Picnic; Beloved Alibi; Merry Planet; Galactic
        Zombie; Martian Heist; Cosmic Detective; Guilty Parrot; Tender Butler
        Best 4:

        Tender Butler; Beloved Alibi; Haunted Kiss; Stolen Picnic

    Users come from a latent-factor model, so the ideal ranking is known. A taste is one number a
    genre, normal with a standard deviation of `SPREAD` stars. A title offers to two genres, its
    noun's more than its adjective's (`catalogue`), and the user's liking of it is the product of
    taste and offer. A rating is 3 stars plus the liking plus noise, rounded. The noise-free liking
    makes the ideal ranking, from which the gains are drawn: 1 for the best title on offer, falling
    with the liking, 0 for all but a few.

    Levels: "easy" has 60 titles of 4 genres, 6 rated and 8 on offer, 3 of them asked for; "medium"
    (the default) 100 titles of 5 genres, 8 rated and 10 on offer, 4 asked for; "hard" 150 titles of
    6 genres, 12 rated, and the agent knows the catalogue by heart: 5 titles of all the others. The
    histories alone are more than 10**10 at each level.

    Metadata: "level", "k" (titles asked for), "relevance" (gains in [0, 1] by title, best first;
    what is left out gains 0), "history" (stars by title), "candidates" (the titles on offer),
    "tastes" (in stars, by genre).

    The default reward is "ndcg": NDCG@k of the list, where titles that are not on offer or come
    twice gain nothing. The expert is the ideal ranking, which knows the user's tastes. Mean NDCG of
    2,000 examples, easy, medium and hard: what can be known, the ranking by the posterior mean of
    the tastes given the ratings, 0.83, 0.87 and 0.76; the titles most like the one best rated 0.63,
    0.65 and 0.26; the most popular titles 0.38, 0.40 and 0.14; titles at random 0.33, 0.34 and
    0.06; what is not a list of titles 0.

    Args:
        level: "easy", "medium" or "hard"; None is "medium".
        seed: Another seed draws other examples.
    """

    name = "recommendation"
    levels: ClassVar[tuple[str, ...]] = ("easy", "medium", "hard")

    def __init__(self, *, level: str | None = None, seed: int = 0) -> None:
        super().__init__(level=level, seed=seed)
        self.setting = SETTINGS[self.level]
        self.catalogue = catalogue(self.setting.genres)
        self.max_prompt_tokens = self.setting.prompt_tokens
        self.max_new_tokens = self.setting.new_tokens

    def attempt(self, rng: np.random.Generator, fits: Fits) -> Example | None:
        """Draw a user, a history and, below "hard", candidates; reorder the history to fit."""
        setting, titles = self.setting, self.catalogue.titles
        taste = SPREAD * rng.standard_normal(setting.genres)
        likings = self.catalogue.factors @ taste
        order = rng.permutation(len(titles))
        rated, offered = order[: setting.rated], order[setting.rated :][: setting.candidates]
        noise = NOISE * rng.standard_normal(setting.rated)
        stars = np.rint(3 + likings[rated] + noise).clip(1, 5).astype(int).tolist()
        history = list(zip([titles[i] for i in rated.tolist()], stars, strict=True))
        candidates = tuple([titles[i] for i in offered.tolist()])
        draws = Draws(rng)
        for _ in range(MAX_ORDERS):
            prompt = self._prompt(history, candidates)
            if fits(prompt):
                break
            history = draws.shuffled(history)
        else:
            return None
        relevance = self._relevance(offered, likings[offered])
        metadata = {
            "level": self.level,
            "k": setting.k,
            "relevance": relevance,
            "history": dict(history),
            "candidates": candidates,
            "tastes": dict(zip(self.catalogue.genres, taste.round(2).tolist(), strict=True)),
        }
        best = "; ".join(list(relevance)[: setting.k])
        return Example(prompt, (best,), metadata)

    def _relevance(
        self, offered: np.ndarray[tuple[int], np.dtype[np.int64]], likings: np.ndarray
    ) -> dict[str, float]:
        """Return the gains of the best titles on offer, best first, by title.

        Gains fall linearly with the user's noise-free liking, from 1 for the best title to 0 for
        the first that does not count as relevant, and are rounded to hundredths.
        """
        best = np.argsort(-likings)[: self.setting.relevant + 1]
        first, last = likings[best[0]], likings[best[-1]]
        gains = ((likings[best[:-1]] - last) / (first - last)).round(2).tolist()
        titles = [self.catalogue.titles[i] for i in offered[best[:-1]].tolist()]
        return dict(zip(titles, gains, strict=True))

    def _prompt(self, history: list[tuple[str, int]], candidates: tuple[str, ...]) -> str:
        ratings = "; ".join([f"{title} {stars}" for title, stars in history])
        if self.setting.candidates is None:
            return f"Ratings: {ratings}\nBest {self.setting.k} unseen titles:\n"
        offer = "; ".join(candidates)
        return f"Ratings: {ratings}\nCandidates: {offer}\nBest {self.setting.k}:\n"
