"""A checkpoint knows the tokenizer it was trained with, whatever the sizes say."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from textgym_agents.algorithms.reinforce import ReinforceConfig
from textgym_agents.policies.construction import PolicyConfig
from textgym_agents.train import TrainConfig, train

ROWS = [{"prompt": "yes no", "references": ["yes"], "split": "train"}]


def tokenizer_file(path: Path, words: list[str]) -> str:
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "no"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["</s>"])
    tokenizer.save(str(path))
    return str(path)


def run(output: Path, tokenizer: str, init: Path | None = None) -> Path:
    config = TrainConfig(
        env_id="textgym:textgym/Text-v0",
        env_kwargs={"task": ROWS, "tokenizer": tokenizer, "max_new_tokens": 2},
        total_steps=4,
        num_envs=2,
        output=output,
        init=init,
        policy=PolicyConfig(layers=1, heads=1, width=8),
        progress=False,
        tensorboard=False,
    )
    return train(config, ReinforceConfig()).checkpoint


def test_other_tokens_behind_the_same_ids_are_refused(tmp_path: Path) -> None:
    one = tokenizer_file(tmp_path / "one.json", ["</s>", "yes", "no"])
    other = tokenizer_file(tmp_path / "other.json", ["</s>", "no", "yes"])
    first = run(tmp_path / "first", one)
    assert run(tmp_path / "again", one, init=first)
    with pytest.raises(ValueError, match=r"trained with tokenizer vocabulary:.* the same ids mean"):
        run(tmp_path / "wrong", other, init=first)
    assert not (tmp_path / "wrong").exists()
