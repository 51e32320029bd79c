"""How good a policy is: mean return over a number of episodes, with its 95% interval."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from typing import Any

import gymnasium as gym
import numpy as np

from textgym_agents.policies import Episode, Policy
from textgym_agents.rollout import collect
from textgym_agents.runs.seeding import EVALUATION, iteration_seeds

_MANY = 2**31
"""Of so many examples, as there are where they are generated, hardly any is drawn twice."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A sample's mean and how sure it is.

    Attributes:
        mean: Of the sample.
        std: Standard deviation of the sample (n - 1 in the denominator; 0 for one value).
        low: Lower end of the 95% interval of Student's t, ``mean - t std / sqrt(n)``; t is 2.78 for
            5 values, and 1.96 for many.
        high: Upper end.
        count: ``n``.
    """

    mean: float
    std: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """Estimate the mean of what the values are a sample of (Student, 1908)."""
        count, mean = len(values), float(np.mean(values))
        if count == 1:
            return cls(mean, 0.0, mean, mean, 1)
        std = float(np.std(values, ddof=1))
        half = _student(count - 1) * std / math.sqrt(count)
        return cls(mean, std, mean - half, mean + half, count)


def _student(freedom: int) -> float:
    """The 97.5% quantile of Student's t, within 0.2%.

    Abramowitz and Stegun (1964), "Handbook of Mathematical Functions", 26.7.5: the quantile of the
    normal distribution, and corrections in powers of one over the degrees of freedom.
    """
    if freedom < 3:
        return (12.7062, 4.3027)[freedom - 1]
    z, v = 1.959964, freedom
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * v**4)
    )


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """What an evaluation measured.

    Attributes:
        returns: Undiscounted return.
        length: Steps an episode.
        scores: One estimate for each float that every episode's final info names: ``score`` and
            its components, of a text environment.
        episodes: The episodes themselves; their ``info`` has the texts, if there are any.
    """

    returns: Estimate
    length: Estimate
    scores: dict[str, Estimate]
    episodes: list[Episode]

    def row(self, prefix: str = "") -> dict[str, float]:
        """The main numbers by name, for a log."""
        numbers = {name: estimate.mean for name, estimate in self.scores.items()} | {
            "return_mean": self.returns.mean,
            "return_low": self.returns.low,
            "return_high": self.returns.high,
            "length_mean": self.length.mean,
        }
        return {prefix + name: value for name, value in numbers.items()}


def evaluate(
    envs: gym.vector.VectorEnv[Any, Any, Any],
    policy: Policy,
    *,
    num_episodes: int,
    seed: int = 0,
    deterministic: bool = False,
    best_of: int = 1,
) -> EvaluationResult:
    """Run a policy without changing it, in evaluation mode.

    All slots run an episode each, then the next; those beyond ``num_episodes`` are dropped by their
    place, so that the choice does not depend on how they went. The same arguments give the same
    episodes. With the same seed and number of environments, any two policies see the same starts,
    and draw their actions by the same random numbers at each step of an episode: differences
    between their episodes have far less noise than between independent ones (common random numbers;
    Glasserman and Yao, 1992). Of a file's rows, all are shown before one comes again (in textgym's
    own vector form); the most probable answers are not repeated. An interval over more episodes
    than rows says nothing of other rows.

    Args:
        envs: A vector environment; it is reset.
        policy: The policy.
        num_episodes: Episodes, 1 or more.
        seed: Seed of the environments and of the actions.
        deterministic: Take the most probable actions instead of sampling.
        best_of: Tries from each start, of which the one with the highest return counts: what the
            reward alone can do for a policy that does not learn, where it may be asked at
            decoding. It divides the number of environments.

    Raises:
        ValueError: ``num_episodes`` or ``best_of`` is less than 1, or ``best_of`` does not divide
            the number of environments.
    """
    for name, number in (("num_episodes", num_episodes), ("best_of", best_of)):
        if number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}")
    if envs.num_envs % best_of:
        raise ValueError(
            f"best_of {best_of} does not divide the {envs.num_envs} environments: num_envs must be "
            f"a multiple of {best_of}"
        )
    if deterministic:
        num_episodes = min(num_episodes, envs.metadata.get("num_examples", _MANY))
    waves = math.ceil(num_episodes * best_of / envs.num_envs)
    with evaluation_mode(policy):
        tries = _tries(envs, policy, seed, waves, best_of, deterministic)
        episodes = [episode for wave in tries for episode in _best(wave)][:num_episodes]
    return EvaluationResult(
        returns=Estimate.of([episode.total_reward for episode in episodes]),
        length=Estimate.of([episode.num_steps for episode in episodes]),
        scores={name: Estimate.of(values) for name, values in info_numbers(episodes).items()},
        episodes=episodes,
    )


def _tries(
    envs: gym.vector.VectorEnv[Any, Any, Any],
    policy: Policy,
    seed: int,
    waves: int,
    best_of: int,
    deterministic: bool,
) -> Iterator[list[Episode]]:
    """An episode of each slot, and again, each time from fresh seeds."""
    for wave, options in enumerate(_examples(envs, seed, best_of, waves)):
        seeds = iteration_seeds(seed, EVALUATION, envs.num_envs, best_of, attempt=wave)
        yield collect(
            envs,
            policy,
            seeds=seeds.slots,
            generator=seeds.generator(policy.device),
            deterministic=deterministic,
            options=options,
        )


def _examples(
    envs: gym.vector.VectorEnv[Any, Any, Any], seed: int, best_of: int, waves: int
) -> list[dict[str, Any] | None]:
    """Options of each reset, which show all examples in turn, where there are few; else None."""
    count = envs.metadata.get("num_examples", _MANY)
    if count >= _MANY:
        return [None] * waves
    places = np.arange(envs.num_envs // best_of * waves).reshape(waves, -1)
    rng = np.random.default_rng([seed, EVALUATION])
    order = rng.choice(count, size=min(count, places.size), replace=False)
    shown = order[places % len(order)].repeat(best_of, axis=1)
    return [{"example": row} for row in shown.tolist()]


def _best(tries: Sequence[Episode]) -> list[Episode]:
    """Of each group's tries the first of those with the highest return."""
    best: dict[int, Episode] = {}
    for episode in tries:
        known = best.setdefault(episode.group, episode)
        if episode.total_reward > known.total_reward:
            best[episode.group] = episode
    return list(best.values())


