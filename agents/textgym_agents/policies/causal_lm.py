"""Any transformers decoder as a policy over token contexts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
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
from textgym_agents.policies.context_model import ContextModel, in_slots
from textgym_agents.policies.contexts import ContextStore, episode_contexts, read_contexts
from textgym_agents.policies.critic import Critic
from textgym_agents.policies.decoder import (
    check_vocabulary,
    num_embeddings,
    output_head,
    zero_linear,
)
from textgym_agents.policies.head import head_log_probs
from textgym_agents.policies.masks import first_legal, flat_masks, legal_actions
from textgym_agents.policies.packing import in_order, step_order
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
    PyTorch's back (``parameter.data``, a fused optimizer) needs `clear_cache`. Models whose
    attention is not plain causal attention with position ids (ALiBi, sliding windows shorter than
    the contexts, state spaces) are computed anew at each step.

    Args:
        model: A transformers decoder with a language-model head.
        pad_id: Marks the padding in observations; may lie outside the vocabulary.
        num_actions: Actions are the ids below it; None: the model's whole vocabulary.
        sampling: Temperature, top-k and top-p.
        value_head: Add a linear value head (weights start at 0) on the last hidden state;
            False: all values are 0.
        critic: Gives the values instead; see `critic.Critic`.
        cache: Keep keys and values between calls of `act`.
        cache_slack: Buffer columns beyond the longest context so far: more move the buffers less
            often, but all are read at each step.
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
        cache_slack: int = 16,
        critic: Critic | None = None,
        precision: Precision = "fp32",
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self._contexts = ContextModel(
            model,
            cache=cache,
            cache_slack=cache_slack,
            precision=precision,
            gradient_checkpointing=gradient_checkpointing,
        )
        self._num_embeddings = num_embeddings(model)
        self.num_actions = self._num_embeddings if num_actions is None else num_actions
        check_vocabulary(self._num_embeddings, self.num_actions)
        self.pad_id = pad_id
        self.sampling = sampling or Sampling()
        own_values = value_head and critic is None
        width = self._contexts.hidden_size
        self.value_head = zero_linear(width).to(model.device) if own_values else None
        self.critic = critic
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
        self._contexts.check_length(int((space.shape or (1,))[0]) - 1)

    def train(self, mode: bool = True) -> CausalLMPolicy:
        """Set the training flag, but keep the language model's dropout off."""
        super().train(mode)
        self.model.train(False)
        return self

    def clear_cache(self) -> None:
        """Forget all keys and values, as after a change of weights."""
        self._contexts.clear_cache()
        if self.critic is not None:
            self.critic.clear_cache()

    def reference(self) -> CausalLMPolicy:
        """A frozen policy with this one's present distribution; see `Policy.reference`."""
        return frozen_language_model(self)

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
            values = self.critic.last_values(tokens, lengths, active)
        log_probs = process_logits(logits, self.sampling, mask)
        actions = choose(log_probs, generator, deterministic)
        chosen = gather(log_probs, actions).cpu().numpy()
        if not np.isfinite(chosen[active]).all():
            self.clear_cache()  # even a masked NaN would spoil what is computed later
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
        if torch.is_grad_enabled():
            self.clear_cache()  # What is learned makes it stale; until then it takes memory.
        parts, chunks = [], []
        lean = not self.sampling.filters and self.sampling.epsilon == 0
        lean = lean and self._contexts.head_is_last
        for chunk, hidden, logits in self._steps(episodes, head=not lean):
            members = [episodes[i] for i in chunk]
            if lean:
                log_probs, entropies = self._from_head(members, hidden)
            else:
                table, actions = self._distributions(members, logits)
                log_probs, entropies = gather(table, actions), entropy(table)
            parts.append(Evaluation(log_probs, entropies, self._values(hidden)))
            chunks.append(chunk)
        evaluation = in_order(parts, chunks, [episode.num_steps for episode in episodes])
        if self.critic is None:
            return evaluation
        return replace(evaluation, values=self.critic.values(episodes))

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
        for chunk, _, logits in self._steps(episodes):
            tables.append(self._distributions([episodes[i] for i in chunk], logits)[0])
            chunks.append(chunk)
        order = step_order(chunks, [episode.num_steps for episode in episodes])
        return torch.cat(tables)[self._tensor(order)]

    def _steps(
        self, episodes: Sequence[Episode], head: bool = True
    ) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """Indices of episodes, and hidden states and logits at the steps of these."""
        contexts = [episode_contexts(episode) for episode in episodes]
        for chunk, hidden, logits in self._contexts.steps(contexts, head):
            yield chunk, hidden, logits[:, : self.num_actions]

    def _from_head(self, episodes: Sequence[Episode], hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the actions taken and entropies, each ``[M]``."""
        head = output_head(self.model)
        return head_log_probs(
            hidden,
            head.weight,
            head.bias,
            self._tensor(np.concatenate([episode.actions for episode in episodes])),
            num_actions=self.num_actions,
            mask=flat_masks(episodes, self.num_actions, self.device),
            temperature=self.sampling.temperature,
            dtype=self._contexts.compute_dtype,
        )

    def _distributions(self, episodes: Sequence[Episode], logits: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities ``[M, V]`` and the actions taken, ``[M]``."""
        actions = self._tensor(np.concatenate([episode.actions for episode in episodes]))
        mask = flat_masks(episodes, self.num_actions, self.device)
        old = torch.from_numpy(np.concatenate([episode.log_probs for episode in episodes]))
        log_probs = process_logits(
            logits, self.sampling, mask, keep=actions, old_log_probs=old.to(self.device)
        )
        return log_probs, actions

    def _tensor(self, array: _IntArray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def _last_tokens(
        self, tokens: _IntArray, lengths: _IntArray, active: NDArray[np.bool_]
    ) -> tuple[Tensor, Tensor]:
        """Logits ``[N, V]`` and values ``[N]`` after each active context, 0 elsewhere."""
        slots, hidden, logits = self._contexts.last_tokens(tokens, lengths, active)
        logits = in_slots(logits[:, : self.num_actions], slots, len(tokens))
        return logits, in_slots(self._values(hidden), slots, len(tokens))

    def _values(self, hidden: Tensor) -> Tensor:
        if self.value_head is None:
            return hidden.new_zeros(len(hidden), dtype=torch.float32)
        values: Tensor = self.value_head(hidden.to(self.value_head.weight.dtype)).squeeze(-1)
        return values.float()

    def _check(self, tokens: _IntArray, lengths: _IntArray, active: NDArray[np.bool_]) -> None:
        if (lengths[active] < 1).any():
            slot = int(np.flatnonzero(active & (lengths < 1))[0])
            raise ValueError(f"the context of slot {slot} is empty; a prompt needs a token")
        self._contexts.check_length(int(lengths[active].max()))
        if tokens.max() >= self._num_embeddings or tokens.min() < 0:
            bad = int(tokens[(tokens >= self._num_embeddings) | (tokens < 0)][0])
            raise ValueError(
                f"a context holds the token id {bad}; the model embeds ids from 0 to "
                f"{self._num_embeddings - 1:,}, and pad_id is {self.pad_id}"
            )
