"""What a learner sees of a policy: it acts in environments and evaluates finished episodes."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, TypeAlias

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from textgym_agents.policies.sampling import Sampling, categorical_kl, entropy, gather

Observations: TypeAlias = NDArray[Any] | Mapping[str, NDArray[Any]]
"""A batch of observations: an array ``[N, *obs]``, or a mapping of such arrays (a Dict space).

Nested spaces give nested mappings and tuples, for policies that take them.
"""


@dataclass(frozen=True, slots=True)
class Contexts:
    """An episode's observations for a language model, in O(tokens) memory.

    Every context of the episode is a beginning of the last one, so that the last one and the
    lengths say it all: the observation of step ``t`` is ``tokens[: lengths[t]]``.

    Attributes:
        tokens: int64 ``[L]``, the context of the episode's last step, without padding.
        lengths: int64 ``[T]``, the length of the context at each step, ``1 <= length <= L``.
    """

    tokens: NDArray[np.int64]
    lengths: NDArray[np.int64]


@dataclass(kw_only=True, slots=True)
class Episode:
    """One complete episode of ``T`` steps, or a part of one.

    Attributes:
        slot: The vector environment's slot it ran in.
        group: Episodes with the same number began with the same seed and are the same ordinal
            since that seed, so text environments gave them the same prompt.
        observations: What the policy saw at each step, as the policy's store keeps it:
            ``[T, *obs]``, a mapping of such arrays, or `Contexts`.
        actions: int64 ``[T]`` (Discrete) or ``[T, K]`` (MultiDiscrete, its components in a row);
            float32 ``[T, D]`` (Box), not clipped to its bounds.
        log_probs: float32 ``[T]``, natural logarithm of the probability (Box: the density) of each
            action under the distribution it was sampled from (temperature, filters, epsilon and
            mask included).
        values: float32 ``[T]``, the policy's value of each observation.
        rewards: float64 ``[T]``.
        kept: int64 ``[T]`` (Discrete) or ``[T, K]`` (several components), how many actions the
            filters (top-k, top-p, min-p) left at each step, times -1 where epsilon drew one that
            they had not left; None where the policy has no filters, or does not say.
        action_masks: Legal actions, bool: ``[V]`` if the same at every step, ``[T, V]`` if not,
            None if the environment names none. ``V`` is the sum of the components' sizes where
            an action has several.
        choices: uint8 ``[T, ceil(V / 8)]``, a bit for each action (`numpy.packbits`): those among
            which a policy that restricts itself chose, in place of the legal ones. None where it
            chose among these.
        terminated: The last step reached a terminal state.
        truncated: The episode was cut (a time limit) in a state that is not terminal.
        out_of_steps: It was the rollout that cut it, since the slot had its steps, so that the
            sum of the rewards is not an episode's return.
        earlier_steps: Steps that the episode had before these, where it began in an earlier rollout
            (`Ongoing`).
        earlier_reward: The sum of their rewards.
        final_value: The policy's value of the observation after the last step if the episode
            was truncated and not terminated, else 0. Returns bootstrap from it.
        info: The environment's info of the last step, this slot's part.
        greedy_return: The return of the most probable actions from the same seed, discounted as
            the algorithm discounts, where it asks for it.
    """

    slot: int
    group: int
    observations: NDArray[Any] | dict[str, NDArray[Any]] | Contexts
    actions: NDArray[Any]
    log_probs: NDArray[np.float32]
    values: NDArray[np.float32]
    rewards: NDArray[np.float64]
    kept: NDArray[np.int64] | None = None
    action_masks: NDArray[np.bool_] | None = None
    choices: NDArray[np.uint8] | None = None
    terminated: bool = True
    truncated: bool = False
    out_of_steps: bool = False
    earlier_steps: int = 0
    earlier_reward: float = 0.0
    final_value: float = 0.0
    info: dict[str, Any] = field(default_factory=dict)
    greedy_return: float | None = None

    @property
    def num_steps(self) -> int:
        """The number of steps ``T``."""
        return len(self.actions)

    def some_steps(self, steps: slice | NDArray[np.int64]) -> Episode:
        """An episode of some of the steps, of observations that are arrays."""
        seen: Any = self.observations
        masks = self.action_masks
        return replace(
            self,
            observations={key: array[steps] for key, array in seen.items()}
            if isinstance(seen, dict)
            else seen[steps],
            actions=self.actions[steps],
            log_probs=self.log_probs[steps],
            values=self.values[steps],
            rewards=self.rewards[steps],
            kept=None if self.kept is None else self.kept[steps],
            action_masks=masks if masks is None or masks.ndim == 1 else masks[steps],
            choices=None if self.choices is None else self.choices[steps],
        )

    @property
    def total_reward(self) -> float:
        """The undiscounted sum of the rewards."""
        return float(self.rewards.sum())


def joined(episodes: Sequence[Episode], name: Literal["kept", "choices"]) -> NDArray[Any] | None:
    """An array of all the episodes' steps, one after another; None if an episode has none."""
    arrays = [array for episode in episodes if (array := getattr(episode, name)) is not None]
    return np.concatenate(arrays) if len(arrays) == len(episodes) else None


