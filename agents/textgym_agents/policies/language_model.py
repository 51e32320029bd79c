"""What policies over token contexts have in common, whichever model reads the contexts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from textgym_agents.policies.base import (
    Actions,
    Contexts,
    Episode,
    Evaluation,
    Observations,
    Policy,
    joined,
)
from textgym_agents.policies.contexts import episode_contexts, read_contexts
from textgym_agents.policies.critic import Critic, episode_values
from textgym_agents.policies.decoder import (
    check_vocabulary,
    head_bias,
    linear_values,
    num_embeddings,
    output_head,
    zero_linear,
)
from textgym_agents.policies.draws import Note
from textgym_agents.policies.head import sampled_log_probs
from textgym_agents.policies.masks import first_legal, flat_masks, legal_actions
from textgym_agents.policies.packing import Pass, in_order, in_slots, step_order
from textgym_agents.policies.reference import frozen_language_model
from textgym_agents.policies.sampling import (
    Sampling,
    draw,
    entropy,
    gather,
    process_logits,
    uniform_numbers,
)

_IntArray = NDArray[np.int64]
_BoolArray = NDArray[np.bool_]

PolicyT = TypeVar("PolicyT", bound="LanguageModelPolicy")


class TokenModel(Protocol):
    """Runs a language model over contexts, token by token or whole episodes at once."""

    @property
    def hidden_size(self) -> int:
        """The size of the hidden states, ``H``."""

    @property
    def compute_dtype(self) -> torch.dtype:
        """The type of matrix products."""

    @property
    def head_is_last(self) -> bool:
        """Whether the logits are what the head's weights and bias make of its input."""

    def last_tokens(self, *where: Any) -> tuple[_IntArray, Tensor, Tensor]:
        """Slots, int64 ``[R]``, and hidden states ``[R, H]`` and logits ``[R, V]`` there."""

    def noting(self, slots: _IntArray, lengths: _IntArray) -> Note | None:
        """Where to note what is drawn after the newest `last_tokens`, if `steps` can use that."""

    def steps(self, contexts: Sequence[Contexts], head: bool = True) -> Iterator[Pass]:
        """Compute the steps of episodes with gradients, with logits or without."""

    def clear_cache(self) -> None:
        """Forget what is kept between calls of `last_tokens`."""

    def keep(self, wanted: bool) -> None:
        """Whether acting keeps what it computes for `steps` to take over."""

    def in_one_pass(self) -> None:
        """Have `steps` run each layer once, whatever padding that takes."""


