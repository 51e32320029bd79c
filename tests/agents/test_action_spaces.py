"""Rollouts and learning with actions of every space, in environments of nested observations."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from textgym_agents.algorithms import PPOConfig, Reinforce, ReinforceConfig
from textgym_agents.checkpoint import load_checkpoint_policy
from textgym_agents.evaluate import evaluate
from textgym_agents.policies import MLPPolicy
from textgym_agents.rollout import collect
from textgym_agents.runs.config import TrainConfig
from textgym_agents.runs.environments import make_envs
from textgym_agents.train import train

ACTIONS = {
    "discrete from 2": spaces.Discrete(3, start=2),
    "several": spaces.MultiDiscrete([2, 4], start=[3, -1]),
    "grid": spaces.MultiDiscrete([[2, 3], [4, 5]]),
    "flags": spaces.MultiBinary(3),
    "numbers": spaces.Box(np.array([-0.1, 0.0], np.float32), np.array([0.1, 0.5], np.float32)),
    "a number": spaces.Box(-0.2, 0.2, (), np.float64),
    "a matrix": spaces.Box(-0.2, 0.2, (2, 3), np.float32),
}


class Nested(gym.Env[Any, Any]):
    """Counts the steps in a nested observation; refuses actions that are not in its space."""

    def __init__(self, action_space: gym.Space[Any], limit: int = 4) -> None:
        self.action_space = action_space
        self.observation_space = spaces.Dict(
            clock=spaces.Tuple([spaces.Box(0, 100, (1,), np.float32), spaces.Discrete(2)]),
            flag=spaces.MultiBinary(1),
        )
        self._limit, self.taken = limit, []

    def _observe(self) -> dict[str, Any]:
        step = np.array([self._step], np.float32)
        return {"clock": (step, self._step % 2), "flag": np.zeros(1, np.int8)}

    def reset(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        self._step = 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(np.asarray(action)), action
        self.taken.append(action)
        self._step += 1
        return self._observe(), 1.0, False, self._step == self._limit, {}


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize("name", ACTIONS)
def test_rollouts_keep_what_was_drawn_and_send_what_the_space_holds(
    name: str, mode: AutoresetMode
) -> None:
    space = ACTIONS[name]
    made = [Nested(space, limit) for limit in (4, 2)]
    envs = SyncVectorEnv([lambda env=env: env for env in made], autoreset_mode=mode)
    torch.manual_seed(0)
    policy = MLPPolicy.from_env(envs, hidden_sizes=(8,))
    torch.nn.init.normal_(policy.critic[-1].weight)
    generator = torch.Generator().manual_seed(0)
    episodes = collect(envs, policy, seeds=[1, 2], episodes_per_env=2, generator=generator)
    assert [episode.num_steps for episode in episodes] == [4, 4, 2, 2]
    whole = np.concatenate([episode.actions for episode in episodes[:2]])
    if isinstance(space, spaces.Box):
        assert whole.dtype == np.float32 and whole.shape == (8, policy.distribution.num_outputs)
        flat = whole.reshape(-1, *space.shape)
        assert (flat != np.clip(flat, space.low, space.high)).any()
    else:
        assert whole.dtype == np.int64
    sent = [made[0].taken[i] for i in range(4)]
    for drawn, action in zip(whole, sent, strict=False):
        expected = np.reshape(drawn, space.shape)
        if isinstance(space, spaces.Box):
            expected = np.clip(expected, space.low, space.high)
        np.testing.assert_array_equal(action, expected)
    evaluation = policy.evaluate(episodes)
    for field in ("log_probs", "values"):
        collected = np.concatenate([getattr(episode, field) for episode in episodes])
        np.testing.assert_allclose(
            getattr(evaluation, field).detach(), collected, atol=1e-5, rtol=0
        )
    # A cut episode is bootstrapped from the observation after its last step, not from the reset's.
    for episode, step in zip(episodes, [4, 4, 2, 2], strict=True):
        last = {
            "clock": (np.array([[step]], np.float32), np.array([step % 2])),
            "flag": np.zeros((1, 1), np.int8),
        }
        assert episode.final_value == pytest.approx(float(policy.act(last).values[0]), abs=1e-6)


def test_masks_of_several_choices_hold_in_slots_that_wait_as_well() -> None:
    class Masked(Nested):
        def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
            assert action[0] == 1 and action[1] in (0, 2), action
            *rest, _ = super().step(action)
            return (*rest, {"action_mask": LEGAL})  # type: ignore[return-value]

        def reset(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
            return super().reset()[0], {"action_mask": LEGAL}

    space = spaces.MultiDiscrete([2, 3])
    envs = SyncVectorEnv([lambda n=n: Masked(space, n) for n in (9, 2)])
    policy = MLPPolicy.from_env(envs, hidden_sizes=(4,))
    episodes = collect(envs, policy, seeds=[1, 2], generator=torch.Generator().manual_seed(0))
    assert [episode.action_masks.tolist() for episode in episodes] == [LEGAL.tolist()] * 2  # type: ignore[union-attr]
    assert {tuple(action) for action in episodes[0].actions} == {(1, 0), (1, 2)}


LEGAL = np.array([0, 1, 1, 0, 1], bool)


class Bandit(gym.Env[Any, Any]):
    """One action an episode: the sign of the observation, in numbers or in two choices."""

    def __init__(self, action_space: gym.Space[Any]) -> None:
        self.action_space = action_space
        self.observation_space = spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed: int | None = None, **_: Any) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._side = self.np_random.choice([-1.0, 1.0])
        return np.array([self._side], np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if isinstance(self.action_space, spaces.Box):
            reward = -float(np.square(action - 0.5 * self._side).sum())
        else:
            reward = float((action == (self._side > 0)).mean()) - 1.0
        return np.array([self._side], np.float32), reward, True, False, {}


@pytest.mark.parametrize(
    ("space", "first", "last"),
    [(spaces.Box(-3, 3, (2,)), -1.5, -0.12), (spaces.MultiDiscrete([2, 2]), -0.4, -0.03)],
    ids=["numbers", "choices"],
)
def test_a_bandit_is_learned(space: gym.Space[Any], first: float, last: float) -> None:
    torch.manual_seed(0)
    envs = SyncVectorEnv([lambda: Bandit(space)] * 8)
    policy = MLPPolicy.from_env(envs, hidden_sizes=(16,))
    learner = Reinforce(policy, ReinforceConfig(learning_rate=0.05))
    generator = torch.Generator().manual_seed(0)
    rewards = []
    for update in range(60):
        episodes = collect(
            envs,
            policy,
            seeds=range(8 * update, 8 * update + 8),
            episodes_per_env=4,
            generator=generator,
        )
        learner.update(episodes)
        rewards.append(np.mean([episode.total_reward for episode in episodes]))
    assert rewards[0] < first
    assert np.mean(rewards[-10:]) > last
    if isinstance(space, spaces.Box):
        best = collect(envs, policy, seeds=range(8), deterministic=True)
        assert np.mean([episode.total_reward for episode in best]) > -0.05


@pytest.mark.slow
def test_ppo_swings_the_pendulum_up(tmp_path: Path) -> None:
    """From about -1,200 a return, with which an untrained policy lets it hang, to under -300."""
    algorithm = PPOConfig(
        gamma=0.9,
        num_epochs=10,
        num_minibatches=32,
        learning_rate=1e-3,
        steps_per_env=256,
    )
    result = train(
        TrainConfig(
            env_id="Pendulum-v1",
            output=tmp_path / "run",
            num_envs=8,
            total_steps=100_000,
            tensorboard=False,
            progress=False,
        ),
        algorithm,
    )
    policy = load_checkpoint_policy(result.checkpoint)
    with closing(make_envs("Pendulum-v1", 20, {})) as envs:
        measured = evaluate(envs, policy, num_episodes=40, seed=1, deterministic=True)
    assert measured.returns.mean > -300
