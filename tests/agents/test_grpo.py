from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from tests.agents.tiny_groups import (
    ENV_ID,
    Floats,
    Tree,
    flat_gradient,
    move,
    random_policy,
    run,
    sampled_estimates,
    standard_errors,
)
from textgym_agents.algorithms import GRPO, GRPOConfig
from textgym_agents.algorithms.grpo import VARIANTS, Variant
from textgym_agents.losses import clipped_policy_loss, clipped_weight_loss, step_weights
from textgym_agents.policies import Episode, MLPPolicy
from textgym_agents.policies.construction import PolicyConfig
from textgym_agents.runs.seeding import iteration_seeds

LM = PolicyConfig(kind="causal_lm", layers=1, heads=2, width=16)


def batch(tree: Tree) -> list[Episode]:
    """Two groups of three, of 1 to 3 steps."""
    rows = []
    for slot, (prompt, index) in enumerate([(0, 0), (0, 4), (0, 9), (2, 14), (2, 0), (2, 6)]):
        rewards = np.zeros(tree.episodes[prompt][index].num_steps)
        rewards[-1] = [1.0, 0.25, 0.5, 0.0, 2.0, 0.75][slot]
        episode = tree.episodes[prompt][index]
        rows.append(replace(episode, slot=slot, group=prompt, rewards=rewards))
    return rows


def test_step_weights_by_hand() -> None:
    """Of a batch of 4 sequences with 10 steps, a part of two with 3 and 1."""
    lengths = torch.tensor([3, 1])
    by_sequence = step_weights(lengths, "sequence", 4, 10)
    assert_allclose(by_sequence, [1 / 12, 1 / 12, 1 / 12, 1 / 4])
    assert_allclose(step_weights(lengths, "token", 4, 10), [0.1] * 4)
    assert_allclose(step_weights(lengths, "constant", 4, 10, 5.0), [1 / 20] * 4)
    with pytest.raises(ValueError, match="unknown aggregation 'word'"):
        step_weights(lengths, "word", 4, 10)  # type: ignore[arg-type]


def test_clipped_weights_by_hand() -> None:
    """Ratios 0.5, 1 and 3, clipped to 0.8 and 1.5; each step has a gradient."""
    log_probs = torch.tensor([-1.0, -2.0, -0.5], requires_grad=True)
    old = log_probs.detach() - torch.tensor([0.5, 1.0, 3.0]).log()
    advantages = torch.tensor([2.0, -1.0, 4.0])
    loss = clipped_weight_loss(log_probs, old, advantages, 0.2, 0.5)
    assert_allclose(loss.detach(), [0.8 * 2.0, -2.0, 1.5 * 4.0 * 0.5], rtol=1e-6)
    loss.sum().backward()
    assert log_probs.grad is not None
    assert_allclose(log_probs.grad, [-1.6, 1.0, -6.0], rtol=1e-6)
    log_probs.grad = None
    clipped_policy_loss(log_probs, old, advantages, 0.2, 0.5).sum().backward()
    assert log_probs.grad is not None
    assert log_probs.grad[2] == 0.0  # PPO's has none where the better action is out of range.


def test_variants_are_defaults_that_fields_override() -> None:
    assert set(get_args(Variant)) == set(VARIANTS)
    assert GRPOConfig().settings == VARIANTS["grpo"]
    dapo = GRPOConfig(variant="dapo").settings
    assert (dapo.aggregation, dapo.clip_range, dapo.clip_range_high) == ("token", 0.2, 0.28)
    assert GRPOConfig(variant="dapo", clip_range=0.1).settings.clip_range_high == 0.1
    changed = GRPOConfig(variant="dapo", extra_rounds=0, aggregation="sequence").settings
    assert changed == replace(VARIANTS["grpo"], clip_range_high=0.28)


