"""Matrix products by another library are the same products, and so are their derivatives."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.testing import assert_close
from transformers.pytorch_utils import Conv1D

from textgym_agents.policies import products
from textgym_agents.policies.computing import computing
from textgym_agents.policies.products import fast_products, product


def numbers(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("num_rows", [0, 1, 7, 300])
def test_first_and_second_derivatives(num_rows: int, with_bias: bool, turned: bool) -> None:
    rows, bias = numbers(0, num_rows, 24), numbers(2, 40)
    stored = numbers(1, 24, 40) if turned else numbers(1, 40, 24)
    leaves = [rows, stored, bias] if with_bias else [rows, stored]
    found = []
    for compute in (product, linear):
        weight = stored.t() if turned else stored
        result = compute(rows, weight, bias if with_bias else None)
        first = torch.autograd.grad((result**3).sum(), leaves, create_graph=True)
        second = torch.autograd.grad(sum((g**2).sum() for g in first), leaves)
        found.append((result, *first, *second))
    for mine, expected in zip(*found, strict=True):
        largest = float(expected.detach().abs().max()) if expected.numel() else 0.0
        assert_close(mine, expected, rtol=0, atol=1e-5 * largest)


def test_layers_compute_so_inside_alone() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), Conv1D(5, 8), nn.Linear(5, 3).double())
    other = copy.deepcopy(model)
    states = numbers(3, 2, 4, 6)
    with fast_products(model):
        assert ("forward" in vars(model[0])) == products.has_fast_products()
        assert "forward" not in vars(model[2])
        inside = model[1](model[0](states))
    outside = other[1](other[0](states))
    assert not any("forward" in vars(layer) for layer in model)
    assert_close(inside, outside)
    inside.sum().backward()
    outside.sum().backward()
    for mine, expected in zip(model[:2].parameters(), other[:2].parameters(), strict=True):
        assert_close(mine.grad, expected.grad)
        assert mine.grad.stride() == mine.stride()


def test_not_in_bfloat16() -> None:
    model = nn.Sequential(nn.Linear(6, 8))
    with computing(model, "bf16", recompute=False):
        assert "forward" not in vars(model[0])


def test_contexts_may_lie_inside_each_other() -> None:
    model = nn.Sequential(nn.Linear(6, 8))
    with fast_products(model), fast_products(model):
        pass
    assert "forward" not in vars(model[0])
