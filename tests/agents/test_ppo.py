from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from textgym_agents.algorithms import PPO, PPOConfig, ppo
from textgym_agents.algorithms.minibatches import Split
from textgym_agents.algorithms.reference import steered
from textgym_agents.algorithms.value_normalization import RunningScale
from textgym_agents.losses import KLEstimator, clipped_policy_loss, kl_estimates
from textgym_agents.policies import CausalLMPolicy, Episode, MLPPolicy, Policy, Sampling
from textgym_agents.policies.models import small_gpt2
from textgym_agents.rollout import collect
from textgym_agents.runs.environments import make_envs

TINY = "textgym:textgym/Tiny-v0"
PLAIN: dict[str, Any] = {"normalize_advantages": False, "max_grad_norm": 0.0}


def mlp(sampling: Sampling | None = None) -> MLPPolicy:
    envs = make_envs(TINY, 1)
    torch.manual_seed(0)
    made = MLPPolicy.from_env(envs, hidden_sizes=(8,), sampling=sampling)
    envs.close()
    return scattered(made)


def language_model(sampling: Sampling | None = None) -> CausalLMPolicy:
    envs = make_envs(TINY, 1)
    space = envs.single_action_space
    assert isinstance(space, gym.spaces.Discrete)
    model = small_gpt2(int(space.n), layers=1, heads=2, width=16, max_positions=32, seed=1)
    made = CausalLMPolicy.from_env(envs, model, sampling=sampling)
    envs.close()
    return scattered(made)


def scattered(policy: Any) -> Any:
    """Far from uniform, with values far from 0."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return policy


def rollout(policy: Policy, num_envs: int = 12, **kwargs: Any) -> list[Episode]:
    envs = make_envs(TINY, num_envs, kwargs.pop("env_kwargs", {"shaping": "dense"}))
    generator = torch.Generator().manual_seed(3)
    episodes = collect(envs, policy, seeds=range(num_envs), generator=generator, **kwargs)
    envs.close()
    return episodes


def grads(policy: Policy) -> dict[str, torch.Tensor]:
    return {n: p.grad.clone() for n, p in policy.named_parameters() if p.grad is not None}


def weights(policy: Policy) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in policy.parameters()]


def assert_same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for name in left:
        assert_allclose(left[name], right[name], atol=1e-6, err_msg=name)


@pytest.mark.parametrize("make", [mlp, language_model])
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=0.7, top_k=5, top_p=0.9)])
def test_first_minibatch_has_ratio_one(
    make: Any, sampling: Sampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = make(sampling)
    ratios: list[torch.Tensor] = []

    def watched(log_probs: torch.Tensor, old: torch.Tensor, *rest: Any) -> torch.Tensor:
        ratios.append((log_probs - old).exp().detach())
        return clipped_policy_loss(log_probs, old, *rest)

    monkeypatch.setattr(ppo, "clipped_policy_loss", watched)
    learner = PPO(policy, PPOConfig(num_minibatches=3, learning_rate=0.01))
    learner.update(rollout(policy))
    assert_allclose(ratios[0], 1.0, atol=1e-5)
    assert all(float((ratio - 1).abs().max()) > 1e-3 for ratio in ratios[1:])


def test_a_minibatch_of_one_step_moves_the_policy() -> None:
    """Its advantage has no deviation to be scaled by, and would be 0 less its mean."""
    policy = mlp()
    episodes = [rollout(policy)[0].some_steps(np.array([0]))]
    PPO(policy, PPOConfig(value_coef=0.0)).gradients(episodes)
    assert max(float(gradient.abs().max()) for gradient in grads(policy).values()) > 1e-3


def test_gradient_equals_the_formula() -> None:
    """The clipped surrogate, the values' error and the entropy, written out by hand."""
    policy = mlp()
    episodes = rollout(policy)
    with torch.no_grad():  # So that ratios differ from 1.
        for parameter in policy.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    config = PPOConfig(
        gamma=0.9, gae_lambda=0.8, clip_range=0.1, clip_range_high=0.3, entropy_coef=0.1, **PLAIN
    )
    metrics = PPO(policy, config).gradients(episodes)
    measured = grads(policy)
    policy.zero_grad()
    total, count, outside = torch.zeros(()), 0, 0
    for episode in episodes:
        now = policy.evaluate([episode])
        following, advantage = 0.0, 0.0
        for t in range(episode.num_steps - 1, -1, -1):
            delta = episode.rewards[t] + 0.9 * following - float(episode.values[t])
            advantage = delta + 0.9 * 0.8 * advantage
            following = float(episode.values[t])
            ratio = (now.log_probs[t] - float(episode.log_probs[t])).exp()
            surrogate = torch.minimum(ratio * advantage, ratio.clamp(0.9, 1.3) * advantage)
            error = (now.values[t] - (advantage + following)) ** 2
            total = total - surrogate + 0.5 * error - 0.1 * now.entropy[t]
            count += 1
            outside += not 0.9 <= ratio.item() <= 1.3
    (total / count).backward()
    assert_same(measured, grads(policy))
    assert 0 < outside < count
    assert metrics["clip_fraction"] == pytest.approx(outside / count)
    assert metrics["loss"] == pytest.approx(total.item() / count, rel=1e-4)


