"""Copy, Reverse, Sort and Tiny: right answers, disjoint splits, texts that fit."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import pytest

from textgym.tasks import SPLITS, TASKS, Example, ProceduralTask, Task, load_task
from textgym.tasks.symbols import LENGTHS
from textgym.tokenizers import load_tokenizer

ANSWERS: dict[str, Any] = {
    "copy": list,
    "reverse": lambda row: list(reversed(row)),
    "sort": sorted,
}
LEVELS = list(itertools.product(ANSWERS, LENGTHS))


def draw(task: Task, split: str, count: int = 60) -> list[Example]:
    return [task.example(i, split) for i in range(min(count, task.num_examples(split)))]


@pytest.mark.parametrize(("name", "level"), LEVELS)
@pytest.mark.parametrize("split", SPLITS)
def test_answers_are_right_and_have_the_lengths_of_the_level(
    name: str, level: str, split: str
) -> None:
    shortest, longest = LENGTHS[level]
    lengths = set()
    for example in draw(load_task(name, level=level), split):
        *row, separator = example.prompt.split(" ")
        assert separator == "=" and set(row) <= set("abcdefgh")
        assert example.references == (" ".join(ANSWERS[name](row)),)
        lengths.add(len(row))
    assert lengths == set(range(shortest, longest + 1))


@pytest.mark.parametrize("name", [*ANSWERS, "tiny"])
def test_texts_fit_their_vocabulary_and_limits(name: str) -> None:
    task: Any = load_task(name)
    tokenizer = load_tokenizer(task.tokenizer)
    for split in SPLITS:
        for example in draw(task, split):
            prompt = tokenizer.encode(example.prompt)
            answer = tokenizer.encode(example.references[0])
            assert tokenizer.decode(prompt) == example.prompt
            assert tokenizer.decode(answer) == example.references[0]
            assert not tokenizer.illegal_ids.intersection(answer)
            assert len(prompt) <= task.max_prompt_tokens
            assert len(answer) + 1 <= task.max_new_tokens


@pytest.mark.parametrize(("name", "level"), LEVELS)
def test_splits_share_no_prompt(name: str, level: str) -> None:
    task = load_task(name, level=level)
    prompts = [{e.prompt for e in draw(task, split, 300)} for split in SPLITS]
    assert all(prompts)
    assert not any(a & b for a, b in itertools.combinations(prompts, 2))


def test_all_symbols_and_rows_occur() -> None:
    rows = {e.prompt for s in SPLITS for e in draw(load_task("copy", length=2), s, 500)}
    assert rows == {" ".join(row) + " =" for row in itertools.product("abcdefgh", repeat=2)}


def test_length_and_symbols_can_be_set() -> None:
    task: Any = load_task("reverse", symbols=26, length=12, seed=5)
    assert all(len(e.prompt.split()) == 13 for e in draw(task, "train"))
    assert (task.max_prompt_tokens, task.max_new_tokens) == (13, 13)
    assert load_tokenizer(task.tokenizer).vocab_size == 28


def test_tiny_is_tiny() -> None:
    task = load_task("tiny")
    tokenizer = load_tokenizer(task.tokenizer)
    legal = set(range(tokenizer.vocab_size)) - tokenizer.illegal_ids
    assert legal == {0, 1, 2} and tokenizer.eos_id == 2
    prompts = [e.prompt for split in SPLITS for e in draw(task, split)]
    assert sorted(prompts) == ["a =", "a a =", "a b =", "b =", "b a =", "b b ="]
    for split in SPLITS:
        for example in draw(task, split):
            row = example.prompt.split()[:-1]
            assert example.references == (" ".join(row[::-1]),)


@pytest.mark.parametrize("name", [*ANSWERS, "tiny"])
def test_tasks_pickle(name: str) -> None:
    task = load_task(name)
    assert draw(pickle.loads(pickle.dumps(task)), "test") == draw(task, "test")


def test_every_named_task_loads() -> None:
    for name in set(TASKS) - {"replay"}:
        task = load_task(name)
        assert task.name == name
        assert all(task.num_examples(split) > 0 for split in SPLITS)


class Echo(ProceduralTask):
    name = "echo"

    def generate(self, rng: Any) -> Example:
        text = str(rng.integers(10**6))
        return Example(f"{text}\n", (text,))


def test_own_tasks_load_by_module_and_class(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "mine", sys.modules[__name__])
    monkeypatch.setitem(TASKS, "echo", "mine:Echo")
    by_name: Any = load_task("echo", level="hard")
    assert by_name.level == "hard" and isinstance(load_task("mine:Echo"), Echo)
    assert load_task("textgym.tasks.symbols:CopyTask").name == "copy"


def test_bad_arguments() -> None:
    for arguments, message in [
        ({"symbols": 27}, r"symbols must be in 1\.\.26, not 27"),
        ({"length": 0}, "length must be at least 1, not 0"),
        ({"level": "absurd"}, "no level 'absurd'"),
    ]:
        with pytest.raises(ValueError, match=message):
            load_task("sort", **arguments)
    with pytest.raises(ValueError, match=r"no task 'coppy': .* copy, reverse, sort, tiny"):
        load_task("coppy")
    with pytest.raises(ValueError, match="cannot be imported"):
        load_task("no_such_module:Task")
    with pytest.raises(ValueError, match="task 'tiny' has no levels"):
        load_task("tiny", level="easy")
    with pytest.raises(ValueError, match="no split 'dev'"):
        load_task("tiny").num_examples("dev")
    with pytest.raises(IndexError, match="example 4 of task 'tiny'"):
        load_task("tiny").example(4)