@contextmanager
def evaluation_mode(policy: Policy) -> Iterator[None]:
    """Have the policy in evaluation mode meanwhile."""
    learning = policy.training
    policy.eval()
    try:
        yield
    finally:
        policy.train(learning)


def info_numbers(episodes: Sequence[Episode]) -> dict[str, list[float]]:
    """The floats that every episode's final info has, by name: one list entry an episode."""
    names = [
        name
        for name, value in episodes[0].info.items()
        if isinstance(value, Real) and not isinstance(value, (bool, int, np.integer))
    ]
    return {
        name: [float(episode.info[name]) for episode in episodes]
        for name in names
        if all(name in episode.info for episode in episodes)
    }


def episode_row(episodes: Sequence[Episode]) -> dict[str, float]:
    """A batch's mean return, length and info floats, for a log.

    They are those of the episodes that came to their end, with the steps that these had in earlier
    batches: of none there is their number alone.
    """
    ended = [episode for episode in episodes if not episode.out_of_steps]
    row: dict[str, float] = {"episodes": len(ended)}
    if ended:
        returns = [episode.earlier_reward + episode.total_reward for episode in ended]
        lengths = [episode.earlier_steps + episode.num_steps for episode in ended]
        row |= {
            "return_mean": float(np.mean(returns)),
            "return_std": float(np.std(returns)),
            "length_mean": float(np.mean(lengths)),
        }
        named = {name: float(np.mean(values)) for name, values in info_numbers(ended).items()}
        row |= named | row  # An info does not take another number's name.
    return row
