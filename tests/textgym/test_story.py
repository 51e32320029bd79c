"""The story task: its language, its splits, and what its default reward pays for."""

from __future__ import annotations

import random
import re
import time
from collections import defaultdict, deque
from collections.abc import Callable
from functools import partial
from itertools import combinations_with_replacement

import numpy as np
import pytest

from textgym.registration import TABLE
from textgym.rewards import load_reward
from textgym.rewards.fluency import GENDERS, names_in, table
from textgym.rewards.sentiment import valence
from textgym.tasks import load_task
from textgym.tasks.base import SPLITS, Example
from textgym.tasks.story import StoryTask
from textgym.tasks.story.endings import CLOSINGS, FEELINGS
from textgym.tasks.story.events import EVENTS
from textgym.tasks.story.pairs import ORDER, PAIRS
from textgym.tasks.story.words import FOOD, MEN, PLACES, THINGS, WOMEN
from textgym.tokenizers import load_tokenizer

LEVELS = StoryTask.levels
WORDS = {"easy": (1, 2), "medium": (2, 3), "hard": (4, 5)}
SENTENCES = {"easy": (1, 1), "medium": (2, 3), "hard": (3, 4)}
REWARD = load_reward(next(row.reward for row in TABLE if row.id == "textgym/Story-v0"))
PROMPT = re.compile(
    r"Write a (?:(happy|sad) story|story that turns from (happy|sad) to (happy|sad)) with: "
    r"([a-z]+(?:, [a-z]+)*)\.\n[A-Z][A-Za-z ]+, ([A-Z][a-z]+) [a-z ]+ the [a-z ]+\.\n"
)


def examples(level: str, count: int, split: str = "train", seed: int = 0) -> list[Example]:
    task = StoryTask(level=level, seed=seed)
    return [task.example(i, split) for i in range(count)]


def scores(texts: list[str], items: list[Example]) -> np.ndarray:
    return REWARD(texts, items)


# --- the task


@pytest.mark.parametrize("level", LEVELS)
def test_examples_depend_on_seed_and_index_alone(level: str) -> None:
    first = examples(level, 100, seed=5)
    again = StoryTask(level=level, seed=5)
    assert [again.example(i) for i in reversed(range(100))][::-1] == first
    assert not {e.prompt for e in examples(level, 100, seed=6)} & {e.prompt for e in first}


@pytest.mark.parametrize("level", LEVELS)
def test_splits_share_no_prompt(level: str) -> None:
    prompts = [{e.prompt for e in examples(level, 300, split)} for split in SPLITS]
    assert not prompts[0] & prompts[1] | prompts[0] & prompts[2] | prompts[1] & prompts[2]


@pytest.mark.parametrize("level", LEVELS)
def test_prompts_hardly_ever_recur(level: str) -> None:
    # n draws of N equally likely prompts recur n**2 / 2N times: 50 times for N = 10**6.
    prompts = [e.prompt for e in examples(level, 10_000, seed=3)]
    assert len(prompts) - len(set(prompts)) <= 5


@pytest.mark.parametrize("level", LEVELS)
def test_random_access_is_fast(level: str) -> None:
    task = StoryTask(level=level)
    task.example(0)
    start = time.perf_counter()
    for i in range(10**9, 10**9 + 500):
        task.example(i)
    assert time.perf_counter() - start < 0.5  # 1,000 a second on a busy machine


@pytest.mark.parametrize("level", LEVELS)
def test_texts_fit_the_limits(level: str) -> None:
    task, tokenizer = StoryTask(level=level), load_tokenizer()
    for example in examples(level, 1000, seed=8):
        assert len(tokenizer.encode(example.prompt)) <= task.max_prompt_tokens
        for text in example.references:
            assert len(tokenizer.encode(text)) + 1 <= task.max_new_tokens


@pytest.mark.parametrize("level", LEVELS)
def test_form_of_prompts_references_and_metadata(level: str) -> None:
    turns = 0
    for example in examples(level, 1500, seed=1):
        found = PROMPT.fullmatch(example.prompt)
        assert found, example.prompt
        mood, first, second, words, name = found.groups()
        keywords = example.metadata["keywords"]
        assert words.split(", ") == keywords
        assert WORDS[level][0] <= len(keywords) == len(set(keywords)) <= WORDS[level][1]
        assert example.metadata["sentiment"] == (mood or [first, second])
        assert example.metadata["level"] == level
        assert first is None or first != second
        turns += first is not None
        assert 1 <= len(set(example.references)) == len(example.references) <= 3
        for text in example.references:
            check_story(text, name, keywords, level)
    assert (turns > 200) == (level == "hard")


