"""How soon learners solve CartPole-v1, beside Stable-Baselines3's PPO.

    python benchmarks/cartpole.py
    python benchmarks/cartpole.py --only ppo sb3_ppo --seeds 2 --steps 20000

Every learner has the same networks: 64 and 64 tanh units for the actor, and as many for a critic.
ppo and sb3_ppo have Stable-Baselines3's default hyperparameters, and 4 environments with 512 steps
a batch each; ppo_faster differs from ppo by its learning rate, 1e-3. sb3_ppo_single has their
default of one environment with 2,048 steps, sb3_ppo_zoo what rl-baselines3-zoo tuned for CartPole.
Ours begins each batch with fresh episodes, theirs goes on with the old ones.

Whoever learns, the measurement is the same code: after each batch, of which theirs have 2,048
steps, 20 episodes with sampled actions. CartPole is solved at the first evaluation at which the
mean of the last five (100 episodes) reaches 475, the threshold of Gymnasium's registry.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import matplotlib
import numpy as np
import stable_baselines3 as sb3
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from tables import RESULTS, publish

from textgym_agents.algorithms import (
    A2CConfig,
    AlgorithmConfig,
    GRPOConfig,
    PPOConfig,
    ReinforceConfig,
    RLOOConfig,
    TRPOConfig,
)
from textgym_agents.evaluate import Estimate, evaluate
from textgym_agents.loggers import read_rows
from textgym_agents.policies import MLPPolicy
from textgym_agents.runs.environments import make_envs
from textgym_agents.train import TrainConfig, train

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ENV_ID, SOLVED, WINDOW, EPISODES = "CartPole-v1", 475.0, 5, 20

Curve = list[tuple[int, float]]
"""Environment steps, and the mean return of an evaluation then."""


@dataclass(frozen=True, kw_only=True)
class Ours:
    """A learner of ours: its configuration, environments, and the budget of steps."""

    config: AlgorithmConfig
    num_envs: int
    steps: int = 500_000


@dataclass(frozen=True, kw_only=True)
class Theirs:
    """Stable-Baselines3's PPO: what differs from its defaults."""

    options: Mapping[str, Any]
    num_envs: int
    steps: int = 100_000
    rollouts: int = 1  # Batches between evaluations.


def falling(start: float) -> Any:
    """A value that falls in a line to 0, as Stable-Baselines3 wants schedules."""
    return lambda left: left * start


LEARNERS: dict[str, Ours | Theirs] = {
    "ppo": Ours(
        config=PPOConfig(
            gamma=0.99, num_epochs=10, num_minibatches=32, steps_per_env=512, learning_rate=3e-4
        ),
        num_envs=4,
        steps=100_000,
    ),
    "ppo_faster": Ours(
        config=PPOConfig(
            gamma=0.99, num_epochs=10, num_minibatches=32, steps_per_env=512, learning_rate=1e-3
        ),
        num_envs=4,
        steps=100_000,
    ),
    "sb3_ppo": Theirs(options={"n_steps": 512}, num_envs=4),
    "sb3_ppo_single": Theirs(options={}, num_envs=1),
    "sb3_ppo_zoo": Theirs(
        options={
            "n_steps": 32,
            "batch_size": 256,
            "gae_lambda": 0.8,
            "gamma": 0.98,
            "n_epochs": 20,
            "learning_rate": falling(0.001),
            "clip_range": falling(0.2),
        },
        num_envs=8,
        rollouts=8,
    ),
    "a2c": Ours(config=A2CConfig(gamma=0.99, gae_lambda=0.95, learning_rate=3e-3), num_envs=8),
    "reinforce": Ours(config=ReinforceConfig(gamma=0.99, learning_rate=5e-3), num_envs=8),
    "rloo": Ours(config=RLOOConfig(gamma=0.99, learning_rate=5e-3, group_size=4), num_envs=8),
    "grpo": Ours(config=GRPOConfig(gamma=0.99, learning_rate=5e-3, group_size=8), num_envs=8),
    "trpo": Ours(config=TRPOConfig(gamma=0.99), num_envs=8),
}


def learn_ours(learner: Ours, seed: int, steps: int) -> Curve:
    with tempfile.TemporaryDirectory() as name:
        output = Path(name) / "run"
        config = TrainConfig(
            env_id=ENV_ID,
            output=output,
            total_steps=steps,
            num_envs=learner.num_envs,
            seed=seed,
            eval_interval=1,
            eval_episodes=EPISODES,
            checkpoint_interval=10**6,
            tensorboard=False,
            progress=False,
        )
        train(config, learner.config)
        rows = read_rows(output / "log.jsonl")
    return [(int(row["steps"]), row["eval_return_mean"]) for row in rows]


