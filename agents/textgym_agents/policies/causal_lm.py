"""Any transformers decoder as a policy over token contexts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from textgym_agents.policies.base import (
    Actions,
    Episode,
    Evaluation,
    Observations,
    ObservationStore,
    Policy,
)
from textgym_agents.policies.computing import (
    Precision,
    compute_dtype,
    computing,
    recomputable_layers,
)
from textgym_agents.policies.context_cache import ContextCache
from textgym_agents.policies.contexts import ContextStore, episode_contexts, read_contexts
from textgym_agents.policies.decoder import (
    check_vocabulary,
    num_embeddings,
    output_head,
    supports_cache,
    zero_linear,
)
from textgym_agents.policies.masks import first_legal, flat_masks, legal_actions
from textgym_agents.policies.packing import (
    PromptCache,
    SharedPrompts,
    following_mask,
    in_order,
    padded,
    share_prompts,
    step_order,
    tight_chunks,
)
from textgym_agents.policies.reference import frozen_language_model
from textgym_agents.policies.sampling import Sampling, choose, entropy, gather, process_logits

_IntArray = NDArray[np.int64]


class CausalLMPolicy(Policy):
    """A decoder language model: the next token is the action, the context the observation.

    Observations are int64 ``[N, W]`` contexts, right-padded with ``pad_id``, or a mapping with
    ``input_ids`` and ``attention_mask`` of that shape. The padding is never fed to the model.
    Dropout stays off, so that acting and evaluating see the same distribution.

    Acting keeps a key-value cache between calls (`ContextCache`): a context that extends the
    slot's last one costs its new tokens, another one costs itself. Changed weights make the
    cache stale, which is found out from the parameters' version counters; a change behind
    PyTorch's back (``parameter.data``) needs `clear_cache`. Models whose attention is not plain
    causal attention with position ids (ALiBi, sliding windows shorter than the contexts, state
    spaces) are computed anew at each step.

    Args:
        model: A transformers decoder with a language-model head.
        pad_id: Marks the padding in observations; may lie outside the vocabulary.
        num_actions: Actions are the ids below it; None: the model's whole vocabulary.
        sampling: Temperature, top-k and top-p.
        value_head: Add a linear value head (weights start at 0) on the last hidden state;
            False: all values are 0.
        critic: Gives the values instead; see `critic.Critic`.
        cache: Keep keys and values between calls of `act`.
        cache_slack: Buffer columns beyond the longest context: more move the buffers less often
            and take more memory.
        precision: Of matrix products; keys and values are kept in it. Weights, log-probabilities
            and values are float32 in any case.
        gradient_checkpointing: Keep less for the backward pass, and compute it again there;
            shared prompts are then computed with every episode.

    Raises:
        ValueError: If ``num_actions`` exceeds the model's vocabulary, or falls short of it by more
            than the padding of an embedding matrix: the ids are then another tokenizer's.
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
        cache_slack: int = 32,
        critic: CausalLMPolicy | None = None,
        precision: Precision = "fp32",
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        config = model.config.get_text_config(decoder=True)
        self._num_layers = int(config.num_hidden_layers)
        self._max_positions = getattr(config, "max_position_embeddings", None)
        self._num_embeddings = num_embeddings(model)
        self.num_actions = self._num_embeddings if num_actions is None else num_actions
        check_vocabulary(self._num_embeddings, self.num_actions)
        self.pad_id = pad_id
        self.sampling = sampling or Sampling()
        width = int(output_head(model).weight.shape[-1])
        own_values = value_head and critic is None
        self.value_head = zero_linear(width).to(model.device) if own_values else None
        self.critic = critic
        self._precision: Precision = precision
        self._recompute = gradient_checkpointing and bool(recomputable_layers(model))
        self._cache_wanted = cache
        self._cache_slack = cache_slack
        self._cache: ContextCache | None = None
        self._cached_weights: tuple[tuple[int, int], ...] = ()
        self.train(self.training)

    @classmethod
    def from_env(
        cls, envs: gym.vector.VectorEnv[Any, Any, Any], model: PreTrainedModel, **kwargs: Any
    ) -> CausalLMPolicy:
        """A policy for a text environment.

        Args:
            envs: Names its padding id in ``envs.metadata["pad_id"]``; its actions are token ids.
            model: A transformers decoder.
            **kwargs: Go to the constructor.

        Raises:
            ValueError: If the environment names no padding id, its actions are not token ids
                from 0 on, or they or its contexts exceed the model.
        """
        if "pad_id" not in envs.metadata:
            raise ValueError(
                'the environment does not name its padding id in metadata["pad_id"]; '
                "build CausalLMPolicy(model, pad_id=...) by hand"
            )
        space = envs.single_action_space
        if not isinstance(space, gym.spaces.Discrete) or space.start != 0:
            raise ValueError(f"actions must be token ids, Discrete from 0 on; got {space}")
        policy = cls(model, int(envs.metadata["pad_id"]), num_actions=int(space.n), **kwargs)
        policy.check_observations(envs.single_observation_space)
        return policy

    def check_observations(self, space: gym.Space[Any]) -> None:
        """Check that the model has a position for every token of a context.

        Args:
            space: A Box of contexts, or a Dict that has it under ``input_ids``.

        Raises:
            ValueError: It has fewer; names both numbers.
        """
        if isinstance(space, gym.spaces.Dict):
            space = space["input_ids"]
        # The last action is chosen one token before the observation is full.
        self._check_length(int((space.shape or (1,))[0]) - 1)

    def train(self, mode: bool = True) -> CausalLMPolicy:
        """Set the training flag, but keep the language model's dropout off."""
        super().train(mode)
        self.model.train(False)
        return self

    def clear_cache(self) -> None:
        """Forget all keys and values, as after a change of weights."""
        self._cached_weights = ()
        if self.critic is not None:
            self.critic.clear_cache()

    def reference(self) -> CausalLMPolicy:
        """A frozen policy with this one's present distribution; see `Policy.reference`."""
        return frozen_language_model(self)

    def __getstate__(self) -> dict[str, Any]:  # copies begin without keys and values
        return {**self.__dict__, "_cache": None, "_cached_weights": ()}

    def make_store(self, num_envs: int) -> ObservationStore:
        """A store of O(tokens) memory an episode: `Contexts`."""
        return ContextStore(num_envs, self.pad_id)

    @torch.inference_mode()
    def act(
        self,
        observations: Observations,
        *,
        action_masks: NDArray[np.bool_] | None = None,
        active: NDArray[np.bool_] | None = None,
        generator: torch.Generator | None = None,
        deterministic: bool = False,
    ) -> Actions:
        """Choose one token a slot; see `Policy.act`."""
        tokens, lengths = read_contexts(observations, self.pad_id)
        active = np.ones(len(tokens), np.bool_) if active is None else active
        mask = legal_actions(action_masks, active, self.num_actions, self.device)
        if not active.any():
            return first_legal(mask, len(tokens))
        self._check(tokens, lengths, active)
        logits, values = self._last_tokens(tokens, lengths, active)
        if self.critic is not None:
            values = self.critic._last_tokens(tokens, lengths, active)[1]
        log_probs = process_logits(logits, self.sampling, mask)
        actions = choose(log_probs, generator, deterministic)
        chosen = gather(log_probs, actions).cpu().numpy()
        if not np.isfinite(chosen[active]).all():
            self._cache = None  # even a masked NaN would spoil what is computed later
            raise ValueError("the model's logits are not finite; were its weights NaN?")
        return Actions(
            actions.cpu().numpy(),
            np.where(active, chosen, np.float32(0)),
            np.where(active, values.cpu().numpy(), np.float32(0)),
        )

    def evaluate(self, episodes: Sequence[Episode]) -> Evaluation:
        """Evaluate every step of the episodes, each token once; see `Policy.evaluate`.

        A prompt that several episodes begin with goes through the model once.
        """
        parts, chunks = [], []
        for chunk, hidden, logits in self._chunks(episodes):
            log_probs, actions = self._distributions([episodes[i] for i in chunk], logits)
            chosen = gather(log_probs, actions)
            parts.append(Evaluation(chosen, entropy(log_probs), self._values(hidden)))
            chunks.append(chunk)
        evaluation = in_order(parts, chunks, [episode.num_steps for episode in episodes])
        if self.critic is None:
            return evaluation
        return replace(evaluation, values=self.critic.evaluate(episodes).values)

    @torch.inference_mode()
    def step_log_probs(
        self,
        observations: Observations,
        *,
        action_masks: NDArray[np.bool_] | None = None,
        active: NDArray[np.bool_] | None = None,
    ) -> Tensor:
        """The distribution that `act` draws from; see `Policy.step_log_probs`."""
        tokens, lengths = read_contexts(observations, self.pad_id)
        active = np.ones(len(tokens), np.bool_) if active is None else active
        mask = legal_actions(action_masks, active, self.num_actions, self.device)
        self._check(tokens, lengths, active)
        return process_logits(self._last_tokens(tokens, lengths, active)[0], self.sampling, mask)

    def episode_log_probs(self, episodes: Sequence[Episode]) -> Tensor:
        """The distributions of every step; see `Policy.episode_log_probs`."""
        tables, chunks = [], []
        for chunk, _, logits in self._chunks(episodes):
            tables.append(self._distributions([episodes[i] for i in chunk], logits)[0])
            chunks.append(chunk)
        order = step_order(chunks, [episode.num_steps for episode in episodes])
        return torch.cat(tables)[self._tensor(order)]

    def _chunks(self, episodes: Sequence[Episode]) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """Indices of episodes, and hidden states and logits at the steps of these."""
        contexts = [episode_contexts(episode) for episode in episodes]
        width = max(len(context.tokens) for context in contexts)
        self._check_length(width)
        shared = None
        recompute = self._recompute and torch.is_grad_enabled()
        if supports_cache(self.model, width) and not recompute:
            shared = share_prompts(contexts)
        starts = np.zeros(len(contexts), np.int64)
        cache = None
        if shared is not None:
            cache = self._prompt_cache(shared)
            starts = np.array([len(shared.prompts[source]) for source in shared.source])
        chunks = tight_chunks(np.array([len(c.tokens) for c in contexts]) - starts)
        for chunk in chunks:
            ids = padded([contexts[i].tokens[starts[i] :] for i in chunk])
            at = [contexts[i].lengths - 1 - starts[i] for i in chunk]
            steps = np.concatenate([row * ids.shape[1] + step for row, step in enumerate(at)])
            if shared is None or cache is None:
                yield chunk, *self._whole(self._tensor(ids), self._tensor(steps))
            else:
                source = shared.source[chunk]
                yield chunk, *self._following(cache, ids, source, starts[chunk], steps)

    def _distributions(self, episodes: Sequence[Episode], logits: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities ``[M, V]`` and the actions taken, ``[M]``."""
        actions = self._tensor(np.concatenate([episode.actions for episode in episodes]))
        mask = flat_masks(episodes, self.num_actions, self.device)
        return process_logits(logits, self.sampling, mask, keep=actions), actions

    def _prompt_cache(self, shared: SharedPrompts) -> PromptCache:
        """Keys and values of the distinct prompts."""
        ids = self._tensor(padded(shared.prompts))
        cache = PromptCache(self._num_layers)
        nothing = torch.zeros(0, dtype=torch.int64, device=self.device)
        inputs = {"attention_mask": torch.ones_like(ids), "past_key_values": cache.cache}
        self._forward(nothing, input_ids=ids, use_cache=True, **inputs)
        return cache

    def _following(
        self,
        cache: PromptCache,
        ids: _IntArray,
        source: _IntArray,
        starts: _IntArray,
        at: _IntArray,
    ) -> tuple[Tensor, Tensor]:
        """Hidden states and logits at tokens that follow the prompts in the cache."""
        width = int(starts.max())
        cache.follow(self._tensor(source), width)
        lengths = self._tensor(starts)
        dtype = compute_dtype(self.model, self._precision)
        return self._step(
            self._tensor(ids),
            lengths[:, None] + torch.arange(ids.shape[1], device=self.device),
            following_mask(lengths, width, ids.shape[1], dtype),
            cache.cache,
            self._tensor(at),
        )

    def _tensor(self, array: _IntArray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def _last_tokens(
        self, tokens: _IntArray, lengths: _IntArray, active: NDArray[np.bool_]
    ) -> tuple[Tensor, Tensor]:
        """Logits ``[N, V]`` and values ``[N]`` after each active context, 0 elsewhere."""
        if self._cache_wanted and supports_cache(self.model, tokens.shape[1]):
            slots, hidden, logits = self._fresh_cache(tokens).step(tokens, lengths, active)
        else:
            slots = np.flatnonzero(active)
            width = int(lengths[slots].max())
            last = np.arange(len(slots)) * width + lengths[slots] - 1
            ids = self._tensor(tokens[slots, :width])
            hidden, logits = self._whole(ids, self._tensor(last))
        values = self._values(hidden)
        if len(slots) == len(tokens):
            return logits, values
        where = self._tensor(slots)
        return (
            logits.new_zeros((len(tokens), logits.shape[1])).index_copy_(0, where, logits),
            values.new_zeros(len(tokens)).index_copy_(0, where, values),
        )

    def _fresh_cache(self, tokens: _IntArray) -> ContextCache:
        """The cache, emptied if the weights or the shape of the observations have changed."""
        parameters = list(self.model.parameters())  # anew: loading may have put others there
        weights = tuple([(p._version, p.data_ptr()) for p in parameters])
        cache, dtype = self._cache, compute_dtype(self.model, self._precision)
        if cache is None or cache.layout != (*tokens.shape, dtype, self.device):
            cache = self._cache = ContextCache(
                self._step,
                num_layers=self._num_layers,
                num_slots=tokens.shape[0],
                width=tokens.shape[1],
                slack=self._cache_slack,
                dtype=dtype,
                device=self.device,
            )
        elif weights != self._cached_weights:
            cache.clear()
        self._cached_weights = weights
        return cache

    def _step(
        self, ids: Tensor, positions: Tensor, mask: Tensor, cache: Cache, select: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        return self._forward(
            select,
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
        )

    def _whole(self, ids: Tensor, select: Tensor) -> tuple[Tensor, Tensor]:
        """Right-padded contexts ``[B, L]``: causal attention alone keeps the padding out."""
        return self._forward(
            select, input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False
        )

    def _forward(self, select: Tensor | None, **inputs: Any) -> tuple[Tensor, Tensor]:
        """Hidden states ``[M, H]`` and logits ``[M, num_actions]`` at the selected tokens.

        The head is applied there alone, by choosing its input; the model's own forward goes on
        to do what it does to logits (scaling, soft caps).
        """
        hidden: list[Tensor] = []

        def choose_input(_: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor]:
            states = arguments[0].reshape(1, -1, arguments[0].shape[-1])
            if select is not None:
                states = states[:, select]
            hidden.append(states[0])
            return (states,)

        taking = output_head(self.model).register_forward_pre_hook(choose_input)
        with taking, computing(self.model, self._precision, self._recompute):
            logits: Tensor = self.model(**inputs, return_dict=True).logits
        return hidden[0], logits[0, :, : self.num_actions]

    def _values(self, hidden: Tensor) -> Tensor:
        if self.value_head is None:
            return hidden.new_zeros(len(hidden), dtype=torch.float32)
        values: Tensor = self.value_head(hidden.to(self.value_head.weight.dtype)).squeeze(-1)
        return values.float()

    def _check(self, tokens: _IntArray, lengths: _IntArray, active: NDArray[np.bool_]) -> None:
        if (lengths[active] < 1).any():
            slot = int(np.flatnonzero(active & (lengths < 1))[0])
            raise ValueError(f"the context of slot {slot} is empty; a prompt needs a token")
        self._check_length(int(lengths[active].max()))
        if tokens.max() >= self._num_embeddings or tokens.min() < 0:
            bad = int(tokens[(tokens >= self._num_embeddings) | (tokens < 0)][0])
            raise ValueError(
                f"a context holds the token id {bad}; the model embeds ids from 0 to "
                f"{self._num_embeddings - 1:,}, and pad_id is {self.pad_id}"
            )

    def _check_length(self, length: int) -> None:
        if self._max_positions is not None and length > self._max_positions:
            raise ValueError(
                f"a context of {length:,} tokens exceeds the model's "
                f"max_position_embeddings={self._max_positions:,}; lower max_prompt_tokens or "
                "max_new_tokens of the environment, or take a model with more positions"
            )
