"""The command line: what it prints, and one line and an exit code for bad input."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from textgym.cli import main
from textgym.play import play, tokens_of
from textgym.registration import TABLE
from textgym.rewards import load_reward
from textgym.score import bootstrap_interval
from textgym.tasks import Example
from textgym.tokenizers import load_tokenizer

ROOT = Path(__file__).parents[2]
ROWS = [
    {"out": "the cat sat on the mat", "gold": ["the cat sat on a mat", "a cat sat there"]},
    {"out": "", "gold": ["something long was expected"]},
    {"out": "ein Hund läuft", "gold": ["ein Hund läuft"]},
]


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(argv)
    out, err = capsys.readouterr()
    return code, out, err


def type_in(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_list_shows_every_environment(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "list")
    lines = out.splitlines()
    assert code == 0
    for row in TABLE:
        (line,) = [line for line in lines if line.startswith(f"{row.id} ")]
        assert load_reward(row.reward).name in line and line.endswith(row.description)
    scored = [line for line in lines if line.startswith("summarization/medium ")]
    assert len(scored) == 1 and len(scored[0].split()) == 6
    assert "4       4       easy*, medium, hard" in next(x for x in lines if "Copy-v0" in x)


def test_play_shows_what_each_token_is_paid(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    type_in(monkeypatch, "b\n#0\n\n")
    code, out, _ = run(capsys, "play", "Tiny-v0", "--example", "1")  # a b =, so b a
    assert code == 0
    assert "prompt (example 1):\na b =\n" in out
    steps = [line.split() for line in out.splitlines() if line.startswith("  ")]
    assert steps == [
        ["'b'", "#1", "+0.5000", "+0.5000"],
        ["'a'", "#0", "+0.5000", "+1.0000"],
        ["(end)", "#2", "+0.0000", "+1.0000"],
    ]
    assert out.endswith(
        "text: b a\nreference: b a\nscore 1.0000  return +1.0000  finished by stop\n"
    )


def test_play_shows_the_replies_of_a_conversation(capsys: pytest.CaptureFixture[str]) -> None:
    info = play("textgym/Wordle-v0", {}, seed=0, source=io.StringIO("zzzzz\n\n" * 4))
    shown = capsys.readouterr().out
    assert shown.count("not in the list\n") >= 4
    assert info["finish_reason"] == "task"
    assert info["turns"] == (("zzzzz", "not in the list\n"),) * 3 + (("zzzzz", info["reply"]),)


def test_play_ends_with_the_input_the_budget_or_an_illegal_token(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for typed, reason in [("b", "stop"), ("", "stop"), ("a a a a", "length"), ("#3", "illegal")]:
        type_in(monkeypatch, typed)
        code, out, _ = run(capsys, "play", "textgym/Tiny-v0", "--seed", "0")
        assert code == 0 and f"finished by {reason}" in out


def test_play_takes_the_environments_arguments(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"prompt": "Say hello", "reference": "Hello there", "split": "train"}\n')
    kwargs = {"task": str(path), "reward": "exact_match", "shaping": "terminal"}
    type_in(monkeypatch, "Hel\n+lo\nthere\n")
    code, out, _ = run(capsys, "play", "Text-v0", "--env-kwargs", json.dumps(kwargs))
    assert code == 0
    assert "Say hello\n" in out and "text: Hello there\n" in out and "score 1.0000" in out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_play_at_a_terminal_asks_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("zebra\n#77\nb a\n\n"))
    code, out, _ = run(capsys, "play", "Tiny-v0", "--example", "1")
    assert code == 0 and "score 1.0000" in out
    assert "'zebra' in 'zebra' is not a symbol" in out
    assert "# takes a token id, 0 to 3, not '77'" in out


@pytest.mark.parametrize("kind", ["byte level", "SentencePiece"])
def test_lines_of_play_are_joined_by_spaces(kind: str) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = load_tokenizer()
    if kind == "SentencePiece":  # adds the space itself
        backend = Tokenizer(models.Unigram())
        backend.pre_tokenizer = pre_tokenizers.Metaspace()
        backend.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=60, special_tokens=["</s>", "<unk>"], unk_token="<unk>", show_progress=False
        )
        backend.train_from_iterator(["ein Hund läuft und ein Hund schläft"] * 9, trainer)
        tokenizer = load_tokenizer(backend)
    written: list[int] = []
    for line in ["ein", "Hund", "schläft"]:
        written += tokens_of(line, tokenizer, written)
    assert tokenizer.decode(written) == "ein Hund schläft"
    assert tokens_of("", tokenizer, written) == [tokenizer.eos_id]


def test_score_of_rows_is_the_rewards_own(capsys: pytest.CaptureFixture[str], rows: Path) -> None:
    reward = load_reward("bleu")
    texts = [row["out"] for row in ROWS]
    examples = [Example("", tuple(row["gold"])) for row in ROWS]
    expected = reward([str(text) for text in texts], examples)
    fields = ["--hypothesis", "out", "--references", "gold"]
    code, out, _ = run(capsys, "score", str(rows), "--reward", "bleu", "--per-line", *fields)
    lines = out.splitlines()
    assert code == 0
    assert [float(line.split("\t")[1]) for line in lines[:3]] == pytest.approx(expected, abs=1e-6)
    assert f"{expected.mean():.4f}" in lines[3]
    assert lines[4:] == ["n 3", f"signature {reward.signature}"]


def test_score_of_text_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "hyp").write_text("a b\n\nc d\n")
    (tmp_path / "ref.0").write_text("a b\nx\nc e\n")
    (tmp_path / "ref.1").write_text("z\ny\nc d")
    files = [str(tmp_path / name) for name in ("hyp", "ref.0", "ref.1")]
    code, out, _ = run(capsys, "score", *files, "--reward", "exact_match", "--per-line")
    assert code == 0
    assert out.splitlines()[:3] == ["1\t1.000000", "2\t0.000000", "3\t1.000000"]
    assert "exact_match  0.6667  95% [0.0000, 1.0000]" in out


def test_score_of_a_combination_shows_its_parts(
    capsys: pytest.CaptureFixture[str], rows: Path
) -> None:
    fields = ["--hypothesis", "out", "--references", "gold"]
    weights = '{"chrf": 0.7, "rouge_l": 0.3}'
    code, out, _ = run(capsys, "score", str(rows), "--reward", weights, *fields)
    assert code == 0
    values = {line.split()[0]: line.split()[1] for line in out.splitlines()}
    mixed = 0.7 * float(values["chrf"]) + 0.3 * float(values["rouge_l"])
    assert float(out.split()[1]) == pytest.approx(mixed, abs=1e-4)


def test_score_without_references(capsys: pytest.CaptureFixture[str], rows: Path) -> None:
    code, out, _ = run(capsys, "score", str(rows), "--reward", "constant", "--hypothesis", "out")
    assert code == 0 and "n 3" in out


REWARDS = """
import math

