"""Frozen copies of policies, to measure how far training has gone from where it began."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from torch import Tensor, nn

from textgym_agents.policies.base import Policy

PolicyT = TypeVar("PolicyT", bound=Policy)


def frozen_language_model(policy: PolicyT) -> PolicyT:
    """A frozen policy over a transformers model, without the critic.

    Without an adapter it is a copy that shares nothing. With one it is the policy with the
    adapter taken out: it has the very weights of the policy's base model and costs no memory
    but its modules'. It is a module tree of its own, so that evaluating it touches neither the
    policy's gradients nor its caches, whenever that is.

    Args:
        policy: Has its transformers model as ``model``, and its critic, if any, as ``critic``.
    """
    from textgym_agents.policies.lora import has_adapter, remove_adapter, share_frozen

    model: Any = policy.model
    memo: dict[int, Any] = {id(getattr(policy, "critic", None)): None}
    if has_adapter(model):
        memo |= share_frozen(model)
    frozen = copy.deepcopy(policy, memo)
    if has_adapter(model):
        copied: Any = frozen.model
        remove_adapter(copied)
    frozen.requires_grad_(False)
    frozen.train(False)
    return frozen


def own_tensors(module: nn.Module, besides: nn.Module) -> dict[str, Tensor]:
    """What of a module's state another does not have in common with it, for a checkpoint.

    Args:
        module: A reference, say.
        besides: The policy, say, which is saved anyway.

    Returns:
        Tensors by their names in ``module.state_dict()``, one of several tied ones; empty for
        the reference of a LoRA policy but for its value head.
    """
    # One of sharded weights leaves out itself what is in common. The other state is kept, so that
    # no tensor of the module's takes its memory.
    other = {} if hasattr(module, "common") else besides.state_dict()
    seen = {tensor.data_ptr() for tensor in other.values()}
    own: dict[str, Tensor] = {}
    for name, tensor in module.state_dict().items():
        if tensor.data_ptr() not in seen:
            own[name] = tensor
            seen.add(tensor.data_ptr())
    return own
