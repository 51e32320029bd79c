"""Tokens a second of rollouts of conversations: in the environment, and turn by turn by `generate`.

The bundled model talks to the users of textgym/Dialogue-v0 until every slot has had its number of
conversations. `collect` acts a token at a time in all slots, each wherever its conversation is, and
the key-value cache holds what was said. The other contender is the loop that one writes around
transformers' `generate`: all slots' contexts go to it, it answers each with a turn, the turns go to
the environments, and their replies are the contexts of the next call; a slot whose conversation is
over begins its next one at once. It computes every context anew at each turn, and waits for the
longest turn. Both sample from the same distribution and step the same conversations; the tokens of
the agent's turns count. Contenders run in turn, and the ratios are medians over the rounds.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any, cast

import gymnasium as gym
import numpy as np
import torch
from demo import bundled
from rollout_tokens import Speed, left_padded
from tables import RESULTS, publish

from textgym_agents.policies import CausalLMPolicy, Sampling
from textgym_agents.rollout import collect

DIALOGUE = "textgym:textgym/Dialogue-v0"


def run_collect(policy: CausalLMPolicy, envs: Any, seeds: list[int], episodes: int) -> Speed:
    """`collect`, ``episodes`` conversations a slot."""
    generator = torch.Generator().manual_seed(seeds[0])
    start = time.perf_counter()
    found = collect(envs, policy, seeds=seeds, episodes_per_env=episodes, generator=generator)
    seconds = time.perf_counter() - start
    return Speed(sum(episode.num_steps for episode in found), seconds)


def run_generate(policy: CausalLMPolicy, envs: list[Any], seeds: list[int], episodes: int) -> Speed:
    """A turn of every slot by each call of `generate`, until all have had their conversations."""
    torch.manual_seed(seeds[0])
    mdp = envs[0].unwrapped.mdp
    illegal = np.flatnonzero(~mdp.legal).tolist()
    tokens, start = 0, time.perf_counter()
    contexts = [row_of(env.reset(seed=seed)[0], mdp) for env, seed in zip(envs, seeds, strict=True)]
    rooms = [mdp.max_new_tokens] * len(envs)
    left = [episodes] * len(envs)
    while live := [slot for slot in range(len(envs)) if left[slot]]:
        ids, attention = left_padded([contexts[slot] for slot in live])
        with torch.inference_mode():
            answers = policy.model.generate(
                input_ids=ids,
                attention_mask=attention,
                max_new_tokens=max(rooms[slot] for slot in live),
                do_sample=True,
                temperature=policy.sampling.temperature,
                top_k=0,
                suppress_tokens=illegal,
                eos_token_id=mdp.tokenizer.eos_id,
                pad_token_id=mdp.tokenizer.pad_id,
            )[:, ids.shape[1] :].numpy()
        for slot, answer in zip(live, answers, strict=True):
            said = np.flatnonzero(answer == mdp.tokenizer.eos_id)
            turn = answer[: said[0] + 1] if said.size else answer
            for token in turn[: rooms[slot]].tolist():
                observation, _, over, _, _ = envs[slot].step(token)
                tokens += 1
            context = row_of(observation, mdp)
            rooms[slot] -= len(context) - len(contexts[slot])
            contexts[slot] = context
            if over:
                left[slot] -= 1
                contexts[slot] = row_of(envs[slot].reset()[0], mdp)
                rooms[slot] = mdp.max_new_tokens
    return Speed(tokens, time.perf_counter() - start)


def row_of(observation: Any, mdp: Any) -> Any:
    """The context that an observation shows."""
    return observation[observation != mdp.tokenizer.pad_id]


def measure(level: str, num_envs: int, episodes: int, rounds: int) -> dict[str, Any]:
    """Run the contenders in turn."""
    policy = cast("CausalLMPolicy", bundled(DIALOGUE))
    policy.sampling = Sampling(temperature=0.7)
    options = {"level": level, "mask_in_info": False}
    envs = gym.make_vec(DIALOGUE, num_envs, **options)
    single = [gym.make(DIALOGUE, **options) for _ in range(num_envs)]
    speeds = []
    for k in range(rounds + 1):
        seeds = [1_000 * k + slot for slot in range(num_envs)]
        both = (
            run_collect(policy, envs, seeds, episodes),
            run_generate(policy, single, seeds, episodes),
        )
        speeds.append(both)
    ours, theirs = zip(*speeds[1:], strict=True)  # the first round warms up
    return {
        "level": level,
        "slots": num_envs,
        "conversations a slot": episodes,
        "tokens a conversation": median(s.tokens for s in ours) / num_envs / episodes,
        "tokens a conversation, generate": median(s.tokens for s in theirs) / num_envs / episodes,
        "collect tokens/s": median(s.rate for s in ours),
        "generate tokens/s": median(s.rate for s in theirs),
        "collect / generate": median(a.rate / b.rate for a, b in speeds[1:]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slots", type=int, nargs="+", default=[64])
    parser.add_argument("--episodes", type=int, default=2, help="conversations a slot")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the table")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = [
        measure(level, slots, arguments.episodes, arguments.rounds)
        for level in ("easy", "medium")
        for slots in arguments.slots
    ]
    publish(
        "rollout_conversations",
        "Tokens a second of the agent's turns in Dialogue-v0: collect, and generate turn by turn",
        f"python benchmarks/rollout_conversations.py {shlex.join(sys.argv[1:])}".rstrip(),
        rows,
        arguments.output,
    )


if __name__ == "__main__":
    main()
