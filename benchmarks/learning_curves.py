"""Every algorithm from the bundled model on one task, over several seeds, beside its controls.

    python benchmarks/learning_curves.py --env Story-v0 --level easy --jobs 2

Each algorithm learns the task, at one level, from the environment's reward, for the same number of
tokens. Sampling colder raises a likelihood model's score for nothing; so texts are sampled at a low
temperature, and each policy is compared with the start at this one and at the one that is best for
the start. Their held-out scores (sampled, on validation prompts and by random numbers that are the
same for all that has the same seed) are compared as they are at the end, and their scores on
training prompts at the time when the fastest had finished. Beside them: maximum likelihood on the
experts' answers for the same number of tokens, REINFORCE on a random reward, and the best of
several of the start's samples by the reward, which is what can be had without learning where the
reward may be asked at decoding. GRPO also learns with products in bfloat16, which is to change
nothing but the time. Intervals are over the seeds. A run that was cut off goes on where it was, and
a finished one is not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

from demo import Budget, bundled, held_out
from resuming import bundled_weights, check_same
from tables import RESULTS, publish
from task_learning import ENV_IDS
from training_curves import at, curve, draw

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
from textgym_agents.algorithms.schedules import Schedule
from textgym_agents.checkpoint import CHECKPOINTS, LATEST, load_checkpoint_policy
from textgym_agents.evaluate import Estimate
from textgym_agents.policies.construction import PolicyConfig
from textgym_agents.runs.atomic import write_json
from textgym_agents.train import TrainConfig, train

RATE = 1e-4
"""The step size, if no other is asked for, of algorithms that take one step a batch."""
TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0)
BEST_OF = 4
"""Tries from which the reward chooses, of the control that does not learn."""
START = "bundled model"
CHOSEN = f"{START}, best of {BEST_OF}"
BF16 = "grpo, bf16"
"""GRPO again, with products in bfloat16, as CPUs and GPUs of today have them."""
NO_CURVE = ("likelihood", "random reward")
"""Whose training texts are the expert's, or are not scored by the task's reward."""


class Valued(NamedTuple):
    """What A2C has of its own: how fast its values learn, and with what weight."""

    value_learning_rate: float | None = None
    value_coef: float = 0.5


@dataclass(frozen=True)
class Where:
    """An environment's name, such as Story-v0, and its level; how texts are sampled and learned.

    ``rates`` are the step sizes of algorithms whose own is not ``learning_rate``. ``gae_lambda`` is
    that of PPO and NLPO. ``group_size`` texts share a prompt. At a ``lora_rank`` above 0 adapters
    of this rank learn, and the bundled weights stay. ``target_kl`` (nats) is TRPO's.
    """

    env: str
    level: str
    group_size: int
    temperature: float
    learning_rate: float
    gae_lambda: float
    valued: Valued
    schedule: Schedule
    warmup: float
    rates: Mapping[str, float] = field(default_factory=dict)
    lora_rank: int = 0
    target_kl: float = 0.02

    @property
    def id(self) -> str:
        """For `gym.make_vec`."""
        return ENV_IDS[self.env]

    @property
    def table(self) -> str:
        """The name of the results."""
        level = "" if self.level == "medium" else f"_{self.level}"
        return f"learning_curves_{self.env.partition('-')[0].lower()}{level}"


def algorithms(where: Where) -> dict[str, tuple[AlgorithmConfig, dict[str, Any]]]:
    """What is compared: configurations, and arguments of their environments."""
    linear: dict[str, Any] = {
        "learning_rate": where.learning_rate,
        "schedule": "linear",
        "warmup": where.warmup,
    }
    reinforced: dict[str, Any] = linear | {"group_size": where.group_size}
    groups: dict[str, Any] = reinforced | {"schedule": where.schedule}
    epochs = linear | {
        "learning_rate": where.learning_rate / 4,
        "gae_lambda": where.gae_lambda,
        "num_epochs": 2,
        "num_minibatches": 2,
        "value_coef": 0.1,
    }
    reinforce = ReinforceConfig(baseline="leave_one_out", **reinforced)
    trpo = TRPOConfig(
        target_kl=where.target_kl,
        gae_lambda=1.0,
        fisher_share=0.125,
        cg_iterations=3,
        cg_damping=10.0,
        value_epochs=2,
        num_minibatches=1,
    )
    compared: dict[str, tuple[AlgorithmConfig, dict[str, Any]]] = {
        "reinforce": (reinforce, {}),
        "scst": (ReinforceConfig(baseline="greedy", **reinforced), {}),
        "rloo": (RLOOConfig(**groups), {}),
        "grpo": (GRPOConfig(**groups), {}),
        BF16: (GRPOConfig(**groups), {}),
        "dr_grpo": (GRPOConfig(variant="dr_grpo", constant_length=32.0, **groups), {}),
        "dapo": (GRPOConfig(variant="dapo", **groups), {}),
        "gspo": (GRPOConfig(variant="gspo", **groups), {}),
        "cispo": (GRPOConfig(variant="cispo", **groups), {}),
        "a2c": (A2CConfig(normalize_advantages=True, **linear, **where.valued._asdict()), {}),
        "ppo": (PPOConfig(**epochs), {}),
        "nlpo": (NLPOConfig(mask_top_p=0.95, mask_interval=2, **epochs), {}),
        "trpo": (trpo, {}),
        "expert iteration": (ExpertIterationConfig(**groups), {}),
        "likelihood": (MaximumLikelihoodConfig(**linear), {"demonstrations": "expert"}),
        "random reward": (reinforce, {"reward": "random"}),
    }
    for name, rate in where.rates.items():
        config, env_kwargs = compared[name]
        compared[name] = (replace(config, learning_rate=rate), env_kwargs)
    return compared


ALGORITHMS = tuple(algorithms(Where("", "", 2, 1.0, RATE, 1.0, Valued(), "linear", 0.0)))
"""The names of what can be compared, the same everywhere."""


def learn(where: Where, name: str, steps: int, num_envs: int, seed: int, folder: Path) -> Path:
    """Train by one of `algorithms`; the last checkpoint."""
    algorithm, env_kwargs = algorithms(where)[name]
    config = TrainConfig(
        env_id=f"textgym:{where.id}",
        env_kwargs={"level": where.level, "mask_in_info": False, **env_kwargs},
        total_steps=steps,
        num_envs=num_envs,
        seed=seed,
        output=folder,
        resume=(folder / CHECKPOINTS / LATEST).is_file(),
        policy=PolicyConfig(
            temperature=1.0 if name == "likelihood" else where.temperature,
            precision="bf16" if name == BF16 else "fp32",
            lora_rank=where.lora_rank,
        ),
        threads=1,
        tensorboard=False,
        progress=False,
    )
    return train(config, algorithm).checkpoint


def scored(
    where: Where, name: str, temperature: float, budget: Budget, seed: int, folder: Path
) -> float:
    """The held-out score of a control, or of what an algorithm has learned; kept in the folder."""
    path = folder / f"score-{budget.held_out}-{temperature:g}.json"
    if not path.is_file():
        if name in ALGORITHMS:
            checkpoint = learn(where, name, budget.steps, budget.num_envs, seed, folder)
            policy = load_checkpoint_policy(checkpoint)
        else:
            policy = bundled(where.id)
        result = held_out(
            policy,
            budget,
            env_id=where.id,
            level=where.level,
            seed=seed,
            temperature=temperature,
            best_of=BEST_OF if name == CHOSEN else 1,
        )
        write_json(path, {"score": result.scores["score"].mean})
    return float(json.loads(path.read_text("utf-8"))["score"])


Scores = dict[tuple[str, float], list[float]]
"""Held-out scores of a policy at a temperature, one a seed."""


def ask_all(
    where: Where, names: Sequence[str], budget: Budget, folders: dict[str, list[Path]], jobs: int
) -> tuple[Scores, float]:
    """All scores, and the temperature that is best for the start."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:

        def ask(pairs: Sequence[tuple[str, float]]) -> Scores:
            seeds = range(len(folders[START]))
            asked = {
                (pair, seed): pool.submit(
                    scored, where, *pair, budget, seed, folders[pair[0]][seed]
                )
                for seed in seeds
                for pair in pairs
            }
            return {pair: [asked[pair, seed].result() for seed in seeds] for pair in pairs}

        starts = [(START, t) for t in dict.fromkeys((where.temperature, *TEMPERATURES))]
        scores = ask([*starts, *((name, where.temperature) for name in names if name != START)])
        best = max(TEMPERATURES, key=lambda t: mean(scores[START, t]))
        return scores | ask([(name, best) for name in names if name != CHOSEN]), best


