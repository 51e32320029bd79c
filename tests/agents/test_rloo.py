from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from tests.agents.tiny_groups import (
    Tree,
    flat_gradient,
    move,
    random_policy,
    run,
    sampled_estimates,
    standard_errors,
)
from textgym_agents.algorithms import RLOO, Reinforce, ReinforceConfig, RLOOConfig
from textgym_agents.losses import sequence_means, sequence_sums
from textgym_agents.policies import Episode
from textgym_agents.policies.construction import PolicyConfig

LM = PolicyConfig(kind="causal_lm", layers=1, heads=2, width=16)


def batch(tree: Tree) -> list[Episode]:
    """Two groups of three."""
    rows = []
    for slot, (prompt, index) in enumerate([(0, 0), (0, 4), (0, 9), (2, 14), (2, 1), (2, 6)]):
        rows.append(replace(tree.episodes[prompt][index], slot=slot, group=prompt))
    return rows


def test_sequence_sums_and_means_by_hand() -> None:
    values = torch.tensor([1.0, 2.0, 3.0, -4.0, 5.0, 6.0], requires_grad=True)
    lengths = torch.tensor([3, 1, 2])
    assert sequence_sums(values, lengths).tolist() == [6.0, -4.0, 11.0]
    means = sequence_means(values, lengths)
    assert means.tolist() == [2.0, 2.0, 2.0, -4.0, 5.5, 5.5]
    (means * torch.tensor([1.0, 0.0, 0.0, 2.0, 0.0, 4.0])).sum().backward()
    assert values.grad is not None
    assert_allclose(values.grad, [1 / 3, 1 / 3, 1 / 3, 2.0, 2.0, 2.0])


def test_expected_gradient_is_exactly_that_of_the_return() -> None:
    """Over every pair of episodes of Tiny-v0, weighted by its probability."""
    policy = random_policy()
    tree = Tree.of(policy, num_prompts=2)
    exact = tree.objective_gradient(policy, lambda _: tree.returns())
    estimate = tree.mean_estimate(RLOO(policy, RLOOConfig(group_size=2)))
    assert np.linalg.norm(exact) > 0.05
    assert_allclose(-estimate, exact, atol=1e-6)


def test_expected_gradient_with_a_reference_has_the_divergence() -> None:
    """The objective is E[R] - kl_coef KL(pi || reference), the divergence of whole episodes."""
    policy = random_policy()
    learner = RLOO(policy, RLOOConfig(group_size=2, kl_coef=0.3))
    reference = Tree.of(policy, num_prompts=2).log_probs(policy).detach()
    move(policy, 0.3)
    tree = Tree.of(policy, num_prompts=2)
    returns = tree.returns()
    exact = tree.objective_gradient(policy, lambda own: returns - 0.3 * (own - reference))
    plain = tree.objective_gradient(policy, lambda _: returns)
    assert np.linalg.norm(exact - plain) > 0.02
    assert_allclose(-tree.mean_estimate(learner), exact, atol=1e-6)


