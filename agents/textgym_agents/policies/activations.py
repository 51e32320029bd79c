"""What a decoder's products came to while it acted, so that learning need not compute them again.

A rollout computes every token of its episodes once, with the weights that the first gradient after
it is taken at. The products of that pass with the layers' weights are kept, and the forward pass of
the gradient takes them from here; what is left of it is element by element, and attention.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP

from textgym_agents.policies.draws import Draws
from textgym_agents.policies.lora import adapter_of

_IntArray = NDArray[np.int64]

_BLOCK = 512
"""Rows that memory is asked for at a time, or what the limit leaves."""

ROOT = -1
"""The token before a context's first."""


class Activations:
    """The products of the tokens that a model was given, one row a token.

    A token's row is found by the row of the token before it: what a decoder computes of a token
    depends on the tokens up to it alone.

    Args:
        widths: Of each product.
        dtype: Of all.
        device: Of all.
        limit: Bytes that are kept at most; beyond, nothing is.

    Attributes:
        draws: Of actions after the tokens.
    """

    def __init__(
        self, widths: Sequence[int], dtype: torch.dtype, device: torch.device, limit: int
    ) -> None:
        self._widths, self._dtype, self._device = widths, dtype, device
        self._most_rows = limit // (sum(widths) * dtype.itemsize)
        self._rows: dict[tuple[int, int], int] = {}
        self._asked: set[int] = set()
        self._blocks: list[list[Tensor]] = [[] for _ in widths]
        self._first = self._end = self._num_rows = 0
        self._closed = False
        self.draws = Draws()

    @property
    def closed(self) -> bool:
        """Whether nothing more is kept."""
        return self._closed

    def close(self) -> None:
        """Let everything go, and keep nothing more."""
        self._closed = True
        self._rows, self._blocks = {}, [[] for _ in self._widths]

    def room(self, num_rows: int) -> list[Tensor] | list[None]:
        """Where a forward pass is to write its products.

        Args:
            num_rows: ``R``, its tokens.

        Returns:
            ``[R, width]`` for each product; or None for each, where nothing more is kept.
        """
        if self._end + num_rows > self._num_rows:
            self._end = self._num_rows
            self._num_rows += max(num_rows, min(_BLOCK, self._most_rows - self._num_rows))
            if self._num_rows > self._most_rows:
                self.close()
            elif not self._closed:
                for blocks, width in zip(self._blocks, self._widths, strict=True):
                    shape = (self._num_rows - self._end, width)
                    blocks.append(torch.empty(shape, dtype=self._dtype, device=self._device))
        self._first, self._end = self._end, self._end + num_rows
        if self._closed:
            return [None for _ in self._widths]
        before_end = self._num_rows - self._first  # Blocks may have been joined, ends have not.
        newest = [blocks[-1] for blocks in self._blocks]
        return [block[len(block) - before_end :][:num_rows] for block in newest]

    def name(self, before: _IntArray, tokens: _IntArray, places: _IntArray) -> _IntArray:
        """Say which tokens some rows of the newest forward pass are of.

        Args:
            before: int64 ``[K]``, the rows of the tokens before them, `ROOT` for none.
            tokens: int64 ``[K]``.
            places: int64 ``[K]``, which row of the pass each is.

        Returns:
            int64 ``[K]``, the tokens' rows: earlier ones, where equal contexts had them before.
        """
        if self._closed:
            return places
        rows = (places + self._first).tolist()
        known = zip(zip(before.tolist(), tokens.tolist(), strict=True), rows, strict=True)
        return np.array([self._rows.setdefault(key, row) for key, row in known], np.int64)

    def find(self, tokens: _IntArray, before: _IntArray) -> _IntArray | None:
        """The rows of tokens, int64 ``[T]``; None if one is not there.

        Args:
            tokens: int64 ``[T]``.
            before: int64 ``[T]``, which of the tokens stands before each, earlier in the array;
                negative for none.
        """
        rows: list[int] = []
        for token, previous in zip(tokens.tolist(), before.tolist(), strict=True):
            row = self._rows.get((rows[previous] if previous >= 0 else ROOT, token))
            if row is None:
                return None
            rows.append(row)
        return np.array(rows, np.int64)

    @contextmanager
    def given_out(self, layers: Sequence[nn.Module], rows: _IntArray) -> Iterator[None]:
        """Have layers give out what was kept of them in place of computing it.

        Gradients are those of the layers. Once every row has been asked for, what was kept is let
        go as it is given out, and nothing more is kept.

        Args:
            layers: In the order of the products: of weights ``[in, out]`` and a bias, perhaps with
                an adapter; or GPT-2's MLPs, of two such products without. Each is called once, with
                ``[..., T, in]``.
            rows: int64 ``[T]``, of the tokens that go through them.
        """
        self._asked.update(rows.tolist())
        last = len(self._asked) == len(self._rows)
        if last:
            self._rows, self._closed = {}, True
        index = torch.from_numpy(rows).to(self._device)

        def take(blocks: list[Tensor], states: Tensor) -> Tensor:
            if len(blocks) > 1:  # Passes to come find them joined.
                blocks[:] = [torch.cat(blocks)]
            product = blocks[0].index_select(0, index)
            if last:
                blocks.clear()
            return product.view(*states.shape[:-1], -1)

        def give(layer: Any, blocks: list[Tensor], states: Tensor) -> Tensor:
            product, adapter = take(blocks, states), adapter_of(layer)
            below: Any = layer if adapter is None else adapter.layer
            given: Tensor = _Given.apply(  # type: ignore[no-untyped-call]
                states.to(product.dtype), below.weight, below.bias, product, *(adapter or ())[1:]
            )
            return given

        def give_both(
            mlp: Any, inner_blocks: list[Tensor], blocks: list[Tensor], states: Tensor
        ) -> Tensor:
            inner, product = take(inner_blocks, states), take(blocks, states)
            into, out = mlp.c_fc, mlp.c_proj
            weights = into.weight, into.bias, out.weight, out.bias
            given: Tensor = _GivenMLP.apply(  # type: ignore[no-untyped-call]
                states.to(product.dtype), *weights, inner, product, mlp.act
            )
            return given

        kept = iter(self._blocks)
        for layer in layers:
            if isinstance(layer, GPT2MLP):
                given = partial(give_both, layer, next(kept), next(kept))
            else:
                given = partial(give, layer, next(kept))
            layer.forward = given
        try:
            yield
        finally:
            for layer in layers:
                del layer.forward


