"""Two processes with a share of the weights each; this file is also what they run."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from numpy.testing import assert_allclose
from safetensors.torch import load_file
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from tests.agents import texts
from tests.agents.test_distributed import (
    CARTPOLE,
    TINY,
    config,
    fresh_policy,
    launched,
    learner_and_batch,
    update,
)
from textgym_agents import train as training
from textgym_agents.algorithms import (
    TRPO,
    AlgorithmConfig,
    GRPOConfig,
    NLPOConfig,
    PPOConfig,
    ReinforceConfig,
    TRPOConfig,
)
from textgym_agents.checkpoint import (
    RunState,
    find_checkpoint,
    load_checkpoint_policy,
    load_optimizer,
    load_part,
    save_checkpoint,
)
from textgym_agents.distributed import Processes, adamw, join_processes, sum_gradients
from textgym_agents.loggers import TIME_COLUMNS, read_rows
from textgym_agents.policies import Episode, packing
from textgym_agents.policies.construction import PolicyConfig, describe_policy
from textgym_agents.runs.environments import make_envs
from textgym_agents.train import train

SMALL: dict[str, Any] = {"layers": 3, "heads": 2, "width": 16}
MODEL = PolicyConfig(kind="causal_lm", **SMALL)
CASES: dict[str, tuple[str, str, PolicyConfig]] = {
    **{
        name: (name, TINY, MODEL)
        for name in ("reinforce", "mle", "rloo", "grpo", "ppo", "a2c", "nlpo", "expert_iteration")
    },
    "one pass": ("ppo", TINY, replace(MODEL, gradient_checkpointing=True, critic="separate")),
    "seq2seq": ("ppo", TINY, replace(MODEL, kind="seq2seq")),
    "lora": ("ppo", TINY, replace(MODEL, lora_rank=2)),
    "masked lora": ("nlpo", TINY, replace(MODEL, lora_rank=2)),
    "masked mlp": ("nlpo", CARTPOLE, PolicyConfig(hidden_sizes=(8,))),
    "mlp": ("ppo", CARTPOLE, PolicyConfig(hidden_sizes=(8,))),
}
ONE_EPISODE = {"one episode": "reinforce", "one masked episode": "nlpo"}
MODELS: dict[str, tuple[Callable[[], PreTrainedModel], dict[str, Any]]] = {
    "packed llama": (texts.llama, {}),
    "recomputed llama": (texts.llama, {"gradient_checkpointing": True}),
    "bart": (texts.bart, {}),
    "t5": (texts.t5, {"gradient_checkpointing": True}),
}
RUN: dict[str, Any] = {
    "env_id": TINY,
    "policy": MODEL,
    "shard_weights": True,
    "shard_optimizer": True,
}
PLAIN = {"shard_weights": False, "shard_optimizer": False}
LEARNING = PPOConfig(
    kl_coef=0.1, num_minibatches=2, normalize_values=True, value_learning_rate=1e-3
)
LEARNINGS: dict[str, AlgorithmConfig] = {
    "more rounds": GRPOConfig(variant="dapo", group_size=2),
    "greedy rollouts": ReinforceConfig(baseline="greedy", group_size=2),
    "early stops": PPOConfig(target_kl=1e-6, num_epochs=2, num_minibatches=2),
    "older masks": NLPOConfig(mask_top_p=0.5, mask_interval=2, kl_coef=0.1, num_minibatches=2),
}
"""What collects or learns as often as its numbers say."""


def work(output: Path) -> None:
    """One of the two processes."""
    plain = join_processes("cpu")
    sharded = replace(plain, shard_weights=True)
    results: dict[str, Any] = {}
    for name, case in CASES.items():
        learner, batch = made(case, sharded)
        results[name] = update(learner, batch)
    for name, case in ONE_EPISODE.items():
        learner, batch = made(CASES[case], sharded)
        results[name] = update(learner, batch[:1])
    results["memory"] = {
        name: kept(*made(CASES["ppo"], processes))
        for name, processes in (("plain", plain), ("sharded", sharded))
    }
    results["together"] = together(*made(CASES["reinforce"], sharded))
    results["gone on"] = gone_on(sharded, output / "checkpoint")
    for name in MODELS:
        results[name] = derivatives(name, sharded)
    for name, learning in LEARNINGS.items():
        results[name] = run_to(24, output / name, learning)
        results[f"plain {name}"] = run_to(24, output / f"plain {name}", learning, **PLAIN)
    run_to(12, output / "masked halves", LEARNINGS["older masks"])
    results["masked"] = run_to(24, output / "masked halves", LEARNINGS["older masks"], resume=True)
    results["run"] = run_to(32, output / "whole")
    run_to(16, output / "halves")
    results["resumed"] = run_to(32, output / "halves", resume=True)
    errors(sharded, output / "none")
    with (output / f"process-{plain.index}.pickle").open("wb") as file:
        pickle.dump(results, file)


def made(case: tuple[str, str, PolicyConfig], processes: Processes) -> tuple[Any, list[Episode]]:
    name, env_id, policy = case
    return learner_and_batch(name, env_id, processes, policy)


def kept(learner: Any, batch: list[Episode]) -> dict[str, int]:
    """Bytes that a process keeps after an update; of gradients, after a backward pass."""
    learner.update(batch)
    weights = list(learner.policy.parameters())
    moments = moments_of(learner.optimizer)
    learner.gradients(batch)
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    parts = {"weights": weights, "gradients": gradients, "moments": moments}
    return {name: num_bytes(tensors) for name, tensors in parts.items()}


def moments_of(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [tensor for entry in optimizer.state.values() for tensor in entry.values()]


def num_bytes(tensors: list[torch.Tensor]) -> int:
    """What tensors take, or this process's shares of them; what they have in common, once."""
    own = [tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in tensors]
    storages = [tensor.untyped_storage() for tensor in own]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def together(learner: Any, batch: list[Episode]) -> dict[str, Any]:
    """How many layers are whole as each computes, and weights after a pass without gradients."""
    layers = learner.policy.model.transformer.h
    counts: list[int] = []

    def count(*_: Any) -> None:
        counts.append(sum(not isinstance(each.ln_1.weight, DTensor) for each in layers))

    hooks = [layer.mlp.register_forward_pre_hook(count) for layer in layers]
    learner.policy.evaluate(batch)
    for hook in hooks:
        hook.remove()
    with torch.no_grad():
        learner.policy.evaluate(batch)
    left = sum(not isinstance(weight, DTensor) for weight in learner.policy.parameters())
    return {"computing": counts, "left": left}


