"""The README's table of algorithms, from the tables that `learning_curves.py` has published.

    python benchmarks/algorithms_table.py

A column a task: by how much each algorithm scores more than the bundled model, both at the
temperature that is best for the bundled model, and half of the 95% interval over the seeds; bold
where it is more at the temperature of learning, too. The last column is how long a run took, as a
multiple of REINFORCE's, the median over the tasks.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import mean, median
from typing import NamedTuple

from tables import RESULTS

NAMES = {
    "reinforce": "REINFORCE",
    "scst": "SCST",
    "rloo": "RLOO",
    "grpo": "GRPO",
    "dr_grpo": "Dr. GRPO",
    "dapo": "DAPO",
    "gspo": "GSPO",
    "cispo": "CISPO",
    "a2c": "A2C",
    "ppo": "PPO",
    "nlpo": "NLPO",
    "trpo": "TRPO",
    "expert iteration": "expert iteration",
}
CONTROLS = {
    "random reward": "REINFORCE, random reward",
    "likelihood": "likelihood, experts' answers",
}
TASKS = (
    "Story",
    "Summarization",
    "Translation",
    "Recommendation",
    "Arithmetic",
    "Wordle",
    "DataToText",
    "Dialogue",
)


class Gain(NamedTuple):
    """More than the start, half of the interval, and whether it is more at either temperature."""

    mean: float
    half: float
    above: bool

    def __str__(self) -> str:
        shown = f"{self.mean:.3f}"
        return f"{f'**{shown}**' if self.above else shown} ± {self.half:.3f}"


def gain(row: dict[str, str]) -> Gain:
    """Of a row of a task's table."""
    best = " at its best temperature"
    low, high = map(float, re.findall(r"-?\d+\.\d+", row[f"more than the start{best}"])[1:])
    middle = float(row[f"more than the start{best}"].split()[0])
    above = row["apart"] == row[f"apart{best}"] == "above"
    return Gain(middle, (high - low) / 2, above)


def algorithms_table(folder: Path = RESULTS) -> str:
    """The table in Markdown, of the tasks that have been measured."""
    tables: dict[str, dict[str, dict[str, str]]] = {}
    for task in TASKS:
        path = folder / f"learning_curves_{task.lower()}_easy.json"
        if path.is_file():
            rows = json.loads(path.read_text("utf-8"))["rows"]
            tables[task] = {row["policy"]: row for row in rows}

    def gains(name: str) -> list[Gain]:
        return [gain(rows[name]) for rows in tables.values()]

    def place(name: str) -> tuple[int, float]:
        """Those first that learn more on more tasks; then by their ranks."""
        found = gains(name)
        ranks = [
            sum(gain(rows[other]).mean > own.mean for other in NAMES)
            for rows, own in zip(tables.values(), found, strict=True)
        ]
        return -sum(each.above for each in found), mean(ranks)

    def time(name: str) -> float:
        key = "seconds a run"
        return median(float(r[name][key]) / float(r["reinforce"][key]) for r in tables.values())

    lines = [
        "| algorithm | " + " | ".join(tables) + " | time |",
        "|---" * (len(tables) + 2) + "|",
    ]
    for name in [*sorted(NAMES, key=place), *CONTROLS]:
        cells = [(NAMES | CONTROLS)[name], *map(str, gains(name)), f"{time(name):.1f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(algorithms_table())
