from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from textgym_agents.algorithms import A2C, A2CConfig
from textgym_agents.policies import Episode, MLPPolicy
from textgym_agents.rollout import collect
from textgym_agents.runs.environments import make_envs

TINY = "textgym:textgym/Tiny-v0"


def policy() -> MLPPolicy:
    envs = make_envs(TINY, 1)
    torch.manual_seed(0)
    made = MLPPolicy.from_env(envs, hidden_sizes=(8,))
    envs.close()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def rollout(actor: MLPPolicy, **kwargs: Any) -> list[Episode]:
    envs = make_envs(TINY, 8, {"shaping": "dense"})
    generator = torch.Generator().manual_seed(3)
    episodes = collect(envs, actor, seeds=range(8), generator=generator, **kwargs)
    envs.close()
    return episodes


def grads(actor: MLPPolicy) -> dict[str, torch.Tensor]:
    return {n: p.grad.clone() for n, p in actor.named_parameters() if p.grad is not None}


def assert_same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for name in left:
        assert_allclose(left[name], right[name], atol=1e-6, err_msg=name)


def test_gradient_equals_the_formula() -> None:
    """Of n-step returns within segments of two steps: the loss of Mnih et al., by hand."""
    actor = policy()
    episodes = rollout(actor, steps_per_env=2)
    assert {e.num_steps for e in episodes} == {1, 2}
    assert any(e.final_value != 0 for e in episodes)
    config = A2CConfig(gamma=0.9, entropy_coef=0.1, value_coef=0.25)
    metrics = A2C(actor, config).gradients(episodes)
    measured = grads(actor)
    actor.zero_grad()
    total, count = torch.zeros(()), 0
    for episode in episodes:
        now = actor.evaluate([episode])
        following = episode.final_value
        for t in range(episode.num_steps - 1, -1, -1):
            following = float(episode.rewards[t]) + 0.9 * following
            gain = now.log_probs[t] * (following - float(episode.values[t]))
            error = (now.values[t] - following) ** 2
            total = total - gain + 0.25 * error - 0.1 * now.entropy[t]
            count += 1
    (total / count).backward()
    assert_same(measured, grads(actor))
    assert metrics["loss"] == pytest.approx(total.item() / count, rel=1e-4)