@pytest.mark.parametrize("make", [mlp, language_model])
def test_passes_add_up_to_the_minibatch(make: Any) -> None:
    policy = make()
    episodes = rollout(policy)
    results = []
    for limit in (0, 1, 12, 40):
        config = PPOConfig(entropy_coef=0.1, value_clip_range=0.1, max_tokens_per_pass=limit)
        metrics = PPO(policy, config).gradients(episodes)
        results.append((metrics, grads(policy)))
    for metrics, parts in results[1:]:
        assert metrics == pytest.approx(results[0][0], rel=1e-5, abs=1e-6)
        assert_same(parts, results[0][1])


def covered(minibatches: Sequence[Any]) -> list[int]:
    return sorted(step for parts in minibatches for part in parts for step in part.steps)


@pytest.mark.parametrize("make", [mlp, language_model])
def test_minibatches_hold_each_step_once(make: Any) -> None:
    policy = make()
    episodes = rollout(policy)
    split = Split(episodes, max_tokens=30)
    log_probs = np.concatenate([episode.log_probs for episode in episodes])
    num_steps = len(log_probs)
    minibatches = list(split.shuffled(4, np.random.default_rng(0)))
    assert len(minibatches) == 4
    assert covered(minibatches) == covered([split.whole()]) == list(range(num_steps))
    for part in (part for parts in minibatches for part in parts):
        assert_allclose(np.concatenate([e.log_probs for e in part.episodes]), log_probs[part.steps])
        assert_allclose(
            policy.evaluate(part.episodes).log_probs.detach(), log_probs[part.steps], atol=1e-5
        )
    again = list(split.shuffled(4, np.random.default_rng(1)))
    assert [p.steps.tolist() for m in minibatches for p in m] != [
        p.steps.tolist() for m in again for p in m
    ]


def test_minibatches_of_texts_have_about_equally_many_tokens() -> None:
    policy = language_model()
    episodes = rollout(policy, num_envs=64)
    sizes = []
    for parts in Split(episodes, 0).shuffled(4, np.random.default_rng(0)):
        sizes.append(sum(len(e.observations.tokens) for part in parts for e in part.episodes))
    longest = max(len(e.observations.tokens) for e in episodes)  # type: ignore[union-attr]
    assert max(sizes) - min(sizes) <= 2 * longest
    few = list(Split(episodes[:2], 0).shuffled(4, np.random.default_rng(0)))
    assert 1 <= len(few) <= 2
    assert covered(few) == list(range(sum(e.num_steps for e in episodes[:2])))


