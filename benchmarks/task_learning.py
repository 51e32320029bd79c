"""REINFORCE from the bundled model on every task in natural language, beside its controls.

    python benchmarks/task_learning.py --seconds 600 --jobs 2

Each task is learned at its default level for so many seconds on one core, from the reward that is
its own and, as a control, from a random reward. All are scored with the task's reward on the same
prompts of the test split. Sampling colder raises a likelihood model's score for nothing, so the
start is also shown at the temperature that is best on the validation split.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
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
from textgym_agents.checkpoint import load_checkpoint_policy
from textgym_agents.evaluate import Estimate, evaluate
from textgym_agents.policies import Policy, Sampling
from textgym_agents.policies.construction import PolicyConfig, build_policy, describe_policy
from textgym_agents.train import TrainConfig, train

ENV_IDS = {row.id.removeprefix("textgym/"): row.id for row in TABLE if row.task in TEXT_TASKS}
TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0)
ALGORITHM = ReinforceConfig(learning_rate=3e-4, baseline="leave_one_out", group_size=8)


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


def learn(env_id: str, reward: Any, seconds: float, seed: int, folder: Path) -> Policy:
    """Train from the bundled model; the policy at the end, at temperature 1."""
    shutil.rmtree(folder, ignore_errors=True)
    config = TrainConfig(
        env_id=f"textgym:{env_id}",
        env_kwargs={"mask_in_info": False} | ({} if reward is None else {"reward": reward}),
        total_steps=10**9,
        max_seconds=seconds,
        num_envs=64,
        seed=seed,
        output=folder,
        checkpoint_interval=10**6,
        threads=1,
        tensorboard=False,
        progress=False,
    )
    policy = load_checkpoint_policy(train(config, ALGORITHM).checkpoint)
    policy.sampling = Sampling()
    return policy


def study(name: str, seconds: float, seed: int, episodes: int, folder: Path) -> dict[str, Any]:
    """All measurements of one task, by name."""
    env_id = ENV_IDS[name]
    colder = {
        t: score(start(env_id, t), env_id, episodes, split="validation").mean for t in TEMPERATURES
    }
    best = max(colder, key=lambda t: colder[t])
    policies = {"start": start(env_id)}
    policies["REINFORCE"] = learn(env_id, None, seconds, seed, folder / f"{name}-{seed}")
    policies["random reward"] = learn(
        env_id, "random", seconds, seed, folder / f"{name}-{seed}-random"
    )
    found: dict[str, Any] = {"temperature": best}
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
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="of training, a run")
    parser.add_argument("--episodes", type=int, default=512, help="held-out prompts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="tasks at a time, a core each")
    parser.add_argument("--only", nargs="*", default=list(ENV_IDS), choices=list(ENV_IDS))
    parser.add_argument("--runs", type=Path, default=Path("runs/task_learning"))
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the table")
    args = parser.parse_args()
    rows = []
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        pending = {
            name: pool.submit(study, name, args.seconds, args.seed, args.episodes, args.runs)
            for name in args.only
        }
        for name, future in pending.items():
            if (error := future.exception()) is not None:
                print(f"{name} failed: {error!r}", flush=True)  # The others' hours are not lost.
                continue
            rows.append(row(name, future.result()))
            print(json.dumps(rows[-1]), flush=True)
    command = f"python benchmarks/task_learning.py --seconds {args.seconds:g} --jobs {args.jobs}"
    title = (
        f"REINFORCE from the bundled model, level medium, {args.seconds:g} s on one core a run: "
        f"{args.episodes} test prompts, 95% intervals"
    )
    publish("task_learning", title, command, rows, args.output)


if __name__ == "__main__":
    main()
