"""Bfloat16 and recomputed layers: what is computed, how closely, and with how much memory."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from transformers import OPTConfig, OPTForCausalLM

from tests.agents.texts import VOCAB, WIDTH, act_along, episodes, gpt2, llama, lm_policy
from textgym_agents.algorithms import Reinforce, ReinforceConfig
from textgym_agents.policies import context_model
from textgym_agents.policies.causal_lm import CausalLMPolicy
from textgym_agents.policies.computing import recomputable_layers

MODELS = pytest.mark.parametrize("make_model", [gpt2, llama])


def gradients(policy: CausalLMPolicy) -> dict[str, torch.Tensor]:
    evaluation = policy.evaluate(episodes())
    loss = evaluation.log_probs.sum() + evaluation.entropy.sum() + evaluation.values.sum()
    loss.backward()  # type: ignore[no-untyped-call]
    return {n: p.grad for n, p in policy.named_parameters() if p.grad is not None}


def opt() -> OPTForCausalLM:
    """Dropout that a layer applies itself, by its own training flag."""
    torch.manual_seed(0)
    config = OPTConfig(
        vocab_size=VOCAB,
        hidden_size=16,
        word_embed_proj_dim=16,
        ffn_dim=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=WIDTH,
        dropout=0.5,
        bos_token_id=None,
        eos_token_id=None,
    )
    return OPTForCausalLM(config)


@pytest.mark.parametrize("make_model", [gpt2, llama, opt])
@pytest.mark.parametrize("rank", [0, 2])
def test_recomputed_layers_give_the_same_gradients(
    make_model: Any, rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context_model, "can_pack", lambda _: False)  # Side by side, as recomputed.
    plain = gradients(lm_policy(make_model(), rank=rank, critic="separate"))
    policy = lm_policy(make_model(), rank=rank, critic="separate", gradient_checkpointing=True)
    policy.train()
    recomputed = gradients(policy)
    assert plain.keys() == recomputed.keys()
    for name, gradient in plain.items():
        scale = float(gradient.abs().max())
        difference = float((recomputed[name] - gradient).abs().max())
        assert difference <= 1e-6 * max(scale, 1), (name, difference, scale)


@MODELS
def test_each_layer_runs_twice_with_gradients_and_once_without(make_model: Any) -> None:
    policy = lm_policy(make_model(), gradient_checkpointing=True)
    policy.evaluate(episodes())  # It is found out once how the head works, by trying.
    calls: list[int] = []
    for layer in recomputable_layers(policy.model):
        part = next(
            module for name, module in layer.named_modules() if "norm" in name or "ln" in name
        )
        part.register_forward_hook(lambda *_: calls.append(0))
    evaluation = policy.evaluate(episodes())
    assert len(calls) == 2
    evaluation.log_probs.sum().backward()  # type: ignore[no-untyped-call]
    assert len(calls) == 4
    with torch.no_grad():
        policy.evaluate(episodes(prompts=6))
    assert len(calls) == 6


@MODELS
def test_acting_keeps_its_cache_under_recomputing(make_model: Any) -> None:
    policy, batch = lm_policy(make_model(), gradient_checkpointing=True), episodes()
    policy.train()
    steps, values = act_along(policy, batch)
    with torch.no_grad():
        torch.testing.assert_close(steps, policy.episode_log_probs(batch), atol=1e-5, rtol=0)
        torch.testing.assert_close(values, policy.evaluate(batch).values, atol=1e-5, rtol=0)


def test_models_without_such_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="Linear does not support gradient checkpointing"):
        recomputable_layers(torch.nn.Linear(2, 2))


MEMORY = """
import resource, torch
from tests.agents.texts import episodes, lm_policy
from textgym_agents.policies.models import small_gpt2
from tests.agents import texts
texts.VOCAB = 29
model = small_gpt2(29, layers=12, heads=4, width=256, max_positions=64)
policy = lm_policy(model, moved=0.0, gradient_checkpointing={recompute})
batch = episodes(256, prompts=256)
policy.evaluate(batch[:1]).log_probs.sum().backward()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
policy.evaluate(batch).log_probs.sum().backward()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.slow
def test_recomputing_needs_far_less_memory() -> None:
    peaks = {}
    for recompute in (False, True):
        code = MEMORY.format(recompute=recompute)
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        peaks[recompute] = float(done.stdout)
    assert peaks[True] < 0.5 * peaks[False], peaks


@MODELS
@pytest.mark.parametrize("critic", ["shared", "separate"])
def test_bfloat16_rollouts_and_updates_see_the_same_within_its_rounding(
    make_model: Any, critic: str
) -> None:
    policy, batch = lm_policy(make_model(), critic=critic, precision="bf16"), episodes()
    exact = lm_policy(make_model(), critic=critic)
    steps, values = act_along(policy, batch)
    with torch.no_grad():
        whole, evaluation = policy.episode_log_probs(batch), policy.evaluate(batch)
        in_full = exact.episode_log_probs(batch)
    assert steps.dtype == whole.dtype == evaluation.values.dtype == torch.float32
    torch.testing.assert_close(steps, whole, atol=0.02, rtol=0)
    torch.testing.assert_close(values, evaluation.values, atol=0.02, rtol=0)
    torch.testing.assert_close(whole, in_full, atol=0.05, rtol=0)
    assert (whole - in_full).abs().max() > 1e-5  # it is bfloat16 indeed
    torch.testing.assert_close(whole.exp().sum(dim=-1), torch.ones(len(whole)))


@MODELS
def test_weights_gradients_and_adam_stay_float32(make_model: Any) -> None:
    policy = lm_policy(make_model(), precision="bf16")
    learner = Reinforce(policy, ReinforceConfig(baseline="learned", learning_rate=0.01))
    metrics = learner.gradients(episodes())
    assert all(isinstance(value, float) for value in metrics.values())
    kinds = {p.dtype for p in policy.parameters()} | {
        p.grad.dtype for p in policy.parameters() if p.grad is not None
    }
    learner.update(episodes())
    kinds |= {value.dtype for entry in learner.optimizer.state.values() for value in entry.values()}
    assert kinds == {torch.float32}


@MODELS
def test_gradients_in_bfloat16_point_where_the_exact_ones_do(make_model: Any) -> None:
    exact = gradients(lm_policy(make_model()))
    rounded = gradients(lm_policy(make_model(), precision="bf16", gradient_checkpointing=True))
    first, second = (torch.cat([g.flatten() for g in found.values()]) for found in (exact, rounded))
    assert torch.cosine_similarity(first, second, dim=0) > 0.999


def test_keys_values_and_masks_are_kept_in_bfloat16() -> None:
    policy = lm_policy(llama(), precision="bf16")
    act_along(policy, episodes())
    cache = policy._contexts._cache
    assert cache is not None
    assert cache.layout[2] == torch.bfloat16
    layer: Any = cache._buffer._layers[0]
    assert layer.keys.dtype == layer.values.dtype == torch.bfloat16
