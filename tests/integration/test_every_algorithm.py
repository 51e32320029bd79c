"""What every algorithm's runs must do: go on from any checkpoint, stop where a loss is infinite."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from safetensors.torch import load_file

from textgym_agents.algorithms import ALGORITHMS
from textgym_agents.checkpoint import (
    CHECKPOINTS,
    LATEST,
    checkpoint_folder,
    find_checkpoint,
    load_checkpoint_policy,
    read_state,
)
from textgym_agents.loggers import TIME_COLUMNS, read_rows
from textgym_agents.policies import MLPPolicy
from textgym_agents.policies.construction import PolicyConfig
from textgym_agents.runs import records
from textgym_agents.train import TrainConfig, TrainResult, train

ITERATIONS = 3
HELD: dict[str, Any] = {"entropy_coef": 0.05, "target_entropy": 1.0, "weight_decay": 0.01}
STEPS: dict[str, Any] = {"num_epochs": 2, "num_minibatches": 2}
OPTIONS: dict[str, dict[str, Any]] = {
    "reinforce": {"baseline": "learned", "normalize_values": True, "schedule": "cosine", **HELD},
    "rloo": {"group_size": 2, "kl_coef": 0.1, "schedule": "linear", "warmup": 0.4, **STEPS, **HELD},
    "grpo": {
        "group_size": 2,
        "variant": "dapo",
        "ratio_level": "sequence",
        "surrogate": "weighted",
        "kl_coef": 0.1,
        "schedule": "cosine",
        "episodes_per_env": 2,
        **STEPS,
        **HELD,
    },
    "expert_iteration": {
        "group_size": 2,
        "gamma": 0.9,
        "schedule": "linear",
        "episodes_per_env": 2,
        "max_tokens_per_pass": 16,
        **STEPS,
        **HELD,
    },
    "mle": {"schedule": "linear", "warmup": 0.3, "max_grad_norm": 0.1, "dropout": 0.1},
    "a2c": {"n_steps": 2, "normalize_values": True, "schedule": "cosine", **HELD},
    "ppo": {
        "kl_coef": 0.1,
        "kl_coef_target": 0.01,
        "kl_penalty": "loss",
        "kl_estimator": "k2",
        "normalize_values": True,
        **STEPS,
        **HELD,
    },
    "trpo": {
        "cg_iterations": 2,
        "steps_per_env": 6,
        "value_epochs": 2,
        "fisher_share": 0.5,
        "line_search_steps": 3,
        "line_search_shrink": 0.5,
        "normalize_values": True,
        **HELD,
    },
    "nlpo": {"mask_interval": 2, "kl_coef": 0.1, "normalize_values": True, **STEPS, **HELD},
}
EVERY = pytest.mark.parametrize("name", list(ALGORITHMS))
POLICIES: dict[str, dict[str, Any]] = {
    "mlp": {"kind": "mlp", "hidden_sizes": (8,)},
    "causal_lm": {"kind": "causal_lm", "layers": 1, "heads": 2, "width": 16},
}
KEPT = {
    "reinforce": {"log_entropy_coef", "scale."},
    "rloo": {"log_entropy_coef", "reference."},
    "grpo": {"log_entropy_coef", "reference."},
    "expert_iteration": {"log_entropy_coef"},
    "mle": set(),
    "a2c": {"log_entropy_coef", "scale."},
    "ppo": {"log_entropy_coef", "kl_coef", "reference.", "scale."},
    "trpo": {"log_entropy_coef", "scale."},
    "nlpo": {"log_entropy_coef", "kl_coef", "mask_age", "mask_policy.", "reference.", "scale."},
}
"""What names in an algorithm's state begin with."""


def run(name: str, output: Path, policy: str, resume: bool = False) -> TrainResult:
    """Some iterations on Tiny-v0, with a checkpoint after each."""
    options = OPTIONS[name]
    if policy == "mlp":
        options = {key: value for key, value in options.items() if key != "dropout"}
    sampling = {"epsilon": 0.1, "temperature": 0.9}
    config = TrainConfig(
        env_id="textgym:textgym/Tiny-v0",
        env_kwargs={"shaping": "dense", "demonstrations": name == "mle"},
        output=output,
        num_envs=8,
        total_steps=4 * ITERATIONS * 8 * options.get("episodes_per_env", 1),
        policy=PolicyConfig(**POLICIES[policy], **({} if name == "mle" else sampling)),
        checkpoint_interval=1,
        keep_checkpoints=100,
        resume=resume,
        tensorboard=False,
        progress=False,
    )
    return train(config, ALGORITHMS[name][1](**options))


def log(output: Path) -> list[dict[str, float]]:
    rows = read_rows(output / "log.jsonl")
    return [{k: v for k, v in row.items() if k not in TIME_COLUMNS} for row in rows]


