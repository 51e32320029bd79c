"""Milliseconds of a draw from the nucleus of each row of logits, beside transformers' own.

    python benchmarks/nucleus.py

Ours is `sampling.draw`, as `act` calls it; the other is what `generate` does: `TopPLogitsWarper`, a
softmax and `torch.multinomial`. The logits are normal; how widely they spread sets how many actions
the nucleus has. Contenders take turns, and the ratios are medians over the rounds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from tables import RESULTS, publish
from torch import Tensor
from transformers import TopPLogitsWarper

from textgym_agents.policies.sampling import Sampling, draw, uniform_numbers

TOP_P = 0.9
CASES = [(size, spread) for size in (2_048, 50_257) for spread in (1.0, 4.0, 8.0)]


def ours(logits: Tensor) -> Tensor:
    return draw(
        logits, Sampling(top_p=TOP_P), uniform=uniform_numbers(len(logits), None, logits.device)
    )[0]


def theirs(logits: Tensor) -> Tensor:
    return torch.multinomial(TopPLogitsWarper(TOP_P)(None, logits).softmax(dim=-1), 1)


def milliseconds(call: Callable[[Tensor], Tensor], logits: Tensor) -> float:
    start = time.perf_counter()
    call(logits)
    return 1e3 * (time.perf_counter() - start)


def measure(size: int, spread: float, rows: int, rounds: int) -> dict[str, Any]:
    """One row of the table."""
    logits = torch.randn(rows, size, generator=torch.Generator().manual_seed(0)) * spread
    left = torch.isfinite(TopPLogitsWarper(TOP_P)(None, logits)).sum(dim=-1).double().mean()
    pairs = [(milliseconds(ours, logits), milliseconds(theirs, logits)) for _ in range(rounds + 1)]
    mine, other = zip(*pairs[1:], strict=True)  # The first round warms up.
    return {
        "vocabulary": size,
        "actions left": float(left),
        "ms": median(mine),
        "transformers ms": median(other),
        "transformers / ours": median(b / a for a, b in pairs[1:]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the table")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measure(size, spread, args.rows, args.rounds) for size, spread in CASES]
    command = f"python benchmarks/nucleus.py --rows {args.rows} --rounds {args.rounds}"
    publish("nucleus", f"A draw from nuclei of {TOP_P}, one thread", command, rows, args.output)


if __name__ == "__main__":
    main()
