"""Several epochs of minibatch steps on a batch of whole episodes, each worth one number."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textgym_agents.algorithms.base import Algorithm, check_rewards
from textgym_agents.algorithms.entropy import EntropyCoefficient, EntropyConfig
from textgym_agents.algorithms.minibatches import Part, Split
from textgym_agents.algorithms.reference import Reference
from textgym_agents.policies import Episode, Evaluation, Policy

Floats = NDArray[np.float64]


class EpochConfig(EntropyConfig, Protocol):
    """What `EpochAlgorithm` reads of a configuration."""

    @property
    def num_epochs(self) -> int:
        """Times that each batch is learned from."""

    @property
    def num_minibatches(self) -> int:
        """Optimizer steps an epoch."""

    @property
    def max_tokens_per_pass(self) -> int:
        """Positions of a forward pass at most, 0 for no limit."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch and what it is learned from; arrays are float64 ``[M]``, one number a step.

    Attributes:
        split: The batch's episodes, into minibatches.
        old_log_probs: The behaviour's, of the actions taken, in nats.
        advantages: An episode's advantage, at each of its steps.
        reference_log_probs: The reference's, if there is one.
        metrics: What there is to say of the batch, by name.
    """

    split: Split
    old_log_probs: Floats
    advantages: Floats
    reference_log_probs: Floats | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Steps:
    """A forward pass's share of a minibatch; tensors are float ``[M]``, one number a step.

    Attributes:
        lengths: int64 ``[N]``, the steps of each episode of the pass.
        old_log_probs: As in `Batch`.
        advantages: As in `Batch`.
        reference_log_probs: As in `Batch`.
        num_episodes: Of the whole minibatch.
        num_steps: Of the whole minibatch.
    """

    lengths: Tensor
    old_log_probs: Tensor
    advantages: Tensor
    reference_log_probs: Tensor | None
    num_episodes: int
    num_steps: int


ConfigT = TypeVar("ConfigT", bound=EpochConfig)


class EpochAlgorithm(Algorithm[ConfigT]):
    """Learns from each batch by ``num_epochs`` epochs of ``num_minibatches`` optimizer steps.

    A minibatch holds whole episodes. Its gradient is the exact sum over its forward passes.

    Attributes:
        reference: The policy at the start of training, where the algorithm keeps it.
        entropy_coef: The weight of the entropy.
    """

    reference: Reference | None = None

    def __init__(self, policy: Policy, config: ConfigT) -> None:
        super().__init__(policy, config)
        self.entropy_coef = EntropyCoefficient(
            config.entropy_coef, config.target_entropy, config.entropy_learning_rate
        )

    @abstractmethod
    def prepare(self, episodes: Sequence[Episode]) -> Batch:
        """What each step of the batch is learned from."""

    @abstractmethod
    def losses(self, evaluation: Evaluation, steps: Steps) -> dict[str, Tensor]:
        """A pass's share of a minibatch's ``loss`` and metrics, which add up over its passes."""

    def gradients(self, episodes: Sequence[Episode]) -> dict[str, float]:
        """Set ``grad`` to the gradient of the loss of the whole batch as one minibatch."""
        batch = self.prepare(episodes)
        return {**self._gradients(batch, batch.split.whole()), **batch.metrics}

    def update(
        self,
        episodes: Sequence[Episode],
        progress: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> dict[str, float]:
        """Take ``num_epochs * num_minibatches`` optimizer steps; see `Algorithm.update`.

        Returns:
            The batch's metrics; the means over the minibatches of the losses' and of
            ``grad_norm``; ``learning_rate``; ``entropy_coef``, the one used; and the first
            minibatch's ``log_prob_gap``, the largest difference between the log-probability that
            an action was sampled with and the one evaluated before any step, which is rounding
            error.

        Raises:
            ValueError: A reward is not finite, or the batch is empty.
            FloatingPointError: A minibatch's loss or gradient is not finite; the parameters are
                those that the minibatch before it left.
        """
        check_rewards(episodes)
        rng = np.random.default_rng(0) if rng is None else rng
        batch = self.prepare(episodes)
        rows: list[dict[str, float]] = []
        try:
            for _ in range(self.config.num_epochs):
                for parts in batch.split.shuffled(self.config.num_minibatches, rng):
                    rows.append(self._gradients(batch, parts))
                    rows[-1]["grad_norm"] = self._step(rows[-1]["loss"], progress)
        finally:
            self.optimizer.zero_grad(set_to_none=True)
        metrics = {
            **means(rows),
            **batch.metrics,
            "log_prob_gap": rows[0]["log_prob_gap"],
            "learning_rate": self.learning_rate(progress),
            "entropy_coef": self.entropy_coef.value,
        }
        self.entropy_coef.update(metrics["entropy"])
        return metrics

    def state(self) -> dict[str, Tensor]:
        """The reference's weights and the entropy's weight, as far as in use."""
        reference = {} if self.reference is None else self.reference.state()
        return {**reference, **self.entropy_coef.state()}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave; see `Algorithm.load_state`."""
        self._check_state(tensors)
        if self.reference is not None:
            self.reference.load_state(tensors)
        self.entropy_coef.load_state(tensors)

    def _gradients(self, batch: Batch, parts: Sequence[Part]) -> dict[str, float]:
        """Set ``grad`` to the gradient of a minibatch's loss; return its metrics."""
        num_episodes = sum(len(part.episodes) for part in parts)
        num_steps = sum(len(part.steps) for part in parts)
        metrics: defaultdict[str, float] = defaultdict(float)
        gap = 0.0
        self.optimizer.zero_grad(set_to_none=True)
        for part in parts:
            evaluation = self.policy.evaluate(part.episodes)
            steps = _steps(batch, part, evaluation.log_probs, num_episodes, num_steps)
            losses = self.losses(evaluation, steps)
            torch.autograd.backward(losses["loss"])
            for name, loss in losses.items():
                metrics[name] += loss.item()
            difference = evaluation.log_probs.detach() - steps.old_log_probs
            gap = max(gap, float(difference.abs().max()))
        return {**metrics, "log_prob_gap": gap}


def means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of each number over the rows that have it; the first row has all."""
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in rows[0]}


def join(arrays: Sequence[NDArray[np.floating]]) -> Floats:
    """One array an episode, ``[T_i]``, one after another: float64 ``[M]``."""
    return np.concatenate(arrays).astype(np.float64)


def spread(numbers: Floats, episodes: Sequence[Episode]) -> Floats:
    """One number an episode, ``[N]``, at each of its steps: float64 ``[M]``."""
    return np.repeat(numbers, [episode.num_steps for episode in episodes])


def _steps(batch: Batch, part: Part, like: Tensor, num_episodes: int, num_steps: int) -> Steps:
    """The batch's numbers at a part's steps, of the type and on the device of ``like``."""

    def of(numbers: Floats) -> Tensor:
        return torch.as_tensor(numbers[part.steps], dtype=like.dtype, device=like.device)

    reference = batch.reference_log_probs
    return Steps(
        lengths=torch.tensor([e.num_steps for e in part.episodes], device=like.device),
        old_log_probs=of(batch.old_log_probs),
        advantages=of(batch.advantages),
        reference_log_probs=None if reference is None else of(reference),
        num_episodes=num_episodes,
        num_steps=num_steps,
    )
