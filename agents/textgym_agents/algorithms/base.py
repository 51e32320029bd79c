"""What the learning algorithms share: one optimizer, exact gradient accumulation, guards."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from textgym_agents.algorithms.schedules import ScheduleConfig, scheduled
from textgym_agents.distributed import adamw, sum_gradients
from textgym_agents.policies import Contexts, Episode, Policy
from textgym_agents.policies.memory import give_back_in_backward


class AlgorithmConfig(Protocol):
    """What training reads of every algorithm's configuration."""

    @property
    def learning_rate(self) -> float:
        """Step size of Adam."""

    @property
    def weight_decay(self) -> float:
        """Decoupled weight decay (AdamW)."""

    @property
    def max_grad_norm(self) -> float:
        """Largest norm of the gradient, 0 for no limit."""

    @property
    def episodes_per_env(self) -> int:
        """Episodes each slot contributes to a batch."""

    @property
    def steps_per_env(self) -> int:
        """Steps each slot contributes at most, 0 for no limit."""

    @property
    def group_size(self) -> int:
        """Slots that share a seed."""


ConfigT = TypeVar("ConfigT", bound=AlgorithmConfig)


class Algorithm(ABC, Generic[ConfigT]):
    """Improves a policy by a batch of episodes.

    What an algorithm changes from batch to batch, besides the policy and the optimizer, is in its
    `state`, so that a resumed run goes on as if it had never stopped.

    Args:
        policy: The policy to improve, in place.
        config: The algorithm's configuration.

    Attributes:
        follows_expert: The batch's actions are to come from ``info["expert_action"]``.
        shardable: Its updates need no whole weights of what they learn.
        goes_on: It can learn from parts of episodes that began in an earlier batch.
        optimizer: AdamW over those of the policy's parameters that require gradients.
    """

    follows_expert: ClassVar[bool] = False
    shardable: ClassVar[bool] = True
    goes_on: ClassVar[bool] = False

    def __init__(self, policy: Policy, config: ConfigT) -> None:
        self.policy = policy
        self.config = config
        value_rate: float | None = getattr(config, "value_learning_rate", None)
        rates = [config.learning_rate, *([] if value_rate is None else [value_rate])]
        self._rates = [float(rate) for rate in rates]  # NumPy's would not go into a checkpoint.
        self.optimizer = adamw(
            policy,
            value_rate,
            lr=self._rates[0],
            weight_decay=float(config.weight_decay),
            fused=True,  # Without it a step has copies of the largest parameter.
        )
        give_back_in_backward(policy.parameters())

    @property
    def behaviour(self) -> Policy:
        """The policy of which a rollout's log-probabilities are."""
        return self.policy

    def acting(self, policy: Policy) -> Policy:
        """What acts in rollouts.

        Args:
            policy: The learner's, or the copy with whole weights of a sharded one.
        """
        return policy

    @property
    def greedy_rollout(self) -> bool:
        """Whether episodes need their `Episode.greedy_return`."""
        return False

    def whole_return(self, episode: Episode) -> float:
        """What a whole episode collected, as the algorithm counts it: here without a discount."""
        return episode.total_reward

    @property
    def extra_rounds(self) -> int:
        """How often training collects again while `select` leaves too few episodes."""
        return 0

    def select(self, episodes: Sequence[Episode]) -> list[Episode]:
        """The episodes of a rollout that a batch is made of."""
        return list(episodes)

    def state(self) -> dict[str, Tensor]:
        """What a resumed run needs besides the policy and the optimizer, by name."""
        return {}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave.

        Raises:
            ValueError: The names are not those of this algorithm's state.
        """
        self._check_state(tensors)

    def _check_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Check that a state to load has the names of this algorithm's own.

        Raises:
            ValueError: It has others; names them.
        """
        if differing := tensors.keys() ^ self.state().keys():
            raise ValueError(
                f"the saved state of {type(self).__name__} and what this run keeps differ in "
                + ", ".join(sorted(differing))
            )

    @classmethod
    def check_batch_size(cls, config: ConfigT, num_episodes: int) -> None:
        """Check, before anything is collected, that a batch of so many episodes is enough.

        Raises:
            ValueError: It is not; says what to raise.
        """
        del config, num_episodes

    @abstractmethod
    def gradients(self, episodes: Sequence[Episode]) -> dict[str, float]:
        """Set each parameter's ``grad`` to the gradient of the batch's loss; return metrics."""

    def learning_rate(self, progress: float) -> float:
        """The step size that is in use; ``progress``, 0 to 1, is the share of training done."""
        return self.config.learning_rate * self.rate_share(progress)

    def rate_share(self, progress: float) -> float:
        """What share of a step size is in use: by the schedule, if there is one."""
        if not isinstance(self.config, ScheduleConfig):
            return 1.0
        return scheduled(self.config.schedule, progress, self.config.warmup)

    def update(
        self,
        episodes: Sequence[Episode],
        progress: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> dict[str, float]:
        """Learn from a batch: one optimizer step, where an algorithm does not say otherwise.

        Args:
            episodes: The batch, drawn with the policy's present parameters.
            progress: Share of the training done at this batch's middle, 0 to 1.
            rng: Source of what the update draws, such as the order of minibatches; None: one
                seeded with 0.

        Returns:
            Metrics by name; ``loss`` and ``grad_norm`` (before clipping) among them.

        Raises:
            ValueError: A reward is not finite, or the batch is empty.
            FloatingPointError: The loss or the gradient is not finite.
            The parameters stay as they were in either case; where an update takes several steps,
            as the step before left them.
        """
        del rng
        check_rewards(episodes)
        try:
            metrics = self.gradients(episodes)
            metrics["grad_norm"] = self._step(metrics["loss"], progress)
        finally:
            self.optimizer.zero_grad(set_to_none=True)
        metrics["learning_rate"] = self.learning_rate(progress)
        return metrics

    def _step(self, loss: float, progress: float) -> float:
        """One optimizer step on the parameters' gradients; the norm these had before clipping.

        Raises:
            FloatingPointError: The loss or the gradient is not finite; no step was taken.
        """
        norm = self._clipped_norm(loss)
        share = self.rate_share(progress)
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * share
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.policy.clear_cache()  # It is stale, and takes memory.
        return norm

    def _clipped_norm(self, loss: float) -> float:
        """Clip the gradient to the configured norm; return the norm it had."""
        sum_gradients(self.policy)
        limit = self.config.max_grad_norm or math.inf
        norm = float(torch.nn.utils.clip_grad_norm_(self.policy.parameters(), limit))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise FloatingPointError(
                f"the loss is {loss} and the gradient's norm {norm}: no step was taken, and the "
                "parameters are as the step before left them; a lower learning_rate or "
                "max_grad_norm, or actions that the policy gives probability 0, are usual causes"
            )
        return norm


def check_rewards(episodes: Sequence[Episode]) -> None:
    """Refuse an empty batch and rewards that are not finite.

    Raises:
        ValueError: Names the slot and the step of the first such reward.
    """
    if not episodes:
        raise ValueError("an update needs at least one episode, got none")
    for episode in episodes:
        wrong = np.flatnonzero(~np.isfinite(episode.rewards))
        if wrong.size:
            raise ValueError(
                f"reward {episode.rewards[wrong[0]]} in slot {episode.slot} at step {wrong[0]} "
                "of its episode is not finite; the parameters are unchanged"
            )


def episode_tokens(episode: Episode) -> int:
    """Positions a policy's forward pass over the episode has: context tokens, or steps."""
    if isinstance(episode.observations, Contexts):
        return len(episode.observations.tokens)
    return episode.num_steps


def passes(episodes: Sequence[Episode], max_tokens: int) -> list[list[int]]:
    """Split a batch into forward passes of whole episodes.

    Episodes that begin with the same prompt stay together, since a language model then reads it
    once; a prompt counts once a pass.

    Args:
        episodes: The batch.
        max_tokens: Largest number of tokens (steps, for other observations) in a pass; a longer
            episode has a pass of its own. 0: one pass.

    Returns:
        Indices into ``episodes``, each exactly once.
    """
    if max_tokens <= 0:
        return [list(range(len(episodes)))]
    groups: dict[bytes | int, list[int]] = {}
    for index, episode in enumerate(episodes):
        groups.setdefault(_prompt(episode) or index, []).append(index)
    sizes = {key: sum(episode_tokens(episodes[i]) for i in groups[key]) for key in groups}
    parts: list[list[int]] = [[]]
    filled, reading = 0, None
    for key in sorted(groups, key=lambda key: sizes[key] / len(groups[key])):
        for index in groups[key]:
            prompt = len(key) // 8 if isinstance(key, bytes) else 0
            tokens = episode_tokens(episodes[index])
            more = tokens - prompt if reading == key else tokens
            if parts[-1] and filled + more > max_tokens:
                parts.append([])
                filled, more = 0, tokens
            parts[-1].append(index)
            filled, reading = filled + more, key
    return parts


def _prompt(episode: Episode) -> bytes:
    """The tokens that the first action was chosen after; nothing for other observations."""
    observations = episode.observations
    if not isinstance(observations, Contexts):
        return b""
    return observations.tokens[: observations.lengths[0]].tobytes()
