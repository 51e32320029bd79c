from __future__ import annotations

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from textgym_agents.algorithms import Reinforce, ReinforceConfig
from textgym_agents.algorithms.base import passes
from textgym_agents.policies import Episode, MLPPolicy, Sampling
from textgym_agents.policies.base import Contexts


def policy(seed: int = 0, sampling: Sampling | None = None) -> MLPPolicy:
    torch.manual_seed(seed)
    made = MLPPolicy(gym.spaces.Discrete(3), gym.spaces.Discrete(4), (8,), sampling)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def episode(actor: MLPPolicy, states: list[int], actions: list[int], **kwargs: object) -> Episode:
    made = Episode(
        slot=0,
        group=0,
        observations=np.array(states),
        actions=np.array(actions),
        log_probs=np.zeros(len(states), np.float32),
        values=np.linspace(0, 1, len(states)).astype(np.float32),
        rewards=np.arange(len(states), dtype=np.float64),
        **kwargs,  # type: ignore[arg-type]
    )
    made.log_probs = actor.evaluate([made]).log_probs.detach().numpy()
    return made


def batch(actor: MLPPolicy) -> list[Episode]:
    return [
        episode(actor, [0, 1, 2], [3, 0, 1]),
        episode(actor, [2], [2]),
        episode(actor, [1, 1, 0, 2, 2], [0, 1, 2, 3, 0]),
        episode(actor, [0, 2], [1, 1]),
    ]


def grads(actor: MLPPolicy) -> dict[str, torch.Tensor]:
    return {n: p.grad.clone() for n, p in actor.named_parameters() if p.grad is not None}


def test_gradient_equals_the_formula() -> None:
    """-1/N sum_i sum_t gamma^t G_t grad log pi, written out with softmax by hand."""
    actor = policy()
    episodes = batch(actor)
    learner = Reinforce(actor, ReinforceConfig(gamma=0.9, baseline="none"))
    learner.gradients(episodes)
    measured = grads(actor)
    actor.zero_grad()
    objective = torch.zeros(())
    for one in episodes:
        logits = actor.actor(torch.eye(3)[torch.as_tensor(one.observations)])
        for t, action in enumerate(one.actions):
            later = sum(0.9 ** (k - t) * one.rewards[k] for k in range(t, one.num_steps))
            objective = objective + 0.9**t * later * torch.log_softmax(logits[t], -1)[action]
    (-objective / len(episodes)).backward()
    for name, gradient in grads(actor).items():
        assert_allclose(measured[name], gradient, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("baseline", ["none", "batch_mean", "learned"])
def test_passes_add_up_to_the_whole_batch(baseline: str) -> None:
    actor = policy()
    results = []
    for limit in (0, 1, 4, 6):
        config = ReinforceConfig(
            baseline=baseline,  # type: ignore[arg-type]
            gamma=0.9,
            entropy_coef=0.1,
            max_tokens_per_pass=limit,
        )
        metrics = Reinforce(actor, config).gradients(batch(actor))
        results.append((metrics, grads(actor)))
    whole_metrics, whole = results[0]
    assert all(gradient.abs().sum() > 0 for gradient in whole.values())
    for metrics, parts in results[1:]:
        assert metrics == pytest.approx(whole_metrics, rel=1e-6, abs=1e-6)
        for name in whole:
            assert_allclose(parts[name], whole[name], atol=1e-6, err_msg=name)


def test_passes_cover_each_episode_once_within_the_limit() -> None:
    actor = policy()
    episodes = batch(actor)
    parts = passes(episodes, 4)
    assert sorted(index for part in parts for index in part) == [0, 1, 2, 3]
    for part in parts:
        assert sum(episodes[i].num_steps for i in part) <= 4 or len(part) == 1
    assert passes(episodes, 0) == [[0, 1, 2, 3]]


def test_passes_keep_equal_prompts_together_and_count_them_once() -> None:
    """Three texts of 10 steps after each of four prompts of 100 tokens, out of order."""
    texts = []
    for index in range(12):
        tokens = np.full(109, 7)
        tokens[0] = index % 4
        observations = Contexts(tokens, np.arange(100, 110))
        texts.append(replace(batch(policy())[0], observations=observations))
    together = [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]]
    assert passes(texts, 109 + 2 * 9) == together
    assert passes(texts, 2 * (109 + 2 * 9)) == [[0, 4, 8, 1, 5, 9], [2, 6, 10, 3, 7, 11]]
    assert passes(texts, 109 + 9)[:2] == [[0, 4], [8]]
    assert passes(texts, 5) == [[i] for group in together for i in group]


