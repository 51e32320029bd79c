"""Recommendation: the latent-factor model, the ideal ranking, and NDCG from a text."""

from __future__ import annotations

import copy
import math
import pickle
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from textgym.rewards.ranking import Ndcg
from textgym.tasks.base import SPLITS, Example
from textgym.tasks.recommendation import RecommendationTask
from textgym.tasks.recommendation.catalogue import GENRES, WORDS, catalogue
from textgym.tasks.recommendation.task import NOISE, SPREAD
from textgym.testing import check_reward, check_task
from textgym.tokenizers import load_tokenizer

LEVELS = RecommendationTask.levels
NDCG = Ndcg()


def examples(level: str, count: int) -> list[Example]:
    task = RecommendationTask(level=level)
    return [task.example(i) for i in range(count)]


def mean_score(texts: list[str], of: list[Example]) -> float:
    return float(NDCG(texts, of).mean())


# --- the catalogue


@pytest.mark.parametrize(("genres", "titles"), [(4, 60), (5, 100), (6, 150)])
def test_catalogue_has_every_pair_of_genres_alike_often(genres: int, titles: int) -> None:
    shop = catalogue(genres)
    assert len(set(shop.titles)) == len(shop.titles) == titles
    assert shop.factors.shape == (titles, genres)
    pairs = [tuple(np.flatnonzero(row)) for row in shop.factors]
    assert all(pairs.count(pair) == 2 * WORDS for pair in set(pairs))
    assert len(set(pairs)) == genres * (genres - 1) // 2
    nouns = [title.split()[1] for title in shop.titles]
    assert {nouns.count(noun) for noun in nouns} == {genres - 1}


def test_words_are_distinct_and_factors_by_hand() -> None:
    words = [word for genre in GENRES for word in (*genre.adjectives, *genre.nouns)]
    assert len(set(words)) == len(words) == len(GENRES) * 2 * WORDS
    shop = catalogue(5)
    # "Tender" is the first adjective of romance (0.7), "Zombie" the fourth noun of horror (0.9).
    row = shop.factors[shop.titles.index("Tender Zombie")]
    assert row.tolist() == [0.0, 0.0, 0.7, 0.0, 0.9]


# --- the task


@pytest.mark.parametrize("level", LEVELS)
def test_examples_depend_on_seed_and_index_alone(level: str) -> None:
    first = [RecommendationTask(level=level, seed=5).example(i) for i in range(100)]
    task = pickle.loads(pickle.dumps(copy.deepcopy(RecommendationTask(level=level, seed=5))))
    assert [task.example(i) for i in reversed(range(100))][::-1] == first
    other = {RecommendationTask(level=level, seed=6).example(i).prompt for i in range(100)}
    assert not other & {example.prompt for example in first}


@pytest.mark.parametrize("level", LEVELS)
def test_prompts_do_not_recur_and_splits_share_none(level: str) -> None:
    task = RecommendationTask(level=level)
    prompts = [task.example(i, split).prompt for split in SPLITS for i in range(1000)]
    assert len(set(prompts)) == 3000


@pytest.mark.parametrize("level", LEVELS)
def test_prompt_says_what_the_metadata_say(level: str) -> None:
    titles = set(RecommendationTask(level=level).catalogue.titles)
    for example in examples(level, 200):
        data, setting = example.metadata, RecommendationTask(level=level).setting
        lines = example.prompt.split("\n")
        rated = [item.rsplit(" ", 1) for item in lines[0].removeprefix("Ratings: ").split("; ")]
        assert {title: int(stars) for title, stars in rated} == data["history"]
        assert set(data["history"].values()) <= {1, 2, 3, 4, 5}
        assert len(data["history"]) == setting.rated
        offered = set(data["candidates"])
        assert offered <= titles - set(data["history"])
        if level == "hard":
            assert offered == titles - set(data["history"])
        else:
            assert tuple(lines[1].removeprefix("Candidates: ").split("; ")) == data["candidates"]
        assert f"Best {data['k']}" in lines[-2]
        assert lines[-1] == ""
        assert set(data["relevance"]) <= offered
        assert len(data["relevance"]) == setting.relevant


