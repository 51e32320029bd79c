"""Tokens a second of training on one process and on two, for the same batches.

The same run (REINFORCE on a bundled task, a language model with random weights) is started by the
command line with one process and by torchrun with two, which divide its environments and its
forward and backward passes. Threads are torch's, of each process: two processes of one thread use
as many cores as one process of two. The contenders run in turn; each round's first iteration
warms up, and numbers are medians over the iterations of all rounds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from tables import RESULTS, publish

from textgym_agents.loggers import read_rows

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node")


@dataclass
class Contender:
    """A way to run, and what its iterations took."""

    processes: int
    threads: int
    tokens: list[float] = field(default_factory=list)
    collect: list[float] = field(default_factory=list)
    update: list[float] = field(default_factory=list)

    def run(self, options: list[str], output: Path) -> None:
        """Train, and note each iteration but the first."""
        launcher = [*TORCHRUN, str(self.processes)] if self.processes > 1 else []
        command = [sys.executable, *launcher, "-m", "textgym_agents", "train", "reinforce"]
        command += [*options, "--threads", str(self.threads), "--output", str(output)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.threads)}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
        rows = read_rows(output / "log.jsonl")
        for before, row in pairwise(rows):
            self.tokens.append(row["steps"] - before["steps"])
            self.collect.append(row["collect_seconds"])
            self.update.append(row["update_seconds"])

    def row(self, first: Contender) -> dict[str, Any]:
        """What the iterations took, and how that compares with another contender's."""
        return {
            "processes": self.processes,
            "threads each": self.threads,
            "tokens/s": self.rate,
            "rollout tokens/s": median(
                t / s for t, s in zip(self.tokens, self.collect, strict=True)
            ),
            "update tokens/s": median(t / s for t, s in zip(self.tokens, self.update, strict=True)),
            "to one process of one thread": self.rate / first.rate,
            "iterations": len(self.tokens),
        }

    @property
    def rate(self) -> float:
        """Tokens a second of a whole iteration."""
        spent = zip(self.tokens, self.collect, self.update, strict=True)
        return median(tokens / (collect + update) for tokens, collect, update in spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=12_000, help="of a run")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--num-envs", type=int, default=32)
    parser.add_argument("--width", type=int, default=128, help="of the model")
    parser.add_argument("--env-id", default="textgym:textgym/Translation-v0")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the table")
    arguments = parser.parse_args()
    contenders = [Contender(1, 1), Contender(1, 2), Contender(2, 1)]
    options = ["--env-id", arguments.env_id, "--num-envs", str(arguments.num_envs)]
    options += ["--width", str(arguments.width), "--no-tensorboard", "--no-progress"]
    options += ["--total-steps", str(arguments.tokens)]
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.rounds):
            for place, contender in enumerate(contenders):
                output = Path(folder) / f"{number}-{place}"
                contender.run(options, output)
    publish(
        "processes",
        "Training on one process and on two: REINFORCE on a language model",
        f"python benchmarks/processes.py --tokens {arguments.tokens} "
        f"--rounds {arguments.rounds} --num-envs {arguments.num_envs} --width {arguments.width} "
        f"--env-id {arguments.env_id}",
        [contender.row(contenders[0]) for contender in contenders],
        arguments.output,
    )


if __name__ == "__main__":
    main()
