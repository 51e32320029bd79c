"""What random tokens, small models and the expert score on every environment, at every level.

    python benchmarks/score_scales.py

All are measured on the test split. The table is stored with the package (textgym/data/scales.json,
which `textgym list` shows and `info["normalized_score"]` is computed from), under
benchmarks/results, and in the bundled model's card.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gymnasium as gym
import numpy as np
from tables import RESULTS, markdown, publish

from textgym.envs.scales import Measured, Scale, parse_scales
from textgym.registration import TABLE, Row
from textgym.rewards import load_reward
from textgym.tasks import load_task
from textgym.testing import play_expert
from textgym_agents.evaluate import Estimate, evaluate
from textgym_agents.policies.construction import PolicyConfig, build_policy, describe_policy

ROOT = Path(__file__).resolve().parents[1]
SCALES = ROOT / "textgym" / "data" / "scales.json"
CARD = ROOT / "agents" / "textgym_agents" / "data" / "bundled" / "README.md"
BEGIN, END = "<!-- scores -->", "<!-- end of scores -->"
"""Where the table stands in the card."""
UNTRAINED = PolicyConfig(layers=4, heads=4, width=160)
"""The sizes of the bundled model."""
NUM_ENVS = 32
SEED = 1


def random_tokens(env_id: str, kwargs: dict[str, Any], episodes: int) -> Measured:
    """Uniformly random legal tokens."""
    envs = gym.make_vec(env_id, NUM_ENVS, **kwargs)
    legal = np.flatnonzero(envs.unwrapped.mdp.legal)
    rng = np.random.default_rng(SEED)
    envs.reset(seed=SEED)
    scores: list[list[float]] = [[] for _ in range(NUM_ENVS)]
    quota = -(-episodes // NUM_ENVS)
    while min(map(len, scores)) < quota:
        *_, infos = envs.step(rng.choice(legal, size=NUM_ENVS))
        for slot in np.flatnonzero(infos.get("_score", [])):
            scores[slot].append(float(infos["score"][slot]))
    # As many of each slot, so that short episodes do not count more often.
    return measured([score for slot in scores for score in slot[:quota]][:episodes])


def expert(env_id: str, kwargs: dict[str, Any], episodes: int) -> Measured:
    """The task's expert, step by step."""
    env = gym.make(env_id, **kwargs)
    count = min(episodes, env.unwrapped.mdp.num_examples)
    return measured([play_expert(env, index)["score"] for index in range(count)])


def model(
    env_id: str, kwargs: dict[str, Any], episodes: int, config: PolicyConfig, *, greedy: bool
) -> Measured | None:
    """A language model with the bundled tokenizer; None for environments with another one."""
    envs = gym.make_vec(env_id, NUM_ENVS, mask_in_info=False, **kwargs)
    if describe_policy(PolicyConfig(), envs).get("model") != "bundled":
        return None
    policy = build_policy(describe_policy(config, envs))
    result = evaluate(envs, policy, num_episodes=episodes, seed=SEED, deterministic=greedy)
    return from_estimate(result.scores["score"])


def measured(scores: list[float]) -> Measured:
    return from_estimate(Estimate.of(scores))


def from_estimate(estimate: Estimate) -> Measured:
    error = estimate.std / math.sqrt(estimate.count)
    return Measured(round(estimate.mean, 6), round(error, 6))


def variants(row: Row) -> list[dict[str, Any]]:
    """Arguments of the environment that make it easier or harder."""
    levels = getattr(load_task(row.task), "levels", ())
    made: list[dict[str, Any]] = [{"level": level} for level in levels] or [{}]
    if row.task == "translation":
        german = {"direction": "de-en"}
        made += [{"level": level, "task_kwargs": german} for level in levels]
    return made


def scale_of(row: Row, variant: dict[str, Any], episodes: int) -> Scale:
    kwargs = {"split": "test", **variant}
    mdp = gym.make(row.id, **kwargs).unwrapped.mdp
    fewer = min(episodes, 200)
    return Scale(
        env_id=row.id,
        variant=mdp.task.variant,
        reward=load_reward(row.reward).signature,
        tokenizer=mdp.tokenizer.name,
        max_new_tokens=mdp.max_new_tokens,
        episodes=episodes,
        random=random_tokens(row.id, kwargs, episodes),
        expert=expert(row.id, kwargs, episodes),
        untrained=model(row.id, kwargs, fewer, UNTRAINED, greedy=False),
        likelihood=model(row.id, kwargs, fewer, PolicyConfig(), greedy=False),
        likelihood_greedy=model(row.id, kwargs, fewer, PolicyConfig(), greedy=True),
    )


def table(scales: list[Scale]) -> list[dict[str, Any]]:
    """One row an environment and level; normalised scores of the bundled model in brackets."""

    def shown(scale: Scale, value: Measured | None, *, normalized: bool = False) -> str:
        if value is None:
            return "-"
        text = f"{value.mean:.3f} \u00b1 {value.error:.3f}"
        return f"{text} ({scale.normalize(value.mean):.2f})" if normalized else text

    return [
        {
            "environment": scale.env_id.removeprefix("textgym/"),
            "task": scale.variant,
            "random tokens": shown(scale, scale.random),
            "untrained": shown(scale, scale.untrained),
            "bundled, sampled": shown(scale, scale.likelihood, normalized=True),
            "bundled, greedy": shown(scale, scale.likelihood_greedy, normalized=True),
            "expert": shown(scale, scale.expert),
        }
        for scale in scales
    ]


def write(path: Path, text: str) -> None:
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--episodes", type=int, default=400, help="of random tokens and expert")
    parser.add_argument("--only", nargs="*", help="ids, as in Story-v0; the others keep theirs")
    parser.add_argument("--scales", type=Path, default=SCALES)
    parser.add_argument("--card", type=Path, default=CARD)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the table")
    args = parser.parse_args()
    stored = parse_scales(args.scales.read_text("utf-8"))
    kept = {scale.variant: scale for scale in stored}
    for row in TABLE:
        if args.only and row.id.removeprefix("textgym/") not in args.only:
            continue
        for variant in variants(row):
            scale = scale_of(row, variant, args.episodes)
            kept[scale.variant] = scale
            print(json.dumps(asdict(scale)), flush=True)
    order = [row.id for row in TABLE]
    scales = sorted(kept.values(), key=lambda scale: order.index(scale.env_id))
    lines = ",\n".join(json.dumps(asdict(scale)) for scale in scales)
    write(args.scales, f"[\n{lines}\n]\n")
    rows = table(scales)
    title = "Scores on the test split: mean and standard error, in brackets normalised"
    publish("score_scales", title, "python benchmarks/score_scales.py", rows, args.output)
    if args.card.exists():
        head, _, rest = args.card.read_text("utf-8").partition(BEGIN)
        tail = rest.partition(END)[2]
        shown = [row for row in rows if row["bundled, greedy"] != "-"]
        write(args.card, f"{head}{BEGIN}\n{markdown(shown)}\n{END}{tail}")


if __name__ == "__main__":
    main()
