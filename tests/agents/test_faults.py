"""What a run does when something fails: an environment, a reward, or the whole machine."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from safetensors.torch import load_file

from textgym_agents.algorithms import PPOConfig, ReinforceConfig
from textgym_agents.checkpoint import find_checkpoint, load_checkpoint_policy, read_state
from textgym_agents.loggers import TIME_COLUMNS, read_rows
from textgym_agents.policies.construction import PolicyConfig
from textgym_agents.train import TrainConfig, TrainResult, train

ROOT = Path(__file__).parents[2]
INTERVAL, ITERATIONS = 3, 40

PROGRAM = """
import resource, sys
from pathlib import Path
from tests.agents.test_faults import run
if limit := int(sys.argv[3]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
run(Path(sys.argv[1]), resume=sys.argv[2] == "resume")
"""


def run(output: Path, resume: bool, iterations: int = ITERATIONS) -> TrainResult:
    """The run that is killed: some iterations of PPO, with a checkpoint every few of them."""
    config = TrainConfig(
        env_id="CartPole-v1",
        output=output,
        num_envs=4,
        total_steps=iterations * 4 * 48,
        policy=PolicyConfig(hidden_sizes=(256,)),
        checkpoint_interval=INTERVAL,
        resume=resume,
        threads=1,
        tensorboard=False,
        progress=False,
    )
    return train(config, PPOConfig(steps_per_env=48, num_epochs=2, num_minibatches=2))


def lines(output: Path) -> int:
    """Iterations that the log tells of."""
    return len(read_rows(output / "log.jsonl"))


def start(output: Path, mode: str, limit: int = 0) -> subprocess.Popen[bytes]:
    """That run in a process of its own, whose files may have so many bytes; 0: any number."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "agents")])
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(output), mode, str(limit)],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE if limit else None,
    )


def assert_same(one: TrainResult, other: Path) -> None:
    """A run's last checkpoint and log are bit for bit those of another, but for the times."""
    last = find_checkpoint(other)
    assert last.name == one.checkpoint.name
    for file in one.checkpoint.rglob("*.safetensors"):
        expected, found = load_file(file), load_file(last / file.relative_to(one.checkpoint))
        for name, tensor in expected.items():
            assert tensor.equal(found[name]), (file.name, name)
    logs = [
        [{k: v for k, v in row.items() if k not in TIME_COLUMNS} for row in read_rows(folder)]
        for folder in (one.output / "log.jsonl", other / "log.jsonl")
    ]
    assert logs[0] == logs[1]


def test_killed_at_any_moment_a_run_loses_an_interval_at_most(tmp_path: Path) -> None:
    """The last checkpoint always loads, and the resumed run is the one that was never stopped."""
    whole = run(tmp_path / "whole", resume=False)
    output, rng = tmp_path / "killed", np.random.default_rng(0)
    mode, kills, until = "new", 0, 0
    while mode != "done":
        process = start(output, mode)
        until = min(until + int(rng.integers(4, 14)), ITERATIONS - 1)
        while process.poll() is None and (not output.is_dir() or lines(output) < until):
            time.sleep(0.0005)
        time.sleep(float(rng.uniform(0, 0.02)))  # Anywhere in an iteration or a checkpoint.
        if process.poll() is None and until < ITERATIONS - 1:
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
            kills += 1
            reached = lines(output)
            checkpoint = find_checkpoint(output)
            load_checkpoint_policy(checkpoint)
            assert reached - read_state(checkpoint).iteration <= INTERVAL
            mode = "resume"
        else:
            assert process.wait() == 0
            mode = "done"
    assert kills >= 2
    assert_same(whole, output)


def test_a_disk_that_is_full_at_a_checkpoint_leaves_the_one_before(tmp_path: Path) -> None:
    """The file system refuses to let the optimizer's file grow, in the midst of writing it."""
    output, first = tmp_path / "full", 2 * INTERVAL
    run(output, resume=False, iterations=first)
    checkpoint = find_checkpoint(output)
    there = set(checkpoint.parent.iterdir())
    sizes = {file.name: file.stat().st_size for file in checkpoint.iterdir()}
    limit = sizes["optimizer.safetensors"] * 3 // 4
    assert limit > max(sizes["policy.safetensors"], (output / "log.jsonl").stat().st_size)
    process = start(output, "resume", limit)
    _, errors = process.communicate()
    assert process.returncode == 1
    assert b"OSError" in errors.splitlines()[-1] and b"File too large" in errors
    assert find_checkpoint(output) == checkpoint
    assert read_state(checkpoint).iteration == first
    assert set(checkpoint.parent.iterdir()) == there
    run(output, resume=True)
    assert_same(run(tmp_path / "whole", resume=False), output)


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
