"""A critic of its own: a copy of the language model that only ever gives values."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from textgym_agents.policies.base import Episode
from textgym_agents.policies.context_model import ContextModel
from textgym_agents.policies.contexts import episode_contexts
from textgym_agents.policies.decoder import linear_values, output_head, zero_linear
from textgym_agents.policies.lora import share_frozen
from textgym_agents.policies.packing import in_slots, step_order
from textgym_agents.policies.seq2seq_model import Seq2SeqModel


class Critic(nn.Module):
    """Values of contexts, from a copy of the policy's model: the policy's errors are not its own.

    It shares with the policy's model only weights that do not train (the base below a LoRA
    adapter). Acting, it has a key-value cache of its own.

    Args:
        model: The policy's model, which is copied.
        **kwargs: Go to `ContextModel`, or `Seq2SeqModel` where the model has an encoder.
    """

    def __init__(self, model: PreTrainedModel, **kwargs: Any) -> None:
        super().__init__()
        self.model = _without_head(model)
        two = bool(getattr(model.config, "is_encoder_decoder", False))
        self._contexts: Any = (Seq2SeqModel if two else ContextModel)(self.model, **kwargs)
        self.value_head = zero_linear(self._contexts.hidden_size).to(model.device)
        self.train(self.training)

    def train(self, mode: bool = True) -> Critic:
        """Set the training flag, but keep the language model's dropout off."""
        super().train(mode)
        self.model.train(False)
        self._contexts.keep(mode)
        return self

    def last_values(self, *where: Any) -> Tensor:
        """Values ``[N]`` of the active contexts, 0 elsewhere; see `ContextModel.last_tokens`."""
        slots, hidden, _ = self._contexts.last_tokens(*where)
        return in_slots(linear_values(self.value_head, hidden), slots, len(where[0]))

    def values(self, episodes: Sequence[Episode]) -> Tensor:
        """Values of the episodes' steps, ``[M]``, differentiable."""
        return episode_values(self._contexts, self.value_head, episodes)

    def clear_cache(self) -> None:
        """Forget what acting keeps, as after a change of weights."""
        self._contexts.clear_cache()

    def in_one_pass(self) -> None:
        """Have `values` run each layer once; see `Policy.in_one_pass`."""
        self._contexts.in_one_pass()


def episode_values(contexts: Any, value_head: nn.Linear, episodes: Sequence[Episode]) -> Tensor:
    """What a value head makes of the episodes' steps, differentiable.

    Args:
        contexts: A `ContextModel` or `Seq2SeqModel`; its language-model head is not run.
        value_head: From hidden states ``[M, H]`` to ``[M, 1]``.
        episodes: At least one.

    Returns:
        At least float32 ``[M]``, the episodes' steps one after another.
    """
    passes = list(contexts.steps([episode_contexts(e) for e in episodes], head=False))
    order = step_order([each.episodes for each in passes], [e.num_steps for e in episodes])
    values = torch.cat([linear_values(value_head, each.hidden) for each in passes])
    return values[torch.from_numpy(order).to(values.device)]


def _without_head(model: PreTrainedModel) -> PreTrainedModel:
    """A copy of the model with a head of one output, which does not train, in the head's place.

    Models apply their head whatever they are asked for, and the real one costs as much as its
    vocabulary is large.
    """
    head = output_head(model)
    stub = nn.Linear(head.weight.shape[-1], 1, bias=False, device=head.weight.device)
    stub.requires_grad_(False)
    nn.init.zeros_(stub.weight)
    bodiless = copy.deepcopy(model, {**share_frozen(model), id(head): stub})
    if hasattr(bodiless, "final_logits_bias"):  # It would make logits of all tokens again.
        bodiless.final_logits_bias = torch.zeros((1, 1), device=head.weight.device)
    return bodiless
