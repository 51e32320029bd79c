"""The key-value cache computes what transformers computes without one."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import (
    AutoModelForCausalLM,
    FalconConfig,
    Gemma2Config,
    GPTNeoConfig,
    GPTNeoXConfig,
    MambaConfig,
    MistralConfig,
    OPTConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen3Config,
)

from tests.agents import texts
from textgym_agents.policies.causal_lm import CausalLMPolicy
from textgym_agents.policies.decoder import cacheable_width
from textgym_agents.policies.models import small_gpt2

VOCAB, WIDTH, SLOTS, PAD = 37, 24, 5, 37


def gpt2() -> PreTrainedModel:
    return small_gpt2(VOCAB, layers=2, heads=2, width=16, max_positions=WIDTH, seed=1)


def llama() -> PreTrainedModel:
    return texts.llama(VOCAB, WIDTH, seed=2).eval()


MODELS = pytest.mark.parametrize("make_model", [gpt2, llama])


def contexts_walk(
    rng: np.random.Generator, steps: int, *, grow: int = 1, reset: float = 0.15, still: float = 0.0
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    """Contexts that grow by 1 to ``grow`` tokens a step, with resets and idle slots.

    Some become shorter or others in the middle, and some slots stay away for several steps.
    """
    observations = np.full((SLOTS, WIDTH), PAD)
    lengths = np.zeros(SLOTS, np.int64)
    away = np.zeros(SLOTS, np.int64)
    prompts = rng.integers(VOCAB, size=(3, 9))
    for _ in range(steps):
        away = np.where((away == 0) & (rng.random(SLOTS) < 0.05), 5, np.maximum(away - 1, 0))
        active = (rng.random(SLOTS) > 0.2) & (away == 0)
        for slot in np.flatnonzero(active):
            amount = int(rng.integers(1, grow + 1))
            if lengths[slot] > 1 and rng.random() < 0.06:
                lengths[slot] = rng.integers(1, lengths[slot])
                observations[slot, lengths[slot] :] = PAD
                if rng.random() < 0.5:
                    observations[slot, rng.integers(lengths[slot])] = rng.integers(VOCAB)
            if lengths[slot] == 0 or lengths[slot] + amount > WIDTH or rng.random() < reset:
                size = int(rng.integers(1, 10))
                observations[slot] = PAD
                observations[slot, :size] = prompts[rng.integers(3), :size]
                lengths[slot] = size
            elif rng.random() >= still:
                new = rng.integers(VOCAB, size=amount)
                observations[slot, lengths[slot] : lengths[slot] + amount] = new
                lengths[slot] += amount
        if active.any():
            yield observations.copy(), active


def reference_logits(
    model: PreTrainedModel, observations: NDArray[np.int64], active: NDArray[np.bool_]
) -> torch.Tensor:
    """Transformers' own logits of each active context: no batch, no padding, no cache."""
    rows = []
    with torch.no_grad():
        for context in observations[active]:
            ids = torch.from_numpy(context[context != PAD])[None]
            rows.append(model(input_ids=ids, use_cache=False).logits[0, -1])
    return torch.stack(rows)


def cached_logits(
    policy: CausalLMPolicy, observations: NDArray[np.int64], active: NDArray[np.bool_]
) -> torch.Tensor:
    lengths = (observations != PAD).sum(axis=1)
    tokens = np.where(observations == PAD, 0, observations)
    with torch.inference_mode():
        logits, _ = policy._last_tokens(tokens, lengths, active)
    return logits[torch.from_numpy(active)].clone()


@MODELS
@pytest.mark.parametrize(
    ("grow", "still", "slack"),
    [(1, 0.0, 32), (1, 0.0, 1), (5, 0.0, 32), (5, 0.3, 1), (9, 0.1, 3)],
    ids=["one-token", "small-buffer", "several-tokens", "several-small-buffer", "turns"],
)
def test_cached_logits_equal_transformers_own(
    make_model: type[PreTrainedModel], grow: int, still: float, slack: int
) -> None:
    model = make_model()
    policy = CausalLMPolicy(model, PAD, cache_slack=slack)
    rng = np.random.default_rng(grow)
    for observations, active in contexts_walk(rng, 120, grow=grow, still=still):
        torch.testing.assert_close(
            cached_logits(policy, observations, active),
            reference_logits(model, observations, active),
            atol=1e-4,
            rtol=0,
        )


@MODELS
def test_uncached_logits_equal_transformers_own(make_model: type[PreTrainedModel]) -> None:
    model = make_model()
    policy = CausalLMPolicy(model, PAD, cache=False)
    for observations, active in contexts_walk(np.random.default_rng(0), 20):
        torch.testing.assert_close(
            cached_logits(policy, observations, active),
            reference_logits(model, observations, active),
            atol=1e-4,
            rtol=0,
        )