class LanguageModelPolicy(Policy):
    """A language model over token contexts: the next token is the action.

    Args:
        model: A transformers model with a linear language-model head; see `fuse_activations`.
        pad_id: Marks the padding in observations; may lie outside the vocabulary.
        contexts: Runs the model.
        num_actions: Actions are the ids below it; None: the model's whole vocabulary.
        sampling: How logits become a distribution.
        value_head: Add a linear value head (weights start at 0) on the last hidden state;
            False: all values are 0.
        critic: Gives the values instead; see `critic.Critic`.

    Raises:
        ValueError: If ``num_actions`` exceeds the model's vocabulary, or falls short of it by more
            than the padding of an embedding matrix: the ids are then another tokenizer's.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        pad_id: int,
        contexts: TokenModel,
        *,
        num_actions: int | None,
        sampling: Sampling | None,
        value_head: bool,
        critic: Critic | None,
    ) -> None:
        super().__init__()
        self.model = model
        self._contexts = contexts
        self._num_embeddings = num_embeddings(model)
        self.num_actions = self._num_embeddings if num_actions is None else num_actions
        check_vocabulary(self._num_embeddings, self.num_actions)
        self.pad_id = pad_id
        self.sampling = sampling or Sampling()
        own_values = value_head and critic is None
        self.value_head = zero_linear(contexts.hidden_size).to(model.device) if own_values else None
        self.critic = critic
        self.train(self.training)

    @classmethod
    def from_env(
        cls: type[PolicyT],
        envs: gym.vector.VectorEnv[Any, Any, Any],
        model: PreTrainedModel,
        **kwargs: Any,
    ) -> PolicyT:
        """A policy for a text environment.

        Args:
            envs: Names its padding id in ``envs.metadata["pad_id"]``; its actions are token ids.
            model: A transformers model.
            **kwargs: Go to the constructor.

        Raises:
            ValueError: If the environment names no padding id, its actions are not token ids
                from 0 on, or they or its contexts exceed the model.
        """
        if "pad_id" not in envs.metadata:
            raise ValueError(
                'the environment does not name its padding id in metadata["pad_id"]; '
                f"build {cls.__name__}(model, pad_id=...) by hand"
            )
        space = envs.single_action_space
        if not isinstance(space, gym.spaces.Discrete) or space.start != 0:
            raise ValueError(f"actions must be token ids, Discrete from 0 on; got {space}")
        make: Any = cls
        policy: PolicyT = make(
            model, int(envs.metadata["pad_id"]), num_actions=int(space.n), **kwargs
        )
        policy.check_observations(envs.single_observation_space)
        return policy

    def train(self: PolicyT, mode: bool = True) -> PolicyT:
        """Set the training flag, but keep the language model's dropout off.

        In evaluation mode acting leaves nothing to a gradient, which is not to come.
        """
        super().train(mode)
        self.model.train(False)
        self._contexts.keep(mode)
        return self

    def value_parameters(self) -> list[nn.Parameter]:
        """The value head's, or the critic's; see `Policy.value_parameters`."""
        giver = self.value_head if self.critic is None else self.critic
        return [] if giver is None else list(giver.parameters())

    def clear_cache(self) -> None:
        """Forget all keys and values, as after a change of weights."""
        self._contexts.clear_cache()
        if self.critic is not None:
            self.critic.clear_cache()

    def in_one_pass(self) -> None:
        """Have every `evaluate` run each layer once; see `Policy.in_one_pass`."""
        self._contexts.in_one_pass()
        if self.critic is not None:
            self.critic.in_one_pass()

    def reference(self: PolicyT) -> PolicyT:
        """A frozen policy with this one's present distribution; see `Policy.reference`."""
        return frozen_language_model(self)

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
            prompt_lengths: int64 ``[N]``, how many tokens of each context are the prompt, for who
                calls `act` on contexts from anywhere; later calls go on with them. None: as
                `PromptSplit` finds. It makes no difference to a decoder alone.
        """
        tokens, lengths = read_contexts(observations, self.pad_id)
        active = np.ones(len(tokens), np.bool_) if active is None else active
        mask = legal_actions(action_masks, active, self.num_actions, self.device)
        where = self._where(tokens, lengths, active, prompt_lengths)
        if not active.any():
            return first_legal(mask, len(tokens))
        slots, hidden, logits = self._contexts.last_tokens(*where)
        live = np.flatnonzero(active[slots])
        if len(live) < len(slots):
            slots, rows = slots[live], self._tensor(live)
            hidden, logits = hidden[rows], logits[rows]
        at, count = self._tensor(slots), len(tokens)
        note = self._contexts.noting(slots, lengths[slots]) if self.sampling.is_plain else None
        chosen, log_probs, kept, entropies = draw(
            logits[:, : self.num_actions],
            self.sampling,
            None if mask is None else mask[at],
            None if deterministic else uniform_numbers(count, generator, self.device)[at],
            with_entropy=note is not None,
        )
        if not bool(torch.isfinite(log_probs).all()):
            self.clear_cache()  # even a masked NaN would spoil what is computed later
            raise ValueError("the model's logits are not finite; were its weights NaN?")
        if note is not None and entropies is not None:
            masks = None if action_masks is None else action_masks[slots]
            known = log_probs.tolist(), entropies.tolist()
            note(chosen.cpu().numpy(), masks, self.sampling, *known)
        critic = self.critic
        values = self._values(hidden) if critic is None else critic.last_values(*where)[at]
        idle = mask if len(slots) < count else None
        result = first_legal(idle, count, kept is not None)
        result.actions[slots] = chosen.cpu().numpy()
        result.log_probs[slots] = log_probs.cpu().numpy()
        result.values[slots] = values.cpu().numpy()
        if result.kept is not None and kept is not None:
            result.kept[slots] = kept.cpu().numpy()
        return result

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
        where = self._where(tokens, lengths, active, None)
        return process_logits(self._last_tokens(*where)[0], self.sampling, mask)

    def evaluate(self, episodes: Sequence[Episode]) -> Evaluation:
        """Evaluate every step of the episodes, each token once; see `Policy.evaluate`.

        A prompt that several episodes begin with goes through the model once (but see
        `TokenModel.steps`), and logits of a part of the steps are there at a time.
        """
        parts, chunks = [], []
        lean = self._contexts.head_is_last
        for computed in self._contexts.steps([episode_contexts(e) for e in episodes], not lean):
            members = [episodes[index] for index in computed.episodes]
            if lean:
                log_probs, entropies = self._from_head(members, computed)
            else:
                table = self._distributions(members, computed.logits)
                log_probs, entropies = gather(table, self._actions(members)), entropy(table)
            parts.append(Evaluation(log_probs, entropies, self._values(computed.hidden)))
            chunks.append(computed.episodes)
        evaluation = in_order(parts, chunks, [episode.num_steps for episode in episodes])
        if self.critic is None:
            return evaluation
        return replace(evaluation, values=self.critic.values(episodes))

    def values(self, episodes: Sequence[Episode]) -> Tensor:
        """The values of every step, for which no logits are computed; see `Policy.values`."""
        if self.critic is not None:
            return self.critic.values(episodes)
        if self.value_head is not None:
            return episode_values(self._contexts, self.value_head, episodes)
        return torch.zeros(sum(episode.num_steps for episode in episodes), device=self.device)

    def episode_log_probs(self, episodes: Sequence[Episode]) -> Tensor:
        """The distributions of every step; see `Policy.episode_log_probs`."""
        tables, chunks = [], []
        for computed in self._contexts.steps([episode_contexts(episode) for episode in episodes]):
            members = [episodes[index] for index in computed.episodes]
            tables.append(self._distributions(members, computed.logits))
            chunks.append(computed.episodes)
        order = step_order(chunks, [episode.num_steps for episode in episodes])
        return torch.cat(tables)[self._tensor(order)]

    @abstractmethod
    def _where(
        self,
        tokens: _IntArray,
        lengths: _IntArray,
        active: _BoolArray,
        prompt_lengths: _IntArray | None,
    ) -> tuple[Any, ...]:
        """The arguments of `TokenModel.last_tokens`, checked."""

    def _from_head(self, episodes: Sequence[Episode], computed: Pass) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the actions taken and entropies, each ``[M]``."""
        drawn = None if computed.drawn is None else computed.drawn(episodes, self.sampling)
        return sampled_log_probs(
            computed.head_input,
            output_head(self.model).weight,
            head_bias(self.model),
            self._actions(episodes),
            num_actions=self.num_actions,
            sampling=self.sampling,
            mask=flat_masks(episodes, self.num_actions, self.device),
            kept=self._kept(episodes),
            dtype=self._contexts.compute_dtype,
            left=computed.left,
            drawn=None if drawn is None else torch.tensor(drawn, dtype=torch.float64),
        )

    def _distributions(self, episodes: Sequence[Episode], logits: Tensor) -> Tensor:
        """Log-probabilities ``[M, V]``."""
        return process_logits(
            logits[:, : self.num_actions],
            self.sampling,
            flat_masks(episodes, self.num_actions, self.device),
            self._actions(episodes),
            self._kept(episodes),
        )

    def _actions(self, episodes: Sequence[Episode]) -> Tensor:
        return self._tensor(np.concatenate([episode.actions for episode in episodes]))

    def _kept(self, episodes: Sequence[Episode]) -> Tensor | None:
        kept = joined(episodes, "kept")
        return None if kept is None else self._tensor(kept)

    def _last_tokens(self, *where: Any) -> tuple[Tensor, Tensor]:
        """Logits ``[N, V]`` and values ``[N]`` after each active context, 0 elsewhere."""
        slots, hidden, logits = self._contexts.last_tokens(*where)
        num_slots = len(where[0])
        logits = in_slots(logits[:, : self.num_actions], slots, num_slots)
        return logits, in_slots(self._values(hidden), slots, num_slots)

    def _values(self, hidden: Tensor) -> Tensor:
        if self.value_head is None:
            return hidden.new_zeros(len(hidden), dtype=torch.float32)
        return linear_values(self.value_head, hidden)

    def _check_ids(self, tokens: _IntArray) -> None:
        """Check that the model embeds every token."""
        if tokens.max() >= self._num_embeddings or tokens.min() < 0:
            bad = int(tokens[(tokens >= self._num_embeddings) | (tokens < 0)][0])
            raise ValueError(
                f"a context holds the token id {bad}; the model embeds ids from 0 to "
                f"{self._num_embeddings - 1:,}, and pad_id is {self.pad_id}"
            )

    def _tensor(self, array: _IntArray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)
