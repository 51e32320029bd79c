"""A multilayer perceptron for observations that are numbers, or a few symbols."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from textgym_agents.policies.base import (
    Actions,
    ArrayStore,
    Contexts,
    Episode,
    Evaluation,
    Observations,
    ObservationStore,
    Policy,
)
from textgym_agents.policies.masks import flat_masks, legal_actions
from textgym_agents.policies.sampling import Sampling, choose, entropy, gather, process_logits

_MAX_SYMBOLS = 1_024


class OneHot(nn.Module):
    """Integers in ``[low, low + count)`` to one-hot vectors: ``[M, D]`` to ``[M, D * count]``."""

    def __init__(self, low: int, count: int) -> None:
        super().__init__()
        self._low, self._count = low, count

    def forward(self, observations: Tensor) -> Tensor:
        """Encode int64 ``[M, D]``."""
        symbols = observations.long() - self._low
        return nn.functional.one_hot(symbols, self._count).float().flatten(1)


class MLPPolicy(Policy):
    """Separate actor and critic trunks on a flattened observation.

    Observation spaces: Box of floats (flattened); Box of integers with at most 1,024 values and
    Discrete (one-hot a position); a Dict that has one of these under ``input_ids`` or ``obs``.
    Weights start orthogonal with gain sqrt(2), 0.01 for the actor's head and 1 for the critic's
    (Huang et al. 2022, "The 37 implementation details of PPO").

    Args:
        observation_space: One environment's observation space.
        action_space: One environment's action space.
        hidden_sizes: Width of each hidden layer of either trunk.
        sampling: Temperature, top-k and top-p.

    Raises:
        ValueError: If a space is not one of the above.
    """

    def __init__(
        self,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        hidden_sizes: Sequence[int] = (64, 64),
        sampling: Sampling | None = None,
    ) -> None:
        super().__init__()
        self._key, space = _select(observation_space)
        self._shape = tuple(space.shape or ())
        self.encoder, size = _encoder(space)
        self.num_actions, self._action_start = _discrete(action_space)
        self.sampling = sampling or Sampling()
        self.actor = _trunk(size, hidden_sizes, self.num_actions, head_gain=0.01)
        self.critic = _trunk(size, hidden_sizes, 1, head_gain=1.0)

    @classmethod
    def from_env(cls, envs: gym.vector.VectorEnv[Any, Any, Any], **kwargs: Any) -> MLPPolicy:
        """A policy for the spaces of a vector environment; ``kwargs`` go to the constructor."""
        return cls(envs.single_observation_space, envs.single_action_space, **kwargs)

    def make_store(self, num_envs: int) -> ObservationStore:
        """A store that keeps each observation, without the action mask of a Dict."""
        return ArrayStore(num_envs, exclude=("action_mask",))

    @torch.no_grad()
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
        features = self._features(observations)
        num_envs = len(features)
        active = np.ones(num_envs, np.bool_) if active is None else active
        mask = legal_actions(action_masks, active, self.num_actions, self.device)
        log_probs = process_logits(self.actor(features), self.sampling, mask)
        actions = choose(log_probs, generator, deterministic)
        chosen = gather(log_probs, actions).float().cpu().numpy()
        values = self.critic(features).squeeze(-1).float().cpu().numpy()
        if not np.isfinite(chosen[active]).all():
            raise ValueError("the policy's logits are not finite; were its weights or inputs NaN?")
        return Actions(
            actions.cpu().numpy() + self._action_start,
            np.where(active, chosen, np.float32(0)),
            np.where(active, values, np.float32(0)),
        )

    def evaluate(self, episodes: Sequence[Episode]) -> Evaluation:
        """Evaluate every step of the episodes; see `Policy.evaluate`."""
        features = self._all_features(episodes)
        log_probs, chosen = self._distributions(features, episodes)
        return Evaluation(
            gather(log_probs, chosen), entropy(log_probs), self.critic(features).squeeze(-1)
        )

    @torch.no_grad()
    def step_log_probs(
        self,
        observations: Observations,
        *,
        action_masks: NDArray[np.bool_] | None = None,
        active: NDArray[np.bool_] | None = None,
    ) -> Tensor:
        """The distribution `act` draws from; see `Policy.step_log_probs`."""
        features = self._features(observations)
        active = np.ones(len(features), np.bool_) if active is None else active
        mask = legal_actions(action_masks, active, self.num_actions, self.device)
        return process_logits(self.actor(features), self.sampling, mask)

    def episode_log_probs(self, episodes: Sequence[Episode]) -> Tensor:
        """The distributions of every step; see `Policy.episode_log_probs`."""
        return self._distributions(self._all_features(episodes), episodes)[0]

    def _distributions(
        self, features: Tensor, episodes: Sequence[Episode]
    ) -> tuple[Tensor, Tensor]:
        """Log-probabilities ``[M, V]`` and the columns ``[M]`` of the actions taken."""
        actions = np.concatenate([episode.actions for episode in episodes]) - self._action_start
        chosen = torch.from_numpy(actions).to(self.device)
        mask = flat_masks(episodes, self.num_actions, self.device)
        return process_logits(self.actor(features), self.sampling, mask, keep=chosen), chosen

    def _all_features(self, episodes: Sequence[Episode]) -> Tensor:
        return torch.cat([self._features(_arrays(episode)) for episode in episodes])

    def _features(self, observations: Observations) -> Tensor:
        if isinstance(observations, Mapping):
            if self._key is None or self._key not in observations:
                raise ValueError(
                    f"observations have the keys {sorted(observations)}; this policy was built "
                    f"for {'a plain array' if self._key is None else f'the key {self._key!r}'}"
                )
            observations = observations[self._key]
        if observations.shape[1:] != self._shape:
            raise ValueError(
                f"observations have the shape {observations.shape[1:]} after the first "
                f"dimension; this policy was built for {self._shape}"
            )
        batch = torch.tensor(observations, device=self.device).reshape(len(observations), -1)
        encoded: Tensor = self.encoder(batch if isinstance(self.encoder, OneHot) else batch.float())
        return encoded


def _arrays(episode: Episode) -> Observations:
    if isinstance(episode.observations, Contexts):
        raise ValueError("these episodes were collected by a language-model policy, not by an MLP")
    return episode.observations


def _select(space: gym.Space[Any]) -> tuple[str | None, gym.Space[Any]]:
    """The part of an observation space that the network reads, and its key in a Dict."""
    if not isinstance(space, gym.spaces.Dict):
        return None, space
    for key in ("input_ids", "obs"):
        if key in space.spaces:
            return key, space[key]
    raise ValueError(
        f"a Dict observation needs 'input_ids' or 'obs', got the keys {sorted(space.spaces)}; "
        "wrap the environment in gymnasium.wrappers.FlattenObservation to use all of them"
    )


def _encoder(space: gym.Space[Any]) -> tuple[nn.Module, int]:
    """A module from ``[M, D]`` to ``[M, size]`` floats, and that size."""
    if isinstance(space, gym.spaces.Discrete):
        return OneHot(int(space.start), int(space.n)), int(space.n)
    if not isinstance(space, gym.spaces.Box):
        raise ValueError(f"MLPPolicy takes Box, Discrete or Dict observations, got {space}")
    size = math.prod(space.shape)
    if not np.issubdtype(space.dtype, np.integer):
        return nn.Identity(), size
    low, high = int(space.low.min()), int(space.high.max())
    count = high - low + 1
    if count > _MAX_SYMBOLS:
        raise ValueError(
            f"an integer Box with {count:,} values is too wide for one-hot vectors (at most "
            f"{_MAX_SYMBOLS:,}); use CausalLMPolicy for token ids, or a float Box for numbers"
        )
    return OneHot(low, count), size * count


def _discrete(space: gym.Space[Any]) -> tuple[int, int]:
    if not isinstance(space, gym.spaces.Discrete):
        raise ValueError(f"MLPPolicy takes a Discrete action space, got {space}")
    return int(space.n), int(space.start)


def _trunk(size: int, hidden_sizes: Sequence[int], out: int, *, head_gain: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in hidden_sizes:
        layers += [_orthogonal(nn.Linear(size, width), math.sqrt(2)), nn.Tanh()]
        size = width
    return nn.Sequential(*layers, _orthogonal(nn.Linear(size, out), head_gain))


def _orthogonal(layer: nn.Linear, gain: float) -> nn.Linear:
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer
