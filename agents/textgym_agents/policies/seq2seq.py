"""Any transformers encoder-decoder as a policy over token contexts."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel

from textgym_agents.policies.base import ObservationStore
from textgym_agents.policies.computing import Precision
from textgym_agents.policies.critic import Critic
from textgym_agents.policies.language_model import LanguageModelPolicy
from textgym_agents.policies.prompt_split import PromptSplit, PromptStore
from textgym_agents.policies.sampling import Sampling
from textgym_agents.policies.seq2seq_model import Seq2SeqModel

_IntArray = NDArray[np.int64]
_BoolArray = NDArray[np.bool_]


class Seq2SeqPolicy(LanguageModelPolicy):
    """An encoder-decoder language model: the encoder reads the prompt, the decoder responds.

    Observations are those of `CausalLMPolicy`: a prompt and the response so far in one
    right-padded context. An episode's first context is its prompt and goes to the encoder; what
    follows, replies of the environment included, goes to the decoder after the token that starts
    it. `PromptSplit` says how `act` knows an episode's first context; in a rollout it is exact.
    Dropout stays off, so that acting and evaluating see the same distribution.

    Acting keeps the encoded prompts and the decoder's keys and values between calls
    (`Seq2SeqCache`): a prompt is encoded once, a token decoded once, and slots begin anew when
    they like. Changed weights make it all stale, which is found out from the parameters' version
    counters and from optimizers' steps; a change behind PyTorch's back (``parameter.data``), or of
    the model's modules, needs `clear_cache`. Models that place their tokens otherwise than T5 and
    BART do (`position_kind`) are computed anew at each step.

    Args:
        model: A transformers encoder-decoder with a language-model head, in which a GELU may be
            replaced by a faster one; see `fuse_activations`.
        pad_id: Marks the padding in observations; may lie outside the vocabulary.
        num_actions: Actions are the ids below it; None: the model's whole vocabulary.
        sampling: How logits become a distribution.
        value_head: Add a linear value head (weights start at 0) on the decoder's last hidden
            state; False: all values are 0.
        critic: Gives the values instead; see `critic.Critic`.
        cache: Keep what was computed between calls of `act`.
        cache_slack: Buffer columns beyond the longest response: more move the buffers less
            often, but all are read at each step.
        precision: Of matrix products: as the weights are (``fp32``), or ``bf16``.
        gradient_checkpointing: `evaluate` keeps each layer's input alone for the backward pass
            and computes the layer again there: less memory, a third more time.

    Raises:
        ValueError: If the model is a decoder alone or names no token that starts its decoder, or
            ``num_actions`` exceeds its vocabulary or falls short of it by more than the padding
            of an embedding matrix.
    """

    begins_midway: ClassVar[bool] = False

    _contexts: Seq2SeqModel

    def __init__(
        self,
        model: PreTrainedModel,
        pad_id: int,
        *,
        num_actions: int | None = None,
        sampling: Sampling | None = None,
        value_head: bool = True,
        critic: Critic | None = None,
        cache: bool = True,
        cache_slack: int = 16,
        precision: Precision = "fp32",
        gradient_checkpointing: bool = False,
    ) -> None:
        contexts = Seq2SeqModel(
            model,
            cache=cache,
            cache_slack=cache_slack,
            precision=precision,
            gradient_checkpointing=gradient_checkpointing,
        )
        self._split = PromptSplit()
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
        most = self._contexts.max_positions
        if most is not None and width > 2 * most:
            raise ValueError(
                f"a context of {width:,} tokens exceeds the model's max_position_embeddings="
                f"{most:,} in its prompt or its response"
            )

    def make_store(self, num_envs: int) -> ObservationStore:
        """A store of O(tokens) memory an episode: `Contexts`. Every slot's next is a prompt."""
        self._split = PromptSplit()
        return PromptStore(num_envs, self.pad_id, self._split)

    def _where(
        self,
        tokens: _IntArray,
        lengths: _IntArray,
        active: _BoolArray,
        prompt_lengths: _IntArray | None,
    ) -> tuple[_IntArray, _IntArray, _BoolArray, _IntArray]:
        prompts = self._split.update(tokens, lengths, active, prompt_lengths)
        wrong = active & ((prompts < 1) | (prompts > lengths))
        if wrong.any():
            slot = int(np.flatnonzero(wrong)[0])
            raise ValueError(
                f"the prompt of slot {slot} has {prompts[slot]} tokens and its context "
                f"{lengths[slot]}; a prompt needs a token, and is the context's beginning"
            )
        self._check_ids(tokens)
        responses = lengths - prompts
        longest = [int(part[active].max(initial=0)) for part in (prompts, responses)]
        self._contexts.check_lengths(*longest)
        return tokens, lengths, active, prompts
