"""LoRA: what trains, what is shared, what is saved; parity with peft's own model."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from tests.agents.texts import (
    PAD,
    VOCAB,
    WIDTH,
    act_along,
    bart,
    episodes,
    gpt2,
    llama,
    lm_policy,
    move,
    t5,
)
from textgym_agents.algorithms import Reinforce, ReinforceConfig
from textgym_agents.checkpoint import find_checkpoint, load_checkpoint_policy, read_state
from textgym_agents.policies.construction import PolicyConfig, build_policy, describe_policy
from textgym_agents.policies.lora import add_adapter, base_model, has_adapter, merged
from textgym_agents.policies.weights import load_policy, save_policy
from textgym_agents.runs.config import TrainConfig
from textgym_agents.runs.environments import make_envs
from textgym_agents.train import train

ENV_ID = "textgym:textgym/Tiny-v0"
MODELS = pytest.mark.parametrize("make_model", [gpt2, llama])
QUIET = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # of peft
IDS = torch.arange(20).reshape(2, 10)


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(IDS).logits
    return found


@MODELS
def test_the_adapted_model_begins_as_the_model(make_model: Any) -> None:
    model = make_model()
    before = logits(model)
    add_adapter(model, 4, alpha=8.0)
    assert torch.equal(logits(model), before)
    move(model, 0.1)
    assert (logits(model) - before).abs().max() > 0.01


@MODELS
def test_it_computes_what_the_paper_says(make_model: Any) -> None:
    """W x + (alpha / r) B A x: the same as plain layers with W + (alpha / r) B A."""
    model = make_model()
    plain = copy.deepcopy(model)
    add_adapter(model, 3, alpha=6.0)
    move(model, 0.1)
    for name, module in model.named_modules():
        if hasattr(module, "lora_A"):
            product = module.lora_B["default"].weight @ module.lora_A["default"].weight
            weight = plain.get_submodule(name).weight
            turned = product.T if weight.shape != product.shape else product
            if type(module.get_base_layer()).__name__ == "Conv1D":
                turned = product.T
            with torch.no_grad():
                weight.add_(6.0 / 3 * turned)
    torch.testing.assert_close(logits(model), logits(plain), atol=1e-5, rtol=0)


def test_adapters_alone_train_and_adam_holds_nothing_else() -> None:
    policy = lm_policy(rank=2)
    names = {name for name, parameter in policy.named_parameters() if parameter.requires_grad}
    assert all(".lora_" in name or name.startswith("value_head.") for name in names)
    assert len(names) == 2 * 4 * 2 + 2  # A and B of four layers in two blocks, and the head
    learner = Reinforce(policy, ReinforceConfig(baseline="learned", learning_rate=0.01))
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    learner.update(episodes())
    held = sum(parameter.numel() for parameter in learner.optimizer.param_groups[0]["params"])
    assert held == sum(p.numel() for p in policy.parameters() if p.requires_grad) < 2_000
    assert len(learner.optimizer.state) == len(names)
    for name, value in policy.state_dict().items():
        assert torch.equal(value, before[name]) is (name not in names), name


def test_targets_choose_the_layers() -> None:
    model = gpt2()
    add_adapter(model, 2, alpha=2.0, targets=["c_attn"])
    adapted = [name for name, module in model.named_modules() if hasattr(module, "lora_A")]
    assert adapted == ["transformer.h.0.attn.c_attn", "transformer.h.1.attn.c_attn"]
    with pytest.raises(ValueError, match="q_proj"):
        add_adapter(gpt2(), 2, alpha=2.0, targets=["q_proj"])


def test_its_weights_follow_from_the_seed_and_leave_torch_s_alone() -> None:
    models = [gpt2() for _ in range(3)]
    torch.manual_seed(5)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    for model, seed in zip(models, (1, 1, 2), strict=True):
        add_adapter(model, 2, alpha=2.0, seed=seed)
    assert torch.equal(torch.rand(1), drawn)
    first, same, other = [
        next(v for n, v in model.state_dict().items() if ".lora_A." in n) for model in models
    ]
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("make_model", [gpt2, llama, t5, bart])
def test_cached_steps_compute_what_a_plain_forward_does_and_notice_new_weights(
    make_model: Any,
) -> None:
    policy, batch = lm_policy(make_model(), rank=2), episodes()
    for seed in (1, 2):
        steps, values = act_along(policy, batch)
        with torch.no_grad():
            whole, evaluation = policy.episode_log_probs(batch), policy.evaluate(batch)
        torch.testing.assert_close(steps, whole, atol=1e-5, rtol=0)
        torch.testing.assert_close(values, evaluation.values, atol=1e-5, rtol=0)
        move(policy, 0.1, seed)
        assert (policy.episode_log_probs(batch) - whole).abs().max() > 0.02


def test_stale_keys_are_found_after_a_step_on_the_adapter() -> None:
    policy, batch = lm_policy(rank=2), episodes()
    observations = np.full((1, WIDTH), PAD)
    observations[0, :9] = np.arange(9)
    learner = Reinforce(policy, ReinforceConfig(baseline="none", learning_rate=0.05))
    before = policy.step_log_probs(observations)
    learner.update(batch)
    after = policy.step_log_probs(observations)
    fresh = policy.model(torch.arange(9)[None]).logits[0, -1].log_softmax(-1)
    assert (after - before).abs().max() > 0.01
    torch.testing.assert_close(after[0], fresh, atol=1e-5, rtol=0)


def test_merged_computes_the_same_in_a_plain_model_of_its_own() -> None:
    model = gpt2()
    add_adapter(model, 2, alpha=4.0)
    move(model, 0.1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    plain = merged(model)
    assert not has_adapter(plain)
    assert set(plain.state_dict()) == set(gpt2().state_dict())
    assert all(parameter.requires_grad for parameter in plain.parameters())
    torch.testing.assert_close(logits(plain), logits(model), atol=1e-5, rtol=0)
    shared = {value.data_ptr() for value in model.state_dict().values()}
    assert not shared & {value.data_ptr() for value in plain.state_dict().values()}
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_base_has_the_very_weights() -> None:
    model = gpt2()
    before = logits(model)
    add_adapter(model, 2, alpha=4.0)
    move(model, 0.1)
    base = base_model(model)
    assert torch.equal(logits(base), before)
    theirs = {value.data_ptr() for value in model.state_dict().values()}
    assert {value.data_ptr() for value in base.state_dict().values()} <= theirs


def described(kind: Any = "causal_lm", **parts: Any) -> dict[str, Any]:
    envs = make_envs(ENV_ID, 2)
    sizes: dict[str, Any] = {"layers": 1, "heads": 2, "width": 16}
    if "model" in parts:
        sizes = {}
    description = describe_policy(PolicyConfig(kind=kind, **sizes, **parts), envs, seed=3)
    envs.close()
    return description


@pytest.mark.parametrize("kind", ["causal_lm", "seq2seq"])
@pytest.mark.parametrize("critic", ["shared", "separate"])
def test_a_fresh_base_is_saved_with_its_adapter(critic: Any, kind: Any, tmp_path: Path) -> None:
    description = described(kind, lora_rank=2, critic=critic)
    policy = build_policy(description)
    move(policy, 0.3)
    save_policy(policy, tmp_path)
    loaded = load_policy(description, tmp_path)
    assert loaded.state_dict().keys() == policy.state_dict().keys()
    for name, value in policy.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    pickles = [path for path in tmp_path.rglob("*") if path.suffix in {".bin", ".pt", ".pkl"}]
    assert not pickles
    own = load_file(tmp_path / "policy.safetensors")
    trained = {n for n, p in policy.named_parameters() if p.requires_grad}
    stub = {"critic.model.lm_head.weight"} if critic == "separate" else set()
    kept_elsewhere = {name for name in trained if name.startswith("model.")}
    assert set(own) == (trained - kept_elsewhere) | stub


@QUIET
def test_peft_reads_the_adapter(tmp_path: Path) -> None:
    """The files are peft's own format: its model of the same base computes the same."""
    policy = lm_policy(rank=2)
    save_policy(policy, tmp_path)
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    theirs = PeftModel.from_pretrained(base, str(tmp_path / "adapter"))
    assert torch.equal(logits(theirs), logits(policy.model))


