"""Real text through Text-v0: Multi30k English to German loads, conforms and trains."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import textgym  # noqa: F401
from textgym_agents.algorithms import AlgorithmConfig
from textgym_agents.algorithms.mle import MaximumLikelihoodConfig
from textgym_agents.algorithms.reinforce import ReinforceConfig
from textgym_agents.policies.construction import PolicyConfig
from textgym_agents.train import TrainConfig, train

FOLDER = Path(os.environ.get("TEXTGYM_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
DATA = FOLDER / "task_multi30k_en_de.jsonl.gz"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason=f"{DATA} is not there")

KWARGS: dict[str, Any] = {
    "task": str(DATA),
    "task_kwargs": {"prompt": "en", "references": "de"},
    "max_prompt_tokens": 128,
    "max_new_tokens": 48,
}
ENV_ID = "textgym:textgym/Text-v0"


def test_it_conforms() -> None:
    env = gym.make(ENV_ID, disable_env_checker=True, render_mode="ansi", **KWARGS)
    assert env.unwrapped.mdp.num_examples == 29_000
    check_env(env.unwrapped)
    envs = gym.make_vec(ENV_ID, num_envs=4, split="test", **KWARGS)
    observations, _ = envs.reset(seed=0)
    assert observations in envs.observation_space


def test_a_reference_scores_one_and_half_of_it_less() -> None:
    env = gym.make(ENV_ID, **{**KWARGS, "max_new_tokens": 128})
    tokenizer = env.unwrapped.mdp.tokenizer
    scores = []
    for keep in (1.0, 0.5):
        env.reset(options={"example": 3})
        words = env.unwrapped.mdp.task.example(3).references[0].split()
        text = " ".join(words[: int(len(words) * keep)])
        for token in [*tokenizer.encode(text), tokenizer.eos_id]:
            info = env.step(token)[4]
        scores.append(info["score"])
    assert scores[0] == pytest.approx(1.0)
    assert 0.1 < scores[1] < 0.7


def run(
    output: Path, algorithm: AlgorithmConfig, steps: int, init: Path | None = None, **env: Any
) -> dict[str, float]:
    config = TrainConfig(
        env_id=ENV_ID,
        env_kwargs={**KWARGS, **env},
        total_steps=steps,
        num_envs=16,
        output=output,
        init=init,
        policy=PolicyConfig(layers=2, heads=2, width=64),
        progress=False,
        tensorboard=False,
    )
    return train(config, algorithm).metrics


@pytest.mark.filterwarnings("ignore:demonstrations are cut")  # A few are longer.
def test_it_trains_a_few_steps(tmp_path: Path) -> None:
    likelihood = MaximumLikelihoodConfig(learning_rate=3e-3)
    first = run(tmp_path / "one", likelihood, 1, demonstrations=True)
    last = run(tmp_path / "mle", likelihood, 20_000, demonstrations=True)
    assert last["loss"] < first["loss"] - 0.5
    gradient = ReinforceConfig(learning_rate=1e-4, baseline="leave_one_out", group_size=4)
    row = run(tmp_path / "pg", gradient, 1_500, init=tmp_path / "mle")
    assert np.isfinite(row["loss"])
    assert row["log_prob_gap"] < 1e-4