def test_learned_baseline_bootstraps_a_cut_episode_and_others_do_not() -> None:
    actor = policy()
    whole = episode(actor, [0, 1], [1, 2])
    cut = episode(actor, [0, 1], [1, 2], terminated=False, truncated=True, final_value=5.0)
    for baseline, differs in (("learned", True), ("none", False)):
        learner = Reinforce(actor, ReinforceConfig(baseline=baseline))  # type: ignore[arg-type]
        learner.gradients([whole])
        first = grads(actor)["actor.0.weight"]
        learner.gradients([cut])
        assert torch.equal(first, grads(actor)["actor.0.weight"]) is not differs


def test_the_greedy_return_is_subtracted_from_every_step() -> None:
    """The gradient is that without a baseline on rewards lessened by the greedy return."""
    actor = policy()
    episodes = batch(actor)
    config = ReinforceConfig(baseline="greedy")
    with pytest.raises(ValueError, match="needs the greedy_return of every episode"):
        Reinforce(actor, config).gradients(episodes)
    for index, one in enumerate(episodes):
        one.greedy_return = 0.5 * index
    Reinforce(actor, config).gradients(episodes)
    measured = grads(actor)
    whole = [replace(one, rewards=np.zeros(one.num_steps)) for one in episodes]
    for index, (flat, one) in enumerate(zip(whole, episodes, strict=True)):
        flat.rewards[-1] = one.total_reward - 0.5 * index
    Reinforce(actor, ReinforceConfig(baseline="none")).gradients(whole)
    for name, gradient in grads(actor).items():
        assert_allclose(measured[name], gradient, atol=1e-6, err_msg=name)


def test_value_head_learns_with_the_learned_baseline_alone() -> None:
    actor = policy()
    Reinforce(actor, ReinforceConfig(baseline="learned")).gradients(batch(actor))
    assert "critic.0.weight" in grads(actor)
    Reinforce(actor, ReinforceConfig(baseline="none")).gradients(batch(actor))
    assert "critic.0.weight" not in grads(actor)


def test_normalised_values_are_restored_for_the_baseline_and_learned_in_their_unit() -> None:
    """The gradient, written out; a cut episode goes on at a value in the critic's unit."""
    actor = policy()
    cut = episode(actor, [0, 1], [1, 2], terminated=False, truncated=True, final_value=0.5)
    episodes = [*batch(actor), cut]
    config = ReinforceConfig(baseline="learned", gamma=0.9, normalize_values=True)
    learner = Reinforce(actor, config)
    learner.scale.add(np.array([5.0, 9.0, 30.0]))
    mean, std = learner.scale.mean, learner.scale.std
    learner.gradients(episodes)
    measured = grads(actor)
    actor.zero_grad()
    gains, errors, count = torch.zeros(()), torch.zeros(()), 0
    for one in episodes:
        now = actor.evaluate([one])
        following = 0.5 * std + mean if one.truncated else 0.0
        for t in range(one.num_steps - 1, -1, -1):
            following = float(one.rewards[t]) + 0.9 * following
            better = following - float(one.values[t]) * std - mean
            gains = gains + 0.9**t * now.log_probs[t] * better
            errors = errors + (now.values[t] - (following - mean) / std) ** 2
            count += 1
    (0.5 * errors / count - gains / len(episodes)).backward()
    for name, gradient in grads(actor).items():
        assert_allclose(measured[name], gradient, rtol=1e-4, atol=1e-5, err_msg=name)


def test_the_scale_is_that_of_the_batches_before() -> None:
    actor = policy()
    config = ReinforceConfig(baseline="learned", normalize_values=True)
    learner, first = Reinforce(actor, config), batch(actor)
    returns = np.concatenate([np.cumsum(one.rewards[::-1])[::-1] for one in first])
    learner.update(first)
    assert learner.scale.mean == pytest.approx(returns.mean())
    second = [replace(one, rewards=one.rewards + 10.0) for one in batch(actor)]
    learner.gradients(second)
    assert learner.scale.mean == pytest.approx(returns.mean())  # Gradients alone change nothing.
    learner.update(second)
    assert learner.scale.mean > returns.mean()
    other = Reinforce(policy(), config)
    other.load_state(learner.state())
    assert (other.scale.mean, other.scale.std) == (learner.scale.mean, learner.scale.std)
    with pytest.raises(ValueError, match="differ in scale"):
        Reinforce(policy(), ReinforceConfig(baseline="learned")).load_state(learner.state())