def by_formula(tree: Tree, policy: MLPPolicy, group_size: int, variant: str) -> Floats:
    """Minus the expected gradient of a batch of one group, from the papers' formulas.

    An episode matters to others by its return and length alone, so that groups of such kinds are
    enumerated, not groups of episodes.
    """
    returns, lengths = tree.returns().numpy(), tree.lengths().numpy()
    probabilities = tree.log_probs(policy).detach().exp().numpy()
    worth = np.zeros_like(returns)
    for prompt, (own_returns, own_lengths) in enumerate(zip(returns, lengths, strict=True)):
        kinds: Counter[tuple[float, int]] = Counter()
        for kind in zip(own_returns, own_lengths, probabilities[prompt], strict=True):
            kinds[kind[:2]] += kind[2]
        for k, own in enumerate(zip(own_returns, own_lengths, strict=True)):
            for others in product(kinds, repeat=group_size - 1):
                chance = np.prod([kinds[other] for other in others])
                rewards, steps = np.array([own, *others]).T
                advantage = rewards[0] - rewards.mean()
                if variant != "dr_grpo":
                    advantage /= rewards.std(ddof=1) + 1e-4
                weight = {
                    "grpo": 1.0 / (group_size * own[1]),
                    "dr_grpo": 1.0 / group_size,
                    "dapo": 1.0 / steps.sum(),
                }[variant]
                worth[prompt, k] += chance * advantage * weight * group_size
    return tree.objective_gradient(policy, lambda _: torch.as_tensor(worth))


@pytest.mark.parametrize("variant", ["grpo", "dapo", "gspo", "cispo"])
def test_expected_gradient_is_exactly_the_stated_one(variant: Variant) -> None:
    """Over every pair of episodes; on a fresh batch, gspo is grpo and cispo is dapo."""
    policy = random_policy()
    tree = Tree.of(policy, num_prompts=2)
    alike = {"gspo": "grpo", "cispo": "dapo"}.get(variant, variant)
    exact = by_formula(tree, policy, 2, alike)
    estimate = tree.mean_estimate(GRPO(policy, GRPOConfig(group_size=2, variant=variant)))
    assert np.linalg.norm(exact) > 0.05
    assert_allclose(-estimate, exact, atol=1e-6)


def test_expected_gradient_of_dr_grpo_is_half_that_of_the_return() -> None:
    """(G - 1) / G of it, as its baseline includes the own return."""
    policy = random_policy()
    tree = Tree.of(policy, num_prompts=2)
    exact = tree.objective_gradient(policy, lambda _: tree.returns())
    assert_allclose(by_formula(tree, policy, 2, "dr_grpo"), exact / 2, atol=1e-7)
    estimate = tree.mean_estimate(GRPO(policy, GRPOConfig(group_size=2, variant="dr_grpo")))
    assert_allclose(-estimate, exact / 2, atol=1e-6)


@pytest.mark.parametrize("unbiased", [True, False])
def test_gradient_of_the_divergence(unbiased: bool) -> None:
    """At the states that the policy visits: of KL(pi || reference), or of the reverse one."""
    policy = random_policy()
    options: dict[str, Any] = {"group_size": 2, "variant": "dr_grpo", "kl_coef": 0.5}
    learner = GRPO(policy, GRPOConfig(unbiased_kl=unbiased, **options))
    kept = policy.reference()
    move(policy, 0.3)
    tree = Tree.of(policy, num_prompts=2)
    for episode in tree.all():
        episode.rewards = np.zeros(episode.num_steps)
    estimate = tree.mean_estimate(learner)
    own, reference = (each.episode_log_probs(tree.all()) for each in (policy, kept))
    legal = ~torch.isneginf(reference)
    own, reference = own.masked_fill(~legal, 0.0), reference.masked_fill(~legal, 0.0)
    forward = (own.exp() * (own - reference) * legal).sum(-1)
    backward = (reference.exp() * (reference - own) * legal).sum(-1)
    chances = tree.log_probs(policy).detach().exp().flatten() / len(tree.episodes)
    visits = chances.repeat_interleave(tree.lengths().flatten())
    policy.zero_grad()
    (0.5 * visits * (forward if unbiased else backward)).sum().backward()
    exact = flat_gradient(policy)
    assert np.linalg.norm(exact) > 0.01
    assert_allclose(estimate, exact, atol=1e-6)


@pytest.mark.parametrize("variant", ["grpo", "dapo", "dr_grpo"])
def test_sampled_gradient_is_the_stated_one(variant: Variant) -> None:
    policy = random_policy()
    exact = -by_formula(Tree.of(policy), policy, 4, variant)
    config = GRPOConfig(group_size=4, variant=variant)
    each, along = standard_errors(sampled_estimates(GRPO(policy, config), 4, rounds=8), exact)
    assert along < 3.0
    assert each.max() < 4.0  # The largest of 208.


