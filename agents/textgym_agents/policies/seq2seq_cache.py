"""What an encoder-decoder model need not compute again: encoded prompts, and decoded responses.

The decoder's contexts go through a `ContextCache` as those of a decoder alone do. In the place of
the token that starts the decoder stands the number of the slot's prompt, so that two contexts are
the same to the cache only if their prompts are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer, EncoderDecoderCache

from textgym_agents.policies.context_cache import ContextCache
from textgym_agents.policies.kv_cache import Write

_IntArray = NDArray[np.int64]
_BoolArray = NDArray[np.bool_]

Layers: TypeAlias = list[tuple[Tensor, Tensor]]
"""Keys and values of prompts, ``[prompts, heads, length, width]`` each, one pair a layer."""

Encode: TypeAlias = Callable[[Sequence[_IntArray]], Layers]
"""Runs the encoder on prompts, right-padded."""

_WIDTH_STEP = 16
"""Buffers of prompts grow by so many columns, those of responses to twice that and its doubles."""


class Decode(Protocol):
    """Runs the decoder on tokens that follow what the cache has."""

    def __call__(
        self,
        ids: Tensor,
        positions: Tensor,
        mask: Tensor,
        cache: EncoderDecoderCache,
        prompt_mask: Tensor,
        select: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Hidden states ``[M, H]`` and logits ``[M, V]`` of the selected of ``B * q`` tokens."""


