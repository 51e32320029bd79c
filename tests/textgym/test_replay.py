"""Recorded dialogues: what the user says, what the transcript is, what the outcomes are worth."""

from __future__ import annotations

import copy
import gzip
import json
import pickle
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from hypothesis import given
from hypothesis import strategies as st

import textgym  # noqa: F401
from textgym.tasks import SPLITS, MultiTurnTask, load_task
from textgym.tasks.replay import ReplayTask, word_f1
from textgym.testing import check_task

TABLE_FOR_TWO = {
    "id": "d1",
    "split": "train",
    "turns": [
        ["U", "I am hungry."],
        ["U", "Is there a place in Rome?"],
        ["S", "Yes, Roma Bella. "],
        ["S", ""],
        ["S", "Shall I book it?"],
        ["U", "Yes, for two."],
        ["S", "It is booked."],
        ["U", "Thank you."],
        ["S", " "],
    ],
}
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is two and two?"},
    {"role": "assistant", "content": "Four."},
    {"role": "user", "content": "And three?"},
    {"role": "assistant", "content": "Five."},
]
LISTS: dict[str, Any] = {"speaker": 0, "text": 1, "user": "U"}


def two_turns() -> ReplayTask:
    return ReplayTask([TABLE_FOR_TWO], **LISTS)


def test_a_dialogue_by_hand() -> None:
    example = two_turns().example(0)
    assert example.prompt == "I am hungry. Is there a place in Rome?\n"
    assert example.metadata == {
        "id": "d1",
        "split": "train",
        "assistant_turns": ("Yes, Roma Bella. Shall I book it?", "It is booked."),
        "user_turns": ("Yes, for two.\n", "Thank you.\n"),
    }
    assert example.references == (
        "Yes, Roma Bella. Shall I book it?\nYes, for two.\nIt is booked.\nThank you.\n",
    )


def test_a_chat_by_hand() -> None:
    task = ReplayTask([{"messages": CHAT}], turns="messages", split_field=None)
    (split,) = [split for split in SPLITS if task.num_examples(split)]
    example = task.example(0, split)
    assert example.prompt == "Be brief.\nWhat is two and two?\n"
    assert example.metadata["assistant_turns"] == ("Four.", "Five.")
    assert example.metadata["user_turns"] == ("And three?\n", "")
    assert example.references == ("Four.\nAnd three?\nFive.",)


@pytest.mark.parametrize("said", ["", "Yes, Roma Bella. Shall I book it?", "äß€\n\n", "x " * 500])
def test_the_user_says_the_same_to_anything(said: str) -> None:
    user = two_turns().converse(two_turns().example(0))
    assert user.outcome() == {"overlap": 0, "progress": 0}
    twins = copy.deepcopy(user), pickle.loads(pickle.dumps(user))
    first = user.reply(said)
    assert (first.text, first.done) == ("Yes, for two.\n", False)
    assert user.outcome()["progress"] == 0.5
    for twin in twins:
        assert twin.outcome()["progress"] == 0
        assert twin.reply(said) == first
    last = user.reply(said)
    assert (last.text, last.done) == ("Thank you.\n", True)
    assert user.outcome()["progress"] == 1


def test_overlap_is_the_mean_f1_of_the_turns() -> None:
    user = two_turns().converse(two_turns().example(0))
    user.reply("shall I book it? no")  # four of five words, of the seven wanted: F1 = 2 * 4 / 12
    assert user.outcome()["overlap"] == pytest.approx((8 / 12) / 2)
    user.reply("It is is booked.")  # three of four words, of the three wanted: F1 = 2 * 3 / 7
    assert user.outcome()["overlap"] == pytest.approx((8 / 12 + 6 / 7) / 2)


WORDS = st.lists(st.sampled_from(["a", "b", "B", "c."]), max_size=8).map(" ".join)


@given(WORDS, WORDS)
def test_f1_is_symmetric_and_bounded(one: str, other: str) -> None:
    assert word_f1(one, other) == word_f1(other, one)
    assert 0 <= word_f1(one, other) <= 1
    same = sorted(one.lower().split()) == sorted(other.lower().split())
    assert (word_f1(one, other) == 1) == (same and bool(one))