import numpy as np

from textgym.rewards import Reward


def needs_a_word(text, example):
    return {"": math.nan}.get(text, 0.5)


def looks_up(text, example):
    return {"ein Hund läuft": 1.0, ROWS[0]["out"]: 0.0}[text]


class OneForAll(Reward):
    name = "one_for_all"

    def __call__(self, texts, examples):
        return np.zeros(1)


class OneAtATime(Reward):
    name = "one_at_a_time"

    def __call__(self, texts, examples):
        (text,) = texts
        return np.zeros(1)
"""


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (
            "needs_a_word",
            "'needs_a_word' gave 'needs_a_word' = nan for {rows}, line 4, text '': a finite number",
        ),
        ("looks_up", "'looks_up' raised KeyError: '' ({rows}, line 4, text '')"),
        ("OneForAll", "gave 'one_for_all' of shape (1,) for 3 texts: one number a text is wanted"),
        ("OneAtATime", "(3 texts at once, the first {rows}, line 1, text 'the cat sat on the mat'"),
    ],
)
def test_score_names_the_row_that_a_reward_fails_at(
    reward: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    module = f"failing_{reward}"  # each its own, since modules are loaded once
    (tmp_path / f"{module}.py").write_text(f"ROWS = {ROWS!r}\n{REWARDS}", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    rows = tmp_path / "rows.jsonl"
    rows.write_text("\n\n\n".join(map(json.dumps, ROWS)))  # blank lines count
    fields = ["--hypothesis", "out", "--references", "gold"]
    code, out, err = run(capsys, "score", str(rows), "--reward", f"{module}:{reward}", *fields)
    assert (code, out) == (2, "")
    assert message.format(rows=rows) in err and err.count("\n") == 1


def test_score_names_the_line_of_a_text_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "failing_lines.py").write_text(REWARDS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for name, content in {"hyp": "a\n\nb\n", "ref": "a\nx\nb\n"}.items():
        (tmp_path / name).write_text(content)
    files = [str(tmp_path / name) for name in ("hyp", "ref")]
    code, _, err = run(capsys, "score", *files, "--reward", "failing_lines:needs_a_word")
    assert code == 2 and f"nan for {files[0]}, line 2, text ''" in err


def test_bootstrap_interval_covers_the_mean() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(200):
        low, high = bootstrap_interval(rng.normal(3.0, 1.0, 100), resamples=200, seed=seed)
        covered += low <= 3.0 <= high
        assert 0.2 < high - low < 0.6  # 2 * 1.96 / sqrt(100)
    assert 0.87 <= covered / 200 <= 0.99


NO_REFERENCES = json.dumps(
    {"task": [{"prompt": "x", "split": "train"}], "task_kwargs": {"references": []}}
)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["play", "Nope-v0"], "Nope"),
        (["play", "CartPole-v1"], "CartPole-v1 is not a text environment of textgym"),
        (["play", "Copy-v0", "--env-kwargs", '{"level": "absurd"}'], "no level 'absurd'"),
        (["play", "Copy-v0", "--env-kwargs", '{"colour": 1}'], "colour"),
        (["play", "Copy-v0", "--example", "-3"], "-3"),
        (["play", "Text-v0", "--env-kwargs", NO_REFERENCES], "has none"),
        (["score", "missing.jsonl", "--reward", "bleu"], "missing.jsonl does not exist"),
        (["score", "ROWS", "--reward", "blue"], "unknown reward 'blue'"),
        (["score", "ROWS", "--reward", "bleu"], "line 1: there is no field 'hypothesis'"),
        (["score", "ROWS", "--reward", "bleu", "--hypothesis", "out"], "has none"),
        (["score", "ROWS", "ROWS", "--reward", "bleu"], "give it alone"),
        (["score", "HYP", "--reward", "bleu"], "give a text file of references too"),
        (["score", "HYP", "gone", "--reward", "bleu"], "gone"),
        (["score", "HYP", "SHORT", "--reward", "bleu"], "has 1 lines, but"),
        (["score", "EMPTY", "EMPTY", "--reward", "bleu"], "there is nothing to score"),
    ],
)
def test_bad_input_is_one_line_and_an_exit_code(
    argv: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    rows: Path,
) -> None:
    contents = {"HYP": "a\nb\n", "SHORT": "a\n", "EMPTY": ""}
    for name, content in contents.items():
        (rows.parent / name).write_text(content)
    type_in(monkeypatch, "")
    paths = {"ROWS": str(rows)} | {name: str(rows.parent / name) for name in contents}
    code, _, err = run(capsys, *(paths.get(word, word) for word in argv))
    assert code == 2
    assert err.startswith("textgym: error: ") and err.count("\n") == 1 and message in err


@pytest.mark.parametrize("value", ["{", "[1]"])
def test_malformed_json_is_a_usage_error(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["play", "Copy-v0", "--env-kwargs", value])
    assert stop.value.code == 2 and "--env-kwargs" in capsys.readouterr().err


def test_a_closed_pipe_is_no_traceback() -> None:
    command = [sys.executable, "-m", "textgym.cli", "list"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.wait(60) == 1
    assert process.stderr.read() == ""
    process.stderr.close()
