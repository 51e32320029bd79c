"""A multilayer perceptron for observations that are numbers, or a few symbols."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from textgym_agents.policies.base import (
    Actions,
    Contexts,
    Episode,
    Evaluation,
    Observations,
    ObservationStore,
    Policy,
    joined,
)
from textgym_agents.policies.distributions import Categorical, distribution_for
from textgym_agents.policies.features import Features, LeafStore, leaves
from textgym_agents.policies.masks import flat_masks, legal_actions
from textgym_agents.policies.sampling import Sampling, process_logits


class MLPPolicy(Policy):
    """Separate actor and critic trunks on a flattened observation.

    Observation spaces: Box, Discrete, MultiDiscrete, MultiBinary, and Dict and Tuple of these; see
    `Features`. Action spaces: Discrete, MultiDiscrete and MultiBinary (`Categorical`), Box of
    floats (`Gaussian`). Weights start orthogonal with gain sqrt(2), 0.01 for the actor's head and 1
    for the critic's (Huang et al. 2022, "The 37 implementation details of PPO").

    Args:
        observation_space: One environment's observation space.
        action_space: One environment's action space.
        hidden_sizes: Width of each hidden layer of either trunk.
        sampling: What changes the distribution that actions are sampled from.

    Raises:
        ValueError: If a space is not one of the above, or its actions cannot be sampled so.
    """

    def __init__(
        self,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        hidden_sizes: Sequence[int] = (64, 64),
        sampling: Sampling | None = None,
    ) -> None:
        super().__init__()
        self.features = Features(observation_space)
        self.distribution = distribution_for(action_space)
        self.sampling = sampling or Sampling()
        self.distribution.check(self.sampling)
        size, num_outputs = self.features.size, self.distribution.num_outputs
        self.actor = _trunk(size, hidden_sizes, num_outputs, head_gain=0.01)
        self.critic = _trunk(size, hidden_sizes, 1, head_gain=1.0)

    @classmethod
    def from_env(cls, envs: gym.vector.VectorEnv[Any, Any, Any], **kwargs: Any) -> MLPPolicy:
        """A policy for the spaces of a vector environment; ``kwargs`` go to the constructor."""
        return cls(envs.single_observation_space, envs.single_action_space, **kwargs)

    def value_parameters(self) -> list[nn.Parameter]:
        """The critic's; see `Policy.value_parameters`."""
        return list(self.critic.parameters())

    def make_store(self, num_envs: int) -> ObservationStore:
        """A store that keeps what the features are made of."""
        return LeafStore(num_envs, self.features.paths)

    @torch.inference_mode()
    def act(
        self,
        observations: Observations,
        *,
        action_masks: NDArray[np.bool_] | None = None,
        active: NDArray[np.bool_] | None = None,
        generator: torch.Generator | None = None,
        deterministic: bool = False,
    ) -> Actions:
        """Choose one action a slot; see `Policy.act`."""
        features = self.features(observations, self.device)
        active = np.ones(len(features), np.bool_) if active is None else active
        mask = self._mask(action_masks, active, features.device)
        actions, log_probs, kept = self.distribution.draw(
            self.actor(features), self.sampling, mask, generator, deterministic
        )
        chosen: NDArray[np.float32] = log_probs.float().cpu().numpy()
        values: NDArray[np.float32] = self.critic(features)[:, 0].float().cpu().numpy()
        if not np.isfinite(chosen).all() and not np.isfinite(chosen[active]).all():
            raise ValueError("the policy's logits are not finite; were its weights or inputs NaN?")
        if not active.all():
            chosen = np.where(active, chosen, np.float32(0))
            values = np.where(active, values, np.float32(0))
        return Actions(actions, chosen, values, kept)

    def evaluate(self, episodes: Sequence[Episode]) -> Evaluation:
        """Evaluate every step of the episodes; see `Policy.evaluate`."""
        features = self._all_features(episodes)
        log_probs, entropy = self.distribution.evaluate(
            self.actor(features),
            np.concatenate([episode.actions for episode in episodes]),
            self.sampling,
            self._flat_mask(episodes),
            joined(episodes, "kept"),
        )
        return Evaluation(log_probs, entropy, self.critic(features).squeeze(-1))

    def values(self, episodes: Sequence[Episode]) -> Tensor:
        """The values of every step; see `Policy.values`."""
        found: Tensor = self.critic(self._all_features(episodes)).squeeze(-1)
        return found

    @torch.no_grad()
    def step_log_probs(
        self,
        observations: Observations,
        *,
        action_masks: NDArray[np.bool_] | None = None,
        active: NDArray[np.bool_] | None = None,
    ) -> Tensor:
        """The distribution `act` draws from, of Discrete actions; see `Policy.step_log_probs`."""
        self._listed()
        features = self.features(observations, self.device)
        active = np.ones(len(features), np.bool_) if active is None else active
        mask = self._mask(action_masks, active, features.device)
        return process_logits(self.actor(features), self.sampling, mask)

    def episode_log_probs(self, episodes: Sequence[Episode]) -> Tensor:
        """The distributions of all steps' Discrete actions; see `Policy.episode_log_probs`."""
        self._listed()
        return self.episode_distributions(episodes)[:, 0]

    def episode_distributions(self, episodes: Sequence[Episode]) -> Tensor:
        """What makes up each step's distribution; see `Policy.episode_distributions`."""
        return self.distribution.describe(
            self.actor(self._all_features(episodes)),
            np.concatenate([episode.actions for episode in episodes]),
            self.sampling,
            self._flat_mask(episodes),
            joined(episodes, "kept"),
        )

    def read_distributions(
        self, distributions: Tensor, episodes: Sequence[Episode]
    ) -> tuple[Tensor, Tensor]:
        """Log-probabilities and entropies; see `Policy.read_distributions`."""
        actions = np.concatenate([episode.actions for episode in episodes])
        return self.distribution.read(distributions, actions)

    def divergence(self, distributions: Tensor, others: Tensor) -> Tensor:
        """KL(distribution || other) of each step; see `Policy.divergence`."""
        return self.distribution.divergence(distributions, others)

    def _listed(self) -> None:
        if not isinstance(self.distribution, Categorical) or not self.distribution.single:
            raise ValueError("the probabilities of all actions are listed for Discrete spaces only")

    def _mask(
        self,
        action_masks: NDArray[np.bool_] | None,
        active: NDArray[np.bool_],
        device: torch.device,
    ) -> Tensor | None:
        width, starts = self.distribution.num_outputs, self.distribution.starts
        return legal_actions(action_masks, active, width, device, starts)

    def _flat_mask(self, episodes: Sequence[Episode]) -> Tensor | None:
        return flat_masks(episodes, self.distribution.num_outputs, self.device)

    def _all_features(self, episodes: Sequence[Episode]) -> Tensor:
        parts = [leaves(_arrays(episode)) for episode in episodes]
        whole = {path: np.concatenate([part[path] for part in parts]) for path in parts[0]}
        return self.features(whole, self.device)


def _arrays(episode: Episode) -> Observations:
    if isinstance(episode.observations, Contexts):
        raise ValueError("these episodes were collected by a language-model policy, not by an MLP")
    return episode.observations


class _Trunk(nn.Sequential):
    """Linear layers, Tanh between them; run without a call of a module each, for small batches."""

    def forward(self, features: Tensor) -> Tensor:
        *hidden, head = [layer for layer in self if isinstance(layer, nn.Linear)]
        for layer in hidden:
            features = nn.functional.linear(features, layer.weight, layer.bias).tanh()
        return nn.functional.linear(features, head.weight, head.bias)


def _trunk(size: int, hidden_sizes: Sequence[int], out: int, *, head_gain: float) -> _Trunk:
    layers: list[nn.Module] = []
    for width in hidden_sizes:
        layers += [_orthogonal(nn.Linear(size, width), math.sqrt(2)), nn.Tanh()]
        size = width
    return _Trunk(*layers, _orthogonal(nn.Linear(size, out), head_gain))


def _orthogonal(layer: nn.Linear, gain: float) -> nn.Linear:
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer
