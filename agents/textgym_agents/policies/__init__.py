"""Policies: modules that act in vector environments and evaluate finished episodes."""

from __future__ import annotations

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
from textgym_agents.policies.mlp import MLPPolicy
from textgym_agents.policies.sampling import Sampling

__all__ = [
    "Actions",
    "ArrayStore",
    "Contexts",
    "Episode",
    "Evaluation",
    "MLPPolicy",
    "ObservationStore",
    "Observations",
    "Policy",
    "Sampling",
]
