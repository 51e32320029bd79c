"""Every algorithm from the bundled model on one task, over several seeds, beside its controls.

    python benchmarks/learning_curves.py --env Story-v0 --jobs 2

Each algorithm learns the task, at one level, from the environment's reward, for the same number of
tokens. Their held-out scores (sampled, the same validation prompts for all) are compared as they
are then, and their scores on training prompts at the time when the fastest had finished. Beside
them: maximum likelihood on the experts' answers for the same number of tokens, REINFORCE on a
random reward, the untrained model, the start at lower temperatures, since sampling colder raises a
likelihood model's score for nothing, and the best of several of its samples by the reward, which
is what can be had without learning where the reward may be asked at decoding. A run that was cut
off goes on where it was, and a finished one is not repeated.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import mean
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from demo import TEMPERATURES, Budget, bundled, held_out
from tables import RESULTS, publish
from task_learning import ENV_IDS

from textgym_agents.algorithms import (
    A2CConfig,
    AlgorithmConfig,
    ExpertIterationConfig,
    GRPOConfig,
    MaximumLikelihoodConfig,
    NLPOConfig,
    PPOConfig,
    ReinforceConfig,
    RLOOConfig,
    TRPOConfig,
)
from textgym_agents.checkpoint import CHECKPOINTS, LATEST, load_checkpoint_policy
from textgym_agents.evaluate import Estimate
from textgym_agents.loggers import read_rows
from textgym_agents.policies.construction import PolicyConfig
from textgym_agents.train import TrainConfig, train

RATE = 4e-4
"""The step size of algorithms that take one step a batch."""
RATES = {"Dialogue-v0": 1e-4, "Arithmetic-v0": 1e-4}
"""Where another one is better."""
NO_CURVE = ("likelihood", "random reward")
"""Whose training texts are the expert's, or are not scored by the task's reward."""


def algorithms(rate: float) -> dict[str, tuple[AlgorithmConfig, dict[str, Any]]]:
    """What is compared: configurations, and arguments of their environments."""
    linear: dict[str, Any] = {"learning_rate": rate, "schedule": "linear"}
    groups: dict[str, Any] = {"learning_rate": rate, "group_size": 16}
    clipped = linear | {"learning_rate": rate / 2, "num_epochs": 2, "num_minibatches": 2}
    reinforce = ReinforceConfig(schedule="linear", baseline="leave_one_out", **groups)
    trpo = TRPOConfig(
        target_kl=0.02,
        gae_lambda=1.0,
        fisher_share=0.25,
        cg_iterations=3,
        cg_damping=10.0,
        value_epochs=2,
        num_minibatches=1,
    )
    return {
        "reinforce": (reinforce, {}),
        "scst": (ReinforceConfig(baseline="greedy", **linear), {}),
        "rloo": (RLOOConfig(**groups), {}),
        "grpo": (GRPOConfig(**groups), {}),
        "dr_grpo": (GRPOConfig(variant="dr_grpo", constant_length=32.0, **groups), {}),
        "dapo": (GRPOConfig(variant="dapo", **groups), {}),
        "gspo": (GRPOConfig(variant="gspo", **groups), {}),
        "cispo": (GRPOConfig(variant="cispo", **groups), {}),
        "a2c": (A2CConfig(normalize_advantages=True, **linear), {}),
        "ppo": (PPOConfig(**clipped), {}),
        "nlpo": (NLPOConfig(mask_top_p=0.95, **clipped), {}),
        "trpo": (trpo, {}),
        "expert iteration": (ExpertIterationConfig(**groups), {}),
        "likelihood": (MaximumLikelihoodConfig(**linear), {"demonstrations": True}),
        "random reward": (reinforce, {"reward": "random"}),
    }


ALGORITHMS = tuple(algorithms(RATE))


@dataclass(frozen=True)
class Where:
    """An environment's name, such as Story-v0, and its level."""

    env: str
    level: str

    @property
    def id(self) -> str:
        """For `gym.make_vec`."""
        return ENV_IDS[self.env]

    @property
    def table(self) -> str:
        """The name of the results."""
        level = "" if self.level == "medium" else f"_{self.level}"
        return f"learning_curves_{self.env.partition('-')[0].lower()}{level}"


def learn(where: Where, name: str, steps: int, num_envs: int, seed: int, folder: Path) -> Path:
    """Train by one of `algorithms`; the last checkpoint."""
    algorithm, env_kwargs = algorithms(RATES.get(where.env, RATE))[name]
    config = TrainConfig(
        env_id=f"textgym:{where.id}",
        env_kwargs={"level": where.level, "mask_in_info": False, **env_kwargs},
        total_steps=steps,
        num_envs=num_envs,
        seed=seed,
        output=folder,
        resume=(folder / CHECKPOINTS / LATEST).is_file(),
        policy=PolicyConfig(),
        threads=1,
        tensorboard=False,
        progress=False,
    )
    return train(config, algorithm).checkpoint


def scored(where: Where, name: str, budget: Budget, seed: int, folder: Path) -> float:
    """The held-out score after learning."""
    checkpoint = learn(where, name, budget.steps, budget.num_envs, seed, folder)
    policy = load_checkpoint_policy(checkpoint)
    result = held_out(policy, budget, env_id=where.id, level=where.level)
    return result.scores["score"].mean


