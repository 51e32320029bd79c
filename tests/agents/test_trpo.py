from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor

from textgym.envs.exact import enumerate_mdp
from textgym_agents.algorithms import TRPO, TRPOConfig, trpo
from textgym_agents.algorithms.minibatches import Split
from textgym_agents.algorithms.trust_region import (
    conjugate_gradient,
    fisher_products,
    flat,
)
from textgym_agents.policies import CausalLMPolicy, Episode, MLPPolicy, Policy, small_gpt2
from textgym_agents.policies.construction import PolicyConfig, build_policy, describe_policy
from textgym_agents.policies.sampling import categorical_kl
from textgym_agents.rollout import collect
from textgym_agents.runs.config import TrainConfig
from textgym_agents.runs.environments import make_envs
from textgym_agents.train import TrainResult, train

TINY = "textgym:textgym/Tiny-v0"


def tiny(kind: str, num_envs: int = 16, seed: int = 0) -> tuple[Policy, list[Episode]]:
    """A policy far from uniform, and a batch that it collected."""
    envs = make_envs(TINY, num_envs, {"shaping": "dense"})
    torch.manual_seed(seed)
    policy: Policy = MLPPolicy.from_env(envs, hidden_sizes=(6,))
    if kind == "causal_lm":
        size = int(envs.single_action_space.n)  # type: ignore[attr-defined]
        model = small_gpt2(size, layers=1, heads=2, width=8, max_positions=16)
        policy = CausalLMPolicy.from_env(envs, model)
    elif kind == "recomputing":
        network = {"layers": 1, "heads": 2, "width": 8, "gradient_checkpointing": True}
        description = describe_policy(PolicyConfig(kind="causal_lm", **network), envs, seed)
        policy = build_policy(description)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    generator = torch.Generator().manual_seed(seed)
    episodes = collect(envs, policy, seeds=range(num_envs), generator=generator)
    envs.close()
    return policy, episodes


def moved(policy: Policy) -> list[Tensor]:
    """The parameters that the distribution depends on."""
    names = ("actor", "model")
    return [p for name, p in policy.named_parameters() if name.startswith(names)]


def explicit_fisher(policy: Policy, episodes: Sequence[Episode]) -> Tensor:
    """The mean over states of sum_a pi(a) grad log pi(a) grad log pi(a)^T, a row at a time."""
    log_probs = policy.episode_log_probs(episodes)
    parameters = moved(policy)
    size = sum(parameter.numel() for parameter in parameters)
    matrix = torch.zeros(size, size, dtype=torch.float64)
    for row in log_probs:
        for log_prob in row[torch.isfinite(row)]:
            score = flat(torch.autograd.grad(log_prob, parameters, retain_graph=True)).double()
            matrix += log_prob.detach().double().exp() * torch.outer(score, score)
    return matrix / len(log_probs)


def test_conjugate_gradient_solves() -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(12, 12))
    matrix = root @ root.T + 0.5 * np.eye(12)
    target = rng.normal(size=12)
    tensor = torch.from_numpy(matrix)
    found, image = conjugate_gradient(lambda v: tensor @ v, torch.from_numpy(target), 12, 1e-24)
    assert_allclose(found, np.linalg.solve(matrix, target), rtol=1e-6)
    assert_allclose(image, target, rtol=1e-6)
    early, image = conjugate_gradient(lambda v: tensor @ v, torch.from_numpy(target), 4)
    assert_allclose(image, tensor @ early, rtol=1e-9)
    assert not np.allclose(image, target)
    space = np.stack([np.linalg.matrix_power(matrix, k) @ target for k in range(4)], axis=1)
    best = space @ np.linalg.solve(space.T @ matrix @ space, space.T @ target)
    assert_allclose(early, best, rtol=1e-6)
    none, image = conjugate_gradient(lambda v: tensor @ v, torch.zeros(12).double(), 12)
    assert not none.any() and not image.any()


def test_categorical_kl_by_hand() -> None:
    p = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]).log()
    q = torch.tensor([[0.25, 0.75, 0.0], [0.5, 0.25, 0.25], [1.0, 0.0, 0.0]]).log()
    by_hand = [0.5 * np.log(2) + 0.5 * np.log(2 / 3), np.log(2), np.inf]
    assert_allclose(categorical_kl(p, q), by_hand, rtol=1e-6)