def gone_on(processes: Processes, folder: Path) -> dict[str, Any]:
    """A checkpoint after two updates, what the policy then is, and what a third makes of it."""
    learner, batch = made(CASES["ppo"], processes)
    update(learner, batch)
    with torch.no_grad():
        evaluation = learner.policy.evaluate(batch)
    processes.gather_state(learner.optimizer)
    policy, state = processes.whole(learner.policy), learner.state()
    if processes.index == 0:
        description = describe_policy(MODEL, make_envs(TINY, 2))
        where = RunState(algorithm="ppo", algorithm_config={}, train_config={}, policy=description)
        save_checkpoint(folder, policy, learner.optimizer, where, algorithm=state)
    found = {"config": learner.config, "batch": batch, "log_probs": evaluation.log_probs}
    return {**found, "values": evaluation.values, "updated": update(learner, batch)}


def derivatives(name: str, processes: Processes) -> dict[str, torch.Tensor]:
    """What a policy makes of texts of many lengths, and the gradient of a sum of it.

    Passes cost nothing here: unless all processes agree, they make one for each length they have.
    """
    model, parts = MODELS[name]
    policy: Any = processes.share(texts.lm_policy(model(), critic="separate", **parts).double())
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(packing._PASS_COST, "cpu", 0)
        found = policy.evaluate(texts.episodes(count=9))
    weights = torch.linspace(-1, 1, len(found.log_probs), dtype=torch.float64)
    torch.autograd.backward(((found.log_probs + found.entropy - found.values**2) * weights).sum())
    sum_gradients(policy)
    gradients = {n: p.grad for n, p in policy.named_parameters() if p.grad is not None}
    table = {n: g.full_tensor() if isinstance(g, DTensor) else g for n, g in gradients.items()}
    return {**table, "log_probs": found.log_probs.detach(), "values": found.values.detach()}