@MODELS
def test_changed_weights_empty_the_cache(make_model: type[PreTrainedModel]) -> None:
    model = make_model()
    policy = CausalLMPolicy(model, PAD)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    walk = contexts_walk(np.random.default_rng(3), 60, reset=0.02)
    for step, (observations, active) in enumerate(walk):
        if step % 20 == 10:
            before = cached_logits(policy, observations, active)
            model(torch.arange(6)[None]).logits.square().sum().backward()
            optimizer.step()
            assert (cached_logits(policy, observations, active) - before).abs().max() > 1e-2
        torch.testing.assert_close(
            cached_logits(policy, observations, active),
            reference_logits(model, observations, active),
            atol=1e-4,
            rtol=0,
        )


def test_clear_cache_after_a_change_that_no_counter_shows() -> None:
    policy = CausalLMPolicy(gpt2(), PAD)
    observations, active = next(contexts_walk(np.random.default_rng(1), 1))
    cached_logits(policy, observations, active)
    next(iter(policy.model.parameters())).data.add_(0.5)
    policy.clear_cache()
    torch.testing.assert_close(
        cached_logits(policy, observations, active),
        reference_logits(policy.model, observations, active),
    )


def count_tokens(policy: CausalLMPolicy) -> list[tuple[int, int]]:
    """A list that receives the shape of each batch of ids the model is given."""
    shapes: list[tuple[int, int]] = []
    policy.model.register_forward_pre_hook(
        lambda _, args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    return shapes


def test_a_step_costs_one_token_and_a_reset_its_own_prompt() -> None:
    policy = CausalLMPolicy(gpt2(), PAD)
    shapes = count_tokens(policy)
    observations = np.full((4, WIDTH), PAD)
    observations[:, :6] = [[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6], [7, 8, 9, 1, 1, 1], [2] * 6]
    everyone = np.ones(4, np.bool_)
    cached_logits(policy, observations, everyone)
    assert shapes == [(3, 5), (4, 1)]  # equal prompts once
    shapes.clear()
    observations[:, 6] = 11
    cached_logits(policy, observations, everyone)
    assert shapes == [(4, 1)]
    shapes.clear()
    observations[:, 7] = 12
    observations[2] = PAD
    observations[2, :3] = [5, 5, 5]
    cached_logits(policy, observations, everyone)
    assert shapes == [(1, 2), (4, 1)]
    shapes.clear()
    observations[0, 8:12] = [1, 2, 3, 4]
    observations[1:3, 8] = observations[2, 3] = 9
    cached_logits(policy, observations, np.array([True, False, False, False]))
    assert shapes == [(1, 3), (4, 1)]


def test_slots_that_stay_idle_leave_the_batch_and_come_back() -> None:
    policy = CausalLMPolicy(gpt2(), PAD)
    shapes = count_tokens(policy)
    observations = np.full((4, WIDTH), PAD)
    observations[:, :3] = [[1, 2, 3], [4, 5, 6], [7, 8, 9], [1, 1, 1]]
    cached_logits(policy, observations, np.ones(4, np.bool_))
    one = np.array([False, True, False, False])
    for length in range(3, 12):
        observations[1, length] = length
        cached_logits(policy, observations, one)
    assert shapes[-1] == (1, 1)
    for slot in (0, 3):
        one[slot] = True
        observations[slot, 3] = 8
        torch.testing.assert_close(
            cached_logits(policy, observations, one),
            reference_logits(policy.model, observations, one),
        )
    assert (3, 1) in shapes


@pytest.mark.parametrize("grow", [1, 7])
def test_buffers_are_as_wide_as_the_longest_context_and_some_slack(grow: int) -> None:
    """However unlike the paces at which contexts grow, and after long ones have ended."""
    policy = CausalLMPolicy(gpt2(), PAD, cache_slack=4)
    for observations, active in contexts_walk(np.random.default_rng(5), 150, grow=grow, still=0.4):
        cached_logits(policy, observations, active)
        cache = policy._contexts._cache
        assert cache is not None
        longest = int(cache._lengths[cache.slots].max())
        assert longest <= cache._buffer.num_columns <= min(longest + 2 * 4, WIDTH)


def test_a_copied_policy_has_a_cache_of_its_own() -> None:
    policy = CausalLMPolicy(gpt2(), PAD)
    observations, active = next(contexts_walk(np.random.default_rng(1), 1))
    expected = cached_logits(policy, observations, active)
    copied = copy.deepcopy(policy)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.mul_(1.5)
    assert (cached_logits(copied, observations, active) - expected).abs().max() > 1e-3
    torch.testing.assert_close(cached_logits(policy, observations, active), expected)


SIZES = {
    "vocab_size": VOCAB,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": WIDTH,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
GROUPED = {"intermediate_size": 24, "num_key_value_heads": 2, "head_dim": 8}
OPT = {"ffn_dim": 24, "word_embed_proj_dim": 16, "dropout": 0.0, "pad_token_id": 1}
NEO = {"attention_types": [[["global", "local"], 1]], "window_size": 4}
LONG = {
    "rope_type": "longrope",
    "rope_theta": 10_000.0,
    "short_factor": [1.0, 1.0],
    "long_factor": [3.0, 4.0],
    "original_max_position_embeddings": WIDTH,
    "factor": 4.0,
}
PHI = {
    "intermediate_size": 24,
    "max_position_embeddings": 4 * WIDTH,
    "original_max_position_embeddings": WIDTH,
    "rope_parameters": LONG,
}
FAMILIES: list[tuple[type[PreTrainedConfig], dict[str, Any], bool]] = [
    (OPTConfig, OPT, True),
    (GPTNeoXConfig, {"intermediate_size": 24}, True),
    (Qwen3Config, GROUPED, True),
    (Phi3Config, PHI, True),
    (Gemma2Config, GROUPED, True),
    (Gemma2Config, GROUPED | {"sliding_window": 4}, False),
    (MistralConfig, GROUPED | {"sliding_window": 4}, False),
    (FalconConfig, {"alibi": True}, False),
    (GPTNeoConfig, NEO, False),
    (MambaConfig, {"state_size": 4}, False),
]


@pytest.mark.parametrize(("kind", "options", "cached"), FAMILIES)
def test_other_families_are_exact_with_the_cache_or_do_without(
    kind: type[PreTrainedConfig], options: dict[str, Any], cached: bool
) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(kind(**(SIZES | options))).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    assert (cacheable_width(model) >= WIDTH) is cached
    policy = CausalLMPolicy(model, PAD, cache_slack=3)
    for observations, active in contexts_walk(np.random.default_rng(0), 120, grow=6, still=0.1):
        torch.testing.assert_close(
            cached_logits(policy, observations, active),
            reference_logits(model, observations, active),
            atol=1e-4,
            rtol=0,
        )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_weights_and_shape_may_change_at_once(precision: Any) -> None:
    """The cache is another one then, and what it computes with is new as well."""
    model = gpt2()
    policy = CausalLMPolicy(model, PAD, precision=precision)
    rng = np.random.default_rng(0)
    policy.step_log_probs(rng.integers(VOCAB, size=(4, 9)))
    texts.move(model, 0.5)
    for num_slots, width in ((2, 9), (2, 8)):
        observations = rng.integers(VOCAB, size=(num_slots, width))
        fresh = CausalLMPolicy(model, PAD, precision=precision, cache=False)
        expected = fresh.step_log_probs(observations)
        for _ in range(2):
            found = policy.step_log_probs(observations)
            atol = 1e-4 if precision == "fp32" else 0.1
            torch.testing.assert_close(found, expected, atol=atol, rtol=0)


def test_a_model_may_change_its_type() -> None:
    model = gpt2()
    policy = CausalLMPolicy(model, PAD)
    observations = np.random.default_rng(0).integers(VOCAB, size=(3, 9))
    before = policy.step_log_probs(observations)
    model.double()
    after = policy.step_log_probs(observations)
    torch.testing.assert_close(after, before, atol=1e-5, rtol=0, check_dtype=False)


def test_padding_needs_no_positions() -> None:
    """An observation may be a token longer than the last context that is acted on."""
    model = small_gpt2(VOCAB, layers=1, heads=2, width=8, max_positions=WIDTH - 1)
    policy, fresh = CausalLMPolicy(model, PAD), CausalLMPolicy(model, PAD, cache=False)
    rng = np.random.default_rng(0)
    observations = rng.integers(VOCAB, size=(2, WIDTH))
    for lengths in ((5, WIDTH - 3), (12, WIDTH - 1)):
        shown = np.where(np.arange(WIDTH) < np.array(lengths)[:, None], observations, PAD)
        found, expected = policy.step_log_probs(shown), fresh.step_log_probs(shown)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_keys_of_nan_weights_are_forgotten() -> None:
    """A masked column still counts zero times what it holds, and zero times NaN is NaN."""
    model = gpt2()
    policy = CausalLMPolicy(model, PAD)
    weights = copy.deepcopy(model.state_dict())
    observations = np.random.default_rng(0).integers(VOCAB, size=(3, 12))
    with torch.no_grad():
        model.get_parameter("transformer.wpe.weight").fill_(torch.nan)
    with torch.inference_mode():
        policy._contexts.last_tokens(observations, np.full(3, 12), np.ones(3, np.bool_))
    model.load_state_dict(weights)
    shorter = np.where(np.arange(12) < 5, observations, PAD)
    found = policy.step_log_probs(shorter)
    expected = CausalLMPolicy(model, PAD, cache=False).step_log_probs(shorter)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
