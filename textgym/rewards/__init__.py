"""Text in, score out: rewards know no environment and no task."""

from textgym.rewards.base import ExampleLike, PerTextReward, Reward, Stream
from textgym.rewards.combine import Combined, FunctionReward
from textgym.rewards.registry import REWARDS, load_reward

__all__ = [
    "REWARDS",
    "Combined",
    "ExampleLike",
    "FunctionReward",
    "PerTextReward",
    "Reward",
    "Stream",
    "load_reward",
]