def test_steps_keep_their_masks_and_their_part_of_dict_observations() -> None:
    def episode(steps: int, mask: np.ndarray | None, start: int) -> Episode:
        numbers = np.arange(start, start + steps)
        blank = np.zeros(steps, np.float32)
        return Episode(
            slot=0,
            group=0,
            observations={"obs": numbers[:, None].astype(np.float32)},
            actions=numbers % 3,
            log_probs=blank,
            values=blank,
            rewards=blank.astype(np.float64),
            action_masks=mask,
        )

    same = np.array([True, True, False])
    varying = np.array([[True, False, True], [False, True, True]])
    mixed = [episode(2, varying, 0), episode(1, None, 2), episode(3, same, 3)]
    expected = np.concatenate([varying, [[True] * 3], [same] * 3])
    for parts in Split(mixed, 2).shuffled(2, np.random.default_rng(0)):
        for part in parts:
            (one,) = part.episodes
            assert isinstance(one.observations, dict)
            assert_allclose(one.observations["obs"][:, 0], part.steps)
            assert_allclose(one.actions, part.steps % 3)
            assert one.action_masks is not None
            assert (one.action_masks == expected[part.steps]).all()
    (part,) = Split([episode(2, same, 0), episode(3, same, 2)], 0).whole()
    assert part.episodes[0].action_masks is same


@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
def test_kl_in_the_reward_is_taken_off_each_step(kind: KLEstimator) -> None:
    policy = mlp()
    learner = PPO(policy, PPOConfig(kl_coef=0.3, kl_estimator=kind, **PLAIN))
    assert learner.reference is not None
    reference = policy.reference()
    scattered(policy)
    episodes = rollout(policy)
    found = learner.gradients(episodes)
    measured = grads(policy)
    reduced, total = [], 0.0
    for episode in episodes:
        old = torch.as_tensor(episode.log_probs)
        other = reference.evaluate([episode]).log_probs.detach()
        penalty = kl_estimates(old, other, kind).double().numpy()
        total += penalty.sum()
        reduced.append(replace(episode, rewards=episode.rewards - 0.3 * penalty))
    metrics = PPO(policy, PPOConfig(**PLAIN)).gradients(reduced)
    assert_same(measured, grads(policy))
    assert found["loss"] == pytest.approx(metrics["loss"], rel=1e-4)
    row = learner.update(episodes)
    assert row["kl_reference"] == pytest.approx(
        total / sum(e.num_steps for e in episodes), rel=1e-4
    )
    assert row["kl_coef"] == 0.3


def test_kl_in_the_loss_adds_its_gradient() -> None:
    policy = mlp()
    learner = PPO(policy, PPOConfig(kl_coef=0.3, kl_penalty="loss", kl_estimator="k3", **PLAIN))
    reference = policy.reference()
    scattered(policy)
    episodes = rollout(policy)
    learner.gradients(episodes)
    measured = grads(policy)
    PPO(policy, PPOConfig(**PLAIN)).gradients(episodes)
    other = reference.evaluate(episodes).log_probs.detach()
    (0.3 * kl_estimates(policy.evaluate(episodes).log_probs, other, "k3").mean()).backward()
    assert_same(measured, grads(policy))


def test_a_reference_stays_where_training_began() -> None:
    policy = language_model()
    learner = PPO(policy, PPOConfig(kl_coef=0.1, learning_rate=0.05))
    episodes = rollout(policy)
    assert learner.update(episodes)["kl_reference"] == pytest.approx(0.0, abs=1e-6)
    assert abs(learner.update(rollout(policy))["kl_reference"]) > 1e-3


