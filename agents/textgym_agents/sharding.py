"""A policy of which each process keeps a share of every weight: PyTorch's ``fully_shard``.

Learning gathers a layer's weights while the layer computes, forward and backward, and leaves each
process the sum of the gradients of its share (ZeRO stage 3: Rajbhandari et al. 2020, arXiv
1910.02054). All processes must then run each layer equally often, so that an `evaluate` is one
pass, and give gradients to the same weights. Acting is another number of steps in each process, and
has a copy with whole weights; what is saved, and what a frozen policy is made of, is such a copy,
too.

On CPUs, glibc keeps the memory that layers let go, and a process may then take more than without
sharding, unless ``MALLOC_MMAP_THRESHOLD_`` is set (1048576, say).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from textgym_agents.policies import Actions, Episode, Evaluation, Policy

PolicyT = TypeVar("PolicyT", bound=Policy)


def shard_weights(policy: PolicyT, device: str, count: int) -> PolicyT:
    """Leave each of several processes its share of the policy's weights, in place.

    Layers are gathered one by one; what is outside of layers, such as embeddings and heads, stays
    together during a forward and backward pass. The policy's class becomes a subclass of what it
    was.

    Args:
        policy: The same in all processes.
        device: This process's, where the policy is.
        count: The processes, each of which does this.

    Raises:
        RuntimeError: This PyTorch cannot.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard

    needed = ("set_force_sum_reduction_for_comms", "reset_iter_state")
    if not all(hasattr(FSDPModule, name) for name in needed):
        raise RuntimeError(
            f"shard_weights needs a newer PyTorch than {torch.__version__}: 2.13 can do it"
        )
    blanks = {
        id(weight): nn.Parameter(torch.empty_like(weight, device="meta"), weight.requires_grad)
        for weight in policy.parameters()
    }
    known = {"blank": copy.deepcopy(policy, blanks), "place": (device, count)}
    kind = type(policy)
    policy.__class__ = type(f"Sharded{kind.__name__}", (ShardedPolicy, kind), known)
    policy.in_one_pass()
    mesh = init_device_mesh(torch.device(device).type, (count,))
    parts: list[nn.Module] = [policy]
    parts += [each for each in policy.modules() if isinstance(each, GradientCheckpointingLayer)]
    for part in reversed(parts):
        sharded: Any = fully_shard(part, mesh=mesh)
        sharded.set_gradient_divide_factor(1.0)
        sharded.set_force_sum_reduction_for_comms(True)  # Gloo knows no other.
    return policy


@torch.no_grad()
def whole(policy: PolicyT) -> PolicyT:
    """A copy with whole weights where they are sharded, which all processes ask for; else itself.

    The copy is as the policy was before, and does what only that can, such as acting.
    """
    if not isinstance(policy, ShardedPolicy):
        return policy
    sharded: Any = policy
    sharded.reshard()  # An evaluation that no backward pass followed has left some together.
    pairs = zip(policy.blank.parameters(), policy.parameters(), strict=True)
    weights = {
        id(blank): nn.Parameter(_whole(weight), blank.requires_grad) for blank, weight in pairs
    }
    return copy.deepcopy(policy.blank, weights)  # type: ignore[return-value]


class ShardedPolicy(Policy):
    """A policy whose weights are sharded, as a subclass of its real class; see `shard_weights`.

    Its state is that of whole weights, which all processes must ask for, or load, together.

    Attributes:
        blank: The policy without any weights, and not sharded.
        place: The device and the number of processes.
        common: Names of weights that are another policy's, whose state has them.
    """

    blank: ClassVar[Policy]
    place: ClassVar[tuple[str, int]]
    common: frozenset[str] = frozenset()

    def act(self, *_: Any, **__: Any) -> Actions:
        """Not with sharded weights.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError("sharded weights cannot act: act with the copy that `whole` makes")

    def evaluate(self, episodes: Sequence[Episode]) -> Evaluation:
        """As the real class does, with weights that are gathered for it."""
        evaluation: Evaluation = self(episodes)
        if not torch.is_grad_enabled():  # No backward pass will come to let the weights go.
            gathered: Any = self
            gathered.reset_iter_state()
        return evaluation

    def values(self, episodes: Sequence[Episode]) -> Tensor:
        """Those of `evaluate`, which has the weights gathered."""
        return self.evaluate(episodes).values

    def forward(self, episodes: Sequence[Episode]) -> Evaluation:
        """What `evaluate` is, once weights are gathered."""
        plain: Any = super()
        with warnings.catch_warnings():  # T5's layers give out a view, which nothing changes.
            warnings.filterwarnings("ignore", r"FSDP2-wrapped module \(FSDP\w*T5Block\)")
            evaluation: Evaluation = plain.evaluate(episodes)
        return evaluation

    def reference(self) -> Policy:
        """As the real class does; sharded, too, with copies of weights that would be in common."""
        present = whole(self)
        frozen = present.reference()
        taken = {tensor.data_ptr() for tensor in present.state_dict().values()}
        common = {name for name, t in frozen.state_dict().items() if t.data_ptr() in taken}
        sharded: Any = shard_weights(frozen, *self.place)
        sharded.common = frozenset(common)
        reference: Policy = sharded
        return reference

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The whole weights, without `common` ones; tied ones have one memory."""
        state = whole(self).state_dict(*args, **kwargs)
        return {name: tensor for name, tensor in state.items() if name not in self.common}

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Take this process's share of whole weights."""
        own = dict(self.named_parameters(remove_duplicate=False))
        shares = {
            name: _share(own[name], tensor) if name in own else tensor
            for name, tensor in state_dict.items()
        }
        return super().load_state_dict(shares, *args, **kwargs)


class ShardedAdamW(torch.optim.AdamW):
    """AdamW over sharded weights, whose state is saved and loaded as that of whole ones."""

    _consolidated: dict[str, Any] | None = None

    def consolidate_state_dict(self, to: int = 0) -> None:
        """Let a process have the state of all weights, for its next `state_dict`.

        Args:
            to: Its index.
        """
        own = super().state_dict()
        here = torch.distributed.get_rank() == to
        state: dict[int, dict[str, Tensor]] = {}
        for place, entry in own["state"].items():
            for key, value in entry.items():
                gathered = _whole(value)
                if here:  # Elsewhere one at a time is there.
                    state.setdefault(place, {})[key] = gathered.cpu()
        self._consolidated = {**own, "state": state} if here else None

    def state_dict(self) -> dict[str, Any]:
        """What was consolidated; elsewhere, and later, the state of the shares."""
        state, self._consolidated = self._consolidated, None
        return super().state_dict() if state is None else state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take this process's share of a state of whole weights."""
        parameters = [p for group in self.param_groups for p in group["params"]]
        state = {
            place: {key: _share(parameters[place], v) if v.ndim else v for key, v in entry.items()}
            for place, entry in state_dict["state"].items()
        }
        super().load_state_dict({**state_dict, "state": state})


def _whole(tensor: Any) -> Tensor:
    """What a tensor is in all processes together; itself where each has all of it."""
    full: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return full


def _share(parameter: Any, tensor: Tensor) -> Tensor:
    """This process's share of a whole tensor, as it has one of a parameter."""
    from torch.distributed.tensor import distribute_tensor

    where = parameter.device_mesh, parameter.placements
    return distribute_tensor(tensor.to(parameter.device), *where, src_data_rank=None)
