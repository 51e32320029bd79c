"""Exact values against hand-computed ones, sampling, and finite differences."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import textgym  # noqa: F401
from textgym.envs.exact import EnumeratedMDP, enumerate_mdp


@pytest.fixture(scope="module")
def tiny() -> EnumeratedMDP:
    env = gym.make("textgym/Tiny-v0")
    return enumerate_mdp(env, examples=range(env.unwrapped.mdp.num_examples))


def softmax(logits: np.ndarray) -> np.ndarray:
    exp = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exp / exp.sum(axis=-1, keepdims=True)


def two_step_mdp() -> EnumeratedMDP:
    """State 0: action 0 pays 1 and ends, action 1 leads to state 1. There: 0 pays 0, 1 pays 4."""
    return EnumeratedMDP(
        observations=np.array([[0, 2], [0, 1]]),
        start=np.array([1.0, 0.0]),
        successors=np.array([[-1, 1], [-1, -1]]),
        rewards=np.array([[1.0, 0.0], [0.0, 4.0]]),
        legal=np.ones((2, 2), dtype=bool),
    )


def test_by_hand() -> None:
    mdp = two_step_mdp()
    policy = np.array([[0.5, 0.5], [0.75, 0.25]])
    values = mdp.evaluate(policy, gamma=0.5)
    assert values.v.tolist() == [0.75, 1.0]
    assert values.q.tolist() == [[1.0, 0.5], [0.0, 4.0]]
    assert values.j == 0.75
    assert values.advantage.tolist() == [[0.25, -0.25], [-1.0, 3.0]]
    best = mdp.optimal(gamma=0.5)
    assert best.v.tolist() == [2.0, 4.0]
    assert mdp.visits(policy, gamma=0.5).tolist() == [1.0, 0.25]
    gradient = mdp.gradient(policy, gamma=0.5)
    assert gradient.tolist() == [[0.125, -0.125], [-0.1875, 0.1875]]


def test_best_possible_score_of_tiny_is_one(tiny: EnumeratedMDP) -> None:
    assert tiny.optimal().j == 1.0


def test_enumeration_is_the_whole_tree() -> None:
    env = gym.make("textgym/Tiny-v0")
    env.reset(seed=0)
    mdp = enumerate_mdp(env)
    symbols = int(mdp.legal[0].sum()) - 1
    horizon = env.unwrapped.mdp.max_new_tokens
    assert len(mdp.start) == sum(symbols**depth for depth in range(horizon))
    assert (mdp.successors[mdp.successors >= 0] > 0).all()


@pytest.mark.parametrize("gamma", [1.0, 0.7])
def test_gradient_equals_finite_differences(tiny: EnumeratedMDP, gamma: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=tiny.rewards.shape)
    gradient = tiny.gradient(softmax(logits), gamma)
    for s in rng.choice(len(logits), size=6, replace=False):
        for a in range(logits.shape[1]):
            step = np.zeros_like(logits)
            step[s, a] = 1e-5
            up = tiny.evaluate(softmax(logits + step), gamma).j
            down = tiny.evaluate(softmax(logits - step), gamma).j
            assert gradient[s, a] == pytest.approx((up - down) / 2e-5, abs=1e-8)


def test_policy_as_a_function_equals_its_table(tiny: EnumeratedMDP) -> None:
    num_actions = tiny.rewards.shape[1]

    def policy(observations: np.ndarray) -> np.ndarray:
        keys = observations.sum(axis=1, keepdims=True) + np.arange(num_actions)
        return softmax(np.sin(keys))

    assert tiny.evaluate(policy).j == tiny.evaluate(policy(tiny.observations)).j


def test_sampled_returns_average_to_j(tiny: EnumeratedMDP) -> None:
    envs = gym.make_vec("textgym/Tiny-v0", num_envs=64)
    rng = np.random.default_rng(1)
    table = softmax(rng.normal(size=tiny.rewards.shape))
    row = {obs.tobytes(): s for s, obs in enumerate(tiny.observations)}
    observations, _ = envs.reset(seed=1)
    returns: list[float] = []
    active = np.ones(64, dtype=bool)
    for _ in range(600):
        rows = [row.get(obs.tobytes(), 0) for obs in observations]
        cumulative = table[rows].cumsum(axis=1)
        actions = (rng.random((64, 1)) > cumulative).sum(axis=1).clip(max=table.shape[1] - 1)
        observations, rewards, done, _, _ = envs.step(actions)
        returns.extend(rewards[done & active].tolist())
        active = ~done
    exact = tiny.evaluate(table).j
    error = np.std(returns) / np.sqrt(len(returns))
    assert len(returns) > 5000
    assert abs(np.mean(returns) - exact) < 4 * error
    assert error < 0.01


def test_dense_shaping_moves_j_by_the_first_potential_alone(tiny: EnumeratedMDP) -> None:
    env = gym.make("textgym/Tiny-v0", shaping="dense")
    dense = enumerate_mdp(env, examples=range(env.unwrapped.mdp.num_examples))
    table = softmax(np.random.default_rng(2).normal(size=tiny.rewards.shape))
    assert dense.evaluate(table).j == pytest.approx(tiny.evaluate(table).j)
    assert np.allclose(dense.gradient(table), tiny.gradient(table))


def test_too_large_and_ill_formed_are_named(tiny: EnumeratedMDP) -> None:
    env = gym.make("textgym/Text-v0", max_new_tokens=2)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="more than 50 contexts"):
        enumerate_mdp(env, max_states=50)
    with pytest.raises(ValueError, match="shape"):
        tiny.evaluate(np.ones((2, 2)))
    with pytest.raises(ValueError, match="sum to 1"):
        tiny.evaluate(np.ones(tiny.rewards.shape))


def test_the_environment_is_left_where_it_was() -> None:
    env = gym.make("textgym/Tiny-v0")
    env.reset(seed=3)
    env.step(0)
    before = env.unwrapped.get_state()
    enumerate_mdp(env)
    assert env.unwrapped.get_state() == before
