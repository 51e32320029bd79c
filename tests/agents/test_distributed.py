"""Two processes, launched once for the whole file: this file is also what they run."""

from __future__ import annotations

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from safetensors.torch import load_file
from torch.distributed.tensor import DTensor

from textgym_agents import train as training
from textgym_agents.algorithms import ALGORITHMS, A2CConfig, Algorithm, ReinforceConfig
from textgym_agents.checkpoint import find_checkpoint, read_state
from textgym_agents.distributed import LAUNCH, Processes, join_processes, sum_gradients
from textgym_agents.loggers import TIME_COLUMNS, read_rows
from textgym_agents.policies import Contexts, Episode, Policy
from textgym_agents.policies.construction import PolicyConfig, build_policy, describe_policy
from textgym_agents.rollout import collect
from textgym_agents.runs.config import TrainConfig
from textgym_agents.runs.environments import make_envs
from textgym_agents.runs.seeding import iteration_seeds
from textgym_agents.shares import divide
from textgym_agents.train import train

ROOT = Path(__file__).parents[2]
TINY, CARTPOLE = "textgym:textgym/Tiny-v0", "CartPole-v1"
LEARNED = ReinforceConfig(baseline="learned")
NUM_ENVS, GROUP = 8, 2
POLICIES = {
    TINY: PolicyConfig(kind="causal_lm", layers=1, heads=2, width=16),
    CARTPOLE: PolicyConfig(hidden_sizes=(8,)),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "reinforce": {
        "baseline": "learned",
        "entropy_coef": 0.1,
        "normalize_advantages": True,
        "normalize_values": True,
    },
    "mle": {"weight_decay": 0.1},
    "ppo": {
        "kl_coef": 0.1,
        "num_minibatches": 2,
        "num_epochs": 2,
        "normalize_values": True,
        "value_learning_rate": 1e-3,
    },
    "trpo": {"entropy_coef": 0.1, "normalize_values": True},
    "grpo": {"kl_coef": 0.1, "num_minibatches": 2, "num_epochs": 2},
    "rloo": {"kl_coef": 0.1, "num_minibatches": 2, "num_epochs": 2},
    "nlpo": {"mask_interval": 1, "mask_top_p": 0.7, "kl_coef": 0.1},
}
CASES = [(name, env) for name in ALGORITHMS for env in POLICIES if (name, env) != ("mle", CARTPOLE)]


SINGLE = {
    "decoder": POLICIES[TINY],
    "adapter": PolicyConfig(kind="causal_lm", layers=1, heads=2, width=16, lora_rank=2),
    "critic": PolicyConfig(kind="causal_lm", layers=1, heads=2, width=16, critic="separate"),
    "encoder": PolicyConfig(kind="seq2seq", layers=1, heads=2, width=16),
}
"""Language models whose gradients are compared in single precision."""


TRPO_BATCHES = [(0, 8), (1, 8), (0, 1), (1, 3)]
"""Tokens of a pass, at least one episode's, and episodes: in one pass, several, with no share."""


def learner_and_batch(
    name: str,
    env_id: str,
    processes: Processes,
    policy_config: PolicyConfig | None = None,
    dtype: torch.dtype = torch.float64,
    max_tokens: int = 24,
) -> tuple[Any, list[Episode]]:
    """An algorithm whose policy the processes share, and a batch that all of them have."""
    learner_class, config_class = ALGORITHMS[name]
    config: Any = config_class(
        group_size=GROUP, max_tokens_per_pass=max_tokens, **OPTIONS.get(name, {})
    )
    demonstrations = {"demonstrations": True} if name == "mle" else {}
    envs = make_envs(env_id, NUM_ENVS, demonstrations)
    # Process 0's is to hold.
    policy = fresh_policy(env_id, envs, processes.index, policy_config, dtype)
    learner = learner_class(processes.share(policy), config)
    seeds = iteration_seeds(0, 1, NUM_ENVS, GROUP)
    batch = collect(
        envs,
        learner.acting(processes.whole(learner.policy)),
        seeds=seeds.slots,
        generator=seeds.generator(),
        follow_expert=learner.follows_expert,
    )
    return learner, batch


