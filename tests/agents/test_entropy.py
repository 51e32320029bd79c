"""The entropy's weight: hand-computed steps, and the entropy that it holds."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from textgym_agents.algorithms import (
    ALGORITHMS,
    A2CConfig,
    ExpertIterationConfig,
    GRPOConfig,
    PPOConfig,
    ReinforceConfig,
    RLOOConfig,
    TRPOConfig,
)
from textgym_agents.algorithms.entropy import EntropyCoefficient
from textgym_agents.policies import MLPPolicy
from textgym_agents.rollout import collect
from textgym_agents.runs.environments import make_envs

HELD = ReinforceConfig(
    learning_rate=0.02,
    entropy_coef=0.01,
    target_entropy=0.7,
    entropy_learning_rate=0.2,
    episodes_per_env=4,
)


def test_steps_by_hand() -> None:
    coefficient = EntropyCoefficient(0.1, target=1.5, learning_rate=0.5)
    assert coefficient.value == pytest.approx(0.1)
    coefficient.update(1.1)
    assert coefficient.value == pytest.approx(0.1 * math.exp(0.5 * 0.4))
    coefficient.update(2.5)
    assert coefficient.value == pytest.approx(0.1 * math.exp(0.5 * 0.4 - 0.5 * 1.0))


def test_it_is_the_gradient_of_the_dual() -> None:
    """d/d alpha of ``alpha (H - target)``, by autograd, is what the logarithm moves against."""
    alpha = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(alpha * (0.3 - 0.8), alpha)
    coefficient = EntropyCoefficient(0.1, target=0.8, learning_rate=0.01)
    coefficient.update(0.3)
    assert math.log(coefficient.value / 0.1) == pytest.approx(-0.01 * slope.item())


def test_without_a_target_it_stays_and_keeps_nothing() -> None:
    coefficient = EntropyCoefficient(-0.3, target=None, learning_rate=0.5)
    coefficient.update(0.0)
    assert coefficient.value == -0.3
    assert coefficient.state() == {}


def test_it_comes_back_from_its_bounds() -> None:
    coefficient = EntropyCoefficient(0.1, target=1.0, learning_rate=1.0)
    for _ in range(1000):
        coefficient.update(3.0)
    assert coefficient.value == pytest.approx(1e-6)
    for _ in range(1000):
        coefficient.update(0.0)
    assert coefficient.value == pytest.approx(1e3)


def test_its_state_goes_on_bit_for_bit() -> None:
    first, second = (EntropyCoefficient(0.1, target=1.0, learning_rate=0.37) for _ in range(2))
    first.update(0.123456789)
    second.load_state(first.state())
    for entropy in (0.7, 1.9):
        first.update(entropy)
        second.update(entropy)
    assert first.value == second.value


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 1.0, 0.1), "start above 0"),
        ((0.1, float("nan"), 0.1), "target_entropy"),
        ((0.1, 1.0, 0.0), "entropy_learning_rate"),
        ((float("inf"), None, 0.1), "entropy_coef"),
    ],
)
def test_values_out_of_range_are_refused(
    arguments: tuple[float, float | None, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        EntropyCoefficient(*arguments)
    fields = ("entropy_coef", "target_entropy", "entropy_learning_rate")
    with pytest.raises(ValueError, match=message):
        ReinforceConfig(**dict(zip(fields, arguments, strict=True)))  # type: ignore[arg-type]


HELD_BY_PPO = PPOConfig(
    learning_rate=0.005,
    entropy_coef=0.01,
    target_entropy=0.7,
    entropy_learning_rate=0.2,
    episodes_per_env=4,
    num_epochs=2,
    num_minibatches=2,
)


HELD_BY_TRPO = TRPOConfig(
    target_kl=0.003,
    entropy_coef=0.01,
    target_entropy=0.7,
    entropy_learning_rate=0.2,
    episodes_per_env=4,
    value_epochs=1,
)
HELD_BY_GROUPS: dict[str, Any] = {
    "learning_rate": 0.02,
    "entropy_coef": 0.03,
    "target_entropy": 0.7,
    "entropy_learning_rate": 0.3,
    "episodes_per_env": 4,
    "group_size": 2,
}
CONFIGS = {
    "REINFORCE": HELD,
    "A2C": A2CConfig(**HELD_BY_GROUPS),
    "PPO": HELD_BY_PPO,
    "TRPO": HELD_BY_TRPO,
    "RLOO": RLOOConfig(**HELD_BY_GROUPS),
    "GRPO": GRPOConfig(**HELD_BY_GROUPS | {"entropy_coef": 0.2}),
    "expert iteration": ExpertIterationConfig(**HELD_BY_GROUPS | {"entropy_coef": 0.2}),
}
EACH = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
BUT_TWO_SLOWLY = pytest.mark.parametrize(
    "config",
    [
        pytest.param(
            config, id=name, marks=() if name in ("REINFORCE", "PPO") else pytest.mark.slow
        )
        for name, config in CONFIGS.items()
    ],
)


def make(policy: MLPPolicy, config: Any) -> Any:
    kind = next(kind for kind, its in ALGORITHMS.values() if its is type(config))
    return kind(policy, config)


def entropies(config: Any, updates: int = 200) -> list[float]:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    with closing(make_envs("textgym:textgym/Tiny-v0", 8, {})) as envs:
        policy = MLPPolicy.from_env(envs, hidden_sizes=(16,))
        learner = make(policy, config)
        rows = []
        for update in range(updates):
            size = config.group_size
            seeds = [update * 8 + slot // size * size for slot in range(8)]
            episodes = collect(
                envs,
                policy,
                seeds=seeds,
                episodes_per_env=config.episodes_per_env,
                generator=generator,
            )
            rows.append(learner.update(episodes))
    assert rows[0]["entropy_coef"] == pytest.approx(config.entropy_coef)
    return [row["entropy"] for row in rows]


@BUT_TWO_SLOWLY
def test_learners_hold_the_target_that_they_would_leave_without(config: Any) -> None:
    held = np.mean(entropies(config)[-50:])
    assert held == pytest.approx(0.7, abs=0.07)
    assert np.mean(entropies(replace(config, target_entropy=None))[-50:]) < 0.45


@EACH
def test_the_learner_refuses_a_state_that_is_not_its_own(config: Any) -> None:
    policy = MLPPolicy(gym.spaces.Discrete(2), gym.spaces.Discrete(2), hidden_sizes=(4,))
    learner = make(policy, config)
    learner.entropy_coef.update(0.2)
    saved, again = learner.state(), make(policy, config)
    again.load_state(saved)
    assert again.entropy_coef.value == learner.entropy_coef.value != config.entropy_coef
    with pytest.raises(ValueError, match="log_entropy_coef"):
        make(policy, replace(config, target_entropy=None)).load_state(saved)
