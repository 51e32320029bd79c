"""The REINFORCE estimate, averaged over many batches, is the exact gradient of J.

The exact gradient comes from enumerating Tiny-v0, the estimates from the learner's own code on
episodes that its own rollout collected in the native vector environment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from textgym.envs.exact import enumerate_mdp
from textgym_agents.algorithms import Reinforce, ReinforceConfig, reinforce
from textgym_agents.policies import Episode, MLPPolicy
from textgym_agents.returns import Baseline, discounted_advantages
from textgym_agents.rollout import collect
from textgym_agents.runs.environments import make_envs

ENV_ID = "textgym:textgym/Tiny-v0"
BATCH = 4  # Episodes of two groups of two.
SLOTS, ROUNDS = 512, 12
LIMIT = 4.0  # Standard errors, of the worst of some 200 coordinates.

Floats = NDArray[np.float64]


def env_kwargs(gamma: float, shaping: str) -> dict[str, Any]:
    """With dense shaping there are rewards at every step, with terminal shaping one."""
    return {"shaping": shaping, "gamma": gamma}


def random_policy(envs: gym.vector.VectorEnv[Any, Any, Any]) -> MLPPolicy:
    """Far from uniform, with values far from 0."""
    torch.manual_seed(0)
    policy = MLPPolicy.from_env(envs, hidden_sizes=(6,))
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.4 * torch.randn_like(parameter))
    return policy


def flat_gradient(policy: MLPPolicy) -> Floats:
    """The actor's gradient as one vector."""
    gradients = [parameter.grad for parameter in policy.actor.parameters()]
    return torch.cat([g.flatten() for g in gradients if g is not None]).double().numpy()


def exact_gradient(policy: MLPPolicy, gamma: float, shaping: str) -> Floats:
    """The sum over s, a of visits(s) pi(a|s) A(s, a) grad log pi(a|s), enumerated."""
    env = gym.make(ENV_ID, **env_kwargs(gamma, shaping))
    mdp = enumerate_mdp(env, examples=range(4))
    legal = np.flatnonzero(mdp.legal[0])
    states = np.repeat(np.arange(len(mdp.start)), len(legal))
    actions = np.tile(legal, len(mdp.start))
    blank = np.zeros(len(states))
    every_choice = Episode(
        slot=0,
        group=0,
        observations=mdp.observations[states],
        actions=actions,
        log_probs=blank.astype(np.float32),
        values=blank.astype(np.float32),
        rewards=blank,
        action_masks=mdp.legal[0],
    )
    log_probs = policy.evaluate([every_choice]).log_probs
    table = np.zeros(mdp.rewards.shape)
    table[states, actions] = log_probs.detach().double().exp().numpy()
    table /= table.sum(axis=1, keepdims=True)
    weights = mdp.visits(table, gamma)[:, None] * table * mdp.evaluate(table, gamma).advantage
    policy.zero_grad()
    (log_probs * torch.as_tensor(weights[states, actions]).float()).sum().backward()
    return flat_gradient(policy)


def estimates(policy: MLPPolicy, config: ReinforceConfig, shaping: str) -> Floats:
    """One estimate of the gradient a batch: ``[batches, parameters]``."""
    learner = Reinforce(policy, config)
    envs = make_envs(ENV_ID, SLOTS, env_kwargs(config.gamma, shaping))
    generator = torch.Generator().manual_seed(1)
    rows = []
    for number in range(ROUNDS):
        seeds = np.random.SeedSequence([2, number]).generate_state(SLOTS // 2).repeat(2)
        best = {}
        if learner.greedy_rollout:
            greedy = collect(envs, policy, seeds=seeds.tolist(), deterministic=True)
            best = {episode.group: learner.whole_return(episode) for episode in greedy}
        episodes = collect(envs, policy, seeds=seeds.tolist(), generator=generator)
        for episode in episodes:
            episode.greedy_return = best.get(episode.group)
        for start in range(0, SLOTS, BATCH):
            learner.gradients(episodes[start : start + BATCH])
            rows.append(-flat_gradient(policy))  # The loss is minus the objective.
    envs.close()
    return np.stack(rows)


def deviations(sample: Floats, exact: Floats) -> Floats:
    """Distances in standard errors, by coordinate and, last, along the exact gradient."""
    along = (sample @ exact / np.linalg.norm(exact))[:, None]
    sample = np.concatenate([sample, along], axis=1)
    exact = np.append(exact, np.linalg.norm(exact))
    error = sample.std(axis=0, ddof=1) / np.sqrt(len(sample))
    distance = np.abs(sample.mean(axis=0) - exact)
    distance[(error == 0) & (distance < 1e-7)] = 0.0  # Inputs that no context has.
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(distance / error, nan=0.0)


def measure(baseline: Baseline, gamma: float, shaping: str) -> Floats:
    envs = make_envs(ENV_ID, 1, env_kwargs(gamma, shaping))
    policy = random_policy(envs)
    envs.close()
    config = ReinforceConfig(
        baseline=baseline, gamma=gamma, value_coef=0.0, group_size=2, max_tokens_per_pass=0
    )
    exact = exact_gradient(policy, gamma, shaping)
    return deviations(estimates(policy, config, shaping), exact)


@pytest.mark.parametrize(("gamma", "shaping"), [(1.0, "dense"), (0.9, "dense"), (0.9, "terminal")])
@pytest.mark.parametrize("baseline", ["none", "batch_mean", "leave_one_out", "learned", "greedy"])
def test_mean_estimate_is_the_exact_gradient(
    baseline: Baseline, gamma: float, shaping: str
) -> None:
    distances = measure(baseline, gamma, shaping)
    assert (distances > 0).sum() > 50
    assert distances[-1] < 3.0, f"{distances[-1]:.2f} standard errors off along the gradient"
    assert distances.max() < LIMIT, f"{distances.max():.2f} standard errors off"


def with_own_mean(
    returns: Sequence[Floats], gamma: float, baseline: Baseline, **_: object
) -> list[Floats]:
    mean = np.mean([episode[0] for episode in returns])
    return [np.full(len(episode), episode[0] - mean) for episode in returns]


def without_gamma_to_the_t(
    returns: Sequence[Floats], gamma: float, baseline: Baseline, **kwargs: Any
) -> list[Floats]:
    advantages = discounted_advantages(returns, gamma, baseline, **kwargs)
    return [a / gamma ** np.arange(len(a)) for a in advantages]


def without_the_own_reward(
    returns: Sequence[Floats], gamma: float, baseline: Baseline, **kwargs: Any
) -> list[Floats]:
    """The return from the next step on."""
    return [gamma ** np.arange(len(r)) * np.append(r[1:], 0.0) for r in returns]


@pytest.mark.parametrize(
    ("wrong", "baseline", "gamma", "shaping"),
    [
        (with_own_mean, "batch_mean", 1.0, "dense"),
        (without_gamma_to_the_t, "none", 0.5, "terminal"),
        (without_gamma_to_the_t, "learned", 0.5, "terminal"),
        (without_the_own_reward, "none", 0.9, "dense"),
    ],
)
def test_a_wrong_estimator_is_found_out(
    wrong: Callable[..., list[Floats]],
    baseline: Baseline,
    gamma: float,
    shaping: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reinforce, "discounted_advantages", wrong)
    assert measure(baseline, gamma, shaping).max() > 2 * LIMIT
