"""What the Multi30k benchmark translates, with what: its settings, tokenizer and environments."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch

from textgym.tasks import Task, load_task
from textgym_agents.policies import Episode, Policy
from textgym_agents.policies.construction import PolicyConfig
from textgym_agents.rollout import collect
from textgym_agents.runs.atomic import write_text

sys.path.append(str(Path(__file__).resolve().parents[1] / "scripts"))

from train_tokenizer import train as train_bpe

FIELDS = {"prompt": "en", "references": "de"}
TEST = "test_2016_flickr"
SLOTS = 128
"""Sentences that are translated side by side."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the results depend on, and the device."""

    data: Path
    runs: Path
    device: str
    vocab_size: int
    layers: int
    heads: int
    width: int
    dropout: float
    batch: int
    interval: int
    patience: int
    max_intervals: int
    steps: int
    num_envs: int
    group_size: int
    learning_rate: float
    lora_rank: int
    sentences: int

    @property
    def tokenizer(self) -> Path:
        return self.runs / "tokenizer.json"

    @property
    def policy(self) -> PolicyConfig:
        return PolicyConfig(
            kind="causal_lm", layers=self.layers, heads=self.heads, width=self.width
        )

    def folder(self, arm: str, seed: int) -> Path:
        return self.runs / f"{arm.replace(' ', '-')}-{seed}"

    def env(self, **more: Any) -> dict[str, Any]:
        """Arguments of the environment."""
        return {
            "task": str(self.data),
            "task_kwargs": FIELDS,
            "tokenizer": str(self.tokenizer),
            "max_prompt_tokens": 96,
            "max_new_tokens": 64,
            "prompt_overflow": "truncate",
            "mask_in_info": False,
            **more,
        }


@cache
def corpus(data: Path) -> Task:
    return load_task(str(data), **FIELDS)


def make_tokenizer(settings: Settings) -> None:
    """Train the BPE on both sides of the training split."""
    if settings.tokenizer.is_file():
        return
    task = corpus(settings.data)
    examples = (task.example(index) for index in range(task.num_examples("train")))
    texts = (text for example in examples for text in (example.prompt, *example.references))
    trained = train_bpe(texts, settings.vocab_size)
    write_text(settings.tokenizer, trained.to_str(pretty=False))


class Listed(gym.vector.VectorWrapper):
    """Shows the examples that it is told to in place of drawn ones."""

    examples: Sequence[int] = ()

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        return self.env.reset(seed=seed, options={**(options or {}), "example": self.examples})


def indices(settings: Settings, split: str) -> list[int]:
    """The sentences of the validation split, or those of test 2016 in the test split."""
    task = corpus(settings.data)
    every = list(range(task.num_examples(split)))
    if split == "test":
        every = [i for i in every if task.example(i, split).metadata["split"] == TEST]
    return every[: settings.sentences]


def episodes_on(
    settings: Settings, policy: Policy, split: str, *, greedy: bool = False, expert: bool = False
) -> list[Episode]:
    """One episode for each sentence of a split, in order; `expert` writes the reference."""
    kwargs = settings.env(task=corpus(settings.data), task_kwargs=None, demonstrations=expert)
    envs = Listed(gym.make_vec("textgym/Text-v0", num_envs=SLOTS, split=split, **kwargs))
    generator = torch.Generator(policy.device).manual_seed(3)
    wanted, episodes = indices(settings, split), []
    for first in range(0, len(wanted), SLOTS):
        part = wanted[first : first + SLOTS]
        envs.examples = part + part[:1] * (SLOTS - len(part))
        episodes += collect(
            envs,
            policy,
            seeds=range(SLOTS),
            generator=generator,
            deterministic=greedy,
            follow_expert=expert,
        )[: len(part)]
    return episodes


def validation_loss(settings: Settings, policy: Policy) -> float:
    """Nats a token of the validation split's references."""
    episodes = episodes_on(settings, policy, "validation", expert=True)
    nats = 0.0
    with torch.no_grad():
        for first in range(0, len(episodes), SLOTS):
            nats -= float(policy.evaluate(episodes[first : first + SLOTS]).log_probs.sum())
    return nats / sum(episode.num_steps for episode in episodes)


def texts(episodes: Sequence[Episode]) -> list[str]:
    return [episode.info["text"] for episode in episodes]


def references(settings: Settings, split: str) -> list[str]:
    task = corpus(settings.data)
    return [task.example(index, split).references[0] for index in indices(settings, split)]
