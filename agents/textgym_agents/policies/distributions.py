"""The distributions that a small network's outputs stand for: categorical choices, or a Gaussian.

Both draw actions and evaluate actions drawn before; the log-probability is of the same numbers in
either case.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from textgym_agents.policies.actions import component_sizes
from textgym_agents.policies.sampling import (
    Sampling,
    categorical_kl,
    draw,
    entropy,
    gather,
    process_logits,
    uniform_numbers,
)


class ActionDistribution(nn.Module, ABC):
    """What a network's outputs say about actions.

    Attributes:
        num_outputs: How many outputs it takes, ``V``.
        starts: Where each component's outputs begin, int64 ``[K]``.
    """

    num_outputs: int
    starts: NDArray[np.int64]

    def check(self, sampling: Sampling) -> None:
        """Check that it can be sampled from so.

        Raises:
            ValueError: It cannot; names what is in the way.
        """
        del sampling

    @abstractmethod
    def draw(
        self,
        outputs: Tensor,
        sampling: Sampling,
        mask: Tensor | None = None,
        generator: torch.Generator | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Tensor, NDArray[np.int64] | None]:
        """Draw an action a row.

        Args:
            outputs: float ``[N, V]``.
            sampling: What changes the distribution.
            mask: bool ``[N, V]``, True where a choice is legal; None: all are.
            generator: Source of randomness; None: torch's default one.
            deterministic: Take the most probable action, and draw nothing.

        Returns:
            The actions as an `Episode` keeps them; their log-probabilities, float ``[N]``; and what
            the filters left, as an `Episode` keeps it.
        """

    def evaluate(
        self,
        outputs: Tensor,
        actions: NDArray[Any],
        sampling: Sampling,
        mask: Tensor | None = None,
        kept: NDArray[np.int64] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Log-probabilities of actions drawn before, and the distributions' entropies.

        Args:
            outputs: float ``[M, V]``.
            actions: As `draw` gave them, ``M`` rows.
            sampling: What changes the distribution.
            mask: bool ``[M, V]`` or ``[V]``.
            kept: As `draw` gave it; see `process_logits`.

        Returns:
            float ``[M]`` twice, differentiable, in nats.
        """
        return self.read(self.describe(outputs, actions, sampling, mask, kept), actions)

    @abstractmethod
    def describe(
        self,
        outputs: Tensor,
        actions: NDArray[Any],
        sampling: Sampling,
        mask: Tensor | None = None,
        kept: NDArray[np.int64] | None = None,
    ) -> Tensor:
        """The distributions themselves, for `read` and `divergence`; arguments as of `evaluate`.

        Returns:
            float ``[M, ...]``, differentiable.
        """

    @abstractmethod
    def read(self, described: Tensor, actions: NDArray[Any]) -> tuple[Tensor, Tensor]:
        """What `evaluate` gives, of what `describe` gave."""

    @abstractmethod
    def divergence(self, described: Tensor, others: Tensor) -> Tensor:
        """KL(distribution || other) in nats, float ``[M]``, of what `describe` gave for each."""


