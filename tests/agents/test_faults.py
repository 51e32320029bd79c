"""What a run does when something fails: an environment, a reward, or the whole machine."""

from __future__ import annotations

import math
import os
import resource
import socket
import time
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from textgym_agents.algorithms import (
    ALGORITHMS,
    AlgorithmConfig,
    GRPOConfig,
    PPOConfig,
    ReinforceConfig,
)
from textgym_agents.checkpoint import find_checkpoint, load_checkpoint_policy, read_state
from textgym_agents.loggers import TIME_COLUMNS, read_rows
from textgym_agents.policies import MLPPolicy
from textgym_agents.policies.construction import PolicyConfig
from textgym_agents.rollout import collect
from textgym_agents.train import TrainConfig, TrainResult, train

INTERVAL, ITERATIONS = 3, 30

RUNS: dict[str, tuple[str, dict[str, Any], AlgorithmConfig]] = {
    "mlp": (
        "CartPole-v1",
        {"hidden_sizes": (256,)},
        PPOConfig(steps_per_env=48, num_epochs=2, num_minibatches=2),
    ),
    "causal_lm": (
        "textgym:textgym/Tiny-v0",
        {"kind": "causal_lm", "layers": 2, "heads": 4, "width": 128},
        GRPOConfig(group_size=2, kl_coef=0.1, num_epochs=2, episodes_per_env=4),
    ),
}
"""An environment, a policy and an algorithm, whose checkpoints take about as long as its steps."""


IMPORTED = (
    "textgym_agents.policies.causal_lm",
    "transformers.models.gpt2.modeling_gpt2",
    "accelerate",
    "textgym",
)
"""What runs import late, and each process of its own would wait for."""


def run(
    output: Path, kind: str = "mlp", resume: bool = False, iterations: int = ITERATIONS
) -> TrainResult:
    """The run that is killed: some iterations, with a checkpoint every few of them."""
    env_id, policy, algorithm = RUNS[kind]
    config = TrainConfig(
        env_id=env_id,
        output=output,
        num_envs=4,
        total_steps=iterations * 4 * (48 if kind == "mlp" else 16),
        policy=PolicyConfig(**policy),
        checkpoint_interval=INTERVAL,
        resume=resume,
        threads=1,
        tensorboard=False,
        progress=False,
    )
    return train(config, algorithm)


def lines(output: Path) -> int:
    """Iterations that the log tells of."""
    return len(read_rows(output / "log.jsonl"))


def start(
    output: Path, kind: str, resume: bool, *, limit: int = 0, processes: int = 1
) -> list[ForkServerProcess]:
    """That run in processes of its own, whose files may have so many bytes; 0: any number."""
    environments: list[dict[str, str]] = [{}]
    if processes > 1:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        environments = [
            shared | {"RANK": str(index), "LOCAL_RANK": str(index), "WORLD_SIZE": str(processes)}
            for index in range(processes)
        ]
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__, *IMPORTED])
    started = [
        context.Process(target=program, args=(environment, limit, output, kind, resume))
        for environment in environments
    ]
    for process in started:
        process.start()
    return started


def program(environment: dict[str, str], limit: int, output: Path, kind: str, resume: bool) -> None:
    """What a process does; it says in a file what it ends with."""
    os.environ.update(environment)
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        run(output, kind, resume)
    except Exception as error:
        output.with_suffix(".error").write_text(repr(error))
        raise SystemExit(1) from None


def ends(processes: list[ForkServerProcess]) -> list[int | None]:
    """What processes return, after waiting for them."""
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


def assert_same(one: Path, other: Path) -> None:
    """A run's last checkpoint and log are bit for bit those of another, but for the times."""
    first, second = find_checkpoint(one), find_checkpoint(other)
    assert first.name == second.name
    files = list(first.rglob("*.safetensors"))
    assert files
    for file in files:
        expected, found = load_file(file), load_file(second / file.relative_to(first))
        for name, tensor in expected.items():
            assert tensor.equal(found[name]), (file.name, name)
    logs = [
        [{k: v for k, v in row.items() if k not in TIME_COLUMNS} for row in read_rows(folder)]
        for folder in (one / "log.jsonl", other / "log.jsonl")
    ]
    assert logs[0] == logs[1]