def test_normalised_values_are_restored_for_advantages_and_learned_in_their_unit() -> None:
    actor = policy()
    episodes = rollout(actor, steps_per_env=2)
    learner = A2C(actor, A2CConfig(gamma=0.9, normalize_values=True))
    learner.scale.add(np.array([5.0, 9.0, 30.0]))
    mean, std = learner.scale.mean, learner.scale.std
    learner.gradients(episodes)
    measured = grads(actor)
    actor.zero_grad()
    total, count = torch.zeros(()), 0
    for episode in episodes:
        now = actor.evaluate([episode])
        following = episode.final_value * std + mean if episode.truncated else 0.0
        for t in range(episode.num_steps - 1, -1, -1):
            following = float(episode.rewards[t]) + 0.9 * following
            gain = now.log_probs[t] * (following - float(episode.values[t]) * std - mean)
            total = total - gain + 0.5 * (now.values[t] - (following - mean) / std) ** 2
            count += 1
    (total / count).backward()
    expected = grads(actor)
    assert measured.keys() == expected.keys()
    for name in expected:
        assert_allclose(measured[name], expected[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_the_scale_is_that_of_the_batches_before() -> None:
    actor = policy()
    first, second = rollout(actor), rollout(actor, episodes_per_env=2)
    for episode in first:
        episode.rewards += 10.0
    learner = A2C(actor, A2CConfig(normalize_values=True))
    returns = np.concatenate([np.cumsum(e.rewards[::-1])[::-1] for e in first])
    learner.update(first)
    assert learner.scale.mean == pytest.approx(returns.mean())
    metrics = learner.gradients(second)
    assert learner.scale.mean == pytest.approx(returns.mean())  # Gradients alone change nothing.
    assert np.isfinite(metrics["loss"])
    learner.update(second)
    assert learner.scale.mean < returns.mean()
    other = A2C(policy(), A2CConfig(normalize_values=True))
    other.load_state(learner.state())
    assert (other.scale.mean, other.scale.std) == (learner.scale.mean, learner.scale.std)
    with pytest.raises(ValueError, match="differ in scale"):
        A2C(policy(), A2CConfig()).load_state(learner.state())


def test_passes_add_up_to_the_whole_batch() -> None:
    actor = policy()
    episodes = rollout(actor)
    results = []
    for limit in (0, 1, 7):
        config = A2CConfig(
            gae_lambda=0.9, normalize_advantages=True, entropy_coef=0.1, max_tokens_per_pass=limit
        )
        metrics = A2C(actor, config).gradients(episodes)
        results.append((metrics, grads(actor)))
    for metrics, parts in results[1:]:
        assert metrics == pytest.approx(results[0][0], rel=1e-5, abs=1e-6)
        assert_same(parts, results[0][1])


def test_cut_episode_goes_on_at_its_final_value() -> None:
    actor = policy()
    whole = rollout(actor)[0]
    cut = replace(whole, terminated=False, truncated=True, final_value=5.0)
    paid = replace(whole, rewards=whole.rewards.copy())
    paid.rewards[-1] += 0.5 * 5.0
    results = []
    for episode in (whole, cut, paid):
        A2C(actor, A2CConfig(gamma=0.5)).gradients([episode])
        results.append(grads(actor))
    assert_same(results[1], results[2])
    assert not torch.equal(results[0]["actor.0.weight"], results[1]["actor.0.weight"])


def test_updates_raise_the_return_and_explain_it() -> None:
    actor = policy()
    learner = A2C(actor, A2CConfig(learning_rate=0.02, schedule="linear"))
    envs = make_envs(TINY, 16, {"shaping": "dense"})
    generator = torch.Generator().manual_seed(0)
    returns, rows = [], []
    for number in range(60):
        episodes = collect(envs, actor, seeds=range(16), generator=generator)
        returns.append(np.mean([episode.total_reward for episode in episodes]))
        rows.append(learner.update(episodes, progress=number / 60))
    envs.close()
    assert np.mean(returns[-10:]) > np.mean(returns[:10]) + 0.1
    assert rows[0]["explained_variance"] < 0 < rows[-1]["explained_variance"] <= 1
    assert rows[30]["learning_rate"] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"gamma": 1.5}, "gamma must be at most 1"),
        ({"gae_lambda": 2.0}, "gae_lambda must be at most 1"),
        ({"learning_rate": 0.0}, "learning_rate must be greater than 0"),
        ({"steps_per_env": -1}, "steps_per_env must be at least 0"),
    ],
)
def test_configuration_is_checked(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        A2CConfig(**wrong)


def test_n_steps_take_the_place_of_lambda() -> None:
    actor = policy()
    episodes = rollout(actor)
    found = []
    for options in ({"n_steps": 1}, {"gae_lambda": 0.0}, {"n_steps": 2}, {"n_steps": 100}, {}):
        A2C(actor, A2CConfig(gamma=0.9, **options)).gradients(episodes)  # type: ignore[arg-type]
        found.append(grads(actor))
    assert_same(found[0], found[1])
    assert_same(found[3], found[4])
    assert any((found[2][n] - found[m][n]).abs().max() > 1e-3 for n in found[2] for m in (0, 4))
    with pytest.raises(ValueError, match="n_steps 2 takes the place of gae_lambda"):
        A2CConfig(n_steps=2, gae_lambda=0.9)


def test_the_entropy_is_steered() -> None:
    actor = policy()
    config = A2CConfig(entropy_coef=0.01, target_entropy=50.0, entropy_learning_rate=0.1)
    learner = A2C(actor, config)
    first = learner.update(rollout(actor))
    second = learner.update(rollout(actor))
    assert first["entropy_coef"] == pytest.approx(0.01)
    rise = np.exp(0.1 * (50.0 - first["entropy"]))
    assert second["entropy_coef"] == pytest.approx(0.01 * rise)
    assert learner.state().keys() == {"log_entropy_coef"}
    other = A2C(actor, config)
    other.load_state(learner.state())
    assert other.entropy_coef.value == pytest.approx(learner.entropy_coef.value)
