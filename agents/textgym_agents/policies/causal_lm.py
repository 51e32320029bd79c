"""Any transformers decoder as a policy over token contexts."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel

from textgym_agents.policies.base import ObservationStore
from textgym_agents.policies.computing import Precision
from textgym_agents.policies.context_model import ContextModel
from textgym_agents.policies.contexts import ContextStore
from textgym_agents.policies.critic import Critic
from textgym_agents.policies.language_model import LanguageModelPolicy
from textgym_agents.policies.sampling import Sampling

_IntArray = NDArray[np.int64]


class CausalLMPolicy(LanguageModelPolicy):
    """A decoder language model: the next token is the action, the context the observation.

    Observations are int64 ``[N, W]`` contexts, right-padded with ``pad_id``, or a mapping with
    ``input_ids`` and ``attention_mask`` of that shape. The padding is never fed to the model.
    Dropout stays off, so that acting and evaluating see the same distribution.

    Acting keeps a key-value cache between calls (`ContextCache`): a context that extends the
    slot's last one costs its new tokens, another one costs itself. Of a GPT-2 on a CPU it also
    leaves the layers' products to the first `evaluate` with gradients, up to 1 GiB of them
    (`Activations`), unless it is in evaluation mode. Changed weights make both stale, which is
    found out from the parameters' version counters and from optimizers' steps; a change behind
    PyTorch's back (``parameter.data``), or of the model's modules, needs `clear_cache`. Models
    whose attention is not plain causal attention with position ids (ALiBi, sliding windows shorter
    than the contexts, state spaces) are computed anew at each step.

    Args:
        model: A transformers decoder with a language-model head, in which a GELU may be replaced
            by a faster one; see `fuse_activations`.
        pad_id: Marks the padding in observations; may lie outside the vocabulary.
        num_actions: Actions are the ids below it; None: the model's whole vocabulary.
        sampling: How logits become a distribution.
        value_head: Add a linear value head (weights start at 0) on the last hidden state;
            False: all values are 0.
        critic: Gives the values instead; see `critic.Critic`.
        cache: Keep keys and values between calls of `act`.
        cache_slack: Buffer columns beyond the longest context: more move the buffers less
            often, but all are read at each step.
        precision: Of matrix products; keys and values are kept in it. Weights, log-probabilities
            and values are float32 in any case.
        gradient_checkpointing: Keep less for the backward pass, and compute it again there;
            shared prompts are then computed with every episode.

    Raises:
        ValueError: If ``num_actions`` exceeds the model's vocabulary, or falls short of it by more
            than the padding of an embedding matrix: the ids are then another tokenizer's.
    """

    _contexts: ContextModel

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
        contexts = ContextModel(
            model,
            cache=cache,
            cache_slack=cache_slack,
            precision=precision,
            gradient_checkpointing=gradient_checkpointing,
        )
        super().__init__(
            model,
            pad_id,
            contexts,
            num_actions=num_actions,
            sampling=sampling,
            value_head=value_head,
            critic=critic,
        )

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

    def make_store(self, num_envs: int) -> ObservationStore:
        """A store of O(tokens) memory an episode: `Contexts`."""
        return ContextStore(num_envs, self.pad_id)

    def _where(
        self,
        tokens: _IntArray,
        lengths: _IntArray,
        active: NDArray[np.bool_],
        prompt_lengths: _IntArray | None,
    ) -> tuple[_IntArray, _IntArray, NDArray[np.bool_]]:
        del prompt_lengths  # The model reads prompt and response alike.
        if (lengths[active] < 1).any():
            slot = int(np.flatnonzero(active & (lengths < 1))[0])
            raise ValueError(f"the context of slot {slot} is empty; a prompt needs a token")
        self._contexts.check_length(int(lengths[active].max(initial=0)))
        self._check_ids(tokens)
        return tokens, lengths, active