def check_story(text: str, name: str, keywords: list[str], level: str) -> None:
    low, high = SENTENCES[level]
    sentences = re.split(r"(?<=\.) ", text)
    assert low <= len(sentences) <= high, text
    for sentence in sentences:
        assert re.fullmatch(r"[A-Z][A-Za-z ,]+\.", sentence), sentence
    words = re.findall(r"[A-Za-z]+", text)
    assert set(keywords) <= {word.lower() for word in words}, text
    assert "  " not in text
    assert " ," not in text
    assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", text.replace("unl", "xnl")), text
    assert not re.search(r"\b(\w+) \1\b", text), text
    other = {"she", "her"} if name in MEN else {"he", "him", "his"}
    assert not other & {word.lower() for word in words}, text
    assert not (set(words) & {*WOMEN, *MEN}) - {name}, text


def test_things_fall_into_mud_outdoors_only() -> None:
    falls = [
        (example.prompt, text)
        for level in LEVELS
        for example in examples(level, 2000, seed=2)
        for text in example.references
    ]
    muddy = [prompt for prompt, text in falls if "into the mud" in text]
    floor = [prompt for prompt, text in falls if "onto the floor" in text]
    indoors, outdoors = re.compile("library|hotel|theatre"), re.compile("forest|lake|beach")
    assert any(map(outdoors.search, muddy))
    assert any(map(indoors.search, floor))
    assert not any(map(indoors.search, muddy))
    assert not any(map(outdoors.search, floor))


def test_names_are_of_one_gender() -> None:
    assert not set(WOMEN) & set(MEN)


def test_every_pair_of_kinds_has_events() -> None:
    for mood in ("happy", "sad"):
        for pair in combinations_with_replacement(ORDER, 2):
            if pair not in (("animal", "animal"), ("food", "food")):  # drawn once at most
                assert len(PAIRS[mood][pair]) >= 3, pair


@pytest.mark.parametrize("mood", ["happy", "sad"])
def test_each_clause_tells_its_mood_and_no_other(mood: str) -> None:
    sign = 1 if mood == "happy" else -1
    single = [clause for clauses in EVENTS[mood].values() for clause in clauses]
    double = [clause for clauses in PAIRS[mood].values() for clause in clauses]
    for clause in (*single, *double, *CLOSINGS[mood], *FEELINGS[mood]):
        assert valence(re.sub(r"\{\w+\}", "it", clause)) * sign >= 0.5, clause


def test_places_have_what_stories_need_and_nouns_no_mood() -> None:
    for place in PLACES:
        assert len(place.sights) >= 5
        assert len(place.people) >= 15
        assert len(place.animals) >= 2
        for noun in (*place.sights, *place.people, *place.animals, *FOOD, *THINGS):
            assert valence(" ".join((noun.word, *noun.indefinite))) == 0.0, noun.word


def test_the_task_is_in_the_table() -> None:
    task = load_task("story", level="hard")
    assert isinstance(task, StoryTask)
    assert task.level == "hard"
    with pytest.raises(ValueError, match="task 'story' has no level 'epic'"):
        StoryTask(level="epic")


# --- the default reward


@pytest.mark.parametrize("level", LEVELS)
def test_references_score_best(level: str) -> None:
    items = examples(level, 300, "test")
    rows = [(text, example) for example in items for text in example.references]
    found = scores([text for text, _ in rows], [example for _, example in rows])
    assert found.mean() > 0.99
    assert np.quantile(found, 0.05) > 0.95
    assert found.min() > 0.8
    expert = [StoryTask(level=level).expert(example) for example in items]
    assert scores(expert, items).mean() > 0.99


@pytest.mark.parametrize("level", LEVELS)
def test_references_of_other_prompts_are_fluent(level: str) -> None:
    # The table of known language is complete: it hardly needs the example's own references.
    items = [Example(e.prompt, (), e.metadata) for e in examples(level, 200, "test", seed=4)]
    own = [e.references[0] for e in examples(level, 200, "test", seed=4)]
    assert load_reward("fluency")(own, items).mean() > 0.99


def hacks(example: Example, rng: random.Random) -> dict[str, str]:
    """Texts that please a naive reward, and the most each may score."""
    text, keywords = example.references[0], example.metadata["keywords"]
    words = text.split()
    rng.shuffle(words)
    moods = "happy glad smiled laughed" if "happy" in example.prompt else "sad wept cried upset"
    return {
        "": "",
        "keywords": ", ".join(keywords) + ".",
        "keywords and moods": " ".join([*keywords, *moods.split()]),
        "prompt": example.prompt,
        "shuffled": " ".join(words),
        "one sentence four times": " ".join([text.split(". ")[0].rstrip(".") + "."] * 4),
        "one word": " ".join([keywords[0]] * 20),
    }


@pytest.mark.parametrize("level", LEVELS)
def test_hacks_score_far_below_a_story(level: str) -> None:
    items, rng = examples(level, 200, "validation"), random.Random(0)
    texts = [hacks(example, rng) for example in items]
    means = {name: scores([t[name] for t in texts], items).mean() for name in texts[0]}
    assert means.pop("") == 0.0
    assert means.pop("one sentence four times") < 0.7
    assert means.pop("shuffled") < 0.3
    assert max(means.values()) < 0.2, means


