"""The stored scale: every id and level has one, and it is what stepping the environment gives."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import textgym  # noqa: F401
from textgym.envs.scales import Measured, Scale, load_scales
from textgym.registration import TABLE
from textgym.tasks import load_task
from textgym.testing import play_expert

ROWS = {row.id: row for row in TABLE}
SCALES = {scale.variant: scale for scale in load_scales()}


def arguments(scale: Scale) -> dict[str, Any]:
    """What makes the environment of a scale, from its variant: "task/direction/level"."""
    _, *parts = scale.variant.split("/")
    kwargs: dict[str, Any] = {"split": "test"} | ({"level": parts[-1]} if parts else {})
    return kwargs | ({"task_kwargs": {"direction": parts[0]}} if len(parts) == 2 else {})


@pytest.mark.parametrize("env_id", list(ROWS))
def test_every_level_has_a_scale(env_id: str) -> None:
    task = ROWS[env_id].task
    for level in getattr(load_task(task), "levels", (None,)):
        env = gym.make(env_id, **({} if level is None else {"level": level})).unwrapped
        assert env.mdp.scale is SCALES[env.mdp.task.variant]
        assert env.mdp.scale.env_id == env_id


@pytest.mark.parametrize("variant", list(SCALES))
def test_the_expert_reaches_its_score_by_stepping(variant: str) -> None:
    scale = SCALES[variant]
    env = gym.make(scale.env_id, **arguments(scale))
    count = min(40, env.unwrapped.mdp.num_examples)
    infos = [play_expert(env, 1000 + i if count == 40 else i) for i in range(count)]
    scores = [info["score"] for info in infos]
    error = np.std(scores) / np.sqrt(count) + scale.expert.error
    assert abs(np.mean(scores) - scale.expert.mean) <= 4 * error + 1e-9
    normalized = [info["normalized_score"] for info in infos]
    width = scale.expert.mean - scale.random.mean
    assert abs(np.mean(normalized) - 1.0) <= 4 * error / width + 1e-9


@pytest.mark.parametrize("variant", list(SCALES))
def test_random_tokens_score_zero_within_their_error(variant: str) -> None:
    scale = SCALES[variant]
    envs = gym.make_vec(scale.env_id, 64, autoreset_mode="Disabled", **arguments(scale))
    envs.reset(seed=77)
    legal = np.flatnonzero(envs.unwrapped.mdp.legal)
    rng = np.random.default_rng(77)
    scores = np.full(64, np.nan)
    while np.isnan(scores).any():
        *_, terminated, _, infos = envs.step(rng.choice(legal, size=64))
        if terminated.any():
            scores = np.where(terminated & np.isnan(scores), infos["normalized_score"], scores)
            envs.reset(options={"reset_mask": terminated})
    width = scale.expert.mean - scale.random.mean
    error = np.hypot(scores.std(ddof=1) / 8, scale.random.error / width)
    assert abs(scores.mean()) <= 4 * error + 1e-6


def test_normalisation_by_hand() -> None:
    scale = Scale("id", "task", "reward", "bundled", 8, 2, Measured(0.2, 0.0), Measured(0.6, 0.0))
    assert scale.normalize(0.2) == 0.0
    assert scale.normalize(0.6) == pytest.approx(1.0)
    assert scale.normalize(np.array([0.0, 0.4, 1.0])) == pytest.approx([-0.5, 0.5, 2.0])


def test_there_is_no_normalised_score_under_another_reward() -> None:
    env = gym.make("textgym/Copy-v0", reward="exact_match")
    env.reset(seed=0)
    *_, info = env.step(env.unwrapped.mdp.tokenizer.eos_id)
    assert "normalized_score" not in info
