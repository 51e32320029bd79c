"""Examples a second of every procedural task, near index 0 and near index 1,000,000.

    python benchmarks/example_speed.py

One core, training split, medians of several rounds. The last column is the cost of an example near
1,000,000 over that of one near 0, in the same round: access is random.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median
from typing import Any

from tables import RESULTS, publish

from textgym.registration import TABLE
from textgym.tasks import ProceduralTask, load_task

FAR = 1_000_000


def seconds(task: ProceduralTask, first: int, count: int, split: str) -> float:
    """Wall seconds an example."""
    start = time.perf_counter()
    for index in range(first, first + count):
        task.example(index, split)
    return (time.perf_counter() - start) / count


def row(name: str, level: str, rounds: int, count: int) -> dict[str, Any]:
    task = load_task(name, level=level)
    assert isinstance(task, ProceduralTask)
    near, far, test = [], [], []
    for number in range(rounds):
        near.append(seconds(task, number * count, count, "train"))
        far.append(seconds(task, FAR + number * count, count, "train"))
        test.append(seconds(task, number * count, count // 8, "test"))
    return {
        "task": task.variant,
        "examples/s": 1 / median(near),
        "examples/s, test split": 1 / median(test),
        "far / near": median(f / n for f, n in zip(far, near, strict=True)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--examples", type=int, default=800, help="a round")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the table")
    args = parser.parse_args()
    rows = [
        row(entry.task, level, args.rounds, args.examples)
        for entry in TABLE
        for level in getattr(load_task(entry.task), "levels", ())
    ]
    command = f"python benchmarks/example_speed.py --rounds {args.rounds}"
    publish("example_speed", "Examples a second, one core", command, rows, args.output)


if __name__ == "__main__":
    main()
