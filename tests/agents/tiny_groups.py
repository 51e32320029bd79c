"""Groups of episodes of Tiny-v0, all of them: what estimators that compare are averaged over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from textgym.envs.exact import EnumeratedMDP, enumerate_mdp
from textgym_agents.algorithms import AlgorithmConfig
from textgym_agents.algorithms.epochs import EpochAlgorithm
from textgym_agents.policies import Episode, MLPPolicy
from textgym_agents.rollout import collect
from textgym_agents.runs.config import TrainConfig
from textgym_agents.runs.environments import make_envs
from textgym_agents.train import TrainResult, train

ENV_ID = "textgym:textgym/Tiny-v0"

Floats = NDArray[np.float64]


def random_policy(seed: int = 0) -> MLPPolicy:
    """For Tiny-v0, far from uniform."""
    envs = make_envs(ENV_ID, 1)
    torch.manual_seed(seed)
    policy = MLPPolicy.from_env(envs, hidden_sizes=(6,))
    envs.close()
    move(policy, 0.4)
    return policy


def move(policy: MLPPolicy, size: float) -> None:
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(size * torch.randn_like(parameter))


def flat_gradient(policy: MLPPolicy) -> Floats:
    """The actor's gradient as one vector."""
    gradients = [parameter.grad for parameter in policy.actor.parameters()]
    return torch.cat([g.flatten() for g in gradients if g is not None]).double().numpy()


@dataclass(frozen=True, slots=True)
class Tree:
    """Every episode of every prompt: ``episodes[prompt][k]``."""

    episodes: list[list[Episode]]

    @classmethod
    def of(cls, policy: MLPPolicy, num_prompts: int = 4) -> Tree:
        """With the policy's log-probabilities as the behaviour's; the environment has 4 prompts."""
        mdp = enumerate_mdp(gym.make(ENV_ID), examples=range(num_prompts))
        tree = [_walk(mdp, root, []) for root in np.flatnonzero(mdp.start)]
        for episodes in tree:
            for episode in episodes:
                with torch.no_grad():
                    episode.log_probs = policy.evaluate([episode]).log_probs.numpy()
        return cls(tree)

    def all(self) -> list[Episode]:
        """The episodes of one prompt after another."""
        return [episode for prompt in self.episodes for episode in prompt]

    def log_probs(self, policy: MLPPolicy) -> torch.Tensor:
        """Of the whole episodes, differentiable: ``[prompts, K]``."""
        rows = []
        for episodes in self.episodes:
            each = policy.evaluate(episodes).log_probs.split([e.num_steps for e in episodes])
            rows.append(torch.stack([steps.sum() for steps in each]))
        return torch.stack(rows).double()

    def objective_gradient(
        self,
        policy: MLPPolicy,
        value: Callable[[torch.Tensor], torch.Tensor],
    ) -> Floats:
        """Of the mean over prompts of ``sum_k p_k value_k``, by autograd.

        Args:
            policy: Gives ``p``.
            value: From the log-probabilities ``[prompts, K]`` to what the episodes are worth.
        """
        log_probs = self.log_probs(policy)
        policy.zero_grad()
        torch.autograd.backward((log_probs.exp() * value(log_probs)).sum(1).mean())
        return flat_gradient(policy)

    def returns(self) -> torch.Tensor:
        """``[prompts, K]``, undiscounted."""
        return torch.tensor([[e.total_reward for e in prompt] for prompt in self.episodes])

    def lengths(self) -> torch.Tensor:
        """``[prompts, K]``."""
        return torch.tensor([[e.num_steps for e in prompt] for prompt in self.episodes])

    def mean_estimate(self, learner: EpochAlgorithm[Any]) -> Floats:
        """The learner's gradient of a batch of one group of two, its exact expectation."""
        policy = learner.policy
        assert isinstance(policy, MLPPolicy)
        probabilities = self.log_probs(policy).detach().exp().numpy()
        assert np.allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
        total = np.zeros(sum(p.numel() for p in policy.actor.parameters()))
        for prompt, episodes in enumerate(self.episodes):
            for i, first in enumerate(episodes):
                for j, second in enumerate(episodes[: i + 1]):
                    chance = probabilities[prompt, i] * probabilities[prompt, j]
                    chance *= (1 if i == j else 2) / len(self.episodes)  # Either order is as good.
                    learner.gradients([replace(first, slot=0), replace(second, slot=1)])
                    total += chance * flat_gradient(policy)
        return total


def _walk(mdp: EnumeratedMDP, state: int, before: list[tuple[int, int]]) -> list[Episode]:
    """All episodes that begin with the states and actions of ``before``."""
    if state < 0:
        states, actions = (list(column) for column in zip(*before, strict=True))
        blank = np.zeros(len(actions), np.float32)
        return [
            Episode(
                slot=0,
                group=0,
                observations=mdp.observations[states],
                actions=np.array(actions),
                log_probs=blank,
                values=blank,
                rewards=mdp.rewards[states, actions],
                action_masks=mdp.legal[0],
            )
        ]
    found = []
    for action in np.flatnonzero(mdp.legal[state]):
        after = int(mdp.successors[state, action])
        found += _walk(mdp, after, [*before, (state, int(action))])
    return found


def sampled_estimates(learner: EpochAlgorithm[Any], group_size: int, rounds: int) -> Floats:
    """The learner's gradients of batches of one group each, from rollouts: ``[batches, P]``."""
    policy, slots = learner.policy, 64 * group_size
    assert isinstance(policy, MLPPolicy)
    envs = make_envs(ENV_ID, slots)
    generator = torch.Generator().manual_seed(1)
    rows = []
    for number in range(rounds):
        seeds = np.random.SeedSequence([3, number]).generate_state(64).repeat(group_size)
        episodes = collect(envs, policy, seeds=seeds.tolist(), generator=generator)
        for start in range(0, slots, group_size):
            learner.gradients(episodes[start : start + group_size])
            rows.append(flat_gradient(policy))
    envs.close()
    return np.stack(rows)


def standard_errors(sample: Floats, exact: Floats) -> tuple[Floats, float]:
    """How far the sample's mean is off, in standard errors: by coordinate, and along ``exact``."""

    def off(numbers: Floats, expected: Floats) -> Floats:
        error = numbers.std(axis=0, ddof=1) / np.sqrt(len(numbers))
        distance = np.abs(numbers.mean(axis=0) - expected)
        distance[distance < 1e-7] = 0.0  # Inputs that no context has.
        return distance / np.maximum(error, 1e-12)

    norm = float(np.linalg.norm(exact))
    along = off((sample @ exact / norm)[:, None], np.array([norm]))
    return off(sample, exact), float(along[0])


def run(output: Path, algorithm: AlgorithmConfig, **options: Any) -> TrainResult:
    """A short training run on CartPole, or elsewhere."""
    base: dict[str, Any] = {
        "env_id": "CartPole-v1",
        "num_envs": 16,
        "tensorboard": False,
        "progress": False,
    }
    return train(TrainConfig(output=output, **{**base, **options}), algorithm)
