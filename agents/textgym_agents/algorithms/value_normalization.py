"""The running mean and deviation of the returns, in whose units a critic learns."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from textgym_agents.algorithms.base import check_rewards
from textgym_agents.algorithms.entropy import EntropyAlgorithm, EntropyConfig
from textgym_agents.policies import Episode, Policy

Floats = NDArray[np.float64]
FloatsT = TypeVar("FloatsT", float, Floats)


class RunningScale:
    """Mean and standard deviation of all numbers seen so far; before any, 0 and 1.

    Returns of hundreds, or of thousandths, give a value head errors that drown the policy's
    gradient or vanish beside it. A critic that predicts ``(G - mean) / std`` has errors of about
    1 whatever the reward. This is the simple form: unlike PopArt (van Hasselt et al., Learning
    values across many orders of magnitude, 2016), the head's weights are not corrected when the
    statistics move, which they do less and less.
    """

    def __init__(self) -> None:
        self._count = 0.0
        self._mean = 0.0
        self._squares = 0.0  # The sum of squared distances from the mean.

    @property
    def empty(self) -> bool:
        """Whether it has seen none."""
        return self._count == 0

    @property
    def mean(self) -> float:
        """The mean."""
        return self._mean

    @property
    def std(self) -> float:
        """The standard deviation; 1 where it would be 0 (below 1e-6)."""
        deviation = math.sqrt(self._squares / self._count) if self._count else 0.0
        return deviation if deviation > 1e-6 else 1.0

    def add(self, numbers: Floats) -> None:
        """Take more numbers, float64 ``[M]``, into account.

        Two sets' moments are joined as in Chan, Golub and LeVeque (Updating Formulae and a
        Pairwise Algorithm for Computing Sample Variances, 1979).
        """
        count = self._count + len(numbers)
        distance = float(numbers.mean()) - self._mean
        self._squares += float(numbers.var()) * len(numbers)
        self._squares += distance**2 * self._count * len(numbers) / count
        self._mean += distance * len(numbers) / count
        self._count = count

    def normalize(self, numbers: FloatsT) -> FloatsT:
        """In units of the standard deviation from the mean."""
        return (numbers - self.mean) / self.std

    def restore(self, numbers: FloatsT) -> FloatsT:
        """The inverse of `normalize`."""
        return numbers * self.std + self.mean

    def final_value(self, episode: Episode) -> float:
        """What an episode that a limit cut goes on at, in the reward's unit; 0 for another."""
        cut = episode.truncated and not episode.terminated
        return self.restore(episode.final_value) if cut else 0.0

    def state(self) -> dict[str, torch.Tensor]:
        """What `load_state` takes: three float64 scalars."""
        numbers = {"count": self._count, "mean": self._mean, "squares": self._squares}
        return {f"scale.{k}": torch.tensor(v, dtype=torch.float64) for k, v in numbers.items()}

    def load_state(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go on from what `state` gave."""
        self._count = float(tensors["scale.count"])
        self._mean = float(tensors["scale.mean"])
        self._squares = float(tensors["scale.squares"])


class CriticConfig(EntropyConfig, Protocol):
    """What `CriticAlgorithm` reads of a configuration."""

    @property
    def normalize_values(self) -> bool:
        """Whether the critic learns in units of the returns."""


ConfigT = TypeVar("ConfigT", bound=CriticConfig)


class CriticAlgorithm(EntropyAlgorithm[ConfigT]):
    """Takes one step a batch, with a critic that may learn in units of the returns.

    Attributes:
        scale: The returns'; without ``normalize_values`` it changes nothing.
    """

    def __init__(self, policy: Policy, config: ConfigT) -> None:
        super().__init__(policy, config)
        self.scale = RunningScale()

    @abstractmethod
    def value_targets(self, episodes: Sequence[Episode]) -> Floats:
        """What the critic is to predict, in the reward's unit: float64 ``[M]``, all steps'."""

    def update(
        self,
        episodes: Sequence[Episode],
        progress: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> dict[str, float]:
        """One optimizer step; see `EntropyAlgorithm.update`.

        With ``normalize_values`` the scale of the returns is that of the batches before, so that
        no episode's baseline knows its return; the first batch has none but its own.
        """
        if not self.config.normalize_values:
            return super().update(episodes, progress, rng)
        check_rewards(episodes)
        returns = self.value_targets(episodes)
        first = self.scale.empty and bool(np.isfinite(returns).all())
        if first:
            self.scale.add(returns)
        metrics = super().update(episodes, progress, rng)
        if not first:
            self.scale.add(returns)
        return metrics

    def state(self) -> dict[str, torch.Tensor]:
        """The entropy's weight and the returns' scale, as far as in use."""
        return super().state() | (self.scale.state() if self.config.normalize_values else {})

    def load_state(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go on from what `state` gave; see `Algorithm.load_state`."""
        super().load_state(tensors)
        if self.config.normalize_values:
            self.scale.load_state(tensors)

    def _known_values(self, episodes: Sequence[Episode]) -> list[Floats]:
        """The values that acted, in the reward's unit, ``[T]`` of each episode."""
        return [self.scale.restore(episode.values.astype(np.float64)) for episode in episodes]
