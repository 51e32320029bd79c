"""The forward passes of a transformers encoder-decoder that a policy is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel
from transformers.cache_utils import EncoderDecoderCache

from textgym_agents.policies.computing import (
    Precision,
    compute_dtype,
    computing,
    recomputable_layers,
)
from textgym_agents.policies.decoder import fuse_activations, output_head
from textgym_agents.policies.decoder_positions import position_kind, positions_given
from textgym_agents.policies.packing import padded
from textgym_agents.policies.seq2seq_cache import Layers

_IntArray = NDArray[np.int64]


class EncoderDecoder:
    """Encodes prompts and decodes responses, with logits where they are asked for.

    Args:
        model: A transformers encoder-decoder with a language-model head; see `fuse_activations`.
        precision: Of matrix products.
        recompute: Keep layers' inputs alone for the backward pass.

    Attributes:
        start_id: The token that starts the decoder.
        num_layers: Of the decoder.
        max_positions: The longest prompt, and the longest response with the start token; None: no
            limit.
        positions: How the decoder places its tokens; None: not in a way `decode` can serve.

    Raises:
        ValueError: If the model is a decoder alone, names no token that starts its decoder, or
            cannot recompute its layers.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        precision: Precision = "fp32",
        recompute: bool = False,
    ) -> None:
        if not getattr(model.config, "is_encoder_decoder", False):
            raise ValueError(
                f"{type(model).__name__} has no encoder; use CausalLMPolicy (policy causal_lm), "
                "or load a model with load_seq2seq_lm"
            )
        self._model = fuse_activations(model)
        self._precision, self._recompute = precision, recompute
        if recompute:
            recomputable_layers(model)
        self.start_id = _start_id(model)
        self.num_layers = _num_decoder_layers(model)
        self.max_positions: int | None = getattr(model.config, "max_position_embeddings", None)
        self.positions = position_kind(self._decoder)

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of keys and values."""
        return compute_dtype(self._model, self._precision)

    def encode(self, prompts: Sequence[_IntArray]) -> Layers:
        """Keys and values of prompts, which the decoder makes of them at its start token."""
        with computing(self._model, self._precision, False):
            states, mask = self._states(prompts)
            output = self._decoder(
                input_ids=torch.full((len(prompts), 1), self.start_id, device=states.device),
                encoder_hidden_states=states,
                encoder_attention_mask=mask,
                use_cache=True,
            )
        layers = output.past_key_values.cross_attention_cache.layers
        return [(layer.keys, layer.values) for layer in layers]

    def decode(
        self,
        ids: Tensor,
        positions: Tensor,
        mask: Tensor,
        cache: EncoderDecoderCache,
        prompt_mask: Tensor,
        select: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Go on from what a cache has; see `seq2seq_cache.Decode`."""
        assert self.positions is not None, "a decoder whose tokens cannot be placed has no cache"
        with (
            positions_given(self._decoder, self.positions, positions, mask.shape[-1]),
            computing(self._model, self._precision, False),
        ):
            hidden, _, logits = self._forward(
                select,
                encoder_outputs=(prompt_mask,),  # All that is read of it is in the cache.
                attention_mask=prompt_mask,
                decoder_input_ids=ids,
                decoder_attention_mask=mask,
                past_key_values=cache,
                use_cache=True,
            )
        return hidden, logits

    def encoded(self, prompts: Sequence[_IntArray]) -> list[Tensor]:
        """The encoder's last hidden states of each prompt, ``[P, H]``, with gradients."""
        with computing(self._model, self._precision, self._recompute):
            states, _ = self._states(prompts)
        return [row[: len(prompt)] for row, prompt in zip(states, prompts, strict=True)]

    def whole(
        self,
        states: Sequence[Tensor],
        responses: Sequence[_IntArray],
        steps: Sequence[_IntArray],
        head: bool = True,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Decode whole responses, with gradients.

        Args:
            states: `encoded` prompts, ``[P, H]`` each of its own length.
            responses: The response to each, int64 ``[R]``.
            steps: After how many tokens of each response to look: int64 ``[T]``, 0 to ``R``.
            head: Compute logits; otherwise there are none, ``[0, V]``.

        Returns:
            The decoder's last hidden states ``[M, H]``, the head's input ``[M, H]`` and logits
            ``[M, V]``, ``M = sum(T)``.
        """
        start = np.array([self.start_id])
        ids = padded([np.concatenate([start, response]) for response in responses])
        at = np.concatenate([row * ids.shape[1] + step for row, step in enumerate(steps)])
        lengths = np.array([len(prompt) for prompt in states])
        mask = self._mask(lengths, int(lengths.max()))
        with computing(self._model, self._precision, self._recompute):
            return self._forward(
                self._tensor(at),
                head,
                encoder_outputs=(pad_sequence(list(states), batch_first=True),),
                attention_mask=mask,
                decoder_input_ids=self._tensor(ids),
                decoder_attention_mask=torch.ones(ids.shape, dtype=torch.int64, device=mask.device),
                use_cache=False,
            )

    def _states(self, prompts: Sequence[_IntArray]) -> tuple[Tensor, Tensor]:
        """The encoder's last hidden states ``[P, L, H]`` and the mask ``[P, L]`` of prompts."""
        ids = padded(prompts)
        mask = self._mask(np.array([len(prompt) for prompt in prompts]), ids.shape[1])
        encoder: nn.Module = self._model.get_encoder()
        states: Tensor = encoder(input_ids=self._tensor(ids), attention_mask=mask).last_hidden_state
        return states, mask

    def _mask(self, lengths: _IntArray, width: int) -> Tensor:
        """int64 ``[P, width]``, 1 where a prompt has a token."""
        return self._tensor((np.arange(width) < lengths[:, None]).astype(np.int64))

    def _forward(
        self, select: Tensor | None, head: bool = True, **inputs: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Last hidden states ``[M, H]``, the head's input and logits at selected tokens.

        What the model does to its decoder's output (scaling, head, bias) it does to those alone.
        """
        hidden: list[Tensor] = []
        scaled: list[Tensor] = []

        def choose_output(_: nn.Module, __: Any, output: Any) -> Any:
            states = output.last_hidden_state.flatten(0, 1)
            hidden.append(states if select is None else states[select])
            output.last_hidden_state = hidden[0][None]
            return output

        def choose_input(_: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor]:
            scaled.append(arguments[0][0])
            return (arguments[0] if head else arguments[0][:, :0],)

        with (
            self._decoder.register_forward_hook(choose_output),
            output_head(self._model).register_forward_pre_hook(choose_input),
        ):
            logits: Tensor = self._model(**inputs, return_dict=True).logits
        return hidden[0], scaled[0], logits[0]

    @property
    def _decoder(self) -> nn.Module:
        decoder: nn.Module = self._model.get_decoder()  # type: ignore[no-untyped-call]
        return decoder

    def _tensor(self, array: _IntArray) -> Tensor:
        device = next(self._model.parameters()).device
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def _start_id(model: PreTrainedModel) -> int:
    """The token that the decoder starts with."""
    for config in (model.config, model.generation_config):
        start = getattr(config, "decoder_start_token_id", None)
        if start is not None:
            return int(start)
    raise ValueError(
        f"the config of {type(model).__name__} names no decoder_start_token_id; set it to the id "
        "that the model's decoder was trained to start with"
    )


def _num_decoder_layers(model: PreTrainedModel) -> int:
    """T5 counts its decoder's layers under one name, BART under another."""
    for name in ("num_decoder_layers", "decoder_layers"):
        if getattr(model.config, name, None) is not None:
            return int(getattr(model.config, name))
    return int(model.config.num_hidden_layers)
