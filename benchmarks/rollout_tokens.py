"""Tokens a second of a rollout in the environment, against `model.generate` alone.

The same model answers the same prompts in an environment loop with the key-value cache, in
transformers' `generate`, and in the loop without the cache. `generate` scores and stores nothing;
the loop, `collect`, includes masks, rewards and values, and stores all. It runs for a fixed number
of episodes a slot, where slots that finish early leave the batch, or of steps. Only tokens up to a
text's end count as useful; `generate` runs until the longest text of its batch has ended. Ends are
forced by the same mask on the logits of both: never before the limit (fixed lengths), or at each
step with the same probability (geometric lengths, the mean a quarter of the limit).
Contenders run in turn, and the ratios are medians over the rounds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from tables import RESULTS, publish
from transformers import LogitsProcessor, LogitsProcessorList

from textgym_agents.ongoing import Ongoing
from textgym_agents.policies import CausalLMPolicy, small_gpt2
from textgym_agents.rollout import collect

TEXT = "textgym:textgym/Text-v0"
WORDS = ("baker", "bread", "young", "teacher", "near", "our", "quiet", "river", "today", "house")


def prompts() -> list[dict[str, str]]:
    """A task of prompts of about 16 tokens, hardly two alike."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, size=int(rng.integers(5, 10)))) for _ in range(5_000)]
    return [{"prompt": text + "\n", "reference": text} for text in texts]


@dataclass
class Ends:
    """When texts end: the masks that both contenders apply to their logits.

    Attributes:
        legal: bool ``[V]``, what the environment allows.
        eos: The id that ends a text.
        probability: Of an end at each token; 0: never.
        rng: Draws the ends.
    """

    legal: NDArray[np.bool_]
    eos: int
    probability: float
    rng: np.random.Generator

    def masks(self, num_envs: int) -> NDArray[np.bool_]:
        """Bool ``[N, V]``: EOS alone in a slot that must end, anything else elsewhere."""
        masks = np.tile(self.legal, (num_envs, 1))
        masks[:, self.eos] = False
        if self.probability:
            ending = self.rng.random(num_envs) < self.probability
            masks[ending] = False
            masks[ending, self.eos] = True
        return masks