class Categorical(ActionDistribution):
    """Independent choices, one (Discrete) or several (MultiDiscrete, MultiBinary).

    The outputs are the logits of the first component's choices, then the second's, and so on.
    Filters and epsilon apply to each component by itself. Log-probabilities and entropies are
    sums over the components.

    Args:
        space: The action space.

    Attributes:
        single: Whether an action is one number, not a row of them.
    """

    def __init__(self, space: gym.Space[Any]) -> None:
        super().__init__()
        sizes, self._least = component_sizes(space)
        self.single = isinstance(space, gym.spaces.Discrete)
        self.num_outputs = int(sizes.sum())
        self.starts = np.cumsum(sizes) - sizes
        self._rows, self._width = len(sizes), int(sizes.max())
        # Components of different sizes are padded to the largest.
        self.columns: Tensor | None
        self.real: Tensor | None
        within = np.arange(self._width) < sizes[:, None]
        columns = np.where(within, self.starts[:, None] + np.arange(self._width), 0)
        even = bool(within.all())
        self.register_buffer(
            "columns", None if even else torch.from_numpy(columns.ravel()), persistent=False
        )
        self.register_buffer(
            "real", None if even else torch.from_numpy(within.ravel()), persistent=False
        )

    def draw(
        self,
        outputs: Tensor,
        sampling: Sampling,
        mask: Tensor | None = None,
        generator: torch.Generator | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Tensor, NDArray[np.int64] | None]:
        """Draw a choice a component; see `ActionDistribution.draw`.

        Returns:
            int64 ``[N]`` for a Discrete space, else ``[N, K]``; float ``[N]``; and with filters
            int64 like the first.
        """
        logits = self._apart(outputs)
        uniform = None
        if not deterministic:
            uniform = uniform_numbers(len(logits), generator, logits.device)
        chosen, taken, left, _ = draw(logits, sampling, self._apart_mask(mask, outputs), uniform)
        shape = (len(outputs),) if self.single else (len(outputs), self._rows)
        actions: NDArray[np.int64] = chosen.cpu().numpy().reshape(shape) + self._least
        kept = None if left is None else left.cpu().numpy().reshape(shape)
        return actions, self._together(taken), kept

    def describe(
        self,
        outputs: Tensor,
        actions: NDArray[Any],
        sampling: Sampling,
        mask: Tensor | None = None,
        kept: NDArray[np.int64] | None = None,
    ) -> Tensor:
        """Log-probabilities, ``[M, K, width]``; see `ActionDistribution.describe`."""
        log_probs = process_logits(
            self._apart(outputs),
            sampling,
            self._apart_mask(mask, outputs),
            self.chosen(actions, outputs.device),
            None if kept is None else torch.from_numpy(kept.ravel()).to(outputs.device),
        )
        return log_probs.reshape(len(outputs), self._rows, self._width)

    def read(self, described: Tensor, actions: NDArray[Any]) -> tuple[Tensor, Tensor]:
        """Sums over the components; see `ActionDistribution.read`."""
        log_probs = described.flatten(0, 1)
        taken = gather(log_probs, self.chosen(actions, described.device))
        return self._together(taken), self._together(entropy(log_probs))

    def divergence(self, described: Tensor, others: Tensor) -> Tensor:
        """The sum of the components'."""
        return categorical_kl(described, others).sum(dim=-1)

    def chosen(self, actions: NDArray[Any], device: torch.device) -> Tensor:
        """The choices' places in their components, int64 ``[M * K]``."""
        return torch.from_numpy((actions - self._least).ravel()).to(device)

    def _apart(self, outputs: Tensor) -> Tensor:
        """``[M, V]`` with a row for each component, ``[M * K, width]``."""
        if self._rows == 1:
            return outputs
        if self.columns is not None:
            outputs = outputs[..., self.columns]
        return outputs.reshape(-1, self._width)

    def _apart_mask(self, mask: Tensor | None, outputs: Tensor) -> Tensor | None:
        if self._rows == 1 or (mask is None and self.real is None):
            return mask
        if mask is None:
            mask = outputs.new_ones(self.num_outputs, dtype=torch.bool)
        if self.columns is not None and self.real is not None:
            mask = mask[..., self.columns] & self.real
        return mask.expand(len(outputs), mask.shape[-1]).reshape(-1, self._width)

    def _together(self, values: Tensor) -> Tensor:
        return values if self._rows == 1 else values.reshape(-1, self._rows).sum(dim=-1)