@QUIET
def test_the_layers_are_those_that_peft_would_adapt() -> None:
    policy = lm_policy(rank=2, moved=0.0)
    config = LoraConfig(
        r=2, target_modules="all-linear", task_type="CAUSAL_LM", fan_in_fan_out=True
    )
    theirs = {n: tuple(p.shape) for n, p in get_peft_model(gpt2(), config).named_parameters()}
    ours = {f"base_model.model.{n}": tuple(p.shape) for n, p in policy.model.named_parameters()}
    assert ours == theirs


def test_a_named_base_is_not_saved_and_a_folder_is(tmp_path: Path) -> None:
    small = gpt2()
    small.save_pretrained(tmp_path / "small")
    assert described(model=str(tmp_path / "small"), lora_rank=2)["lora"]["base"] is None
    description = described(model="owner/name", lora_rank=2)
    assert description["lora"]["base"] == "owner/name"


def test_the_bundled_model_is_saved_by_name_alone(tmp_path: Path) -> None:
    envs = make_envs("textgym:textgym/Arithmetic-v0", 2)
    description = describe_policy(PolicyConfig(lora_rank=1, lora_targets=("c_attn",)), envs)
    envs.close()
    policy = build_policy(description)
    move(policy, 0.1)
    save_policy(policy, tmp_path)
    files = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    adapter = {"adapter/adapter_config.json", "adapter/adapter_model.safetensors"}
    assert files == adapter | {"policy.safetensors"}
    loaded = load_policy(description, tmp_path)
    for name, value in policy.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