def table(
    names: Sequence[str], scores: Scores, temperature: float, best: float
) -> dict[str, dict[str, str]]:
    """A row a policy; the times are blank."""
    rows: dict[str, dict[str, str]] = {}
    for name in names:
        rows[name] = {"policy": name}
        for t, there in ((temperature, ""), (best, " at its best temperature")):
            columns = compared(scores.get((name, t)), scores[START, t])
            rows[name] |= {column + there: text for column, text in columns.items()}
        rows[name] |= {"seconds a run": "", "training score at equal seconds": ""}
    return rows


def compared(scores: Sequence[float] | None, start: Sequence[float]) -> dict[str, str]:
    """Columns on scores and those of the start, one a seed; blank for no scores."""
    columns = ("held-out score", "more than the start", "apart", "each seed")
    if scores is None:
        return dict.fromkeys(columns, "")
    more = Estimate.of([after - before for after, before in zip(scores, start, strict=True)])
    side = "above" if more.low > 0 else "below" if more.high < 0 else "no"
    seeds = ", ".join(f"{score:.3f}" for score in scores)
    texts = (interval(Estimate.of(scores)), interval(more), side, seeds)
    return dict(zip(columns, texts, strict=True))


def interval(estimate: Estimate) -> str:
    return f"{estimate.mean:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def title(args: argparse.Namespace, scores: Scores) -> str:
    """What was compared, and the start's scores by temperature."""
    weights = f", LoRA of rank {args.lora_rank}" if args.lora_rank else ""
    return (
        f"Algorithms on {args.env}, level {args.level}, from the bundled model{weights}, "
        f"{args.steps:,} tokens a run in batches of {args.num_envs} texts, groups of "
        f"{args.group_size}, at temperature {args.temperature:g}, {args.seeds} seeds of "
        f"{args.episodes:,} held-out prompts, 95% intervals over the seeds; the start by "
        "temperature: "
        + ", ".join(f"{mean(found):.3f} at {t:g}" for (n, t), found in scores.items() if n == START)
    )


