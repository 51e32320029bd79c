"""The language model that the package brings along: small, and fluent in textgym's own tasks."""

from __future__ import annotations

import json
import warnings
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import gymnasium as gym

BUNDLED = "bundled"
"""What `PolicyConfig.model` calls it."""


def bundled_folder() -> Path:
    """The folder of its weights, configuration, tokenizer and model card."""
    return Path(str(resources.files("textgym_agents"))) / "data" / BUNDLED


@cache
def _config() -> dict[str, Any]:
    path = bundled_folder() / "config.json"
    config: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return config


def bundled_fits(envs: gym.vector.VectorEnv[Any, Any, Any]) -> bool:
    """Whether the environment has the bundled model's tokens, and contexts that it has room for.

    The tokenizer is known by the checksum in ``envs.metadata["tokenizer"]``. Where the room alone
    is missing, a warning says so: random weights are a long way from where the model begins.
    """
    config = _config()
    space = envs.single_observation_space
    contexts = space["input_ids"] if isinstance(space, gym.spaces.Dict) else space
    if envs.metadata.get("tokenizer") != config.get("textgym_tokenizer", ""):
        return False
    length, room = (contexts.shape or (0,))[0], int(config["n_positions"])
    if length > room:
        warnings.warn(
            f"contexts of {length} tokens are longer than the bundled model's {room}, so that a "
            "fresh one with random weights takes its place: lower max_prompt_tokens or "
            "max_new_tokens, or name a model",
            stacklevel=3,
        )
    return length <= room