@pytest.mark.parametrize("kind", ["mlp", "causal_lm", "recomputing"])
def test_products_are_those_of_the_explicit_fisher_matrix(kind: str) -> None:
    policy, episodes = tiny(kind, 3)
    matrix = explicit_fisher(policy, episodes)
    assert torch.linalg.matrix_rank(matrix) > 3
    torch.manual_seed(5)
    for max_tokens in (0, 2):
        parts = Split(episodes, max_tokens).whole()
        assert (len(parts) > 1) == (max_tokens > 0)
        product = fisher_products(policy, parts, moved(policy))
        for _ in range(5):
            vector = torch.randn(len(matrix))
            expected = matrix @ vector.double()
            assert float((product(vector) - expected).norm() / expected.norm()) < 1e-5


def test_products_of_one_part_share_their_forward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    policy, episodes = tiny("causal_lm", 3)
    passes = 0
    plain = policy.episode_distributions

    def counted(of: Sequence[Episode]) -> Tensor:
        nonlocal passes
        passes += 1
        return plain(of)

    monkeypatch.setattr(policy, "episode_distributions", counted)
    for max_tokens, expected in ((0, 1), (2, 2 * 3)):
        passes = 0
        parts = Split(episodes, max_tokens).whole()
        product = fisher_products(policy, parts, moved(policy))
        vector = torch.ones(sum(p.numel() for p in moved(policy)))
        products = [product(vector) for _ in range(2)]
        assert torch.equal(*products) and products[0].any()
        assert passes == expected, (len(parts), passes)


def test_step_is_the_natural_gradient_scaled_to_the_trust_region() -> None:
    policy, episodes = tiny("mlp")
    config = TRPOConfig(cg_iterations=400, cg_damping=0.01, target_kl=0.002)
    learner = TRPO(policy, config)
    learner.gradients(episodes)
    gradient = -flat([p.grad for p in moved(policy) if p.grad is not None])
    step = learner._longest_step(episodes, moved(policy), gradient, np.random.default_rng(0))
    damped = explicit_fisher(policy, episodes).numpy() + 0.01 * np.eye(len(step))
    natural = np.linalg.solve(damped, gradient.double().numpy())
    length = np.sqrt(2 * 0.002 / (natural @ damped @ natural))
    assert_allclose(step, length * natural, atol=2e-3 * float(step.abs().max()))


def log_probs(policy: Policy, episodes: Sequence[Episode]) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return policy.episode_log_probs(episodes), policy.evaluate(episodes).log_probs


@pytest.mark.parametrize("kind", ["mlp", "causal_lm"])
@pytest.mark.parametrize("target_kl", [0.001, 0.05])
def test_an_accepted_step_keeps_to_the_region_and_raises_the_surrogate(
    kind: str, target_kl: float
) -> None:
    policy, episodes = tiny(kind)
    config = TRPOConfig(target_kl=target_kl, normalize_advantages=False, gae_lambda=1.0)
    old, old_chosen = log_probs(policy, episodes)
    metrics = TRPO(policy, config).update(episodes)
    new, chosen = log_probs(policy, episodes)
    kl = float(torch.nan_to_num(old.exp() * (old - new), nan=0.0).sum(-1).mean())
    to_go = [np.cumsum(e.rewards[::-1])[::-1] - e.values for e in episodes]
    advantages = torch.from_numpy(np.concatenate(to_go))
    gain = float((((chosen - old_chosen).exp() - 1) * advantages).mean())
    assert 0.1 * target_kl < kl <= target_kl * 1.0001
    assert gain > 0
    assert metrics["kl"] == pytest.approx(kl, rel=1e-3)
    assert metrics["surrogate_gain"] == pytest.approx(gain, rel=1e-3)
    assert 0 < metrics["step_share"] <= 1


