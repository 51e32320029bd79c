"""Every registered id, at every level: conformance, and vectors equal to single environments."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import textgym  # noqa: F401
from textgym.registration import TABLE
from textgym.tasks import load_task

LEVELS = [(row.id, level) for row in TABLE for level in getattr(load_task(row.task), "levels", ())]


@pytest.mark.parametrize(("env_id", "level"), LEVELS)
def test_both_checkers_are_silent(env_id: str, level: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gym.make(env_id, disable_env_checker=True, level=level, render_mode="ansi")
        check_env(env.unwrapped)
        sb3_check_env(gym.make(env_id, level=level, render_mode="rgb_array").unwrapped)


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize(("env_id", "level"), LEVELS)
def test_the_vector_form_equals_single_environments(
    env_id: str, level: str, mode: AutoresetMode
) -> None:
    """Half of the actions are the expert's, so that turns are right as well as wrong."""
    kwargs: dict[str, Any] = {"level": level, "demonstrations": True, "mask_in_info": False}
    num_envs = 3
    native = gym.make_vec(env_id, num_envs, autoreset_mode=mode.value, **kwargs)
    singles = SyncVectorEnv([lambda: gym.make(env_id, **kwargs)] * num_envs, autoreset_mode=mode)
    observations = native.reset(seed=5)
    assert data_equivalence(observations, singles.reset(seed=5), exact=True)
    infos = observations[1]
    rng = np.random.default_rng(0)
    eos, size = native.metadata["eos_id"], native.single_action_space.n
    # One slot follows the expert to the end, one strays, one babbles and stops now and then.
    stray = np.array([0.0, 0.05, 0.5])
    for _ in range(120):
        tokens = np.where(rng.random(num_envs) < 0.2, eos, rng.integers(size, size=num_envs))
        expert = infos["expert_action"]
        actions = np.where((expert < 0) | (rng.random(num_envs) < stray), tokens, expert)
        ours, theirs = native.step(actions), singles.step(actions)
        assert data_equivalence(ours, theirs, exact=True)
        infos = ours[4]
        done = ours[2] | ours[3]
        if mode is AutoresetMode.DISABLED and done.any():
            again = native.reset(options={"reset_mask": done.copy()})
            other = singles.reset(options={"reset_mask": done.copy()})
            assert data_equivalence(again, other, exact=True)
            infos["expert_action"] = np.where(
                done, again[1]["expert_action"], infos["expert_action"]
            )


@pytest.mark.parametrize(("env_id", "level"), LEVELS)
def test_snapshots_and_seeds_restore_everything(env_id: str, level: str) -> None:
    first, second = (
        gym.make(env_id, level=level, shaping="dense", demonstrations=True).unwrapped
        for _ in range(2)
    )
    assert data_equivalence(first.reset(seed=3), second.reset(seed=3), exact=True)
    info = first._info()
    for _ in range(10):
        action = info["expert_action"]
        step = first.step(action)
        assert data_equivalence(step, second.step(action), exact=True)
        info = step[4]
        if step[2]:
            break
        state = first.get_state()
        onward = first.step(first.mdp.tokenizer.eos_id)
        first.set_state(state)
        assert data_equivalence(onward, first.step(first.mdp.tokenizer.eos_id), exact=True)
        first.set_state(state)
