"""Steps a second of the native vector environment, against Gymnasium's vectorised CartPole.

Text-v0 runs on its bundled pairs with a constant reward, a vocabulary of 1,984 and contexts of 64
to 128 tokens (128 is its default; an observation is that many 64-bit ids). All contenders run in
turn in one process, several times; the table holds medians, and the ratios are medians of the
ratios of each round. Random actions are drawn outside the clock.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np
from tables import RESULTS, publish

import textgym

TEXT = "textgym:textgym/Text-v0"
LIMITS = ((24, 40), (24, 72), (64, 64))
CONSTANT = {"reward": "constant", "mask_in_info": False}


def seconds_a_step(envs: Any, steps: int) -> float:
    """Wall seconds of one vector step, drawn actions included in neither contender."""
    envs.reset(seed=0)
    rng = np.random.default_rng(0)
    actions = rng.integers(envs.single_action_space.n, size=(steps, envs.num_envs))
    start = time.perf_counter()
    for row in actions:
        envs.step(row)
    return (time.perf_counter() - start) / steps


def against_cartpole(
    num_envs: int, limits: tuple[int, int], rounds: int, steps: int
) -> dict[str, Any]:
    """One row: ours, Gymnasium's CartPole, and SyncVectorEnv of ours."""
    kwargs = {**CONSTANT, "max_prompt_tokens": limits[0], "max_new_tokens": limits[1]}
    ours = gym.make_vec(TEXT, num_envs, **kwargs)
    cartpole = gym.make_vec("CartPole-v1", num_envs, vectorization_mode="vector_entry_point")
    sync = gym.make_vec(TEXT, num_envs, vectorization_mode="sync", **kwargs)
    few = max(20, steps // 20)
    contenders = [(ours, steps), (cartpole, steps), (sync, few)]
    times = [[seconds_a_step(env, n) for env, n in contenders] for _ in range(rounds)]
    native, pole, single = (num_envs / median(t[i] for t in times) for i in range(3))
    return {
        "environments": num_envs,
        "context": sum(limits),
        "native steps/s": native,
        "CartPole steps/s": pole,
        "SyncVectorEnv of ours steps/s": single,
        "native / CartPole": median(t[1] / t[0] for t in times),
        "native / Sync": median(t[2] / t[0] for t in times),
    }


def against_its_parts(num_envs: int, rounds: int, steps: int) -> dict[str, Any]:
    """One row: Translation with terminal BLEU, against its parts timed alone."""
    envs = gym.make_vec("textgym:textgym/Translation-v0", num_envs, mask_in_info=False)
    bare = gym.make_vec(TEXT, num_envs, **CONSTANT)
    mdp = envs.unwrapped.mdp
    ratios, shares = [], []
    for number in range(rounds):
        finished: list[tuple[Any, ...]] = []
        rng = np.random.default_rng(number)
        actions = rng.integers(envs.single_action_space.n, size=(steps, num_envs))
        envs.reset(seed=number * num_envs)
        start = time.perf_counter()
        for row in actions:
            infos = envs.step(row)[-1]
            if "text" in infos:
                finished.append((infos["text"], infos["example"], infos["_text"]))
        whole = time.perf_counter() - start
        texts = [(t[m].tolist(), e[m].tolist()) for t, e, m in finished]
        indices = [i for _, batch in texts for i in batch]

        start = time.perf_counter()
        fresh = [mdp.task.example(index + 1, mdp.split) for index in indices]
        for example in fresh:
            mdp.tokenizer.encode(example.prompt)
        drawing = time.perf_counter() - start

        batches, at = [], 0
        for words, _ in texts:
            batches.append((words, fresh[at : at + len(words)]))
            at += len(words)
        start = time.perf_counter()
        for words, examples in batches:
            mdp.reward(words, examples)
        scoring = time.perf_counter() - start
        stepping = seconds_a_step(bare, steps) * steps
        ratios.append(whole / (scoring + drawing + stepping))
        shares.append((whole, scoring, drawing, stepping))
    whole, scoring, drawing, stepping = (median(s[i] for s in shares) for i in range(4))
    return {
        "environments": num_envs,
        "steps/s": num_envs * steps / whole,
        "episodes": len(indices),
        "scoring, s": scoring,
        "drawing, s": drawing,
        "bare steps, s": stepping,
        "whole, s": whole,
        "whole / parts": median(ratios),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the tables")
    args = parser.parse_args()
    command = f"python benchmarks/env_steps.py --rounds {args.rounds} --steps {args.steps}"
    rows = [
        against_cartpole(num_envs, limits, args.rounds, args.steps)
        for limits in LIMITS
        for num_envs in (1, 64, 1024)
    ]
    publish("env_steps", "Environment steps a second, 1 thread", command, rows, args.output)
    steps = max(10, args.steps // 5)
    parts = [against_its_parts(n, args.rounds, steps) for n in (64, 1024)]
    title = "Translation with terminal BLEU against its parts, 1 thread"
    publish("env_parts", title, command, parts, args.output)


if __name__ == "__main__":
    assert textgym.__version__
    main()
