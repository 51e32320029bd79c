from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest

from textgym_agents.algorithms import ALGORITHMS
from textgym_agents.checkpoint import find_checkpoint, read_state
from textgym_agents.cli import main, parse_object
from textgym_agents.loggers import read_rows
from textgym_agents.policies.bundled import BUNDLED, bundled_folder
from textgym_agents.policies.construction import PolicyConfig
from textgym_agents.runs.config import TrainConfig

QUIET = ["--no-tensorboard", "--no-progress"]
TINY = ["--env-id", "textgym:textgym/Tiny-v0", "--num-envs", "4"]
SMALL_LM = ["--layers", "1", "--heads", "2", "--width", "16"]


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def help_text(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("algorithm", list(ALGORITHMS))
def test_help_names_and_explains_every_field(
    algorithm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = " ".join(
        help_text(capsys, "train", algorithm).replace("│", " ").replace(",", " ").split()
    )
    _, algorithm_config = ALGORITHMS[algorithm]
    for config in (TrainConfig, PolicyConfig, algorithm_config):
        for field in fields(config):  # type: ignore[arg-type]
            if field.name == "policy":
                continue  # Its own fields follow.
            flag = "--policy" if field.name == "kind" else f"--{field.name.replace('_', '-')}"
            assert f" {flag} " in text
            entry = text.split(f" {flag} ")[1].split("(default")[0].split("(required")[0]
            words = re.findall(r"[A-Za-z]{3,}", entry)
            assert len(words) >= 4, f"{flag} is not explained: {entry!r}"


def test_help_of_the_other_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert {"train", "evaluate", "generate"} <= set(help_text(capsys).split())
    assert "--deterministic" in help_text(capsys, "evaluate")
    assert "-n INT" in help_text(capsys, "generate")


def test_clone_then_improve_then_evaluate_and_generate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cloned, improved = tmp_path / "cloned", tmp_path / "improved"
    demonstrations = ["--env-kwargs", '{"demonstrations": true}', *SMALL_LM, *QUIET]
    assert run("train", "mle", *TINY, *demonstrations, "--total-steps", 50, "--output", cloned) == 0
    reinforce = ["--init", cloned, "--baseline", "leave_one_out", "--group-size", 2, *QUIET]
    assert (
        run("train", "reinforce", *TINY, *reinforce, "--total-steps", 50, "--output", improved) == 0
    )
    assert "finished after" in capsys.readouterr().out
    numbers = tmp_path / "numbers.json"
    assert (
        run("evaluate", improved, "--num-episodes", 20, "--temperature", 0.5, "--output", numbers)
        == 0
    )
    assert "score: " in capsys.readouterr().out
    measured = json.loads(numbers.read_text())
    assert measured["return"]["count"] == 20
    assert measured["score"] == measured["return"]
    assert run("generate", find_checkpoint(improved), "-n", 3, "--deterministic") == 0
    shown = capsys.readouterr().out
    assert shown.count("--- ") == 3
    assert shown.count("text: ") == shown.count("references: ") == 3


STORY = ["--env-id", "textgym:textgym/Story-v0", "--env-kwargs", '{"split": "validation"}']


@pytest.mark.parametrize("model", [BUNDLED, bundled_folder()])
def test_a_model_acts_as_the_start_of_training_does(
    model: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--num-episodes", 8, "--temperature", 0.5]
    assert run("evaluate", "--model", model, *STORY, *sizes, "--output", tmp_path / "model") == 0
    train = ["train", "reinforce", *STORY, "--model", BUNDLED, "--output", tmp_path / "run", *QUIET]
    assert run(*train, "--total-steps", 1, "--num-envs", 2) == 0
    first = tmp_path / "run" / "checkpoints" / "iteration-00000000"
    assert run("evaluate", first, *sizes, "--output", tmp_path / "first") == 0
    assert (tmp_path / "model").read_text() == (tmp_path / "first").read_text()
    capsys.readouterr()
    assert run("generate", "--model", model, *STORY, "-n", 2) == 0
    assert capsys.readouterr().out.count("text: ") == 2


def test_evaluate_does_not_write_over_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "reinforce", *TINY, "--policy", "mlp", *QUIET, "--output", tmp_path / "x"]
    assert run(*command, "--total-steps", 10) == 0
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "precious").touch()
    assert run("evaluate", tmp_path / "x", "--output", tmp_path / "results") == 1
    printed = capsys.readouterr()
    assert "results is a folder; name a file" in printed.err
    assert "return:" not in printed.out  # said before the evaluation
    assert (tmp_path / "results" / "precious").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--num-episodes", 0], "num_episodes must be at least 1, got 0"),
        (["--env-kwargs", '{"max_prompt_tokens": 50}'], "max_position_embeddings="),
    ],
)
def test_what_cannot_be_evaluated_is_named(
    arguments: list[object], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "reinforce", *TINY, *SMALL_LM, *QUIET, "--output", tmp_path / "x"]
    assert run(*command, "--total-steps", 1) == 0
    assert run("evaluate", tmp_path / "x", *arguments) == 1
    assert message in capsys.readouterr().err