def test_only_the_recorded_words_pay() -> None:
    task = two_turns()
    example = task.example(0)

    def overlap(*turns: str) -> float:
        user = task.converse(example)
        for turn in turns:
            user.reply(turn)
        return user.outcome()["overlap"]

    recorded = example.metadata["assistant_turns"]
    assert overlap(*recorded) == 1
    assert overlap("", "") == 0
    assert overlap(recorded[0]) == 0.5
    assert overlap(*[turn * 5 for turn in recorded]) < 0.5
    assert overlap(*[example.references[0]] * 2) < 0.8
    assert overlap(*[example.prompt] * 2) < 0.25
    assert overlap(recorded[1], recorded[0]) < 0.2


def test_the_expert_says_the_recorded_turns_whatever_was_said() -> None:
    task = two_turns()
    example = task.example(0)
    assert task.expert(example) == "Yes, Roma Bella. Shall I book it?"
    assert task.expert(example, [("other words", "Yes, for two.\n")]) == "It is booked."


def test_it_keeps_the_contract_of_a_task() -> None:
    turns = TABLE_FOR_TWO["turns"]
    rows = [
        {"split": split, "turns": [["U", f"Good {time}."], *turns]}
        for split, time in (("train", "morning"), ("dev", "evening"), ("test", "night"))
    ]
    check_task(ReplayTask(rows, **LISTS))
    assert isinstance(load_task("replay", source=rows, **LISTS), MultiTurnTask)


def test_files_are_read_and_split_as_others_are(tmp_path: Path) -> None:
    rows = [{**TABLE_FOR_TWO, "id": i, "split": s} for i, s in enumerate(["test", "dev", "train"])]
    path = tmp_path / "dialogues.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    task = ReplayTask(path, **LISTS)
    assert task.name == "dialogues.jsonl.gz"
    assert [task.example(0, split).metadata["id"] for split in SPLITS] == [2, 1, 0]
    parts = ReplayTask({"train": path, "test": [TABLE_FOR_TWO]}, **LISTS, split_field=None)
    assert [parts.num_examples(split) for split in SPLITS] == [3, 0, 1]


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        ({"dialogue": []}, {}, r"the field 'turns' must hold a list of turns.*are dialogue"),
        ({"turns": "U: hello"}, {}, r"must hold a list of turns, not 'U: hello'"),
        ({"turns": [["U", "a"], ["S"]]}, LISTS, r"turn 2: expected a speaker at 0 and a text at 1"),
        ({"turns": CHAT}, LISTS, r"turn 1: expected a speaker at 0"),
        ({"turns": [["U", "a"], ["S", None]]}, LISTS, r"turn 2, field 'text': expected text"),
        ({"turns": [["U", "a"], ["S", "\ud800"]]}, LISTS, r"turn 2.*half a surrogate"),
        ({"turns": [["S", "a"], ["U", "b"]]}, LISTS, r"no turn of the user 'U' with an answer"),
        ({"turns": CHAT}, {"user": "human"}, r"no turn of the user 'human'"),
        ({"turns": []}, LISTS, r"no turn of the user 'U'"),
        ({"turns": CHAT, "split": "rest"}, {}, r"unknown split 'rest'"),
    ],
)
def test_what_is_no_dialogue_is_named(
    row: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=f"(?s)row 0.*{message}"):
        ReplayTask([row], **options)


def test_the_environment_replays_it() -> None:
    env = gym.make(
        "textgym/Text-v0",
        task="replay",
        task_kwargs={"source": [TABLE_FOR_TWO], **LISTS},
        reward={"outcome:overlap": 0.5, "bleu": 0.5},
        max_new_tokens=200,
        demonstrations=True,
    )
    _, info = env.reset(seed=0)
    replies, done = [], False
    while not done:
        _, reward, done, _, info = env.step(info["expert_action"])
        replies += [info["reply"]] if "reply" in info else []
    assert replies == ["Yes, for two.\n", "Thank you.\n"]
    assert info["finish_reason"] == "task"
    assert info["text"] == env.unwrapped.mdp.task.example(0).references[0]
    assert (reward, info["overlap"]) == (pytest.approx(1), 1)