@pytest.mark.parametrize(
    ("kind", "processes"),
    [
        ("mlp", 1),
        pytest.param("causal_lm", 1, marks=pytest.mark.slow),
        pytest.param("causal_lm", 2, marks=pytest.mark.slow),
    ],
)
def test_killed_at_any_moment_a_run_loses_an_interval_at_most(
    kind: str, processes: int, tmp_path: Path
) -> None:
    """The last checkpoint always loads, and the resumed run is the one that was never stopped.

    Where one of several processes is killed, the others end with an error by themselves.
    """
    whole = tmp_path / "whole"
    assert ends(start(whole, kind, resume=False, processes=processes)) == [0] * processes
    output, rng = tmp_path / "killed", np.random.default_rng(0)
    kills, until = 0, 0
    while until < ITERATIONS:
        running = start(output, kind, resume=kills > 0, processes=processes)
        until += int(rng.integers(6, 14))
        if until < ITERATIONS:
            victim = running[int(rng.integers(processes))]
            while victim.is_alive() and (not output.is_dir() or lines(output) < until):
                time.sleep(0.0005)
            time.sleep(float(rng.uniform(0, 0.02)))  # Anywhere in an iteration or a checkpoint.
            victim.kill()
            assert sorted(map(str, ends(running))) == ["-9", "1"][:processes]
            kills += 1
            reached = lines(output)
            checkpoint = find_checkpoint(output)
            load_checkpoint_policy(checkpoint)
            assert reached - read_state(checkpoint).iteration <= INTERVAL
        else:
            assert ends(running) == [0] * processes
    assert kills >= 2
    assert_same(whole, output)


def test_a_disk_that_is_full_at_a_checkpoint_leaves_the_one_before(tmp_path: Path) -> None:
    """The file system refuses to let the optimizer's file grow, in the midst of writing it."""
    output, first = tmp_path / "full", 2 * INTERVAL
    run(output, iterations=first)
    checkpoint = find_checkpoint(output)
    there = set(checkpoint.parent.iterdir())
    sizes = {file.name: file.stat().st_size for file in checkpoint.iterdir()}
    limit = sizes["optimizer.safetensors"] * 3 // 4
    assert limit > max(sizes["policy.safetensors"], (output / "log.jsonl").stat().st_size)
    assert ends(start(output, "mlp", resume=True, limit=limit)) == [1]
    error = output.with_suffix(".error").read_text()
    assert error.startswith("OSError") and "File too large" in error
    assert find_checkpoint(output) == checkpoint
    assert read_state(checkpoint).iteration == first
    assert set(checkpoint.parent.iterdir()) == there
    run(output, resume=True)
    assert_same(run(tmp_path / "whole").output, output)


class Fragile(gym.Env[Any, Any]):
    """Raises, or pays a reward that is no number, at the given step of all."""

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, fails_at: int = 40, how: str = "raise") -> None:
        self.fails_at, self.how, self.count = fails_at, how, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        self.count += 1
        reward = 1.0
        if self.count == self.fails_at:
            if self.how == "raise":
                raise RuntimeError("the sensor is gone")
            reward = float(self.how)
        return np.zeros(2, np.float32), reward, self.count % 4 == 0, False, {}


@pytest.fixture(autouse=True)
def registered() -> Any:
    gym.register("Fragile-v0", entry_point=Fragile)
    yield
    del gym.registry["Fragile-v0"]


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("raise", RuntimeError, "the sensor is gone"),
        ("nan", ValueError, "reward nan in slot 0 at step"),
        ("inf", ValueError, "reward inf in slot 0 at step"),
    ],
)
def test_a_fault_is_told_and_the_last_checkpoint_goes_on(
    how: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    def config(resume: bool) -> TrainConfig:
        return TrainConfig(
            env_id="Fragile-v0",
            env_kwargs={"how": how},
            output=tmp_path / how,
            total_steps=120,
            num_envs=2,
            policy=PolicyConfig(hidden_sizes=(8,)),
            checkpoint_interval=2,
            resume=resume,
            tensorboard=False,
            progress=False,
        )

    with pytest.raises(error, match=message):
        train(config(resume=False), ReinforceConfig())
    checkpoint = find_checkpoint(tmp_path / how)
    assert read_state(checkpoint).iteration >= 2
    for name, tensor in load_checkpoint_policy(checkpoint).state_dict().items():
        assert math.isfinite(float(tensor.sum())), name
    assert train(config(resume=True), ReinforceConfig()).steps >= 120


@pytest.mark.parametrize("name", list(ALGORITHMS))
def test_an_action_that_has_become_impossible_ends_an_update_without_a_step(name: str) -> None:
    """Its log-probability is minus infinity, so that neither loss nor gradient is finite."""
    envs = gym.make_vec("CartPole-v1", num_envs=4, vectorization_mode="sync")
    policy = MLPPolicy.from_env(envs, hidden_sizes=(8,))
    learner, config = ALGORITHMS[name]
    grouped = {"group_size": 2} if name in ("rloo", "grpo", "expert_iteration") else {}
    updated: Any = learner(policy, config(**grouped))
    acting = updated.acting(policy)
    generator = torch.Generator().manual_seed(0)
    episodes = collect(envs, acting, seeds=[0, 0, 1, 1], generator=generator)
    envs.close()
    for episode in episodes:
        episode.action_masks = np.arange(2) != episode.actions[0]
        if episode.choices is not None:
            episode.choices = np.packbits([episode.action_masks] * episode.num_steps, axis=1)
    before = {key: tensor.clone() for key, tensor in policy.state_dict().items()}
    with pytest.raises(FloatingPointError, match="no step was taken"):
        updated.update(episodes)
    assert all(torch.equal(tensor, before[key]) for key, tensor in policy.state_dict().items())
    assert all(parameter.grad is None for parameter in policy.parameters())
