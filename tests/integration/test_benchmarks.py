"""The benchmarks and the demo run, at sizes too small to measure anything."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sacrebleu.metrics import BLEU
from sacrebleu.significance import PairedTest

import textgym
import textgym_agents

SHARED = Path(os.environ.get("TEXTGYM_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
MULTI30K = SHARED / "task_multi30k_en_de.jsonl.gz"
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


def test_the_readme_s_table_of_algorithms_is_that_of_the_results() -> None:
    readme = (BENCHMARKS.parent / "README.md").read_text(encoding="utf-8")
    table = run("algorithms_table.py").rstrip()
    assert table.count("\n") == 19
    assert "\n".join(f"  {line}" for line in table.splitlines()) in readme


@pytest.mark.slow
def test_rollout_tokens(tmp_path: Path) -> None:
    arguments = ("--rounds", "2", "--new-tokens", "8", "--threads", "1", "--output", str(tmp_path))
    assert "loop / generate" in run("rollout_tokens.py", *arguments)
    rows = json.loads((tmp_path / "rollout_tokens.json").read_text())["rows"]
    assert {row["lengths"] for row in rows} == {"fixed", "geometric"}


@pytest.mark.slow
def test_rollout_conversations(tmp_path: Path) -> None:
    arguments = ("--rounds", "1", "--slots", "16", "--threads", "1", "--output", str(tmp_path))
    run("rollout_conversations.py", *arguments)
    for row in json.loads((tmp_path / "rollout_conversations.json").read_text())["rows"]:
        lengths = row["tokens a conversation"], row["tokens a conversation, generate"]
        assert min(lengths) > 0.6 * max(lengths)  # The same policy talks in both.
        assert row["collect / generate"] > 1


@pytest.mark.slow
def test_train_step(tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="trl is not installed")
    arguments = ("--sizes", "tiny", "--rounds", "2", "--warmup", "1", "--precisions", "fp32")
    assert "TRL / ours" in run("train_step.py", *arguments, "--output", str(tmp_path))
    fixed, geometric = json.loads((tmp_path / "train_step.json").read_text())["rows"]
    assert fixed["tokens a step"] == fixed["TRL's tokens a step"] == 64
    assert 8 <= geometric["tokens a step"] < 64
    assert min(fixed["MiB added"], fixed["TRL's MiB added"]) > 0


@pytest.mark.slow
def test_a_training_step_is_faster_and_smaller_than_trl_s(tmp_path: Path) -> None:
    """By ratios of one run, below those that an idle machine shows by more than its noise."""
    pytest.importorskip("trl", reason="trl is not installed")
    arguments = ("--sizes", "small", "--rounds", "3", "--warmup", "1", "--precisions", "fp32")
    run("train_step.py", *arguments, "--output", str(tmp_path))
    fixed, geometric = json.loads((tmp_path / "train_step.json").read_text())["rows"]
    assert fixed["TRL / ours"] > 1.35
    assert geometric["TRL / ours"] > 2.4
    assert max(fixed["memory, ours / TRL"], geometric["memory, ours / TRL"]) < 0.6


def test_demo_runs_in_small(tmp_path: Path) -> None:
    output = run("demo.py", "--quick", "--output", str(tmp_path / "demo"))
    assert "policy gradient | sampled" in output
    assert output.count("reference: ") == 4
    assert (tmp_path / "demo" / "demo.png").stat().st_size > 5000


@pytest.mark.slow
def test_learning_curves_run_in_small_and_go_on(tmp_path: Path) -> None:
    """A second call repeats no run: it finds the scores."""
    small = ("--seeds", "1", "--steps", "1500", "--num-envs", "32", "--episodes", "32")
    folders = ("--jobs", "1", "--runs", str(tmp_path / "runs"), "--output", str(tmp_path))
    output = run("learning_curves.py", *small, *folders)
    rows = json.loads((tmp_path / "learning_curves_story.json").read_text())["rows"]
    assert {"scst", "dapo", "trpo", "likelihood", "random reward"} <= {
        row["policy"] for row in rows
    }
    scored = {row["policy"] for row in rows if row["training score at equal seconds"]}
    assert len(scored) == 14 and not scored & {"likelihood", "random reward"}
    assert (tmp_path / "learning_curves_story.png").stat().st_size > 5000
    logs = {path: path.read_bytes() for path in tmp_path.rglob("log.jsonl")}
    assert len(logs) == 16
    assert run("learning_curves.py", *small, *folders) == output
    assert all(path.read_bytes() == log for path, log in logs.items())
    for option, value, wrong in (
        ("--temperature", "0.6", "temperature"),
        ("--learning-rate", "0.6", "reinforce, scst"),
        ("--schedule", "linear", "rloo, grpo"),
        ("--rates", "grpo, bf16=1e-5", "grpo, bf16"),
    ):
        with pytest.raises(subprocess.CalledProcessError) as refused:
            run("learning_curves.py", *small, option, value, *folders)
        assert f"has runs with another {wrong}" in refused.value.stderr


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


@pytest.mark.slow
@pytest.mark.skipif(not MULTI30K.exists(), reason=f"{MULTI30K} is not there")
@pytest.mark.parametrize("rank", ["0", "2"])
def test_multi30k_runs_in_small_and_goes_on(tmp_path: Path, rank: str) -> None:
    """A second call repeats nothing: it finds every run finished, and makes the same table."""
    sizes = "--vocab-size 400 --layers 1 --heads 1 --width 16 --batch 16 --interval 1000"
    lengths = "--patience 1 --max-intervals 1 --steps 1000 --num-envs 16 --group-size 4"
    tests = f"--sentences 16 --seeds 2 --jobs 1 --lora-rank {rank}"
    small = (*f"{sizes} {lengths} {tests}".split(), "--data", str(MULTI30K))
    folders = ("--runs", str(tmp_path / "runs"), "--output", str(tmp_path))
    output = run("multi30k.py", *small, *folders)
    assert "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp" in output
    rows = json.loads((tmp_path / "multi30k.json").read_text())["rows"]
    assert [row["policy"].split(" at ")[0] for row in rows] == [
        "likelihood (start)",
        "start",  # At its best temperature.
        "policy gradient",
        "random reward",
        "constant reward",
        "further likelihood",
    ]
    assert rows[-1]["seconds a run"] >= rows[2]["seconds a run"]
    assert (tmp_path / "multi30k.png").stat().st_size > 5000
    logs = {path: path.read_bytes() for path in tmp_path.rglob("log.jsonl")}
    assert len(logs) == (3 + 4) * 2
    again = run("multi30k.py", *small, *folders)
    assert again == output[output.index("# Multi30k") :]
    assert all(path.read_bytes() == log for path, log in logs.items())
    with pytest.raises(subprocess.CalledProcessError) as error:
        run("multi30k.py", *small, *folders, "--learning-rate", "0.5")
    assert "another learning_rate" in error.value.stderr


def test_multi30k_says_where_it_looked_for_data(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as error:
        run("multi30k.py", "--data", str(tmp_path / "none.jsonl"))
    assert f"there are no data at {tmp_path / 'none.jsonl'}" in error.value.stderr


def test_runs_of_other_settings_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    check_same = importlib.import_module("resuming").check_same
    folder = tmp_path / "runs"
    check_same(folder, {"steps": 100}, {"ppo": "a"})
    check_same(folder, {"steps": 100}, {"trpo": "b"})  # More is not other.
    with pytest.raises(SystemExit, match=r"has runs with another steps, ppo; ask for the same"):
        check_same(folder, {"steps": 200}, {"ppo": "c", "trpo": "b"})
    with pytest.raises(SystemExit, match="has runs with another size"):
        check_same(folder, {"steps": 100, "size": 3})
    check_same(folder, {"steps": 100}, {"ppo": "a", "trpo": "b"})
    (folder / "settings.json").rename(folder / "log.jsonl")
    with pytest.raises(SystemExit, match=r"does not say .* \(settings.json is missing\)"):
        check_same(folder, {"steps": 100})


def test_corpus_bleu_is_that_of_sacrebleu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The score is equal; the interval is that of its own bootstrap, up to the draws."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    corpus_bleu = importlib.import_module("corpus_bleu")
    random = np.random.default_rng(0)
    words = np.array(["ein", "Hund", "läuft", "im", "Park", "und", "spielt", "Ball", ",", "rot"])
    references = [" ".join(random.choice(words, random.integers(6, 14))) + "." for _ in range(200)]
    systems = [
        [" ".join(w for w in text.split() if random.random() < keep) for text in references]
        for keep in (0.9, 0.8)
    ]
    a, b = (corpus_bleu.statistics(texts, references) for texts in systems)
    bootstrap = corpus_bleu.Bootstrap({"a": a[None], "b": b[None]})
    metric = BLEU()
    test = PairedTest(
        [("a", systems[0]), ("b", systems[1])],
        {"BLEU": metric},
        [references],
        test_type="bs",
        n_samples=1000,
    )
    published = test()[1]["BLEU"]
    for name, texts, result in zip("ab", systems, published, strict=True):
        interval = bootstrap.interval(name)
        assert interval.value == pytest.approx(metric.corpus_score(texts, [references]).score)
        assert (interval.high - interval.low) / 2 == pytest.approx(result.ci, rel=0.15)
    gain = bootstrap.difference("a", "b")
    assert gain.value == pytest.approx(bootstrap.means["a"] - bootstrap.means["b"])
    assert 0 < gain.low < gain.value < gain.high
    assert bootstrap.difference("a", "a").high == 0.0
    seeds = corpus_bleu.Bootstrap({"both": np.stack([a, b]), "worse": np.stack([b, b])})
    both, gain = seeds.interval("both"), seeds.difference("both", "worse")
    assert both.low < bootstrap.means["b"] < both.value < bootstrap.means["a"] < both.high
    assert gain.low == 0.0 < gain.value < gain.high  # In a quarter of the samples both seeds are b.
    assert corpus_bleu.length_ratio(np.stack([a, b])) == pytest.approx(
        (a + b)[:, -2].sum() / (a + b)[:, -1].sum()
    )
