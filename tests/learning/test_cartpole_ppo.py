"""PPO and A2C learn CartPole: Stable-Baselines3's hyperparameters, the same training path."""

from __future__ import annotations

from pathlib import Path

import pytest

from textgym_agents.algorithms import A2CConfig, AlgorithmConfig, PPOConfig
from textgym_agents.checkpoint import load_checkpoint_policy
from textgym_agents.evaluate import evaluate
from textgym_agents.runs.config import TrainConfig
from textgym_agents.runs.environments import make_envs
from textgym_agents.train import train

ENV_ID = "CartPole-v1"


def fresh_return(
    output: Path, algorithm: AlgorithmConfig, *, seed: int, num_envs: int, total_steps: int
) -> float:
    """The mean return after training, on seeds that training did not look at."""
    config = TrainConfig(
        env_id=ENV_ID,
        output=output,
        num_envs=num_envs,
        total_steps=total_steps,
        seed=seed,
        target_return=495.0,
        eval_interval=2,
        eval_episodes=50,
        tensorboard=False,
        progress=False,
    )
    result = train(config, algorithm)
    envs = make_envs(ENV_ID, 20)
    policy = load_checkpoint_policy(result.checkpoint)
    measured = evaluate(envs, policy, num_episodes=100, seed=12345).returns.mean
    envs.close()
    return measured


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ppo_solves_cartpole(seed: int, tmp_path: Path) -> None:
    """475 is the threshold of Gymnasium's registry."""
    algorithm = PPOConfig(gamma=0.99, num_epochs=10, num_minibatches=32, steps_per_env=512)
    reached = fresh_return(tmp_path / "run", algorithm, seed=seed, num_envs=4, total_steps=100_000)
    assert reached >= 475.0


@pytest.mark.slow
def test_a2c_solves_cartpole(tmp_path: Path) -> None:
    algorithm = A2CConfig(gamma=0.99, gae_lambda=0.95, learning_rate=3e-3)
    reached = fresh_return(tmp_path / "run", algorithm, seed=1, num_envs=8, total_steps=500_000)
    assert reached >= 475.0
