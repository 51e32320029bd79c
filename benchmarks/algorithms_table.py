"""The README's table of algorithms, from the tables that `learning_curves.py` has published.

    python benchmarks/algorithms_table.py

A column a task: by how much each algorithm scores more than the bundled model, both at the
temperature that is best for the bundled model, and half of the 95% interval over the seeds; bold
where it is more at the temperature of learning, too. The last column is how long a run took, as a
multiple of REINFORCE's, the median over the tasks that have both. Below: GRPO in bfloat16,
controls, and the scores of the bundled model itself, as it is and by the best of several samples.
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
    "grpo, bf16": "GRPO in bfloat16",
    "random reward": "REINFORCE, random reward",
    "likelihood": "likelihood, experts' answers",
}
TASKS = {
    "Story": "story_easy",
    "Summarization": "summarization_easy",
    "Translation": "translation_easy",
    "Recommendation": "recommendation_easy",
    "Arithmetic": "arithmetic_easy",
    "Wordle": "wordle_easy",
    "DataToText": "datatotext_easy",
    "DataToText, medium": "datatotext",
    "Dialogue": "dialogue_easy",
}
"""The columns, and how the names of their tables end."""


class Gain(NamedTuple):
    """More than the start, half of the interval, and whether it is more at either temperature."""

    mean: float
    half: float
    above: bool

    def __str__(self) -> str:
        shown = f"{self.mean:z.3f}"
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
    temperatures: list[str] = []
    for task, name in TASKS.items():
        path = folder / f"learning_curves_{name}.json"
        if path.is_file():
            record = json.loads(path.read_text("utf-8"))
            tables[task] = {row["policy"]: row for row in record["rows"]}
            temperatures.append(best_temperature(record["title"]))

    def place(name: str) -> tuple[float, float]:
        """Those first that learn more on more of the tasks they were tried on; then by ranks."""
        measured = [rows for rows in tables.values() if name in rows]
        ranks = [
            sum(gain(rows[other]).mean > gain(rows[name]).mean for other in NAMES if other in rows)
            for rows in measured
        ]
        return -mean(gain(rows[name]).above for rows in measured), mean(ranks)

    def time(name: str) -> float:
        key = "seconds a run"
        measured = [rows for rows in tables.values() if {name, "reinforce"} <= rows.keys()]
        return median(float(rows[name][key]) / float(rows["reinforce"][key]) for rows in measured)

    lines = [line("algorithm", *tables, "time"), "|---" * (len(tables) + 2) + "|"]
    for name in [*sorted(NAMES, key=place), *CONTROLS]:
        cells = [str(gain(rows[name])) if name in rows else "" for rows in tables.values()]
        lines.append(line((NAMES | CONTROLS)[name], *cells, f"{time(name):.1f}"))
    best = "held-out score at its best temperature"
    scores = [rows["bundled model"][best].split()[0] for rows in tables.values()]
    places = [f"{score} at {t}" for score, t in zip(scores, temperatures, strict=True)]
    lines.append(line("the bundled model's score", *places, ""))
    chosen = [
        rows["bundled model, best of 4"]["held-out score"].split()[0] for rows in tables.values()
    ]
    lines.append(line("that of the best of 4 samples", *chosen, ""))
    return "\n".join(lines)


def line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def best_temperature(title: str) -> str:
    """Where a table's title says that the bundled model scores most."""
    found = re.findall(r"(\d\.\d+) at (\d(?:\.\d)?)(?=,|$)", title.partition("by temperature:")[2])
    return max(found, key=lambda pair: float(pair[0]))[1]


if __name__ == "__main__":
    print(algorithms_table())
