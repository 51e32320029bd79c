"""Learning algorithms, one file each: a configuration and what a batch does to the policy."""

from __future__ import annotations

from typing import Any

from textgym_agents.algorithms.base import Algorithm, AlgorithmConfig
from textgym_agents.algorithms.mle import MaximumLikelihood, MaximumLikelihoodConfig
from textgym_agents.algorithms.reinforce import Reinforce, ReinforceConfig

ALGORITHMS: dict[str, tuple[type[Algorithm[Any]], type[AlgorithmConfig]]] = {
    "reinforce": (Reinforce, ReinforceConfig),
    "mle": (MaximumLikelihood, MaximumLikelihoodConfig),
}
"""Name on the command line -> (algorithm, its configuration)."""

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "AlgorithmConfig",
    "MaximumLikelihood",
    "MaximumLikelihoodConfig",
    "Reinforce",
    "ReinforceConfig",
]
