"""REINFORCE from the bundled model on every task in natural language, beside its controls.

    python benchmarks/task_learning.py --jobs 2

Each task is learned at its default level for so many tokens (half as many where a conversation
makes tokens twice as dear) on one core, from the reward that is its own and, as a control, for a
quarter of the tokens from a random reward. Sampling colder raises a likelihood model's score for
nothing. So texts are sampled at a low temperature while learning, and each policy, the start too,
is scored on the same prompts of the test split at the temperature that is best for it on the
validation split; the gain is the mean of the differences on these prompts. What was cut off goes on
where it was, and what is finished is not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gymnasium as gym
from resuming import bundled_weights, check_same
from tables import RESULTS, publish

from textgym.registration import TABLE
from textgym.tasks.mixture import TEXT_TASKS
from textgym_agents.algorithms.reinforce import ReinforceConfig
from textgym_agents.checkpoint import CHECKPOINTS, LATEST, load_checkpoint_policy
from textgym_agents.evaluate import Estimate, EvaluationResult, evaluate
from textgym_agents.loggers import read_rows
from textgym_agents.policies import Policy, Sampling
from textgym_agents.policies.construction import PolicyConfig, build_policy, describe_policy
from textgym_agents.runs.atomic import write_json
from textgym_agents.train import TrainConfig, train

ENV_IDS = {row.id.removeprefix("textgym/"): row.id for row in TABLE if row.task in TEXT_TASKS}
TEMPERATURE = 0.4
"""Of texts that are learned from."""
TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0)
CONVERSATIONS = ("Dialogue-v0", "Wordle-v0")
RATES = {"Dialogue-v0": 1e-4, "Arithmetic-v0": 1e-4}
"""Step sizes where they are not `RATE`."""
RATE, GROUP_SIZE, NUM_ENVS = 2e-4, 4, 64
START = "start"
REWARDS = {"REINFORCE": None, "random reward": "random"}
SHARES = {"REINFORCE": 1.0, "random reward": 0.25}
"""Of the tokens."""


def scored(
    policy: Policy,
    env_id: str,
    episodes: int,
    *,
    split: str,
    temperature: float = 1.0,
    greedy: bool = False,
) -> EvaluationResult:
    """The answers to prompts that are the same for every policy."""
    policy.sampling = Sampling(temperature=temperature)
    envs = gym.make_vec(env_id, num_envs=64, split=split, mask_in_info=False)
    return evaluate(envs, policy, num_episodes=episodes, seed=3, deterministic=greedy)


def start(env_id: str) -> Policy:
    """The bundled model."""
    envs = gym.make_vec(env_id, num_envs=1)
    return build_policy(describe_policy(PolicyConfig(), envs))


def learn(name: str, reward: str | None, steps: int, seed: int, folder: Path) -> Path:
    """Train from the bundled model; the last checkpoint."""
    config = TrainConfig(
        env_id=f"textgym:{ENV_IDS[name]}",
        env_kwargs={"mask_in_info": False} | ({} if reward is None else {"reward": reward}),
        total_steps=steps,
        num_envs=NUM_ENVS,
        seed=seed,
        output=folder,
        resume=(folder / CHECKPOINTS / LATEST).is_file(),
        policy=PolicyConfig(temperature=TEMPERATURE),
        threads=1,
        tensorboard=False,
        progress=False,
    )
    algorithm = ReinforceConfig(
        learning_rate=RATES.get(name, RATE),
        schedule="linear",
        baseline="leave_one_out",
        group_size=GROUP_SIZE,
    )
    result = train(config, algorithm)
    if result.interrupted:
        raise SystemExit("interrupted: the same command goes on")
    return result.checkpoint


def tokens(name: str, kind: str, steps: int) -> int:
    """How many a run learns from."""
    return int(steps * SHARES[kind] * (0.5 if name in CONVERSATIONS else 1.0))


def study(name: str, steps: int, seed: int, episodes: int, runs: Path) -> dict[str, Any]:
    """One row of the table, after the runs that it needs; kept beside them."""
    path = runs / f"{name}-{seed}-{episodes}.json"
    if not path.is_file():
        folders = {kind: runs / f"{name}-{kind.replace(' ', '-')}-{seed}" for kind in REWARDS}
        policies = {START: start(ENV_IDS[name])}
        for kind, reward in REWARDS.items():
            checkpoint = learn(name, reward, tokens(name, kind, steps), seed, folders[kind])
            policies[kind] = load_checkpoint_policy(checkpoint)
        found = {
            kind: measure(policy, ENV_IDS[name], episodes) for kind, policy in policies.items()
        }
        write_json(path, row(name, found, seconds_of(folders["REINFORCE"])))
    kept: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return kept


@dataclass(frozen=True)
class Measured:
    """Test scores of one policy: as it is, at its best temperature, by its likeliest tokens."""

    sampled: EvaluationResult
    temperature: float
    best: EvaluationResult
    greedy: EvaluationResult


def measure(policy: Policy, env_id: str, episodes: int) -> Measured:
    """All measurements of one policy."""

    def validation(temperature: float) -> float:
        found = scored(policy, env_id, episodes // 2, split="validation", temperature=temperature)
        return found.scores["score"].mean

    best = max(TEMPERATURES, key=validation)
    return Measured(
        scored(policy, env_id, episodes, split="test"),
        best,
        scored(policy, env_id, episodes, split="test", temperature=best),
        scored(policy, env_id, episodes, split="test", greedy=True),
    )


def row(name: str, found: dict[str, Measured], seconds: float) -> dict[str, Any]:
    gain = difference(found["REINFORCE"].best, found[START].best)
    columns: dict[str, Any] = {"environment": name}
    for kind, policy in found.items():
        columns[f"{kind}, best"] = f"{shown(policy.best.scores['score'])} at {policy.temperature}"
    return {
        **columns,
        "gain": shown(gain),
        "apart": "yes" if gain.low > 0 else "no",
        **{f"{k}, temperature 1": shown(p.sampled.scores["score"]) for k, p in found.items()},
        **{f"{k}, greedy": shown(p.greedy.scores["score"]) for k, p in found.items()},
        "seconds": round(seconds),
    }


def difference(after: EvaluationResult, before: EvaluationResult) -> Estimate:
    """By how much the scores of the same prompts differ."""
    pairs = zip(after.episodes, before.episodes, strict=True)
    return Estimate.of([new.info["score"] - old.info["score"] for new, old in pairs])


def shown(estimate: Estimate) -> str:
    return f"{estimate.mean:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def seconds_of(folder: Path) -> float:
    """How long a run collected and learned, its interruptions left out."""
    rows = read_rows(folder / "log.jsonl")
    return sum(row["collect_seconds"] + row["update_seconds"] for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=400_000, help="tokens of training, a run")
    parser.add_argument("--episodes", type=int, default=1_024, help="held-out prompts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, a core each")
    parser.add_argument("--only", nargs="*", default=list(ENV_IDS), choices=list(ENV_IDS))
    parser.add_argument("--runs", type=Path, default=Path("runs/task_learning"))
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the table")
    args = parser.parse_args()
    rates = {f"step size of {name}": RATES.get(name, RATE) for name in args.only}
    batches: dict[str, Any] = {"texts a batch": NUM_ENVS, "texts a prompt": GROUP_SIZE}
    batches |= {"steps": args.steps, "temperature": TEMPERATURE, START: bundled_weights()}
    check_same(args.runs, batches, rates)
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        asked = [
            pool.submit(study, name, args.steps, args.seed, args.episodes, args.runs)
            for name in args.only
        ]
        rows = [future.result() for future in asked]
    command = f"python benchmarks/task_learning.py {shlex.join(sys.argv[1:])}".rstrip()
    title = (
        f"REINFORCE from the bundled model, level medium, {args.steps:,} tokens on one core a run "
        f"(conversations half, the control a quarter) at temperature {TEMPERATURE}: "
        f"{args.episodes:,} test prompts, each policy at its best temperature, 95% intervals"
    )
    publish("task_learning", title, command, rows, args.output)


if __name__ == "__main__":
    main()
