"""Environments that go on from one rollout to the next, and how a resumed run finds them again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from tests.agents.test_rollout import MODES, Sum, counters, rewards_of
from textgym_agents.algorithms import A2CConfig, AlgorithmConfig, GRPOConfig, ReinforceConfig
from textgym_agents.checkpoint import load_part
from textgym_agents.loggers import read_rows
from textgym_agents.ongoing import Ongoing
from textgym_agents.policies import Episode
from textgym_agents.policies.construction import PolicyConfig
from textgym_agents.rollout import collect
from textgym_agents.runs.records import LOG
from textgym_agents.train import TrainConfig, train

SEEDS = [3, 4, 5, 6]


def rollouts(mode: AutoresetMode, masks: str, steps: list[int]) -> list[list[Episode]]:
    envs, ongoing, generator = counters(4, mode, masks=masks), Ongoing(), torch.Generator()
    return [
        collect(
            envs,
            Sum(),
            seeds=SEEDS,
            steps_per_env=count,
            generator=generator,
            ongoing=ongoing,
        )
        for count in steps
    ]


def whole_episodes(parts: list[list[Episode]]) -> list[list[Episode]]:
    """Each slot's episodes, of their parts."""
    found: list[list[Episode]] = [[] for _ in SEEDS]
    for episode in [episode for rollout in parts for episode in rollout]:
        own = found[episode.slot]
        if episode.earlier_steps:
            first = own.pop()
            assert (first.out_of_steps, first.terminated, first.truncated) == (True, False, True)
            assert episode.earlier_steps == first.num_steps
            assert episode.earlier_reward == first.total_reward
            arrays: dict[str, Any] = {
                name: np.concatenate([getattr(first, name), getattr(episode, name)])
                for name in ("observations", "actions", "log_probs", "values", "rewards")
            }
            episode = replace(episode, **arrays, earlier_steps=first.earlier_steps)
        own.append(episode)
    return found


@MODES
@pytest.mark.parametrize("masks", ["info", "none"])
def test_parts_make_the_episodes_of_one_rollout(mode: AutoresetMode, masks: str) -> None:
    steps = [7, 1, 5, 1, 1, 9, 18]
    cut = whole_episodes(rollouts(mode, masks, steps))
    uncut = whole_episodes(rollouts(mode, masks, [sum(steps)]))
    for slot, (mine, expected) in enumerate(zip(cut, uncut, strict=True)):
        assert len(mine) == len(expected) > 3
        waits = len(mine) - 1 if mode is AutoresetMode.NEXT_STEP else 0
        taken = sum(episode.num_steps for episode in mine)
        assert taken + waits in (sum(steps), sum(steps) - (mode is AutoresetMode.NEXT_STEP))
        for one, other in zip(mine, expected, strict=True):
            assert one.slot == slot
            for name in ("observations", "actions", "values", "rewards"):
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
            ends = ("terminated", "truncated", "out_of_steps", "final_value")
            assert [getattr(one, n) for n in ends] == [getattr(other, n) for n in ends]
        for episode in mine[:-1]:
            start = int(episode.info["text"].removeprefix("from "))
            assert episode.rewards.tolist() == rewards_of(start)


def test_every_part_is_a_group_of_its_own() -> None:
    for episodes in rollouts(AutoresetMode.NEXT_STEP, "info", [6, 6]):
        groups = [episode.group for episode in episodes]
        assert len(set(groups)) == len(groups)


class Moody(gym.Env[Any, Any]):
    """Its rewards do not follow from its seed."""

    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)
    calls = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        Moody.calls += 1
        return np.zeros(1, np.float32), float(Moody.calls), False, False, {}


def test_a_replay_comes_to_the_same_place_or_says_that_it_did_not() -> None:
    for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP):
        envs, ongoing = counters(4, mode, masks="info"), Ongoing()
        assert ongoing.state() == {}
        for count in (5, 6):
            collect(envs, Sum(), seeds=SEEDS, steps_per_env=count, ongoing=ongoing)
        state, again = ongoing.state(), Ongoing()
        assert state["actions"].shape == (11, 4)
        again.replay(counters(4, mode, masks="info"), SEEDS, state)
        for name in ("observations", "resetting", "steps", "rewards"):
            np.testing.assert_array_equal(getattr(again, name), getattr(ongoing, name))
        assert torch.equal(again.state()["actions"], state["actions"])
        with pytest.raises(ValueError, match="of 4 slots, not 3"):
            again.replay(counters(3, mode), SEEDS[:3], state)
        ongoing.end()
        assert ongoing.state() == {}
    moody, ongoing = SyncVectorEnv([Moody]), Ongoing()
    collect(moody, Sum3(), seeds=[0], steps_per_env=3, ongoing=ongoing)
    with pytest.raises(ValueError, match=r"rewards of 15\.0 in all .* had 6\.0 .* resets_every"):
        Ongoing().replay(moody, [0], ongoing.state())