class Gaussian(ActionDistribution):
    """Independent normal numbers: the outputs are the means, a parameter the log deviations.

    Actions are unbounded; who sends them to an environment clips them to its bounds, while the
    log-probability is of the unclipped draw (as Stable-Baselines3 does). A temperature divides the
    log-density, which multiplies the variance.

    Args:
        space: The action space, a Box of floats.

    Raises:
        ValueError: It is another one.
    """

    def __init__(self, space: gym.spaces.Box) -> None:
        super().__init__()
        if not np.issubdtype(space.dtype, np.floating):
            raise ValueError(f"actions of a Box must be floats, got {space}")
        self.num_outputs = int(np.prod(space.shape))
        self.starts = np.arange(self.num_outputs)
        self.log_std = nn.Parameter(torch.zeros(self.num_outputs))

    def check(self, sampling: Sampling) -> None:
        """Filters and epsilon need actions that can be listed."""
        plain = Sampling(temperature=sampling.temperature)
        if sampling != plain:
            raise ValueError(
                "actions of a Box can be sampled with a temperature alone: leave top_k, top_p, "
                f"min_p and epsilon off (got {sampling})"
            )

    def draw(
        self,
        outputs: Tensor,
        sampling: Sampling,
        mask: Tensor | None = None,
        generator: torch.Generator | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Tensor, None]:
        """Draw vectors; see `ActionDistribution.draw`.

        Returns:
            float32 ``[N, D]``; the log-densities, float ``[N]``; and None.
        """
        log_std = self._log_std(sampling, mask)
        actions = outputs.detach()
        if not deterministic:
            device = outputs.device if generator is None else generator.device
            noise = torch.randn(outputs.shape, generator=generator, device=device)
            actions = actions + log_std.detach().exp() * noise.to(outputs.device)
        return actions.cpu().numpy(), _log_density(actions, outputs, log_std), None

    def describe(
        self,
        outputs: Tensor,
        actions: NDArray[Any],
        sampling: Sampling,
        mask: Tensor | None = None,
        kept: NDArray[np.int64] | None = None,
    ) -> Tensor:
        """Means and log deviations, ``[M, 2, D]``; see `ActionDistribution.describe`."""
        return torch.stack([outputs, self._log_std(sampling, mask).expand_as(outputs)], dim=1)

    def read(self, described: Tensor, actions: NDArray[Any]) -> tuple[Tensor, Tensor]:
        """Log-densities and differential entropies; see `ActionDistribution.read`."""
        means, log_std = described.unbind(1)
        entropies = (log_std + 0.5 * math.log(2 * math.pi * math.e)).sum(dim=-1)
        return _log_density(torch.from_numpy(actions).to(means.device), means, log_std), entropies

    def divergence(self, described: Tensor, others: Tensor) -> Tensor:
        """``log s'/s + (s^2 + (m - m')^2) / (2 s'^2) - 1/2``, summed over the numbers."""
        (mean, log_std), (other_mean, other_log_std) = described.unbind(1), others.unbind(1)
        wider = other_log_std - log_std
        distance = ((mean - other_mean) * torch.exp(-other_log_std)).square()
        return (wider + 0.5 * (torch.exp(-2 * wider) + distance - 1)).sum(dim=-1)

    def _log_std(self, sampling: Sampling, mask: Tensor | None) -> Tensor:
        self.check(sampling)
        if mask is not None:
            raise ValueError("the environment gives an action mask, but its actions are a Box")
        return self.log_std + 0.5 * math.log(sampling.temperature)


def _log_density(actions: Tensor, means: Tensor, log_std: Tensor) -> Tensor:
    """Of independent normals, summed: ``[M]`` from three ``[M, D]``, the last perhaps ``[D]``."""
    scaled = (actions - means) * torch.exp(-log_std)
    return -(0.5 * scaled.square() + log_std + 0.5 * math.log(2 * math.pi)).sum(dim=-1)


def distribution_for(space: gym.Space[Any]) -> Categorical | Gaussian:
    """The distribution over a space's actions.

    Raises:
        ValueError: There is none for it.
    """
    if isinstance(space, gym.spaces.Box):
        return Gaussian(space)
    kinds = gym.spaces.Discrete | gym.spaces.MultiDiscrete | gym.spaces.MultiBinary
    if not isinstance(space, kinds):
        raise ValueError(
            "MLPPolicy takes Discrete, MultiDiscrete, MultiBinary and Box action spaces, got "
            f"{space}"
        )
    return Categorical(space)
