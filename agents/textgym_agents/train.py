"""The main path of training: collect -> update -> log -> save.

What iteration k does depends on the parameters, the optimizer's moments and (seed, k) alone: its
environments are reset with seeds drawn from (seed, k), and so is the generator of its actions. So
a run resumed from a checkpoint goes on bit for bit as if it had never stopped (on one device),
and no environment's state is saved. With ``resets_every`` it also depends on the iterations since
the last reset, whose actions are saved.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from textgym_agents.algorithms import AlgorithmConfig
from textgym_agents.evaluate import episode_row, evaluate
from textgym_agents.policies import Episode
from textgym_agents.rollout import collect
from textgym_agents.runs.config import TrainConfig
from textgym_agents.runs.interruption import interruptible
from textgym_agents.runs.run import Run
from textgym_agents.runs.seeding import IterationSeeds, iteration_seeds

__all__ = ["TrainConfig", "TrainResult", "train"]


@dataclass(frozen=True, slots=True)
class TrainResult:
    """How a run ended.

    Attributes:
        iteration: Batches learned from.
        steps: Environment steps taken.
        metrics: The last iteration's row, and the last evaluation's numbers (``eval_...``).
        output: The run's folder.
        checkpoint: The last checkpoint.
        interrupted: SIGINT or SIGTERM ended it.
    """

    iteration: int
    steps: int
    metrics: dict[str, float]
    output: Path
    checkpoint: Path
    interrupted: bool


def train(config: TrainConfig, algorithm: AlgorithmConfig) -> TrainResult:
    """Train a policy.

    Args:
        config: The run.
        algorithm: The algorithm, by its configuration: `ReinforceConfig(...)`.

    Raises:
        ValueError: A configuration that cannot work, or differs from the run to resume.
        FileExistsError: The output folder has a run, and ``resume`` is off.
        FileNotFoundError: There is no checkpoint to resume or to start from.
        FloatingPointError: The loss is not finite. The last checkpoint stays.
    """
    with ExitStack() as stack:
        run = Run(config, algorithm, stack)
        interruption = stack.enter_context(interruptible())
        row = run.processes.from_first(run.record.last_row)
        if run.iteration == 0:
            run.save()
        if run.iteration == 0 and config.eval_interval and not row:
            row = {"iteration": 0, "steps": 0, **held_out(run)}
            run.record.log(row)
        late = False
        while run.steps < config.total_steps and not (late or reached(config, row)):
            row = iterate(run)
            late = run.processes.any(too_late(run))
            last = late or run.steps >= config.total_steps
            if config.eval_interval and (last or run.iteration % config.eval_interval == 0):
                row |= held_out(run)
            run.record.log(row)
            if run.processes.any(interruption.requested):
                break
            if run.iteration % config.checkpoint_interval == 0:
                run.save()
        checkpoint = run.save()
        interrupted = run.processes.any(interruption.requested)
        if config.eval_interval and not interrupted and "eval_return_mean" not in row:
            row = {**row, "iteration": run.iteration, "steps": run.steps, **held_out(run)}
        run.finish(row, checkpoint, interrupted)
    return TrainResult(run.iteration, run.steps, row, config.output, checkpoint, interrupted)


def iterate(run: Run) -> dict[str, float]:
    """Collect a batch, learn from it, and say how it went."""
    config, algorithm, policy = run.config, run.algorithm, run.learner.policy
    run.iteration += 1
    if run.ongoing is not None and run.iteration % config.resets_every == 1:
        run.ongoing.end()
    seeds = iteration_seeds(config.seed, run.iteration, config.num_envs, algorithm.group_size)
    begun = time.perf_counter()
    with torch.random.fork_rng(devices=[policy.device] if policy.device.type == "cuda" else []):
        torch.manual_seed(seeds.policy)  # Dropout, where a model has it, draws from here.
        episodes, drawn, num_steps = gather(run)
        collected = time.perf_counter()
        middle = (run.steps + 0.5 * num_steps) / max(config.total_steps, run.steps + num_steps)
        metrics: dict[str, float] = {}
        if episodes:
            metrics = run.learner.update(
                episodes, progress=middle, rng=np.random.default_rng(seeds.update)
            )
    run.steps += num_steps
    ended = time.perf_counter()
    counters = {"iteration": run.iteration, "steps": run.steps}
    return {
        **counters,
        **episode_row(drawn),
        **metrics,
        **counters,  # Whatever an environment's info says.
        "collect_seconds": collected - begun,
        "update_seconds": ended - collected,
        "steps_per_second": num_steps / (ended - begun),
        "seconds": ended - run.started,
    }


def gather(run: Run) -> tuple[list[Episode], list[Episode], int]:
    """An iteration's episodes to learn from, all that were drawn, and the environment steps.

    An algorithm that selects may leave too few; then others are collected, with other seeds, and
    what there is too much of then is left out. With none left nothing is learned.
    """
    config, algorithm, learner = run.config, run.algorithm, run.learner
    wanted = config.num_envs * algorithm.episodes_per_env
    episodes: list[Episode] = []
    everything: list[Episode] = []
    num_steps = 0
    for attempt in range(1 + learner.extra_rounds):
        seeds = iteration_seeds(
            config.seed, run.iteration, config.num_envs, algorithm.group_size, attempt
        )
        # First, since the update takes over what the last rollout has computed.
        greedy = rollout(run, seeds, greedy=True) if learner.greedy_rollout else []
        best = {episode.group: learner.whole_return(episode) for episode in greedy}
        drawn = rollout(run, seeds)
        num_steps += sum(episode.num_steps for episode in greedy + drawn)
        for episode in drawn:
            episode.greedy_return = best.get(episode.group)
            # Each attempt has its own groups.
            episode.group += attempt * (config.num_envs * max(wanted, algorithm.steps_per_env))
        everything += drawn
        episodes += learner.select(drawn)
        if len(episodes) >= wanted:
            break
    if learner.extra_rounds:
        episodes = first_groups(episodes, wanted // algorithm.group_size)
    return episodes, everything, num_steps


def first_groups(episodes: list[Episode], count: int) -> list[Episode]:
    """The episodes of the first so many groups."""
    groups = set(list(dict.fromkeys(episode.group for episode in episodes))[:count])
    return [episode for episode in episodes if episode.group in groups]


def rollout(run: Run, seeds: IterationSeeds, greedy: bool = False) -> list[Episode]:
    """What the learner's policy does in the environments that start from the seeds.

    Its most probable actions, greedily, are the same throughout a group, so that one slot does.
    """
    algorithm = run.algorithm
    episodes = collect(
        run.envs,
        run.learner.acting(run.processes.whole(run.learner.policy)),
        seeds=seeds.slots[run.slots],
        episodes_per_env=algorithm.episodes_per_env,
        steps_per_env=algorithm.steps_per_env,
        generator=seeds.generator(run.learner.policy.device, run.processes.index),
        deterministic=greedy,
        follow_expert=run.learner.follows_expert,
        one_per_group=greedy,
        ongoing=run.ongoing,
    )
    quota = algorithm.steps_per_env or algorithm.episodes_per_env
    return run.processes.gather(episodes, run.envs.num_envs, quota)


def held_out(run: Run) -> dict[str, float]:
    """The policy's numbers on the evaluation environments, named ``eval_...``.

    The first process alone measures them, so that they are those of a single one.
    """
    row: dict[str, float] = {}
    policy = run.processes.whole(run.learner.policy)
    if run.processes.index == 0:
        result = evaluate(
            run.eval_envs,
            policy,
            num_episodes=run.config.eval_episodes,
            seed=run.config.seed,
        )
        row = result.row("eval_")
    del policy  # A copy, perhaps, which the other processes need not keep until then.
    return run.processes.from_first(row)


def reached(config: TrainConfig, row: dict[str, float]) -> bool:
    """Whether the row reaches the target return."""
    measured = row.get("eval_return_mean" if config.eval_interval else "return_mean")
    target = config.target_return
    return target is not None and measured is not None and measured >= target


def too_late(run: Run) -> bool:
    """Whether the limit of time is over."""
    limit = run.config.max_seconds
    return limit is not None and time.perf_counter() - run.started >= limit
