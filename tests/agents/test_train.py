from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from safetensors.torch import load_file
from transformers.pytorch_utils import Conv1D

from textgym_agents import train as training
from textgym_agents.algorithms import (
    ALGORITHMS,
    GRPO,
    A2CConfig,
    AlgorithmConfig,
    GRPOConfig,
    MaximumLikelihoodConfig,
    PPOConfig,
    Reinforce,
    ReinforceConfig,
)
from textgym_agents.checkpoint import (
    find_checkpoint,
    load_checkpoint_policy,
    load_part,
    read_state,
)
from textgym_agents.evaluate import Estimate, evaluate
from textgym_agents.loggers import (
    TIME_COLUMNS,
    ConsoleLogger,
    JsonLinesLogger,
    read_rows,
    save_learning_curve,
)
from textgym_agents.policies import CausalLMPolicy, Episode, MLPPolicy, Sampling
from textgym_agents.policies.construction import PolicyConfig, build_policy, describe_policy
from textgym_agents.rollout import collect
from textgym_agents.runs.config import TrainConfig
from textgym_agents.runs.environments import make_envs
from textgym_agents.runs.interruption import interruptible
from textgym_agents.runs.seeding import iteration_seeds
from textgym_agents.train import TrainResult, gather, train

TINY = "textgym:textgym/Tiny-v0"
LM = PolicyConfig(kind="causal_lm", layers=1, heads=2, width=16)


def config(output: Path, **kwargs: Any) -> TrainConfig:
    base: dict[str, Any] = {
        "env_id": "CartPole-v1",
        "output": output,
        "num_envs": 4,
        "total_steps": 1_000_000,
        "policy": PolicyConfig(hidden_sizes=(8,)),
        "tensorboard": False,
        "progress": False,
    }
    return TrainConfig(**{**base, **kwargs})


