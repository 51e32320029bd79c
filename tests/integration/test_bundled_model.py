"""The bundled model: where it is the default, its size, and what its card says it scores."""

from __future__ import annotations

import json
import re
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

import textgym_agents
from textgym.envs.scales import load_scales
from textgym.registration import TABLE
from textgym.tasks.mixture import TEXT_TASKS
from textgym.tokenizers import load_tokenizer
from textgym_agents.evaluate import evaluate
from textgym_agents.policies.bundled import bundled_folder
from textgym_agents.policies.construction import PolicyConfig, build_policy, describe_policy
from textgym_agents.rollout import collect

SCALES = {scale.variant: scale for scale in load_scales()}
TASKS = [(row.id, row.task) for row in TABLE if row.task in TEXT_TASKS]


def model_of(env_id: str, config: PolicyConfig | None = None, **kwargs: object) -> object:
    envs = gym.make_vec(env_id, num_envs=2, **kwargs)
    return describe_policy(config or PolicyConfig(), envs).get("model")


@pytest.mark.parametrize(("env_id", "task"), TASKS)
@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_it_is_the_default_of_the_text_tasks(env_id: str, task: str, level: str) -> None:
    assert model_of(env_id, level=level) == "bundled"
    assert model_of(env_id, level=level, observation="dict") == "bundled"


def test_it_is_not_where_it_does_not_fit() -> None:
    assert model_of("textgym/Copy-v0") is None
    assert model_of("textgym/Text-v0", PolicyConfig(layers=1)) is None
    assert model_of("textgym/Text-v0", tokenizer="symbols:a b", task="copy") is None


def test_contexts_that_it_has_no_room_for_are_told() -> None:
    envs = gym.make_vec("textgym/Text-v0", num_envs=1, max_prompt_tokens=512, max_new_tokens=512)
    with pytest.warns(UserWarning, match=r"contexts of 1024 tokens are longer than .* 768"):
        assert describe_policy(PolicyConfig(), envs)["model"] is None


@pytest.mark.slow
def test_an_update_sees_what_long_conversations_were_drawn_with() -> None:
    """More of them than 256 MiB hold, sampled cold, which magnifies rounding."""
    envs = gym.make_vec("textgym/Dialogue-v0", num_envs=64, mask_in_info=False)
    policy = build_policy(describe_policy(PolicyConfig(temperature=0.4), envs))
    seeds = np.repeat(np.arange(16), 4).tolist()
    episodes = collect(envs, policy, seeds=seeds, generator=torch.Generator().manual_seed(0))
    drawn = np.concatenate([episode.log_probs for episode in episodes])
    found = policy.evaluate(episodes).log_probs.detach().numpy()
    assert np.abs(found - drawn).max() < 1e-5


def test_its_files_are_small_and_its_tokenizer_the_environments() -> None:
    folder = bundled_folder()
    assert folder.is_relative_to(Path(textgym_agents.__file__).parent)
    assert sum(file.stat().st_size for file in folder.iterdir()) < 8e6
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert config["textgym_tokenizer"] == load_tokenizer().signature
    mine = load_tokenizer(folder / "tokenizer.json")
    text = "The bundled tokenizer, w\u00f6rtlich."
    assert mine.encode(text) == load_tokenizer().encode(text)


def test_the_card_shows_the_stored_scores() -> None:
    card = (bundled_folder() / "README.md").read_text("utf-8")
    for task in TEXT_TASKS:
        for level in ("easy", "medium", "hard"):
            scale = SCALES[f"{task}/{level}"]
            (line,) = re.findall(rf"^\|.*\| {task}/{level} \|.*$", card, re.MULTILINE)
            for value in (scale.random, scale.likelihood, scale.likelihood_greedy, scale.expert):
                assert value is not None
                assert f"{value.mean:.3f}" in line


@pytest.mark.parametrize(
    ("env_id", "task"),
    [
        pytest.param(*row, marks=pytest.mark.slow if row[1] == "dialogue" else ())  # A minute.
        for row in TASKS
    ],
)
def test_it_scores_what_the_card_says(env_id: str, task: str) -> None:
    """200 held-out prompts that the card's figure was not measured on."""
    torch.set_num_threads(1)
    scale = SCALES[f"{task}/medium"]
    assert scale.likelihood_greedy is not None
    envs = gym.make_vec(env_id, num_envs=50, split="test", mask_in_info=False)
    policy = build_policy(describe_policy(PolicyConfig(), envs))
    result = evaluate(envs, policy, num_episodes=200, seed=5, deterministic=True)
    score = result.scores["score"]
    error = np.hypot(score.std / np.sqrt(score.count), scale.likelihood_greedy.error)
    assert abs(score.mean - scale.likelihood_greedy.mean) <= 4 * error
