"""The sampling distribution: filters against transformers' own, and draws against it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from textgym_agents.policies.sampling import (
    Sampling,
    draw,
    entropy,
    gather,
    invert_cdf,
    process_logits,
    uniform_numbers,
)

CONFIGS = [
    Sampling(),
    Sampling(temperature=0.5),
    Sampling(top_k=5),
    Sampling(top_p=0.7),
    Sampling(temperature=1.7, top_k=9, top_p=0.8),
    Sampling(min_p=0.2),
    Sampling(temperature=0.8, top_k=12, top_p=0.9, min_p=0.15),
]
EPSILONS = [
    Sampling(epsilon=0.25),
    Sampling(temperature=1.7, top_k=9, top_p=0.8, min_p=0.1, epsilon=0.1),
]


def drawn_from(log_probs: torch.Tensor, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    uniform = uniform_numbers(len(log_probs), generator, log_probs.device)
    return invert_cdf(log_probs.exp(), uniform)


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
    if sampling.min_p:
        expected = MinPLogitsWarper(sampling.min_p)(None, expected)
    torch.testing.assert_close(process_logits(logits, sampling), expected.log_softmax(-1))


@pytest.mark.parametrize("spread", [[9.0] * 6, [0.5] * 6, [9.0, 0.1, 4.0, 3.0, 9.0, 2.0]], ids=str)
def test_nuclei_of_all_sizes_in_a_large_vocabulary(spread: list[float]) -> None:
    """Of two actions to nearly all, alone and side by side, with actions that are not legal."""
    logits = normal(6, 3000) * torch.tensor(spread)[:, None]
    logits[:, ::7] = float("-inf")
    expected = TopPLogitsWarper(0.9)(None, logits)
    sizes = torch.isfinite(expected).sum(dim=-1)
    assert (sizes > 128).tolist() == [width < 3.5 for width in spread]
    torch.testing.assert_close(
        process_logits(logits, Sampling(top_p=0.9)), expected.log_softmax(-1)
    )
    fewer = process_logits(logits, Sampling(top_p=0.9), kept=sizes)
    torch.testing.assert_close(fewer, expected.log_softmax(-1))


@pytest.mark.parametrize("sampling", CONFIGS + EPSILONS, ids=str)
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


def test_a_hand_computed_min_p() -> None:
    probabilities = torch.tensor([[0.5, 0.3, 0.15, 0.05]])
    kept = process_logits(probabilities.log(), Sampling(min_p=0.55)).exp()
    torch.testing.assert_close(kept, torch.tensor([[0.625, 0.375, 0.0, 0.0]]))
    # The nucleus goes first: what it leaves is then compared with its most probable action.
    both = process_logits(probabilities.log(), Sampling(top_p=0.9, min_p=0.31)).exp()
    torch.testing.assert_close(both, torch.tensor([[0.625, 0.375, 0.0, 0.0]]))
    certain = process_logits(probabilities.log(), Sampling(min_p=1.0)).exp()
    torch.testing.assert_close(certain, torch.tensor([[1.0, 0.0, 0.0, 0.0]]))


def test_epsilon_mixes_in_the_uniform_distribution_over_legal_actions() -> None:
    """0.8 of what the filters leave, and 0.2 spread evenly over what is legal."""
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    mixed = process_logits(logits, Sampling(top_k=2, epsilon=0.2)).exp()
    torch.testing.assert_close(mixed, torch.tensor([[0.55, 0.35, 0.05, 0.05]]))
    mask = torch.tensor([[True, False, True, False]])
    legal = process_logits(logits, Sampling(top_k=1, epsilon=0.2), mask).exp()
    torch.testing.assert_close(legal, torch.tensor([[0.9, 0.0, 0.1, 0.0]]))


@pytest.mark.parametrize("mask", [None, torch.arange(6) % 3 != 1], ids=["all", "masked"])
def test_the_gradient_of_the_mixture_is_that_of_its_formula(mask: torch.Tensor | None) -> None:
    logits = normal(5, 6).double().requires_grad_()
    ours = process_logits(logits, Sampling(top_k=3, epsilon=0.3), mask)
    legal = torch.ones(6, dtype=torch.bool) if mask is None else mask
    masked = logits.masked_fill(~legal, float("-inf"))
    left = masked.masked_fill(masked < masked.topk(3).values[:, -1:], float("-inf"))
    plain = (0.7 * left.softmax(-1) + 0.3 / legal.sum())[:, legal].log()
    torch.testing.assert_close(ours[:, legal], plain)
    weights = normal(*plain.shape, seed=1).double()
    gradients = [
        torch.autograd.grad((weights * kind).sum() + extra, logits, retain_graph=True)[0]
        for kind, extra in (
            (ours[:, legal], entropy(ours).sum()),
            (plain, -(plain.exp() * plain).sum()),
        )
    ]
    torch.testing.assert_close(*gradients)


def test_what_epsilon_drew_from_outside_the_filters_is_not_kept() -> None:
    logits = normal(4, 10)
    sampling = Sampling(top_k=3, top_p=0.8, min_p=0.05, epsilon=0.5)
    acted = process_logits(logits, sampling)
    for number, inside in ((0.0, None), (1.0 - 2**-53, None), (None, True)):
        point = None if number is None else torch.full((4, 1), number, dtype=torch.float64)
        actions, _, kept, _ = draw(logits, sampling, uniform=point)
        assert kept is not None
        left = torch.isfinite(process_logits(logits, replace(sampling, epsilon=0.0)))
        assert torch.equal(kept > 0, gather(left, actions))
        assert torch.equal(kept.abs(), left.sum(dim=-1))
        assert inside is None or (kept > 0).all()
        assert torch.equal(process_logits(logits, sampling, keep=actions, kept=kept), acted)
    # A policy whose filters would now remove the action that they had left.
    again = process_logits(-logits, sampling, keep=actions, kept=kept)
    assert (gather(again, actions) > gather(process_logits(-logits, sampling), actions)).all()


def test_a_sampled_action_is_never_filtered_away() -> None:
    logits = normal(4, 10)
    least = logits.argmin(-1)
    for sampling in (Sampling(top_k=2), Sampling(top_p=0.3), Sampling(min_p=0.5)):
        assert torch.isneginf(gather(process_logits(logits, sampling), least)).all()
        kept = process_logits(logits, sampling, keep=least)
        assert torch.isfinite(gather(kept, least)).all()


def test_what_the_filters_left_decides_within_rounding_of_their_edges() -> None:
    """Logits that differ by rounding put an action on either side of an edge."""
    probabilities = torch.tensor([[0.4, 0.2, 0.15, 0.14, 0.11]], dtype=torch.float64)
    shift = torch.tensor([[0.0, 1e-7, 0.0, 0.0, 0.0]], dtype=torch.float64)
    rounded = [probabilities.log() + sign * shift for sign in (1, -1)]
    for sampling in (Sampling(top_p=0.6), Sampling(min_p=0.5)):
        for drawn, again in (rounded, rounded[::-1]):
            actions, log_probs, kept, _ = draw(drawn, sampling)
            assert kept is not None
            same = process_logits(again, sampling, keep=actions, kept=kept)
            assert gather(same, actions) == pytest.approx(log_probs, abs=1e-6)
            other = process_logits(again, sampling, keep=actions)
            assert abs(float(gather(other, actions) - log_probs)) > 0.2


TIES = [
    [0.4, 0.2, 0.2, 0.1, 0.1],
    [0.3, 0.3, 0.3, 0.05, 0.05],
    [0.2] * 5,
    [0.5, 0.125, 0.125, 0.125, 0.125],
]


@pytest.mark.parametrize("exact", [True, False], ids=["ties", "nearly"])
@pytest.mark.parametrize("epsilon", [0.0, 0.1])
@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(top_k=2),
        Sampling(top_k=4),
        Sampling(top_p=0.5),
        Sampling(top_p=0.7),
        Sampling(min_p=0.5),
        Sampling(min_p=1.0),
        Sampling(top_k=2, top_p=0.5),
        Sampling(top_k=3, top_p=0.7, min_p=0.3),
        Sampling(top_k=2, min_p=0.4),
    ],
    ids=str,
)
def test_actions_that_tie_are_evaluated_as_they_were_drawn(
    sampling: Sampling, epsilon: float, exact: bool
) -> None:
    """Whichever of them the filters left, and however rounding orders them later."""
    sampling = replace(sampling, epsilon=epsilon)
    table = torch.tensor(TIES, dtype=torch.float64).log().repeat(64, 1)
    drawn = table if exact else table + 1e-7 * normal(*table.shape).double()
    uniform = uniform_numbers(len(table), torch.Generator().manual_seed(0), table.device)
    actions, log_probs, kept, _ = draw(drawn, sampling, uniform=uniform)
    for seed in range(1, 5):
        again = table + 1e-7 * normal(*table.shape, seed=seed).double()
        same = process_logits(again, sampling, keep=actions, kept=kept)
        torch.testing.assert_close(gather(same, actions), log_probs, rtol=0, atol=1e-5)
        torch.testing.assert_close(
            entropy(same), entropy(process_logits(drawn, sampling)), rtol=0, atol=1e-5
        )
    assert kept is not None
    assert bool((kept < 0).any()) == (epsilon > 0 and bool((kept.abs() < 5).any()))


def test_far_from_the_edges_the_logits_decide() -> None:
    logits = normal(20, 30)
    for sampling in CONFIGS:
        kept = torch.full((20,), 3)
        assert torch.equal(
            process_logits(logits, sampling, kept=kept), process_logits(logits, sampling)
        )


@pytest.mark.parametrize("sampling", CONFIGS + EPSILONS, ids=str)
def test_a_draw_is_one_from_the_distribution(sampling: Sampling) -> None:
    logits, mask = normal(200, 30), torch.arange(30) % 5 != 0
    uniform = uniform_numbers(len(logits), torch.Generator().manual_seed(0), logits.device)
    actions, log_probs, kept, entropies = draw(logits, sampling, mask, uniform, with_entropy=True)
    table = process_logits(logits, sampling, mask)
    torch.testing.assert_close(entropies, entropy(table))
    assert torch.equal(actions, drawn_from(table, 0))
    assert torch.equal(log_probs, gather(table, actions))
    if sampling.epsilon == 0 and sampling.filters:
        assert kept is not None
        assert torch.equal(kept, torch.isfinite(table).sum(dim=-1))
    assert (kept is not None) is sampling.filters


def test_entropy_is_that_of_torch_and_differentiable_through_masks() -> None:
    logits = normal(6, 8).requires_grad_()
    expected = torch.distributions.Categorical(logits=logits).entropy()
    torch.testing.assert_close(entropy(process_logits(logits, Sampling())), expected)
    mask = torch.arange(8) < 1
    masked = entropy(process_logits(logits, Sampling(top_p=0.9), mask))
    masked.sum().backward()
    torch.testing.assert_close(masked, torch.zeros(6))
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("epsilon", [0.0, 0.3])
def test_draws_follow_the_distribution(epsilon: float) -> None:
    log_probs = process_logits(normal(1, 12) * 2, Sampling(top_k=6, epsilon=epsilon))
    draws = drawn_from(log_probs.expand(200_000, -1), 1)
    share = np.bincount(draws.numpy(), minlength=12) / 200_000
    np.testing.assert_allclose(share, log_probs.exp()[0].numpy(), atol=0.004)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.5, 1.0 - 2**-53, 1.0]))
@settings(max_examples=60, deadline=None)
def test_no_action_of_probability_zero_is_ever_drawn(seed: int, uniform: float) -> None:
    weights = normal(3, 15, seed=seed).exp()
    weights[:, ::2] = 0.0
    chosen = invert_cdf(weights, torch.full((3, 1), uniform, dtype=torch.float64))
    assert (gather(weights, chosen) > 0).all()


@pytest.mark.parametrize("size", [4096, 4097, 5000, 5120, 50_257])
def test_actions_of_large_vocabularies_are_those_of_the_whole_sum(size: int) -> None:
    """Also where whole blocks of actions are not legal, and none after some action is."""
    weights = (normal(40, size) * 4).exp().double()
    weights[:10, 256:1024] = 0.0
    weights[10:20, : size // 2] = 0.0
    weights[20:30, -700:] = 0.0
    uniform = uniform_numbers(40, torch.Generator().manual_seed(1), weights.device)
    uniform[::10], uniform[1::10], uniform[2::10] = 0.0, 1.0 - 2**-53, 1.0
    cumulative = weights.cumsum(-1)
    expected = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True)
    chosen = invert_cdf(weights, uniform)
    assert (gather(weights, chosen) > 0).all()
    inner = uniform[:, 0] < 0.999
    assert int(inner.sum()) > 25
    assert torch.equal(chosen[inner], expected[inner, 0])


def test_the_generator_alone_decides_and_the_best_action_needs_none() -> None:
    logits = normal(64, 30)
    log_probs = process_logits(logits, Sampling())
    assert torch.equal(drawn_from(log_probs, 5), drawn_from(log_probs, 5))
    assert not torch.equal(drawn_from(log_probs, 5), drawn_from(log_probs, 6))
    assert torch.equal(draw(logits, Sampling())[0], log_probs.argmax(-1))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 0.0),
        ("temperature", float("inf")),
        ("top_k", -1),
        ("top_p", 0.0),
        ("min_p", 1.1),
        ("epsilon", 1.0),
    ],
)
def test_values_out_of_range_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        Sampling(**{field: value})
