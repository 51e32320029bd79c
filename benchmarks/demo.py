"""Improve the bundled GPT-2 by policy gradient on a task, and show the gain.

    python benchmarks/demo.py --output runs/demo

The task is textgym/Story-v0: an opening, to be continued with given words in a given mood. The
reward is the environment's own. All is measured on prompts of the validation split, which learning
has not seen. Sampling colder raises a likelihood model's score for nothing, so the bundled model is
also shown at lower temperatures.
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

from textgym_agents.algorithms.reinforce import ReinforceConfig
from textgym_agents.checkpoint import load_checkpoint_policy
from textgym_agents.evaluate import EvaluationResult, evaluate
from textgym_agents.loggers import read_rows
from textgym_agents.policies import Policy, Sampling
from textgym_agents.policies.construction import PolicyConfig, build_policy, describe_policy
from textgym_agents.train import TrainConfig, train

ENV_ID = "textgym:textgym/Story-v0"
TEMPERATURES = (0.4, 0.6, 0.8)
SLOTS = 256
"""Texts at a time where policies are scored."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Environment steps (tokens) of learning, environments at a time, held-out episodes."""

    steps: int
    num_envs: int
    held_out: int


FULL = Budget(steps=500_000, num_envs=256, held_out=1_024)
QUICK = Budget(steps=2_000, num_envs=32, held_out=32)


def policy_gradient(budget: Budget, output: Path, seed: int) -> Policy:
    """REINFORCE from the bundled model, which a run on this task starts from."""
    config = TrainConfig(
        env_id=ENV_ID,
        env_kwargs={"mask_in_info": False},
        total_steps=budget.steps,
        num_envs=budget.num_envs,
        seed=seed,
        output=output,
        tensorboard=False,
    )
    algorithm = ReinforceConfig(
        learning_rate=4e-4, schedule="linear", baseline="leave_one_out", group_size=16
    )
    return load_checkpoint_policy(train(config, algorithm).checkpoint)


def bundled(env_id: str = ENV_ID) -> Policy:
    """The model that learning starts from."""
    envs = gym.make_vec(env_id, num_envs=1)
    return build_policy(describe_policy(PolicyConfig(), envs))


def held_out(
    policy: Policy,
    budget: Budget,
    *,
    env_id: str = ENV_ID,
    level: str = "medium",
    temperature: float = 1.0,
    greedy: bool = False,
    best_of: int = 1,
    seed: int = 1,
) -> EvaluationResult:
    """Score answers to validation prompts.

    With the same seed every policy has the same prompts and the same random numbers.
    """
    policy.sampling = Sampling(temperature=temperature)
    options = {"level": level, "split": "validation", "mask_in_info": False}
    num_envs = best_of * min(SLOTS // best_of, budget.held_out)
    envs = gym.make_vec(env_id, num_envs=num_envs, **options)
    return evaluate(
        envs,
        policy,
        num_episodes=budget.held_out,
        seed=seed,
        deterministic=greedy,
        best_of=best_of,
    )


def row(name: str, how: str, result: EvaluationResult) -> dict[str, Any]:
    score = result.scores["score"]
    return {
        "policy": name,
        "answers": how,
        "score": f"{score.mean:.3f}",
        "95% interval": f"{score.low:.3f} to {score.high:.3f}",
        "prompts": score.count,
    }


def show_texts(before: EvaluationResult, after: EvaluationResult, count: int = 4) -> None:
    """Sampled answers to the same prompts, before and after."""
    for old, new in list(zip(before.episodes, after.episodes, strict=True))[:count]:
        print(f"\n   prompt: {old.info['prompt'].strip()}")
        print(f"reference: {new.info['references'][0]}")
        print(f"   before: {old.info['text']}   [{old.info['score']:.2f}]")
        print(f"    after: {new.info['text']}   [{new.info['score']:.2f}]")


def draw(folder: Path, before: EvaluationResult, after: EvaluationResult) -> Path:
    """The score of sampled training texts over time, between the held-out scores, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = read_rows(folder / "log.jsonl")
    scores = [entry["score"] for entry in rows]
    smooth = [mean(scores[max(0, i - 5) : i + 6]) for i in range(len(scores))]
    figure, axes = plt.subplots(figsize=(7, 4))
    axes.plot([entry["seconds"] for entry in rows], smooth, label="training prompts")
    for name, result in (("held out, before", before), ("held out, after", after)):
        score = result.scores["score"]
        line = axes.axhline(score.mean, linestyle="--", label=name)
        axes.axhspan(score.low, score.high, alpha=0.15)
        line.set_color("0.4" if name.endswith("before") else "tab:green")
    axes.set(xlabel="seconds of policy gradient", ylabel="score of sampled texts")
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
    shutil.rmtree(args.output, ignore_errors=True)

    print("1. REINFORCE with a leave-one-out baseline, from the bundled model")
    start, end = bundled(), policy_gradient(budget, args.output, args.seed)
    print("2. Held-out scores")
    before, after = held_out(start, budget), held_out(end, budget)
    rows = [row("bundled model", "sampled", before)]
    for temperature in TEMPERATURES:
        colder = held_out(start, budget, temperature=temperature)
        rows.append(row("bundled model", f"sampled, temperature {temperature}", colder))
    rows.append(row("bundled model", "greedy", held_out(start, budget, greedy=True)))
    rows.append(row("policy gradient", "sampled", after))
    rows.append(row("policy gradient", "greedy", held_out(end, budget, greedy=True)))
    print(markdown(rows))
    show_texts(before, after)
    picture = draw(args.output, before, after)
    old, new = before.scores["score"], after.scores["score"]
    verdict = "the intervals do not overlap" if new.low > old.high else "the intervals overlap"
    print(f"\nSampled score {old.mean:.3f} -> {new.mean:.3f}: {verdict}.")
    print(f"Learning curve: {picture}. Time: {time.perf_counter() - began:.0f} s.")


if __name__ == "__main__":
    main()