def test_gains_follow_the_noise_free_liking() -> None:
    task = RecommendationTask()
    factors = dict(zip(task.catalogue.titles, task.catalogue.factors, strict=True))
    for example in examples("medium", 200):
        taste = np.array(list(example.metadata["tastes"].values()))
        liking = {t: float(factors[t] @ taste) for t in example.metadata["candidates"]}
        best = sorted(liking, key=lambda t: -liking[t])
        top, cut = liking[best[0]], liking[best[4]]
        if min(liking[a] - liking[b] for a, b in pairwise(best[:5])) > 0.05:
            expected = {t: (liking[t] - cut) / (top - cut) for t in best[:4]}
            assert list(example.metadata["relevance"]) == best[:4]
            assert example.metadata["relevance"] == pytest.approx(expected, abs=0.08)
            assert example.references == ("; ".join(best[:4]),)


def test_ratings_are_likings_with_noise() -> None:
    task = RecommendationTask(level="hard")
    factors = dict(zip(task.catalogue.titles, task.catalogue.factors, strict=True))
    errors, tastes = [], []
    for example in examples("hard", 1000):
        taste = np.array(list(example.metadata["tastes"].values()))
        tastes.append(taste)
        for title, stars in example.metadata["history"].items():
            if 1 < stars < 5:
                errors.append(stars - 3 - factors[title] @ taste)
    # Rounding to whole stars adds a variance of 1/12; cutting off at 1 and 5 takes a little.
    assert np.std(errors) == pytest.approx(math.sqrt(NOISE**2 + 1 / 12), abs=0.03)
    assert abs(np.mean(errors)) < 0.02
    assert np.std(tastes) == pytest.approx(SPREAD, abs=0.03)


@pytest.mark.parametrize("level", LEVELS)
def test_limits_hold(level: str) -> None:
    task, tokenizer = RecommendationTask(level=level), load_tokenizer()
    for example in examples(level, 1000):
        assert len(tokenizer.encode(example.prompt)) <= task.max_prompt_tokens
        assert len(tokenizer.encode(example.references[0])) + 1 <= task.max_new_tokens


# --- how well it can be done


def posterior_ranking(task: RecommendationTask, example: Example) -> list[str]:
    """The candidates by the posterior mean of the tastes, a rating's rounding taken for noise."""
    factors = dict(zip(task.catalogue.titles, task.catalogue.factors, strict=True))
    seen = np.array([factors[title] for title in example.metadata["history"]])
    stars = np.array(list(example.metadata["history"].values())) - 3.0
    variance = NOISE**2 + 1 / 12
    precision = seen.T @ seen / variance + np.eye(seen.shape[1]) / SPREAD**2
    taste = np.linalg.solve(precision, seen.T @ stars / variance)
    return sorted(example.metadata["candidates"], key=lambda t: -float(factors[t] @ taste))


@pytest.mark.parametrize(
    ("level", "known", "popular", "at_random"),
    [("easy", 0.83, 0.38, 0.33), ("medium", 0.865, 0.40, 0.34), ("hard", 0.765, 0.14, 0.06)],
)
def test_tastes_are_in_the_history_and_popularity_is_not_enough(
    level: str, known: float, popular: float, at_random: float
) -> None:
    task, shown = RecommendationTask(level=level), examples(level, 800)
    gains: dict[str, float] = {}
    for example in examples(level, 4000):
        for title, gain in example.metadata["relevance"].items():
            gains[title] = gains.get(title, 0.0) + gain
    k, rng = task.setting.k, np.random.default_rng(0)

    def texts(rank) -> list[str]:
        return ["; ".join(rank(example)[:k]) for example in shown]

    def most_popular(example: Example) -> list[str]:
        return sorted(example.metadata["candidates"], key=lambda t: -gains.get(t, 0.0))

    def random_list(example: Example) -> list[str]:
        return [str(t) for t in rng.permutation(example.metadata["candidates"])]

    assert mean_score(texts(lambda e: posterior_ranking(task, e)), shown) == pytest.approx(
        known, abs=0.03
    )
    assert mean_score(texts(most_popular), shown) == pytest.approx(popular, abs=0.03)
    assert mean_score(texts(random_list), shown) == pytest.approx(at_random, abs=0.03)


