from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from textgym.tokenizers import load_tokenizer
from textgym_agents import checkpoint as checkpoints
from textgym_agents.algorithms import ReinforceConfig
from textgym_agents.checkpoint import (
    RunState,
    find_checkpoint,
    load_checkpoint_policy,
    load_optimizer,
    read_state,
    save_checkpoint,
)
from textgym_agents.policies import Policy, weights
from textgym_agents.policies.construction import (
    PolicyConfig,
    build_policy,
    describe_policy,
    described_sampling,
)
from textgym_agents.policies.spaces import describe_space, space_from
from textgym_agents.runs.atomic import write_text
from textgym_agents.runs.environments import make_envs, tokenizer_of
from textgym_agents.train import TrainConfig, train

TINY_LM = PolicyConfig(kind="causal_lm", layers=1, heads=2, width=16)


def described(env_id: str, config: PolicyConfig) -> dict[str, Any]:
    envs = make_envs(env_id, 2)
    description = describe_policy(config, envs, seed=3)
    envs.close()
    return description


@pytest.fixture(scope="module")
def mlp() -> dict[str, Any]:
    return described("CartPole-v1", PolicyConfig(hidden_sizes=(8,)))


@pytest.fixture(scope="module")
def language_model() -> dict[str, Any]:
    return described("textgym:textgym/Tiny-v0", TINY_LM)


def trained(description: dict[str, Any]) -> tuple[Policy, torch.optim.Optimizer]:
    """A policy and an optimizer after one step along random gradients."""
    policy = build_policy(description)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=0.01)
    for parameter in policy.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    return policy, optimizer


def state(description: dict[str, Any], iteration: int) -> RunState:
    return RunState(
        iteration=iteration,
        steps=10 * iteration,
        algorithm="reinforce",
        algorithm_config={"gamma": 1.0},
        train_config={"env_id": "CartPole-v1"},
        policy=description,
    )


