"""What the actor-critics' first step follows on average, and what their values converge to.

The estimates come from the learners' own code on episodes of Tiny-v0 that their own rollout
collected, what they should be from enumerating Tiny-v0.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from textgym.envs.exact import EnumeratedMDP, enumerate_mdp
from textgym_agents.algorithms import (
    A2C,
    ALGORITHMS,
    NLPO,
    PPO,
    A2CConfig,
    AlgorithmConfig,
    NLPOConfig,
    PPOConfig,
    ReinforceConfig,
    TRPOConfig,
)
from textgym_agents.losses import KLEstimator, kl_estimates
from textgym_agents.policies import Episode, MLPPolicy, Policy
from textgym_agents.policies.construction import PolicyConfig, build_policy, describe_policy
from textgym_agents.rollout import collect
from textgym_agents.runs.environments import make_envs

ENV_ID = "textgym:textgym/Tiny-v0"
SLOTS, ROUNDS, BATCH = 512, 8, 8
LIMIT = 4.0  # Standard errors, of the worst of some 200 coordinates.

Floats = NDArray[np.float64]
Learner = type[A2C] | type[PPO]
MLP: dict[str, Any] = {"kind": "mlp", "hidden_sizes": (32,)}
LM: dict[str, Any] = {"kind": "causal_lm", "layers": 2, "heads": 2, "width": 32}


@dataclass(frozen=True)
class Charged:
    """Divergence from a reference, as `PPOConfig` charges it."""

    reference: MLPPolicy
    coef: float
    penalty: Literal["reward", "loss"]
    estimator: KLEstimator


def random_policy(width: int = 6) -> MLPPolicy:
    """Far from uniform, with values far from 0."""
    envs = make_envs(ENV_ID, 1)
    torch.manual_seed(0)
    policy = MLPPolicy.from_env(envs, hidden_sizes=(width,))
    envs.close()
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.4 * torch.randn_like(parameter))
    return policy


def enumerated(gamma: float) -> EnumeratedMDP:
    return enumerate_mdp(gym.make(ENV_ID, shaping="dense", gamma=gamma), examples=range(4))


def every_choice(mdp: EnumeratedMDP) -> Episode:
    """Each legal action in each state, as the steps of one episode."""
    legal = np.flatnonzero(mdp.legal[0])
    states = np.repeat(np.arange(len(mdp.start)), len(legal))
    blank = np.zeros(len(states))
    return Episode(
        slot=0,
        group=0,
        observations=mdp.observations[states],
        actions=np.tile(legal, len(mdp.start)),
        log_probs=blank.astype(np.float32),
        values=blank.astype(np.float32),
        rewards=blank,
        action_masks=mdp.legal[0],
    )


def tables(policy: MLPPolicy, mdp: EnumeratedMDP) -> tuple[torch.Tensor, Floats, Floats]:
    """The log-probability of each choice, pi as a table ``[S, V]``, and the critic's V ``[S]``."""
    choices = every_choice(mdp)
    evaluation = policy.evaluate([choices])
    num_states = len(mdp.start)
    table = np.zeros(mdp.rewards.shape)
    states = np.repeat(np.arange(num_states), len(choices.actions) // num_states)
    table[states, choices.actions] = evaluation.log_probs.detach().double().exp().numpy()
    table /= table.sum(axis=1, keepdims=True)
    values = evaluation.values.detach().double().numpy().reshape(num_states, -1)[:, 0]
    return evaluation.log_probs, table, values


def flat_gradient(policy: MLPPolicy) -> Floats:
    """The actor's gradient as one vector."""
    gradients = [parameter.grad for parameter in policy.actor.parameters()]
    return torch.cat([g.flatten() for g in gradients if g is not None]).double().numpy()


def stated_direction(
    policy: MLPPolicy, gamma: float, lam: float, charged: Charged | None = None, n_steps: int = 0
) -> Floats:
    """Sum over s, a of visits(s) pi(a|s) E[A | s, a] grad log pi(a|s), enumerated.

    The visits are undiscounted. With A by lambda, E[A | s, a] is the value of (s, a) where rewards
    are the critic's one-step errors and the discount is gamma lam; with n steps it is their value
    and what the critic says then, less what it says of s. Divergence is charged to the rewards, or
    its estimate's own gradient is subtracted.
    """
    mdp = enumerated(gamma)
    log_probs, table, critic = tables(policy, mdp)
    legal = np.flatnonzero(mdp.legal[0])
    chances = (mdp.visits(table, 1.0)[:, None] * table)[:, legal].ravel()
    rewards, divergence = mdp.rewards.copy(), torch.zeros_like(log_probs)
    if charged is not None:
        theirs = tables(charged.reference, mdp)[0].detach()
        divergence = charged.coef * kl_estimates(log_probs, theirs, charged.estimator)
        if charged.penalty == "reward":
            rewards[:, legal] -= divergence.detach().numpy().reshape(-1, len(legal))
            divergence = torch.zeros_like(log_probs)
    following = np.append(critic, 0.0)[mdp.successors]
    errors = EnumeratedMDP(
        mdp.observations,
        mdp.start,
        mdp.successors,
        rewards + gamma * following - critic[:, None],
        mdp.legal,
    )
    advantages = errors.evaluate(table, gamma * lam).q
    if n_steps:
        ahead = critic
        for _ in range(n_steps):
            further = rewards + gamma * np.append(ahead, 0.0)[mdp.successors]
            ahead = (table * further).sum(axis=1)
        advantages = further - critic[:, None]
    policy.zero_grad()
    terms = log_probs * torch.as_tensor(advantages[:, legal].ravel()).float() - divergence
    (torch.as_tensor(chances).float() * terms).sum().backward()
    return flat_gradient(policy)


def exact_gradient(policy: MLPPolicy) -> Floats:
    """That of the expected undiscounted return."""
    mdp = enumerated(1.0)
    log_probs, table, _ = tables(policy, mdp)
    weights = mdp.gradient(table, 1.0)[:, np.flatnonzero(mdp.legal[0])].ravel()
    policy.zero_grad()
    (log_probs * torch.as_tensor(weights).float()).sum().backward()
    return flat_gradient(policy)


def learner_of(kind: Learner, policy: MLPPolicy, **options: Any) -> A2C | PPO:
    options = {"value_coef": 0.0, "normalize_advantages": False, **options}
    return A2C(policy, A2CConfig(**options)) if kind is A2C else PPO(policy, PPOConfig(**options))


def estimates(policy: MLPPolicy, learner: A2C | PPO, gamma: float) -> Floats:
    """One estimate a batch, ``[batches, parameters]``: of a sum over an episode's steps."""
    envs = make_envs(ENV_ID, SLOTS, {"shaping": "dense", "gamma": gamma})
    generator = torch.Generator().manual_seed(1)
    rows = []
    for number in range(ROUNDS):
        seeds = np.random.SeedSequence([2, number]).generate_state(SLOTS)
        episodes = collect(envs, policy, seeds=seeds.tolist(), generator=generator)
        for start in range(0, SLOTS, BATCH):
            batch = episodes[start : start + BATCH]
            learner.gradients(batch)
            length = sum(episode.num_steps for episode in batch) / BATCH
            rows.append(-flat_gradient(policy) * length)  # The loss is minus the mean of a step.
    envs.close()
    return np.stack(rows)


def deviations(sample: Floats, exact: Floats) -> Floats:
    """Distances in standard errors, by coordinate and, last, along the exact direction."""
    along = (sample @ exact / np.linalg.norm(exact))[:, None]
    sample = np.concatenate([sample, along], axis=1)
    exact = np.append(exact, np.linalg.norm(exact))
    error = sample.std(axis=0, ddof=1) / np.sqrt(len(sample))
    distance = np.abs(sample.mean(axis=0) - exact)
    distance[(error == 0) & (distance < 1e-7)] = 0.0  # Inputs that no context has.
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(distance / error, nan=0.0)


@pytest.mark.parametrize(
    ("kind", "gamma", "lam"),
    [(A2C, 1.0, 1.0), (A2C, 0.7, 0.5), (PPO, 1.0, 1.0), (PPO, 0.7, 0.5), (PPO, 1.0, 0.0)],
)
def test_first_step_follows_the_stated_direction_on_average(
    kind: Learner, gamma: float, lam: float
) -> None:
    policy = random_policy()
    stated = stated_direction(policy, gamma, lam)
    sample = estimates(policy, learner_of(kind, policy, gamma=gamma, gae_lambda=lam), gamma)
    distances = deviations(sample, stated)
    assert (distances > 0).sum() > 50
    assert distances[-1] < 3.0, f"{distances[-1]:.2f} standard errors off along the direction"
    assert distances.max() < LIMIT, f"{distances.max():.2f} standard errors off"
    if gamma == lam == 1.0:  # Without bias: the gradient of the expected return itself.
        np.testing.assert_allclose(stated, exact_gradient(policy), atol=1e-6)
    else:
        other = stated_direction(policy, 1.0, 1.0)
        assert deviations(sample, other).max() > 2 * LIMIT


@pytest.mark.parametrize(("n_steps", "gamma"), [(1, 0.8), (2, 1.0), (2, 0.7)])
def test_n_steps_follow_the_stated_direction(n_steps: int, gamma: float) -> None:
    policy = random_policy()
    stated = stated_direction(policy, gamma, 1.0, n_steps=n_steps)
    sample = estimates(policy, learner_of(A2C, policy, gamma=gamma, n_steps=n_steps), gamma)
    distances = deviations(sample, stated)
    assert distances[-1] < 3.0, f"{distances[-1]:.2f} standard errors off along the direction"
    assert distances.max() < LIMIT, f"{distances.max():.2f} standard errors off"
    assert deviations(sample, stated_direction(policy, gamma, 1.0)).max() > LIMIT
    if n_steps == 1:
        np.testing.assert_allclose(stated, stated_direction(policy, gamma, 0.0), atol=1e-6)


@pytest.mark.parametrize(
    ("penalty", "estimator"),
    [("reward", "k1"), ("reward", "k3"), ("loss", "k2"), ("loss", "k3")],
)
@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 1.0), (0.8, 0.5)])
def test_divergence_is_charged_as_stated(
    penalty: Literal["reward", "loss"], estimator: KLEstimator, gamma: float, lam: float
) -> None:
    policy, coef = random_policy(), 1.5
    options: dict[str, Any] = {"kl_coef": coef, "kl_penalty": penalty, "kl_estimator": estimator}
    learner = learner_of(PPO, policy, gamma=gamma, gae_lambda=lam, **options)
    reference = copy.deepcopy(policy)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    stated = stated_direction(policy, gamma, lam, Charged(reference, coef, penalty, estimator))
    sample = estimates(policy, learner, gamma)
    distances = deviations(sample, stated)
    assert distances[-1] < 3.0, f"{distances[-1]:.2f} standard errors off along the direction"
    assert distances.max() < LIMIT, f"{distances.max():.2f} standard errors off"
    assert deviations(sample, stated_direction(policy, gamma, lam)).max() > 2 * LIMIT


