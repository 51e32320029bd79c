from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from tests.agents.tiny_groups import (
    Tree,
    flat_gradient,
    random_policy,
    run,
)
from textgym_agents.algorithms import (
    ExpertIteration,
    ExpertIterationConfig,
    MaximumLikelihood,
    MaximumLikelihoodConfig,
)
from textgym_agents.policies import Episode, MLPPolicy
from textgym_agents.policies.construction import PolicyConfig
from textgym_agents.returns import best_of_groups

LM = PolicyConfig(kind="causal_lm", layers=1, heads=2, width=16)


def batch(policy: MLPPolicy, returns: list[float]) -> list[Episode]:
    """Groups of four."""
    tree = Tree.of(policy)
    rows = []
    for slot, reward in enumerate(returns):
        episode = tree.episodes[slot // 4][3 * slot % 15]
        rewards = np.zeros(episode.num_steps)
        rewards[-1] = reward
        rows.append(replace(episode, slot=slot, group=slot // 4, rewards=rewards))
    return rows


@pytest.mark.parametrize(
    ("values", "keep", "best"),
    [
        ([0.0, 3.0, 1.0, 2.0], 1, [1]),
        ([0.0, 3.0, 1.0, 2.0], 3, [1, 3]),  # The mean is 1.5.
        ([1.0, 1.0, 0.0, 1.0], 2, [0, 1]),  # Between equals the earlier one.
        ([0.5, 0.5, 0.5, 0.5], 3, []),
        ([0.1, 0.1, 0.1, 0.1], 3, []),  # The mean of which is not 0.1 in binary.
        ([-1.0, -2.0, -3.0, -3.0], 1, [0]),
    ],
)
def test_the_best_of_a_group(values: list[float], keep: int, best: list[int]) -> None:
    assert np.flatnonzero(best_of_groups(values, [5] * 4, keep)).tolist() == best
    both = best_of_groups([*values, *values], [5] * 4 + [2] * 4, keep)
    assert np.flatnonzero(both).tolist() == [*best, *(4 + place for place in best)]


def test_gradient_is_maximum_likelihood_of_the_best() -> None:
    policy = random_policy()
    episodes = batch(policy, [0.0, 3.0, 1.0, 2.0, 0.5, 0.5, 0.5, 0.5])
    learner = ExpertIteration(policy, ExpertIterationConfig(group_size=4, keep=2))
    assert [e.slot for e in learner.best(episodes)] == [1, 3]
    metrics = learner.gradients(episodes)
    ours = flat_gradient(policy)
    likelihood = MaximumLikelihood(policy, MaximumLikelihoodConfig())
    expected = likelihood.gradients([episodes[1], episodes[3]])
    assert np.abs(ours).max() > 0
    assert_allclose(ours, flat_gradient(policy), atol=1e-7)
    assert metrics["loss"] == pytest.approx(expected["loss"], rel=1e-6)
    assert (metrics["kept"], metrics["kept_return"]) == (0.25, 2.5)


def test_expected_gradient_is_that_of_the_better_of_two() -> None:
    """Exactly, over every pair: -E[1 / T_best sum_t grad log pi(best)], and 0 for equals."""
    policy = random_policy()
    tree = Tree.of(policy, num_prompts=2)
    returns, lengths = tree.returns(), tree.lengths()
    probabilities = tree.log_probs(policy).detach().exp()
    below = (returns[:, :, None] > returns[:, None, :]).double()  # [prompts, K, others]
    worth = 2 * (below * probabilities[:, None, :]).sum(-1) / lengths
    exact = tree.objective_gradient(policy, lambda _: worth)
    tied = tree.returns()[:, :, None] == tree.returns()[:, None, :]
    assert tied.any()

    class Counted(ExpertIteration):
        def gradients(self, episodes: Any) -> dict[str, float]:
            if self.best(episodes):
                return super().gradients(episodes)
            self.policy.zero_grad(set_to_none=False)
            return {}

    learner = Counted(policy, ExpertIterationConfig(group_size=2))
    assert_allclose(-tree.mean_estimate(learner), exact, atol=1e-6)


def test_no_step_is_taken_where_none_is_better() -> None:
    policy = random_policy()
    before = [p.detach().clone() for p in policy.parameters()]
    learner = ExpertIteration(policy, ExpertIterationConfig(group_size=4))
    equal = batch(policy, [0.5] * 8)
    metrics = learner.update(equal)
    assert metrics == {"kept": 0.0, "loss": 0.0, "grad_norm": 0.0, "learning_rate": 1e-3}
    assert all(torch.equal(p, b) for p, b in zip(policy.parameters(), before, strict=True))
    with pytest.raises(ValueError, match="none is better"):
        learner.gradients(equal)


def test_epochs_raise_the_likelihood_of_the_best() -> None:
    policy = random_policy()
    episodes = batch(policy, [0.0, 3.0, 1.0, 2.0, 0.0, 0.0, 1.0, 0.0])
    config = ExpertIterationConfig(
        group_size=4, num_epochs=5, num_minibatches=2, learning_rate=0.01
    )
    learner = ExpertIteration(policy, config)
    first = learner.update(episodes)
    assert {int(s["step"]) for s in learner.optimizer.state.values()} == {10}
    assert learner.update(episodes)["policy_loss"] < first["policy_loss"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"group_size": 1}, "group_size must be at least 2"),
        ({"keep": 0}, "keep must be at least 1"),
        ({"keep": 4, "group_size": 4}, "keep must be below group_size, which is 4"),
    ],
)
def test_configuration_is_checked(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExpertIterationConfig(**wrong)


def test_a_reward_that_is_not_finite_leaves_the_parameters() -> None:
    policy = random_policy()
    episodes = batch(policy, [0.0, float("nan"), 1.0, 2.0])
    before = [p.detach().clone() for p in policy.parameters()]
    with pytest.raises(ValueError, match="reward nan in slot 1"):
        ExpertIteration(policy, ExpertIterationConfig(group_size=4)).update(episodes)
    assert all(torch.equal(p, b) for p, b in zip(policy.parameters(), before, strict=True))


def test_it_learns_cartpole(tmp_path: Path) -> None:
    """A random policy stays up for about 22 steps."""
    config = ExpertIterationConfig(learning_rate=5e-3)
    options = {"eval_interval": 5, "eval_episodes": 32, "target_return": 100.0}
    result = run(tmp_path / "run", config, total_steps=150_000, **options)
    assert result.metrics["eval_return_mean"] >= 100.0
