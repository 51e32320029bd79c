"""A critic of its own: a copy of the language model that only ever gives values."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from textgym_agents.policies.base import Episode, Evaluation
from textgym_agents.policies.causal_lm import CausalLMPolicy
from textgym_agents.policies.decoder import output_head
from textgym_agents.policies.lora import share_frozen
from textgym_agents.policies.packing import in_order


class Critic(CausalLMPolicy):
    """A language model whose value head is all it is for; a `CausalLMPolicy` takes it as one.

    It begins as a copy of the policy's model and shares with it only weights that do not train
    (the base below a LoRA adapter).

    Args:
        model: The policy's model, which is copied.
        pad_id: As the policy's.
        **kwargs: Go to `CausalLMPolicy`.
    """

    def __init__(self, model: PreTrainedModel, pad_id: int, **kwargs: Any) -> None:
        super().__init__(_without_head(model), pad_id, **kwargs)

    def evaluate(self, episodes: Sequence[Episode]) -> Evaluation:
        """Values alone; the rest is 0."""
        parts, chunks = [], []
        for chunk, hidden, _ in self._chunks(episodes):
            nothing = torch.zeros(len(hidden), device=hidden.device)
            parts.append(Evaluation(nothing, nothing, self._values(hidden)))
            chunks.append(chunk)
        return in_order(parts, chunks, [episode.num_steps for episode in episodes])


def _without_head(model: PreTrainedModel) -> PreTrainedModel:
    """A copy of the model with a head of one output, which does not train, in the head's place.

    Models apply their head whatever they are asked for, and the real one costs as much as its
    vocabulary is large.
    """
    head = output_head(model)
    stub = nn.Linear(head.weight.shape[-1], 1, bias=False, device=head.weight.device)
    stub.requires_grad_(False)
    nn.init.zeros_(stub.weight)
    return copy.deepcopy(model, {**share_frozen(model), id(head): stub})
