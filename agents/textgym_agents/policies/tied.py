"""The gradient of weights that are a model's embedding and its head at once.

Autograd would make one for each use and add them up, each of the vocabulary's size. Here what the
head leaves is handed to the embedding, whose backward pass comes last, and adds its rows to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding
from transformers import PreTrainedModel

from textgym_agents.policies.decoder import output_head


class TiedGradient:
    """What the head's backward pass has left for the embedding's, in one call of autograd."""

    def __init__(self) -> None:
        self._left: Tensor | None = None
        self._call = -1

    def leave(self, grad: Tensor) -> None:
        """Add to what is left, or begin anew: another call may have ended before the embedding."""
        call = torch._C._current_graph_task_id()
        self._left = grad if self._left is None or call != self._call else self._left.add_(grad)
        self._call = call

    def take(self) -> Tensor | None:
        """What this call has left; then nothing is."""
        left, self._left = self._left, None
        return left if self._call == torch._C._current_graph_task_id() else None


@contextmanager
def tied(model: PreTrainedModel) -> Iterator[TiedGradient | None]:
    """The embedding in forward passes inside adds its gradient to what is left for it.

    Yields:
        Where the head is to leave its own; None where the weights are not tied or do not train, and
        on accelerators, where such sums have no fixed order.
    """
    module: Any = model.get_input_embeddings()
    weight = output_head(model).weight
    trains = weight.requires_grad and torch.is_grad_enabled() and weight.device.type == "cpu"
    if not (trains and _is_plain(module) and module.weight is weight):
        yield None
        return
    left = TiedGradient()
    module.forward = partial(_embed, module, left)
    try:
        yield left
    finally:
        del module.forward


def _is_plain(module: Any) -> bool:
    """Whether a module only looks rows up."""
    options = ("max_norm", "scale_grad_by_freq", "sparse")
    return (
        type(module) is nn.Embedding
        and not any(getattr(module, name) for name in options)
        and "forward" not in vars(module)
    )


def _embed(module: nn.Embedding, left: TiedGradient, ids: Tensor) -> Tensor:
    embedded: Tensor = _Embedding.apply(  # type: ignore[no-untyped-call]
        module.weight, ids, module.padding_idx, left
    )
    return embedded


class _Embedding(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, ids: Tensor, padding: int | None, left: TiedGradient
    ) -> Tensor:
        ctx.save_for_backward(weight, ids)
        ctx.padding, ctx.left = padding, left
        return embedding(ids, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        weight, ids = ctx.saved_tensors
        left = ctx.left.take()
        whole = torch.zeros_like(weight) if left is None else left
        rows, ids = grad.flatten(0, -2).to(whole.dtype), ids.flatten()
        if ctx.padding is not None:
            rows = rows.masked_fill((ids == ctx.padding)[:, None], 0.0)
        return whole.index_add_(0, ids, rows), None, None, None
