"""The native vector environment equals single environments, step for step."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics
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
        "demonstrations": st.sampled_from([False, True, "expert"]),
        "gamma": st.sampled_from([1.0, 0.9]),
        "max_new_tokens": st.integers(1, 6),
        "max_episode_steps": st.sampled_from([None, 2, 4]),
        "reward": st.sampled_from(["bleu", {"chrf": 0.5, "exact_match": 0.5}]),
    }
)


@pytest.mark.filterwarnings("ignore:demonstrations are cut")
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


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_named_examples_of_a_slots_next_episodes(mode: str) -> None:
    """They come in turn; then the slot draws as it would have."""
    envs = gym.make_vec("textgym/Text-v0", num_envs=3, autoreset_mode=mode)
    per_episode = 2 if mode == "NextStep" else 1
    end = np.full(3, envs.metadata["eos_id"])

    def shown(options: Any) -> list[list[int]]:
        envs.reset(seed=5, options=options)
        rows = []
        for step in range(4 * per_episode):
            infos = envs.step(end)[-1]
            infos = infos.get("final_info", infos)
            if step % per_episode == 0:
                rows.append(infos["example"].tolist())
        return np.transpose(rows).tolist()

    drawn = shown(None)
    lists = [[9, 8, 7], [6], 5]
    assert shown({"example": lists}) == [
        [9, 8, 7, drawn[0][3]],
        [6, *drawn[1][1:]],
        [5, *drawn[2][1:]],
    ]
    assert shown(None) == drawn
    with pytest.raises(ValueError, match="is 1000, but split 'train'"):
        envs.reset(options={"example": [[1], [2, 1000], [3]]})


def test_named_examples_come_in_turn_where_slots_are_reset_one_by_one() -> None:
    envs = gym.make_vec("textgym/Text-v0", num_envs=2, autoreset_mode="Disabled")
    end = np.full(2, envs.metadata["eos_id"])
    envs.reset(seed=5, options={"example": [[9, 8, 7], np.array([6, 5, 4])]})
    shown = [envs.step(end)[-1]["example"].tolist()]
    for _ in range(2):
        for slot in range(2):
            envs.reset(options={"reset_mask": np.arange(2) == slot})
        shown.append(envs.step(end)[-1]["example"].tolist())
    assert shown == [[9, 6], [8, 5], [7, 4]]
    with pytest.raises(ValueError, match="must be an integer, not array"):
        envs.reset(seed=5, options={"example": np.array(3)})


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


def test_what_resetting_slots_are_given_is_ignored() -> None:
    envs = gym.make_vec("textgym/Copy-v0", num_envs=2, shaping="dense", demonstrations=True)
    twin = gym.make_vec("textgym/Copy-v0", num_envs=2, shaping="dense", demonstrations=True)
    for one in (envs, twin):
        one.reset(seed=3)
        one.step(np.array([envs.metadata["eos_id"], 0]))
    assert_same(envs.step(np.array([-7, 1])), twin.step(np.array([2, 1])))


@pytest.mark.parametrize("shaping", ["terminal", "dense"])
def test_rendering_equals_that_of_single_environments(shaping: str) -> None:
    kwargs = {"render_mode": "ansi", "shaping": shaping}
    native = gym.make_vec("textgym/Copy-v0", num_envs=2, **kwargs)
    sync = gym.make_vec("textgym/Copy-v0", num_envs=2, vectorization_mode="sync", **kwargs)
    with pytest.raises(ResetNeeded, match="nothing to render"):
        native.render()
    native.reset(seed=5), sync.reset(seed=5)
    for actions in ([0, 1], [8, 2], [0, 8], [1, 1]):
        native.step(np.array(actions)), sync.step(np.array(actions))
        assert native.render() == sync.render()
    assert gym.make_vec("textgym/Copy-v0", num_envs=2).reset(seed=0)
    with pytest.raises(ValueError, match="'human'"):
        gym.make_vec("textgym/Copy-v0", num_envs=2, render_mode="human")


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda envs: pickle.loads(pickle.dumps(envs))])
def test_a_copy_goes_on_alike(copied: Any) -> None:
    envs = gym.make_vec("textgym/Text-v0", 3, shaping="dense", demonstrations=True)
    envs.reset(seed=[1, 2**70, 3])
    envs.step(np.array([5, 6, 7]))
    twin = copied(envs)
    rng = np.random.default_rng(0)
    for _ in range(40):
        actions = random_actions(rng, envs, 3, envs.metadata["eos_id"])
        assert_same(envs.step(actions), twin.step(actions))


def test_async_equals_native_with_dict_observations_and_dense_rewards() -> None:
    kwargs = {"observation": "dict", "shaping": "dense", "demonstrations": True}
    native = gym.make_vec("textgym/Text-v0", num_envs=2, **kwargs)
    envs = gym.make_vec("textgym/Text-v0", num_envs=2, vectorization_mode="async", **kwargs)
    assert_same(native.reset(seed=4), envs.reset(seed=4))
    rng = np.random.default_rng(0)
    for _ in range(20):
        actions = random_actions(rng, native, 2, native.metadata["eos_id"])
        assert_same(native.step(actions), envs.step(actions))
    envs.close()


def test_gymnasiums_statistics_wrapper_counts_episodes() -> None:
    envs = RecordEpisodeStatistics(gym.make_vec("textgym/Copy-v0", num_envs=2))
    envs.reset(seed=0)
    infos = envs.step(np.array([8, 0]))[-1]
    assert infos["episode"]["l"][0] == 1
    assert infos["episode"]["r"][0] == infos["score"][0]


@pytest.mark.parametrize("limit", [0, -2, 1.5, "a", True])
def test_step_limits_are_checked(limit: Any) -> None:
    with pytest.raises(ValueError, match="max_episode_steps must be"):
        gym.make_vec("textgym/Copy-v0", num_envs=1, max_episode_steps=limit)


@pytest.mark.parametrize("seed", [True, -1, 1.5])
def test_seeds_are_checked(seed: Any) -> None:
    envs = gym.make_vec("textgym/Copy-v0", num_envs=2)
    with pytest.raises(ValueError, match="whole number from 0 on"):
        envs.reset(seed=seed)


def test_more_prompts_than_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts make room for others, never those that slots show."""
    monkeypatch.setattr("textgym.envs.prompts.MOST_ROWS", 1)
    num_envs = 3
    native = gym.make_vec("textgym/Copy-v0", num_envs, level="hard")
    sync = SyncVectorEnv([lambda: gym.make("textgym/Copy-v0", level="hard")] * num_envs)
    assert_same(native.reset(seed=0), sync.reset(seed=0))
    rng = np.random.default_rng(0)
    for _ in range(60):
        actions = random_actions(rng, native, num_envs, native.metadata["eos_id"])
        assert_same(native.step(actions), sync.step(actions))