def fresh_policy(
    env_id: str,
    envs: Any,
    seed: int = 0,
    policy_config: PolicyConfig | None = None,
    dtype: torch.dtype = torch.float64,
) -> Policy:
    """A language model in double precision: Adam makes a step of its gradients of almost 0."""
    policy = build_policy(describe_policy(policy_config or POLICIES[env_id], envs, seed))
    return policy.to(dtype) if env_id == TINY else policy


def trpo_update(processes: Processes, max_tokens: int, size: int) -> dict[str, Any]:
    """Of a language model by some episodes."""
    learner, batch = learner_and_batch("trpo", TINY, processes, max_tokens=max_tokens)
    return update(learner, batch[:size])


def single_gradients(processes: Processes, name: str) -> dict[str, torch.Tensor]:
    """Of PPO's loss, for one of `SINGLE` whose weights have left where they begin."""
    learner, batch = learner_and_batch("ppo", TINY, processes, SINGLE[name], torch.float32)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in learner.policy.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    learner.gradients(batch)
    sum_gradients(learner.policy)
    named = learner.policy.named_parameters()
    return {key: p.grad.clone() for key, p in named if p.grad is not None}


def moments_of(optimizer: Any) -> dict[int, dict[str, torch.Tensor]]:
    """What the optimizer keeps here of each parameter; of a sharded one, all in process 0."""
    if hasattr(optimizer, "consolidate_state_dict"):
        optimizer.consolidate_state_dict(to=0)
        if torch.distributed.get_rank():
            optimizer = getattr(optimizer, "optim", optimizer)
    return {
        index: {k: v.to_local() if isinstance(v, DTensor) else v for k, v in entry.items()}
        for index, entry in optimizer.state_dict()["state"].items()
    }


def update(learner: Algorithm[Any], batch: list[Episode]) -> dict[str, Any]:
    """What two updates make of the metrics and the weights, the optimizer's moments too."""
    rows = [learner.update(batch, 0.5, np.random.default_rng(k)) for k in range(2)]
    moments = {
        f"{index}.{key}": value
        for index, entry in moments_of(learner.optimizer).items()
        for key, value in entry.items()
    }
    weights = {name: tensor.clone() for name, tensor in learner.policy.state_dict().items()}
    return {"rows": rows, "weights": weights, "moments": moments, "state": learner.state()}


def config(output: Path, **kwargs: Any) -> TrainConfig:
    base: dict[str, Any] = {
        "env_id": CARTPOLE,
        "output": output,
        "num_envs": 4,
        "total_steps": 1_000_000,
        "policy": POLICIES[CARTPOLE],
        "eval_interval": 2,
        "eval_episodes": 4,
    }
    return TrainConfig(**{**base, **kwargs})


def work(output: Path) -> None:
    """One of the two processes."""
    processes = join_processes("cpu")
    results: dict[Any, Any] = {}
    for name, env_id in CASES:
        results[name, env_id] = update(*learner_and_batch(name, env_id, processes))
    for max_tokens, size in TRPO_BATCHES:
        results["trpo", max_tokens, size] = trpo_update(processes, max_tokens, size)
    for name in SINGLE:
        results["single", name] = single_gradients(processes, name)
    sharded = replace(processes, shard=True)
    results["sharded"] = update(*learner_and_batch("ppo", TINY, sharded))
    collected = rollouts(output / "rollout")
    shard: dict[str, Any] = {"shard_optimizer": True}
    going_on: dict[str, Any] = {"algorithm": A2CConfig(steps_per_env=3), "resets_every": 3}
    runs = {
        "sharded whole": run_until(4, output / "sharded whole", **shard),
        "sharded half": run_until(2, output / "sharded halves", **shard),
        "sharded halves": run_until(4, output / "sharded halves", resume=True, **shard),
        "whole": run_until(4, output / "whole"),
        "half": run_until(2, output / "halves"),
        "halves": run_until(4, output / "halves", resume=True),
        "going on whole": run_until(4, output / "going on whole", **going_on),
        "going on half": run_until(2, output / "going on halves", **going_on),
        "going on halves": run_until(4, output / "going on halves", resume=True, **going_on),
    }
    errors(processes, output)
    results |= {"collected": collected, "runs": runs}
    with (output / f"process-{processes.index}.pickle").open("wb") as file:
        pickle.dump(results, file)


