from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from stable_baselines3.common import buffers

from textgym_agents.returns import (
    best_of_groups,
    discount_factors,
    discounted_advantages,
    equal_groups,
    explained_variance,
    generalized_advantages,
    group_normalized,
    mean_of_others,
    n_step_advantages,
    normalized,
    returns_to_go,
)

REWARDS = [np.array([1.0, 2.0, 4.0]), np.array([8.0]), np.array([0.0, 6.0])]
# With gamma = 0.5: 1 + 0.5 (2 + 0.5 * 4) = 3, 2 + 2 = 4, 4; 8; 3, 6.
RETURNS = [np.array([3.0, 4.0, 4.0]), np.array([8.0]), np.array([3.0, 6.0])]


def test_returns_to_go_by_hand() -> None:
    for rewards, returns in zip(REWARDS, RETURNS, strict=True):
        assert_allclose(returns_to_go(rewards, 0.5), returns)


def test_returns_bootstrap_from_the_final_value() -> None:
    assert_allclose(returns_to_go([1.0, 2.0], 0.5, final_value=8.0), [4.0, 6.0])


def test_returns_at_the_ends_of_gamma() -> None:
    assert_allclose(returns_to_go([1.0, 2.0, 4.0], 1.0), [7.0, 6.0, 4.0])
    assert_allclose(returns_to_go([1.0, 2.0, 4.0], 0.0), [1.0, 2.0, 4.0])


def test_discount_factors() -> None:
    assert_allclose(discount_factors(4, 0.5), [1, 0.5, 0.25, 0.125])
    assert_allclose(discount_factors(3, 0.0), [1, 0, 0])


def test_no_baseline_keeps_the_factor_gamma_to_the_t() -> None:
    first, second, third = discounted_advantages(RETURNS, 0.5, "none")
    assert_allclose(first, [3.0, 2.0, 1.0])
    assert_allclose(second, [8.0])
    assert_allclose(third, [3.0, 3.0])


def test_batch_mean_leaves_the_episode_itself_out() -> None:
    # Whole returns 3, 8, 3; the others' means 5.5, 3, 5.5.
    first, second, third = discounted_advantages(RETURNS, 0.5, "batch_mean")
    assert_allclose(first, [-2.5, -2.5, -2.5])
    assert_allclose(second, [5.0])
    assert_allclose(third, [-2.5, -2.5])


def test_batch_mean_is_the_others_mean_less_what_was_collected() -> None:
    gamma = 0.5
    collected = [0.0, 1.0, 1.0 + gamma * 2.0]
    factors = discount_factors(3, gamma)
    by_definition = factors * RETURNS[0] - (5.5 - np.array(collected))
    assert_allclose(discounted_advantages(RETURNS, gamma, "batch_mean")[0], by_definition)


def test_leave_one_out_compares_within_groups() -> None:
    returns = [np.array([r]) for r in (1.0, 10.0, 3.0, 30.0, 8.0)]
    groups = [7, 2, 7, 2, 7]
    advantages = discounted_advantages(returns, 1.0, "leave_one_out", groups=groups)
    assert_allclose(np.concatenate(advantages), [1 - 5.5, -20.0, 3 - 4.5, 20.0, 8 - 2.0])


def test_learned_subtracts_the_recorded_values() -> None:
    values = [np.array([1.0, 1.0, 1.0]), np.array([10.0]), np.array([0.0, 2.0])]
    first, second, third = discounted_advantages(RETURNS, 0.5, "learned", values=values)
    assert_allclose(first, [2.0, 1.5, 0.75])
    assert_allclose(second, [-2.0])
    assert_allclose(third, [3.0, 2.0])


def test_a_group_of_one_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="group 5 has 1; raise group_size"):
        mean_of_others([1.0, 2.0, 3.0], [4, 5, 4])
    with pytest.raises(ValueError, match="the batch has 1"):
        discounted_advantages([np.ones(2)], 1.0, "batch_mean")


def test_unknown_baseline_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="leave_one_out"):
        discounted_advantages(RETURNS, 1.0, "mean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs the values"):
        discounted_advantages(RETURNS, 1.0, "learned")


def test_normalized_advantages() -> None:
    steps = np.concatenate(normalized([np.array([1.0, 2.0]), np.array([6.0])]))
    assert_allclose(steps.mean(), 0.0, atol=1e-12)
    assert_allclose(steps.std(), 1.0, rtol=1e-6)
    assert_allclose(np.concatenate(normalized([np.ones(3), np.ones(1)])), 0.0)


def test_group_normalized_by_hand() -> None:
    values, groups = [1.0, 5.0, 0.0, 1.0, 3.0], [7, 4, 7, 7, 4]
    # Group 7: 1, 0, 1, mean 2/3, variance (1/9 + 4/9 + 1/9) / 2 = 1/3. Group 4: mean 4, variance 2.
    centred = np.array([1 / 3, 1.0, -2 / 3, 1 / 3, -1.0])
    assert_allclose(group_normalized(values, groups, "none"), centred)
    deviations = np.sqrt([1 / 3, 2.0, 1 / 3, 1 / 3, 2.0])
    assert_allclose(group_normalized(values, groups, "group", 0.0), centred / deviations)
    assert_allclose(group_normalized(values, groups, "group", 0.5), centred / (deviations + 0.5))
    # The batch: mean 2, squares 1 + 9 + 4 + 1 + 1 = 16 over 4.
    assert_allclose(group_normalized(values, groups, "batch", 0.0), centred / 2.0)


