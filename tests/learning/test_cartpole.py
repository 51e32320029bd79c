"""The algorithm that learns text learns CartPole: the same classes, the same training path."""

from __future__ import annotations

from pathlib import Path

import pytest

from textgym_agents.algorithms import ReinforceConfig
from textgym_agents.checkpoint import load_checkpoint_policy
from textgym_agents.evaluate import evaluate
from textgym_agents.returns import Baseline
from textgym_agents.runs.config import TrainConfig
from textgym_agents.runs.environments import make_envs
from textgym_agents.train import TrainResult, train

ENV_ID = "CartPole-v1"


def learn(
    output: Path, baseline: Baseline, *, seed: int, target: float, total_steps: int
) -> TrainResult:
    config = TrainConfig(
        env_id=ENV_ID,
        output=output,
        num_envs=16,
        total_steps=total_steps,
        seed=seed,
        target_return=target,
        eval_interval=5,
        eval_episodes=32,
        tensorboard=False,
        progress=False,
    )
    algorithm = ReinforceConfig(
        baseline=baseline,
        learning_rate=5e-3,
        gamma=0.99,
        group_size=2 if baseline == "leave_one_out" else 1,
    )
    return train(config, algorithm)


def fresh_return(checkpoint: Path, episodes: int) -> float:
    """The mean return on seeds that training did not look at."""
    envs = make_envs(ENV_ID, 8)
    policy = load_checkpoint_policy(checkpoint)
    result = evaluate(envs, policy, num_episodes=episodes, seed=12345)
    envs.close()
    return result.returns.mean


@pytest.mark.parametrize("baseline", ["batch_mean", "leave_one_out", "learned"])
def test_a_baseline_makes_it_learn(baseline: Baseline, tmp_path: Path) -> None:
    """A random policy stays up for about 22 steps; without a baseline it takes far longer."""
    result = learn(tmp_path / "run", baseline, seed=0, target=180.0, total_steps=150_000)
    assert fresh_return(result.checkpoint, 64) >= 150.0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("baseline", ["batch_mean", "learned"])
def test_cartpole_is_solved(baseline: Baseline, seed: int, tmp_path: Path) -> None:
    """475 is the threshold of Gymnasium's registry."""
    result = learn(tmp_path / "run", baseline, seed=seed, target=495.0, total_steps=1_500_000)
    assert fresh_return(result.checkpoint, 100) >= 475.0
