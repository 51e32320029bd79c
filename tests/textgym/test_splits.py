"""Splits of the procedural tasks: disjoint by prompt, and alike in everything else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from textgym.tasks import SPLITS, Example, load_task
from textgym.tasks.arithmetic.more_kinds import KINDS
from textgym.tasks.base import AimedTask, Elsewhere, split_of
from textgym.tasks.draws import Draws
from textgym.tasks.translation.composer import DURATIVE, FRAMES
from textgym.tasks.translation.phrases import Pronoun
from textgym.tasks.translation.writer import Writer

HELD_OUT = SPLITS[1:]
SOURCES = {
    "arithmetic": {},
    "data_to_text": {},
    "recommendation": {},
    "story": {},
    "summarization": {},
    "translation": {},
    "translation from German": {"direction": "de-en"},
}
CASES = [(source, level) for source in SOURCES for level in ("easy", "medium", "hard")]
KEYED = [case for case in CASES if case[0].startswith(("arithmetic", "translation"))]
by_case = pytest.mark.parametrize(("source", "level"), CASES)
by_key = pytest.mark.parametrize(("source", "level"), KEYED)


def make(source: str, level: str, seed: int = 0) -> AimedTask:
    task = load_task(source.split(" ")[0], level=level, seed=seed, **SOURCES[source])
    assert isinstance(task, AimedTask)
    return task


def examples(source: str, level: str, split: str, count: int) -> list[Example]:
    task = make(source, level)
    return [task.example(i, split) for i in range(count)]


def with_keys(source: str, level: str, count: int) -> Iterator[tuple[Example, str]]:
    """Draw examples for whichever split, each with the text that decides its split."""
    task, rng, asked = make(source, level), np.random.default_rng(11), []

    def fits(text: str) -> bool:
        asked.append(text)
        return True

    for _ in range(count):
        example = task.attempt(rng, fits)
        assert example is not None
        yield example, asked[-1]


# --- disjoint


def share_no_prompt(source: str, level: str, count: int) -> None:
    home: dict[str, str] = {}
    for seed in (0, 1):
        task = make(source, level, seed)
        for split in SPLITS:
            for i in range(count):
                assert home.setdefault(task.example(i, split).prompt, split) == split


@by_case
def test_splits_share_no_prompt_whatever_the_seed(source: str, level: str) -> None:
    share_no_prompt(source, level, 200)


@pytest.mark.slow
@by_case
def test_many_prompts_are_in_one_split_each(source: str, level: str) -> None:
    share_no_prompt(source, level, 10_000)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("source", ["data_to_text", "recommendation", "story", "summarization"])
def test_the_hash_of_the_prompt_is_the_split(source: str, split: str) -> None:
    for example in examples(source, "medium", split, 200):
        assert split_of(example.prompt) == split


def equal_prompts_have_equal_keys(source: str, level: str, count: int) -> int:
    keys: dict[str, str] = {}
    for example, key in with_keys(source, level, count):
        assert keys.setdefault(example.prompt, key) == key
    return count - len(keys)


@by_key
def test_equal_prompts_have_equal_keys(source: str, level: str) -> None:
    equal_prompts_have_equal_keys(source, level, 1000)


@pytest.mark.slow
@by_key
def test_many_equal_prompts_have_equal_keys(source: str, level: str) -> None:
    recurring = equal_prompts_have_equal_keys(source, level, 60_000)
    assert recurring > 10 or (source, level) == ("arithmetic", "hard")  # hardly ever the same


@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_a_problem_names_the_numbers_and_the_things_of_its_key(level: str) -> None:
    for example, key in with_keys("arithmetic", level, 500):
        numbers, _, about = key.rpartition(")")
        written = set(re.findall(r"\d+", example.prompt)) | {"1"}  # once, or shared by one
        assert set(re.findall(r"\d+", numbers)) <= written
        assert all(word in example.prompt for word in about.split())


def test_a_kind_of_story_names_its_person_always_or_need_not() -> None:
    for kind in KINDS:
        assert all(("{P}" in text) == kind.personal for text in (*kind.starts, *kind.products))


@pytest.mark.parametrize("source", ["translation", "translation from German"])
@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_a_sentence_has_the_subject_of_its_key(source: str, level: str) -> None:
    for example, key in with_keys(source, level, 300):
        sentence = example.prompt.lower()
        assert key.lower().split()[0] in re.findall(r"\w+", sentence)


# --- alike


def measures(of: list[Example]) -> dict[str, np.ndarray]:
    found = {
        "length": [len(each.prompt) for each in of],
        "words": [len(each.prompt.split()) for each in of],
        "answer": [len(each.references[0]) for each in of],
        "references": [len(each.references) for each in of],
    }
    return {name: np.array(values, dtype=float) for name, values in found.items()}


@by_case
def test_held_out_examples_are_as_long_as_the_others(source: str, level: str) -> None:
    count = 300
    train = measures(examples(source, level, "train", count))
    for split in HELD_OUT:
        held_out = measures(examples(source, level, split, count))
        for name, values in train.items():
            error = np.sqrt((values.var() + held_out[name].var()) / count)
            assert abs(values.mean() - held_out[name].mean()) <= 4 * error, (split, name)


@by_case
def test_held_out_words_are_met_in_training(source: str, level: str) -> None:
    def words(split: str, count: int) -> list[str]:
        texts = [each.prompt for each in examples(source, level, split, count)]
        return re.findall(r"[A-Za-zÄÖÜäöüß]+", " ".join(texts).lower())

    known = set(words("train", 3000))
    for split in HELD_OUT:
        found = words(split, 150)
        assert sum(word in known for word in found) > 0.98 * len(found)


def share(source: str, level: str, split: str, count: int, has: Callable[[str], bool]) -> float:
    return float(np.mean([has(each.prompt) for each in examples(source, level, split, count)]))


@pytest.mark.parametrize("split", HELD_OUT)
def test_sentences_that_cannot_be_varied_are_not_rarer(split: str) -> None:
    """What animals and things do is drawn anew as a whole; the verbs are then few."""

    def has(prompt: str) -> bool:
        verbs = "bark|bloom|graz|steal|stole|cost|taste|belong|arriv|leav|left|catch|caught"
        return re.search(verbs, prompt) is not None

    expected = share("translation", "medium", "train", 2000, has)
    found = share("translation", "medium", split, 2000, has)
    assert abs(found - expected) < 5 * np.sqrt(2 * expected / 2000)


# --- the parts


def test_a_task_that_knows_no_split_draws_for_any() -> None:
    task = make("story", "easy")
    assert task.attempt(np.random.default_rng(0), lambda text: False) is None
    assert task.generate(np.random.default_rng(0)).references


def test_a_verb_that_does_not_fit_is_replaced_by_one_for_people() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        asked: list[str] = []

        def fits(key: str, asked: list[str] = asked) -> bool:
            asked.append(key)
            return len(asked) == 4

        writer = Writer(rng, "hard", fits=fits)
        frame = writer.settle(Pronoun("he"), FRAMES[0], DURATIVE)
        assert frame.anyone
        assert writer.key == asked[-1]
        assert writer.settle(Pronoun("she"), FRAMES[1]) is FRAMES[1]  # settled: not asked again
        assert len(asked) == 4


def test_a_clause_without_other_verbs_ends_the_draw() -> None:
    writer = Writer(np.random.default_rng(0), "hard", fits=lambda key: False)
    with pytest.raises(Elsewhere):
        writer.settle(Pronoun("he"), FRAMES[0])


def test_chances_and_numbers_are_drawn_as_documented() -> None:
    draws, same = Draws(np.random.default_rng(5)), Draws(np.random.default_rng(5))
    units = [same.unit() for _ in range(100)]
    assert [draws.chance(0.3) for _ in range(50)] == [unit < 0.3 for unit in units[:50]]
    assert [draws.between(3, 9) for _ in range(50)] == [3 + int(7 * u) for u in units[50:]]
