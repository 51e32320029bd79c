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

__all__ = [
    "Actions",
    "ArrayStore",
    "Contexts",
    "Episode",
    "Evaluation",
    "ObservationStore",
    "Observations",
    "Policy",
]
