"""The native vector environment equals single environments, step for step."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

import textgym  # noqa: F401


def assert_same(a: Any, b: Any, where: str = "") -> None:
    """Equal values, equal dtypes, equal keys, all the way down."""
    if isinstance(a, dict):
        assert set(a) == set(b), f"{where}: {set(a) ^ set(b)}"
        for key in a:
            assert_same(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype, f"{where}: {a.dtype} {b.dtype}"
        assert a.shape == b.shape, where
        if a.dtype == object:
            for i, (x, y) in enumerate(zip(a, b, strict=True)):
                assert_same(x, y, f"{where}[{i}]")
        else:
            assert np.array_equal(a, b), where
    elif isinstance(a, tuple):
        assert isinstance(b, tuple), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{i}]")
    else:
        assert type(a) is type(b), f"{where}: {type(a)} {type(b)}"
        assert a == b, where


def random_actions(rng: np.random.Generator, envs: Any, num_envs: int, eos: int) -> np.ndarray:
    """Any token, illegal ones included, and EOS often."""
    tokens = rng.integers(envs.single_action_space.n, size=num_envs)
    return np.where(rng.random(num_envs) < 0.2, eos, tokens)


KWARGS = st.fixed_dictionaries(
    {
        "shaping": st.sampled_from(["terminal", "dense"]),
        "observation": st.sampled_from(["box", "dict"]),
        "mask_in_info": st.booleans(),
        "demonstrations": st.booleans(),
        "gamma": st.sampled_from([1.0, 0.9]),
        "max_new_tokens": st.integers(1, 6),
        "max_episode_steps": st.sampled_from([None, 2, 4]),
        "reward": st.sampled_from(["bleu", {"chrf": 0.5, "exact_match": 0.5}]),
    }
)


@settings(deadline=None, max_examples=200)
@given(
    env_id=st.sampled_from(["textgym/Text-v0", "textgym/Copy-v0", "textgym/Translation-v0"]),
    mode=st.sampled_from(list(AutoresetMode)),
    kwargs=KWARGS,
    num_envs=st.integers(1, 4),
    seed=st.integers(0, 2**32),
)
def test_equals_single_environments(
    env_id: str, mode: AutoresetMode, kwargs: dict[str, Any], num_envs: int, seed: int
) -> None:
    steps = kwargs.pop("max_episode_steps")
    limit = {} if steps is None else {"max_episode_steps": steps}
    native = gym.make_vec(env_id, num_envs, autoreset_mode=mode.value, **kwargs, **limit)
    sync = SyncVectorEnv(
        [lambda: gym.make(env_id, **kwargs, **limit)] * num_envs, autoreset_mode=mode
    )
    assert native.single_observation_space == sync.single_observation_space
    assert native.action_space == sync.action_space
    assert_same(native.reset(seed=seed), sync.reset(seed=seed))
    rng = np.random.default_rng(seed)
    eos = native.metadata["eos_id"]
    for _ in range(12):
        actions = random_actions(rng, native, num_envs, eos)
        ours, theirs = native.step(actions), sync.step(actions)
        assert_same(ours, theirs)
        done = ours[2] | ours[3]
        if mode is AutoresetMode.DISABLED and done.any():
            seeds = [None if rng.random() < 0.5 else int(rng.integers(99)) for _ in range(num_envs)]
            options = {"reset_mask": done}
            assert_same(
                native.reset(seed=seeds, options=dict(options)),
                sync.reset(seed=seeds, options=dict(options)),
            )


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_gymnasiums_own_vectorizers_work(mode: str) -> None:
    envs = gym.make_vec("textgym/Copy-v0", num_envs=2, vectorization_mode=mode)
    native = gym.make_vec("textgym/Copy-v0", num_envs=2)
    assert isinstance(envs, SyncVectorEnv if mode == "sync" else AsyncVectorEnv)
    assert_same(native.reset(seed=4), envs.reset(seed=4))
    for actions in ([0, 1], [8, 2], [3, 3]):
        assert_same(native.step(np.array(actions)), envs.step(np.array(actions)))
    envs.close()


def test_slots_with_the_same_seed_walk_through_the_same_prompts() -> None:
    envs = gym.make_vec("textgym/Translation-v0", num_envs=4)
    observations, _ = envs.reset(seed=[7, 7, 8, 8])
    eos = envs.metadata["eos_id"]
    for _ in range(5):
        assert np.array_equal(observations[0], observations[1])
        assert np.array_equal(observations[2], observations[3])
        assert not np.array_equal(observations[0], observations[2])
        envs.step(np.full(4, eos))
        observations, *_ = envs.step(np.full(4, eos))


def test_named_examples_one_a_slot() -> None:
    envs = gym.make_vec("textgym/Text-v0", num_envs=3)
    envs.reset(seed=0, options={"example": [5, 6, 7]})
    infos = envs.step(np.full(3, envs.metadata["eos_id"]))[-1]
    assert infos["example"].tolist() == [5, 6, 7]


def test_observations_are_fresh_arrays() -> None:
    envs = gym.make_vec("textgym/Copy-v0", num_envs=2)
    first, _ = envs.reset(seed=0)
    kept = first.copy()
    second, *_ = envs.step(np.array([0, 1]))
    assert np.array_equal(first, kept)
    assert not np.shares_memory(first, second)


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.array([0, -1]), r"token id from 0 to \d+, not -1 \(slot 1\)"),
        (np.array([0, 10**6]), "not 1000000"),
        (np.array([0.5, 1.0]), "integers of shape"),
        (np.array([1]), "integers of shape"),
    ],
)
def test_actions_out_of_the_space_are_named(actions: np.ndarray, message: str) -> None:
    envs = gym.make_vec("textgym/Copy-v0", num_envs=2)
    envs.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        envs.step(actions)


def test_misuse_is_named() -> None:
    envs = gym.make_vec("textgym/Copy-v0", num_envs=2, autoreset_mode="Disabled")
    with pytest.raises(ResetNeeded, match="reset"):
        envs.step(np.array([0, 0]))
    with pytest.raises(ValueError, match="3 seeds were passed for num_envs=2"):
        envs.reset(seed=[1, 2, 3])
    envs.reset(seed=0)
    envs.step(np.array([8, 0]))
    with pytest.raises(ResetNeeded, match=r"slots \[0\] are over"):
        envs.step(np.array([0, 0]))
    with pytest.raises(ValueError, match="a True in it"):
        envs.reset(options={"reset_mask": np.zeros(2, dtype=bool)})
    with pytest.raises(TypeError, match="array of bools"):
        envs.reset(options={"reset_mask": [True, False]})
    with pytest.raises(ValueError, match="has 3 entries for num_envs=2"):
        envs.reset(options={"example": [1, 2, 3]})
