"""The text MDP as single and vector environments, and the exact solution of small ones."""

from textgym.envs.mdp import TaskError, TextMDP
from textgym.envs.text_generation import TextGenerationEnv
from textgym.envs.vector import TextGenerationVectorEnv
from textgym.rewards.checked import RewardError

__all__ = ["RewardError", "TaskError", "TextGenerationEnv", "TextGenerationVectorEnv", "TextMDP"]
