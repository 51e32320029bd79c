"""The weight of the entropy in an objective: fixed, or adapted to hold a target entropy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from textgym_agents.algorithms.base import Algorithm, AlgorithmConfig
from textgym_agents.checks import require
from textgym_agents.policies import Episode, Policy

_LEAST, _MOST = 1e-6, 1e3


class EntropyCoefficient:
    """The entropy's weight, which rises while the policy's entropy is below a target.

    Soft actor-critic's temperature (Haarnoja et al. 2018, arXiv 1812.05905, section 5) is the dual
    variable of the constraint that the mean entropy a step, H, is at least a target, found by
    gradient steps on ``alpha (H - target)``. As usual the step is taken on the logarithm, which
    keeps alpha positive and its steps relative: ``log alpha -= learning_rate * (H - target)``.
    The constraint has one side: nothing but the reward lowers an entropy above the target.

    Args:
        coefficient: The weight at first; above 0 where there is a target.
        target: The entropy to hold, nats a step. Differential entropies may be negative. None: the
            weight stays.
        learning_rate: Size of a step: 0.1 changes the weight by a tenth where the entropy is a nat
            off.

    Raises:
        ValueError: A value is out of its range.
    """

    def __init__(self, coefficient: float, target: float | None, learning_rate: float) -> None:
        check_entropy(coefficient, target, learning_rate)
        self._first, self._target, self._learning_rate = coefficient, target, learning_rate
        self._log = 0.0 if target is None else math.log(coefficient)

    @property
    def value(self) -> float:
        """The weight now; an adapted one stays in [1e-6, 1e3], from where it can come back."""
        return self._first if self._target is None else math.exp(self._log)

    def update(self, entropy: float) -> None:
        """Take a step after a batch.

        Args:
            entropy: The batch's mean entropy a step, in nats.
        """
        if self._target is not None:
            log = self._log - self._learning_rate * (entropy - self._target)
            self._log = min(max(log, math.log(_LEAST)), math.log(_MOST))

    def state(self) -> dict[str, Tensor]:
        """What a resumed run needs: ``log_entropy_coef``, float64 ``[]``, where it is adapted."""
        if self._target is None:
            return {}
        return {"log_entropy_coef": torch.tensor(self._log, dtype=torch.float64)}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from a `state`, other entries of which are left alone."""
        if self._target is not None:
            self._log = float(tensors["log_entropy_coef"])


def check_entropy(coefficient: float, target: float | None, learning_rate: float) -> None:
    """Check the fields ``entropy_coef``, ``target_entropy`` and ``entropy_learning_rate``.

    Raises:
        ValueError: Names the field and its range.
    """
    require("entropy_coef", coefficient)
    require("entropy_learning_rate", learning_rate, above=0)
    if target is not None:
        require("target_entropy", target)
        if coefficient <= 0:
            raise ValueError(
                "a target_entropy adapts entropy_coef by factors, so it must start above 0, got "
                f"{coefficient}; 0.01 is usual"
            )


class EntropyConfig(AlgorithmConfig, Protocol):
    """What `EntropyAlgorithm` reads of a configuration."""

    @property
    def entropy_coef(self) -> float:
        """Weight of the entropy, at first."""

    @property
    def target_entropy(self) -> float | None:
        """The entropy to hold, None for none."""

    @property
    def entropy_learning_rate(self) -> float:
        """Size of the steps of the entropy's weight."""


ConfigT = TypeVar("ConfigT", bound=EntropyConfig)


class EntropyAlgorithm(Algorithm[ConfigT]):
    """Takes one step a batch, whose objective holds the entropy with a weight that may adapt.

    Attributes:
        entropy_coef: The weight.
    """

    def __init__(self, policy: Policy, config: ConfigT) -> None:
        super().__init__(policy, config)
        self.entropy_coef = EntropyCoefficient(
            config.entropy_coef, config.target_entropy, config.entropy_learning_rate
        )

    def update(
        self,
        episodes: Sequence[Episode],
        progress: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> dict[str, float]:
        """One optimizer step, then one of the entropy's weight; see `Algorithm.update`.

        Returns:
            The metrics of `gradients`, ``entropy`` among them, ``grad_norm``, ``learning_rate``,
            and ``entropy_coef``, the weight that the step was taken with.
        """
        metrics = super().update(episodes, progress, rng)
        metrics["entropy_coef"] = self.entropy_coef.value
        self.entropy_coef.update(metrics["entropy"])
        return metrics

    def state(self) -> dict[str, Tensor]:
        """The entropy's weight, where it is adapted; see `Algorithm.state`."""
        return self.entropy_coef.state()

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave; see `Algorithm.load_state`."""
        super().load_state(tensors)
        self.entropy_coef.load_state(tensors)
