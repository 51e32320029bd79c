"""The reward benchmark runs, agrees with the reference libraries, and writes its results whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_quick_run_writes_a_table_and_its_numbers(tmp_path):
    finished = subprocess.run(
        [sys.executable, "benchmarks/reward_cost.py", "--quick", "--output", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    page = (tmp_path / "reward_cost.md").read_text(encoding="utf-8")
    assert page in finished.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "reward_cost.json",
        "reward_cost.md",
    ]
    content = json.loads((tmp_path / "reward_cost.json").read_text(encoding="utf-8"))
    names = [row["metric"] for row in content["rows"]]
    assert names[:4] == ["BLEU", "chrF", "chrF++", "ROUGE-1+2+L"]
    for row in content["rows"]:
        assert row["metric"] in page
        assert row["every_step_ratio"] * row["stream_us"] > 0.99 * row["reference_us"] > 0