def test_a_reference_is_saved_without_repeating_tied_weights() -> None:
    policy = language_model()
    learner = PPO(policy, PPOConfig(kl_coef=0.1))
    saved = {name: tensor.clone() for name, tensor in learner.state().items()}
    tied = {"reference.model.transformer.wte.weight", "reference.model.lm_head.weight"}
    assert len(tied & saved.keys()) == 1
    episodes = rollout(policy)
    assert learner.reference is not None
    expected = learner.reference.log_probs(Split(episodes, 0))
    other = PPO(language_model(), PPOConfig(kl_coef=0.1))
    assert other.reference is not None
    for tensor in other.reference._frozen.state_dict().values():
        tensor.zero_()
    other.load_state(saved)
    assert_allclose(other.reference.log_probs(Split(episodes, 0)), expected, rtol=0, atol=0)


def test_coefficient_is_steered_towards_the_target() -> None:
    """Errors of +100% and -50%, both clipped to 20%, then of 10%; Ziegler et al. 2019."""
    assert steered(0.5, 2.0, 1.0) == pytest.approx(0.5 * 1.02)
    assert steered(0.5, 0.5, 1.0) == pytest.approx(0.5 * 0.98)
    assert steered(0.5, 1.1, 1.0) == pytest.approx(0.5 * 1.01)
    assert steered(0.5, 7.0, 0.0) == 0.5
    policy = mlp()
    learner = PPO(policy, PPOConfig(kl_coef=0.2, kl_coef_target=0.01))
    rows = [learner.update(rollout(policy)) for _ in range(2)]
    assert [row["kl_coef"] for row in rows] == pytest.approx([0.2, 0.2 * 0.98])


def test_target_kl_stops_the_epochs() -> None:
    policy = mlp()
    episodes = rollout(policy)
    fast = PPOConfig(learning_rate=0.05, num_epochs=10, num_minibatches=2)
    assert PPO(mlp(), fast).update(episodes)["optimizer_steps"] == 20
    stopped = PPO(policy, replace(fast, target_kl=0.01)).update(episodes)
    assert 1 <= stopped["optimizer_steps"] < 20
    assert all(p.grad is None for p in policy.parameters())


def test_cut_episode_goes_on_at_its_final_value_and_a_terminated_one_does_not() -> None:
    policy = mlp()
    episode = rollout(policy, num_envs=1)[0]
    results = {}
    for name, fields in {
        "terminated": {"terminated": True, "truncated": False},
        "both": {"terminated": True, "truncated": True},
        "cut": {"terminated": False, "truncated": True, "final_value": 5.0},
        "paid": {},
    }.items():
        one = replace(episode, **fields)  # type: ignore[arg-type]
        if name == "paid":
            one.rewards = episode.rewards.copy()
            one.rewards[-1] += 0.5 * 5.0
        PPO(policy, PPOConfig(gamma=0.5, **PLAIN)).gradients([one])
        results[name] = grads(policy)
    assert_same(results["terminated"], results["both"])
    assert_same(results["cut"], results["paid"])
    assert not torch.equal(
        results["cut"]["actor.0.weight"], results["terminated"]["actor.0.weight"]
    )


def test_running_scale_is_that_of_all_numbers() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(5.0, 3.0, size) for size in (1, 7, 100)]
    scale = RunningScale()
    assert (scale.mean, scale.std) == (0.0, 1.0)
    for part in parts:
        scale.add(part)
    whole = np.concatenate(parts)
    assert scale.mean == pytest.approx(whole.mean())
    assert scale.std == pytest.approx(whole.std())
    assert_allclose(scale.restore(scale.normalize(whole)), whole)
    other = RunningScale()
    other.load_state(scale.state())
    assert (other.mean, other.std) == (scale.mean, scale.std)
    constant = RunningScale()
    constant.add(np.full(3, 7.0))
    assert (constant.mean, constant.std) == (7.0, 1.0)


