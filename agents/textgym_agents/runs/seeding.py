"""One seed makes a run: what each iteration draws follows from (seed, iteration) alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

EVALUATION = 0
"""The iteration number whose seeds evaluations use; training counts from 1."""


@dataclass(frozen=True, slots=True)
class IterationSeeds:
    """The randomness of one iteration.

    Attributes:
        slots: A seed a slot of the vector environment; the slots of a group have the same.
        policy: The seed of the actions.
        update: The seed of what the update draws.
    """

    slots: list[int]
    policy: int
    update: int

    def generator(self, device: torch.device | str = "cpu", process: int = 0) -> torch.Generator:
        """A fresh generator for the actions that a process draws; each has another."""
        seed = self.policy
        if process:
            seed = int(np.random.SeedSequence([seed, process]).generate_state(1)[0])
        return torch.Generator(device=device).manual_seed(seed)


def iteration_seeds(
    seed: int, iteration: int, num_envs: int, group_size: int = 1, attempt: int = 0
) -> IterationSeeds:
    """Draw an iteration's seeds from ``SeedSequence([seed, iteration])``.

    Args:
        seed: The run's seed, 0 or more.
        iteration: The iteration, 0 or more.
        num_envs: Slots.
        group_size: Neighbouring slots with the same seed.
        attempt: Of several rollouts in the iteration, which one; a later one has other seeds.

    Raises:
        ValueError: ``group_size`` does not divide ``num_envs``, or the seed is negative.
    """
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, got {seed}")
    if num_envs % group_size:
        raise ValueError(f"group_size {group_size} does not divide num_envs {num_envs}")
    entropy = [seed, iteration, attempt] if attempt else [seed, iteration]
    drawn = np.random.SeedSequence(entropy).generate_state(num_envs // group_size + 2)
    return IterationSeeds(
        slots=np.repeat(drawn[1:-1], group_size).tolist(),
        policy=int(drawn[0]),
        update=int(drawn[-1]),
    )
