"""Builds policies: for an environment, and from what a checkpoint says they were.

A *description* is what a policy is without its weights, as JSON. It is made once, from the
configuration and the environment, and saved in every checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import gymnasium as gym
import torch
import tyro

from textgym_agents.checks import check_choices
from textgym_agents.policies import MLPPolicy, Policy, Sampling
from textgym_agents.policies.bundled import BUNDLED, bundled_fits, bundled_folder
from textgym_agents.policies.spaces import describe_space, space_from

LANGUAGE_MODELS = ("causal_lm", "seq2seq")
"""The kinds of policy over token contexts."""

FRESH_SIZES = {"layers": 4, "heads": 4, "width": 128}
"""The sizes of a fresh GPT-2 or T5 where none are given."""


@dataclass(frozen=True, kw_only=True)
class PolicyConfig:
    """The policy to train, and how it samples."""

    # The kind of network. causal_lm: a transformers decoder on token ids; seq2seq: a transformers
    # encoder-decoder on them, T5, BART or the like; mlp: a small network on numbers or a few
    # symbols; auto: mlp, or where the environment names a padding id, what the model is, causal_lm
    # if none is named.
    kind: Annotated[
        Literal["auto", "mlp", "causal_lm", "seq2seq"], tyro.conf.arg(name="policy")
    ] = "auto"

    # Widths of an mlp's hidden layers. Smaller: faster. Larger: fits more.
    hidden_sizes: tuple[int, ...] = (64, 64)

    # A language model's name or folder for transformers, whose tokenizer must be the environment's,
    # or "bundled" for the small causal_lm that comes along. None: the bundled one where the
    # environment has its tokenizer, contexts of its 768 tokens at most, and no size is given below,
    # and a fresh GPT-2 elsewhere; for a seq2seq, a fresh T5.
    model: str | None = None

    # Blocks of a fresh GPT-2, or of a fresh T5's encoder and of its decoder; None is 4. Fewer:
    # faster. More: fits more.
    layers: int | None = None

    # Attention heads of a fresh GPT-2 or T5; must divide its width. None is 4.
    heads: int | None = None

    # Width of a fresh GPT-2's or T5's hidden states; None is 128. Smaller: faster. Larger: fits
    # more.
    width: int | None = None

    # Divides the logits; above 0. Lower: closer to the most probable action. Higher: closer to
    # uniform. Training and evaluation follow the distribution so changed.
    temperature: float = 1.0

    # Only the k most probable actions stay; 0: all. Lower: less variety.
    top_k: int = 0

    # Only the most probable actions that reach this probability together stay; 1: all. Lower: less
    # variety.
    top_p: float = 1.0

    # Only actions at least so many times as probable as the most probable one stay, 0 to 1; 0: all.
    # Higher: less variety.
    min_p: float = 0.0

    # Probability of a legal action drawn uniformly in place of one drawn from what the filters
    # left; below 1. Higher: more exploration, and less sense at each step.
    epsilon: float = 0.0

    # What gives a language model's values. shared: a linear head on it; separate: a copy of the
    # model that learns nothing but values, which takes twice the memory and time and keeps the
    # errors of the values out of the language model.
    critic: Literal["shared", "separate"] = "shared"

    # Rank of a LoRA adapter on a language model, which then is all of it that trains; 0: none, and
    # all weights train. Lower: less memory for Adam. Higher: fits more.
    lora_rank: int = 0

    # The adapter's output is scaled by lora_alpha / lora_rank; above 0. Lower: slower. Higher:
    # faster, like a higher learning rate.
    lora_alpha: float = 16.0

    # Last parts of the names of the linear layers that the adapter is for, such as c_attn; none
    # given: all but the language-model head.
    lora_targets: tuple[str, ...] = ()

    # A language model's matrix products. fp32: in full; bf16: in bfloat16, which is faster where
    # the processor has it, and rounds log-probabilities in the third digit.
    precision: Literal["fp32", "bf16"] = "fp32"

    # Keep less of a language model's forward pass for the backward pass and compute it again there:
    # less memory, a third more time for an update.
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        check_choices(self)
        sizes = {name: getattr(self, name) for name in FRESH_SIZES}
        sizes |= {f"hidden_sizes[{i}]": size for i, size in enumerate(self.hidden_sizes)}
        for name, size in sizes.items():
            if size is not None and size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        if self.lora_rank < 0:
            raise ValueError(f"lora_rank must be at least 0 (0: no adapter), got {self.lora_rank}")
        if not (self.lora_alpha > 0 and math.isfinite(self.lora_alpha)):
            raise ValueError(f"lora_alpha must be above 0 and finite, got {self.lora_alpha}")
        if self.lora_targets and not self.lora_rank:
            raise ValueError(
                f"lora_targets {', '.join(self.lora_targets)} need a lora_rank above 0: without "
                "it there is no adapter"
            )

    def sampling(self) -> Sampling:
        """The sampling part, checked."""
        return Sampling(**{part.name: getattr(self, part.name) for part in fields(Sampling)})


def describe_policy(
    config: PolicyConfig, envs: gym.vector.VectorEnv[Any, Any, Any], seed: int = 0
) -> dict[str, Any]:
    """Say what policy the configuration means for an environment, as JSON.

    Args:
        config: The configuration.
        envs: A vector environment.
        seed: Of the fresh weights.

    Raises:
        ValueError: The configuration or the environment's spaces do not allow it.
    """
    kind: str = config.kind
    if kind == "auto":
        kind = _kind_for(envs, config.model)
    described: dict[str, Any] = {
        "kind": kind,
        "seed": seed,
        "observation_space": describe_space(envs.single_observation_space),
        "action_space": describe_space(envs.single_action_space),
    }
    if kind == "mlp":
        described["hidden_sizes"] = list(config.hidden_sizes)
    else:
        if "pad_id" not in envs.metadata:
            raise ValueError(
                f"a {kind} needs an environment that names its padding id in "
                'metadata["pad_id"]; use policy mlp for environments whose observations are not '
                "token ids"
            )
        described["pad_id"] = int(envs.metadata["pad_id"])
        described["tokenizer"] = envs.metadata.get("tokenizer")
        sizes = {name: getattr(config, name) for name in FRESH_SIZES}
        _refuse_sizes(config, sizes)
        fresh = any(size is not None for size in sizes.values())
        described["model"] = config.model
        if kind == "causal_lm" and config.model is None and not fresh and bundled_fits(envs):
            described["model"] = BUNDLED
        described |= {name: sizes[name] or usual for name, usual in FRESH_SIZES.items()}
    if kind == "mlp":
        refuse_parts(config)
    else:
        named = described["model"] is not None and not Path(described["model"]).is_dir()
        described |= describe_parts(config, described["model"] if named else None, seed)
    return with_sampling(described, config.sampling())


def _kind_for(envs: gym.vector.VectorEnv[Any, Any, Any], model: str | None) -> str:
    """The kind of policy for an environment's observations, and for a model if one is named."""
    if "pad_id" not in envs.metadata:
        return "mlp"
    if model in (None, BUNDLED):
        return "causal_lm"
    from textgym_agents.policies.models import is_encoder_decoder

    return "seq2seq" if is_encoder_decoder(model) else "causal_lm"