@dataclass(frozen=True, slots=True)
class Actions:
    """What a policy chose in ``N`` slots.

    Attributes:
        actions: int64 ``[N]`` or ``[N, K]``, or float32 ``[N, D]``; see `Episode`.
        log_probs: float32 ``[N]``, 0 in inactive slots.
        values: float32 ``[N]``, 0 in inactive slots.
        kept: int64 ``[N]``, ``[N, K]`` or None; see `Episode`.
        choices: uint8 ``[N, ceil(V / 8)]`` or None; see `Episode`.
    """

    actions: NDArray[Any]
    log_probs: NDArray[np.float32]
    values: NDArray[np.float32]
    kept: NDArray[np.int64] | None = None
    choices: NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Differentiable quantities of ``M`` steps, the steps of the episodes one after another.

    Attributes:
        log_probs: float ``[M]``, of the actions taken, under the distribution sampled from.
        entropy: float ``[M]``, of that distribution, in nats.
        values: float ``[M]``.
    """

    log_probs: Tensor
    entropy: Tensor
    values: Tensor


class ObservationStore(ABC):
    """Collects each slot's observations until its episode ends."""

    @abstractmethod
    def add(self, observations: Observations, active: NDArray[np.bool_]) -> None:
        """Append the observations ``[N, ...]`` of the slots where ``active`` (bool ``[N]``)."""

    @abstractmethod
    def finish(self, slot: int) -> NDArray[Any] | dict[str, NDArray[Any]] | Contexts:
        """Hand over what was stored for the slot since it last finished, and forget it."""


class ArrayStore(ObservationStore):
    """Keeps every observation whole: ``[T, *obs]``, or a mapping of such arrays.

    Args:
        num_envs: The number of slots.
        exclude: Keys of a mapping that are not stored (an action mask lives in the episode).
    """

    def __init__(self, num_envs: int, exclude: Sequence[str] = ()) -> None:
        self._exclude = frozenset(exclude)
        self._rows: list[list[Any]] = [[] for _ in range(num_envs)]

    def add(self, observations: Observations, active: NDArray[np.bool_]) -> None:
        """Copy the active slots' rows."""
        for slot in np.flatnonzero(active):
            if isinstance(observations, Mapping):
                row: Any = {
                    key: np.array(value[slot])
                    for key, value in observations.items()
                    if key not in self._exclude
                }
            else:
                row = np.array(observations[slot])
            self._rows[slot].append(row)

    def finish(self, slot: int) -> NDArray[Any] | dict[str, NDArray[Any]] | Contexts:
        """Stack the slot's rows."""
        rows, self._rows[slot] = self._rows[slot], []
        if rows and isinstance(rows[0], dict):
            return {key: np.stack([row[key] for row in rows]) for key in rows[0]}
        return np.stack(rows)


