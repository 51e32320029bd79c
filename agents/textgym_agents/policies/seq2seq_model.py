"""Runs an encoder-decoder over contexts: token by token with caches, or whole episodes at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from textgym_agents.policies.base import Contexts
from textgym_agents.policies.computing import Precision
from textgym_agents.policies.decoder import head_is_last, output_head
from textgym_agents.policies.encoder_decoder import EncoderDecoder
from textgym_agents.policies.packing import ONE_PASS, Pass, pass_cost, tight_chunks
from textgym_agents.policies.seq2seq_cache import Seq2SeqCache
from textgym_agents.policies.versions import Versions, WeightVersions

_IntArray = NDArray[np.int64]
_BoolArray = NDArray[np.bool_]


class Seq2SeqModel:
    """What a policy and its critic compute of prompts and responses with an encoder-decoder.

    Args:
        model: A transformers encoder-decoder with a linear head.
        cache: Keep what was encoded and decoded between calls of `last_tokens`.
        cache_slack: Buffer columns beyond the longest response.
        precision: Of matrix products, keys and values.
        gradient_checkpointing: Compute layers again in the backward pass.

    Raises:
        ValueError: See `EncoderDecoder`.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        cache: bool = True,
        cache_slack: int = 16,
        precision: Precision = "fp32",
        gradient_checkpointing: bool = False,
    ) -> None:
        self.model = model
        self.hidden_size = int(output_head(model).weight.shape[-1])
        self._passes = EncoderDecoder(model, precision=precision, recompute=gradient_checkpointing)
        self._cache_wanted = cache and self._passes.positions is not None
        self._cache_slack = cache_slack
        self._cache: Seq2SeqCache | None = None
        self._versions: WeightVersions | None = None
        self._cached_weights: Versions = ()
        self._head_is_last: bool | None = None
        self._pass_cost: int | None = None

    def __getstate__(self) -> dict[str, Any]:  # copies begin without keys and values
        return {**self.__dict__, "_cache": None, "_versions": None, "_cached_weights": ()}

    @property
    def compute_dtype(self) -> torch.dtype:
        """The type of matrix products."""
        return self._passes.dtype

    @property
    def head_is_last(self) -> bool:
        """Whether the logits are what the head's weights and bias make of its input.

        Not in bfloat16 with a bias apart from the head, which is added in float32.
        """
        if self._head_is_last is None:
            apart = getattr(self.model, "final_logits_bias", None)
            rounded = self.compute_dtype == torch.bfloat16 and apart is not None and apart.any()
            self._head_is_last = not rounded and head_is_last(self.model)
        return self._head_is_last

    @property
    def max_positions(self) -> int | None:
        """The longest prompt, and the longest response with the start token; None: no limit."""
        return self._passes.max_positions

    def clear_cache(self) -> None:
        """Forget what was encoded and decoded, and free its memory."""
        self._cache = None

    def keep(self, wanted: bool) -> None:
        """Nothing that acting computes is left for `steps` here, wanted or not."""

    def in_one_pass(self) -> None:
        """Have `steps` run each layer once, whatever padding that takes."""
        self._pass_cost = ONE_PASS

    def last_tokens(
        self, tokens: _IntArray, lengths: _IntArray, active: _BoolArray, prompts: _IntArray
    ) -> tuple[_IntArray, Tensor, Tensor]:
        """Compute the last token of every active context.

        Args:
            tokens: int64 ``[N, W]``, prompts and responses, right-padded.
            lengths: int64 ``[N]``, of both.
            active: bool ``[N]``, at least one True.
            prompts: int64 ``[N]``, of the prompts; 1 to ``lengths`` where active.

        Returns:
            As `ContextModel.last_tokens`.
        """
        if self._cache_wanted:
            return self._fresh_cache(len(tokens)).step(tokens, lengths, prompts, active)
        slots = np.flatnonzero(active)
        ends = [(int(prompts[slot]), int(lengths[slot])) for slot in slots]
        states = self._passes.encoded(
            [tokens[slot, :end] for slot, (end, _) in zip(slots, ends, strict=True)]
        )
        hidden, _, logits = self._passes.whole(
            states,
            [tokens[slot, end:last] for slot, (end, last) in zip(slots, ends, strict=True)],
            [np.array([last - end]) for end, last in ends],
        )
        return slots, hidden, logits

    def noting(self, slots: _IntArray, lengths: _IntArray) -> None:
        """Nothing is noted, since `steps` takes nothing over."""
        del slots, lengths

    def steps(self, contexts: Sequence[Contexts], head: bool = True) -> Iterator[Pass]:
        """Compute episodes with gradients, responses of similar lengths together.

        Each distinct prompt goes through the encoder once. With gradients, what acting keeps is
        forgotten: what is learned makes it stale, and until then it takes memory.

        Args:
            contexts: One an episode; the first of its contexts is the prompt.
            head: Compute logits; otherwise there are none, ``[0, V]``.

        Yields:
            Each episode in one of them; steps in the order of their episodes.

        Raises:
            ValueError: A prompt or a response is longer than the model's positions.
        """
        if torch.is_grad_enabled():
            self._cache = None
        ends = [int(context.lengths[0]) for context in contexts]
        responses = [context.tokens[end:] for context, end in zip(contexts, ends, strict=True)]
        steps = [context.lengths - end for context, end in zip(contexts, ends, strict=True)]
        self.check_lengths(max(ends), max(len(response) for response in responses))
        unique: dict[bytes, int] = {}
        prompts: list[_IntArray] = []
        source = []
        for context, end in zip(contexts, ends, strict=True):
            prompt = context.tokens[:end]
            source.append(unique.setdefault(prompt.tobytes(), len(unique)))
            if len(prompts) < len(unique):
                prompts.append(prompt)
        states = self._encoded(prompts)
        sizes = [1 + len(response) for response in responses]
        for chunk in tight_chunks(sizes, self._cost):
            computed = self._passes.whole(
                [states[source[index]] for index in chunk],
                [responses[index] for index in chunk],
                [steps[index] for index in chunk],
                head,
            )
            yield Pass(chunk, *computed)

    def check_lengths(self, prompt: int, response: int) -> None:
        """Check that the model has positions for a prompt and a response of so many tokens.

        Raises:
            ValueError: It has fewer; names the numbers.
        """
        most = self._passes.max_positions
        for name, length in (("prompt", prompt), ("response, with the start token,", response + 1)):
            if most is not None and length > most:
                raise ValueError(
                    f"a {name} of {length:,} tokens exceeds the model's max_position_embeddings="
                    f"{most:,}; lower max_prompt_tokens or max_new_tokens of the environment, or "
                    "take a model with more positions"
                )

    @property
    def _cost(self) -> int:
        return self._pass_cost or pass_cost(self.model.device)

    def _encoded(self, prompts: Sequence[_IntArray]) -> list[Tensor]:
        """The encoder's states of each prompt, ``[P, H]``, those of similar lengths together."""
        found: dict[int, Tensor] = {}
        for chunk in tight_chunks([len(prompt) for prompt in prompts], self._cost):
            states = self._passes.encoded([prompts[index] for index in chunk])
            found |= zip(chunk, states, strict=True)
        return [found[index] for index in range(len(prompts))]

    def _fresh_cache(self, num_slots: int) -> Seq2SeqCache:
        """The cache, emptied if the weights or the number of slots have changed."""
        if self._cache is None or self._versions is None:
            self._versions = WeightVersions(self.model)
        weights = self._versions.now()
        cache, dtype, device = self._cache, self._passes.dtype, self.model.device
        known = weights == self._cached_weights
        if cache is None or not known or cache.layout != (num_slots, dtype, device):
            cache = self._cache = Seq2SeqCache(
                self._passes.encode,
                self._passes.decode,
                start_id=self._passes.start_id,
                num_layers=self._passes.num_layers,
                num_slots=num_slots,
                slack=self._cache_slack,
                dtype=dtype,
                device=device,
            )
        self._cached_weights = weights
        return cache