def test_passes_add_up_to_the_whole_batch() -> None:
    policy = random_policy()
    for variant in VARIANTS:
        config = GRPOConfig(variant=variant, group_size=3, kl_coef=0.1, entropy_coef=0.1)
        learners = [GRPO(policy, replace(config, max_tokens_per_pass=limit)) for limit in (0, 1, 4)]
        episodes = batch(Tree.of(policy))
        move(policy, 0.1)
        results = [(learner.gradients(episodes), flat_gradient(policy)) for learner in learners]
        assert results[0][0]["kl_reference"] > 0.0
        for metrics, gradient in results[1:]:
            assert metrics == pytest.approx(results[0][0], rel=1e-5, abs=1e-6)
            assert_allclose(gradient, results[0][1], atol=1e-6)


def test_epochs_and_minibatches_are_as_many_steps() -> None:
    policy = random_policy()
    config = GRPOConfig(group_size=3, num_epochs=2, num_minibatches=3, kl_coef=0.1)
    learner = GRPO(policy, config)
    metrics = learner.update(batch(Tree.of(policy)))
    assert {int(state["step"]) for state in learner.optimizer.state.values()} == {6}
    assert metrics["log_prob_gap"] < 1e-5
    assert metrics["kl"] > 0.0
    assert metrics["kl_reference"] > 0.0
    assert all(np.isfinite(value) for value in metrics.values())


def test_groups_of_equal_returns_are_dropped_with_extra_rounds() -> None:
    policy = random_policy()
    episodes = batch(Tree.of(policy))
    for episode in episodes[3:]:
        episode.rewards = np.full(episode.num_steps, 1.0 / episode.num_steps)
    equal = [e for e in episodes if e.group == 2]
    assert len({e.total_reward for e in equal}) == 1
    dapo = GRPO(policy, GRPOConfig(variant="dapo", group_size=3))
    assert dapo.extra_rounds == 4
    assert [e.group for e in dapo.select(episodes)] == [0, 0, 0]
    assert dapo.select(equal) == []
    grpo = GRPO(policy, GRPOConfig(group_size=3))
    assert grpo.extra_rounds == 0
    assert grpo.select(episodes) == episodes
    assert grpo.gradients(equal)["equal_groups"] == 1.0
    assert np.abs(flat_gradient(policy)).max() == 0.0


def test_training_collects_again_for_dropped_groups(tmp_path: Path) -> None:
    """Tiny-v0 has few returns, so that some groups of two are equal."""
    options: dict[str, Any] = {"env_id": ENV_ID, "num_envs": 4, "total_steps": 60}
    result = run(tmp_path / "dapo", GRPOConfig(variant="dapo", group_size=2), **options)
    plain = run(tmp_path / "grpo", GRPOConfig(group_size=2), **options)
    assert result.metrics["equal_groups"] == 0.0
    assert result.steps / result.iteration > plain.steps / plain.iteration
    seeds = [iteration_seeds(0, 1, 4, 2, attempt).slots for attempt in (0, 1)]
    assert set(seeds[0]).isdisjoint(seeds[1])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"group_size": 1}, "group_size must be at least 2"),
        ({"variant": "ppo"}, 'variant must be one of "grpo", "dr_grpo", .*, got .ppo.'),
        ({"clip_range": 1.5}, "clip_range must be at most 1"),
        ({"extra_rounds": -1}, "extra_rounds must be at least 0"),
        ({"constant_length": 0.0}, "constant_length must be greater than 0"),
        ({"num_minibatches": 0}, "num_minibatches must be at least 1"),
    ],
)
def test_configuration_is_checked(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GRPOConfig(**wrong)


def test_a_group_of_one_is_named() -> None:
    policy = random_policy()
    with pytest.raises(ValueError, match="group 2 has 1"):
        GRPO(policy, GRPOConfig(group_size=3)).update(batch(Tree.of(policy))[:4])


def learns(output: Path, variant: Variant, target: float, **fields: Any) -> float:
    config = GRPOConfig(variant=variant, learning_rate=5e-3, gamma=0.99, **fields)
    options = {"eval_interval": 5, "eval_episodes": 32, "target_return": target}
    return run(output, config, total_steps=150_000, **options).metrics["eval_return_mean"]


def test_it_learns_cartpole(tmp_path: Path) -> None:
    """A random policy stays up for about 22 steps."""
    assert learns(tmp_path / "run", "grpo", 150.0) >= 150.0


@pytest.mark.slow
@pytest.mark.parametrize("variant", list(VARIANTS))
def test_every_variant_learns_cartpole(variant: Variant, tmp_path: Path) -> None:
    epochs = {"num_epochs": 2, "num_minibatches": 2}
    assert learns(tmp_path / "run", variant, 150.0, **epochs) >= 150.0
