"""Published data sets through Text-v0: answered by their references, and dialogues replayed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import textgym  # noqa: F401
from textgym.tasks import SPLITS, load_task
from textgym.tasks.replay import ReplayTask

FOLDER = Path(os.environ.get("TEXTGYM_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
PAIRS: dict[str, dict[str, Any]] = {
    "task_multi30k_en_de": {"prompt": "en", "references": "de"},
    "task_e2e_dev_test": {"prompt": "mr", "references": "refs"},
    "task_commongen": {"prompt": "{concepts}\n", "references": "refs"},
    "task_scitldr_abstract": {
        "prompt": "{title}\n{source}\nTL;DR:",
        "references": "refs",
        "prompt_suffix": "",
    },
}
DIALOGUES = FOLDER / "task_sgd_dialogue_sample.jsonl.gz"
SCHEMA_GUIDED = {"source": str(DIALOGUES), "speaker": 0, "text": 1, "user": "U"}
"""Their turns are lists: speaker, text, slots."""


def data(name: str) -> str:
    path = FOLDER / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return str(path)


@pytest.fixture
def dialogues() -> dict[str, Any]:
    """The arguments of an environment that replays them; no dialogue is longer."""
    data("task_sgd_dialogue_sample")
    return {
        "task": "replay",
        "task_kwargs": SCHEMA_GUIDED,
        "reward": {"outcome:overlap": 1.0},
        "max_prompt_tokens": 128,
        "max_new_tokens": 1024,
    }


def follow(env: gym.Env, index: int) -> Mapping[str, Any]:
    """The last info of an episode that takes what is demonstrated."""
    _, info = env.reset(options={"example": index})
    done = False
    while not done:
        _, reward, done, _, info = env.step(info["expert_action"])
    assert reward == info["score"]
    return info


@pytest.mark.parametrize("name", PAIRS)
def test_a_demonstrated_reference_scores_one(name: str) -> None:
    env = gym.make(
        "textgym/Text-v0",
        task=data(name),
        task_kwargs=PAIRS[name],
        split="test",
        max_prompt_tokens=1024,
        max_new_tokens=384,
        demonstrations=True,
    )
    for index in range(0, env.unwrapped.mdp.num_examples, 200):
        info = follow(env, index)
        assert info["finish_reason"] == "stop"
        assert info["text"] in info["references"]
        assert info["score"] == pytest.approx(1)


@pytest.mark.parametrize("name", PAIRS)
def test_long_prompts_keep_their_end(name: str) -> None:
    envs = gym.make_vec(
        "textgym/Text-v0",
        num_envs=8,
        task=data(name),
        task_kwargs=PAIRS[name],
        split="validation",
        max_prompt_tokens=16,
        max_new_tokens=4,
        prompt_overflow="truncate",
    )
    observations, _ = envs.reset(seed=0)
    mdp, task = envs.unwrapped.mdp, load_task(data(name), **PAIRS[name])
    for slot, row in enumerate(observations):
        prompt = task.example(mdp.example_index(slot, 0), "validation").prompt
        assert row[row != mdp.tokenizer.pad_id].tolist() == mdp.tokenizer.encode(prompt)[-16:]
    assert np.isfinite(envs.step(envs.action_space.sample())[1]).all()


def test_dialogues_load_whole(dialogues: dict[str, Any]) -> None:
    task = ReplayTask(**SCHEMA_GUIDED)
    assert [task.num_examples(split) for split in SPLITS] == [3_069, 768, 1_024]
    example = task.example(0)
    assert example.prompt == "I am feeling hungry so I would like to find a place to eat.\n"
    assert example.metadata["services"] == ["Restaurants_1"]
    assert example.metadata["assistant_turns"][-1] == "Have a good time!"
    assert example.metadata["user_turns"][0] == "I would like for it to be in San Jose.\n"
    for split in SPLITS:
        for index in range(task.num_examples(split)):
            example = task.example(index, split)
            turns, replies = (example.metadata[f"{who}_turns"] for who in ("assistant", "user"))
            assert len(turns) == len(replies) >= 2
            assert all(turns)
            assert all(replies[:-1])


def test_the_recorded_assistant_gets_the_recorded_dialogue(dialogues: dict[str, Any]) -> None:
    env = gym.make("textgym/Text-v0", **dialogues, split="test", demonstrations=True)
    for index in range(0, 1_024, 128):
        info = follow(env, index)
        assert info["finish_reason"] == "task"
        assert (info["text"],) == tuple(info["references"])
        assert info["score"] == pytest.approx(1)


def test_the_user_says_the_same_to_another_assistant(dialogues: dict[str, Any]) -> None:
    env = gym.make("textgym/Text-v0", **dialogues, split="validation")
    tokenizer = env.unwrapped.mdp.tokenizer
    for index in range(0, 768, 128):
        env.reset(options={"example": index})
        replies, done = [], False
        while not done:
            for token in [*tokenizer.encode("What else?"), tokenizer.eos_id]:
                _, reward, done, _, info = env.step(token)
            replies.append(info["reply"])
        example = env.unwrapped.mdp.task.example(index, "validation")
        assert tuple(replies) == example.metadata["user_turns"]
        assert info["finish_reason"] == "task"
        assert reward < 0.3


def test_dialogues_are_replayed_side_by_side(dialogues: dict[str, Any]) -> None:
    """Each slot of the vector form hears its own user, as single environments do."""
    envs = gym.make_vec(
        "textgym/Text-v0", num_envs=3, **dialogues, autoreset_mode="Disabled", demonstrations=True
    )
    _, info = envs.reset(seed=0)
    seen: dict[int, list[str]] = {slot: [] for slot in range(3)}
    done = np.zeros(3, dtype=bool)
    while not done.any():
        _, _, done, _, info = envs.step(info["expert_action"])
        for slot in np.flatnonzero(info.get("_reply", np.zeros(3, dtype=bool))):
            seen[int(slot)].append(info["reply"][slot])
    mdp = envs.unwrapped.mdp
    heard = [mdp.prompt(mdp.example_index(slot, 0)).example.metadata["user_turns"] for slot in seen]
    assert len({replies[0] for replies in heard}) == 3
    for slot, replies in enumerate(heard):
        assert tuple(seen[slot]) == replies[: len(seen[slot])]
        assert seen[slot]
