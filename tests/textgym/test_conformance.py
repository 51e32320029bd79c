"""Every registered id passes the same conformance tests."""

from __future__ import annotations

import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode

import textgym  # noqa: F401
from textgym.registration import TABLE

IDS = [row.id for row in TABLE]
VARIANTS = [
    {},
    {"observation": "dict"},
    {"shaping": "dense", "gamma": 0.9},
    {"mask_in_info": False},
    {"demonstrations": True},
    {"split": "test", "max_new_tokens": 1},
]


def play(env: gym.Env, seed: int, episodes: int = 2) -> list[object]:
    """Everything that an environment says to the same legal random actions."""
    rng = np.random.default_rng(seed)
    said: list[object] = [env.reset(seed=seed)]
    for episode in range(episodes):
        done = False
        while not done:
            action = int(rng.choice(np.flatnonzero(env.unwrapped.action_masks())))
            said.append(env.step(action))
            done = said[-1][2] or said[-1][3]
        if episode + 1 < episodes:
            said.append(env.reset())
    return said


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("env_id", IDS)
def test_gymnasium_checker_is_silent(env_id: str, variant: dict) -> None:
    env = gym.make(env_id, disable_env_checker=True, render_mode="ansi", **variant)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("env_id", IDS)
def test_stable_baselines_checker_is_silent(env_id: str, variant: dict) -> None:
    from stable_baselines3.common.env_checker import check_env as sb3_check_env

    env = gym.make(env_id, render_mode="rgb_array", **variant)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sb3_check_env(env.unwrapped)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("env_id", IDS)
def test_same_seed_same_words(env_id: str, variant: dict) -> None:
    first, second = gym.make(env_id, **variant), gym.make(env_id, **variant)
    assert data_equivalence(play(first, 3), play(second, 3), exact=True)
    assert data_equivalence(play(first, 3), play(second, 3), exact=True)


@pytest.mark.parametrize("env_id", IDS)
def test_other_seeds_show_other_prompts(env_id: str) -> None:
    env = gym.make(env_id)
    prompts = {env.reset(seed=seed)[0].tobytes() for seed in range(40)}
    assert len(prompts) > 1


@pytest.mark.parametrize("env_id", IDS)
def test_pickled_environment_goes_on_alike(env_id: str) -> None:
    env = gym.make(env_id, shaping="dense").unwrapped
    env.reset(seed=5)
    eos = env.mdp.tokenizer.eos_id
    env.step(next(a for a in np.flatnonzero(env.action_masks()) if a != eos))
    twin = pickle.loads(pickle.dumps(env))
    assert data_equivalence(env.step(eos), twin.step(eos), exact=True)
    assert data_equivalence(env.reset(), twin.reset(), exact=True)


@pytest.mark.parametrize("env_id", IDS)
def test_spec_round_trips_through_json(env_id: str) -> None:
    env = gym.make(f"textgym:{env_id}", split="validation", shaping="dense")
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert data_equivalence(play(env, 7), play(again, 7), exact=True)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("env_id", IDS)
def test_prompts_and_references_fit(env_id: str, split: str) -> None:
    env = gym.make(env_id, split=split).unwrapped
    mdp = env.mdp
    for index in range(min(100, mdp.num_examples)):
        prompt = mdp.prompt(index)
        assert 0 < len(prompt.tokens) <= mdp.max_prompt_tokens
        assert prompt.example.references
        for reference in prompt.example.references:
            tokens = mdp.tokenizer.encode(reference)
            assert len(tokens) + 1 <= mdp.max_new_tokens
            assert mdp.tokenizer.decode(tokens) == reference


@pytest.mark.parametrize("shaping", ["terminal", "dense"])
@pytest.mark.parametrize("env_id", IDS)
def test_snapshot_restores_exactly(env_id: str, shaping: str) -> None:
    env = gym.make(env_id, shaping=shaping, max_new_tokens=3).unwrapped
    rng = np.random.default_rng(0)
    legal = np.flatnonzero(env.action_masks())
    env.reset(seed=11)
    for length in range(3):
        env.reset()
        for _ in range(length):
            env.step(int(rng.choice(legal[legal != env.mdp.tokenizer.eos_id])))
        state = env.get_state()
        actions = [int(rng.choice(legal)) for _ in range(3)]

        def onward(actions: list[int] = actions) -> list[object]:
            said: list[object] = []
            for action in actions:
                said.append(env.step(action))
                if said[-1][2]:
                    break
            return [*said, env.reset(), env.np_random.random()]

        first = onward()
        env.set_state(state)
        assert data_equivalence(first, onward(), exact=True)


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
@pytest.mark.parametrize("env_id", IDS)
def test_vector_form_is_native_and_names_its_mode(env_id: str, mode: str) -> None:
    envs = gym.make_vec(env_id, num_envs=3, autoreset_mode=mode)
    assert type(envs).__name__ == "TextGenerationVectorEnv"
    assert envs.metadata["autoreset_mode"] is AutoresetMode(mode)
    observations, _ = envs.reset(seed=1)
    assert observations in envs.observation_space
    observations, *_ = envs.step(envs.action_space.sample())
    assert observations in envs.observation_space


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
def test_rendering_shows_the_answer(env_id: str, mode: str) -> None:
    env = gym.make(env_id, render_mode=mode)
    env.reset(seed=0)
    before = env.render()
    env.step(int(np.flatnonzero(env.unwrapped.action_masks())[2]))
    after = env.render()
    if mode == "ansi":
        assert (
            env.unwrapped.mdp.prompt(env.unwrapped.get_state()["example"]).example.prompt in after
        )
        assert before != after
    else:
        assert after.shape == (360, 640, 3)
        assert after.dtype == np.uint8
        assert (before != after).any()