class Evaluations(BaseCallback):
    """Evaluates Stable-Baselines3's PPO as ours is: by our code, on a copy of its weights."""

    def __init__(self, seed: int, rollouts: int) -> None:
        super().__init__()
        self.curve: Curve = []
        self._seed, self._rollouts, self._count = seed, rollouts, 0
        self._envs = make_envs(ENV_ID, EPISODES)
        self._policy = MLPPolicy.from_env(self._envs, hidden_sizes=(64, 64))

    def evaluate(self) -> None:
        theirs: Any = self.model.policy
        for ours, hidden, head in (
            (self._policy.actor, theirs.mlp_extractor.policy_net, theirs.action_net),
            (self._policy.critic, theirs.mlp_extractor.value_net, theirs.value_net),
        ):
            ours.load_state_dict(torch.nn.Sequential(*hidden, head).state_dict())
        result = evaluate(self._envs, self._policy, num_episodes=EPISODES, seed=self._seed)
        self.curve.append((self.num_timesteps, result.returns.mean))

    def _on_rollout_start(self) -> None:
        if self._count % self._rollouts == 0:
            self.evaluate()
        self._count += 1

    def _on_step(self) -> bool:
        return True


def learn_theirs(learner: Theirs, seed: int, steps: int) -> Curve:
    envs = make_vec_env(ENV_ID, n_envs=learner.num_envs, seed=seed)
    model = sb3.PPO("MlpPolicy", envs, seed=seed, device="cpu", **learner.options)
    evaluations = Evaluations(seed, learner.rollouts)
    model.learn(steps, callback=evaluations)
    evaluations.evaluate()
    return evaluations.curve


def learn(name: str, seed: int, steps: int | None) -> tuple[Curve, float]:
    """The learning curve of one seed, and its seconds with evaluations."""
    torch.set_num_threads(1)
    learner = LEARNERS[name]
    begun, steps = time.perf_counter(), steps or learner.steps
    if isinstance(learner, Ours):
        curve = learn_ours(learner, seed, steps)
    else:
        curve = learn_theirs(learner, seed, steps)
    print(f"{name}, seed {seed}: solved at {solved_at(curve)}", flush=True)
    return curve, time.perf_counter() - begun


def solved_at(curve: Curve) -> int | None:
    """Steps at the first evaluation whose trailing mean reaches the threshold."""
    for end in range(WINDOW, len(curve) + 1):
        if np.mean([mean for _, mean in curve[end - WINDOW : end]]) >= SOLVED:
            return curve[end - 1][0]
    return None


def interval(estimate: Estimate) -> str:
    return f"{estimate.mean:,.0f} [{estimate.low:,.0f}, {estimate.high:,.0f}]"


def row(name: str, curves: Sequence[Curve], seconds: Sequence[float]) -> dict[str, Any]:
    first = [solved_at(curve) for curve in curves]
    solved = [steps for steps in first if steps is not None]
    final = [float(np.mean([mean for _, mean in curve[-WINDOW:]])) for curve in curves]
    return {
        "learner": name,
        "solved": f"{len(solved)} of {len(first)}",
        "steps to 475, each seed": ", ".join("never" if s is None else f"{s:,}" for s in first),
        "mean [95% interval]": (
            interval(Estimate.of(solved)) if len(solved) == len(first) else "not all solved"
        ),
        "return at the end": interval(Estimate.of(final)),
        "seconds a seed": float(np.mean(seconds)),
    }


def plot(curves: Mapping[str, Sequence[Curve]], path: Path) -> None:
    """Each seed's trailing means, a colour a learner."""
    figure, axes = plt.subplots(figsize=(8, 5))
    for number, (name, of_seeds) in enumerate(curves.items()):
        for seed, curve in enumerate(of_seeds):
            if len(curve) < WINDOW:
                continue
            means = np.convolve([mean for _, mean in curve], np.ones(WINDOW) / WINDOW, "valid")
            steps = [step for step, _ in curve[WINDOW - 1 :]]
            label = name if seed == 0 else None
            axes.plot(steps, means, color=f"C{number}", alpha=0.6, linewidth=1, label=label)
    axes.axhline(SOLVED, color="black", linestyle="dotted", linewidth=1)
    axes.set(xlabel="environment steps", ylabel=f"mean return of {WINDOW} evaluations")
    axes.legend()
    temporary = path.with_suffix(".tmp.png")
    figure.savefig(temporary, dpi=120, bbox_inches="tight")
    temporary.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="a run; else 100,000 of PPO, 500,000 of others")
    parser.add_argument("--only", nargs="*", default=list(LEARNERS), choices=list(LEARNERS))
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, a core each")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the table")
    args = parser.parse_args()
    curves: dict[str, list[Curve]] = {}
    rows = []
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        pending = {
            name: [pool.submit(learn, name, seed, args.steps) for seed in range(args.seeds)]
            for name in args.only
        }
        for name, futures in pending.items():
            results = [future.result() for future in futures]
            curves[name] = [curve for curve, _ in results]
            rows.append(row(name, curves[name], [seconds for _, seconds in results]))
            print(rows[-1], flush=True)
    command = f"python benchmarks/cartpole.py --seeds {args.seeds}"
    if args.steps:
        command += f" --steps {args.steps}"
    if args.only != list(LEARNERS):
        command += f" --only {' '.join(args.only)}"
    publish("cartpole", "Environment steps until CartPole-v1 is solved", command, rows, args.output)
    plot(curves, args.output / "cartpole.png")


if __name__ == "__main__":
    main()
