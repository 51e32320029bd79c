"""REINFORCE from the bundled model on every task in natural language, beside its controls.

    python benchmarks/task_learning.py --steps 1000000 --jobs 2

Each task is learned at its default level for so many tokens (half as many where a conversation
makes tokens twice as dear) on one core, from the reward that is its own and, as a control, for a
quarter of the tokens from a random reward. All are scored with the task's reward on the same
prompts of the test split. Sampling colder raises a likelihood model's score for nothing, so the
start is also shown at the temperature that is best on the validation split. What was cut off goes
on where it was, and what is finished is not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gymnasium as gym
from tables import RESULTS, publish

from textgym.registration import TABLE
from textgym.tasks.mixture import TEXT_TASKS
from textgym_agents.algorithms.reinforce import ReinforceConfig
from textgym_agents.checkpoint import CHECKPOINTS, LATEST, load_checkpoint_policy
from textgym_agents.evaluate import Estimate, evaluate
from textgym_agents.loggers import read_rows
from textgym_agents.policies import Policy, Sampling
from textgym_agents.policies.construction import PolicyConfig, build_policy, describe_policy
from textgym_agents.runs.atomic import write_json
from textgym_agents.train import TrainConfig, train

ENV_IDS = {row.id.removeprefix("textgym/"): row.id for row in TABLE if row.task in TEXT_TASKS}
TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0)
CONVERSATIONS = ("Dialogue-v0", "Wordle-v0")
NUM_ENVS = {"Dialogue-v0": 96}
"""Texts a step where they are not 256: a dialogue has as many tokens as five other texts."""
GROUPS = {"learning_rate": 4e-4, "group_size": 16}
GENTLE = {"learning_rate": 1e-4, "group_size": 8}
SETTINGS = {"Dialogue-v0": GENTLE, "Arithmetic-v0": GENTLE}
"""Where `GROUPS` lower the score, or leave it where it was."""
REWARDS = {"REINFORCE": None, "random reward": "random"}
SHARES = {"REINFORCE": 1.0, "random reward": 0.25}
"""Of the tokens."""


def score(
    policy: Policy, env_id: str, episodes: int, *, split: str, greedy: bool = False
) -> Estimate:
    """The task's own score on prompts that every policy answers."""
    envs = gym.make_vec(env_id, num_envs=64, split=split, mask_in_info=False)
    result = evaluate(envs, policy, num_episodes=episodes, seed=3, deterministic=greedy)
    return result.scores["score"]


def start(env_id: str, temperature: float = 1.0) -> Policy:
    """The bundled model."""
    envs = gym.make_vec(env_id, num_envs=1)
    return build_policy(describe_policy(PolicyConfig(temperature=temperature), envs))


def learn(name: str, reward: str | None, steps: int, seed: int, folder: Path) -> Path:
    """Train from the bundled model; the last checkpoint."""
    config = TrainConfig(
        env_id=f"textgym:{ENV_IDS[name]}",
        env_kwargs={"mask_in_info": False} | ({} if reward is None else {"reward": reward}),
        total_steps=steps,
        num_envs=NUM_ENVS.get(name, 256),
        seed=seed,
        output=folder,
        resume=(folder / CHECKPOINTS / LATEST).is_file(),
        threads=1,
        tensorboard=False,
        progress=False,
    )
    settings: dict[str, Any] = SETTINGS.get(name, GROUPS)
    algorithm = ReinforceConfig(schedule="linear", baseline="leave_one_out", **settings)
    result = train(config, algorithm)
    if result.interrupted:
        raise SystemExit("interrupted: the same command goes on")
    return result.checkpoint


def tokens(name: str, kind: str, steps: int) -> int:
    """How many a run learns from."""
    return int(steps * SHARES[kind] * (0.5 if name in CONVERSATIONS else 1.0))


def study(
    name: str, checkpoints: Mapping[str, Path], seconds: float, episodes: int, path: Path
) -> dict[str, Any]:
    """One row of the table; kept at the path."""
    if not path.is_file():
        write_json(path, row(name, measure(name, checkpoints, seconds, episodes)))
    kept: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return kept


def measure(
    name: str, checkpoints: Mapping[str, Path], seconds: float, episodes: int
) -> dict[str, Any]:
    """All measurements of one task, by name."""
    env_id = ENV_IDS[name]
    colder = {
        t: score(start(env_id, t), env_id, episodes // 2, split="validation").mean
        for t in TEMPERATURES
    }
    best = max(colder, key=lambda t: colder[t])
    policies = {"start": start(env_id)}
    for kind, checkpoint in checkpoints.items():
        policies[kind] = load_checkpoint_policy(checkpoint)
        policies[kind].sampling = Sampling()
    found: dict[str, Any] = {"temperature": best, "seconds": seconds}
    found["colder"] = score(start(env_id, best), env_id, episodes, split="test")
    for kind, policy in policies.items():
        found[kind] = score(policy, env_id, episodes, split="test")
        found[f"{kind}, greedy"] = score(policy, env_id, episodes, split="test", greedy=True)
    return found


def row(name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    def shown(key: str) -> str:
        return f"{found[key].mean:.3f} [{found[key].low:.3f}, {found[key].high:.3f}]"

    return {
        "environment": name,
        "start, sampled": shown("start"),
        "REINFORCE, sampled": shown("REINFORCE"),
        "apart": "yes" if found["REINFORCE"].low > found["start"].high else "no",
        "random reward, sampled": shown("random reward"),
        "start at its best temperature": f"{shown('colder')} at {found['temperature']}",
        "start, greedy": shown("start, greedy"),
        "REINFORCE, greedy": shown("REINFORCE, greedy"),
        "seconds": round(found["seconds"]),
    }


def seconds_of(folder: Path) -> float:
    """How long a run collected and learned, its interruptions left out."""
    rows = read_rows(folder / "log.jsonl")
    return sum(row["collect_seconds"] + row["update_seconds"] for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=1_000_000, help="tokens of training, a run")
    parser.add_argument("--episodes", type=int, default=1_024, help="held-out prompts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, a core each")
    parser.add_argument("--only", nargs="*", default=list(ENV_IDS), choices=list(ENV_IDS))
    parser.add_argument("--runs", type=Path, default=Path("runs/task_learning"))
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the table")
    args = parser.parse_args()
    folders = {
        (name, kind): args.runs / f"{name}-{kind.replace(' ', '-')}-{args.seed}"
        for kind in REWARDS
        for name in args.only
    }
    rows = []
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        runs = {
            (name, kind): pool.submit(
                learn, name, REWARDS[kind], tokens(name, kind, args.steps), args.seed, folder
            )
            for (name, kind), folder in folders.items()
        }
        for name in args.only:
            checkpoints = {kind: runs[name, kind].result() for kind in REWARDS}
            seconds = seconds_of(folders[name, "REINFORCE"])
            path = args.runs / f"{name}-{args.seed}-{args.episodes}.json"
            rows.append(
                pool.submit(study, name, checkpoints, seconds, args.episodes, path).result()
            )
            print(json.dumps(rows[-1]), flush=True)
    command = f"python benchmarks/task_learning.py --steps {args.steps} --jobs {args.jobs}"
    title = (
        f"REINFORCE from the bundled model, level medium, {args.steps:,} tokens on one core a run "
        f"(conversations half, the control a quarter): {args.episodes:,} test prompts, "
        "95% intervals"
    )
    publish("task_learning", title, command, rows, args.output)


if __name__ == "__main__":
    main()
