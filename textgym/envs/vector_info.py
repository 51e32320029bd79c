"""Final infos of finished episodes, in Gymnasium's vector form: arrays with ``_key`` masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.envs.mdp import Prompt


@dataclass(frozen=True, slots=True)
class FinalInfos:
    """What the slots that ended in one step tell; every sequence is aligned with `slots`, [n]."""

    slots: NDArray[np.int64]
    prompts: Sequence[Prompt]
    texts: Sequence[str]
    scores: NDArray[np.float64]
    components: Mapping[str, NDArray[np.float64]]
    reasons: Sequence[str]

    def entries(self) -> dict[str, Any]:
        """The infos by key: numeric arrays, or sequences of objects, [n] each."""
        return {
            "prompt": [prompt.example.prompt for prompt in self.prompts],
            "text": self.texts,
            "score": self.scores,
            **self.components,
            "references": [prompt.example.references for prompt in self.prompts],
            "example": np.array([prompt.index for prompt in self.prompts], dtype=np.int64),
            "finish_reason": self.reasons,
        }


def add_entries(
    infos: dict[str, Any], entries: Mapping[str, Any], slots: NDArray[np.int64], num_envs: int
) -> None:
    """Spread values of some slots over arrays of all slots, as `VectorEnv._add_info` does.

    The keys share one mask array.
    """
    numbers = slots.tolist()
    mask = np.zeros(num_envs, dtype=np.bool_)
    mask[slots] = True
    for key, values in entries.items():
        if isinstance(values, np.ndarray):
            spread = np.zeros(num_envs, dtype=values.dtype)
            spread[slots] = values
        else:
            spread = np.empty(num_envs, dtype=object)
            for slot, value in zip(numbers, values, strict=True):
                spread[slot] = value
        infos[key], infos[f"_{key}"] = spread, mask