@pytest.mark.parametrize("reason", ["region", "surrogate", "no advantage"])
@pytest.mark.parametrize("kind", ["mlp", "causal_lm"])
def test_no_step_when_every_try_fails(
    kind: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy stays to the bit; the value function, which is fitted apart, still moves."""
    policy, episodes = tiny(kind)
    learner = TRPO(policy, TRPOConfig(normalize_advantages=False, gae_lambda=0.0))
    if reason == "region":
        exact = policy.divergence

        def infinite(old: Tensor, new: Tensor) -> Tensor:
            return exact(old, new) + (0.0 if torch.is_grad_enabled() else np.inf)

        monkeypatch.setattr(policy, "divergence", infinite)
    elif reason == "surrogate":  # A direction that lowers it.
        solve = trpo.conjugate_gradient

        def turned(*args: Any) -> tuple[Tensor, Tensor]:
            solution, image = solve(*args)
            return -solution, -image

        monkeypatch.setattr(trpo, "conjugate_gradient", turned)
    else:
        for episode in episodes:
            episode.values = np.ones_like(episode.values)
            episode.rewards = np.append(np.zeros(episode.num_steps - 1), 1.0)
    before = {name: p.detach().clone() for name, p in policy.named_parameters()}
    metrics = learner.update(episodes)
    assert (metrics["step_share"], metrics["kl"], metrics["surrogate_gain"]) == (0.0, 0.0, 0.0)
    for name, parameter in policy.named_parameters():
        fitted = name.startswith(("critic", "value_head"))
        assert torch.equal(parameter, before[name]) is not fitted, name
        assert parameter.requires_grad
        assert parameter.grad is None


class Walk(gym.Env[Any, Any]):
    """Five noisy steps; the actions of either kind are best where they are large."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (3,))

    def __init__(self, kind: str) -> None:
        self.action_space: gym.Space[Any] = gym.spaces.Box(-2.0, 2.0, (2,))
        if kind == "multi_discrete":
            self.action_space = gym.spaces.MultiDiscrete([3, 2])

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = 5
        return self.seen(), {}

    def seen(self) -> Any:
        return self.np_random.uniform(-1, 1, 3).astype(np.float32)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.left -= 1
        return self.seen(), float(np.sum(action)), self.left == 0, False, {}


@pytest.mark.parametrize("kind", ["box", "multi_discrete"])
def test_other_actions_keep_to_the_region_as_well(kind: str) -> None:
    """The divergence is PyTorch's own, summed over the components; and so is the Fisher matrix."""
    envs = gym.vector.SyncVectorEnv([lambda: Walk(kind)] * 16)
    torch.manual_seed(0)
    policy = MLPPolicy.from_env(envs, hidden_sizes=(4,))
    episodes = collect(envs, policy, seeds=range(16), generator=torch.Generator().manual_seed(0))

    def distributions() -> list[torch.distributions.Distribution]:
        seen = torch.from_numpy(np.concatenate([e.observations for e in episodes]))  # type: ignore[arg-type]
        outputs = policy.actor(seen)
        if kind == "box":
            log_std = policy.distribution.log_std
            assert isinstance(log_std, Tensor)
            return [torch.distributions.Normal(outputs, log_std.exp().expand_as(outputs))]
        parts = outputs.split([3, 2], dim=-1)
        return [torch.distributions.Categorical(logits=part) for part in parts]

    def kl(
        old: list[torch.distributions.Distribution], new: list[torch.distributions.Distribution]
    ) -> Tensor:
        each = [torch.distributions.kl_divergence(o, n) for o, n in zip(old, new, strict=True)]
        return sum((d.reshape(80, -1).sum() for d in each), torch.zeros(())) / 80

    with torch.no_grad():
        old = distributions()
    actor = [p for n, p in policy.named_parameters() if not n.startswith("critic")]
    vector = torch.randn(sum(p.numel() for p in actor))
    gradient = flat(torch.autograd.grad(kl(old, distributions()), actor, create_graph=True))
    expected = flat(torch.autograd.grad(gradient @ vector, actor))
    parts = Split(episodes, 30).whole()
    assert len(parts) > 1
    product = fisher_products(policy, parts, actor)(vector)
    assert_allclose(product, expected, atol=1e-5 * float(expected.abs().max()))
    metrics = TRPO(policy, TRPOConfig()).update(episodes)
    with torch.no_grad():
        assert metrics["kl"] == pytest.approx(float(kl(old, distributions())), rel=1e-3)
    assert 0.001 < metrics["kl"] <= 0.01
    assert metrics["surrogate_gain"] > 0


def test_values_are_fitted_to_the_returns() -> None:
    policy, episodes = tiny("mlp")
    learner = TRPO(policy, TRPOConfig(value_epochs=40, learning_rate=0.03, gae_lambda=1.0))
    first = learner.update(episodes)["value_loss"]
    returns = torch.from_numpy(np.concatenate([np.cumsum(e.rewards[::-1])[::-1] for e in episodes]))
    with torch.no_grad():
        after = float((policy.evaluate(episodes).values - returns).square().mean())
    assert after < 0.5 * first


def test_the_surrogate_has_the_entropy_as_well() -> None:
    """Its gradient by autograd of the mean entropy; a step that it alone asks for raises it."""
    policy, episodes = tiny("mlp")
    gradients = []
    for weight in (0.0, 0.3):
        TRPO(policy, TRPOConfig(entropy_coef=weight)).gradients(episodes)
        gradients.append(flat([p.grad for p in moved(policy) if p.grad is not None]))
        policy.zero_grad()
    mean = policy.evaluate(episodes).entropy.mean()
    expected = flat(torch.autograd.grad(-0.3 * mean, moved(policy)))
    assert_allclose(gradients[1] - gradients[0], expected, atol=1e-6)
    learner = TRPO(policy, TRPOConfig(entropy_coef=1e4, value_epochs=0))
    metrics = learner.update(episodes)
    with torch.no_grad():
        raised = float(policy.evaluate(episodes).entropy.mean()) - mean.item()
    assert metrics["entropy"] == pytest.approx(mean.item(), rel=1e-5)
    assert metrics["surrogate_gain"] == pytest.approx(1e4 * raised, rel=0.01)
    assert raised > 0.01 and metrics["entropy_coef"] == 1e4


def test_values_are_learned_in_units_of_the_returns_spread() -> None:
    """Returns about 1,000 are out of a value's reach in an update, but for the unit."""
    errors = {}
    for normalize in (False, True):
        policy, episodes = tiny("mlp")
        for episode in episodes:
            episode.rewards = episode.rewards + np.eye(episode.num_steps)[-1] * 1000.0
        config = TRPOConfig(value_epochs=40, gae_lambda=1.0, normalize_values=normalize)
        learner = TRPO(policy, config)
        returns = np.concatenate([np.cumsum(e.rewards[::-1])[::-1] for e in episodes])
        learner.update(episodes)
        if normalize:
            assert learner.scale.mean == pytest.approx(returns.mean())
            assert learner.scale.std == pytest.approx(returns.std())
        again = TRPO(policy, config)
        again.load_state(learner.state())
        with torch.no_grad():
            values = policy.evaluate(episodes).values.double().numpy()
        errors[normalize] = np.abs(again.scale.restore(values) - returns).mean()
        for episode, known in zip(episodes, np.split(values, ends(episodes)), strict=True):
            episode.values = known
        targets = again._targets(episodes)
        assert_allclose(targets.returns, returns)  # Whatever the values are, with lambda 1.
        assert_allclose(targets.values, again.scale.restore(values))
    assert errors[True] < 1.0 < 900 < errors[False]
    with pytest.raises(ValueError, match="differ in scale"):
        TRPO(policy, TRPOConfig()).load_state(learner.state())


def ends(episodes: Sequence[Episode]) -> list[int]:
    """Where each episode's steps end in the batch's, but for the last."""
    return np.cumsum([episode.num_steps for episode in episodes])[:-1].tolist()  # type: ignore[no-any-return]


def test_passes_of_the_batch_add_up_to_one() -> None:
    results = []
    for limit in (0, 7):
        policy, episodes = tiny("mlp")
        config = TRPOConfig(max_tokens_per_pass=limit, value_epochs=0)
        metrics = TRPO(policy, config).update(episodes)
        results.append((metrics, flat([p.detach() for p in policy.parameters()])))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-3, abs=1e-6)
    assert_allclose(results[0][1], results[1][1], atol=1e-4)