class _Given(torch.autograd.Function):
    """A product with weights ``[in, out]`` and a bias, and an adapter if any, whose sum is known.

    The adapter is ``down`` ``[r, in]``, ``up`` ``[out, r]`` and ``scaling``, see `lora.Adapter`.
    """

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, weight: Tensor, bias: Tensor, product: Tensor, *adapter: Any
    ) -> Tensor:
        ctx.save_for_backward(states, weight, *adapter[:2])
        ctx.bias_dtype, ctx.scaling = bias.dtype, adapter[2:]
        return product

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        states, weight, *adapter = ctx.saved_tensors
        found = _product_gradients(grad, states, weight, ctx.bias_dtype, ctx.needs_input_grad[:3])
        if not adapter:
            return *found, None
        (down, up), (scaling,) = adapter, ctx.scaling
        of_states, *others = found
        flat, inputs = grad.flatten(0, -2), states.flatten(0, -2)
        inner = scaling * flat @ up
        if of_states is not None:
            of_states = of_states + (inner @ down).view_as(states)
        of_up = scaling * flat.t() @ (inputs @ down.t())
        return of_states, *others, None, inner.t() @ inputs, of_up, None


class _GivenMLP(torch.autograd.Function):
    """Two products with an activation between them, whose values are known.

    What the activation gave is computed in the backward pass alone, where it is first needed. For
    second derivatives, the first product is computed there, too, so that it depends on its inputs.
    """

    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        weight_in: Tensor,
        bias_in: Tensor,
        weight: Tensor,
        bias: Tensor,
        inner: Tensor,
        product: Tensor,
        activation: Callable[[Tensor], Tensor],
    ) -> Tensor:
        ctx.save_for_backward(states, weight_in, bias_in, weight, inner)
        ctx.activation, ctx.bias_dtype = activation, bias.dtype
        return product

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        states, weight_in, bias_in, weight, inner = ctx.saved_tensors
        to_inner = any(ctx.needs_input_grad[:3])
        twice = torch.is_grad_enabled()  # Then the gradient is to depend on the inputs.
        if twice and to_inner:
            weights = weight_in.t().to(states.dtype), bias_in.to(states.dtype)
            inner = linear(states, *weights)
        elif to_inner:
            inner = inner.detach().requires_grad_()
        with torch.set_grad_enabled(to_inner):
            active = ctx.activation(inner)
        wanted = (to_inner, *ctx.needs_input_grad[3:5])
        found = _product_gradients(
            grad, active if twice else active.detach(), weight, ctx.bias_dtype, wanted
        )
        if not to_inner:
            return None, None, None, *found[1:], None, None, None
        (of_inner,) = torch.autograd.grad(active, inner, found[0], create_graph=twice)
        outer = _product_gradients(
            of_inner, states, weight_in, bias_in.dtype, ctx.needs_input_grad[:3]
        )
        return *outer, *found[1:], None, None, None


def _product_gradients(
    grad: Tensor,
    states: Tensor,
    weight: Tensor,
    bias_dtype: torch.dtype,
    wanted: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Those of ``states @ weight + bias`` with respect to each, where wanted."""
    of_states, of_weight, of_bias = wanted
    flat = grad.flatten(0, -2)
    return (
        grad @ weight.to(grad.dtype).t() if of_states else None,
        (states.flatten(0, -2).t() @ flat).to(weight.dtype) if of_weight else None,
        flat.sum(dim=0).to(bias_dtype) if of_bias else None,
    )
