"""Any transformers encoder-decoder as a policy over token contexts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from textgym_agents.policies.base import (
    Actions,
    Episode,
    Evaluation,
    Observations,
    ObservationStore,
    Policy,
)
from textgym_agents.policies.computing import Precision
from textgym_agents.policies.contexts import episode_contexts, read_contexts
from textgym_agents.policies.decoder import (
    check_vocabulary,
    num_embeddings,
    output_head,
    zero_linear,
)
from textgym_agents.policies.encoder_decoder import EncoderDecoder
from textgym_agents.policies.masks import first_legal, flat_masks, legal_actions
from textgym_agents.policies.prompt_split import PromptSplit, PromptStore
from textgym_agents.policies.reference import frozen_language_model
from textgym_agents.policies.sampling import Sampling, choose, entropy, gather, process_logits
from textgym_agents.policies.seq2seq_cache import Seq2SeqCache
from textgym_agents.policies.versions import Versions, WeightVersions

_IntArray = NDArray[np.int64]
_BoolArray = NDArray[np.bool_]


class Seq2SeqPolicy(Policy):
    """An encoder-decoder language model: the encoder reads the prompt, the decoder responds.

    Observations are those of `CausalLMPolicy`: a prompt and the response so far in one
    right-padded context. An episode's first context is its prompt and goes to the encoder; what
    follows, replies of the environment included, goes to the decoder after the token that starts
    it. `PromptSplit` says how `act` knows an episode's first context; in a rollout it is exact.
    Dropout stays off, so that acting and evaluating see the same distribution.

    Acting keeps the encoded prompts and the decoder's keys and values between calls
    (`Seq2SeqCache`): a prompt is encoded once, a token decoded once, and slots begin anew when
    they like. Changed weights make it all stale, which is found out from the parameters' version
    counters; a change behind PyTorch's back (``parameter.data``, a fused optimizer) needs
    `clear_cache`. Models that place their tokens otherwise than T5 and BART do (`position_kind`)
    are computed anew at each step.

    Args:
        model: A transformers encoder-decoder with a language-model head.
        pad_id: Marks the padding in observations; may lie outside the vocabulary.
        num_actions: Actions are the ids below it; None: the model's whole vocabulary.
        sampling: How logits become a distribution.
        value_head: Add a linear value head (weights start at 0) on the decoder's last hidden
            state; False: all values are 0.
        cache: Keep what was computed between calls of `act`.
        cache_slack: Buffer columns beyond the longest response so far: more move the buffers less
            often, but all are read at each step.
        precision: Of matrix products: as the weights are (``fp32``), or ``bf16``.
        gradient_checkpointing: `evaluate` keeps each layer's input alone for the backward pass
            and computes the layer again there: less memory, a third more time.

    Raises:
        ValueError: If the model is a decoder alone or names no token that starts its decoder, or
            ``num_actions`` exceeds its vocabulary or falls short of it by more than the padding
            of an embedding matrix.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        pad_id: int,
        *,
        num_actions: int | None = None,
        sampling: Sampling | None = None,
        value_head: bool = True,
        cache: bool = True,
        cache_slack: int = 16,
        precision: Precision = "fp32",
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self._num_embeddings = num_embeddings(model)
        self.num_actions = self._num_embeddings if num_actions is None else num_actions
        check_vocabulary(self._num_embeddings, self.num_actions)
        self.pad_id = pad_id
        self.sampling = sampling or Sampling()
        width = int(output_head(model).weight.shape[-1])
        self.value_head = zero_linear(width).to(model.device) if value_head else None
        self._passes = EncoderDecoder(
            model, self.num_actions, precision=precision, recompute=gradient_checkpointing
        )
        self._cache_wanted = cache and self._passes.positions is not None
        self._cache_slack = cache_slack
        self._cache: Seq2SeqCache | None = None
        self._versions: WeightVersions | None = None
        self._cached_weights: Versions = ()
        self._split = PromptSplit()
        self.train(self.training)

    @classmethod
    def from_env(
        cls, envs: gym.vector.VectorEnv[Any, Any, Any], model: PreTrainedModel, **kwargs: Any
    ) -> Seq2SeqPolicy:
        """A policy for a text environment.

        Args:
            envs: Names its padding id in ``envs.metadata["pad_id"]``; its actions are token ids.
            model: A transformers encoder-decoder.
            **kwargs: Go to the constructor.

        Raises:
            ValueError: If the environment names no padding id, its actions are not token ids
                from 0 on, or they or its contexts exceed the model.
        """
        if "pad_id" not in envs.metadata:
            raise ValueError(
                'the environment does not name its padding id in metadata["pad_id"]; '
                "build Seq2SeqPolicy(model, pad_id=...) by hand"
            )
        space = envs.single_action_space
        if not isinstance(space, gym.spaces.Discrete) or space.start != 0:
            raise ValueError(f"actions must be token ids, Discrete from 0 on; got {space}")
        policy = cls(model, int(envs.metadata["pad_id"]), num_actions=int(space.n), **kwargs)
        policy.check_observations(envs.single_observation_space)
        return policy

    def check_observations(self, space: gym.Space[Any]) -> None:
        """Check that the model has positions enough for any split of a full context.

        A context that it may or may not have positions for, depending on where the prompt ends,
        passes here; `act` and `evaluate` check prompts and responses.

        Args:
            space: A Box of contexts, or a Dict that has it under ``input_ids``.

        Raises:
            ValueError: However a full context is split, a part is too long.
        """
        if isinstance(space, gym.spaces.Dict):
            space = space["input_ids"]
        width = int((space.shape or (1,))[0])
        most = self._passes.max_positions
        if most is not None and width > 2 * most:
            raise ValueError(
                f"a context of {width:,} tokens exceeds the model's max_position_embeddings="
                f"{most:,} in its prompt or its response"
            )

    def train(self, mode: bool = True) -> Seq2SeqPolicy:
        """Set the training flag, but keep the language model's dropout off."""
        super().train(mode)
        self.model.train(False)
        return self

    def clear_cache(self) -> None:
        """Forget what was encoded and decoded, and free its memory."""
        self._cache = None

    def reference(self) -> Seq2SeqPolicy:
        """A frozen policy with the present distribution; see `Policy.reference`."""
        self._cache = None  # It need not be copied.
        return frozen_language_model(self)

    def make_store(self, num_envs: int) -> ObservationStore:
        """A store of O(tokens) memory an episode: `Contexts`. Every slot's next is a prompt."""
        self._split = PromptSplit()
        return PromptStore(num_envs, self.pad_id, self._split)

    @torch.inference_mode()
    def act(
        self,
        observations: Observations,
        *,
        action_masks: _BoolArray | None = None,
        active: _BoolArray | None = None,
        generator: torch.Generator | None = None,
        deterministic: bool = False,
        prompt_lengths: _IntArray | None = None,
    ) -> Actions:
        """Choose one token a slot; see `Policy.act`.

        Args:
            observations: See there.
            action_masks: See there.
            active: See there.
            generator: See there.
            deterministic: See there.
            prompt_lengths: int64 ``[N]``, how many tokens of each context are the prompt, for
                who calls `act` on contexts from anywhere; later calls go on with them. None: as
                `PromptSplit` finds.
        """
        tokens, lengths = read_contexts(observations, self.pad_id)
        active = np.ones(len(tokens), np.bool_) if active is None else active
        mask = legal_actions(action_masks, active, self.num_actions, self.device)
        prompts = self._prompts(tokens, lengths, active, prompt_lengths)
        if not active.any():
            return first_legal(mask, len(tokens))
        hidden, logits = self._last_tokens(tokens, lengths, prompts, active)
        log_probs = process_logits(logits, self.sampling, mask)
        actions = choose(log_probs, generator, deterministic)
        chosen = gather(log_probs, actions).cpu().numpy()
        if not np.isfinite(chosen[active]).all():
            self._cache = None  # even a masked NaN would spoil what is computed later
            raise ValueError("the model's logits are not finite; were its weights NaN?")
        return Actions(
            actions.cpu().numpy(),
            np.where(active, chosen, np.float32(0)),
            np.where(active, self._values(hidden).cpu().numpy(), np.float32(0)),
        )

    @torch.inference_mode()
    def step_log_probs(
        self,
        observations: Observations,
        *,
        action_masks: _BoolArray | None = None,
        active: _BoolArray | None = None,
    ) -> Tensor:
        """The distribution that `act` draws from; see `Policy.step_log_probs`."""
        tokens, lengths = read_contexts(observations, self.pad_id)
        active = np.ones(len(tokens), np.bool_) if active is None else active
        mask = legal_actions(action_masks, active, self.num_actions, self.device)
        prompts = self._prompts(tokens, lengths, active, None)
        logits = self._last_tokens(tokens, lengths, prompts, active)[1]
        return process_logits(logits, self.sampling, mask)

    def evaluate(self, episodes: Sequence[Episode]) -> Evaluation:
        """Evaluate every step of the episodes; see `Policy.evaluate`.

        Each distinct prompt goes through the encoder once, and all responses through the decoder
        in one pass, with logits at the actions alone.
        """
        if torch.is_grad_enabled():
            self.clear_cache()  # What is learned makes it stale; until then it takes memory.
        hidden, log_probs, actions = self._distributions(episodes)
        return Evaluation(gather(log_probs, actions), entropy(log_probs), self._values(hidden))

    def episode_log_probs(self, episodes: Sequence[Episode]) -> Tensor:
        """The distributions of every step; see `Policy.episode_log_probs`."""
        return self._distributions(episodes)[1]

    def _distributions(self, episodes: Sequence[Episode]) -> tuple[Tensor, Tensor, Tensor]:
        """Hidden states ``[M, H]``, log-probabilities ``[M, V]``, actions ``[M]``."""
        contexts = [episode_contexts(episode) for episode in episodes]
        ends = [int(context.lengths[0]) for context in contexts]
        steps = [context.lengths - end for context, end in zip(contexts, ends, strict=True)]
        self._check_positions(max(ends), 1 + max(int(step[-1]) for step in steps))
        hidden, logits = self._passes.whole(
            [context.tokens[:end] for context, end in zip(contexts, ends, strict=True)],
            [context.tokens[end:] for context, end in zip(contexts, ends, strict=True)],
            steps,
        )
        actions = self._tensor(np.concatenate([episode.actions for episode in episodes]))
        old = torch.from_numpy(np.concatenate([episode.log_probs for episode in episodes]))
        log_probs = process_logits(
            logits,
            self.sampling,
            flat_masks(episodes, self.num_actions, self.device),
            keep=actions,
            old_log_probs=old.to(self.device),
        )
        return hidden, log_probs, actions

    def _prompts(
        self,
        tokens: _IntArray,
        lengths: _IntArray,
        active: _BoolArray,
        given: _IntArray | None,
    ) -> _IntArray:
        """Where the prompts end, int64 ``[N]``, once all is found in order."""
        prompts = self._split.update(tokens, lengths, active, given)
        if (active & ((prompts < 1) | (prompts > lengths))).any():
            slot = int(np.flatnonzero(active & ((prompts < 1) | (prompts > lengths)))[0])
            raise ValueError(
                f"the prompt of slot {slot} has {prompts[slot]} tokens and its context "
                f"{lengths[slot]}; a prompt needs a token, and is the context's beginning"
            )
        if tokens.max() >= self._num_embeddings or tokens.min() < 0:
            bad = int(tokens[(tokens >= self._num_embeddings) | (tokens < 0)][0])
            raise ValueError(
                f"a context holds the token id {bad}; the model embeds ids from 0 to "
                f"{self._num_embeddings - 1:,}, and pad_id is {self.pad_id}"
            )
        responses = lengths - prompts
        longest = [int(part[active].max(initial=0)) for part in (prompts, responses)]
        self._check_positions(longest[0], 1 + longest[1])
        return prompts

    def _check_positions(self, prompt: int, response: int) -> None:
        most = self._passes.max_positions
        for name, length in (("prompt", prompt), ("response, with the start token,", response)):
            if most is not None and length > most:
                raise ValueError(
                    f"a {name} of {length:,} tokens exceeds the model's max_position_embeddings="
                    f"{most:,}; lower max_prompt_tokens or max_new_tokens of the environment, or "
                    "take a model with more positions"
                )

    def _last_tokens(
        self, tokens: _IntArray, lengths: _IntArray, prompts: _IntArray, active: _BoolArray
    ) -> tuple[Tensor, Tensor]:
        """Hidden states ``[N, H]`` and logits ``[N, V]`` after each active context, else 0."""
        if self._cache_wanted:
            cache = self._fresh_cache(len(tokens))
            slots, hidden, logits = cache.step(tokens, lengths, prompts, active)
        else:
            slots = np.flatnonzero(active)
            ends = [(int(prompts[slot]), int(lengths[slot])) for slot in slots]
            hidden, logits = self._passes.whole(
                [tokens[slot, :end] for slot, (end, _) in zip(slots, ends, strict=True)],
                [tokens[slot, end:last] for slot, (end, last) in zip(slots, ends, strict=True)],
                [np.array([last - end]) for end, last in ends],
            )
        if len(slots) == len(tokens):
            return hidden, logits
        where = self._tensor(slots)
        return (
            hidden.new_zeros((len(tokens), hidden.shape[1])).index_copy_(0, where, hidden),
            logits.new_zeros((len(tokens), logits.shape[1])).index_copy_(0, where, logits),
        )

    def _fresh_cache(self, num_slots: int) -> Seq2SeqCache:
        """The cache, emptied if the weights or the number of slots have changed."""
        if self._cache is None or self._versions is None:
            self._versions = WeightVersions(self.model)
        weights = self._versions.now()
        cache, dtype, device = self._cache, self._passes.dtype, self.device
        known = weights == self._cached_weights
        if cache is None or not known or cache.layout != (num_slots, dtype, device):
            cache = self._cache = Seq2SeqCache(
                self._passes.encode,
                self._passes.decode,
                start_id=self._passes.start_id,
                num_layers=self._passes.num_layers,
                num_slots=num_slots,
                slack=self._cache_slack,
                relative=self._passes.positions == "relative",
                dtype=dtype,
                device=device,
            )
        self._cached_weights = weights
        return cache

    def _values(self, hidden: Tensor) -> Tensor:
        if self.value_head is None:
            return hidden.new_zeros(len(hidden), dtype=torch.float32)
        values: Tensor = self.value_head(hidden.to(self.value_head.weight.dtype)).squeeze(-1)
        return values.float()

    def _tensor(self, array: _IntArray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)