def test_fisher_matrix_of_a_share_is_another_step_within_the_region() -> None:
    steps = []
    for share in (1.0, 0.25):
        policy, episodes = tiny("mlp", 64)
        metrics = TRPO(policy, TRPOConfig(fisher_share=share)).update(episodes)
        assert 0 < metrics["kl"] <= 0.01
        steps.append(flat([p.detach() for p in moved(policy)]))
    assert not torch.equal(*steps)


def test_mean_gradient_is_the_exact_gradient_of_the_return() -> None:
    """At gamma 1, without normalisation: minus grad times steps per episode is grad J."""
    envs = make_envs(TINY, 512, {"shaping": "dense"})
    policy, _ = tiny("mlp")
    assert isinstance(policy, MLPPolicy)
    exact = exact_gradient(policy)
    config = TRPOConfig(gae_lambda=1.0, normalize_advantages=False, max_tokens_per_pass=0)
    learner = TRPO(policy, config)
    rows = []
    for number in range(8):
        generator = torch.Generator().manual_seed(number)
        seeds = np.random.SeedSequence([3, number]).generate_state(512).tolist()
        episodes = collect(envs, policy, seeds=seeds, generator=generator)
        for start in range(0, 512, 8):
            batch = episodes[start : start + 8]
            learner.gradients(batch)
            steps = sum(episode.num_steps for episode in batch) / len(batch)
            rows.append(-steps * flat([p.grad for p in moved(policy) if p.grad is not None]))
    envs.close()
    sample, along = torch.stack(rows).double().numpy(), exact / np.linalg.norm(exact)
    error = sample.std(axis=0, ddof=1) / np.sqrt(len(sample))
    assert (np.abs(sample.mean(axis=0) - exact) <= 4 * error + 1e-5).all()
    sample = sample @ along
    error = sample.std(ddof=1) / np.sqrt(len(sample))
    assert abs(sample.mean() - exact @ along) < 3 * error
    assert error < 0.1 * np.linalg.norm(exact)