@pytest.fixture(autouse=True)
def no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes longer than the runs."""
    monkeypatch.setattr(records, "save_learning_curve", lambda *_: None)


@EVERY
def test_a_word_that_an_option_does_not_know_is_named(name: str) -> None:
    config = ALGORITHMS[name][1]
    options = {
        option: get_args(part)
        for option, hint in get_type_hints(config).items()
        for part in (hint, *get_args(hint))
        if get_origin(part) is Literal
    }
    assert options or name == "trpo"
    for option, words in options.items():
        with pytest.raises(ValueError, match=f'{option} must be one of "{words[0]}"'):
            config(**{option: "wrong"})


@pytest.mark.parametrize("name", [name for name in ALGORITHMS if name != "trpo"])
def test_the_step_size_rises_and_falls(name: str) -> None:
    """But for TRPO's, whose steps are as long as the divergence allows."""
    learner, config = ALGORITHMS[name]
    options = {"learning_rate": 2.0, "schedule": "linear", "warmup": 0.2, "dropout": 0.0}
    known = {key: value for key, value in options.items() if key in get_type_hints(config)}
    made = learner(MLPPolicy(Box(0, 1, (2,)), Discrete(2)), config(**known))
    for progress, rate in {0.0: 0.0, 0.1: 1.0, 0.2: 2.0, 0.6: 1.0, 1.0: 0.0}.items():
        assert made.learning_rate(progress) == pytest.approx(rate, abs=1e-12)
    for wrong in (-0.1, 1.1):
        with pytest.raises(ValueError, match="warmup must be"):
            config(warmup=wrong)


@EVERY
@pytest.mark.parametrize("policy", ["mlp", "causal_lm"])
def test_from_any_checkpoint_a_run_goes_on_as_if_never_stopped(
    name: str, policy: str, tmp_path: Path
) -> None:
    whole = run(name, tmp_path / "whole", policy)
    assert whole.iteration >= 2
    rows = log(tmp_path / "whole")
    files = sorted(whole.checkpoint.rglob("*.safetensors"))
    kept = load_file(whole.checkpoint / "algorithm.safetensors") if KEPT[name] else {}
    assert all(any(key.startswith(start) for key in kept) for start in KEPT[name]), set(kept)
    for iteration in range(1, whole.iteration):
        output = tmp_path / str(iteration)
        shutil.copytree(tmp_path / "whole", output)
        folder = output / CHECKPOINTS
        for later in range(iteration + 1, whole.iteration + 1):
            shutil.rmtree(checkpoint_folder(folder, later))
        (folder / LATEST).write_text(checkpoint_folder(folder, iteration).name + "\n")
        resumed = run(name, output, policy, resume=True)
        assert (resumed.iteration, resumed.steps) == (whole.iteration, whole.steps)
        assert log(output) == rows
        for file in files:
            expected = load_file(file)
            found = load_file(resumed.checkpoint / file.relative_to(whole.checkpoint))
            assert expected.keys() == found.keys()
            for key, tensor in expected.items():
                assert tensor.equal(found[key]), (iteration, file.name, key)


class Boundless(gym.Env[Any, Any]):
    """Pays a reward that float32 cannot hold for an action at its twentieth step."""

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)
    count = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        self.count += 1
        reward = 1e300 * float(action) if self.count == 20 else float(action)
        return np.zeros(2, np.float32), reward, self.count % 4 == 0, False, {}


@pytest.fixture
def boundless() -> Any:
    gym.register("Boundless-v0", entry_point=Boundless)
    yield "Boundless-v0"
    del gym.registry["Boundless-v0"]


@pytest.mark.parametrize("name", [n for n in ALGORITHMS if n not in ("expert_iteration", "mle")])
def test_a_loss_that_is_not_finite_ends_the_run_whose_last_checkpoint_goes_on(
    name: str, boundless: str, tmp_path: Path
) -> None:
    """Those left out read of rewards which is the largest, or nothing."""

    def config(resume: bool) -> TrainConfig:
        return TrainConfig(
            env_id=boundless,
            output=tmp_path,
            num_envs=8,
            total_steps=8 * 32,
            policy=PolicyConfig(hidden_sizes=(8,)),
            checkpoint_interval=1,
            resume=resume,
            tensorboard=False,
            progress=False,
        )

    options = {"grpo": {"variant": "dr_grpo"}}  # By a deviation that is infinite, all come to 0.
    algorithm = ALGORITHMS[name][1](**options.get(name, {}))
    finite = pytest.raises(FloatingPointError, match=r"the (loss|surrogate) is .*norm")
    with np.errstate(over="ignore", invalid="ignore"), finite:
        train(config(resume=False), algorithm)
    checkpoint = find_checkpoint(tmp_path)
    assert read_state(checkpoint).iteration == 4
    for key, tensor in load_checkpoint_policy(checkpoint).state_dict().items():
        assert math.isfinite(float(tensor.sum())), key
    assert train(config(resume=True), algorithm).steps == 8 * 32