def test_the_divergence_is_of_whole_episodes_whatever_the_discount() -> None:
    policy = random_policy()
    learner = RLOO(policy, RLOOConfig(group_size=3, kl_coef=0.3, gamma=0.5))
    episodes = batch(Tree.of(policy))
    kept = [episode.log_probs.copy() for episode in episodes]
    for number, episode in enumerate(episodes):
        episode.log_probs = episode.log_probs + np.float32(0.1 * number)
    shifts = [0.1 * number * episode.num_steps for number, episode in enumerate(episodes)]
    worth = [
        sum(0.5**t * r for t, r in enumerate(episode.rewards)) - 0.3 * shift
        for episode, shift in zip(episodes, shifts, strict=True)
    ]
    expected = [
        worth[i] - np.mean([worth[j] for j in range(6) if j // 3 == i // 3 and j != i])
        for i in range(6)
    ]
    advantages = learner.prepare(episodes).advantages
    ends = np.cumsum([len(own) for own in kept])
    assert len({len(own) for own in kept}) > 1
    assert_allclose(advantages[ends - 1], expected, atol=1e-6)


def test_sampled_gradient_is_that_of_the_return() -> None:
    policy = random_policy()
    tree = Tree.of(policy)
    exact = -tree.objective_gradient(policy, lambda _: tree.returns())
    sample = sampled_estimates(RLOO(policy, RLOOConfig(group_size=4)), 4, rounds=16)
    each, along = standard_errors(sample, exact)
    assert along < 3.0
    assert each.max() < 4.0  # The largest of 84.
    off = standard_errors(sample, 0.75 * exact)[1]  # With the own return in the baseline.
    assert off > 4.0


def test_first_step_is_reinforce_with_leave_one_out() -> None:
    policy = random_policy()
    episodes = batch(Tree.of(policy))
    RLOO(policy, RLOOConfig(group_size=3)).gradients(episodes)
    ours = flat_gradient(policy)
    config = ReinforceConfig(baseline="leave_one_out", group_size=3)
    Reinforce(policy, config).gradients(episodes)
    assert_allclose(ours, flat_gradient(policy), atol=1e-6)


def test_later_steps_are_clipped_by_whole_episodes() -> None:
    """Of two episodes out of range, the better one has no gradient above, the worse one below."""
    policy = random_policy()
    first, second = Tree.of(policy).episodes[1][:2]
    better = replace(first, rewards=np.full(first.num_steps, 1.0))
    worse = replace(second, rewards=np.full(second.num_steps, 0.0))
    learner = RLOO(policy, RLOOConfig(group_size=2, clip_range=0.2))
    for above, moves in (((True, False), False), ((False, True), True)):
        episodes = []
        for episode, up in zip((better, worse), above, strict=True):
            shift = np.float32(0.3 / episode.num_steps)
            shifted = episode.log_probs - shift if up else episode.log_probs + shift
            episodes.append(replace(episode, log_probs=shifted))
        metrics = learner.gradients(episodes)
        assert metrics["clip_fraction"] == 1.0
        assert (np.abs(flat_gradient(policy)).max() > 0) == moves


def test_passes_add_up_to_the_whole_batch() -> None:
    policy = random_policy()
    episodes = batch(Tree.of(policy))
    move(policy, 0.1)
    results = []
    for limit in (0, 1, 4):
        config = RLOOConfig(group_size=3, max_tokens_per_pass=limit, entropy_coef=0.1)
        metrics = RLOO(policy, config).gradients(episodes)
        results.append((metrics, flat_gradient(policy)))
    for metrics, gradient in results[1:]:
        assert metrics == pytest.approx(results[0][0], rel=1e-5, abs=1e-6)
        assert_allclose(gradient, results[0][1], atol=1e-6)


def test_epochs_and_minibatches_are_as_many_steps() -> None:
    policy = random_policy()
    learner = RLOO(policy, RLOOConfig(group_size=3, num_epochs=3, num_minibatches=2))
    metrics = learner.update(batch(Tree.of(policy)), rng=np.random.default_rng(0))
    assert {int(state["step"]) for state in learner.optimizer.state.values()} == {6}
    assert metrics["log_prob_gap"] < 1e-5
    assert metrics["kl"] > 0.0
    assert all(np.isfinite(value) for value in metrics.values())


def test_the_entropy_is_held_and_the_step_size_falls() -> None:
    policy = random_policy()
    config = RLOOConfig(
        group_size=3, entropy_coef=0.1, target_entropy=5.0, schedule="linear", learning_rate=0.01
    )
    learner = RLOO(policy, config)
    episodes = batch(Tree.of(policy))
    first, second = (learner.update(episodes, progress) for progress in (0.0, 0.75))
    assert first["entropy_coef"] == pytest.approx(0.1)
    rise = np.exp(0.1 * (5.0 - first["entropy"]))
    assert second["entropy_coef"] == pytest.approx(0.1 * rise)
    assert (first["learning_rate"], second["learning_rate"]) == (0.01, 0.0025)


def test_a_loss_that_is_not_finite_leaves_the_parameters() -> None:
    policy = random_policy()
    episodes = batch(Tree.of(policy))
    episodes[1] = replace(episodes[1], log_probs=np.full_like(episodes[1].log_probs, -np.inf))
    before = [p.detach().clone() for p in policy.parameters()]
    with pytest.raises(FloatingPointError, match="no step was taken"):
        RLOO(policy, RLOOConfig(group_size=3)).update(episodes)
    assert all(torch.equal(p, b) for p, b in zip(policy.parameters(), before, strict=True))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"group_size": 1}, "group_size must be at least 2"),
        ({"clip_range": 0.0}, "clip_range must be greater than 0"),
        ({"clip_range_high": -1.0}, "clip_range_high must be greater than 0"),
        ({"num_epochs": 0}, "num_epochs must be at least 1"),
        ({"kl_coef": -0.1}, "kl_coef must be at least 0"),
        ({"gamma": 1.1}, "gamma must be at most 1"),
        ({"target_entropy": 0.5}, "entropy_coef by factors"),
    ],
)
def test_configuration_is_checked(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RLOOConfig(**wrong)  # type: ignore[arg-type]


def test_a_group_size_that_does_not_divide_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="group_size 3 does not divide num_envs 16"):
        run(tmp_path / "x", RLOOConfig(group_size=3), total_steps=10)


def test_a_group_of_one_is_named() -> None:
    policy = random_policy()
    lonely = batch(Tree.of(policy))[:4]
    with pytest.raises(ValueError, match="group 2 has 1"):
        RLOO(policy, RLOOConfig(group_size=3)).update(lonely)


def test_a_state_of_another_run_is_refused() -> None:
    policy = random_policy()
    state = RLOO(policy, RLOOConfig(kl_coef=0.1)).state()
    assert state
    with pytest.raises(ValueError, match="saved state of RLOO"):
        RLOO(policy, RLOOConfig()).load_state(state)


def test_it_learns_cartpole(tmp_path: Path) -> None:
    """A random policy stays up for about 22 steps."""
    config = RLOOConfig(learning_rate=5e-3, gamma=0.99)
    options = {"eval_interval": 5, "eval_episodes": 32, "target_return": 150.0}
    result = run(tmp_path / "run", config, total_steps=150_000, **options)
    assert result.metrics["eval_return_mean"] >= 150.0
