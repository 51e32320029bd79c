"""How forward passes are computed: in which precision, and what they keep for the backward."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Literal, TypeAlias

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

Precision: TypeAlias = Literal["fp32", "bf16"]
"""``fp32``: as the weights are. ``bf16``: matrix products in bfloat16, the rest as it is."""


@contextmanager
def computing(model: nn.Module, precision: Precision, recompute: bool) -> Iterator[None]:
    """What the model computes inside, it computes so.

    Args:
        model: On one device. Its weights stay as they are.
        precision: Of matrix products (torch's autocast), on any device.
        recompute: Keep only each layer's input for the backward pass, and compute the layer
            again there (Chen et al. 2016, arXiv 1604.06174): less memory, a third more time. No
            matter where no gradient is asked for. Not together with a key-value cache.
    """
    with ExitStack() as stack:
        if precision == "bf16":
            device = next(model.parameters()).device
            stack.enter_context(torch.autocast(device.type, torch.bfloat16))
        if recompute and torch.is_grad_enabled():
            stack.enter_context(_recomputed(recomputable_layers(model)))
        yield


def compute_dtype(model: nn.Module, precision: Precision) -> torch.dtype:
    """The floating-point type of keys and values."""
    return torch.bfloat16 if precision == "bf16" else next(model.parameters()).dtype


def recomputable_layers(model: nn.Module) -> list[nn.Module]:
    """The layers that transformers lets be computed again.

    Raises:
        ValueError: There are none.
    """
    layers: list[nn.Module] = [
        module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)
    ]
    if not layers:
        raise ValueError(
            f"{type(model).__name__} does not support gradient checkpointing: none of its layers "
            "is a transformers GradientCheckpointingLayer"
        )
    return layers


@contextmanager
def _recomputed(layers: list[nn.Module]) -> Iterator[None]:
    """Have the layers called through torch's checkpoint.

    Transformers' own switch works in training mode alone, which would turn dropout on.
    """
    for layer in layers:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward
