"""A training run's parts: opened fresh or from a checkpoint, saved, and finished."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from textgym_agents.algorithms import ALGORITHMS, Algorithm, AlgorithmConfig
from textgym_agents.checkpoint import (
    CHECKPOINTS,
    RunState,
    checkpoint_folder,
    find_checkpoint,
    has_progress,
    load_optimizer,
    load_part,
    read_state,
    save_checkpoint,
)
from textgym_agents.distributed import join_processes
from textgym_agents.loggers import read_rows
from textgym_agents.ongoing import Ongoing
from textgym_agents.policies import Policy, Sampling
from textgym_agents.policies.construction import (
    PolicyConfig,
    build_policy,
    check_fits,
    describe_policy,
)
from textgym_agents.policies.weights import load_policy, warm_start
from textgym_agents.runs.config import TrainConfig, check_same_run
from textgym_agents.runs.devices import check_device, cpu_threads
from textgym_agents.runs.environments import VectorEnv, make_envs, tokenizer_of
from textgym_agents.runs.records import LOG, NoRecord, RunRecord, plain
from textgym_agents.runs.seeding import EVALUATION, iteration_seeds


class Run:
    """The parts of a run, and the counters that a checkpoint keeps.

    Args:
        config: The run.
        algorithm: The algorithm's configuration.
        stack: Closes environments and logs, and restores torch's threads.

    Attributes:
        iteration: Batches learned from.
        steps: Environment steps taken.
        processes: Those that train together.
        slots: Which of all environments this process has.
        envs: For training: those of this process.
        ongoing: Where ``envs`` are between iterations, if they go on.
        eval_envs: For evaluation, in the first process; the training ones elsewhere and where
            there is none.
        learner: The algorithm with the policy.
        record: Takes the rows.
        started: `time.perf_counter` at the beginning.

    Raises:
        ValueError, FileExistsError, FileNotFoundError: See `train`.
    """

    def __init__(self, config: TrainConfig, algorithm: AlgorithmConfig, stack: ExitStack) -> None:
        self.started = time.perf_counter()
        self.config, self.algorithm = config, algorithm
        self.name, learner_class = _learner_class(algorithm)
        iteration_seeds(config.seed, EVALUATION, config.num_envs, algorithm.group_size)
        learner_class.check_batch_size(algorithm, config.num_envs * algorithm.episodes_per_env)
        if learner_class.follows_expert:
            _require_plain_sampling(config.policy, self.name)
        if config.target_return is not None and not config.eval_interval:
            _require_own_episodes(algorithm, learner_class, self.name)
        self.processes = join_processes(config.device, config.shard_optimizer, config.shard_weights)
        self.processes.check_shardable(self.name, learner_class.shardable)
        check_device(self.processes.device)
        self.slots = self.processes.slots(config.num_envs, algorithm.group_size)
        num_envs = config.num_envs // self.processes.count
        resumed = _checkpoint_to_resume(config)
        stack.enter_context(cpu_threads(config.threads))
        self.envs = stack.enter_context(
            closing(make_envs(config.env_id, num_envs, config.env_kwargs))
        )
        self.eval_envs = self._make_eval_envs(stack)
        policy, self.description = self._make_policy(resumed)
        self.learner = learner_class(self.processes.share(policy), algorithm)
        self.iteration = self.steps = 0
        self.ongoing = Ongoing() if config.resets_every > 1 else None
        if self.ongoing is not None:
            _require_going_on(algorithm, learner_class, self.name, policy)
        self._saved: tuple[int, Path] | None = None
        if resumed is not None:
            load_optimizer(resumed, self.learner.optimizer)
            self.learner.load_state(load_part(resumed, "algorithm"))
            state = read_state(resumed)
            self.iteration, self.steps = state.iteration, state.steps
            if gone := load_part(resumed, "environments"):
                self._replay(gone)
            self._saved = (state.iteration, resumed)
        self.record = stack.enter_context(closing(self._open_record(resumed is not None)))

    def save(self) -> Path:
        """Write a checkpoint, unless this iteration has one; return its folder."""
        if self._saved is None or self._saved[0] != self.iteration:
            self.processes.check_equal(self.learner.policy)
            self.processes.gather_state(self.learner.optimizer)
            learned = self.processes.for_first(self.learner.state())
            gone = self._gone()
            policy = self.processes.whole(self.learner.policy)
            self._saved = (self.iteration, self._write(policy, learned, gone))
        return self._saved[1]

    def _gone(self) -> dict[str, Tensor]:
        """What brings all processes' environments where they are; nothing if they will be reset."""
        if self.ongoing is None or self.iteration % self.config.resets_every == 0:
            return {}
        parts = self.processes.of_all(self.ongoing.state())
        return {
            "actions": torch.cat([part["actions"] for part in parts], dim=1),
            "rewards": torch.cat([part["rewards"] for part in parts]),
        }

    def _replay(self, gone: dict[str, Tensor]) -> None:
        """Bring this process's environments where they were; see `_gone`."""
        since = self.iteration - self.iteration % self.config.resets_every + 1
        group_size = self.algorithm.group_size
        seeds = iteration_seeds(self.config.seed, since, self.config.num_envs, group_size)
        own = {"actions": gone["actions"][:, self.slots], "rewards": gone["rewards"][self.slots]}
        if self.ongoing is not None:
            self.ongoing.replay(self.envs, seeds.slots[self.slots], own)

    def _write(self, policy: Policy, learned: dict[str, Tensor], gone: dict[str, Tensor]) -> Path:
        folder = self.config.output / CHECKPOINTS
        if self.processes.index:  # The first process does it.
            return checkpoint_folder(folder, self.iteration)
        state = RunState(
            iteration=self.iteration,
            steps=self.steps,
            algorithm=self.name,
            algorithm_config=plain(self.algorithm),
            train_config=self._asked(),
            policy=self.description,
        )
        return save_checkpoint(
            folder,
            policy,
            self.learner.optimizer,
            state,
            keep=self.config.keep_checkpoints,
            algorithm=learned,
            environments=gone,
            tokenizer=tokenizer_of(self.envs),
        )

    def _asked(self) -> dict[str, Any]:
        """The run's configuration, and the number of its processes, as JSON."""
        return {**plain(self.config), "processes": self.processes.count}

    def finish(self, last: dict[str, float], checkpoint: Path, interrupted: bool) -> None:
        """Write down how the run ended.

        Args:
            last: The last numbers.
            checkpoint: The last checkpoint.
            interrupted: Whether a signal ended it.
        """
        summary = {
            "algorithm": self.name,
            "env_id": self.config.env_id,
            "iteration": self.iteration,
            "steps": self.steps,
            "processes": self.processes.count,
            "interrupted": interrupted,
            "seconds": time.perf_counter() - self.started,
            "checkpoint": checkpoint.name,
            "metrics": last,
        }
        self.record.finish(summary, last, f"{self.name} on {self.config.env_id}")
        self.processes.wait()

    def _make_eval_envs(self, stack: ExitStack) -> VectorEnv:
        config = self.config
        if not config.eval_interval or self.processes.index:
            return self.envs
        kwargs = {**config.env_kwargs, **config.eval_env_kwargs}
        num_envs = min(config.num_envs, config.eval_episodes)
        return stack.enter_context(closing(make_envs(config.env_id, num_envs, kwargs)))

    def _make_policy(self, resumed: Path | None) -> tuple[Policy, dict[str, Any]]:
        """The policy, and its description: resumed, warm-started or fresh."""
        config = self.config
        if resumed is not None:
            state = read_state(resumed)
            check_same_run(
                {"algorithm": self.name, **plain(self.algorithm), **self._asked()},
                {
                    "algorithm": state.algorithm,
                    **plain(type(self.algorithm)()),  # Fields that are newer than the run.
                    **state.algorithm_config,
                    "processes": 1,
                    "shard_weights": False,
                    "resets_every": 1,
                    **state.train_config,
                },
            )
            description = dict(state.policy)
            policy = load_policy(description, resumed)
        elif config.init is not None:
            source = find_checkpoint(config.init)
            saved = read_state(source).policy
            policy, description = warm_start(saved, source, config.policy, config.seed)
        else:
            description = describe_policy(config.policy, self.envs, config.seed)
            policy = build_policy(description)
        for envs in (self.envs, self.eval_envs):
            check_fits(description, envs)
            policy.check_observations(envs.single_observation_space)
        return policy.to(self.processes.device), description

    def _open_record(self, resumed: bool) -> RunRecord:
        config = self.config
        if self.processes.index:
            return NoRecord()
        asked = {"algorithm": self.name, "algorithm_config": plain(self.algorithm)}
        return RunRecord(
            config.output,
            {**asked, **self._asked()},
            total_steps=config.total_steps,
            iteration=self.iteration if resumed else -1,
            steps=self.steps,
            tensorboard=config.tensorboard,
            progress=config.progress,
        )


def _learner_class(algorithm: AlgorithmConfig) -> tuple[str, type[Algorithm[Any]]]:
    """The algorithm that a configuration is for, and its name."""
    for name, (learner, config) in ALGORITHMS.items():
        if type(algorithm) is config:
            return name, learner
    known = ", ".join(config.__name__ for _, config in ALGORITHMS.values())
    raise ValueError(f"{type(algorithm).__name__} configures no algorithm; those that do: {known}")


def _require_plain_sampling(policy: PolicyConfig, name: str) -> None:
    if policy.sampling() != Sampling():
        raise ValueError(
            f"{name} fits the model's own distribution: leave temperature and top_p at 1 and "
            f"top_k, min_p and epsilon at 0 (got {policy.sampling()}), and sample otherwise when "
            "evaluating"
        )


def _require_own_episodes(
    algorithm: AlgorithmConfig, learner: type[Algorithm[Any]], name: str
) -> None:
    what = ""
    if learner.follows_expert:
        what = f"{name}'s batches are the expert's"
    elif algorithm.steps_per_env:
        what = f"steps_per_env {algorithm.steps_per_env} cuts episodes before they are over"
    if what:
        raise ValueError(
            f"target_return needs eval_interval: {what}, so that their mean return is not the "
            "policy's"
        )


def _require_going_on(
    algorithm: AlgorithmConfig, learner: type[Algorithm[Any]], name: str, policy: Policy
) -> None:
    wrong = ""
    if not algorithm.steps_per_env:
        wrong = "steps_per_env is 0, so that every batch has whole episodes"
    elif not learner.goes_on:
        wrong = f"{name} learns from episodes that it has the beginnings of"
    elif not policy.begins_midway:
        wrong = f"{type(policy).__name__} has to see where an episode's prompt ends"
    if wrong:
        raise ValueError(f"resets_every must be 1: {wrong}")


def _checkpoint_to_resume(config: TrainConfig) -> Path | None:
    """The checkpoint to go on from; checks that a new run overwrites nothing learned."""
    if config.resume:
        return find_checkpoint(config.output)
    learned = any(row["iteration"] > 0 for row in read_rows(config.output / LOG))
    if learned or has_progress(config.output / CHECKPOINTS):
        raise FileExistsError(
            f"{config.output} already has a training run; resume it, or name another output folder"
        )
    return None