def describe_parts(config: PolicyConfig, base: str | None, seed: int) -> dict[str, Any]:
    """What a language model has besides its base model, and how it computes.

    Args:
        config: The configuration.
        base: The model's name, by which an adapter's checkpoint loads it again; None: it has none
            that lasts (a folder may be moved), and is saved with the adapter.
        seed: Of the adapter's weights.
    """
    adapter = {
        "rank": config.lora_rank,
        "alpha": config.lora_alpha,
        "targets": list(config.lora_targets),
        "base": base,
        "seed": seed,
    }
    return {
        "lora": adapter if config.lora_rank else None,
        "critic": config.critic,
        "precision": config.precision,
        "gradient_checkpointing": config.gradient_checkpointing,
    }


def refuse_parts(config: PolicyConfig) -> None:
    """Check that an mlp is not asked for what it cannot have.

    Raises:
        ValueError: It is; names the field.
    """
    parts = ("critic", "lora_rank", "precision", "gradient_checkpointing")
    for name in ("model", *FRESH_SIZES, *parts):
        asked, usual = getattr(config, name), getattr(PolicyConfig, name)
        if asked != usual:
            raise ValueError(
                f"{name}={asked!r} is for language models; leave it at {usual!r} for policy mlp"
            )


def _refuse_sizes(config: PolicyConfig, sizes: Mapping[str, int | None]) -> None:
    """Check that a language model is not asked for sizes that it will not have.

    Raises:
        ValueError: It is; names them.
    """
    if config.hidden_sizes != PolicyConfig.hidden_sizes:
        raise ValueError(
            f"hidden_sizes={config.hidden_sizes} is for policy mlp; a fresh language model has "
            + ", ".join(FRESH_SIZES)
        )
    given = [f"{name} {size}" for name, size in sizes.items() if size is not None]
    if given and config.model is not None:
        raise ValueError(
            f"model {config.model!r} has sizes of its own, so {', '.join(given)} cannot be asked "
            "for: leave them out, or the model, for a fresh one of these sizes"
        )


