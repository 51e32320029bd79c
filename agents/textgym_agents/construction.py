"""Builds policies: for an environment, and back from a checkpoint's folder.

A *description* is what a policy is without its weights, as JSON. It is made once, from the
configuration and the environment, and saved in every checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import gymnasium as gym
import numpy as np
import torch
import tyro
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from textgym_agents.policies import MLPPolicy, Policy, Sampling


@dataclass(frozen=True, kw_only=True)
class PolicyConfig:
    """The policy to train, and how it samples."""

    kind: Annotated[Literal["auto", "mlp", "causal_lm"], tyro.conf.arg(name="policy")] = "auto"
    """The kind of network. causal_lm: a transformers decoder on token ids; mlp: a small network
    on numbers or a few symbols; auto: causal_lm where the environment names a padding id."""

    hidden_sizes: tuple[int, ...] = (64, 64)
    """Widths of an mlp's hidden layers. Smaller: faster. Larger: fits more."""

    model: str | None = None
    """A causal_lm's name or folder for transformers; its tokenizer must be the environment's.
    None: a fresh GPT-2 of the sizes below."""

    layers: int = 4
    """Blocks of a fresh GPT-2. Fewer: faster. More: fits more."""

    heads: int = 4
    """Attention heads of a fresh GPT-2; must divide its width."""

    width: int = 128
    """Width of a fresh GPT-2's hidden states. Smaller: faster. Larger: fits more."""

    temperature: float = 1.0
    """Divides the logits; above 0. Lower: closer to the most probable action. Higher: closer to
    uniform. Training and evaluation follow the distribution so changed."""

    top_k: int = 0
    """Only the k most probable actions stay; 0: all. Lower: less variety."""

    top_p: float = 1.0
    """Only the most probable actions that reach this probability together stay; 1: all. Lower:
    less variety."""

    def sampling(self) -> Sampling:
        """The sampling part, checked."""
        return Sampling(temperature=self.temperature, top_k=self.top_k, top_p=self.top_p)


def describe_policy(
    config: PolicyConfig, envs: gym.vector.VectorEnv[Any, Any, Any]
) -> dict[str, Any]:
    """Say what policy the configuration means for an environment, as JSON.

    Raises:
        ValueError: The configuration or the environment's spaces do not allow it.
    """
    sampling = config.sampling()
    described: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "observation_space": describe_space(envs.single_observation_space),
        "action_space": describe_space(envs.single_action_space),
    }
    kind = config.kind
    if kind == "auto":
        kind = "causal_lm" if "pad_id" in envs.metadata else "mlp"
    if kind == "mlp":
        return {"kind": "mlp", "hidden_sizes": list(config.hidden_sizes), **described}
    raise NotImplementedError


def with_sampling(description: Mapping[str, Any], sampling: Sampling) -> dict[str, Any]:
    """The description of the same policy sampling otherwise."""
    return {
        **description,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
    }


def check_fits(description: Mapping[str, Any], envs: gym.vector.VectorEnv[Any, Any, Any]) -> None:
    """Check that a described policy can act in an environment.

    Raises:
        ValueError: The spaces differ; says how.
    """
    for name, space in (
        ("observation_space", envs.single_observation_space),
        ("action_space", envs.single_action_space),
    ):
        if description[name] != describe_space(space):
            raise ValueError(
                f"the policy was made for the {name.replace('_', ' ')} "
                f"{space_from(description[name])}, the environment has {space}"
            )


def build_policy(description: Mapping[str, Any]) -> Policy:
    """A policy with fresh weights (torch's default generator), or a pretrained model's.

    Raises:
        ValueError: The kind is unknown.
    """
    sampling = Sampling(
        temperature=description["temperature"],
        top_k=description["top_k"],
        top_p=description["top_p"],
    )
    if description["kind"] == "mlp":
        return MLPPolicy(
            space_from(description["observation_space"]),
            space_from(description["action_space"]),
            hidden_sizes=description["hidden_sizes"],
            sampling=sampling,
        )
    raise ValueError(f"unknown kind of policy {description['kind']!r}; known: mlp, causal_lm")


def save_policy(policy: Policy, folder: Path) -> None:
    """Write a policy's weights into an existing folder."""
    tensors = {name: value.contiguous() for name, value in policy.state_dict().items()}
    save_file(tensors, folder / "policy.safetensors")


def load_policy(description: Mapping[str, Any], folder: Path) -> Policy:
    """Build a described policy with the weights that `save_policy` wrote.

    Raises:
        FileNotFoundError: A file of weights is missing.
        ValueError: A file is damaged, or does not fit the description.
    """
    policy = build_policy(description)
    path = folder / "policy.safetensors"
    load_tensors(policy, read_tensors(path), path)
    return policy


def load_tensors(module: torch.nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Give a module the weights read from ``path``.

    Raises:
        ValueError: Names are missing or unknown, or shapes differ; names them.
    """
    own = module.state_dict()
    wrong = [f"{name} is missing" for name in own if name not in tensors]
    wrong += [f"{name} is unknown" for name in tensors if name not in own]
    wrong += [
        f"{name} has shape {tuple(tensor.shape)}, the policy {tuple(own[name].shape)}"
        for name, tensor in tensors.items()
        if name in own and tensor.shape != own[name].shape
    ]
    if wrong:
        raise ValueError(f"{path} does not fit the policy: {'; '.join(wrong[:8])}")
    module.load_state_dict(tensors)


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file.

    Raises:
        FileNotFoundError: It is not there.
        ValueError: It is damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"the checkpoint has no {path.name}: {path}")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def describe_space(space: gym.Space[Any]) -> dict[str, Any]:
    """A Box (by its least and largest value), Discrete or Dict space as JSON.

    Raises:
        ValueError: Another kind of space.
    """
    if isinstance(space, gym.spaces.Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, gym.spaces.Box):
        low, high = space.low.min().item(), space.high.max().item()
        return {
            "type": "Box",
            "low": low,
            "high": high,
            "shape": list(space.shape),
            "dtype": str(space.dtype),
        }
    if isinstance(space, gym.spaces.Dict):
        parts = {key: describe_space(part) for key, part in space.spaces.items()}
        return {"type": "Dict", "spaces": parts}
    raise ValueError(f"policies take Box, Discrete and Dict spaces, got {space}")


def space_from(description: Mapping[str, Any]) -> gym.Space[Any]:
    """The space that `describe_space` described."""
    if description["type"] == "Discrete":
        return gym.spaces.Discrete(description["n"], start=description["start"])
    if description["type"] == "Dict":
        parts = {key: space_from(part) for key, part in description["spaces"].items()}
        return gym.spaces.Dict(parts)
    dtype: Any = np.dtype(description["dtype"]).type
    return gym.spaces.Box(
        description["low"], description["high"], tuple(description["shape"]), dtype
    )