def test_entropy_coefficient_raises_entropy() -> None:
    actor = policy()
    episodes = batch(actor)
    for one in episodes:
        one.rewards[:] = 0.0
    learner = Reinforce(
        actor, ReinforceConfig(baseline="none", entropy_coef=1.0, learning_rate=0.01)
    )
    before = learner.update(episodes)["entropy"]
    for _ in range(20):
        after = learner.update(episodes)["entropy"]
    assert before + 0.01 < after <= np.log(4) + 1e-6


def test_update_reports_the_gap_to_the_behaviour() -> None:
    actor = policy(sampling=Sampling(temperature=0.7, top_k=3))
    with torch.no_grad():
        episodes = batch(actor)
    learner = Reinforce(actor, ReinforceConfig(learning_rate=0.05))
    assert learner.update(episodes)["log_prob_gap"] < 1e-5
    assert learner.update(episodes)["log_prob_gap"] > 1e-3


def test_gradient_is_clipped_to_the_limit() -> None:
    actor = policy()
    before = [p.detach().clone() for p in actor.parameters()]
    learner = Reinforce(
        actor, ReinforceConfig(baseline="none", max_grad_norm=1e-3, learning_rate=1.0)
    )
    learner.optimizer = torch.optim.SGD(actor.parameters(), lr=1.0)
    norm = learner.update(batch(actor))["grad_norm"]
    moved = torch.cat(
        [(p.detach() - b).flatten() for p, b in zip(actor.parameters(), before, strict=True)]
    )
    assert norm > 1e-2
    assert float(moved.norm()) == pytest.approx(1e-3, rel=1e-2)


def test_the_step_size_falls_along_the_schedule() -> None:
    for schedule, expected in (("constant", 0.4), ("linear", 0.1), ("cosine", 0.0585786)):
        config = ReinforceConfig(learning_rate=0.4, schedule=schedule)  # type: ignore[arg-type]
        learner = Reinforce(policy(), config)
        rate = learner.update(batch(learner.policy), progress=0.75)["learning_rate"]  # type: ignore[arg-type]
        assert rate == pytest.approx(expected, rel=1e-5)
        assert learner.optimizer.param_groups[0]["lr"] == rate


def test_reward_that_is_not_finite_leaves_the_parameters() -> None:
    actor = policy()
    before = [p.detach().clone() for p in actor.parameters()]
    episodes = batch(actor)
    episodes[2].rewards[3] = np.nan
    with pytest.raises(ValueError, match="reward nan in slot 0 at step 3"):
        Reinforce(actor, ReinforceConfig()).update(episodes)
    assert all(torch.equal(p, b) for p, b in zip(actor.parameters(), before, strict=True))


def test_loss_that_is_not_finite_leaves_the_parameters() -> None:
    actor = policy()
    episodes = batch(actor)
    mask = np.ones(4, np.bool_)
    mask[2] = False  # The second episode took action 2: its probability becomes 0.
    episodes[1].action_masks = mask
    before = [p.detach().clone() for p in actor.parameters()]
    learner = Reinforce(actor, ReinforceConfig())
    with pytest.raises(FloatingPointError, match="no step was taken"):
        learner.update(episodes)
    assert all(torch.equal(p, b) for p, b in zip(actor.parameters(), before, strict=True))
    assert not learner.optimizer.state_dict()["state"]
    assert all(p.grad is None for p in actor.parameters())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"gamma": 1.5}, "gamma must be at most 1"),
        ({"learning_rate": 0.0}, "learning_rate must be greater than 0"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"episodes_per_env": 0}, "episodes_per_env must be at least 1"),
        ({"baseline": "leave_one_out"}, "group_size must be 2 or more"),
        ({"baseline": "greedy", "steps_per_env": 4}, "steps_per_env must be 0"),
        (
            {"baseline": "leave_one_out", "group_size": 2, "steps_per_env": 4},
            '"leave_one_out" needs whole episodes',
        ),
        ({"steps_per_env": 4}, '"batch_mean" needs whole episodes'),
        ({"steps_per_env": -1}, "steps_per_env must be at least 0"),
        ({"normalize_values": True}, 'learned baseline takes, got baseline "batch_mean"'),
    ],
)
def test_configuration_is_checked(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ReinforceConfig(**wrong)  # type: ignore[arg-type]


def test_an_empty_batch_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one episode"):
        Reinforce(policy(), ReinforceConfig()).update([])