def stop_after(iterations: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send this process SIGINT in the middle of an iteration, as Ctrl-C does."""
    iterate = training.iterate

    def interrupted(run: Any) -> dict[str, float]:
        if run.iteration + 1 == iterations:
            os.kill(os.getpid(), signal.SIGINT)
        return iterate(run)

    monkeypatch.setattr(training, "iterate", interrupted)


def rows_without_time(output: Path) -> list[dict[str, float]]:
    rows = read_rows(output / "log.jsonl")
    return [{k: v for k, v in row.items() if k not in TIME_COLUMNS} for row in rows]


RUNS: dict[str, tuple[dict[str, Any], AlgorithmConfig]] = {
    "cartpole": ({"eval_interval": 2, "eval_episodes": 4}, ReinforceConfig(baseline="learned")),
    "language_model": (
        {"env_id": TINY, "policy": LM},
        ReinforceConfig(baseline="leave_one_out", group_size=2, episodes_per_env=2),
    ),
    "self_critical": (
        {"env_id": TINY, "policy": LM},
        ReinforceConfig(baseline="greedy", group_size=2, episodes_per_env=2),
    ),
    "segments": ({}, ReinforceConfig(baseline="learned", steps_per_env=10)),
    "going_on": (
        {"resets_every": 4},
        PPOConfig(steps_per_env=10, num_minibatches=2, normalize_values=True),
    ),
    "going_on_lm": (
        {"env_id": TINY, "policy": LM, "resets_every": 5},
        A2CConfig(steps_per_env=3, n_steps=2),
    ),
    "target_entropy": ({}, ReinforceConfig(entropy_coef=0.1, target_entropy=0.5)),
    "cloning": (
        {"env_id": TINY, "policy": LM, "env_kwargs": {"demonstrations": True}},
        MaximumLikelihoodConfig(schedule="cosine", warmup=1e-5, dropout=0.1),
    ),
}


@pytest.mark.parametrize("name", list(RUNS))
def test_resumed_run_equals_the_unstopped_one(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, algorithm = RUNS[name]
    with monkeypatch.context() as patch:
        stop_after(6, patch)
        whole = train(config(tmp_path / "whole", **options), algorithm)
    with monkeypatch.context() as patch:
        stop_after(3, patch)
        half = train(config(tmp_path / "halves", **options), algorithm)
    assert (half.iteration, half.interrupted) == (3, True)
    with monkeypatch.context() as patch:
        stop_after(6, patch)
        rest = train(config(tmp_path / "halves", resume=True, **options), algorithm)
    assert whole.iteration == rest.iteration == 6
    assert whole.steps == rest.steps
    for file in sorted(whole.checkpoint.rglob("*.safetensors")):
        expected = load_file(file)
        resumed = load_file(rest.checkpoint / file.relative_to(whole.checkpoint))
        assert expected.keys() == resumed.keys()
        for key, tensor in expected.items():
            assert torch.equal(tensor, resumed[key]), (file.name, key)
    rows = rows_without_time(tmp_path / "whole")
    assert [row["iteration"] for row in rows][-6:] == [1, 2, 3, 4, 5, 6]
    assert rows == rows_without_time(tmp_path / "halves")


def test_rows_after_the_checkpoint_are_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that dies between checkpoints is resumed from the last one."""
    iterate = training.iterate

    def dying(run: Any) -> dict[str, float]:
        if run.iteration == 5:
            raise FloatingPointError("the loss is nan")
        return iterate(run)

    with monkeypatch.context() as patch:
        patch.setattr(training, "iterate", dying)
        with pytest.raises(FloatingPointError):
            train(config(tmp_path / "x", checkpoint_interval=3), ReinforceConfig())
    assert [row["iteration"] for row in read_rows(tmp_path / "x/log.jsonl")] == [1, 2, 3, 4, 5]
    stop_after(6, monkeypatch)
    train(config(tmp_path / "x", checkpoint_interval=3, resume=True), ReinforceConfig())
    assert [r["iteration"] for r in read_rows(tmp_path / "x/log.jsonl")] == [1, 2, 3, 4, 5, 6]


def test_runs_from_before_an_option_existed_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were as with its default."""
    options, algorithm = RUNS["cloning"]
    algorithm = replace(algorithm, dropout=0.0)
    with monkeypatch.context() as patch:
        stop_after(2, patch)
        checkpoint = train(config(tmp_path, **options), algorithm).checkpoint
    state = json.loads((checkpoint / "state.json").read_text())
    for newer in ("processes", "shard_weights", "resets_every"):
        del state["train_config"][newer]
    del state["algorithm_config"]["dropout"]
    (checkpoint / "state.json").write_text(json.dumps(state))
    with pytest.raises(ValueError, match=r"dropout = 0\.0, asked for is 0\.1"):
        train(config(tmp_path, resume=True, **options), replace(algorithm, dropout=0.1))
    stop_after(3, monkeypatch)
    assert train(config(tmp_path, resume=True, **options), algorithm).iteration == 3


class Selective(Reinforce):
    """Keeps the better half of each rollout, and counts what it has seen."""

    extra_rounds = 3
    seen = 0.0

    def select(self, episodes: Sequence[Episode]) -> list[Episode]:
        return sorted(episodes, key=lambda e: -e.total_reward)[: len(episodes) // 2]

    def update(self, episodes: Sequence[Episode], *args: Any, **kwargs: Any) -> dict[str, float]:
        self.seen += sum(episode.total_reward for episode in episodes)
        return super().update(episodes, *args, **kwargs) | {"seen": self.seen}

    def state(self) -> dict[str, torch.Tensor]:
        return {"seen": torch.tensor(self.seen, dtype=torch.float64)}

    def load_state(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self.seen = float(tensors["seen"])


def test_selection_collects_again_and_state_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ALGORITHMS, "reinforce", (Selective, ReinforceConfig))
    results = []
    for name, stops in (("whole", [4]), ("halves", [2, 4])):
        for stop in stops:
            with monkeypatch.context() as patch:
                stop_after(stop, patch)
                resume = stop == 4 and name == "halves"
                options = config(tmp_path / name, resume=resume)
                results.append(train(options, ReinforceConfig()))
    rows = rows_without_time(tmp_path / "whole")
    assert rows == rows_without_time(tmp_path / "halves")
    assert [row["episodes"] for row in rows] == [8] * 4  # Two rollouts of four.
    assert rows[-1]["seen"] > rows[0]["seen"] > 0
    with pytest.raises(ValueError, match="this run keeps differ in seen"):
        Reinforce(MLPPolicy(*[gym.spaces.Discrete(2)] * 2), ReinforceConfig()).load_state(
            load_part(results[0].checkpoint, "algorithm")
        )


def test_nothing_is_learned_from_groups_of_equal_returns(tmp_path: Path) -> None:
    """Their gradient is 0, but momentum and weight decay would still move the weights."""
    algorithm = GRPOConfig(variant="dapo", group_size=4, learning_rate=0.1, weight_decay=0.1)
    options = {
        "env_id": TINY,
        "env_kwargs": {"reward": "constant"},
        "num_envs": 8,
        "policy": PolicyConfig(),
    }
    result = train(config(tmp_path / "run", total_steps=300, **options), algorithm)
    first, last = (
        load_file(tmp_path / "run" / "checkpoints" / name / "policy.safetensors")
        for name in ("iteration-00000000", result.checkpoint.name)
    )
    assert result.iteration >= 2
    assert all(torch.equal(tensor, last[name]) for name, tensor in first.items())


def test_a_batch_that_is_filled_by_selection_has_no_more_than_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[dict[int, int]] = []
    update = GRPO.update

    def watched(self: GRPO, episodes: Sequence[Episode], **kwargs: Any) -> dict[str, float]:
        sizes.append(Counter(episode.group for episode in episodes))
        return update(self, episodes, **kwargs)

    monkeypatch.setattr(GRPO, "update", watched)
    algorithm = GRPOConfig(variant="dapo", group_size=4, extra_rounds=5)
    options = {"env_id": TINY, "num_envs": 16, "policy": PolicyConfig()}
    train(config(tmp_path / "x", total_steps=600, **options), algorithm)
    assert {sum(groups.values()) for groups in sizes} == {16}
    assert all(count == 4 for groups in sizes for count in groups.values())


def small_run(output: Path, **kwargs: Any) -> TrainResult:
    return train(config(output, **{"total_steps": 200, **kwargs}), ReinforceConfig())


def test_greedy_returns_are_discounted_as_the_others_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CartPole pays 1 a step, so that n steps are worth (1 - 0.5^n) / 0.5, hence below 2."""
    found: list[float | None] = []
    update = Reinforce.update

    def watched(self: Reinforce, episodes: Sequence[Episode], **kwargs: Any) -> dict[str, float]:
        found.extend(episode.greedy_return for episode in episodes)
        return update(self, episodes, **kwargs)

    monkeypatch.setattr(Reinforce, "update", watched)
    algorithm = ReinforceConfig(baseline="greedy", gamma=0.5)
    train(config(tmp_path / "x", total_steps=100), algorithm)
    assert len(found) >= 4
    assert all(best is not None and 1.9 < best <= 2.0 for best in found)


@pytest.mark.parametrize("group_size", [1, 4])
def test_a_group_has_one_greedy_rollout(
    group_size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The return of every one's own greedy rollout; its steps count once a group."""
    seen: list[tuple[list[Episode], int]] = []

    def watched(run: Any) -> tuple[list[Episode], list[Episode], int]:
        episodes, drawn, num_steps = gather(run)
        seen.append((episodes, num_steps))
        seeds = iteration_seeds(run.config.seed, run.iteration, run.config.num_envs, group_size)
        own = collect(
            run.envs,
            run.learner.policy,
            seeds=seeds.slots,
            episodes_per_env=2,
            deterministic=True,
        )
        for episode, best in zip(episodes, own, strict=True):
            assert episode.greedy_return == pytest.approx(best.total_reward)
        greedy = sum(one.num_steps for one in own if one.slot % group_size == 0)
        assert num_steps == greedy + sum(episode.num_steps for episode in episodes)
        return episodes, drawn, num_steps

    monkeypatch.setattr(training, "gather", watched)
    algorithm = ReinforceConfig(baseline="greedy", group_size=group_size, episodes_per_env=2)
    options = {"env_id": TINY, "policy": LM, "num_envs": 8, "total_steps": 150}
    result = train(config(tmp_path / "x", **options), algorithm)
    assert len(seen) > 1 and result.steps == sum(num_steps for _, num_steps in seen)
    assert len({episode.greedy_return for episodes, _ in seen for episode in episodes}) > 1


def test_an_update_after_greedy_rollouts_takes_over_what_was_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = Reinforce.update

    def refuse(*_: Any) -> torch.Tensor:
        raise AssertionError("a layer's product was computed")

    def watched(self: Reinforce, episodes: Sequence[Episode], **kwargs: Any) -> dict[str, float]:
        assert isinstance(self.policy, CausalLMPolicy)
        assert self.policy._contexts.head_is_last  # It asks the model once.
        with monkeypatch.context() as patch:
            patch.setattr(Conv1D, "forward", refuse)
            return update(self, episodes, **kwargs)

    monkeypatch.setattr(Reinforce, "update", watched)
    options = {"env_id": TINY, "policy": LM, "num_envs": 8, "total_steps": 60}
    train(config(tmp_path / "x", **options), ReinforceConfig(baseline="greedy", group_size=2))


def test_a_run_leaves_its_results(tmp_path: Path) -> None:
    result = small_run(tmp_path / "run", eval_interval=2, eval_episodes=6, tensorboard=True)
    assert not result.interrupted
    assert result.steps >= 200
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["metrics"] == result.metrics
    assert metrics["checkpoint"] == result.checkpoint.name
    low, mean, high = (result.metrics[f"eval_return_{end}"] for end in ("low", "mean", "high"))
    assert 0 < low < mean < high
    rows = read_rows(tmp_path / "run/log.jsonl")
    assert rows[0].keys() >= {"iteration", "steps", "eval_return_mean"}
    assert rows[-1]["steps"] == result.steps
    assert (tmp_path / "run/curve.png").read_bytes().startswith(b"\x89PNG")
    events = list((tmp_path / "run/tensorboard").iterdir())
    assert len(events) == 1
    assert b"return_mean" in events[0].read_bytes()
    assert not list((tmp_path / "run").rglob(".*"))


def test_same_seed_same_run_and_another_seed_another(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        small_run(tmp_path / name, seed=seed)
    assert rows_without_time(tmp_path / "a") == rows_without_time(tmp_path / "b")
    assert rows_without_time(tmp_path / "a") != rows_without_time(tmp_path / "c")


def test_target_return_stops_the_run(tmp_path: Path) -> None:
    assert small_run(tmp_path / "a", target_return=1.0).iteration == 1
    reached = small_run(tmp_path / "b", target_return=1.0, eval_interval=1, eval_episodes=4)
    assert reached.iteration == 0


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        (MaximumLikelihoodConfig(), "mle's batches are the expert's"),
        (PPOConfig(steps_per_env=64), "steps_per_env 64 cuts episodes"),
    ],
)
def test_a_target_needs_evaluations_where_batches_do_not_show_the_policy(
    algorithm: Any, message: str, tmp_path: Path
) -> None:
    options = {"env_id": TINY, "policy": PolicyConfig(kind="mlp"), "target_return": 0.9}
    options["env_kwargs"] = {"demonstrations": True}
    with pytest.raises(ValueError, match=f"target_return needs eval_interval: {message}"):
        train(config(tmp_path / "run", **options), algorithm)
    assert not (tmp_path / "run").exists()
    options |= {"eval_interval": 1, "eval_episodes": 4, "total_steps": 50}
    row = train(config(tmp_path / "run", **options), algorithm).metrics
    assert row["eval_return_mean"] < 0.9


def test_a_row_is_of_the_episodes_that_came_to_their_end(tmp_path: Path) -> None:
    """MountainCar's, of 200 steps, do not; of CartPole's, some do."""
    algorithm = PPOConfig(steps_per_env=40)
    row = train(config(tmp_path / "a", env_id="MountainCar-v0", total_steps=1), algorithm).metrics
    assert row["episodes"] == 0 and "return_mean" not in row
    row = train(config(tmp_path / "b", total_steps=1), algorithm).metrics
    assert row["episodes"] > 0 and row["return_mean"] == row["length_mean"] < 40


class Namesake(gym.Env[Any, Any]):
    """One step of reward 1; its info has numbers of the names that a run's own have."""

    observation_space = gym.spaces.Box(0, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        names = ("iteration", "steps", "episodes", "return_mean", "length_mean", "loss", "apples")
        return np.zeros(1, np.float32), 1.0, True, False, dict.fromkeys(names, 99.5)


def test_an_info_does_not_take_the_place_of_a_runs_numbers(tmp_path: Path) -> None:
    gym.register("Namesake-v0", Namesake)
    options = {"env_id": "Namesake-v0", "total_steps": 8, "eval_interval": 2, "eval_episodes": 4}
    row = train(config(tmp_path / "run", **options), ReinforceConfig()).metrics
    own = [row[name] for name in ("iteration", "steps", "episodes", "return_mean", "length_mean")]
    assert own == [2, 8, 4, 1, 1]
    assert row["loss"] != 99.5 and row["eval_return_mean"] == 1 and row["apples"] == 99.5


def test_paths_may_be_strings_and_numbers_numpys(tmp_path: Path) -> None:
    options: dict[str, Any] = {"total_steps": 20, "num_envs": 2, "seed": np.int64(3)}
    algorithm = ReinforceConfig(learning_rate=np.float32(1e-3))  # type: ignore[arg-type]
    given = {"env_id": "CartPole-v1", "env_kwargs": {"sutton_barto_reward": np.bool_(True)}}
    for name, init in (("a", None), ("b", str(tmp_path / "a"))):
        output: Any = str(tmp_path / name)
        train(config(output, init=init, policy=PolicyConfig(), **options, **given), algorithm)
    saved = read_state(find_checkpoint(str(tmp_path / "b")))
    assert saved.train_config["env_kwargs"] == {"sutton_barto_reward": True}
    assert saved.algorithm_config["learning_rate"] == pytest.approx(1e-3)
    load_checkpoint_policy(str(tmp_path / "b"))


def test_a_resumed_run_may_truncate_prompts_and_names_what_differs(tmp_path: Path) -> None:
    options: dict[str, Any] = {"env_id": TINY, "policy": PolicyConfig(kind="mlp")}
    learner = ReinforceConfig()
    train(config(tmp_path / "run", total_steps=10, **options), learner)
    again = {"total_steps": 40, "resume": True, **options}
    for wrong, message in (
        ({"policy": PolicyConfig(kind="mlp", top_k=3)}, r"policy\.top_k = 0, asked for is 3;"),
        ({"env_kwargs": {"gamma": 0.5}}, r"env_kwargs\.gamma = nothing, asked for is 0\.5;"),
        ({"env_kwargs": {"level": None}}, r"env_kwargs\.level = nothing, asked for is None;"),
        ({"env_kwargs": {"task_kwargs": {}}}, r"env_kwargs\.task_kwargs = nothing, asked"),
    ):
        with pytest.raises(ValueError, match=f"the run to resume has {message}"):
            train(config(tmp_path / "run", **{**again, **wrong}), learner)
    cut = {"env_kwargs": {"prompt_overflow": "truncate"}}
    assert train(config(tmp_path / "run", **again, **cut), learner).steps >= 40


def test_the_last_evaluation_is_in_the_log(tmp_path: Path) -> None:
    """Also where the limit of time ends the run, which is not before its first iteration."""
    options = {"eval_interval": 1000, "eval_episodes": 2}
    for name, limit in (
        ("steps", {"total_steps": 100}),
        ("seconds", {"max_seconds": 1e-9, "total_steps": 10**6}),
    ):
        result = train(config(tmp_path / name, **options, **limit), ReinforceConfig())
        rows = read_rows(tmp_path / name / "log.jsonl")
        assert result.iteration >= 1 and len(rows) == result.iteration + 1
        evaluated = [row["iteration"] for row in rows if "eval_return_mean" in row]
        assert evaluated == [0, result.iteration]
        assert rows[-1]["eval_return_mean"] == result.metrics["eval_return_mean"]


def test_a_batch_beyond_the_last_step_is_learned_from(tmp_path: Path) -> None:
    """At the step size of its middle, though the schedule is to end within it."""
    algorithm = ReinforceConfig(schedule="linear", learning_rate=0.01)
    row = train(config(tmp_path / "run", total_steps=2), algorithm).metrics
    assert row["iteration"] == 1 and row["learning_rate"] == pytest.approx(0.005)


def test_the_limit_of_time_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1,000 seconds, each iteration takes 300 here."""
    iterate = training.iterate

    def slow(run: Any) -> dict[str, float]:
        run.started -= 300.0
        return iterate(run)

    monkeypatch.setattr(training, "iterate", slow)
    result = small_run(tmp_path, total_steps=1_000_000, max_seconds=1000.0)
    assert (result.iteration, result.interrupted) == (4, False)


def test_warm_start_takes_the_policy_and_the_new_sampling(tmp_path: Path) -> None:
    first = small_run(tmp_path / "first")
    policy = PolicyConfig(hidden_sizes=(3,), temperature=0.5)
    second = train(
        config(tmp_path / "second", total_steps=1, init=first.output, policy=policy, seed=9),
        ReinforceConfig(learning_rate=1e-12),
    )
    expected = load_file(first.checkpoint / "policy.safetensors")
    for name, tensor in load_file(second.checkpoint / "policy.safetensors").items():
        assert_allclose(tensor, expected[name], atol=1e-9)
    state = json.loads((second.checkpoint / "state.json").read_text())
    assert state["policy"]["temperature"] == 0.5
    assert state["policy"]["hidden_sizes"] == [8]


def test_warm_start_from_another_environments_policy_is_refused(tmp_path: Path) -> None:
    first = small_run(tmp_path / "first")
    with pytest.raises(ValueError, match=r"action space Discrete\(2\)"):
        small_run(tmp_path / "second", env_id="Acrobot-v1", init=first.output)


def test_an_existing_run_is_not_overwritten(tmp_path: Path) -> None:
    small_run(tmp_path / "run")
    with pytest.raises(FileExistsError, match="already has a training run"):
        small_run(tmp_path / "run")


def test_resume_needs_the_same_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        small_run(tmp_path / "run", resume=True)
    small_run(tmp_path / "run")
    with pytest.raises(ValueError, match="seed = 0, asked for is 5"):
        small_run(tmp_path / "run", resume=True, seed=5)
    with pytest.raises(ValueError, match=r"gamma = 1\.0, asked for is 0\.5"):
        train(config(tmp_path / "run", resume=True), ReinforceConfig(gamma=0.5))
    again = small_run(tmp_path / "run", resume=True)
    assert again.metrics == read_rows(tmp_path / "run/log.jsonl")[-1]
    longer = small_run(tmp_path / "run", resume=True, total_steps=400)
    assert longer.steps >= 400


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"num_envs": 0}, ValueError, "num_envs must be at least 1"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"env_id": "CartPoll-v1"}, gym.error.NameNotFound, "CartPole"),
        ({"env_kwargs": {"wheels": 4}}, ValueError, "wheels"),
        ({"device": "cuda:99"}, ValueError, "device 'cuda:99' cannot be used"),
        ({"device": "abacus"}, ValueError, "abacus"),
        ({"policy": PolicyConfig(temperature=0.0)}, ValueError, "temperature must be positive"),
        ({"policy": PolicyConfig(layers=7)}, ValueError, "layers=7 is for language models"),
        ({"policy": PolicyConfig(model="gpt2")}, ValueError, "model='gpt2' is for language models"),
        (
            {"env_id": TINY, "policy": PolicyConfig(model="bundled", width=512, heads=8)},
            ValueError,
            "model 'bundled' has sizes of its own, so heads 8, width 512 cannot",
        ),
        (
            {"env_id": TINY, "policy": PolicyConfig(hidden_sizes=(8,))},
            ValueError,
            r"hidden_sizes=\(8,\) is for policy mlp; a fresh language model has layers, heads",
        ),
        ({"target_return": float("nan")}, ValueError, "target_return must be finite"),
        ({"num_envs": 1}, ValueError, "batch_mean.* must be 2 or more, got 1"),
    ],
)
def test_wrong_configurations_are_named(
    wrong: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        small_run(tmp_path / "run", **wrong)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ReinforceConfig(entropy_coef=float("inf")), "entropy_coef must be finite"),
        (lambda: ReinforceConfig(learning_rate=float("inf")), "learning_rate must be finite"),
        (lambda: PolicyConfig(critic="own"), 'critic must be one of "shared", "separate", got'),
        (lambda: PolicyConfig(lora_targets=("c_attn",)), "c_attn need a lora_rank above 0"),
        (lambda: PolicyConfig(layers=0), "layers must be at least 1, got 0"),
        (lambda: PolicyConfig(heads=-1), "heads must be at least 1"),
        (lambda: PolicyConfig(width=0), "width must be at least 1"),
        (lambda: PolicyConfig(hidden_sizes=(8, 0)), r"hidden_sizes\[1\] must be at least 1"),
    ],
)
def test_values_out_of_range_are_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_one_environment_is_enough_with_another_baseline(tmp_path: Path) -> None:
    for name, algorithm in (
        ("none", ReinforceConfig(baseline="none")),
        ("episodes", ReinforceConfig(episodes_per_env=2)),
    ):
        assert train(config(tmp_path / name, num_envs=1, total_steps=1), algorithm).iteration == 1


@pytest.mark.parametrize("longer", ["env_kwargs", "eval_env_kwargs"])
def test_contexts_longer_than_the_model_are_refused_before_anything_is_written(
    longer: str, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"env_id": TINY, "policy": LM, "total_steps": 1}
    first = small_run(tmp_path / "first", **options)
    kwargs = {longer: {"max_prompt_tokens": 50}, "eval_interval": 1}
    with pytest.raises(ValueError, match=r"exceeds the model's max_position_embeddings="):
        small_run(tmp_path / "second", init=first.output, **options, **kwargs)
    assert not (tmp_path / "second").exists()


def test_run_that_died_before_its_first_step_goes_on_or_starts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"eval_interval": 5, "eval_episodes": 4}
    whole = small_run(tmp_path / "whole", **options)

    def dying(run: Any) -> dict[str, float]:
        raise FloatingPointError("killed")

    for name, resume in (("resumed", True), ("anew", False)):
        with monkeypatch.context() as patch:
            patch.setattr(training, "iterate", dying)
            with pytest.raises(FloatingPointError, match="killed"):
                small_run(tmp_path / name, **options)
        assert find_checkpoint(tmp_path / name).name == "iteration-00000000"
        assert small_run(tmp_path / name, resume=resume, **options).steps == whole.steps
        assert rows_without_time(tmp_path / name) == rows_without_time(tmp_path / "whole")


def test_training_leaves_the_random_state_alone_and_forks_the_policys_device_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forked: list[Any] = []
    fork_rng = torch.random.fork_rng

    def spy(*, devices: Any) -> Any:
        forked.append(devices)
        return fork_rng(devices=devices)

    monkeypatch.setattr(torch.random, "fork_rng", spy)
    before = torch.get_rng_state()
    small_run(tmp_path / "run", total_steps=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert forked and all(devices == [] for devices in forked)


def test_the_curve_of_evaluations_is_named_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.axes import Axes

    labels: list[str] = []
    plot = Axes.plot

    def spy(axes: Axes, *points: Any, label: str, **kwargs: Any) -> Any:
        labels.append(label)
        return plot(axes, *points, label=label, **kwargs)

    monkeypatch.setattr(Axes, "plot", spy)
    rows = [{"steps": 1, "return_mean": 0.5, "eval_return_mean": 0.25}]
    save_learning_curve(rows, tmp_path / "curve.png", "title")
    assert labels == ["training", "evaluation"]


def test_groups_must_divide_the_environments(tmp_path: Path) -> None:
    algorithm = ReinforceConfig(baseline="leave_one_out", group_size=3)
    with pytest.raises(ValueError, match="group_size 3 does not divide num_envs 4"):
        train(config(tmp_path / "run"), algorithm)


def test_cloning_fits_the_models_own_distribution(tmp_path: Path) -> None:
    policy = replace(LM, top_k=2)
    with pytest.raises(ValueError, match="mle fits the model's own distribution"):
        train(config(tmp_path / "run", env_id=TINY, policy=policy), MaximumLikelihoodConfig())


def test_threads_are_restored(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    small_run(tmp_path / "run", total_steps=1, threads=before + 1)
    assert torch.get_num_threads() == before


def test_seeds_follow_from_seed_and_iteration() -> None:
    seeds = iteration_seeds(5, 3, 6, group_size=2)
    assert seeds == iteration_seeds(5, 3, 6, group_size=2)
    assert seeds.slots[::2] == seeds.slots[1::2]
    assert len(set(seeds.slots)) == 3
    drawn = {s for k in range(50) for s in iteration_seeds(5, k, 8).slots}
    assert len(drawn) == 50 * 8
    with pytest.raises(ValueError, match="seed must be 0 or more"):
        iteration_seeds(-1, 0, 1)


def test_evaluation_is_reproducible_and_keeps_the_policy() -> None:
    envs = make_envs("CartPole-v1", 3)
    policy = MLPPolicy.from_env(envs, hidden_sizes=(8,))
    before = [p.detach().clone() for p in policy.parameters()]
    first = evaluate(envs, policy, num_episodes=7, seed=1)
    second = evaluate(envs, policy, num_episodes=7, seed=1)
    other = evaluate(envs, policy, num_episodes=7, seed=2)
    envs.close()
    assert first.returns == second.returns != other.returns
    assert first.returns.count == len(first.episodes) == 7
    returns = [episode.total_reward for episode in first.episodes]
    assert first.returns.mean == pytest.approx(np.mean(returns))
    assert all(torch.equal(p, b) for p, b in zip(policy.parameters(), before, strict=True))


def test_policies_are_compared_by_common_random_numbers() -> None:
    """Every episode begins with the draws that another policy's has, however long those before."""
    envs = make_envs("textgym:textgym/Story-v0", 16, {"level": "easy"})
    policy = build_policy(describe_policy(PolicyConfig(), envs))
    texts = []
    for temperature in (1.0, 0.8):
        policy.sampling = Sampling(temperature=temperature)
        episodes = evaluate(envs, policy, num_episodes=96, seed=3).episodes
        texts.append([tuple(episode.actions.tolist()) for episode in episodes])
    same = [warm[:3] == cold[:3] for warm, cold in zip(*texts, strict=True)]
    assert np.mean(same[16:]) > 0.5  # Of independent draws, as after other lengths, one in ten.
    assert len(set(texts[0])) == 96  # No draws come twice.


@pytest.mark.parametrize("best_of", [1, 2])
def test_a_file_is_evaluated_row_by_row(best_of: int) -> None:
    rows = [{"prompt": f"p {i}", "reference": f"r {i}", "split": "test"} for i in range(30)]
    options: dict[str, Any] = {"task": rows, "split": "test", "max_new_tokens": 3}
    envs = make_envs("textgym:textgym/Text-v0", 8, options)
    description = describe_policy(PolicyConfig(layers=1, heads=2, width=16), envs)
    policy = build_policy(description)

    def times(number: int, **kwargs: Any) -> Counter[int]:
        result = evaluate(envs, policy, num_episodes=number, best_of=best_of, **kwargs)
        return Counter(episode.info["example"] for episode in result.episodes)

    assert set(times(13).values()) == {1} and len(times(13)) == 13
    assert times(13) != times(13, seed=1)
    assert times(30) == times(1000, deterministic=True) == Counter(range(30))
    assert set(times(70).values()) == {2, 3} and len(times(70)) == 30


def test_the_best_of_several_tries_counts() -> None:
    envs = make_envs("textgym:textgym/Copy-v0", 6)
    policy = MLPPolicy.from_env(envs, hidden_sizes=(8,))
    result = evaluate(envs, policy, num_episodes=40, seed=1, best_of=3)
    tries = []
    for wave in range(20):
        seeds = iteration_seeds(1, 0, 6, 3, wave)
        tries += collect(envs, policy, seeds=seeds.slots, generator=seeds.generator())
    with pytest.raises(ValueError, match="best_of 4 does not divide the 6 environments"):
        evaluate(envs, policy, num_episodes=1, best_of=4)
    envs.close()
    returns = np.array([episode.total_reward for episode in tries]).reshape(40, 3)
    assert [e.total_reward for e in result.episodes] == returns.max(axis=1).tolist()
    prompts = [episode.info["prompt"] for episode in tries]
    assert [e.info["prompt"] for e in result.episodes] == prompts[::3]
    assert result.returns.mean > returns.mean()


def test_evaluation_estimates_the_scores_of_texts() -> None:
    envs = make_envs(TINY, 4)
    policy = MLPPolicy.from_env(envs, hidden_sizes=(8,))
    result = evaluate(envs, policy, num_episodes=10)
    envs.close()
    assert result.scores["score"] == result.scores["token_accuracy"]
    assert result.row("eval_")["eval_score"] == pytest.approx(result.returns.mean)
    assert "example" not in result.scores
    assert all(isinstance(episode.info["text"], str) for episode in result.episodes)


def test_estimate_by_hand() -> None:
    estimate = Estimate.of([1.0, 2.0, 3.0, 6.0])
    assert (estimate.mean, estimate.count) == (3.0, 4)
    assert estimate.std == pytest.approx((14 / 3) ** 0.5)
    assert estimate.high - estimate.mean == pytest.approx(3.1824 * (14 / 3) ** 0.5 / 2, rel=0.002)
    assert Estimate.of([2.0]) == Estimate(2.0, 0.0, 2.0, 2.0, 1)


@pytest.mark.parametrize(
    ("count", "quantile"),
    [
        (2, 12.7062),
        (3, 4.3027),
        (4, 3.1824),
        (5, 2.7764),
        (6, 2.5706),
        (11, 2.2281),
        (4001, 1.9605),
    ],
)
def test_interval_of_few_values_is_students(count: int, quantile: float) -> None:
    """Against the printed table of the t distribution."""
    values = [float(i % 3) for i in range(count)]
    estimate = Estimate.of(values)
    standard_error = estimate.std / count**0.5
    assert estimate.high - estimate.mean == pytest.approx(quantile * standard_error, rel=0.002)


def test_log_that_was_cut_in_a_line_is_read_up_to_it(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"iteration": 1, "steps": 5}\n{"iteration": 2, "st')
    assert read_rows(path) == [{"iteration": 1, "steps": 5}]
    path.write_text('{"iteration": 1}\nnonsense\n')
    with pytest.raises(ValueError, match=r"log\.jsonl, line 2"):
        read_rows(path)


def test_log_lines_are_on_disk_at_once(tmp_path: Path) -> None:
    logger = JsonLinesLogger(tmp_path / "log.jsonl")
    logger.log({"iteration": 1, "steps": 5})
    assert read_rows(tmp_path / "log.jsonl") == [{"iteration": 1, "steps": 5}]
    logger.close()


def test_console_prints_now_and_then_off_a_terminal() -> None:
    from rich.console import Console

    console = Console(file=open(os.devnull, "w"), record=True, width=200)  # noqa: SIM115, PTH123
    logger = ConsoleLogger(100, console, seconds_between=3600)
    for iteration in (1, 2, 3):
        logger.log({"iteration": iteration, "steps": 50 * (iteration - 1), "return_mean": 7.5})
    logger.close()
    console.file.close()
    lines = console.export_text().splitlines()
    assert lines == [
        "iteration 1  steps 0  return_mean 7.5",
        "iteration 3  steps 100  return_mean 7.5",
    ]


def test_second_signal_stops_at_once() -> None:
    with interruptible() as interruption:
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_training_in_a_thread_leaves_signals_alone(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(small_run, tmp_path / "run").result()
    assert result.steps >= 200


def brevity(text: str, example: object) -> float:
    return 1.0 / (1.0 + len(text.split()))


def test_arguments_that_are_no_json_are_recorded_by_name(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "env_id": TINY,
        "env_kwargs": {"reward": brevity},
        "policy": PolicyConfig(),
    }
    small_run(tmp_path / "run", total_steps=20, **options)
    saved = json.loads((tmp_path / "run/config.json").read_text())
    assert saved["env_kwargs"]["reward"].endswith("test_train:brevity")
    checkpoint = find_checkpoint(tmp_path / "run")
    recorded = read_state(checkpoint).train_config["env_kwargs"]["reward"]
    envs = make_envs(TINY, 2, {"reward": recorded})  # As an evaluation of the run makes it.
    result = evaluate(envs, load_checkpoint_policy(tmp_path / "run"), num_episodes=2)
    assert result.scores["brevity"].mean == pytest.approx(result.returns.mean)
    assert small_run(tmp_path / "run", total_steps=40, resume=True, **options).steps >= 40
    other = {**options, "env_kwargs": {"reward": "exact_match"}}
    with pytest.raises(ValueError, match="env_kwargs"):
        small_run(tmp_path / "run", total_steps=60, resume=True, **other)
