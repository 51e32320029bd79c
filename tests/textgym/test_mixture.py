from __future__ import annotations

import copy
import pickle
from collections import Counter
from collections.abc import Sequence

import gymnasium as gym
import numpy as np
import pytest

from textgym.rewards.base import ExampleLike
from textgym.tasks import TASKS, Example, MultiTurnTask, Task, load_task
from textgym.tasks.mixture import TEXT_TASKS, MixtureTask, unit_hash
from textgym.tasks.translation import TranslationTask
from textgym.testing import check_task

MEMBERS = ["translation", "recommendation", "wordle"]


class Five(Task):
    """A task of five examples, all of them in one split."""

    name = "five"

    def num_examples(self, split: str) -> int:
        if split not in ("train", "validation", "test"):
            raise ValueError(split)
        return 5 if split == "train" else 0

    def example(self, index: int, split: str = "train") -> Example:
        if not 0 <= index < self.num_examples(split):
            raise IndexError(index)
        return Example(f"count to {index}\n", (" ".join("12345"[:index]) or "0",), {"to": index})


def names(task: MixtureTask, count: int, split: str = "train") -> list[str]:
    return [task.example(i, split).metadata["task"] for i in range(count)]


# --- which example is whose


def test_an_example_is_its_members_own() -> None:
    mixture = MixtureTask(MEMBERS, level="easy", seed=3)
    alone = {name: load_task(name, level="easy", seed=3) for name in MEMBERS}
    for split in ("train", "test"):
        for i in (*range(60), 10**6):
            found = mixture.example(i, split)
            name = found.metadata["task"]
            theirs = alone[name].example(i, split)
            assert (found.prompt, found.references) == (theirs.prompt, theirs.references)
            assert found.metadata == {**theirs.metadata, "task": name}


def test_members_are_drawn_from_seed_and_index_alone() -> None:
    first = names(MixtureTask(MEMBERS, level="easy", seed=1), 300)
    again = pickle.loads(pickle.dumps(copy.deepcopy(MixtureTask(MEMBERS, level="easy", seed=1))))
    assert [again.example(i).metadata["task"] for i in reversed(range(300))][::-1] == first
    assert names(MixtureTask(MEMBERS, level="hard", seed=1), 300) == first
    other = names(MixtureTask(MEMBERS, level="easy", seed=2), 300)
    agree = np.mean([a == b for a, b in zip(first, other, strict=True)])
    assert agree == pytest.approx(1 / 3, abs=0.1)


def test_members_come_as_often_as_their_weights_say() -> None:
    heavy = {"task": Five(), "weight": 3}
    light = {"task": Five(), "name": "light"}
    counts = Counter(names(MixtureTask([heavy, light, "tiny"]), 5000))
    shares = {name: count / 5000 for name, count in counts.items()}
    # Three standard errors of a share of 0.6 of 5,000 are 0.021.
    assert shares == pytest.approx({"five": 0.6, "light": 0.2, "tiny": 0.2}, abs=0.021)


def test_small_tasks_wrap_around_and_show_each_example() -> None:
    mixture = MixtureTask([Five(), "tiny"])
    shown = Counter(
        example.metadata["to"]
        for example in map(mixture.example, range(1000))
        if example.metadata["task"] == "five"
    )
    assert set(shown) == set(range(5))
    assert min(shown.values()) > 60
    last = mixture.num_examples("train") - 1
    assert mixture.example(last) == mixture.example(last)


def test_a_member_without_examples_in_a_split_is_left_out_there() -> None:
    mixture = MixtureTask([Five(), "translation"], level="easy")
    assert set(names(mixture, 50)) == {"five", "translation"}
    assert set(names(mixture, 50, "test")) == {"translation"}
    assert MixtureTask([Five()]).num_examples("test") == 0
    with pytest.raises(IndexError, match="the split 'test' has 0 examples"):
        MixtureTask([Five()]).example(0, "test")


def test_hash_is_uniform_and_known() -> None:
    # SplitMix64 of seed 0 begins with 0xE220A8397B1DCDAF.
    assert unit_hash(0, 0) == (0xE220A8397B1DCDAF >> 11) / 2.0**53
    numbers = np.array([[unit_hash(seed, i) for i in range(2000)] for seed in range(5)])
    assert 0.0 <= numbers.min() < numbers.max() < 1.0
    counts = np.histogram(numbers, bins=20, range=(0, 1))[0]
    # Chi square with 19 degrees of freedom is below 43.8 with probability 0.999.
    assert ((counts - 500) ** 2 / 500).sum() < 43.8
    assert abs(np.corrcoef(numbers)[0, 1:]).max() < 0.09
    assert abs(np.corrcoef(numbers[0, :-1], numbers[0, 1:])[0, 1]) < 0.09


# --- what members are