def curve(folder: Path) -> list[tuple[float, float]]:
    """Seconds of collecting and learning, and the score of the training texts just before."""
    rows, seconds, points = read_rows(folder / "log.jsonl"), 0.0, []
    scores = [row["score"] for row in rows]
    for index, row in enumerate(rows):
        seconds += row["collect_seconds"] + row["update_seconds"]
        points.append((seconds, mean(scores[max(0, index - 4) : index + 1])))
    return points


def at(points: list[tuple[float, float]], seconds: float) -> float:
    """The score at a time."""
    return [score for when, score in points if when <= seconds or when == points[0][0]][-1]


def draw(curves: dict[str, list[list[tuple[float, float]]]], path: Path) -> None:
    """Training scores over time, the mean of the seeds of each algorithm, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5))
    for index, (name, seeds) in enumerate(curves.items()):
        end = min(points[-1][0] for points in seeds)
        times = [end * k / 100 for k in range(3, 101)]
        means = [mean(at(points, t) for points in seeds) for t in times]
        axes.plot(times, means, label=name, color=plt.get_cmap("tab20")(index % 20))
    axes.set(xlabel="seconds on one core", ylabel="score of sampled training texts")
    axes.legend(fontsize=7, ncols=2)
    figure.tight_layout()
    temporary = path.with_suffix(".tmp.png")
    figure.savefig(temporary, dpi=120)
    plt.close(figure)
    temporary.replace(path)


def row(
    name: str, estimate: Estimate, of: str, each: str = "", seconds: str = "", timed: str = ""
) -> dict[str, Any]:
    return {
        "policy": name,
        "held-out score, sampled": f"{estimate.mean:.3f}",
        "95% interval": f"{estimate.low:.3f} to {estimate.high:.3f}",
        "over": f"{estimate.count} {of}",
        "each seed": each,
        "seconds a run": seconds,
        "training score at equal seconds": timed,
    }


def controls(where: Where, budget: Budget) -> list[dict[str, Any]]:
    """The start, as it is, colder, and as the reward would choose among its samples."""
    start, rows = bundled(where.id), []
    place: dict[str, Any] = {"env_id": where.id, "level": where.level}
    for temperature in (1.0, *TEMPERATURES):
        name = "bundled model" if temperature == 1 else f"bundled model, temperature {temperature}"
        result = held_out(start, budget, temperature=temperature, **place)
        rows.append(row(name, result.scores["score"], "prompts"))
    for count in (4, 16):
        result = held_out(start, budget, best_of=count, **place)
        rows.append(row(f"bundled model, best of {count}", result.scores["score"], "prompts"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--env", default="Story-v0", choices=list(ENV_IDS))
    parser.add_argument("--level", default="medium", choices=("easy", "medium", "hard"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60_000, help="tokens a run")
    parser.add_argument("--num-envs", type=int, default=64)
    parser.add_argument("--episodes", type=int, default=512, help="held-out prompts")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, a core each")
    parser.add_argument("--only", nargs="*", default=list(ALGORITHMS), choices=ALGORITHMS)
    parser.add_argument("--runs", type=Path, default=Path("runs/learning_curves"))
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the table")
    args = parser.parse_args()
    budget = Budget(steps=args.steps, num_envs=args.num_envs, held_out=args.episodes)
    where = Where(args.env, args.level)
    folders = {
        name: [
            args.runs / where.table / f"{name.replace(' ', '-')}-{seed}"
            for seed in range(args.seeds)
        ]
        for name in args.only
    }
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        pending = {
            (name, seed): pool.submit(scored, where, name, budget, seed, folders[name][seed])
            for seed in range(args.seeds)
            for name in args.only
        }
        rows = controls(where, budget)
        means = {key: future.result() for key, future in pending.items()}
    curves = {name: [curve(folder) for folder in folders[name]] for name in args.only}
    times = {name: mean(points[-1][0] for points in curves[name]) for name in args.only}
    fastest = min((times[name] for name in args.only if name not in NO_CURVE), default=0.0)
    for name in args.only:
        scores = [means[name, seed] for seed in range(args.seeds)]
        each = ", ".join(f"{score:.3f}" for score in scores)
        timed = mean(at(points, fastest) for points in curves[name])
        own = "" if name in NO_CURVE else f"{timed:.3f}"
        rows.append(row(name, Estimate.of(scores), "seeds", each, f"{times[name]:.0f}", own))
    command = f"python benchmarks/learning_curves.py {shlex.join(sys.argv[1:])}".rstrip()
    title = (
        f"Algorithms on {args.env}, level {args.level}, from the bundled model, {args.steps:,} "
        f"tokens a run in batches of {args.num_envs} texts, step size {RATES.get(args.env, RATE):g}"
    )
    publish(where.table, title, command, rows, args.output)
    drawn = {name: points for name, points in curves.items() if name not in NO_CURVE}
    draw(drawn, args.output / f"{where.table}.png")


if __name__ == "__main__":
    main()
