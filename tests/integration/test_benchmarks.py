"""The benchmarks and the demo run, at sizes too small to measure anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import textgym
import textgym_agents

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ROOTS = [str(Path(module.__file__).parents[1]) for module in (textgym, textgym_agents)]


def run(script: str, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / script), *arguments],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    ).stdout


def test_env_steps(tmp_path: Path) -> None:
    output = run("env_steps.py", "--rounds", "1", "--steps", "80", "--output", str(tmp_path))
    assert "native / CartPole" in output
    steps = json.loads((tmp_path / "env_steps.json").read_text())
    assert [row["environments"] for row in steps["rows"]] == [1, 64, 1024] * 3
    parts = json.loads((tmp_path / "env_parts.json").read_text())
    assert all(row["whole / parts"] > 0 for row in parts["rows"])
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.slow
def test_rollout_tokens(tmp_path: Path) -> None:
    arguments = ("--rounds", "2", "--new-tokens", "8", "--threads", "1", "--output", str(tmp_path))
    assert "loop / generate" in run("rollout_tokens.py", *arguments)
    rows = json.loads((tmp_path / "rollout_tokens.json").read_text())["rows"]
    assert {row["lengths"] for row in rows} == {"fixed", "geometric"}


@pytest.mark.slow
def test_train_step(tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="trl is not installed")
    arguments = ("--sizes", "tiny", "--rounds", "2", "--warmup", "1", "--precisions", "fp32")
    assert "TRL / ours" in run("train_step.py", *arguments, "--output", str(tmp_path))
    fixed, geometric = json.loads((tmp_path / "train_step.json").read_text())["rows"]
    assert fixed["tokens a step"] == fixed["TRL's tokens a step"] == 64
    assert 8 <= geometric["tokens a step"] < 64
    assert min(fixed["MiB added"], fixed["TRL's MiB added"]) > 0


def test_demo_runs_in_small(tmp_path: Path) -> None:
    output = run("demo.py", "--quick", "--output", str(tmp_path / "demo"))
    assert "policy gradient | sampled" in output
    assert output.count("reference: ") == 4
    assert (tmp_path / "demo" / "demo.png").stat().st_size > 5000


@pytest.mark.slow
def test_learning_curves_run_in_small_and_go_on(tmp_path: Path) -> None:
    """A second call repeats no run: it finds the same checkpoints and scores them again."""
    small = ("--seeds", "1", "--steps", "1500", "--num-envs", "32", "--episodes", "32")
    folders = ("--jobs", "1", "--runs", str(tmp_path / "runs"), "--output", str(tmp_path))
    output = run("learning_curves.py", *small, *folders)
    rows = json.loads((tmp_path / "learning_curves.json").read_text())["rows"]
    assert {"scst", "dapo", "trpo", "likelihood", "random reward"} <= {
        row["policy"] for row in rows
    }
    assert (tmp_path / "learning_curves.png").stat().st_size > 5000
    logs = {path: path.read_bytes() for path in tmp_path.rglob("log.jsonl")}
    assert len(logs) == 15
    assert run("learning_curves.py", *small, *folders) == output
    assert all(path.read_bytes() == log for path, log in logs.items())


@pytest.mark.slow
def test_task_learning_runs_in_small(tmp_path: Path) -> None:
    arguments = ("--steps", "3000", "--episodes", "32", "--jobs", "1", "--only", "Arithmetic-v0")
    folders = ("--runs", str(tmp_path / "runs"), "--output", str(tmp_path))
    run("task_learning.py", *arguments, *folders)
    (row,) = json.loads((tmp_path / "task_learning.json").read_text())["rows"]
    assert row["environment"] == "Arithmetic-v0"
    assert row["apart"] in ("yes", "no")


def test_example_speed(tmp_path: Path) -> None:
    run("example_speed.py", "--rounds", "1", "--examples", "8", "--output", str(tmp_path))
    rows = json.loads((tmp_path / "example_speed.json").read_text())["rows"]
    assert {"dialogue/hard", "copy/easy"} <= {row["task"] for row in rows}


def test_score_scales(tmp_path: Path) -> None:
    scales = tmp_path / "scales.json"
    scales.write_text("[]")
    arguments = ("--only", "Tiny-v0", "--episodes", "32", "--card", str(tmp_path / "none.md"))
    run("score_scales.py", *arguments, "--scales", str(scales), "--output", str(tmp_path))
    (row,) = json.loads(scales.read_text())
    assert row["expert"]["mean"] == 1.0 > row["random"]["mean"]


def test_cartpole(tmp_path: Path) -> None:
    arguments = ("--seeds", "2", "--steps", "100", "--only", "a2c", "sb3_ppo_zoo", "--jobs", "1")
    output = run("cartpole.py", *arguments, "--output", str(tmp_path))
    assert "a2c, seed 1: solved at None" in output
    rows = json.loads((tmp_path / "cartpole.json").read_text())["rows"]
    assert [row["steps to 475, each seed"] for row in rows] == ["never, never"] * 2
    assert (tmp_path / "cartpole.png").stat().st_size > 5000