@pytest.mark.parametrize("level", LEVELS)
def test_expert_scores_one_and_copies_of_the_prompt_nothing(level: str) -> None:
    task, shown = RecommendationTask(level=level), examples(level, 200)
    assert NDCG([task.expert(e) for e in shown], shown) == pytest.approx(1.0)
    history = ["; ".join(e.metadata["history"]) for e in shown]
    for texts in (history, [e.prompt for e in shown], ["Best films!"] * 200, [""] * 200):
        assert mean_score(texts, shown) < 0.02
    everything = ["; ".join(task.catalogue.titles) for _ in shown]
    assert mean_score(everything, shown) < 0.05
    repeated = ["; ".join([e.references[0].split("; ")[0]] * 5) for e in shown]
    assert mean_score(repeated, shown) < 0.7
    spaced = [e.references[0].replace("; ", " really; ") for e in shown]
    assert mean_score(spaced, shown) < 0.25


# --- the reward


def score(text: str, k: int = 3, **relevance: float) -> float:
    example = SimpleNamespace(prompt="p", references=(), metadata={"k": k, "relevance": relevance})
    return float(NDCG([text], [example])[0])


IDEAL = 3 + 2 / math.log2(3) + 1 / 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a; b; c", 1.0),
        (" A ;b;\tC\n", 1.0),
        ("c; b; a", (1 + 2 / math.log2(3) + 3 / 2) / IDEAL),
        ("a", 3 / IDEAL),
        ("x; a", 3 / math.log2(3) / IDEAL),
        ("a; a; b", (3 + 2 / 2) / IDEAL),
        ("a; b; c; d", 3 / 4),
        ("a; b; c;", 3 / 4),
        ("a; b; x; c", (3 + 2 / math.log2(3)) / IDEAL * 3 / 4),
        ("a b; c", 1 / math.log2(3) / IDEAL),
        ("a, b, c", 0.0),
        ("", 0.0),
        (" \n", 0.0),
    ],
)
def test_ndcg_by_hand(text: str, expected: float) -> None:
    assert score(text, a=3.0, b=2.0, c=1.0) == pytest.approx(expected)


def test_ndcg_against_k_and_nothing_relevant() -> None:
    assert score("b; a", k=1, a=2.0, b=1.0) == pytest.approx(0.5 * 0.5)
    assert score("a", k=5, a=2.0) == 1.0
    assert score("a", k=2, a=0.0) == 0.0
    assert score("a", k=2) == 0.0


def test_ndcg_stream_follows_the_batch_score() -> None:
    example = examples("medium", 1)[0]
    stream, text = NDCG.stream(example), example.references[0]
    for length, character in enumerate(text, start=1):
        stream.append(character)
        assert stream.score() == NDCG([text[:length]], [example])[0]


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"k": 3}, "relevance"),
        ({"k": 3, "relevance": ["a"]}, "a mapping of items to gains"),
        ({"relevance": {"a": 1.0}}, '"k"'),
        ({"relevance": {"a": 1.0}, "k": 0}, "whole number >= 1"),
        ({"relevance": {"a": -1.0}, "k": 1}, ">= 0"),
        ({"relevance": {"a": float("nan")}, "k": 1}, "finite"),
    ],
)
def test_ndcg_says_what_is_missing(metadata: dict, message: str) -> None:
    example = SimpleNamespace(prompt="p", references=(), metadata=metadata)
    with pytest.raises(ValueError, match=f"'ndcg'.*{message}"):
        NDCG(["a"], [example])


@pytest.mark.parametrize("level", LEVELS)
def test_task_and_reward_keep_the_contract(level: str) -> None:
    check_task("recommendation", level=level, samples=30)
    check_reward("ndcg", examples(level, 5))