def with_sampling(description: Mapping[str, Any], sampling: Sampling) -> dict[str, Any]:
    """The description of the same policy sampling otherwise."""
    return {**description, **asdict(sampling)}


def described_sampling(description: Mapping[str, Any]) -> Sampling:
    """How a described policy samples; what an older description does not name is off."""
    names = [field.name for field in fields(Sampling) if field.name in description]
    return Sampling(**{name: description[name] for name in names})


def check_fits(description: Mapping[str, Any], envs: gym.vector.VectorEnv[Any, Any, Any]) -> None:
    """Check that a described policy can act in an environment.

    An mlp needs the very observations it was made for; language models take contexts of any width.

    Raises:
        ValueError: The spaces or the padding ids differ; says how.
    """
    needed = {"action_space": envs.single_action_space}
    if description["kind"] == "mlp":
        needed["observation_space"] = envs.single_observation_space
    for name, space in needed.items():
        if description[name] != describe_space(space):
            raise ValueError(
                f"the policy was made for the {name.replace('_', ' ')} "
                f"{space_from(description[name])}, the environment has {space}"
            )
    pad_id = envs.metadata.get("pad_id")
    if description["kind"] != "mlp" and description["pad_id"] != pad_id:
        raise ValueError(
            f"the policy was made for padding id {description['pad_id']}, the environment's is "
            f"{pad_id}"
        )
    learned, shown = description.get("tokenizer"), envs.metadata.get("tokenizer")
    if learned and shown and learned != shown:
        raise ValueError(
            f"the policy was trained with tokenizer {learned}, the environment has {shown}: the "
            "same ids mean other tokens"
        )


def build_policy(description: Mapping[str, Any]) -> Policy:
    """A policy with fresh weights, which the description's seed fixes, or a pretrained model's.

    Raises:
        ValueError: The kind is unknown, or the model does not fit the environment described.
        OSError: The named model cannot be found.
    """
    if description["kind"] in LANGUAGE_MODELS:
        return build_language_model(description)
    if description["kind"] != "mlp":
        known = ", ".join(("mlp", *LANGUAGE_MODELS))
        raise ValueError(f"unknown kind of policy {description['kind']!r}; known: {known}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(description["seed"])
        return MLPPolicy(
            space_from(description["observation_space"]),
            space_from(description["action_space"]),
            hidden_sizes=description["hidden_sizes"],
            sampling=described_sampling(description),
        )


def build_language_model(description: Mapping[str, Any], folder: Path | None = None) -> Policy:
    """A policy over token contexts.

    Args:
        description: What it is.
        folder: Where ``save_pretrained`` wrote its model; None: the model that the description
            names, or a fresh one.

    Raises:
        ValueError: The model named has no encoder, where one is asked for.
    """
    from textgym_agents.policies import models
    from textgym_agents.policies.assembly import assemble

    source = description["model"] if folder is None else folder
    encoder = description["kind"] == "seq2seq"
    if source is not None:
        load = models.load_seq2seq_lm if encoder else models.load_causal_lm
        name = bundled_folder() if source == BUNDLED else source
        model = load(name, seed=description["seed"])
        return assemble(model, description, sampling=described_sampling(description))
    sizes = {name: description[name] for name in FRESH_SIZES}
    num_actions, seed = int(description["action_space"]["n"]), description["seed"]
    if encoder:
        model = models.small_t5(num_actions, seed=seed, **sizes)
    else:
        space = description["observation_space"]
        width = space["spaces"]["input_ids"]["shape"] if "spaces" in space else space["shape"]
        model = models.small_gpt2(num_actions, max_positions=int(width[0]), seed=seed, **sizes)
    return assemble(model, description, sampling=described_sampling(description))
