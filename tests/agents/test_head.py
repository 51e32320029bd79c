"""Log-probabilities straight from hidden states are those of whole tables of logits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from textgym_agents.policies import head
from textgym_agents.policies.decoder import head_is_last
from textgym_agents.policies.models import small_gpt2
from textgym_agents.policies.sampling import (
    Sampling,
    draw,
    entropy,
    gather,
    process_logits,
    uniform_numbers,
)

STEPS, WIDTH, ROWS, ACTIONS = 23, 5, 13, 11


def inputs(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hidden states, weights, bias and actions, all of them below 6."""
    generator = torch.Generator().manual_seed(0)

    def numbers(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=dtype).requires_grad_()

    actions = torch.randint(6, (STEPS,), generator=generator)
    return numbers(STEPS, WIDTH), numbers(ROWS, WIDTH), numbers(ROWS), actions


def masks(kind: str) -> Tensor | None:
    """Masks that allow the actions below 6."""
    if kind == "none":
        return None
    mask = torch.arange(ACTIONS) < 8
    return mask if kind == "shared" else mask | (torch.arange(STEPS)[:, None] % 2 == 0)


@pytest.fixture(autouse=True)
def several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "_CHUNK", 4 * ACTIONS)
    monkeypatch.setattr(head, "_LEAST_ROWS", 4)


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("kind", ["none", "shared", "each"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_values_and_gradients_are_those_of_the_table(
    with_bias: bool, kind: str, temperature: float
) -> None:
    hidden, weight, full_bias, actions = inputs(torch.float64)
    bias = full_bias if with_bias else None
    leaves = [hidden, weight, full_bias] if with_bias else [hidden, weight]
    mask = masks(kind)
    logits = nn.functional.linear(hidden, weight, bias)[:, :ACTIONS]
    table = process_logits(logits, Sampling(temperature=temperature), mask)
    ours = head.head_log_probs(
        hidden, weight, bias, actions, num_actions=ACTIONS, mask=mask, temperature=temperature
    )
    theirs = gather(table, actions), entropy(table)
    for mine, expected in zip(ours, theirs, strict=True):
        assert_close(mine, expected, rtol=1e-12, atol=1e-12)
    weights = torch.linspace(-1.0, 2.0, STEPS, dtype=torch.float64)
    for of_entropy in (0.0, 0.3):
        sums = [
            (weights * a).sum() + of_entropy * (weights**2 * b).sum() for a, b in (ours, theirs)
        ]
        mine, expected = (torch.autograd.grad(s, leaves, retain_graph=True) for s in sums)
        for a, b in zip(mine, expected, strict=True):
            assert_close(a, b, rtol=1e-10, atol=1e-12)


OTHERS = [
    Sampling(top_k=3, temperature=0.7),
    Sampling(top_p=0.6, min_p=0.05),
    Sampling(epsilon=0.3),
    Sampling(temperature=1.5, top_p=0.8, epsilon=0.1),
]


@pytest.mark.parametrize("kind", ["none", "shared", "each"])
@pytest.mark.parametrize("sampling", OTHERS, ids=str)
def test_any_sampling_is_that_of_the_table(
    kind: str, sampling: Sampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden, weight, bias, _ = inputs(torch.float64)
    leaves, mask = [hidden, weight, bias], masks(kind)
    logits = nn.functional.linear(hidden, weight, bias)[:, :ACTIONS]
    generator = torch.Generator().manual_seed(3)
    uniform = uniform_numbers(len(logits), generator, logits.device)
    actions, _, kept, _ = draw(logits.detach() + 0.3, sampling, mask, uniform)
    table = process_logits(logits, sampling, mask, actions, kept)
    sizes: list[int] = []

    def counted(part: Tensor, *arguments: Any) -> Tensor:
        sizes.append(len(part))
        return process_logits(part, *arguments)

    monkeypatch.setattr(head, "process_logits", counted)
    ours = head.sampled_log_probs(
        hidden,
        weight,
        bias,
        actions,
        num_actions=ACTIONS,
        sampling=sampling,
        mask=mask,
        kept=kept,
    )
    theirs = gather(table, actions), entropy(table)
    for mine, expected in zip(ours, theirs, strict=True):
        assert_close(mine, expected, rtol=1e-12, atol=1e-12)
    sums = [(a + 0.3 * b).sum() for a, b in (ours, theirs)]
    for a, b in zip(*(torch.autograd.grad(total, leaves) for total in sums), strict=True):
        assert_close(a, b, rtol=1e-10, atol=1e-12)
    assert max(sizes) <= 4
    assert sum(sizes) == 2 * STEPS  # Forward, and again for the backward pass.


def test_entropy_alone_has_a_gradient() -> None:
    hidden, weight, bias, actions = inputs(torch.float64)
    _, entropies = head.head_log_probs(hidden, weight, bias, actions, num_actions=ROWS)
    (mine,) = torch.autograd.grad(entropies.sum(), [hidden])
    table = nn.functional.linear(hidden, weight, bias).log_softmax(-1)
    (expected,) = torch.autograd.grad(entropy(table).sum(), [hidden])
    assert_close(mine, expected, rtol=1e-10, atol=1e-12)


def test_an_illegal_action_has_probability_zero() -> None:
    hidden, weight, bias, actions = inputs(torch.float32)
    mask = torch.arange(ACTIONS) != actions[3]
    log_probs, entropies = head.head_log_probs(
        hidden, weight, bias, actions, num_actions=ACTIONS, mask=mask
    )
    assert torch.equal(torch.isneginf(log_probs), actions == actions[3])
    assert entropies.isfinite().all()


def test_bfloat16_products_are_those_of_autocast() -> None:
    hidden, weight, bias, actions = inputs(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        logits = nn.functional.linear(hidden, weight, bias)
    table = process_logits(logits, Sampling())
    log_probs, entropies = head.head_log_probs(
        hidden, weight, bias, actions, num_actions=ROWS, dtype=torch.bfloat16
    )
    assert_close(log_probs, gather(table, actions))
    assert_close(entropies, entropy(table))
    leaves = [hidden, weight, bias]
    mine = torch.autograd.grad(log_probs.sum(), leaves)
    expected = torch.autograd.grad(gather(table, actions).sum(), leaves)
    for a, b in zip(mine, expected, strict=True):
        assert a.dtype == torch.float32
        assert_close(a, b, rtol=0.02, atol=0.05)


def test_a_chunk_of_logits_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    compute = head._logits

    def counted(*arguments: object) -> Tensor:
        logits = compute(*arguments)  # type: ignore[arg-type]
        sizes.append(logits.numel())
        return logits

    monkeypatch.setattr(head, "_logits", counted)
    hidden, weight, bias, actions = inputs(torch.float32)
    log_probs, _ = head.head_log_probs(hidden, weight, bias, actions, num_actions=ACTIONS)
    log_probs.sum().backward()
    assert max(sizes) <= 4 * ACTIONS
    assert sum(sizes) == 2 * STEPS * ACTIONS  # Forward, and again for the backward pass.


def test_a_head_that_is_not_last_is_found_out() -> None:
    model = small_gpt2(ROWS, layers=1, heads=1, width=8)
    assert head_is_last(model)
    forward = model.forward

    def scaled(**arguments: object) -> object:
        output = forward(**arguments)
        output.logits = 2.0 * output.logits
        return output

    model.forward = scaled
    assert not head_is_last(model)
