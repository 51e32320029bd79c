"""Examples a second of every procedural task, by split, near index 0 and near index 1,000,000.

    python benchmarks/example_speed.py

One core, medians of several rounds, in seconds of the processor, so that other programs on the
machine count less. The last column is the cost of an example near 1,000,000 over that of one near
0, in the same round of the training split: access is random.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from tables import RESULTS, publish

from textgym.registration import TABLE
from textgym.tasks import SPLITS, ProceduralTask, load_task

FAR = 1_000_000
OPTIONS: dict[str, tuple[dict[str, Any], ...]] = {"translation": ({}, {"direction": "de-en"})}
"""With which options a task is timed, where there are others than none."""


def seconds(task: ProceduralTask, first: int, count: int, split: str) -> float:
    """Seconds of the processor an example."""
    start = time.process_time()
    for index in range(first, first + count):
        task.example(index, split)
    return (time.process_time() - start) / count


def row(task: ProceduralTask, rounds: int, count: int) -> dict[str, Any]:
    near: dict[str, list[float]] = {split: [] for split in SPLITS}
    ratios = []
    for number in range(rounds):
        for split in SPLITS:
            near[split].append(seconds(task, number * count, count, split))
        far = seconds(task, FAR + number * count, count, "train")
        ratios.append(far / near["train"][-1])
    speeds = {f"{split}, examples/s": 1 / median(near[split]) for split in SPLITS}
    return {"task": task.variant, **speeds, "far / near": median(ratios)}


def tasks() -> Iterator[ProceduralTask]:
    """Yield every bundled procedural task at every level."""
    for name in dict.fromkeys(entry.task for entry in TABLE):
        for level in getattr(load_task(name), "levels", ()):
            for options in OPTIONS.get(name, ({},)):
                task = load_task(name, level=level, **options)
                assert isinstance(task, ProceduralTask)
                yield task


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--examples", type=int, default=800, help="a round")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the table")
    args = parser.parse_args()
    rows = [row(task, args.rounds, args.examples) for task in tasks()]
    command = f"python benchmarks/example_speed.py --rounds {args.rounds}"
    publish("example_speed", "Examples a second, one core", command, rows, args.output)


if __name__ == "__main__":
    main()