def run_to(
    steps: int, output: Path, learning: AlgorithmConfig = LEARNING, **kwargs: Any
) -> dict[str, Any]:
    """Train for so many steps; the weights and log-probabilities at their end."""
    runs: list[Any] = []
    batches: list[list[Episode]] = []
    gather = training.gather

    def noted(run: Any) -> Any:
        gathered = gather(run)
        runs.append(run)
        batches.append(gathered[0])
        return gathered

    training.gather = noted
    train(config(output, **{**RUN, **kwargs}, total_steps=steps), learning)
    training.gather = gather
    learner, batch = runs[-1].learner, batches[-1]
    with torch.no_grad():
        log_probs = learner.policy.evaluate(batch).log_probs
    weights = learner.policy.state_dict()
    kept = num_bytes(moments_of(learner.optimizer))
    return {"weights": weights, "batch": batch, "log_probs": log_probs, "moments": kept}


def errors(processes: Processes, output: Path) -> None:
    """What sharded weights refuse."""
    with pytest.raises(ValueError, match=r"shard_weights cannot be on.*take ppo"):
        train(config(output, **RUN), TRPOConfig())
    assert not output.exists()
    envs = make_envs(TINY, 2)
    policy = processes.share(fresh_policy(TINY, envs, policy_config=MODEL))
    assert not policy.training  # Acting keeps nothing for learning.
    with pytest.raises(RuntimeError, match="the copy that `whole` makes"):
        policy.act(envs.reset()[0])


# The tests, in one process.


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the two processes have left what they did."""
    folder = tmp_path_factory.mktemp("sharded")
    ended = launched(__file__, folder)
    assert ended.returncode == 0, ended.stderr
    assert "UserWarning" not in ended.stderr
    return folder


@pytest.fixture(scope="module")
def results(output: Path) -> list[dict[str, Any]]:
    """What each of the two processes found."""
    return [pickle.loads((output / f"process-{i}.pickle").read_bytes()) for i in range(2)]


@pytest.mark.parametrize("name", [*CASES, *ONE_EPISODE])
def test_update_with_sharded_weights_equals_that_of_one_process(
    name: str, results: list[dict[str, Any]]
) -> None:
    """With one episode, one of the processes has none of it to evaluate."""
    learner, batch = made(CASES[ONE_EPISODE.get(name, name)], Processes())
    one = update(learner, batch[:1] if name in ONE_EPISODE else batch)
    first, second = (found[name] for found in results)
    assert first["rows"] == second["rows"]
    for key, tensor in first["weights"].items():
        assert torch.equal(second["weights"][key], tensor), key
    compare(first, one)


def compare(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Check metrics, weights, moments and the algorithm's state."""
    for part in ("weights", "moments", "state"):
        assert found[part].keys() == expected[part].keys()
        for key, tensor in expected[part].items():
            assert_allclose(found[part][key], tensor, atol=1e-5, rtol=0, err_msg=key)
    for row, wanted in zip(found["rows"], expected["rows"], strict=True):
        assert row.keys() == wanted.keys()
        for key, value in wanted.items():
            assert row[key] == pytest.approx(value, abs=1e-5, rel=1e-5), key


@pytest.mark.parametrize("name", MODELS)
def test_gradients_with_sharded_weights_are_those_of_one_process(
    name: str, results: list[dict[str, Any]]
) -> None:
    one = derivatives(name, Processes())
    for found in (each[name] for each in results):
        assert found.keys() == one.keys()
        for key, tensor in one.items():
            assert_allclose(found[key], tensor, atol=1e-5, rtol=0, err_msg=key)


@pytest.mark.parametrize("part", ["weights", "gradients", "moments"])
def test_each_process_keeps_its_share_alone(part: str, results: list[dict[str, Any]]) -> None:
    for found in results:
        plain, sharded = (found["memory"][name][part] for name in ("plain", "sharded"))
        assert 0.45 < sharded / plain < 0.55


def test_layers_are_whole_only_while_they_compute(results: list[dict[str, Any]]) -> None:
    for found in results:
        assert set(found["together"]["computing"]) == {1}
        assert found["together"]["left"] == 0


