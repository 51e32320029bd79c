"""Warm-start a small GPT-2 by maximum likelihood, improve it by policy gradient, show the gain.

    python benchmarks/demo.py --output runs/demo

The task is textgym/Translation-v0 at level easy, the reward sentence BLEU. All is measured on
prompts of the validation split, which neither phase has seen. Sampling colder raises a likelihood
model's score for nothing, so the warm start is also shown at lower temperatures.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gymnasium as gym
from tables import markdown

from textgym_agents.algorithms.mle import MaximumLikelihoodConfig
from textgym_agents.algorithms.reinforce import ReinforceConfig
from textgym_agents.checkpoint import load_checkpoint_policy
from textgym_agents.evaluate import EvaluationResult, evaluate
from textgym_agents.loggers import read_rows
from textgym_agents.policies import Sampling
from textgym_agents.policies.construction import PolicyConfig
from textgym_agents.train import TrainConfig, TrainResult, train

ENV_ID = "textgym:textgym/Translation-v0"
LEVEL = {"level": "easy"}
TEMPERATURES = (0.4, 0.6, 0.8)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Environment steps (tokens) of each phase, and held-out episodes."""

    warm_start: int
    policy_gradient: int
    held_out: int


FULL = Budget(warm_start=360_000, policy_gradient=520_000, held_out=768)
QUICK = Budget(warm_start=4_000, policy_gradient=2_000, held_out=32)


def warm_start(budget: Budget, output: Path, seed: int) -> TrainResult:
    config = TrainConfig(
        env_id=ENV_ID,
        env_kwargs={
            **LEVEL,
            "demonstrations": True,
            "mask_in_info": False,
            "reward": "constant",  # Likelihood needs no score.
        },
        total_steps=budget.warm_start,
        num_envs=32,
        seed=seed,
        output=output,
        policy=PolicyConfig(layers=2, width=192),
        tensorboard=False,
    )
    return train(
        config, MaximumLikelihoodConfig(learning_rate=3e-3, schedule="cosine", warmup=0.03)
    )


def policy_gradient(
    budget: Budget, start: Path, output: Path, seed: int, reward: str = "bleu"
) -> TrainResult:
    config = TrainConfig(
        env_id=ENV_ID,
        env_kwargs={**LEVEL, "reward": reward},
        total_steps=budget.policy_gradient,
        num_envs=64,
        seed=seed,
        output=output,
        init=start,
        tensorboard=False,
    )
    algorithm = ReinforceConfig(learning_rate=1.5e-4, baseline="leave_one_out", group_size=8)
    return train(config, algorithm)


def held_out(
    checkpoint: Path, budget: Budget, *, temperature: float = 1.0, greedy: bool = False
) -> EvaluationResult:
    """Score answers to validation prompts; the same prompts for every policy."""
    policy = load_checkpoint_policy(checkpoint)
    policy.sampling = Sampling(temperature=temperature)
    envs = gym.make_vec(ENV_ID, num_envs=64, split="validation", **LEVEL)
    return evaluate(envs, policy, num_episodes=budget.held_out, seed=1, deterministic=greedy)


def row(name: str, how: str, result: EvaluationResult) -> dict[str, Any]:
    score = result.scores["score"]
    return {
        "policy": name,
        "answers": how,
        "BLEU": f"{score.mean:.3f}",
        "95% interval": f"{score.low:.3f} to {score.high:.3f}",
        "prompts": score.count,
    }


def show_texts(before: EvaluationResult, after: EvaluationResult, count: int = 5) -> None:
    """Sampled answers to the same prompts, before and after."""
    for old, new in list(zip(before.episodes, after.episodes, strict=True))[:count]:
        print(f"\nreference: {new.info['references'][0]}")
        print(f"   before: {old.info['text']}   [{old.info['score']:.2f}]")
        print(f"    after: {new.info['text']}   [{new.info['score']:.2f}]")


def draw(folder: Path, before: EvaluationResult, after: EvaluationResult) -> Path:
    """The score of sampled training texts over time, between the held-out scores, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = read_rows(folder / "log.jsonl")
    scores = [entry["score"] for entry in rows]
    smooth = [mean(scores[max(0, i - 20) : i + 21]) for i in range(len(scores))]
    figure, axes = plt.subplots(figsize=(7, 4))
    axes.plot([entry["seconds"] for entry in rows], smooth, label="training prompts")
    for name, result in (("held out, before", before), ("held out, after", after)):
        score = result.scores["score"]
        line = axes.axhline(score.mean, linestyle="--", label=name)
        axes.axhspan(score.low, score.high, alpha=0.15)
        line.set_color("0.4" if name.endswith("before") else "tab:green")
    axes.set(xlabel="seconds of policy gradient", ylabel="sentence BLEU of sampled texts")
    axes.legend()
    figure.tight_layout()
    path = folder / "demo.png"
    temporary = folder / "demo.tmp.png"
    figure.savefig(temporary, dpi=120)
    plt.close(figure)
    temporary.replace(path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("runs/demo"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a few steps, to see it run")
    args = parser.parse_args()
    budget = QUICK if args.quick else FULL
    began = time.perf_counter()
    for phase in ("warm_start", "policy_gradient"):
        shutil.rmtree(args.output / phase, ignore_errors=True)

    print("1. Maximum likelihood on reference translations")
    start = warm_start(budget, args.output / "warm_start", args.seed).checkpoint
    print("2. REINFORCE with a leave-one-out baseline on sampled translations")
    end = policy_gradient(budget, start, args.output / "policy_gradient", args.seed).checkpoint
    print("3. Held-out scores")
    before, after = held_out(start, budget), held_out(end, budget)
    rows = [row("warm start", "sampled", before)]
    for temperature in TEMPERATURES:
        colder = held_out(start, budget, temperature=temperature)
        rows.append(row("warm start", f"sampled, temperature {temperature}", colder))
    rows.append(row("warm start", "greedy", held_out(start, budget, greedy=True)))
    rows.append(row("policy gradient", "sampled", after))
    rows.append(row("policy gradient", "greedy", held_out(end, budget, greedy=True)))
    print(markdown(rows))
    show_texts(before, after)
    picture = draw(args.output / "policy_gradient", before, after)
    old, new = before.scores["score"], after.scores["score"]
    verdict = "the intervals do not overlap" if new.low > old.high else "the intervals overlap"
    print(f"\nSampled BLEU {old.mean:.3f} -> {new.mean:.3f}: {verdict}.")
    print(f"Learning curve: {picture}. Time: {time.perf_counter() - began:.0f} s.")


if __name__ == "__main__":
    main()
