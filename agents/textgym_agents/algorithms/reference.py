"""The frozen policy that a KL penalty holds the learner near."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textgym_agents.algorithms.minibatches import Split
from textgym_agents.policies import Policy
from textgym_agents.policies.reference import own_tensors


class Reference:
    """The policy as it is now, kept.

    Args:
        policy: The learner's policy; its later changes do not reach the reference.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._frozen = policy.reference()

    @torch.no_grad()
    def log_probs(self, split: Split) -> NDArray[np.float64]:
        """Of a batch's actions, in nats: float64 ``[M]``, the batch's steps in order.

        Args:
            split: The batch.
        """
        found = np.empty(split.num_steps)
        for part in split.whole():
            evaluation = self._frozen.evaluate(part.episodes)
            found[part.steps] = evaluation.log_probs.double().cpu().numpy()
        return found

    def state(self) -> dict[str, Tensor]:
        """The weights it does not share with the learner's policy, by name."""
        weights = own_tensors(self._frozen, self._policy)
        return {f"reference.{name}": tensor for name, tensor in weights.items()}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the weights that `state` gave; other tensors are left alone."""
        prefix = "reference."
        own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        self._frozen.load_state_dict(own, strict=False)


def steered(coefficient: float, divergence: float, target: float) -> float:
    """A penalty's coefficient for the next batch: raised if the divergence exceeds its target.

    ``coefficient (1 + 0.1 clip(divergence / target - 1, -0.2, 0.2))``: the proportional
    controller of Ziegler et al., Fine-Tuning Language Models from Human Preferences, 2019,
    section 2.2.

    Args:
        coefficient: The present one.
        divergence: What was measured, in the target's unit.
        target: What is wanted; 0: the coefficient stays.
    """
    if target == 0:
        return coefficient
    return coefficient * (1.0 + 0.1 * min(max(divergence / target - 1.0, -0.2), 0.2))
