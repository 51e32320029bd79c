"""The sampling distribution: filters against transformers' own, and draws against it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from textgym_agents.policies.sampling import (
    Sampling,
    choose,
    entropy,
    gather,
    invert_cdf,
    process_logits,
)

CONFIGS = [
    Sampling(),
    Sampling(temperature=0.5),
    Sampling(top_k=5),
    Sampling(top_p=0.7),
    Sampling(temperature=1.7, top_k=9, top_p=0.8),
]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sampling", CONFIGS, ids=str)
def test_filters_equal_those_of_transformers(sampling: Sampling) -> None:
    logits = normal(50, 20) * 3
    expected = TemperatureLogitsWarper(sampling.temperature)(None, logits)
    if sampling.top_k:
        expected = TopKLogitsWarper(sampling.top_k)(None, expected)
    if sampling.top_p < 1:
        expected = TopPLogitsWarper(sampling.top_p)(None, expected)
    torch.testing.assert_close(process_logits(logits, sampling), expected.log_softmax(-1))


@pytest.mark.parametrize("sampling", CONFIGS, ids=str)
def test_masked_actions_have_no_probability_and_the_rest_sums_to_one(sampling: Sampling) -> None:
    mask = torch.arange(20) % 3 == 1
    log_probs = process_logits(normal(8, 20), sampling, mask)
    assert torch.isneginf(log_probs[:, ~mask]).all()
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(8))


def test_a_hand_computed_nucleus() -> None:
    probabilities = torch.tensor([[0.5, 0.3, 0.15, 0.05]])
    kept = process_logits(probabilities.log(), Sampling(top_p=0.75)).exp()
    torch.testing.assert_close(kept, torch.tensor([[0.625, 0.375, 0.0, 0.0]]))
    first = process_logits(probabilities.log(), Sampling(top_p=0.1)).exp()
    torch.testing.assert_close(first, torch.tensor([[1.0, 0.0, 0.0, 0.0]]))


def test_a_sampled_action_is_never_filtered_away() -> None:
    logits = normal(4, 10)
    least = logits.argmin(-1)
    for sampling in (Sampling(top_k=2), Sampling(top_p=0.3)):
        assert torch.isneginf(gather(process_logits(logits, sampling), least)).all()
        kept = process_logits(logits, sampling, keep=least)
        assert torch.isfinite(gather(kept, least)).all()


def test_entropy_is_that_of_torch_and_differentiable_through_masks() -> None:
    logits = normal(6, 8).requires_grad_()
    expected = torch.distributions.Categorical(logits=logits).entropy()
    torch.testing.assert_close(entropy(process_logits(logits, Sampling())), expected)
    mask = torch.arange(8) < 1
    masked = entropy(process_logits(logits, Sampling(top_p=0.9), mask))
    masked.sum().backward()
    torch.testing.assert_close(masked, torch.zeros(6))
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


def test_draws_follow_the_distribution() -> None:
    log_probs = process_logits(normal(1, 12) * 2, Sampling(top_k=6))
    draws = choose(log_probs.expand(200_000, -1), torch.Generator().manual_seed(1))
    share = np.bincount(draws.numpy(), minlength=12) / 200_000
    np.testing.assert_allclose(share, log_probs.exp()[0].numpy(), atol=0.004)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.5, 1.0 - 2**-53, 1.0]))
@settings(max_examples=60, deadline=None)
def test_no_action_of_probability_zero_is_ever_drawn(seed: int, uniform: float) -> None:
    weights = normal(3, 15, seed=seed).exp()
    weights[:, ::2] = 0.0
    chosen = invert_cdf(weights, torch.full((3, 1), uniform, dtype=torch.float64))
    assert (gather(weights, chosen) > 0).all()


def test_the_generator_alone_decides_and_the_best_action_needs_none() -> None:
    log_probs = process_logits(normal(64, 30), Sampling())
    same = [choose(log_probs, torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(*same)
    assert not torch.equal(same[0], choose(log_probs, torch.Generator().manual_seed(6)))
    generator = torch.Generator().manual_seed(5)
    before = generator.get_state()
    assert torch.equal(choose(log_probs, generator, deterministic=True), log_probs.argmax(-1))
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize(
    ("field", "value"),
    [("temperature", 0.0), ("temperature", float("inf")), ("top_k", -1), ("top_p", 0.0)],
)
def test_values_out_of_range_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        Sampling(**{field: value})