def test_a_checkpoint_goes_on_in_one_process(output: Path, results: list[dict[str, Any]]) -> None:
    """Its weights, moments and reference are whole, so that nothing tells how it was written."""
    saved = results[0]["gone on"]
    path = find_checkpoint(output / "checkpoint")
    learner, _ = made(CASES["ppo"], Processes())
    learner.policy.load_state_dict(load_checkpoint_policy(path).state_dict())
    load_optimizer(path, learner.optimizer)
    learner.load_state(load_part(path, "algorithm"))
    with torch.no_grad():
        evaluation = learner.policy.evaluate(saved["batch"])
    assert_allclose(evaluation.log_probs, saved["log_probs"], atol=1e-6, rtol=0)
    assert_allclose(evaluation.values, saved["values"], atol=1e-6, rtol=0)
    compare(saved["updated"], update(learner, saved["batch"]))


def test_the_policy_of_a_sharded_run_is_the_one_that_is_saved(
    output: Path, results: list[dict[str, Any]]
) -> None:
    policy = load_checkpoint_policy(find_checkpoint(output / "whole"))
    weights = policy.state_dict()
    for found in (each["run"] for each in results):
        assert found["weights"].keys() == weights.keys()
        assert all(torch.equal(found["weights"][key], tensor) for key, tensor in weights.items())
        with torch.no_grad():
            log_probs = policy.evaluate(found["batch"]).log_probs
        assert_allclose(log_probs, found["log_probs"], atol=1e-5, rtol=0)


def test_resumed_run_equals_the_unstopped_one(output: Path, results: list[dict[str, Any]]) -> None:
    whole, halves = (find_checkpoint(output / name) for name in ("whole", "halves"))
    assert whole.name == halves.name
    files = [file.relative_to(whole) for file in sorted(whole.rglob("*.safetensors"))]
    assert [file.name for file in files] == [
        "algorithm.safetensors",
        "model.safetensors",
        "optimizer.safetensors",
        "policy.safetensors",
    ]
    for file in files:
        expected, resumed = load_file(whole / file), load_file(halves / file)
        assert expected.keys() == resumed.keys()
        assert all(torch.equal(tensor, resumed[key]) for key, tensor in expected.items())
    rows = [
        [{k: v for k, v in row.items() if k not in TIME_COLUMNS} for row in read_rows(path)]
        for path in (output / name / "log.jsonl" for name in ("whole", "halves"))
    ]
    assert rows[0] == rows[1]
    assert len(rows[0]) > 3
    for found in results:
        assert found["resumed"]["moments"] == found["run"]["moments"]


def test_resumed_masks_are_the_unstopped_ones(results: list[dict[str, Any]]) -> None:
    for found in results:
        resumed, whole = found["masked"]["weights"], found["older masks"]["weights"]
        assert resumed.keys() == whole.keys()
        assert all(torch.equal(tensor, resumed[key]) for key, tensor in whole.items())


@pytest.mark.parametrize("name", LEARNINGS)
def test_runs_with_sharded_weights_are_those_without(
    name: str, output: Path, results: list[dict[str, Any]]
) -> None:
    """Whatever decides how often something is collected or learned, it decides in all processes."""
    for found in results:
        sharded, plain = found[name], found[f"plain {name}"]
        assert sharded["weights"].keys() == plain["weights"].keys()
        for key, tensor in plain["weights"].items():
            assert_allclose(sharded["weights"][key], tensor, atol=1e-5, rtol=0, err_msg=key)
    rows = [read_rows(output / run / "log.jsonl") for run in (name, f"plain {name}")]
    assert [row["steps"] for row in rows[0]] == [row["steps"] for row in rows[1]]
    assert len(rows[0]) > 1


def test_one_process_is_left_alone() -> None:
    processes = Processes(shard_weights=True)
    envs = make_envs(TINY, 2)
    policy = fresh_policy(TINY, envs)
    kind = type(policy)
    assert type(processes.share(policy)) is kind
    assert processes.whole(policy) is policy
    assert type(adamw(policy, lr=1e-3)) is torch.optim.AdamW
    processes.check_shardable("trpo", TRPO.shardable)


if __name__ == "__main__":
    work(Path(sys.argv[1]))
