"""A critic of its own: a copy of the language model that only ever gives values."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from textgym_agents.policies.base import Episode
from textgym_agents.policies.context_model import ContextModel, in_slots
from textgym_agents.policies.contexts import episode_contexts
from textgym_agents.policies.decoder import output_head, zero_linear
from textgym_agents.policies.lora import share_frozen
from textgym_agents.policies.packing import step_order


class Critic(nn.Module):
    """Values of contexts, from a copy of the policy's model: the policy's errors are not its own.

    It shares with the policy's model only weights that do not train (the base below a LoRA
    adapter). Acting, it has a key-value cache of its own.

    Args:
        model: The policy's model, which is copied.
        **kwargs: Go to `ContextModel`.
    """

    def __init__(self, model: PreTrainedModel, **kwargs: Any) -> None:
        super().__init__()
        self.model = _without_head(model)
        self._contexts = ContextModel(self.model, **kwargs)
        self.value_head = zero_linear(self._contexts.hidden_size).to(model.device)
        self.train(self.training)

    def train(self, mode: bool = True) -> Critic:
        """Set the training flag, but keep the language model's dropout off."""
        super().train(mode)
        self.model.train(False)
        return self

    def last_values(
        self, tokens: NDArray[np.int64], lengths: NDArray[np.int64], active: NDArray[np.bool_]
    ) -> Tensor:
        """Values ``[N]`` of the active contexts, 0 elsewhere; see `ContextModel.last_tokens`."""
        slots, hidden, _ = self._contexts.last_tokens(tokens, lengths, active)
        return in_slots(self._values(hidden), slots, len(tokens))

    def values(self, episodes: Sequence[Episode]) -> Tensor:
        """Values of the episodes' steps, ``[M]``, differentiable."""
        parts, chunks = [], []
        for chunk, hidden, _ in self._contexts.steps([episode_contexts(e) for e in episodes]):
            parts.append(self._values(hidden))
            chunks.append(chunk)
        order = step_order(chunks, [episode.num_steps for episode in episodes])
        return torch.cat(parts)[torch.from_numpy(order).to(parts[0].device)]

    def clear_cache(self) -> None:
        """Forget all keys and values, as after a change of weights."""
        self._contexts.clear_cache()

    def _values(self, hidden: Tensor) -> Tensor:
        values: Tensor = self.value_head(hidden.to(self.value_head.weight.dtype)).squeeze(-1)
        return values.float()


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