@pytest.mark.parametrize("broken", ["missing", "unknown", "shape"])
def test_files_that_do_not_fit_are_refused(broken: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    description = described(lora_rank=2)
    save_policy(build_policy(description), tmp_path)
    path = tmp_path / "adapter" / "adapter_model.safetensors"
    tensors = load_file(path)
    name = sorted(tensors)[0]
    if broken == "missing":
        del tensors[name]
    elif broken == "unknown":
        tensors[name.replace("c_attn", "c_other")] = tensors[name].clone()
    else:
        tensors[name] = tensors[name][:1].clone()
    save_file(tensors, path)
    with pytest.raises(ValueError, match="does not fit the policy"):
        load_policy(description, tmp_path)


def run(output: Path, parts: dict[str, Any], steps: int = 64, **kwargs: Any) -> Path:
    config = TrainConfig(
        env_id=ENV_ID,
        output=output,
        total_steps=steps,
        num_envs=4,
        policy=PolicyConfig(**{"kind": "causal_lm", **SIZES, **parts}),
        tensorboard=False,
        progress=False,
        checkpoint_interval=2,
        keep_checkpoints=100,
        **kwargs,
    )
    algorithm = ReinforceConfig(baseline="learned", learning_rate=0.01)
    return train(config, algorithm).checkpoint


SIZES = {"layers": 1, "heads": 2, "width": 16}
PARTS = {"lora_rank": 2, "critic": "separate", "precision": "bf16", "gradient_checkpointing": True}


@pytest.mark.parametrize(
    "parts", [{"lora_rank": 2}, PARTS, {"kind": "seq2seq", **PARTS}], ids=["lora", "all", "seq2seq"]
)
def test_a_resumed_run_equals_the_one_never_stopped(parts: dict[str, Any], tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", parts)
    run(tmp_path / "parts", parts, steps=32)
    resumed = run(tmp_path / "parts", parts, resume=True)
    assert read_state(whole).iteration == read_state(resumed).iteration > 4
    first, second = load_checkpoint_policy(whole), load_checkpoint_policy(resumed)
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name
    for kind in ("optimizer", "policy"):
        one, two = (load_file(path / f"{kind}.safetensors") for path in (whole, resumed))
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("parts", [{}, {"lora_rank": 2}], ids=["plain", "adapted"])
def test_a_warm_start_takes_an_adapter_and_merges_the_one_it_finds(
    parts: dict[str, Any], tmp_path: Path
) -> None:
    source = run(tmp_path / "source", parts)
    started = run(tmp_path / "warm", {"lora_rank": 3}, init=tmp_path / "source")
    first = started.parent / "iteration-00000000"
    warm, old = load_checkpoint_policy(first), load_checkpoint_policy(source)
    ids = torch.tensor([[0, 1, 3]])
    torch.testing.assert_close(
        warm.model(ids).logits,  # type: ignore[operator]
        old.model(ids).logits,  # type: ignore[operator]
        atol=1e-6,
        rtol=0,
    )
    assert torch.equal(warm.value_head.weight, old.value_head.weight)  # type: ignore[union-attr]
    adapter = read_state(find_checkpoint(started)).policy["lora"]
    assert (adapter["rank"], adapter["base"]) == (3, None)
    base, learned = (load_file(path / "model" / "model.safetensors") for path in (first, started))
    assert all(torch.equal(base[name], learned[name]) for name in base)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="lora_rank must be at least 0"):
        PolicyConfig(lora_rank=-1)
    with pytest.raises(ValueError, match="lora_alpha must be above 0"):
        PolicyConfig(lora_alpha=0.0)
    envs = make_envs("CartPole-v1", 1)
    for parts in ({"lora_rank": 2}, {"critic": "separate"}, {"precision": "bf16"}):
        with pytest.raises(ValueError, match=r"is for language models"):
            describe_policy(PolicyConfig(**parts), envs)  # type: ignore[arg-type]
    envs.close()


def test_evaluated_gradients_are_those_of_the_formula() -> None:
    policy, batch = lm_policy(rank=2), episodes(3)
    policy.evaluate(batch).log_probs.sum().backward()  # type: ignore[no-untyped-call]
    measured = {n: p.grad.clone() for n, p in policy.named_parameters() if p.grad is not None}
    policy.zero_grad()
    total = torch.zeros(())
    for episode in batch:
        contexts: Any = episode.observations
        table = policy.model(torch.from_numpy(contexts.tokens)[None]).logits[0].log_softmax(-1)
        total = total + table[contexts.lengths - 1, episode.actions].sum()
    total.backward()  # type: ignore[no-untyped-call]
    assert len(measured) == 16
    for name, parameter in policy.model.named_parameters():
        if parameter.requires_grad:
            expected = parameter.grad
            assert expected is not None
            assert_allclose(measured[f"model.{name}"], expected, atol=2e-5, err_msg=name)
    assert policy.num_actions == VOCAB