ONE: dict[str, Any] = {"learning_rate": 0.03, "schedule": "cosine", "value_coef": 1.0}
MANY: dict[str, Any] = {"learning_rate": 0.01, "schedule": "cosine", "gae_lambda": 0.9}
VALUES: dict[str, tuple[AlgorithmConfig, dict[str, Any]]] = {
    "a2c": (A2CConfig(gae_lambda=0.5, **ONE), MLP),
    "reinforce": (ReinforceConfig(baseline="learned", **ONE), MLP),
    "ppo": (PPOConfig(**MANY), MLP),
    "ppo, normalised": (PPOConfig(normalize_values=True, **MANY), MLP),
    "nlpo": (NLPOConfig(mask_top_p=0.9, **MANY), MLP),
    "trpo": (
        TRPOConfig(
            target_kl=1e-9,
            cg_iterations=1,
            line_search_steps=1,
            value_epochs=1,
            learning_rate=3e-3,
            gae_lambda=0.5,
        ),
        MLP,
    ),
    "a2c, language model": (A2CConfig(**ONE | {"learning_rate": 0.003}), LM),
    "ppo, separate critic": (
        PPOConfig(**MANY | {"learning_rate": 0.003}),
        LM | {"critic": "separate"},
    ),
}


MORE = ("a2c", "reinforce", "trpo", "a2c, language model")
"""Learners of few steps a batch, or small ones, which take more batches."""
SLOW = ("reinforce", "ppo", "a2c, language model", "ppo, separate critic", "nlpo", "trpo")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in VALUES]
)
def test_values_converge_to_those_of_the_policy(name: str) -> None:
    """The policy stays as it is, but for a language model's whose values share its layers."""
    config, network = VALUES[name]
    gamma, iterations, slots = 0.9, 600 if name in MORE else 200, 128
    config = replace(config, gamma=gamma, max_grad_norm=0.0)  # type: ignore[type-var]
    envs = make_envs(ENV_ID, slots, {"shaping": "dense", "gamma": gamma})
    torch.manual_seed(0)
    policy = build_policy(describe_policy(PolicyConfig(**network), envs))
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_((0.1 if network != MLP else 0.4) * torch.randn_like(parameter))
    fixed = getattr(policy, "actor", None) or (policy.model if "critic" in network else None)
    if fixed is not None and name != "trpo":
        fixed.requires_grad_(False)
    learner = next(kind for kind, c in ALGORITHMS.values() if c is type(config))(policy, config)
    mdp = enumerated(gamma)
    before, table = values_and_table(policy, mdp)
    generator = torch.Generator().manual_seed(1)
    for number in range(iterations):
        seeds = np.random.SeedSequence([3, number]).generate_state(slots).tolist()
        episodes = collect(envs, learner.behaviour, seeds=seeds, generator=generator)
        learner.update(episodes, progress=number / iterations)
    envs.close()
    after, after_table = values_and_table(policy, mdp)
    after = learner.scale.restore(after)
    if fixed is not None and name != "trpo":
        np.testing.assert_array_equal(table, after_table)
    if isinstance(learner, NLPO):
        after_table = restricted(after_table, 0.9)
    exact, visits = mdp.evaluate(after_table, gamma).v, mdp.visits(after_table, 1.0)

    def error(values: Floats) -> float:
        """Over the states as they are visited, the root of the mean square."""
        return float(np.sqrt(visits @ (values - exact) ** 2 / visits.sum()))

    spread = error(np.full(len(exact), visits @ exact / visits.sum()))
    assert error(before) > spread
    assert error(after) < 0.15 * spread, f"{error(after):.4f} of {spread:.4f}"


def values_and_table(policy: Policy, mdp: EnumeratedMDP) -> tuple[Floats, Floats]:
    """What acting says of each state: values ``[S]``, chances of the actions ``[S, V]``."""
    masks = mdp.legal
    values = policy.act(mdp.observations, action_masks=masks).values.astype(np.float64)
    table = policy.step_log_probs(mdp.observations, action_masks=masks).double().exp().numpy()
    policy.clear_cache()
    return values, table / table.sum(axis=1, keepdims=True)


def restricted(table: Floats, top_p: float) -> Floats:
    """Each row among its most probable actions, which reach ``top_p`` together."""
    order = np.argsort(-table, axis=1)
    sums = np.take_along_axis(table, order, axis=1).cumsum(axis=1)
    keep = np.zeros(table.shape, np.bool_)
    np.put_along_axis(keep, order, np.roll(sums, 1, axis=1) < top_p, axis=1)
    np.put_along_axis(keep, order[:, :1], True, axis=1)
    kept = np.where(keep, table, 0.0)
    return kept / kept.sum(axis=1, keepdims=True)