class EncodedPrompts:
    """Each slot's prompt as keys and values for the decoder; equal prompts are encoded once.

    Args:
        encode: The encoder.
        num_slots: ``N``.
        dtype: The model's floating-point type.
        device: The model's device.

    Attributes:
        numbers: int64 ``[N]``; slots have the same number if and only if they have the same
            prompt.
    """

    def __init__(
        self, encode: Encode, num_slots: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self._encode = encode
        self._device = device
        self._texts: list[bytes | None] = [None] * num_slots
        self._lengths = np.zeros(num_slots, np.int64)
        self.numbers = np.zeros(num_slots, np.int64)
        self._next_number = 0
        self._layers: Layers = []
        self._never = torch.finfo(dtype).min
        self._mask = torch.full((num_slots, 0), self._never, dtype=dtype, device=device)
        self._gathered: tuple[bytes, Layers, Tensor] | None = None

    def update(self, tokens: _IntArray, lengths: _IntArray, active: _BoolArray) -> None:
        """Take the prompts of the active slots, and encode those that no slot has.

        Args:
            tokens: int64 ``[N, W]``, of which the first ``lengths`` (``[N]``) are the prompt.
            lengths: See there.
            active: bool ``[N]``.
        """
        slots = np.flatnonzero(active).tolist()
        texts = {slot: tokens[slot, : lengths[slot]].tobytes() for slot in slots}
        new = [slot for slot in slots if texts[slot] != self._texts[slot]]
        if not new:
            return
        holders = {text: slot for slot, text in enumerate(self._texts) if text is not None}
        held = [slot for slot in new if texts[slot] in holders]
        if held:
            self._copy([holders[texts[slot]] for slot in held], held)
        rest = [slot for slot in new if texts[slot] not in holders]
        if rest:
            firsts = {texts[slot]: slot for slot in reversed(rest)}
            order = {text: place for place, text in enumerate(firsts)}
            source = np.array([order[texts[slot]] for slot in rest])
            self._write([tokens[s, : lengths[s]] for s in firsts.values()], source, rest)
        for slot in new:
            self._texts[slot] = texts[slot]
        self._lengths[new] = lengths[new]
        self._gathered = None

    def rows(self, slots: _IntArray) -> tuple[Cache, Tensor]:
        """The prompts of a batch.

        Args:
            slots: int64 ``[B]``, the slot of each of its rows.

        Returns:
            The keys and values, and the additive mask ``[B, 1, 1, P]`` that keeps padding out.
        """
        width = int(self._lengths.max())
        if len(slots) == len(self._texts) and (slots == np.arange(len(slots))).all():
            return _as_cache(self._layers, width), self._mask[:, None, None, :width]
        key = slots.tobytes()
        if self._gathered is None or self._gathered[0] != key:
            at = self._index(slots)
            layers = [(keys[at, :, :width], values[at, :, :width]) for keys, values in self._layers]
            self._gathered = (key, layers, self._mask[at, None, None, :width])
        _, layers, mask = self._gathered
        return _as_cache(layers, width), mask

    def _copy(self, sources: Sequence[int], slots: Sequence[int]) -> None:
        """Give slots what other slots have; all are read before any is written."""
        source, target = self._index(np.array(sources)), self._index(np.array(slots))
        for buffer in (self._mask, *(part for layer in self._layers for part in layer)):
            buffer[target] = buffer[source]
        self.numbers[slots] = self.numbers[list(sources)]

    def _write(self, prompts: list[_IntArray], source: _IntArray, slots: Sequence[int]) -> None:
        """Encode prompts, and give slots theirs: ``source`` int64 ``[S]`` says which."""
        encoded = self._encode(prompts)
        lengths = np.array([len(prompt) for prompt in prompts])
        width = int(lengths.max())
        self._widen(width, encoded)
        target, at = self._index(np.array(slots)), self._index(source)
        for buffers, states in zip(self._layers, encoded, strict=True):
            for buffer, state in zip(buffers, states, strict=True):
                buffer[target, :, :width] = state[at]
        shown = np.arange(self._mask.shape[1]) < lengths[source, None]
        mask = self._mask.new_zeros(shown.shape)
        self._mask[target] = mask.masked_fill_(
            ~torch.from_numpy(shown).to(self._device), self._never
        )
        self.numbers[slots] = self._next_number + source
        self._next_number += len(prompts)

    def _widen(self, width: int, like: Layers) -> None:
        """See that the buffers have ``width`` columns."""
        old = self._mask.shape[1]
        if width <= old:
            return
        more = -(-width // _WIDTH_STEP) * _WIDTH_STEP - old
        num_slots = len(self._texts)
        if not self._layers:
            empty = [(k.new_zeros(num_slots, k.shape[1], 0, k.shape[3]) for k in kv) for kv in like]
            self._layers = [(keys, values) for keys, values in empty]
        pad = torch.nn.functional.pad
        self._layers = [(pad(k, (0, 0, 0, more)), pad(v, (0, 0, 0, more))) for k, v in self._layers]
        self._mask = pad(self._mask, (0, more), value=self._never)

    def _index(self, array: _IntArray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)


class Seq2SeqCache:
    """Encoded prompts and decoded responses of ``N`` slots that reset when they like.

    Args:
        encode: The encoder.
        decode: The decoder.
        start_id: The token that starts the decoder.
        num_layers: Decoder layers.
        num_slots: ``N``.
        slack: Columns beyond the longest response; more mean fewer moves of the buffers.
        dtype: The model's floating-point type.
        device: The model's device.
    """

    def __init__(
        self,
        encode: Encode,
        decode: Decode,
        *,
        start_id: int,
        num_layers: int,
        num_slots: int,
        slack: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self._decode = decode
        self._start_id = start_id
        self._num_layers = num_layers
        self._slack = slack
        self._prompts = EncodedPrompts(encode, num_slots, dtype, device)
        self.layout = (num_slots, dtype, device)
        self._responses = self._make_responses(2 * _WIDTH_STEP)

    def step(
        self, tokens: _IntArray, lengths: _IntArray, prompts: _IntArray, active: _BoolArray
    ) -> tuple[_IntArray, Tensor, Tensor]:
        """Bring the cache up to date and compute the last token of every active context.

        Args:
            tokens: int64 ``[N, W]``, prompts and responses, right-padded.
            lengths: int64 ``[N]``, of both.
            prompts: int64 ``[N]``, of the prompts; 1 to ``lengths`` where active.
            active: bool ``[N]``, at least one True.

        Returns:
            As `ContextCache.step`.
        """
        self._prompts.update(tokens, prompts, active)
        responses = np.where(active, lengths - prompts + 1, 1)
        width = self._responses.layout[1]
        if responses.max() > width:
            self._responses = self._make_responses(max(2 * width, int(responses.max())))
        width = self._responses.layout[1]
        at = np.where(active, prompts, 1)[:, None] - 1 + np.arange(width)
        contexts = np.take_along_axis(tokens, np.minimum(at, tokens.shape[1] - 1), axis=1)
        contexts[:, 0] = self._prompts.numbers
        return self._responses.step(contexts, responses, active)

    def _make_responses(self, width: int) -> ContextCache:
        """A fresh cache of the decoder's contexts; what the old one had is computed again."""
        num_slots, dtype, device = self.layout
        return ContextCache(
            self._forward,
            num_layers=self._num_layers,
            num_slots=num_slots,
            width=width,
            slack=self._slack,
            dtype=dtype,
            device=device,
        )

    def _forward(
        self, ids: Tensor, positions: Tensor, mask: Tensor, cache: Cache, select: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """What the `ContextCache` calls: the decoder, with the prompts of the batch's slots."""
        layer: Any = cache.layers[0]
        write: Write = layer.write
        slots = self._responses.slots
        if write.sequences is not None:
            slots = slots[write.sequences.cpu().numpy()]
        prompts, prompt_mask = self._prompts.rows(slots)
        return self._decode(
            torch.where(positions == 0, self._start_id, ids),
            positions,
            mask,
            EncoderDecoderCache(cache, prompts),
            prompt_mask,
            select,
        )


def _as_cache(layers: Layers, width: int) -> Cache:
    """Keys and values as attention across to the encoder takes them."""
    parts: list[Any] = []
    for keys, values in layers:
        layer = DynamicLayer()  # type: ignore[no-untyped-call]
        layer.keys, layer.values = keys[:, :, :width], values[:, :, :width]
        layer.is_initialized = True
        parts.append(layer)
    return Cache(layers=parts)
