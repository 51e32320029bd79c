"""Matrix products on processors with AVX-512: by oneDNN, which PyTorch has but uses for less.

PyTorch multiplies float32 matrices with MKL, which on processors that are not Intel's leaves half
of such a core idle. oneDNN, which it has for bfloat16 and convolutions, does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad
from transformers.pytorch_utils import Conv1D

_STEP = 128
"""Rows are padded to a multiple of so many: oneDNN keeps code and memory for each shape."""


@cache
def has_fast_products() -> bool:
    """Whether this build of PyTorch on this processor multiplies faster so."""
    return (
        torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


@contextmanager
def fast_products(model: nn.Module) -> Iterator[None]:
    """Have the model's linear layers computed with `product` inside.

    Args:
        model: Any. Layers with weights that are not float32 on the CPU stay as they are, as do
            those whose forward pass someone has replaced, such as this function further out.
    """
    layers: list[Any] = []
    if has_fast_products():
        layers = [layer for layer in model.modules() if _is_plain(layer)]
    for layer in layers:
        layer.forward = partial(_apply, layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def product(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``rows @ weight.T + bias``.

    Args:
        rows: float ``[m, k]``.
        weight: float ``[n, k]``, of any strides.
        bias: float ``[n]``.

    Returns:
        ``[m, n]``, differentiable as often as one likes.
    """
    fast = has_fast_products() and _fits(rows) and _fits(weight) and rows.numel() > 0
    if not fast:
        return linear(rows, weight, bias)
    if not torch.is_grad_enabled():
        return _multiply(rows, weight, bias)
    padded = pad(rows, (0, 0, 0, -len(rows) % _STEP))
    result: Tensor = _Product.apply(padded, weight, bias)  # type: ignore[no-untyped-call]
    return result[: len(rows)]


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        return _multiply(rows, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        rows, weight = ctx.saved_tensors
        to_rows, to_weight, to_bias = ctx.needs_input_grad
        return (
            product(grad, weight.t()) if to_rows else None,
            _like(weight, grad, rows) if to_weight else None,
            grad.sum(dim=0) if to_bias else None,
        )


def _multiply(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    operator = torch.ops.mkldnn._linear_pointwise.default
    result: Tensor = operator(rows, weight, bias, "none", [], "")
    return result


def _like(weight: Tensor, grad: Tensor, rows: Tensor) -> Tensor:
    """The weight's gradient, with its strides: another layout would be copied."""
    if weight.is_contiguous():
        return product(grad.t(), rows.t())
    return product(rows.t(), grad.t()).t()


def _apply(layer: Any, states: Tensor) -> Tensor:
    """What a linear layer makes of ``[..., k]``."""
    weight = layer.weight.t() if type(layer) is Conv1D else layer.weight
    flat = product(states.reshape(-1, states.shape[-1]), weight, layer.bias)
    return flat.view(*states.shape[:-1], flat.shape[-1])


def _is_plain(layer: Any) -> bool:
    known = type(layer) in (nn.Linear, Conv1D) and "forward" not in vars(layer)
    return known and _fits(layer.weight)


def _fits(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float32 and tensor.device.type == "cpu"