class ForcedEnds(gym.vector.VectorWrapper):
    """Puts the masks of `Ends` into info, and times the environment inside."""

    def __init__(self, envs: Any, ends: Ends) -> None:
        super().__init__(envs)
        self.ends, self.seconds = ends, 0.0

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        observations, infos = self.timed(lambda: self.env.reset(**kwargs))
        return observations, {**infos, "action_mask": self.ends.masks(self.num_envs)}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        *result, infos = self.timed(lambda: self.env.step(actions))
        return (*result, {**infos, "action_mask": self.ends.masks(self.num_envs)})

    def timed(self, call: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = call()
        self.seconds += time.perf_counter() - start
        return result


class ForcedLogits(LogitsProcessor):
    """The same masks on the logits of `generate`."""

    def __init__(self, ends: Ends) -> None:
        self.ends = ends

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        mask = torch.from_numpy(self.ends.masks(len(scores)))
        return torch.where(mask, scores, float("-inf"))


@dataclass(frozen=True)
class Speed:
    """What one run of a contender gave."""

    tokens: int
    seconds: float
    env_share: float = 0.0

    @property
    def rate(self) -> float:
        """Useful tokens a second."""
        return self.tokens / self.seconds


def run_collect(policy: CausalLMPolicy, envs: ForcedEnds, seeds: list[int], count: int) -> Speed:
    """`collect`, from the reset to ``count`` finished episodes a slot."""
    return timed(policy, envs, seeds, episodes_per_env=count)


def timed(policy: CausalLMPolicy, envs: ForcedEnds, seeds: list[int], **how: Any) -> Speed:
    """`collect`, whose arguments ``how`` has."""
    policy.clear_cache()
    envs.seconds = 0.0
    generator = torch.Generator().manual_seed(seeds[0])
    start = time.perf_counter()
    episodes = collect(envs, policy, seeds=seeds, generator=generator, **how)
    seconds = time.perf_counter() - start
    tokens = sum(episode.num_steps for episode in episodes)
    return Speed(tokens, seconds, envs.seconds / seconds)


def run_steps(policy: CausalLMPolicy, envs: ForcedEnds, seeds: list[int], count: int) -> Speed:
    """`collect`, ``count`` steps a slot; texts that these cut would go on in the next batch."""
    return timed(policy, envs, seeds, steps_per_env=count, ongoing=Ongoing())


def run_generate(
    policy: CausalLMPolicy, envs: ForcedEnds, seeds: list[int], batches: int, new_tokens: int
) -> Speed:
    """`generate` on batches of the same prompts."""
    prompts = [first_contexts(envs.env, [seed + 100 * k for seed in seeds]) for k in range(batches)]
    eos = envs.ends.eos
    tokens, start = 0, time.perf_counter()
    for ids, attention in prompts:
        with torch.inference_mode():
            texts = policy.model.generate(
                input_ids=ids,
                attention_mask=attention,
                max_new_tokens=new_tokens,
                do_sample=True,
                top_k=0,
                logits_processor=LogitsProcessorList([ForcedLogits(envs.ends)]),
                eos_token_id=eos if envs.ends.probability else None,
                pad_token_id=0,
            )[:, ids.shape[1] :].numpy()
        ended = texts == eos
        tokens += int(np.where(ended.any(1), ended.argmax(1) + 1, texts.shape[1]).sum())
    return Speed(tokens, time.perf_counter() - start)


def first_contexts(envs: Any, seeds: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """The prompts of a reset as `generate` wants them."""
    observations, _ = envs.reset(seed=seeds)
    return left_padded([row[row != envs.metadata["pad_id"]] for row in observations])


def left_padded(rows: Sequence[NDArray[np.int64]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and their attention mask, int64 ``[N, T]`` each, of contexts of several lengths."""
    width = max(map(len, rows))
    ids, attention = np.zeros((2, len(rows), width), np.int64)
    for i, row in enumerate(rows):
        ids[i, width - len(row) :], attention[i, width - len(row) :] = row, 1
    return torch.from_numpy(ids), torch.from_numpy(attention)


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    lengths: str
    loop: str
    run: Callable[[CausalLMPolicy, ForcedEnds, list[int], int], Speed]
    count: int
    batches: int


CASES = (
    Case("fixed", "collect, 1 episode a slot", run_collect, 1, 1),
    Case("geometric", "collect, 200 steps a slot", run_steps, 200, 4),
    Case("geometric", "collect, 8 episodes a slot", run_collect, 8, 4),
)


def measure(case: Case, rounds: int, new_tokens: int, num_envs: int = 32) -> dict[str, Any]:
    """Run the contenders of a case in turn."""
    envs = gym.make_vec(
        TEXT, num_envs, task=prompts(), max_prompt_tokens=32, max_new_tokens=new_tokens
    )
    observations, infos = envs.reset(seed=0)
    prompt_tokens = float((observations != envs.metadata["pad_id"]).sum(axis=1).mean())
    ends = Ends(
        legal=infos["action_mask"][0].astype(np.bool_),
        eos=envs.metadata["eos_id"],
        probability=0.0 if case.lengths == "fixed" else 4 / new_tokens,
        rng=np.random.default_rng(0),
    )
    wrapped = ForcedEnds(envs, ends)
    vocabulary = int(envs.single_action_space.n)
    model = small_gpt2(vocabulary, layers=4, heads=4, width=256, max_positions=128)
    policy = CausalLMPolicy.from_env(envs, model)
    uncached = CausalLMPolicy.from_env(envs, model, cache=False)
    results: list[tuple[Speed, Speed, Speed]] = []
    for k in range(rounds + 1):
        seeds = [1_000 * k + slot for slot in range(num_envs)]
        results.append(
            (
                case.run(policy, wrapped, seeds, case.count),
                run_generate(policy, wrapped, seeds, case.batches, new_tokens),
                run_collect(uncached, wrapped, seeds, 1),
            )
        )
    loop, generate, anew = zip(*results[1:], strict=True)  # the first round warms up
    return {
        "lengths": case.lengths,
        "prompt tokens": prompt_tokens,
        "loop": case.loop,
        "loop tokens/s": median(s.rate for s in loop),
        "generate tokens/s": median(s.rate for s in generate),
        "without cache tokens/s": median(s.rate for s in anew),
        "loop / generate": median(a.rate / b.rate for a, b in zip(loop, generate, strict=True)),
        "loop / without cache": median(a.rate / b.rate for a, b in zip(loop, anew, strict=True)),
        "environment's share": median(s.env_share for s in loop),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the table")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = [measure(case, arguments.rounds, arguments.new_tokens) for case in CASES]
    publish(
        "rollout_tokens",
        "Useful tokens a second: environment loop with a key-value cache, and generate",
        f"python benchmarks/rollout_tokens.py --threads {arguments.threads} "
        f"--rounds {arguments.rounds} --new-tokens {arguments.new_tokens}",
        rows,
        arguments.output,
    )


if __name__ == "__main__":
    main()