def run_until(
    iteration: int, output: Path, algorithm: Any = LEARNED, **kwargs: Any
) -> tuple[int, int, bool]:
    """Train until the second process alone gets SIGINT, as the given iteration begins."""
    iterate = training.iterate

    def interrupted(run: Any) -> dict[str, float]:
        if run.iteration + 1 == iteration and run.processes.index == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return iterate(run)

    training.iterate = interrupted
    result = train(config(output, **kwargs), algorithm)
    training.iterate = iterate
    return result.iteration, result.steps, result.interrupted


def rollouts(output: Path) -> list[Episode]:
    """The batch of the first iteration of a run."""
    batches: list[list[Episode]] = []
    gather = training.gather

    def noted(run: Any) -> tuple[list[Episode], list[Episode], int]:
        gathered = gather(run)
        batches.append(gathered[0])
        return gathered

    training.gather = noted
    algorithm = ReinforceConfig(group_size=2, episodes_per_env=2, baseline="leave_one_out")
    options = {"env_id": TINY, "policy": POLICIES[TINY], "total_steps": 1, "num_envs": 8}
    train(config(output, **options), algorithm)
    training.gather = gather
    return batches[0]


def errors(processes: Processes, output: Path) -> None:
    """What two processes refuse."""
    with pytest.raises(ValueError, match="num_envs must be a multiple of 2"):
        train(config(output / "none", num_envs=3), ReinforceConfig())
    with pytest.raises(ValueError, match="num_envs must be a multiple of 4"):
        train(config(output / "none", num_envs=6), ReinforceConfig(group_size=2))
    with pytest.raises(ValueError, match='name it "cpu"'):
        train(config(output / "none", device="cpu:0"), ReinforceConfig())
    envs = make_envs(CARTPOLE, 2)
    policy = processes.share(fresh_policy(CARTPOLE, envs))
    processes.check_equal(policy)
    next(policy.parameters()).data[0] += processes.index * 1e-6
    with pytest.raises(RuntimeError, match="different weights"):
        processes.check_equal(policy)


# The tests, in one process.


def launched(*arguments: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run ``torchrun`` with two processes to its end."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.run(
        [*command, "--nproc-per-node", "2", *map(str, arguments)],
        env=environment(),
        text=True,
        capture_output=True,
        timeout=timeout,
    )