def test_resume_from_the_command_line(tmp_path: Path) -> None:
    command = ["train", "reinforce", *TINY, "--policy", "mlp", *QUIET, "--output", tmp_path / "x"]
    assert run(*command, "--total-steps", 30) == 0
    first = read_state(find_checkpoint(tmp_path / "x"))
    assert run(*command, "--total-steps", 60, "--resume") == 0
    second = read_state(find_checkpoint(tmp_path / "x"))
    assert 30 <= first.steps < 60 <= second.steps


AS_A_SCRIPT = """
import sys
sys.path.remove("")  # Which a console script does not have.
from textgym_agents.cli import main
train, evaluate = (text.split(" ") for text in sys.argv[1:])
sys.exit(main(train) or main(evaluate))
"""


def test_modules_of_the_present_folder_and_ids_as_they_are_listed(tmp_path: Path) -> None:
    """And a score named like another number of an evaluation."""
    (tmp_path / "mine.py").write_text("def length(text, example):\n    return 2.0 ** -len(text)\n")
    kwargs = '{"reward":{"mine:length":1.0,"non_repetition":0.5}}'
    tiny = ["--env-id", "textgym/Tiny-v0", "--env-kwargs", kwargs, *SMALL_LM, *QUIET]
    learn = ["train", "reinforce", *tiny, "--total-steps", "20", "--output", "run"]
    measure = ["evaluate", "run", "--num-episodes", "8", "--output", "numbers.json"]
    command = [sys.executable, "-c", AS_A_SCRIPT, " ".join(learn), " ".join(measure)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["episode_length"]["mean"] >= 1 > numbers["length"]["mean"] > 0
    assert "episode_length: " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "reinforce", "--env-id", "CartPoll-v1", "--output", "{}"], "CartPole"),
        (["train", "reinforce", "--env-id", "nowhere:X-v0", "--output", "{}"], "nowhere"),
        (["train", "mle", "--env-id", "CartPole-v1", "--output", "{}", *QUIET], "expert_action"),
        (
            ["train", "reinforce", "--env-id", "CartPole-v1", "--init", "{}/no", "--output", "{}"],
            "no checkpoint at",
        ),
        (["evaluate", "{}"], "no checkpoint at"),
        (["evaluate"], "name a checkpoint or a run's output folder, or a --model"),
        (["evaluate", "{}", "--model", "bundled"], "the model bundled cannot both act"),
        (["evaluate", "--model", "bundled"], "--model bundled needs an --env-id"),
        (
            ["evaluate", "--model", "bundled", "--env-id", "CartPole-v1"],
            "model='bundled' is for language models",
        ),
    ],
)
def test_errors_are_one_line_and_exit_with_1(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([argument.format(tmp_path / "run") for argument in arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--env-kwargs", "{reward: bleu}", "not JSON at character 1"),
        ("--env-kwargs", "[1]", "a JSON object is wanted"),
        ("--gamma", "2", "gamma must be at most 1"),
        ("--baseline", "mean", "batch_mean"),
    ],
)
def test_wrong_values_exit_with_2(
    flag: str, value: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "reinforce", "--env-id", "CartPole-v1", "--output", "unused"]
    with pytest.raises(SystemExit) as ended:
        main([*command, flag, value])
    assert ended.value.code == 2
    output = capsys.readouterr()
    assert message in " ".join((output.out + output.err).replace("│", " ").split())


def test_parse_object() -> None:
    assert parse_object('{"reward": {"bleu": 0.5}}') == {"reward": {"bleu": 0.5}}
    with pytest.raises(ValueError, match="character 10"):
        parse_object('{"reward" "bleu"}')


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signal_saves_and_exits_with_130(signum: signal.Signals, tmp_path: Path) -> None:
    output = tmp_path / "run"
    code = "import sys; from textgym_agents.cli import main; sys.exit(main())"
    arguments = ["train", "reinforce", "--env-id", "CartPole-v1", "--num-envs", "2", *QUIET]
    command = [sys.executable, "-c", code, *arguments, "--output", str(output)]
    paths = os.pathsep.join(sys.path)
    process = subprocess.Popen(
        [*command, "--total-steps", "100000000"],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while len(read_rows(output / "log.jsonl")) < 3:
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()
            time.sleep(0.05)
        process.send_signal(signum)
        out, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, error
    assert "interrupted after" in out
    assert "--resume" in out
    assert "Traceback" not in error
    state = read_state(find_checkpoint(output))
    assert state.iteration == read_rows(output / "log.jsonl")[-1]["iteration"] >= 3
    assert json.loads((output / "metrics.json").read_text())["interrupted"] is True
