"""Tokens at their own positions in decoders that know one position for the whole batch.

An encoder-decoder model of transformers takes a token's position from how many columns its cache
has. Slots that began at different times are at different positions, so here these are given to the
module that turns positions into numbers.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

Positions: TypeAlias = Literal["absolute", "relative"]
"""absolute: an embedding is added to a token's (BART, Marian); relative: the distance of two
tokens biases their attention, in all layers as in the first (T5)."""


def position_kind(decoder: nn.Module) -> Positions | None:
    """How a decoder places its tokens; None if in a way that cannot be given here."""
    embedding = getattr(decoder, "embed_positions", None)
    if isinstance(embedding, nn.Module):
        return "absolute" if _takes(embedding, "position_ids") else None
    first = _first_attention(decoder)
    shares = first is not None and _takes(first, "position_bias")
    return "relative" if shares else None


@contextmanager
def positions_given(
    decoder: nn.Module, kind: Positions, positions: Tensor, width: int
) -> Iterator[None]:
    """Let a decoder's forward pass place its tokens as told.

    Args:
        decoder: See `position_kind`.
        kind: What that is.
        positions: int64 ``[B, q]``, of the tokens that go in.
        width: How many tokens they attend to, from position 0 on.
    """
    if kind == "absolute":
        handles = _place_absolute(decoder.get_submodule("embed_positions"), positions)
    else:
        first = _first_attention(decoder)
        assert first is not None
        bias = _relative_bias(first, positions, width)
        handles = [first.register_forward_pre_hook(_setting("position_bias", bias), **_KWARGS)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


_KWARGS: dict[str, Any] = {"with_kwargs": True}


def _place_absolute(embedding: nn.Module, positions: Tensor) -> list[Any]:
    """Look positions up one after another, since the module takes one row of them."""

    def in_rows(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        return output.reshape(*positions.shape, -1)

    before = _setting("position_ids", positions.reshape(-1))
    return [
        embedding.register_forward_pre_hook(before, **_KWARGS),
        embedding.register_forward_hook(in_rows),
    ]


def _relative_bias(attention: Any, positions: Tensor, width: int) -> Tensor:
    """The bias ``[B, heads, q, width]`` that the module's own tables have for such distances."""
    buckets = attention._relative_position_bucket(
        torch.arange(width, device=positions.device) - positions[:, :, None],
        bidirectional=False,
        num_buckets=attention.relative_attention_num_buckets,
        max_distance=attention.relative_attention_max_distance,
    )
    bias: Tensor = attention.relative_attention_bias(buckets).permute(0, 3, 1, 2)
    return bias


def _setting(name: str, value: Tensor) -> Any:
    """A hook that puts ``value`` in the place of the keyword argument ``name``."""

    def hook(_: nn.Module, arguments: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return arguments, {**kwargs, name: value}

    return hook


def _first_attention(decoder: nn.Module) -> nn.Module | None:
    """The module of T5's first layer that has the table of all layers."""
    try:
        first = decoder.get_submodule("block.0.layer.0.SelfAttention")
    except AttributeError:
        return None
    return first if hasattr(first, "relative_attention_bias") else None


def _takes(module: nn.Module, name: str) -> bool:
    return name in inspect.signature(module.forward).parameters
