"""The README shows only what works: its Python runs, its commands exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from textgym.registration import TABLE
from textgym.rewards.registry import REWARDS
from textgym_agents.algorithms import ALGORITHMS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SHELL = "\n".join(re.findall(r"```bash\n(.*?)```", README, re.DOTALL)).replace("\\\n", " ")


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_snippet_runs(code: str, tmp_path: Path) -> None:
    import textgym
    import textgym_agents

    roots = [str(Path(module.__file__).parents[1]) for module in (textgym, textgym_agents)]
    script = f"import sys; sys.path[:0] = {roots!r}\n{code}"
    subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=tmp_path, check=True, timeout=120
    )


def test_the_first_example_has_ten_lines() -> None:
    assert len(PYTHON[0].strip().splitlines()) <= 10


def test_commands_exist(tmp_path: Path) -> None:
    from textgym.cli import main as textgym_main
    from textgym_agents.cli import main as agents_main

    makefile = (
        (ROOT / "Makefile").read_text(encoding="utf-8") if (ROOT / "Makefile").exists() else ""
    )
    run = set()
    for line in SHELL.splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        if words[0] == "make" and makefile:
            assert f"\n{words[1]}:" in makefile, line
        elif words[0] == "textgym":
            run.add(words[1])
            with pytest.raises(SystemExit) as stop:
                textgym_main([words[1], "--help"])
            assert stop.value.code == 0
        elif words[0] == "textgym-agents":
            run.add(words[1])
    assert {"list", "play", "train", "evaluate"} <= run
    output = str(tmp_path / "copy")
    train = next(line for line in SHELL.splitlines() if "agents train" in line)
    argv = shlex.split(train.replace("300000", "500").replace("runs/copy", output))[1:]
    assert agents_main([*argv, "--no-progress", "--no-tensorboard"]) == 0
    assert agents_main(["evaluate", output, "--num-episodes", "4"]) == 0


def test_likelihood_and_then_a_reward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands as they stand, in small."""
    from textgym_agents.cli import main

    monkeypatch.chdir(tmp_path)
    (code,) = (code for code in PYTHON if 'open("translations.jsonl"' in code)
    exec(code, {})
    small = ["--total-steps", "200", "--num-envs", "4", "--no-progress", "--no-tensorboard"]
    lines = [shlex.split(line) for line in SHELL.splitlines() if "translations.jsonl" in line]
    assert [line[2] for line in lines] == ["mle", "reinforce"]
    for line in lines:
        assert main([*line[1:], *small]) == 0
    assert main(["evaluate", "runs/tuned", "--num-episodes", "4"]) == 0


def test_the_tables_name_everything() -> None:
    for row in TABLE:
        assert row.id.removeprefix("textgym/") in README, row.id
    for name in [*REWARDS, *ALGORITHMS]:
        assert f"`{name}`" in README, name
