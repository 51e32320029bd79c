"""`check_task` and `check_reward` pass what is right, and name what is wrong."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from textgym.rewards import REWARDS, FunctionReward, PerTextReward, Stream
from textgym.tasks import (
    TASKS,
    Conversation,
    Example,
    MultiTurnTask,
    ProceduralTask,
    Reply,
    Task,
    load_task,
)
from textgym.testing import check_reward, check_task

NEEDS_SOURCE = {"replay"}


@pytest.mark.parametrize("name", sorted(set(TASKS) - NEEDS_SOURCE))
def test_bundled_tasks_pass(name: str) -> None:
    levels = getattr(load_task(name), "levels", (None,))
    for level in levels:
        check_task(name, samples=10, **({} if level is None else {"level": level}))


@pytest.mark.parametrize("name", ["bleu", "chrf++", "rouge_l", "token_accuracy", "random"])
def test_bundled_rewards_pass(name: str) -> None:
    assert name in REWARDS
    check_reward(name, [load_task("translation").example(i) for i in range(2)], ["Guten Tag."])


class Fine(Task):
    """A task of three examples a split; its mutants below are each wrong in one thing."""

    name = "fine"

    def num_examples(self, split: str) -> int:
        if split not in ("train", "validation", "test"):
            raise ValueError(split)
        return 3

    def example(self, index: int, split: str = "train") -> Example:
        if not 0 <= index < 3:
            raise IndexError(index)
        return self.made(index, split)

    def made(self, index: int, split: str) -> Example:
        return Example(f"{split} {index}\n", ("yes",))


class Nameless(Fine):
    name = ""


class AnySplit(Fine):
    def num_examples(self, split: str) -> int:
        return 3


class Endless(Fine):
    def example(self, index: int, split: str = "train") -> Example:
        return self.made(index, split)


class Empty(Fine):
    def made(self, index: int, split: str) -> Example:
        return Example("", ("yes",))


class NoSeparator(Fine):
    def made(self, index: int, split: str) -> Example:
        return Example(f"{split} {index}", ("yes",))


class ListOfReferences(Fine):
    def made(self, index: int, split: str) -> Example:
        return Example(f"{split} {index}\n", ["yes"])  # type: ignore[arg-type]


class Fickle(Fine):
    def made(self, index: int, split: str) -> Example:
        return Example(f"{split} {index} {random.random()}\n", ("yes",))


class Leaking(Fine):
    def made(self, index: int, split: str) -> Example:
        return Example(f"{index}\n", ("yes",))


class TooLong(Fine):
    max_new_tokens = 4

    def made(self, index: int, split: str) -> Example:
        return Example(f"{split} {index}\n", ("yes, yes, yes, yes",))


class Unpicklable(Fine):
    def __init__(self) -> None:
        self.opened = (number for number in range(3))


class Raising(Fine):
    def made(self, index: int, split: str) -> Example:
        raise KeyError("word")


class KeyOfSplit(Fine):
    def num_examples(self, split: str) -> int:
        return {"train": 3, "validation": 3, "test": 3}[split]


class Tuples(Fine):
    def made(self, index: int, split: str) -> Example:
        return (f"{split} {index}\n", ("yes",))  # type: ignore[return-value]


class Arrays(Fine):
    """Not broken: metadata may hold arrays."""

    def made(self, index: int, split: str) -> Example:
        return Example(f"{split} {index}\n", ("yes",), {"scores": np.arange(3)})


class Speechless(Fine):
    def expert(self, example: Example, turns: Sequence[tuple[str, str]] = ()) -> str:
        return str(example.metadata["best"])


def test_metadata_may_hold_arrays() -> None:
    check_task(Arrays())


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (KeyOfSplit(), "raises KeyError('no such split')"),
        (Tuples(), "it is a tuple, not a textgym.tasks.Example"),
        (Speechless(), "its expert raises KeyError"),
        (Nameless(), "has no name"),
        (AnySplit(), "split that there is not"),
        (Endless(), "out of range: raise an IndexError"),
        (Empty(), "no text or empty"),
        (NoSeparator(), "ends in '0': end it in a separator"),
        (ListOfReferences(), "no tuple of strings"),
        (Fickle(), "another one at the second call"),
        (Leaking(), "in the split 'train' as well"),
        (TooLong(), "more than the task's max_new_tokens=4"),
        (Unpicklable(), "cannot be copied and pickled"),
        (Raising(), "example 0 of split 'train' raises KeyError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Task) else "",
)
def test_what_is_wrong_is_named(broken: Task, message: str) -> None:
    check_task(Fine())
    with pytest.raises(AssertionError) as caught:
        check_task(broken)
    assert message in str(caught.value)


class Talk(Conversation):
    """Ends after two turns."""

    def __init__(self) -> None:
        self.turns = 0

    def reply(self, turn: str) -> Reply:
        self.turns += 1
        return Reply("Go on.\n", done=self.turns == 2)

    def outcome(self) -> Mapping[str, float]:
        return {"turns": float(self.turns)}


class Chat(ProceduralTask, MultiTurnTask):
    name = "chat"
    talk: Any = Talk

    def generate(self, rng: np.random.Generator) -> Example:
        return Example(f"{rng.integers(10**6)}\n", ())

    def converse(self, example: Example) -> Conversation:
        return self.talk()

    def expert(self, example: Example, turns: Sequence[tuple[str, str]] = ()) -> str:
        return "yes"


class Moody(Talk):
    def reply(self, turn: str) -> Reply:
        self.turns += 1
        return Reply(f"{random.random()}.\n", done=self.turns == 2)


class Fragile(Talk):
    def reply(self, turn: str) -> Reply:
        return super().reply(turn.split()[0])


class Glued(Talk):
    def reply(self, turn: str) -> Reply:
        self.turns += 1
        return Reply("Go on", done=self.turns == 2)


class NotANumber(Talk):
    def outcome(self) -> Mapping[str, float]:
        return {"turns": float("nan")}


class Uncopied(Talk):
    def __init__(self) -> None:
        super().__init__()
        self.source = (number for number in range(3))


class Foreign(Talk):
    def reply(self, turn: str) -> Reply:
        self.turns += 1
        return Reply("zebra =", done=self.turns == 2)


class Mute(Chat):
    def expert(self, example: Example, turns: Sequence[tuple[str, str]] = ()) -> str:
        return None  # type: ignore[return-value]


class Lost(Chat):
    def expert(self, example: Example, turns: Sequence[tuple[str, str]] = ()) -> str:
        return ["yes"][len(turns)]


class Wordy(Chat):
    max_prompt_tokens = 1


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (Mute(), "says None"),
        (Lost(), "raises IndexError"),
        (Wordy(), "more than the task's max_prompt_tokens=1"),
    ],
)
def test_what_is_wrong_with_an_expert_is_named(broken: Task, message: str) -> None:
    with pytest.raises(AssertionError) as caught:
        check_task(broken, samples=3)
    assert message in str(caught.value)


def test_a_reply_that_cannot_be_encoded_is_named() -> None:
    broken = Chat()
    broken.talk = Foreign
    with pytest.raises(AssertionError, match="cannot encode"):
        check_task(broken, samples=3, tokenizer="symbols:a b")


class Tireless(Talk):
    def reply(self, turn: str) -> Reply:
        return Reply("Go on.\n")


@pytest.mark.parametrize(
    ("talk", "message"),
    [
        (Moody, "different replies or outcomes"),
        (Fragile, "raises IndexError"),
        (Glued, "does not end in a separator"),
        (NotANumber, "not a finite number"),
        (Tireless, "not done after"),
        (Uncopied, "cannot pickle"),
    ],
)
def test_what_is_wrong_with_a_conversation_is_named(talk: Any, message: str) -> None:
    check_task(Chat(), samples=3)
    broken = Chat()
    broken.talk = talk
    with pytest.raises(AssertionError) as caught:
        check_task(broken, samples=3)
    assert message in str(caught.value)


def nan_for_nothing(text: str, example: Any) -> float:
    return len(text) / 10 if text else float("nan")


def unsteady(text: str, example: Any) -> float:
    return random.random()


class WrongStream(PerTextReward):
    """Its stream forgets all but the last piece."""

    name = "wrong_stream"

    def score(self, text: str, example: Any) -> float:
        return float(len(text))

    def stream(self, example: Any) -> Stream:
        return Forgetful()


class Forgetful(Stream):
    def __init__(self) -> None:
        self.last = ""

    def append(self, text: str) -> None:
        self.last = text

    def score(self) -> float:
        return float(len(self.last))


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (FunctionReward(nan_for_nothing), "scores nan"),
        (FunctionReward(unsteady), "scores otherwise alone"),
        (lambda text, example: 1.0, "cannot be copied and pickled"),
        (lambda text, example: example.metadata["key"], "raises KeyError"),
        (WrongStream(), "streams to"),
    ],
)
def test_what_is_wrong_with_a_reward_is_named(reward: Any, message: str) -> None:
    with pytest.raises(AssertionError) as caught:
        check_reward(reward, [Example("p\n", ("yes",))])
    assert message in str(caught.value)