def named_rate(text: str) -> tuple[str, float]:
    """What "scst=2e-4" says."""
    name, _, rate = text.partition("=")
    if name not in ALGORITHMS:
        raise argparse.ArgumentTypeError(f"{text!r} names none of {', '.join(ALGORITHMS)}")
    return name, float(rate)


def arguments() -> argparse.Namespace:
    """What is asked for on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--env", default="Story-v0", choices=list(ENV_IDS))
    parser.add_argument("--level", default="medium", choices=("easy", "medium", "hard"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100_000, help="tokens a run")
    parser.add_argument("--learning-rate", type=float, default=RATE)
    parser.add_argument("--gae-lambda", type=float, default=0.95, help="of PPO and NLPO")
    parser.add_argument(
        "--rates",
        nargs="*",
        default=[],
        type=named_rate,
        metavar="NAME=RATE",
        help="step sizes of single algorithms; default the learning rate, PPO and NLPO a quarter "
        "of it, with which the four steps that they take a batch go as far as one of the others",
    )
    parser.add_argument(
        "--value-rate", type=float, help="step size of A2C's value head; default that of the rest"
    )
    parser.add_argument("--value-coef", type=float, default=Valued().value_coef, help="of A2C")
    parser.add_argument(
        "--target-kl",
        type=float,
        default=Where.target_kl,
        help="how far (nats) a step of TRPO may go",
    )
    parser.add_argument(
        "--schedule",
        default="constant",
        choices=("constant", "linear"),
        help="how the step size of RLOO, GRPO, its variants and expert iteration changes; that of "
        "the others falls along a line",
    )
    parser.add_argument(
        "--warmup", type=float, default=0.0, help="share of a run in which the step size rises"
    )
    parser.add_argument("--lora-rank", type=int, default=0, help="0: all weights learn")
    parser.add_argument("--num-envs", type=int, default=64)
    parser.add_argument("--group-size", type=int, default=4, help="texts a prompt")
    parser.add_argument("--temperature", type=float, default=0.4, help="of learning and scoring")
    parser.add_argument("--episodes", type=int, default=1024, help="held-out prompts of a seed")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, a core each")
    parser.add_argument("--only", nargs="*", default=list(ALGORITHMS), choices=ALGORITHMS)
    parser.add_argument("--runs", type=Path, default=Path("runs/learning_curves"))
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the table")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    budget = Budget(steps=args.steps, num_envs=args.num_envs, held_out=args.episodes)
    where = Where(
        args.env,
        args.level,
        args.group_size,
        args.temperature,
        args.learning_rate,
        args.gae_lambda,
        Valued(args.value_rate, args.value_coef),
        args.schedule,
        args.warmup,
        dict(args.rates),
        args.lora_rank,
        args.target_kl,
    )
    names = [START, CHOSEN, *args.only]
    batches: dict[str, Any] = {"steps": args.steps, "num_envs": args.num_envs}
    batches |= {"temperature": args.temperature, "LoRA rank": args.lora_rank}
    batches[START] = bundled_weights()
    learned = {name: algorithms(where)[name] for name in args.only}
    check_same(args.runs / where.table, batches, learned)
    folders = {
        name: [
            args.runs / where.table / f"{name.replace(',', '').replace(' ', '-')}-{seed}"
            for seed in range(args.seeds)
        ]
        for name in names
    }
    scores, best = ask_all(where, names, budget, folders, args.jobs)
    rows = table(names, scores, args.temperature, best)
    curves = {name: [curve(folder) for folder in folders[name]] for name in args.only}
    times = {name: mean(points[-1].seconds for points in curves[name]) for name in args.only}
    fastest = min((times[name] for name in args.only if name not in NO_CURVE), default=0.0)
    for name in args.only:
        rows[name]["seconds a run"] = f"{times[name]:.0f}"
        if name not in NO_CURVE:
            timed = Estimate.of([at(points, "seconds", fastest) for points in curves[name]])
            rows[name]["training score at equal seconds"] = interval(timed)
    command = f"python benchmarks/learning_curves.py {shlex.join(sys.argv[1:])}".rstrip()
    publish(where.table, title(args, scores), command, list(rows.values()), args.output)
    drawn = {name: points for name, points in curves.items() if name not in NO_CURVE}
    draw(drawn, args.output / f"{where.table}.png")


if __name__ == "__main__":
    main()