def test_equal_groups_have_no_preference() -> None:
    values, groups = [0.1 + 0.2, 0.3, 0.1, 0.1, 0.1], [0, 0, 1, 1, 1]
    assert equal_groups(values, groups).all()
    assert equal_groups([0.1, 0.2, *values], [2, 2, *groups]).tolist() == [False] * 2 + [True] * 5
    for scale in ("group", "batch", "none"):
        assert (group_normalized(values, groups, scale) == 0.0).all()  # type: ignore[arg-type]


def test_a_group_of_one_is_named() -> None:
    with pytest.raises(ValueError, match="group 9 has 1; raise group_size"):
        group_normalized([1.0, 2.0, 3.0], [2, 2, 9])


def test_generalized_advantages_by_hand() -> None:
    """Delta = 1 + 0.5 * 4 - 2 = 1, 2 + 0.5 * 8 - 4 = 2; A = 1 + 0.5 * 0.5 * 2."""
    assert_allclose(generalized_advantages([1.0, 2.0], [2.0, 4.0], 8.0, 0.5, 0.5), [1.5, 2.0])


def test_generalized_advantages_at_the_ends_of_lambda() -> None:
    rewards, values = np.array([1.0, 2.0, 4.0]), np.array([3.0, -1.0, 2.0])
    whole = generalized_advantages(rewards, values, 6.0, 0.5, 1.0)
    assert_allclose(whole, returns_to_go(rewards, 0.5, 6.0) - values)
    one_step = generalized_advantages(rewards, values, 6.0, 0.5, 0.0)
    assert_allclose(one_step, [1 - 0.5 - 3, 2 + 1 + 1, 4 + 3 - 2])


def test_n_step_advantages_by_hand() -> None:
    """1 + 2/2 + 4/4 - 3 and so on, with n of 2; the last steps have fewer ahead of them."""
    rewards, values = np.array([1.0, 2.0, 4.0]), np.array([3.0, -1.0, 2.0])
    found = n_step_advantages(rewards, values, 6.0, 0.5, 2)
    assert_allclose(found, [1 + 1 + 0.5 - 3, 2 + 2 + 1.5 + 1, 4 + 3 - 2])


@pytest.mark.parametrize("gamma", [0.9, 1.0])
def test_n_step_advantages_between_the_ends_of_lambda(gamma: float) -> None:
    rng = np.random.default_rng(0)
    rewards, values = rng.normal(size=(2, 9))
    for num_steps, lam in ((1, 0.0), (9, 1.0), (100, 1.0)):
        found = n_step_advantages(rewards, values, 0.7, gamma, num_steps)
        assert_allclose(found, generalized_advantages(rewards, values, 0.7, gamma, lam), atol=1e-12)


def test_rounding_makes_no_group_unequal() -> None:
    """Dense rewards sum to the same score by different paths."""
    rng = np.random.default_rng(0)
    sums = [np.diff([0.0, *rng.random(30), 0.7]).sum() for _ in range(40)]
    assert len(set(sums)) > 1
    groups = np.arange(40) // 4
    assert equal_groups(sums, groups).all()
    assert not best_of_groups(sums, groups, 2).any()
    assert not equal_groups([0.7, 0.7 + 1e-9], [0, 0]).any()


@pytest.mark.parametrize(("gamma", "lam"), [(0.99, 0.95), (1.0, 1.0), (0.9, 0.0), (1.0, 0.8)])
def test_generalized_advantages_equal_stable_baselines(gamma: float, lam: float) -> None:
    """On trajectories that terminate, that a limit cuts, and that the end of the buffer cuts.

    Stable-Baselines3 adds gamma V(s') to the reward of a step that a limit cuts, as
    `OnPolicyAlgorithm.collect_rollouts` does, and then takes the episode for ended.
    """
    steps, envs = 40, 6
    rng = np.random.default_rng(0)
    rewards, values, final = (rng.normal(size=(steps, envs)).astype(np.float32) for _ in range(3))
    terminated = rng.random((steps, envs)) < 0.08
    truncated = ~terminated & (rng.random((steps, envs)) < 0.08)
    last_values = rng.normal(size=envs).astype(np.float32)
    done = terminated | truncated
    buffer = buffers.RolloutBuffer(
        steps,
        gym.spaces.Box(0, 1, (1,)),
        gym.spaces.Discrete(2),
        gae_lambda=lam,
        gamma=gamma,
        n_envs=envs,
    )
    starts = np.ones(envs, np.float32)
    for t in range(steps):
        paid = rewards[t] + np.where(truncated[t], gamma * final[t], 0)
        zeros = np.zeros((envs, 1), np.float32)
        buffer.add(zeros, zeros, paid, starts, torch.tensor(values[t]), torch.zeros(envs))
        starts = done[t].astype(np.float32)
    buffer.compute_returns_and_advantage(torch.tensor(last_values), done[-1])
    for env in range(envs):
        ends = np.union1d(np.flatnonzero(done[:, env]) + 1, [steps])
        begin = 0
        for end in ends:
            cut = truncated[end - 1, env]
            final_value = final[end - 1, env] if cut else last_values[env]
            segment = slice(begin, end)
            ours = generalized_advantages(
                rewards[segment, env],
                values[segment, env],
                0.0 if terminated[end - 1, env] else float(final_value),
                gamma,
                lam,
            )
            assert_allclose(ours, buffer.advantages[segment, env], atol=2e-5)
            assert_allclose(ours + values[segment, env], buffer.returns[segment, env], atol=2e-5)
            begin = end


def test_explained_variance() -> None:
    returns = np.array([1.0, 2.0, 6.0])
    assert explained_variance(returns + 10.0, returns) == pytest.approx(1.0)
    assert explained_variance(np.zeros(3), returns) == pytest.approx(0.0)
    assert explained_variance(-returns, returns) == pytest.approx(1.0 - 4.0)
    assert explained_variance([1.0, 2.0], [5.0, 5.0]) == 0.0
