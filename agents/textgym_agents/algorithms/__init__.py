"""Learning algorithms, one file each: a configuration and what a batch does to the policy."""

from __future__ import annotations

from typing import Any

from textgym_agents.algorithms.a2c import A2C, A2CConfig
from textgym_agents.algorithms.base import Algorithm, AlgorithmConfig
from textgym_agents.algorithms.expert_iteration import ExpertIteration, ExpertIterationConfig
from textgym_agents.algorithms.grpo import GRPO, GRPOConfig
from textgym_agents.algorithms.mle import MaximumLikelihood, MaximumLikelihoodConfig
from textgym_agents.algorithms.nlpo import NLPO, NLPOConfig
from textgym_agents.algorithms.ppo import PPO, PPOConfig
from textgym_agents.algorithms.reinforce import Reinforce, ReinforceConfig
from textgym_agents.algorithms.rloo import RLOO, RLOOConfig
from textgym_agents.algorithms.trpo import TRPO, TRPOConfig

ALGORITHMS: dict[str, tuple[type[Algorithm[Any]], type[AlgorithmConfig]]] = {
    "reinforce": (Reinforce, ReinforceConfig),
    "rloo": (RLOO, RLOOConfig),
    "grpo": (GRPO, GRPOConfig),
    "expert_iteration": (ExpertIteration, ExpertIterationConfig),
    "mle": (MaximumLikelihood, MaximumLikelihoodConfig),
    "a2c": (A2C, A2CConfig),
    "ppo": (PPO, PPOConfig),
    "trpo": (TRPO, TRPOConfig),
    "nlpo": (NLPO, NLPOConfig),
}
"""Name on the command line -> (algorithm, its configuration)."""

__all__ = [
    "A2C",
    "ALGORITHMS",
    "GRPO",
    "NLPO",
    "PPO",
    "RLOO",
    "TRPO",
    "A2CConfig",
    "Algorithm",
    "AlgorithmConfig",
    "ExpertIteration",
    "ExpertIterationConfig",
    "GRPOConfig",
    "MaximumLikelihood",
    "MaximumLikelihoodConfig",
    "NLPOConfig",
    "PPOConfig",
    "RLOOConfig",
    "Reinforce",
    "ReinforceConfig",
    "TRPOConfig",
]