def environment() -> dict[str, str]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "agents")])
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the two processes have left what they did."""
    folder = tmp_path_factory.mktemp("processes")
    ended = launched(__file__, folder)
    assert ended.returncode == 0, ended.stderr
    return folder


@pytest.fixture(scope="module")
def results(output: Path) -> list[dict[Any, Any]]:
    """What each of the two processes found."""
    return [pickle.loads((output / f"process-{i}.pickle").read_bytes()) for i in range(2)]


@pytest.mark.parametrize(("name", "env_id"), CASES)
def test_update_of_two_processes_equals_that_of_one(
    name: str, env_id: str, results: list[dict[Any, Any]]
) -> None:
    one = update(*learner_and_batch(name, env_id, Processes()))
    assert_as_of_one(one, *(found[name, env_id] for found in results))


@pytest.mark.parametrize(("max_tokens", "size"), TRPO_BATCHES)
def test_trpo_in_one_pass_or_several_with_shares_or_none(
    max_tokens: int, size: int, results: list[dict[Any, Any]]
) -> None:
    one = trpo_update(Processes(), max_tokens, size)
    assert_as_of_one(one, *(found["trpo", max_tokens, size] for found in results))
    assert any(row["step_share"] > 0 for row in one["rows"])


def assert_as_of_one(one: dict[str, Any], first: dict[str, Any], second: dict[str, Any]) -> None:
    """What `update` gives is the same in both processes, and to 1e-5 what it is in one."""
    for part in ("weights", "moments", "state"):
        assert one[part].keys() == first[part].keys() == second[part].keys()
        for key, tensor in one[part].items():
            assert torch.equal(first[part][key], second[part][key]), key
            assert_allclose(first[part][key], tensor, atol=1e-5, rtol=0, err_msg=key)
    assert first["rows"] == second["rows"]
    for row, expected in zip(first["rows"], one["rows"], strict=True):
        assert row.keys() == expected.keys()
        for key, value in expected.items():
            assert row[key] == pytest.approx(value, abs=1e-5, rel=1e-5), key


@pytest.mark.parametrize("name", list(SINGLE))
def test_gradients_in_single_precision_are_those_of_one_process(
    name: str, results: list[dict[Any, Any]]
) -> None:
    one = single_gradients(Processes(), name)
    first, second = (found["single", name] for found in results)
    assert one.keys() == first.keys() == second.keys()
    assert max(float(gradient.abs().max()) for gradient in one.values()) > 1e-2
    for key, gradient in one.items():
        assert torch.equal(first[key], second[key]), key
        assert_allclose(first[key], gradient, atol=1e-5, rtol=0, err_msg=key)


def test_the_episodes_are_those_that_one_process_would_begin(
    results: list[dict[Any, Any]], tmp_path: Path
) -> None:
    first, second = (found["collected"] for found in results)
    one = rollouts(tmp_path)
    assert len(first) == len(second) == len(one) == 16
    for episode, same, alone in zip(first, second, one, strict=True):
        assert episode.slot == same.slot == alone.slot
        assert_array_equal(episode.actions, same.actions)
        assert_array_equal(prompt(episode), prompt(alone))
        assert episode.action_masks is first[0].action_masks
    together = [[a.group == b.group for a in batch for b in batch] for batch in (first, one)]
    assert together[0] == together[1]
    # Each process draws its own actions.
    half = len(one) // 2
    assert actions(first[:half]) != actions(first[half:])


def test_generators_differ_by_process_and_the_first_has_the_one_of_a_single_process() -> None:
    seeds = iteration_seeds(3, 1, 4)
    states = [seeds.generator("cpu", process).initial_seed() for process in range(4)]
    assert states[0] == seeds.generator().initial_seed()
    assert len(set(states)) == 4


def test_one_process_keeps_the_records_and_a_signal_to_any_stops_all(
    output: Path, results: list[dict[Any, Any]]
) -> None:
    first, second = (found["runs"] for found in results)
    assert first == second
    assert [first[name][0] for name in ("whole", "half", "halves")] == [4, 2, 4]
    assert all(interrupted for _, _, interrupted in first.values())
    assert [row["iteration"] for row in read_rows(output / "halves/log.jsonl")] == [0, 1, 2, 3, 4]
    names = [path.name for path in sorted((output / "whole/checkpoints").iterdir())]
    assert names == ["iteration-00000000", "iteration-00000004", "latest"]
    assert len(list((output / "whole/tensorboard").iterdir())) == 1
    state = read_state(output / "whole/checkpoints/iteration-00000004")
    assert state.train_config["processes"] == 2
    assert state.steps == first["whole"][1]


def test_each_of_two_processes_keeps_moments_of_its_share_alone(
    results: list[dict[Any, Any]],
) -> None:
    plain, (first, second) = results[0]["ppo", TINY], (found["sharded"] for found in results)
    for found in (first, second):
        assert found["rows"] == plain["rows"]
        assert all(torch.equal(found["weights"][k], v) for k, v in plain["weights"].items())
    assert first["moments"].keys() == plain["moments"].keys()
    assert all(torch.equal(first["moments"][k], v) for k, v in plain["moments"].items())
    sizes = [sum(v.numel() for v in found["moments"].values()) for found in (first, second)]
    assert 0.4 < sizes[1] / sizes[0] < 0.6  # The first one's are those gathered of both.


@pytest.mark.parametrize("kind", ["", "sharded ", "going on "])
def test_resumed_run_equals_the_unstopped_one(
    kind: str, output: Path, results: list[dict[Any, Any]]
) -> None:
    names = [f"{kind}whole", f"{kind}halves"]
    runs = results[0]["runs"]
    assert runs[names[0]] == runs[names[1]]
    whole, halves = (output / name / "checkpoints/iteration-00000004" for name in names)
    for file in sorted(whole.glob("*.safetensors")):
        expected, resumed = load_file(file), load_file(halves / file.name)
        assert expected.keys() == resumed.keys()
        assert all(torch.equal(tensor, resumed[key]) for key, tensor in expected.items())
    rows = [
        [{k: v for k, v in row.items() if k not in TIME_COLUMNS} for row in read_rows(path)]
        for path in (output / name / "log.jsonl" for name in names)
    ]
    assert rows[0] == rows[1]


def test_a_run_of_two_processes_is_not_resumed_by_one(output: Path) -> None:
    with pytest.raises(ValueError, match="processes = 2, asked for is 1"):
        train(config(output / "whole", resume=True), ReinforceConfig(baseline="learned"))


def prompt(episode: Episode) -> np.ndarray[Any, Any]:
    contexts = episode.observations
    assert isinstance(contexts, Contexts)
    return contexts.tokens[: contexts.lengths[0]]


def actions(episodes: list[Episode]) -> list[list[int]]:
    return [episode.actions.tolist() for episode in episodes]


def arrays(*lengths: int, masked: bool = False, mapping: bool = False) -> list[Episode]:
    """Episodes whose numbers count the steps of all."""
    ends = np.cumsum(lengths)
    spans = [np.arange(end - length, end) for end, length in zip(ends, lengths, strict=True)]
    return [
        Episode(
            slot=slot,
            group=slot,
            observations={"a": span[:, None]} if mapping else span[:, None],
            actions=span,
            log_probs=span.astype(np.float32),
            values=span.astype(np.float32),
            rewards=span.astype(np.float64),
            action_masks=span[:, None] > -1 if masked else None,
        )
        for slot, span in enumerate(spans)
    ]


@pytest.mark.parametrize("mapping", [False, True])
@pytest.mark.parametrize(("lengths", "count"), [((5, 1, 9), 2), ((7,), 3), ((1, 1), 4)])
def test_steps_are_divided_evenly_and_in_order(
    lengths: tuple[int, ...], count: int, mapping: bool
) -> None:
    shares = divide(arrays(*lengths, masked=True, mapping=mapping), count)
    sizes = [sum(episode.num_steps for episode in share) for share in shares]
    assert sum(sizes) == sum(lengths) and max(sizes) - min(sizes) <= 1
    pieces = [episode for share in shares for episode in share]
    order = np.arange(sum(lengths))
    for name in ("actions", "log_probs", "values", "rewards"):
        assert_array_equal(np.concatenate([getattr(e, name) for e in pieces]), order)
    for episode in pieces:
        seen: Any = episode.observations
        assert_array_equal((seen["a"] if mapping else seen)[:, 0], episode.actions)
        assert episode.action_masks is not None and len(episode.action_masks) == episode.num_steps


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_sequences_stay_whole(count: int) -> None:
    episodes = arrays(6, 2, 2, 2)
    for episode in episodes:
        steps = np.arange(1, episode.num_steps + 1)
        episode.observations = Contexts(steps, steps)
    shares = divide(episodes, count)
    assert [e.slot for share in shares for e in share] == [0, 1, 2, 3]
    assert [len(share) for share in shares] == {
        1: [4],
        2: [1, 3],
        3: [1, 1, 2],
        5: [0, 1, 1, 1, 1],
    }[count]


def test_one_process_is_left_alone() -> None:
    processes = Processes()
    envs = make_envs(CARTPOLE, 2)
    policy = fresh_policy(CARTPOLE, envs)
    kind = type(policy)
    assert type(processes.share(policy)) is kind
    episodes = arrays(2)
    assert processes.gather(episodes, 1, 1) is episodes
    assert (processes.any(True), processes.any(False), processes.from_first("x")) == (
        True,
        False,
        "x",
    )
    assert processes.slots(6, 3) == slice(0, 6)
    assert Processes(2, 3).slots(12, 2) == slice(8, 12)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"WORLD_SIZE": "2"}, "no RANK"),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, "no RANK"),
        ({"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0"}, "no RANK"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "joined 1 on cpu: they would train unsynchronised"),
        ({"ACCELERATE_MIXED_PRECISION": "no", "MASTER_ADDR": "127.0.0.1"}, "--multi_gpu"),
    ],
)
def test_unsynchronised_runs_are_refused(
    variables: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    alone = SimpleNamespace(num_processes=1, process_index=0, device=torch.device("cpu"))
    monkeypatch.setattr("accelerate.PartialState", lambda cpu: alone)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RuntimeError, match=message):
        train(config(tmp_path), ReinforceConfig())
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_both_launchers_start_the_command_line_and_ctrl_c_stops_it(tmp_path: Path) -> None:
    """The launcher passes the signal on to both processes, which save and end."""
    options = ["train", "reinforce", "--env-id", CARTPOLE, "--num-envs", "4", "--no-progress"]
    torchrun = [sys.executable, "-m", *LAUNCH.replace("torchrun", "torch.distributed.run").split()]
    accelerate = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    accelerate += ["--num_processes", "2", "-m", "textgym_agents"]
    for name, launcher in (("torchrun", torchrun), ("accelerate", accelerate)):
        output = tmp_path / name
        command = [*launcher, *options, "--output", str(output), "--total-steps", "100000000"]
        process = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True)
        while process.poll() is None and len(read_rows(output / "log.jsonl")) < 3:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode not in (0, None), errors
        last = read_rows(output / "log.jsonl")[-1]["iteration"]
        assert (output / f"checkpoints/iteration-{int(last):08d}/state.json").exists(), errors
        assert '"processes": 2' in (output / "metrics.json").read_text()


@pytest.mark.slow
def test_accelerate_that_starts_one_process_instead_of_two_is_refused(tmp_path: Path) -> None:
    """What its launcher does with --cpu."""
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    command += ["-m", "textgym_agents", "train", "reinforce", "--env-id", CARTPOLE]
    options = ["--no-progress", "--total-steps", "100", "--output", str(tmp_path / "run")]
    ended = subprocess.run(
        [*command, *options], env=environment(), capture_output=True, text=True, timeout=120
    )
    assert ended.returncode != 0
    assert "--multi_gpu" in ended.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_two_nodes_compute_what_two_processes_of_one_do(tmp_path: Path) -> None:
    """Each node runs the same command; where the processes are makes no difference."""
    options = ["-m", "textgym_agents", "train", "ppo", "--env-id", CARTPOLE, "--num-envs", "4"]
    options += ["--total-steps", "400", "--no-progress", "--output"]
    assert launched(*options, tmp_path / "node").returncode == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2"]
    command += ["--nproc-per-node", "1", "--master-addr", "127.0.0.1", "--master-port", str(port)]
    nodes = [
        subprocess.Popen(
            [*command, "--node-rank", str(rank), *options, str(tmp_path / "nodes")],
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for node in nodes:
        _, errors = node.communicate(timeout=120)
        assert node.returncode == 0, errors
    one, two = (find_checkpoint(tmp_path / name) for name in ("node", "nodes"))
    assert one.name == two.name
    for name in ("policy", "optimizer"):
        expected, found = (load_file(path / f"{name}.safetensors") for path in (one, two))
        assert expected.keys() == found.keys()
        assert all(torch.equal(found[key], tensor) for key, tensor in expected.items())


@pytest.mark.slow
def test_the_benchmark_runs_in_small(tmp_path: Path) -> None:
    options = ["--tokens", "300", "--rounds", "1", "--num-envs", "2", "--width", "16"]
    command = [sys.executable, str(ROOT / "benchmarks/processes.py"), *options]
    subprocess.run([*command, "--output", str(tmp_path)], env=environment(), check=True)
    rows = json.loads((tmp_path / "processes.json").read_text())["rows"]
    assert [(row["processes"], row["threads each"]) for row in rows] == [(1, 1), (1, 2), (2, 1)]
    assert all(row["tokens/s"] > 0 for row in rows)


@pytest.mark.slow
def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """Accelerate would run two unsynchronised processes."""
    if torch.cuda.is_available():
        pytest.skip("the device is there")
    options = ["--env-id", CARTPOLE, "--device", "cuda", "--output", str(tmp_path / "x")]
    ended = launched("-m", "textgym_agents", "train", "reinforce", *options)
    assert ended.returncode != 0
    assert "they would train unsynchronised" in ended.stderr
    assert not (tmp_path / "x").exists()


if __name__ == "__main__":
    work(Path(sys.argv[1]))
