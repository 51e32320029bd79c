"""A scale to read scores on: what random tokens and the expert score on the bundled tasks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from textgym.rewards import Reward
from textgym.tasks import Task

Number = TypeVar("Number", float, NDArray[np.float64])


@dataclass(frozen=True, slots=True)
class Measured:
    """A mean score and its standard error, over held-out episodes."""

    mean: float
    error: float


@dataclass(frozen=True, slots=True)
class Scale:
    """The scores of reference policies on one task, level and reward.

    `benchmarks/score_scales.py` measures them; they are stored with the package.

    Attributes:
        env_id: The registered environment.
        variant: The task and its level; see `textgym.tasks.Task.variant`.
        reward: The signature of the reward.
        tokenizer: The name of the tokenizer.
        max_new_tokens: The budget of an answer.
        episodes: The most test examples that a policy answered.
        random: Uniformly random legal tokens.
        untrained: A fresh model of the bundled model's sizes, sampled.
        likelihood: The bundled model, trained by maximum likelihood; sampled.
        likelihood_greedy: The same, by its most probable tokens.
        expert: `textgym.tasks.Task.expert`.
    """

    env_id: str
    variant: str
    reward: str
    tokenizer: str
    max_new_tokens: int
    episodes: int
    random: Measured
    expert: Measured
    untrained: Measured | None = None
    likelihood: Measured | None = None
    likelihood_greedy: Measured | None = None

    def normalize(self, score: Number) -> Number:
        """Scores on a scale from 0 for random tokens to 1 for the expert.

        ``(score - random) / (expert - random)``, the normalisation of Mnih et al. 2015 (Nature
        518, "Evaluation procedure") and of D4RL (Fu et al. 2020, section 5).
        """
        return (score - self.random.mean) / (self.expert.mean - self.random.mean)


@cache
def load_scales() -> tuple[Scale, ...]:
    """All stored scales."""
    return parse_scales(resources.files("textgym").joinpath("data/scales.json").read_text("utf-8"))


def parse_scales(text: str) -> tuple[Scale, ...]:
    """The scales of a JSON list."""
    return tuple(_scale(row) for row in json.loads(text))


def _scale(row: dict[str, Any]) -> Scale:
    values: dict[str, Any] = {
        key: Measured(**value) if isinstance(value, dict) else value for key, value in row.items()
    }
    return Scale(**values)


def find_scale(task: Task, reward: Reward, tokenizer: str, max_new_tokens: int) -> Scale | None:
    """The scale of a task under a reward, a tokenizer and a budget; None if it was not measured."""
    asked = (task.variant, reward.signature, tokenizer, max_new_tokens)
    for scale in load_scales():
        if asked == (scale.variant, scale.reward, scale.tokenizer, scale.max_new_tokens):
            return scale
    return None