def test_levels_seeds_and_options_reach_the_members() -> None:
    made = TranslationTask(level="easy", seed=9)
    specs = [
        "translation",
        {"task": "translation", "direction": "de-en", "level": "easy"},
        made,
        "textgym.tasks.wordle:WordleTask",
        "pairs",
    ]
    mixture = MixtureTask(specs, level="hard", seed=4)
    assert [member.name for member in mixture.members] == [
        "translation",
        "translation#2",
        "translation#3",
        "wordle",
        "pairs",
    ]
    first, second, third, wordle, _ = (member.task for member in mixture.members)
    assert (first.level, first.seed, first.direction) == ("hard", 4, "en-de")
    assert (second.level, second.seed, second.direction) == ("easy", 4, "de-en")
    assert third is made
    assert wordle.level == "hard"


def test_limits_are_the_largest_and_the_tokenizer_is_shared() -> None:
    mixture = MixtureTask(["translation", "wordle"], level="easy")
    parts = [load_task("translation", level="easy"), load_task("wordle", level="easy")]
    assert mixture.max_prompt_tokens == max(part.max_prompt_tokens for part in parts)
    assert mixture.max_new_tokens == max(part.max_new_tokens for part in parts)
    assert MixtureTask([Five()]).max_new_tokens == 64
    assert mixture.tokenizer is None
    assert MixtureTask(["tiny", "tiny"]).tokenizer == "symbols:a b"
    assert MixtureTask(["tiny", "translation"]).tokenizer is None


def test_by_default_all_bundled_text_tasks_are_members() -> None:
    mixture = load_task("mixture", level="easy")
    assert isinstance(mixture, MixtureTask)
    assert [member.name for member in mixture.members] == [n for n in TEXT_TASKS if n in TASKS]
    assert len(set(names(mixture, 200))) == len(mixture.members)


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([], "needs one member at least"),
        (["no such task"], "there is no task 'no such task'"),
        (["textgym.tasks.nowhere:Task"], "cannot be imported"),
        ([{"level": "easy"}], 'needs a "task"'),
        ([{"task": "tiny", "weight": 0}], "the weight of member 'tiny' must be above 0, not 0"),
        ([{"task": "tiny", "weight": float("nan")}], "must be above 0, not nan"),
        ([{"task": "translation", "level": "no"}], "has no level 'no'"),
        (["mixture"], "a mixture cannot be the member"),
    ],
)
def test_wrong_members_are_refused(tasks: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MixtureTask(tasks)


def test_wrong_seeds_splits_indices_and_examples_are_refused() -> None:
    with pytest.raises(ValueError, match="must be >= 0, not -1"):
        MixtureTask(["tiny"], seed=-1)
    mixture = MixtureTask(["tiny"])
    with pytest.raises(ValueError, match="has no split 'dev'"):
        mixture.example(0, "dev")
    with pytest.raises(IndexError, match="example -1"):
        mixture.example(-1)
    with pytest.raises(ValueError, match="is of task None, which is no member"):
        mixture.expert(Example("prompt\n", ("answer",)))


# --- conversations and experts


def test_a_single_turn_is_a_conversation_that_ends_after_it() -> None:
    mixture = MixtureTask(["translation"], level="easy")
    example = mixture.example(0)
    assert mixture.expert(example) == example.references[0]
    conversation = pickle.loads(pickle.dumps(mixture.converse(example)))
    reply = conversation.reply("any text at all")
    assert (reply.text, reply.done) == ("", True)
    assert conversation.outcome() == {}


def test_conversations_and_experts_are_the_members() -> None:
    mixture, alone = MixtureTask(["wordle"], level="medium"), load_task("wordle", level="medium")
    assert isinstance(alone, MultiTurnTask)
    for i in range(5):
        example = mixture.example(i)
        here, there = mixture.converse(example), alone.converse(alone.example(i))
        turns: list[tuple[str, str]] = []
        while True:
            turn = mixture.expert(example, turns)
            assert turn == alone.expert(alone.example(i), turns)
            reply = here.reply(turn)
            assert reply == there.reply(turn)
            turns.append((turn, reply.text))
            if reply.done:
                break
        assert here.outcome() == there.outcome()
        assert here.outcome()["solved"] == 1.0


@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_mixture_keeps_the_contract_of_tasks(level: str) -> None:
    check_task("mixture", level=level, samples=16)


def fitting(text: str, example: ExampleLike) -> float:
    """Score each member in its own way."""
    if example.metadata["task"] == "wordle":
        return example.metadata["outcome"]["solved"]
    return float(text in example.references)


def play(env: gym.Env, seed: int) -> tuple[str, float]:
    _, info = env.reset(seed=seed)
    done = False
    while not done:
        _, reward, done, _, info = env.step(int(info["expert_action"]))
    return info["finish_reason"], float(reward)


def test_experts_reach_the_best_score_in_the_environment() -> None:
    env = gym.make(
        "textgym:textgym/Text-v0",
        task="mixture",
        task_kwargs={"tasks": MEMBERS},
        level="easy",
        reward=fitting,
        max_prompt_tokens=None,
        max_new_tokens=None,
        demonstrations=True,
    )
    ends: Sequence[tuple[str, float]] = [play(env, seed) for seed in range(30)]
    assert set(ends) == {("task", 1.0)}