class Sum3(Sum):
    """`Sum` for environments of two actions."""

    def act(self, observations: Any, *, action_masks: Any = None, **kwargs: Any) -> Any:
        masks = np.tile([True, True, False], (len(observations), 1))
        return super().act(observations, action_masks=masks, **kwargs)


def run(output: Path, **kwargs: Any) -> TrainConfig:
    options: dict[str, Any] = {"env_id": "CartPole-v1", "num_envs": 4, "total_steps": 640}
    options |= {"policy": PolicyConfig(hidden_sizes=(8,)), "tensorboard": False, "progress": False}
    return TrainConfig(output=output, **{**options, **kwargs})


def test_late_states_are_seen_and_returns_are_of_whole_episodes(tmp_path: Path) -> None:
    """Of cart poles, whose return is their length; a batch has 5 of an episode's steps."""
    algorithm = A2CConfig(steps_per_env=5)
    config = run(tmp_path / "on", resets_every=32)
    train(config, algorithm)
    ended = [row for row in read_rows(config.output / LOG) if row["episodes"]]
    assert sum(row["episodes"] for row in ended) > 15
    assert all(row["return_mean"] == row["length_mean"] > 5 for row in ended)
    anew = run(tmp_path / "anew")
    train(anew, algorithm)
    assert not any(row["episodes"] for row in read_rows(anew.output / LOG))


class Late(gym.Env[Any, Any]):
    """Of 30 steps; in the second half, action 1 is worth 1."""

    observation_space = gym.spaces.Box(0, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = float(action == 1 and self.count >= 15)
        self.count += 1
        observation = np.full(1, self.count / 30, np.float32)
        return observation, reward, self.count == 30, False, {}


def test_what_pays_late_is_learned_where_episodes_go_on(tmp_path: Path) -> None:
    """By short batches; of new episodes each, they never come so far. Random actions have 7.5."""
    gym.register("Late-v0", Late)
    try:
        algorithm = A2CConfig(steps_per_env=6, gamma=0.9, learning_rate=0.02)
        returns = []
        for resets_every in (1, 50):
            output = tmp_path / str(resets_every)
            options: dict[str, Any] = {"env_id": "Late-v0", "num_envs": 16, "eval_interval": 1000}
            options |= {"resets_every": resets_every, "total_steps": 16 * 6 * 200}
            result = train(run(output, **options), algorithm)
            returns.append(result.metrics["eval_return_mean"])
    finally:
        del gym.registry["Late-v0"]
    assert returns[0] < 11 and returns[1] > 14


def test_a_checkpoint_keeps_the_actions_since_the_reset(tmp_path: Path) -> None:
    algorithm = A2CConfig(steps_per_env=5)
    for resets_every, kept in ((3, 10), (8, 0), (1, 0)):
        output = tmp_path / str(resets_every)
        config = run(output, resets_every=resets_every, total_steps=8 * 20 - 10)
        result = train(config, algorithm)
        assert result.iteration == 8
        state = load_part(result.checkpoint, "environments")
        assert (state["actions"].shape[0] if state else 0) == kept


@pytest.mark.parametrize(
    ("algorithm", "policy", "wrong"),
    [
        (A2CConfig(), PolicyConfig(), "steps_per_env is 0"),
        (GRPOConfig(group_size=2), PolicyConfig(), "steps_per_env is 0"),
        (
            ReinforceConfig(baseline="learned", steps_per_env=5),
            PolicyConfig(),
            "reinforce learns from episodes that it has the beginnings of",
        ),
        (
            A2CConfig(steps_per_env=5),
            PolicyConfig(kind="seq2seq", layers=1, heads=2, width=16),
            "Seq2SeqPolicy has to see where an episode's prompt ends",
        ),
    ],
    ids=["whole episodes", "groups", "beginnings", "seq2seq"],
)
def test_what_cannot_go_on_is_refused(
    algorithm: AlgorithmConfig, policy: PolicyConfig, wrong: str, tmp_path: Path
) -> None:
    env_id = "textgym:textgym/Tiny-v0" if policy.kind == "seq2seq" else "CartPole-v1"
    config = run(tmp_path, resets_every=4, policy=policy, env_id=env_id)
    with pytest.raises(ValueError, match=f"resets_every must be 1: {wrong}"):
        train(config, algorithm)
