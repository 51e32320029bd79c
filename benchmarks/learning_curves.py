"""Policy gradient on Translation from one warm start: BLEU as the reward, and its controls.

Every seed trains on BLEU and on a random reward, from the same warm start and for the same number
of tokens; all are scored with BLEU on the same held-out prompts. The untrained model and the warm
start at lower temperatures stand beside them. Takes about half an hour on two cores.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from demo import FULL, LEVEL, QUICK, TEMPERATURES, Budget, held_out, policy_gradient, warm_start
from tables import RESULTS, publish

from textgym_agents.evaluate import Estimate


def over_seeds(reward: str, start: Path, budget: Budget, seeds: int, folder: Path) -> list[float]:
    """Held-out BLEU of sampled texts after training on `reward`, one number a seed."""
    means = []
    for seed in range(seeds):
        output = folder / f"{reward}-{seed}"
        run = policy_gradient(budget, start, output, seed, reward=reward)
        means.append(held_out(run.checkpoint, budget).scores["score"].mean)
        print(f"{reward}, seed {seed}: {means[-1]:.3f}", flush=True)
    return means


def row(name: str, estimate: Estimate, of: str, each: str = "") -> dict[str, Any]:
    return {
        "policy": name,
        "held-out BLEU, sampled": f"{estimate.mean:.3f}",
        "95% interval": f"{estimate.low:.3f} to {estimate.high:.3f}",
        "over": f"{estimate.count} {of}",
        "each seed": each,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200_000, help="tokens a run")
    parser.add_argument("--quick", action="store_true", help="too small to show anything")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the table")
    args = parser.parse_args()
    full = QUICK if args.quick else FULL
    steps = full.policy_gradient if args.quick else args.steps
    budget = Budget(warm_start=full.warm_start, policy_gradient=steps, held_out=full.held_out)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one = Budget(warm_start=1, policy_gradient=1, held_out=budget.held_out)
        untrained = held_out(warm_start(one, folder / "untrained", 0).checkpoint, budget)
        start = warm_start(budget, folder / "start", 0).checkpoint
        rows = [row("one step of likelihood", untrained.scores["score"], "prompts")]
        rows.append(row("warm start", held_out(start, budget).scores["score"], "prompts"))
        for temperature in TEMPERATURES:
            colder = held_out(start, budget, temperature=temperature).scores["score"]
            rows.append(row(f"warm start, temperature {temperature}", colder, "prompts"))
        for reward in ("random", "bleu"):
            means = over_seeds(reward, start, budget, args.seeds, folder)
            each = ", ".join(f"{mean:.3f}" for mean in means)
            rows.append(row(f"REINFORCE on {reward}", Estimate.of(means), "seeds", each))
    command = f"python benchmarks/learning_curves.py --seeds {args.seeds} --steps {steps}"
    title = f"REINFORCE on Translation ({LEVEL['level']}) from a warm start, with controls"
    publish("learning_curves", title, command, rows, args.output)


if __name__ == "__main__":
    main()