@pytest.mark.parametrize("kind", ["mlp", "language_model"])
def test_round_trip_is_exact(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    description = request.getfixturevalue(kind)
    policy, optimizer = trained(description)
    path = save_checkpoint(tmp_path, policy, optimizer, state(description, 7))
    assert read_state(path) == state(description, 7)
    loaded = load_checkpoint_policy(path)
    assert loaded.state_dict().keys() == policy.state_dict().keys()
    for name, tensor in policy.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    restored = torch.optim.AdamW(loaded.parameters(), lr=0.5)
    load_optimizer(path, restored)
    before, after = optimizer.state_dict(), restored.state_dict()
    assert after["param_groups"][0]["lr"] == 0.01
    assert before["state"].keys() == after["state"].keys()
    for index, entry in before["state"].items():
        for key, tensor in entry.items():
            assert torch.equal(after["state"][index][key], tensor), (index, key)


def test_model_folder_is_a_hugging_face_model_with_tied_weights(
    tmp_path: Path, language_model: dict[str, Any]
) -> None:
    from transformers import AutoModelForCausalLM

    policy, optimizer = trained(language_model)
    path = save_checkpoint(tmp_path, policy, optimizer, state(language_model, 1))
    model = AutoModelForCausalLM.from_pretrained(path / "model")
    for name, tensor in policy.model.state_dict().items():  # type: ignore[union-attr, operator]
        assert torch.equal(model.state_dict()[name], tensor), name
    assert model.lm_head.weight.data_ptr() == model.transformer.wte.weight.data_ptr()
    assert set(load_file(path / "policy.safetensors")) == {"value_head.weight", "value_head.bias"}


def test_the_tokenizer_goes_with_the_model(tmp_path: Path) -> None:
    """So that transformers takes a run's model from one folder."""
    from transformers import AutoTokenizer

    for env_id, kind in (("textgym:textgym/Text-v0", "causal_lm"), ("CartPole-v1", "mlp")):
        sizes = {"layers": 1, "heads": 2, "width": 16} if kind == "causal_lm" else {}
        run = TrainConfig(
            env_id=env_id,
            output=tmp_path / kind,
            num_envs=2,
            total_steps=1,
            policy=PolicyConfig(**sizes),
            tensorboard=False,
            progress=False,
        )
        checkpoint = train(run, ReinforceConfig()).checkpoint
        assert (checkpoint / "model" / "tokenizer.json").is_file() == (kind == "causal_lm")
    model = tmp_path / "causal_lm" / "checkpoints" / "iteration-00000001" / "model"
    tokenizer = AutoTokenizer.from_pretrained(model)
    bundled = load_tokenizer()
    assert tokenizer("two cats").input_ids == bundled.encode("two cats")
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (bundled.eos_id, bundled.pad_id)


def test_the_last_ones_stay_and_latest_names_the_newest(
    tmp_path: Path, mlp: dict[str, Any]
) -> None:
    policy, optimizer = trained(mlp)
    for iteration in (1, 2, 10, 11):
        save_checkpoint(tmp_path, policy, optimizer, state(mlp, iteration), keep=2)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["iteration-00000010", "iteration-00000011", "latest"]
    assert find_checkpoint(tmp_path).name == "iteration-00000011"
    assert find_checkpoint(tmp_path / "iteration-00000010").name == "iteration-00000010"


@pytest.mark.parametrize("broken", ["save_policy", "write_tensors", "write_json", "write_text"])
def test_failure_while_writing_leaves_the_last_checkpoint(
    broken: str, tmp_path: Path, mlp: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, optimizer = trained(mlp)
    first = save_checkpoint(tmp_path, policy, optimizer, state(mlp, 1), keep=1)

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, broken, fail)
        with pytest.raises(OSError, match="No space left"):
            save_checkpoint(tmp_path, policy, optimizer, state(mlp, 2), keep=1)
    assert find_checkpoint(tmp_path) == first
    assert read_state(first).iteration == 1
    load_checkpoint_policy(first)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert save_checkpoint(tmp_path, policy, optimizer, state(mlp, 2), keep=1).is_dir()
    assert find_checkpoint(tmp_path).name == "iteration-00000002"


@pytest.mark.parametrize("broken", ["save_file", "save_pretrained"])
def test_full_disk_is_an_os_error(
    broken: str,
    tmp_path: Path,
    language_model: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policy, optimizer = trained(language_model)

    def fail(*args: object, **kwargs: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(weights if broken == "save_file" else policy.model, broken, fail)
    with pytest.raises(OSError, match=r"cannot be written: .*No space left"):
        save_checkpoint(tmp_path, policy, optimizer, state(language_model, 1))
    assert not list(tmp_path.iterdir())


def test_what_a_killed_run_left_is_removed(tmp_path: Path, mlp: dict[str, Any]) -> None:
    policy, optimizer = trained(mlp)
    for name in (".12-iteration-00000001", ".345-old-iteration-00000002"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "policy.safetensors").write_bytes(b"half")
    save_checkpoint(tmp_path, policy, optimizer, state(mlp, 3))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["iteration-00000003", "latest"]


def test_a_file_never_replaces_a_folder(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "precious").write_text("years of work")
    with pytest.raises(IsADirectoryError, match="results is a folder; name a file"):
        write_text(tmp_path / "results", "{}")
    assert (tmp_path / "results" / "precious").read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_saving_an_iteration_again_replaces_it(tmp_path: Path, mlp: dict[str, Any]) -> None:
    policy, optimizer = trained(mlp)
    save_checkpoint(tmp_path, policy, optimizer, state(mlp, 1))
    with torch.no_grad():
        next(policy.parameters()).fill_(0.5)
    path = save_checkpoint(tmp_path, policy, optimizer, state(mlp, 1))
    assert next(load_checkpoint_policy(path).parameters()).eq(0.5).all()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["iteration-00000001", "latest"]


@pytest.mark.parametrize(
    "name", ["state.json", "policy.safetensors", "model/config.json", "model/model.safetensors"]
)
def test_missing_file_is_named(name: str, tmp_path: Path, language_model: dict[str, Any]) -> None:
    policy, optimizer = trained(language_model)
    path = save_checkpoint(tmp_path, policy, optimizer, state(language_model, 1))
    (path / name).unlink()
    with pytest.raises(FileNotFoundError, match=Path(name).suffix.replace(".", r"\.")):
        load_checkpoint_policy(path)


def test_missing_optimizer_is_named(tmp_path: Path, mlp: dict[str, Any]) -> None:
    policy, optimizer = trained(mlp)
    path = save_checkpoint(tmp_path, policy, optimizer, state(mlp, 1))
    (path / "optimizer.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"optimizer\.safetensors"):
        load_optimizer(path, optimizer)


def test_weights_that_do_not_fit_are_named(tmp_path: Path, mlp: dict[str, Any]) -> None:
    policy, optimizer = trained(mlp)
    path = save_checkpoint(tmp_path, policy, optimizer, state(mlp, 1))
    tensors = load_file(path / "policy.safetensors")
    tensors["actor.0.bias"] = torch.zeros(9)
    tensors["extra"] = tensors.pop("critic.0.bias")
    save_file(tensors, path / "policy.safetensors")
    with pytest.raises(ValueError) as caught:
        load_checkpoint_policy(path)
    for part in (
        "policy.safetensors",
        "critic.0.bias is missing",
        "extra is unknown",
        "actor.0.bias has shape (9,), the policy (8,)",
    ):
        assert part in str(caught.value)


def test_language_model_that_lacks_weights_is_refused(
    tmp_path: Path, language_model: dict[str, Any]
) -> None:
    policy, optimizer = trained(language_model)
    path = save_checkpoint(tmp_path, policy, optimizer, state(language_model, 1))
    tensors = load_file(path / "model/model.safetensors")
    del tensors["transformer.ln_f.weight"]
    save_file(tensors, path / "model/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"ln_f\.weight is missing"):
        load_checkpoint_policy(path)


def test_optimizer_of_another_network_is_refused(tmp_path: Path, mlp: dict[str, Any]) -> None:
    policy, optimizer = trained(mlp)
    path = save_checkpoint(tmp_path, policy, optimizer, state(mlp, 1))
    wider = build_policy({**mlp, "hidden_sizes": [9]})
    with pytest.raises(ValueError, match=r"parameter 0 has shape \(8, 4\)"):
        load_optimizer(path, torch.optim.AdamW(wider.parameters()))
    shallow = torch.optim.AdamW([next(iter(policy.parameters()))])
    with pytest.raises(ValueError, match="the policy has 1"):
        load_optimizer(path, shallow)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ('{"format": 99}', "format 99"),
        ('{"format": 1, "iteration": 1}', "lacks steps, algorithm"),
    ],
)
def test_damaged_state_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_state(tmp_path)


def test_damaged_weights_are_named(tmp_path: Path, mlp: dict[str, Any]) -> None:
    policy, optimizer = trained(mlp)
    path = save_checkpoint(tmp_path, policy, optimizer, state(mlp, 1))
    file = path / "policy.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"policy\.safetensors is damaged"):
        load_checkpoint_policy(path)


def test_nothing_to_find(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        find_checkpoint(tmp_path)
    (tmp_path / "latest").write_text("iteration-00000009\n")
    with pytest.raises(FileNotFoundError, match="iteration-00000009"):
        find_checkpoint(tmp_path)


def test_description_is_json_and_fixes_the_weights(
    mlp: dict[str, Any], language_model: dict[str, Any]
) -> None:
    for description in (mlp, language_model):
        copied = json.loads(json.dumps(description))
        first, second = build_policy(description), build_policy(copied)
        for one, other in zip(first.parameters(), second.parameters(), strict=True):
            assert torch.equal(one, other)
    other_seed = build_policy({**mlp, "seed": 4})
    assert not torch.equal(next(other_seed.parameters()), next(build_policy(mlp).parameters()))


def test_description_of_an_unbounded_box_is_strict_json() -> None:
    description = describe_space(gym.spaces.Box(-np.inf, 5.0, (2,), np.float32))
    copied = json.loads(json.dumps(description, allow_nan=False))
    assert (copied["low"], copied["high"]) == ("-inf", 5.0)
    assert space_from(copied) == gym.spaces.Box(-np.inf, 5.0, (2,), np.float32)


def test_every_space_a_policy_takes_is_rebuilt_from_json() -> None:
    spaces = gym.spaces
    bounds = np.array([[-1.0, -np.inf], [0.1, 2.5]], np.float32)
    parts = [
        spaces.Box(-7, 7, (3,), np.int64),
        spaces.Box(0, 255, (2, 2), np.uint8),
        spaces.Box(0, 1, (2,), bool),
        spaces.Box(bounds, np.array([[0.0, np.inf], [0.5, 3.0]], np.float32)),
        spaces.Box(-1.0, 1.0, (), np.float64),
        spaces.Discrete(3, start=2),
        spaces.MultiDiscrete([3, 5], start=[0, -2]),
        spaces.MultiDiscrete([[2, 3], [4, 5]]),
        spaces.MultiBinary(4),
        spaces.MultiBinary((2, 3)),
    ]
    nested = spaces.Dict(a=spaces.Tuple(parts), b=spaces.Dict(c=spaces.MultiDiscrete([2, 3])))
    for space in (*parts, nested):
        copied = json.loads(json.dumps(describe_space(space), allow_nan=False))
        assert space_from(copied) == space
        assert describe_space(space_from(copied)) == copied


def test_language_model_needs_token_ids() -> None:
    with pytest.raises(ValueError, match="pad_id"):
        described("CartPole-v1", TINY_LM)


def test_spaces_that_no_policy_takes_are_refused() -> None:
    envs = gym.vector.SyncVectorEnv([lambda: gym.make("Pendulum-v1")])
    description = describe_policy(PolicyConfig(), envs)
    envs.close()
    build_policy(description)
    for space in (gym.spaces.Tuple([gym.spaces.Discrete(2)]), gym.spaces.Box(0, 3, (2,), np.int64)):
        with pytest.raises(ValueError, match=r"action spaces, got|must be floats, got"):
            build_policy({**description, "action_space": describe_space(space)})


def test_descriptions_from_before_an_option_existed_are_read(mlp: dict[str, Any]) -> None:
    older = {key: value for key, value in mlp.items() if key not in ("min_p", "epsilon")}
    assert described_sampling(older) == described_sampling(mlp)
    assert build_policy(older).sampling == build_policy(mlp).sampling


def test_only_a_text_environment_has_a_tokenizer_to_save() -> None:
    for env_id, mode in (("textgym:textgym/Tiny-v0", None), ("textgym:textgym/Text-v0", "sync")):
        envs = gym.make_vec(env_id, num_envs=2, vectorization_mode=mode)
        assert (tokenizer_of(envs) is not None) == (mode == "sync")  # Symbols have no such files.
        envs.close()
    strange = gym.make_vec("CartPole-v1", num_envs=2, vectorization_mode="vector_entry_point")
    strange.envs = [object(), object()]  # type: ignore[attr-defined]
    assert tokenizer_of(strange) is None