def exact_gradient(policy: MLPPolicy) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Sum over s, a of visits(s) pi(a|s) A(s, a) grad log pi(a|s), enumerated."""
    mdp = enumerate_mdp(gym.make(TINY, shaping="dense"), examples=range(4))
    num_states = len(mdp.start)
    states = Episode(
        slot=0,
        group=0,
        observations=mdp.observations,
        actions=np.full(num_states, np.flatnonzero(mdp.legal[0])[0]),
        log_probs=np.zeros(num_states, np.float32),
        values=np.zeros(num_states, np.float32),
        rewards=np.zeros(num_states),
        action_masks=mdp.legal[0],
    )
    table = policy.episode_log_probs([states]).exp()
    probabilities = table.detach().double().numpy()
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    weights = mdp.visits(probabilities)[:, None] * mdp.evaluate(probabilities).advantage
    objective = (table * torch.from_numpy(weights).float()).sum()
    return flat(torch.autograd.grad(objective, moved(policy))).double().numpy()


def test_gradient_that_is_not_finite_leaves_the_parameters() -> None:
    policy, episodes = tiny("mlp")
    before = [p.detach().clone() for p in policy.parameters()]
    broken = [replace(episodes[0], log_probs=np.full_like(episodes[0].log_probs, -np.inf))]
    with pytest.raises(FloatingPointError, match="no step was taken"):
        TRPO(policy, TRPOConfig()).update(broken + episodes[1:])
    assert all(torch.equal(p, b) for p, b in zip(policy.parameters(), before, strict=True))
    assert all(p.grad is None for p in policy.parameters())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"target_kl": 0.0}, "target_kl must be greater than 0"),
        ({"cg_damping": -1.0}, "cg_damping must be at least 0"),
        ({"fisher_share": 1.5}, "fisher_share must be at most 1"),
        ({"line_search_shrink": 1.5}, "line_search_shrink must be at most 1"),
        ({"line_search_shrink": 1.0}, "line_search_shrink must be less than 1"),
        ({"cg_iterations": 0}, "cg_iterations must be at least 1"),
    ],
)
def test_configuration_is_checked(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TRPOConfig(**wrong)


def run(output: Path, total_steps: int, config: TRPOConfig, **kwargs: Any) -> TrainResult:
    base: dict[str, Any] = {"env_id": "CartPole-v1", "num_envs": 4, "tensorboard": False}
    run_config = TrainConfig(
        output=output, total_steps=total_steps, progress=False, **{**base, **kwargs}
    )
    return train(run_config, config)


LM = PolicyConfig(kind="causal_lm", layers=1, heads=2, width=16)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_cartpole_is_solved(seed: int, tmp_path: Path) -> None:
    """Within a tenth of the 500,000 steps allowed; 475 is the threshold of Gymnasium's registry."""
    config = TRPOConfig(gamma=0.99, steps_per_env=256, num_minibatches=32)
    result = run(
        tmp_path,
        500_000,
        config,
        num_envs=8,
        seed=seed,
        target_return=475.0,
        eval_interval=5,
        eval_episodes=32,
    )
    assert result.metrics["eval_return_mean"] >= 475.0
    assert result.steps <= 100_000
