"""Tokens a second of a rollout in the environment, against `model.generate` alone.

The same model writes the same number of tokens from the same prompts: in an environment loop with
the key-value cache (`collect`, masks, rewards and stored episodes included), in transformers'
`generate` (which stores and scores nothing), and in the loop without the cache. Only tokens up to
an episode's end count as useful; `generate` runs until the longest text of its batch has ended.
Ends are forced: never before the limit (fixed lengths), or at each step with the same probability
(geometric lengths), by the same mask on the logits for both. Contenders run in turn, and the
ratios are medians over the rounds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from tables import publish
from transformers import LogitsProcessor, LogitsProcessorList

from textgym_agents.policies import CausalLMPolicy, small_gpt2
from textgym_agents.rollout import collect

TEXT = "textgym:textgym/Text-v0"
WORDS = ("baker", "bread", "young", "teacher", "near", "our", "quiet", "river", "today", "house")


def prompts() -> list[dict[str, str]]:
    """A task of a hundred prompts of about 16 tokens."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, size=int(rng.integers(4, 8)))) for _ in range(100)]
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


def run_loop(policy: CausalLMPolicy, envs: ForcedEnds, seeds: list[int], episodes: int) -> Speed:
    """`collect`, from the reset to the finished episodes."""
    policy.clear_cache()
    envs.seconds = 0.0
    generator = torch.Generator().manual_seed(seeds[0])
    start = time.perf_counter()
    collected = collect(envs, policy, seeds=seeds, episodes_per_env=episodes, generator=generator)
    seconds = time.perf_counter() - start
    tokens = sum(episode.num_steps for episode in collected)
    return Speed(tokens, seconds, envs.seconds / seconds)


def run_generate(
    policy: CausalLMPolicy, envs: ForcedEnds, seeds: list[int], episodes: int, new_tokens: int
) -> Speed:
    """`generate` on as many batches of the same prompts."""
    batches = [left_padded(envs.env, [seed + k for seed in seeds]) for k in range(episodes)]
    eos = envs.ends.eos
    tokens, start = 0, time.perf_counter()
    for ids, attention in batches:
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


def left_padded(envs: Any, seeds: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """The prompts of a reset as `generate` wants them."""
    observations, _ = envs.reset(seed=seeds)
    rows = [row[row != envs.metadata["pad_id"]] for row in observations]
    width = max(map(len, rows))
    ids, attention = np.zeros((2, len(rows), width), np.int64)
    for i, row in enumerate(rows):
        ids[i, width - len(row) :], attention[i, width - len(row) :] = row, 1
    return torch.from_numpy(ids), torch.from_numpy(attention)


def measure(lengths: str, arguments: argparse.Namespace, num_envs: int = 32) -> dict[str, Any]:
    """One row of the table."""
    new_tokens: int = arguments.new_tokens
    envs = gym.make_vec(
        TEXT, num_envs, task=prompts(), max_prompt_tokens=32, max_new_tokens=new_tokens
    )
    _, infos = envs.reset(seed=0)
    ends = Ends(
        legal=infos["action_mask"][0].astype(np.bool_),
        eos=envs.metadata["eos_id"],
        probability=0.0 if lengths == "fixed" else 4 / new_tokens,
        rng=np.random.default_rng(0),
    )
    wrapped = ForcedEnds(envs, ends)
    vocabulary = int(envs.single_action_space.n)
    model = small_gpt2(vocabulary, layers=4, heads=4, width=256, max_positions=128)
    policy = CausalLMPolicy.from_env(envs, model)
    uncached = CausalLMPolicy.from_env(envs, model, cache=False)
    episodes = 1 if lengths == "fixed" else arguments.episodes
    rounds: list[tuple[Speed, Speed, Speed]] = []
    for k in range(arguments.rounds + 1):
        seeds = [1_000 * k + slot for slot in range(num_envs)]
        rounds.append(
            (
                run_loop(policy, wrapped, seeds, episodes),
                run_generate(policy, wrapped, seeds, episodes, new_tokens),
                run_loop(uncached, wrapped, seeds, 1),
            )
        )
    loop, generate, anew = zip(*rounds[1:], strict=True)  # the first round warms up
    return {
        "lengths": lengths,
        "episodes a slot": episodes,
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
    parser.add_argument("--episodes", type=int, default=8, help="a slot, at geometric lengths")
    parser.add_argument("--new-tokens", type=int, default=64)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = [measure(lengths, arguments) for lengths in ("fixed", "geometric")]
    publish(
        "rollout_tokens",
        "Useful tokens a second: environment loop with a key-value cache, and generate",
        f"python benchmarks/rollout_tokens.py --threads {arguments.threads} "
        f"--rounds {arguments.rounds} --episodes {arguments.episodes} "
        f"--new-tokens {arguments.new_tokens}",
        rows,
    )


if __name__ == "__main__":
    main()