def is_of(kind: str, symbol: str) -> bool:
    return symbol.split(":")[-1] == kind


class Walker:
    """Walks from keyword to keyword and on to a mood word, by known trigrams alone."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.after: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for first, second, third in sorted(table().trigrams):
            self.after[first, second].append(third)
            if first in "^&" and second not in self.after["", first]:
                self.after["", first].append(second)

    def text(self, example: Example) -> str:
        """A sentence for one or two keywords, until all are used."""
        hers = re.search(r"\b(she|her)\b", example.references[0], re.IGNORECASE)
        foreign, happy = GENDERS[bool(hers)], example.metadata["sentiment"] == "happy"
        keywords, sentences = list(example.metadata["keywords"]), list[str]()
        while keywords:
            symbols = ["", "&" if sentences else "^"]
            words = dict[int, str]()
            for _ in range(min(self.rng.choice((1, 2)), len(keywords))):
                keyword = keywords.pop()
                kind = table().nouns[keyword]
                self.walk(symbols, partial(is_of, kind), foreign)
                words[len(symbols) - 1] = keyword
            self.walk(symbols, lambda s: valence(s) * (1 if happy else -1) > 0, foreign)
            self.walk(symbols, lambda s: s == ".", foreign)
            told = [self.spell(s, words.get(i), example) for i, s in enumerate(symbols)]
            sentences.append(" ".join(told[2:]))
        return " ".join(sentences)

    def walk(
        self, symbols: list[str], goal: Callable[[str], bool], foreign: frozenset[str]
    ) -> None:
        """Append one of the shortest ways to a goal, where there is one."""
        queue = deque([symbols])
        seen = set[tuple[str, str]]()
        while queue:
            path = queue.popleft()
            following = list(self.after[path[-2], path[-1]])
            self.rng.shuffle(following)
            for symbol in following:
                if goal(symbol):
                    symbols[:] = [*path, symbol]
                    return
                fits = symbol not in (".", "$") and symbol.split(":")[0].casefold() not in foreign
                if fits and (path[-1], symbol) not in seen:
                    seen.add((path[-1], symbol))
                    queue.append([*path, symbol])

    def spell(self, symbol: str, keyword: str | None, example: Example) -> str:
        if symbol == "*":
            return min(names_in(example.prompt))
        article, colon, kind = symbol.rpartition(":")
        if kind not in table().nouns.values():
            return symbol
        noun = keyword or self.rng.choice(
            [word for word, known in table().nouns.items() if known == kind and " " not in word]
        )
        if article in ("a", "A") and f"an {noun}" in table().nouns:
            article += "n"
        return f"{article} {noun}" if colon else noun


@pytest.mark.parametrize("level", ["easy", "medium"])
def test_walks_through_the_known_trigrams_score_below_stories(level: str) -> None:
    items, walker = examples(level, 100, "test", seed=9), Walker(random.Random(0))
    texts = [[walker.text(example) for example in items] for _ in range(4)]
    found = np.array([scores(row, items) for row in texts])
    told = scores([example.references[0] for example in items], items)
    assert found.mean() < 0.8
    assert found.mean() < told.mean() - 0.2
    assert found.max(axis=0).mean() < told.mean() - 0.05  # the best of four


@pytest.mark.parametrize("level", LEVELS)
def test_appended_keywords_and_mood_words_do_not_pay(level: str) -> None:
    task = StoryTask(level=level)
    plain = "She sat down there."
    items = [e for e in examples(level, 200, "test") if e.metadata["sentiment"] == "happy"]
    bare = scores([plain] * len(items), items)
    stuffed = [f"{plain} {' '.join(e.metadata['keywords'])} glad smiled" for e in items]
    parts = REWARD.components(stuffed, items)
    assert parts["fluent_coverage"].max() == 0.0
    assert parts["fluent_sentiment"].mean() < 0.05
    told = scores([task.expert(e) for e in items], items)
    assert (told - bare).min() > 0.4


def test_a_story_for_the_other_mood_or_other_words_loses() -> None:
    items = examples("medium", 200, "test")
    own = scores([e.references[0] for e in items], items)
    others = [items[i - 1].references[0] for i in range(len(items))]
    assert scores(others, items).mean() < own.mean() - 0.3
    turned = {"happy": "sad", "sad": "happy"}
    wrong = [
        Example(
            e.prompt, e.references, {**e.metadata, "sentiment": turned[e.metadata["sentiment"]]}
        )
        for e in items
    ]
    found = REWARD.components([e.references[0] for e in items], wrong)
    assert found["fluent_sentiment"].max() == 0.0


def test_the_reward_is_graded() -> None:
    items = [e for e in examples("medium", 300) if len(e.metadata["keywords"]) == 3]
    halves = [e.references[0].split(". ")[0] + "." for e in items]
    found = scores(halves, items)
    assert 0.55 < found.mean() < 0.95
    assert len(np.unique(found.round(3))) > 5
