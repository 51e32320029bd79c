"""How the step size changes over a training run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from textgym_agents.checks import check_choices, require

Schedule: TypeAlias = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """What the configurations of algorithms that take Adam's steps begin with."""

    # How the step size changes after the warm-up: constant, or falling to 0 at total_steps, along a
    # line or half a cosine. Falling settles where constant steps keep wandering.
    schedule: Schedule = "constant"

    # Share of total_steps, 0 to 1, over which the step size first rises from 0 in a line. Lower:
    # starts at once. Higher: steadier start.
    warmup: float = 0.0

    def __post_init__(self) -> None:
        check_choices(self)
        require("warmup", self.warmup, least=0, most=1)


def scheduled(schedule: Schedule, progress: float, warmup: float = 0.0) -> float:
    """The share of the largest step size that is due, 0 to 1.

    Args:
        schedule: After the warm-up, constant, or falling to 0 in a line or in half a cosine.
        progress: Share of the training done, 0 to 1.
        warmup: Share of the training over which the step size first rises from 0 in a line.
    """
    if progress < warmup:
        return progress / warmup
    left = (1.0 - min(progress, 1.0)) / max(1.0 - warmup, 1e-12)
    if schedule == "linear":
        return left
    if schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * (1.0 - left)))
    return 1.0