def test_normalised_values_do_not_depend_on_the_unit_of_the_reward() -> None:
    """A thousand times the reward gives the same steps, to rounding, but for the first values."""
    ends = []
    for factor in (1.0, 1000.0):
        policy = mlp()
        with torch.no_grad():
            policy.critic[-1].weight.zero_()
            policy.critic[-1].bias.zero_()
        learner = PPO(policy, PPOConfig(normalize_values=True, gae_lambda=1.0))
        for _ in range(3):
            episodes = rollout(policy)
            for episode in episodes:
                episode.rewards *= factor
            learner.update(episodes)
        ends.append(weights(policy))
    for left, right in zip(*ends, strict=True):
        assert_allclose(left, right, atol=1e-4)


def test_schedule() -> None:
    policy = mlp()
    for progress, constant, linear in ((0.0, 1e-3, 1e-3), (0.25, 1e-3, 0.75e-3), (1.0, 1e-3, 0.0)):
        for schedule, expected in (("constant", constant), ("linear", linear)):
            config = PPOConfig(learning_rate=1e-3, schedule=schedule)  # type: ignore[arg-type]
            assert PPO(policy, config).learning_rate(progress) == pytest.approx(expected)


def test_loss_that_is_not_finite_leaves_the_parameters() -> None:
    policy = mlp()
    episodes = rollout(policy)
    before = weights(policy)
    learner = PPO(policy, PPOConfig(normalize_values=True))
    broken = [replace(e, values=np.full(e.num_steps, np.nan, np.float32)) for e in episodes]
    with pytest.raises(FloatingPointError, match="no step was taken"):
        learner.update(broken)
    assert (learner.scale.mean, learner.scale.std) == (0.0, 1.0)
    broken = [replace(e, log_probs=np.full(e.num_steps, np.inf, np.float32)) for e in episodes]
    for target in (0.0, 0.01):
        with pytest.raises(FloatingPointError, match="no step was taken"):
            PPO(policy, PPOConfig(target_kl=target)).update(broken)
    far = [replace(e, log_probs=e.log_probs + 9) for e in episodes]
    stopped = PPO(policy, PPOConfig(target_kl=0.01)).update(far)
    assert (stopped["optimizer_steps"], stopped["grad_norm"]) == (0, 0.0)
    episodes[1].rewards[0] = np.inf
    with pytest.raises(ValueError, match="reward inf in slot 1 at step 0"):
        learner.update(episodes)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(policy), strict=True))
    assert all(p.grad is None for p in policy.parameters())


def test_another_runs_state_is_refused() -> None:
    state = PPO(mlp(), PPOConfig(kl_coef=0.1)).state()
    with pytest.raises(ValueError, match=r"differ in kl_coef, reference\.actor"):
        PPO(mlp(), PPOConfig()).load_state(state)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"gamma": 1.5}, "gamma must be at most 1"),
        ({"gae_lambda": -0.1}, "gae_lambda must be at least 0"),
        ({"clip_range": 0.0}, "clip_range must be greater than 0"),
        ({"num_epochs": 0}, "num_epochs must be at least 1"),
        ({"num_minibatches": 0}, "num_minibatches must be at least 1"),
        ({"target_kl": -1.0}, "target_kl must be at least 0"),
        ({"kl_coef": 0.1, "kl_penalty": "loss"}, "no gradient on average"),
        ({"kl_coef_target": 0.1}, "kl_coef must start above 0"),
    ],
)
def test_configuration_is_checked(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PPOConfig(**wrong)


def test_values_are_clipped_around_what_the_head_said_whatever_their_scale() -> None:
    """The scale changes with each batch; before any step no value has moved."""
    results = []
    for limit in (0.0, 1e-3):
        policy = mlp()
        config = PPOConfig(normalize_values=True, value_clip_range=limit, **PLAIN)
        learner = PPO(policy, config)
        learner.scale.add(np.array([5.0, 9.0, 30.0]))
        episodes = rollout(policy)
        batch = learner._batch(episodes)
        learner.scale.add(batch.returns)
        metrics = learner._gradients(batch, batch.split.whole())
        results.append((metrics["value_loss"], grads(policy)))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-6)
    assert_same(results[0][1], results[1][1])
