"""Attention over packed sequences: all else in a decoder sees one long row without any padding.

A batch of sequences goes through a model end to end, `packing.pack` says in which order. Each token
attends to its own sequence alone, and to the prompt that the sequence follows. Transformers asks
for attention by a name, under which this one is registered; what is in a pass is known while it
runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

NAME = "textgym_packed"
"""Of the attention, for transformers."""


@dataclass(frozen=True, slots=True)
class Block:
    """Sequences whose attention is computed together, ``B`` of at most ``q`` tokens.

    Attributes:
        size: Their tokens in all, which lie one after another in the row.
        shape: ``B`` and ``q``.
        places: int64 ``[size]``, where each token is in ``B * q``; None: all are as long.
        prompts: int64 ``[B, p]``, the tokens of the row that each sequence follows, any where it
            has fewer; None: it follows nothing.
        mask: ``[B, 1, q, p + q]``, what is added to scores: 0 where attended to, the lowest
            number elsewhere; None: plain causal attention.
    """

    size: int
    shape: tuple[int, int]
    places: Tensor | None = None
    prompts: Tensor | None = None
    mask: Tensor | None = None


_BLOCKS: ContextVar[list[Block]] = ContextVar("blocks")


def can_pack(model: PreTrainedModel) -> bool:
    """Whether a model's attention can be another one than its own."""
    config = model.config.get_text_config(decoder=True)
    return bool(model._supports_attention_backend) and config._attn_implementation == "sdpa"


@contextmanager
def packed(model: PreTrainedModel, blocks: list[Block]) -> Iterator[None]:
    """Forward passes inside are over a row of such blocks, ``[1, T]``."""
    config: Any = model.config
    usual = config._attn_implementation
    token = _BLOCKS.set(blocks)
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = usual
        _BLOCKS.reset(token)


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """What transformers calls in each layer.

    Args:
        module: The layer's attention.
        query: ``[1, heads, T, width]``.
        key: As ``query``, perhaps with fewer heads.
        value: As ``key``.
        attention_mask: Not read.
        scaling: Of the scores; None: by the width.

    Returns:
        ``[1, T, heads, width]``, and no weights.
    """
    del module, attention_mask
    blocks = _BLOCKS.get()
    rows = [states[0].transpose(0, 1) for states in (query, key, value)]  # [T, heads, width]
    pieces = [torch.split(states, [block.size for block in blocks]) for states in rows]
    attended = []
    for block, *own in zip(blocks, *pieces, strict=True):
        q, k, v = (_side_by_side(states, block) for states in own)
        if block.prompts is not None:
            k, v = (
                torch.cat([_of_prompts(states, block.prompts), following], dim=1)
                for states, following in zip(rows[1:], (k, v), strict=True)
            )
        repeats = q.shape[2] // k.shape[2]
        if repeats > 1:
            k, v = k.repeat_interleave(repeats, dim=2), v.repeat_interleave(repeats, dim=2)
        output = scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            attn_mask=block.mask,
            is_causal=block.mask is None,
            scale=scaling,
        )
        output = output.transpose(1, 2).flatten(0, 1)
        attended.append(output if block.places is None else _take(output, block.places))
    return torch.cat(attended)[None], None


AttentionInterface.register(NAME, packed_attention)


def _side_by_side(states: Tensor, block: Block) -> Tensor:
    """Tokens ``[size, heads, width]`` as ``[B, q, heads, width]``, zeros for padding."""
    batch, longest = block.shape
    if block.places is not None:
        states = _put(states, block.places, batch * longest)
    return states.view(batch, longest, *states.shape[1:])


def _of_prompts(states: Tensor, prompts: Tensor) -> Tensor:
    """``[B, p, heads, width]`` of the row's ``[T, heads, width]``.

    By way of an embedding, whose backward pass adds up what comes of equal prompts fast.
    """
    return embedding(prompts, states.flatten(1)).view(*prompts.shape, *states.shape[1:])


def _put(rows: Tensor, places: Tensor, size: int) -> Tensor:
    """Rows ``[N, ...]`` at distinct places of ``[size, ...]``, zeros elsewhere."""
    put: Tensor = _Put.apply(rows, places, size)  # type: ignore[no-untyped-call]
    return put


def _take(rows: Tensor, places: Tensor) -> Tensor:
    """The rows at distinct places: what `_put` has put there."""
    taken: Tensor = _Take.apply(rows, places)  # type: ignore[no-untyped-call]
    return taken


class _Put(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Tensor, size: int) -> Tensor:
        ctx.save_for_backward(places)
        return rows.new_zeros((size, *rows.shape[1:])).index_copy_(0, places, rows)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return _take(grad, places), None, None


class _Take(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.size = len(rows)
        return rows.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        return _put(grad, places, ctx.size), None
