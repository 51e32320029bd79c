"""REINFORCE with an MLP learns the symbol tasks; a random reward teaches nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from textgym_agents.algorithms.reinforce import ReinforceConfig
from textgym_agents.checkpoint import load_checkpoint_policy
from textgym_agents.evaluate import Estimate, evaluate
from textgym_agents.policies.construction import PolicyConfig
from textgym_agents.runs.environments import make_envs
from textgym_agents.train import TrainConfig, train

ALGORITHM = ReinforceConfig(learning_rate=1e-2, normalize_advantages=True)


def learn(folder: Path, env_id: str, steps: int, seed: int = 0, reward: str | None = None) -> Path:
    """Train with a reward, or the id's own; returns the checkpoint."""
    config = TrainConfig(
        env_id=f"textgym:{env_id}",
        env_kwargs={} if reward is None else {"reward": reward},
        total_steps=steps,
        num_envs=64,
        seed=seed,
        output=folder,
        policy=PolicyConfig(kind="mlp"),
        progress=False,
        tensorboard=False,
    )
    return train(config, ALGORITHM).checkpoint


def held_out(checkpoint: Path, env_id: str) -> Estimate:
    """Token accuracy of sampled answers to test prompts."""
    envs = make_envs(f"textgym:{env_id}", 64, {"split": "test"})
    policy = load_checkpoint_policy(checkpoint)
    return evaluate(envs, policy, num_episodes=512, seed=9).scores["score"]


def test_copy_is_learned_in_seconds(tmp_path: Path) -> None:
    start = held_out(learn(tmp_path / "start", "textgym/Copy-v0", 1), "textgym/Copy-v0")
    end = held_out(learn(tmp_path / "end", "textgym/Copy-v0", 150_000), "textgym/Copy-v0")
    assert start.high < 0.2
    assert end.low > 0.4


STALLS = pytest.mark.xfail(
    reason="one seed in five stalls with a symbol still wrong: Reverse 0.898, Sort 0.789 at worst",
    raises=AssertionError,  # Anything else, a control that learns among it, fails.
    strict=False,
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "env_id",
    [
        "textgym/Copy-v0",
        pytest.param("textgym/Reverse-v0", marks=STALLS),
        pytest.param("textgym/Sort-v0", marks=STALLS),
    ],
)
def test_symbols_are_learned_within_a_minute(env_id: str, tmp_path: Path) -> None:
    """Every seed, not the mean: the bound is not met by the marked tasks yet."""
    learned, controls = [], []
    for seed in range(5):
        real = learn(tmp_path / f"real{seed}", env_id, 700_000, seed)
        random = learn(tmp_path / f"random{seed}", env_id, 100_000, seed, "random")
        learned.append(held_out(real, env_id))
        controls.append(held_out(random, env_id))
        if controls[-1].high >= 0.3:
            raise RuntimeError(f"{env_id}: a random reward taught something")
        print(f"{env_id} seed {seed}: {learned[-1].mean:.3f}, random {controls[-1].mean:.3f}")
    over_seeds = Estimate.of([estimate.mean for estimate in learned])
    print(f"{env_id}: {over_seeds.mean:.3f}, {over_seeds.low:.3f} to {over_seeds.high:.3f}")
    assert all(estimate.low > 0.9 for estimate in learned)