class Policy(nn.Module, ABC):
    """A distribution over actions and a value, both functions of the observation.

    `act` chooses actions in a vector environment; `evaluate` gives the same distribution's
    log-probabilities of stored episodes with gradients. Both work with any `Episode` and any
    observations that the policy's own store keeps.

    Attributes:
        sampling: How logits become the distribution.
        begins_midway: Its store can begin with any observation of an episode.
    """

    sampling: Sampling = Sampling()
    begins_midway: ClassVar[bool] = True

    def clear_cache(self) -> None:
        """Forget what acting keeps between calls, if anything, as after a change of weights."""

    def in_one_pass(self) -> None:
        """Have every `evaluate` run each layer once, whatever padding that takes.

        It is also to give gradients to the same weights whatever the episodes, as most models do,
        but not those that send tokens to experts.
        """

    def value_parameters(self) -> list[nn.Parameter]:
        """Those that the values alone depend on: a head's, a network's or a critic's, if any."""
        return []

    @abstractmethod
    def act(
        self,
        observations: Observations,
        *,
        action_masks: NDArray[np.bool_] | None = None,
        active: NDArray[np.bool_] | None = None,
        generator: torch.Generator | None = None,
        deterministic: bool = False,
    ) -> Actions:
        """Choose one action a slot, without gradients.

        Args:
            observations: ``[N, *obs]``, or a mapping of such arrays.
            action_masks: bool ``[N, V]``, True where an action is legal; None: all are.
            active: bool ``[N]``; slots where it is False get an arbitrary legal action, which
                costs as little as can be. None: all are active.
            generator: Source of randomness, on the policy's device. The same state gives the
                same actions. None: torch's default generator.
            deterministic: Take the most probable action; its log-probability is still the one
                under the sampling distribution.
        """

    @abstractmethod
    def evaluate(self, episodes: Sequence[Episode]) -> Evaluation:
        """Evaluate every step of the episodes, differentiably and in one forward pass.

        Args:
            episodes: At least one episode, each with ``T_i >= 1`` steps.

        Returns:
            Tensors of ``M = sum(T_i)`` entries, the episodes' steps one after another.
        """

    def values(self, episodes: Sequence[Episode]) -> Tensor:
        """The values that `evaluate` gives, without what only the rest of it takes.

        Args:
            episodes: As for `evaluate`.

        Returns:
            float ``[M]``, differentiable.
        """
        return self.evaluate(episodes).values

    def step_log_probs(
        self,
        observations: Observations,
        *,
        action_masks: NDArray[np.bool_] | None = None,
        active: NDArray[np.bool_] | None = None,
    ) -> Tensor:
        """The whole distribution that `act` draws from, without gradients.

        Args:
            observations: As for `act`.
            action_masks: As for `act`.
            active: As for `act`.

        Returns:
            float ``[N, V]``, log-probabilities; anything in inactive slots.

        Raises:
            ValueError: The policy's actions cannot be listed.
        """
        raise ValueError(f"{type(self).__name__} has no list of its actions' probabilities")

    def episode_log_probs(self, episodes: Sequence[Episode]) -> Tensor:
        """The whole distributions that `evaluate` takes the actions' log-probabilities from.

        Args:
            episodes: As for `evaluate`.

        Returns:
            float ``[M, V]``, differentiable log-probabilities; minus infinity for 0.

        Raises:
            ValueError: The policy's actions cannot be listed.
        """
        raise ValueError(f"{type(self).__name__} has no list of its actions' probabilities")

    def episode_distributions(self, episodes: Sequence[Episode]) -> Tensor:
        """What makes up each step's distribution, for `read_distributions` and `divergence`.

        Args:
            episodes: As for `evaluate`.

        Returns:
            float ``[M, ...]``, differentiable: `episode_log_probs`, where actions can be listed.
        """
        return self.episode_log_probs(episodes)

    def read_distributions(
        self, distributions: Tensor, episodes: Sequence[Episode]
    ) -> tuple[Tensor, Tensor]:
        """The log-probabilities and entropies that `evaluate` gives.

        To be overridden together with `episode_distributions` and `divergence`.

        Args:
            distributions: float ``[M, ...]``, as `episode_distributions` gives them.
            episodes: The same.

        Returns:
            float ``[M]`` twice, differentiable.
        """
        actions = torch.from_numpy(np.concatenate([episode.actions for episode in episodes]))
        return gather(distributions, actions.to(distributions.device)), entropy(distributions)

    def divergence(self, distributions: Tensor, others: Tensor) -> Tensor:
        """KL(distribution || other) of each step, exactly: not from the actions taken.

        Args:
            distributions: float ``[M, ...]``, as `episode_distributions` gives them.
            others: Those of the same steps with other parameters.

        Returns:
            float ``[M]`` in nats, twice differentiable; infinite where an action is possible that
            the other excludes.
        """
        return categorical_kl(distributions, others)

    def check_observations(self, space: gym.Space[Any]) -> None:
        """Check that the policy can act on every observation of one environment's space.

        Raises:
            ValueError: It cannot; says why.
        """
        del space

    def reference(self) -> Policy:
        """A frozen policy with this one's present distribution, to measure how far it moves.

        Evaluating it changes nothing in this policy. A policy with a LoRA adapter returns what
        is below the adapter, which is its distribution until it has learned something.

        Returns:
            A copy in evaluation mode, none of whose parameters requires gradients. What a
            language model needs for its values alone is left out.
        """
        frozen = copy.deepcopy(self)
        frozen.requires_grad_(False)
        frozen.train(False)
        return frozen

    def forward(self, episodes: Sequence[Episode]) -> Evaluation:
        """`evaluate`, as a module that wrappers such as DistributedDataParallel call."""
        return self.evaluate(episodes)

    def make_store(self, num_envs: int) -> ObservationStore:
        """A fresh store for a rollout in ``num_envs`` slots."""
        return ArrayStore(num_envs)

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return next(self.parameters()).device
