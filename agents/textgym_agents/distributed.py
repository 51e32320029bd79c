"""Training on several processes, of which `sharding` and `shares` are parts.

Each process runs its share of the environments. Their episodes go round, so that every process has
the whole batch and computes the very advantages, minibatches and losses that one process would.
What is divided is a policy's `evaluate` and `values`, where the work is: each process computes its
share of the steps with gradients, and gets the others' results as numbers. A loss of any form then
has on each process the gradient of that share, and their sum over the processes, taken before
clipping, is the gradient of the whole batch. So every algorithm is data parallel and exact, without
a line of its own unless it asks for more of a policy (`own_share`), and the processes agree on
whatever they decide by a metric. Accelerate finds the processes that a launcher has started, and
their devices.
"""

from __future__ import annotations

import atexit
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from textgym_agents.policies import Episode, Evaluation, Policy
from textgym_agents.sharding import ShardedAdamW, ShardedPolicy, shard_weights, whole
from textgym_agents.shares import divide, joined

T = TypeVar("T")
PolicyT = TypeVar("PolicyT", bound=Policy)

LAUNCH = "torchrun --standalone --nproc-per-node 2 -m textgym_agents"
"""What starts two processes on this machine."""

_COUNTS = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
_INDICES = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
"""Where launchers say how many processes there are, and which a process is; MPI's, too."""

_UNJOINED_COUNTS = ("SLURM_STEP_NUM_TASKS",)
"""Where a launcher says so that Accelerate does not know: srun, unless it starts torchrun."""

_BUCKET = 2**24
"""Gradients that are summed at once hold about so many numbers."""


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of a run; by default this one alone, whose methods then cost nothing.

    What they exchange, all must exchange, in the same order.

    Attributes:
        index: This process, 0 to ``count - 1``. Process 0 keeps the records.
        count: How many there are.
        device: This process's torch device.
        shard: Each of several processes keeps an optimizer's state of a share of the weights.
        shard_weights: Each keeps a share of the weights, and what belongs to it, alone.
    """

    index: int = 0
    count: int = 1
    device: str = "cpu"
    shard: bool = False
    shard_weights: bool = False

    def slots(self, num_envs: int, group_size: int) -> slice:
        """Which of all environments run here.

        Raises:
            ValueError: The processes cannot have equally many, or a group would be cut apart.
        """
        size, rest = divmod(num_envs, self.count)
        if rest or size % group_size:
            raise ValueError(
                f"{num_envs} environments in groups of {group_size} cannot be divided among "
                f"{self.count} processes: num_envs must be a multiple of "
                f"{self.count * group_size}"
            )
        return slice(self.index * size, (self.index + 1) * size)

    def gather(self, episodes: list[Episode], num_slots: int, quota: int) -> list[Episode]:
        """The episodes of all processes, in the order of their slots.

        Args:
            episodes: Those collected here.
            num_slots: Environments of a process.
            quota: Episodes of a slot at most.
        """
        if self.count == 1:
            return episodes
        parts = self.of_all(episodes)
        masks: dict[bytes, Any] = {}
        for index, part in enumerate(parts):
            for episode in part:
                episode.slot += index * num_slots
                episode.group += index * num_slots * quota
                mask = episode.action_masks
                if mask is not None and mask.ndim == 1:  # Equal ones stay one array.
                    episode.action_masks = masks.setdefault(mask.tobytes(), mask)
        return [episode for part in parts for episode in part]

    def of_all(self, value: T) -> list[T]:
        """Each process's value, in their order."""
        if self.count == 1:
            return [value]
        parts: list[Any] = [None] * self.count
        dist.all_gather_object(parts, value)
        return parts

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process."""
        if self.count == 1:
            return flag
        flags = torch.tensor(int(flag), device=self.device)
        dist.all_reduce(flags, dist.ReduceOp.MAX)
        return bool(flags)

    def from_first(self, value: T) -> T:
        """What process 0 has there."""
        if self.count == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.count > 1:
            dist.barrier()

    def share(self, policy: PolicyT) -> PolicyT:
        """Give the policy process 0's weights, and let the processes divide what it evaluates.

        Its class becomes a subclass of what it was, as with PyTorch's ``fully_shard``, so that
        all else, names of weights and frozen copies included, is as with one process. It goes to
        evaluation mode: what acting computes here is hardly ever of what is evaluated here.
        """
        if self.count == 1:
            return policy
        policy.eval()
        for tensor in policy.state_dict().values():
            first = tensor.detach().contiguous()
            dist.broadcast(first.view(-1).view(torch.uint8), src=0)
            tensor.copy_(first)
        kind = type(policy)
        policy.__class__ = type(f"Shared{kind.__name__}", (_Shared, kind), {"processes": self})
        return shard_weights(policy, self.device, self.count) if self.shard_weights else policy

    def whole(self, policy: PolicyT) -> PolicyT:
        """The policy, or a copy with whole weights where they are sharded.

        Gathers them in all processes at once, so that what follows, such as acting, may differ.
        """
        return whole(policy)

    def for_first(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """What process 0 alone is to write: of sharded weights the others keep nothing."""
        if self.count == 1 or not self.shard_weights:
            return tensors
        return {} if self.index else {name: tensor.cpu() for name, tensor in tensors.items()}

    def check_shardable(self, name: str, shardable: bool) -> None:
        """Check that an algorithm can learn with sharded weights, if they are.

        Raises:
            ValueError: It cannot; says what to do.
        """
        if self.count > 1 and self.shard_weights and not shardable:
            raise ValueError(
                f"{name} computes with whole weights outside of evaluate, so that shard_weights "
                "cannot be on: turn it off (shard_optimizer may be on), or take ppo"
            )

    def check_equal(self, policy: Policy) -> None:
        """Check that all processes have the same weights; of sharded ones there is one each.

        Raises:
            RuntimeError: They have not, so that something went unsynchronised.
        """
        if self.count == 1 or self.shard_weights:
            return
        tensors = [t.detach().contiguous().view(-1) for t in policy.state_dict().values()]
        sums = torch.stack([t.view(torch.uint8).sum(dtype=torch.int64) for t in tensors])
        extremes = torch.cat([sums, -sums])
        dist.all_reduce(extremes, dist.ReduceOp.MAX)
        if not torch.equal(extremes, torch.cat([sums, -sums])):
            raise RuntimeError(
                f"the {self.count} processes have come to different weights, so that they no "
                "longer train one policy; the last checkpoint is sound"
            )

    def gather_state(self, optimizer: torch.optim.Optimizer) -> None:
        """Let process 0 have an optimizer's state of all weights, where it is sharded."""
        if self.count > 1 and (self.shard or self.shard_weights):
            sharded: Any = optimizer
            sharded.consolidate_state_dict(to=0)

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over the processes, in place."""
        if self.count > 1:
            dist.all_reduce(tensor)
        return tensor

    def sum_gradients(self, policy: Policy) -> None:
        """Give each parameter the sum over the processes of its gradients; None stays None."""
        parameters = [p for p in policy.parameters() if p.requires_grad]
        used = [parameter.grad is not None for parameter in parameters]
        counts = self.sum(torch.tensor(used, dtype=torch.int64, device=self.device)).tolist()
        gradients = []
        for parameter, count in zip(parameters, counts, strict=True):
            if count:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                gradients.append(parameter.grad)
        for bucket in _buckets(gradients):
            summed = self.sum(torch.cat([gradient.reshape(-1) for gradient in bucket]))
            sizes = [gradient.numel() for gradient in bucket]
            for gradient, piece in zip(bucket, torch.split(summed, sizes), strict=True):
                gradient.copy_(piece.view_as(gradient))


def join_processes(device: str, shard: bool = False, shard_weights: bool = False) -> Processes:
    """The processes that ``torchrun`` or ``accelerate launch`` has started; else this one alone.

    Args:
        device: The policies' device. Of several processes on ``"cuda"`` each gets its own.
        shard: See `Processes`.
        shard_weights: See `Processes`.

    Raises:
        RuntimeError: They cannot be joined, and would train unsynchronised.
        ValueError: The device is a numbered one.
    """
    launched = next((int(os.environ[n]) for n in _COUNTS + _UNJOINED_COUNTS if n in os.environ), 1)
    # Accelerate's launcher leaves this behind where it was to start several and started one.
    lost = {"ACCELERATE_MIXED_PRECISION", "MASTER_ADDR"} <= os.environ.keys()
    if lost and "WORLD_SIZE" not in os.environ:
        raise RuntimeError(
            "accelerate launch was asked for several processes and has started one, as it does "
            f'with --cpu: launch with "--multi_gpu", which runs on CPUs, too, or "{LAUNCH}"'
        )
    if launched == 1:
        return Processes(device=device)
    if not any(name in os.environ for name in _INDICES):
        raise RuntimeError(
            f"the environment says that {launched} processes were launched, but no RANK says which "
            f'this one is: they would train unsynchronised. Launch them with "{LAUNCH}", or set '
            "WORLD_SIZE=1 for runs that have nothing to do with each other"
        )
    kind = torch.device(device)
    if kind.index is not None:
        raise ValueError(
            f'device "{device}" would be that of all {launched} processes; name it "{kind.type}", '
            "and each gets its own"
        )
    from accelerate import PartialState

    fresh = not dist.is_initialized()
    state: Any = PartialState(cpu=kind.type == "cpu")
    if state.num_processes != launched or state.device.type != kind.type:
        raise RuntimeError(
            f"{launched} processes were launched, but Accelerate joined {state.num_processes} on "
            f"{state.device}: they would train unsynchronised. Launch them on {kind.type} with "
            f'"{LAUNCH}"'
        )
    if fresh:
        atexit.register(dist.destroy_process_group)
    index, count = state.process_index, state.num_processes
    return Processes(index, count, str(state.device), shard, shard_weights)


def is_first() -> bool:
    """Whether this process keeps the records and speaks: the only one, or process 0."""
    return not dist.is_available() or not dist.is_initialized() or dist.get_rank() == 0


def adamw(
    policy: Policy, value_rate: float | None = None, **settings: Any
) -> torch.optim.Optimizer:
    """AdamW over those of the policy's parameters that require gradients.

    Of processes that shard it, each keeps the moments of a share of the weights, takes the step
    there, and sends the others what became of them (ZeRO stage 1: Rajbhandari et al. 2020,
    arXiv 1910.02054).

    Args:
        policy: Perhaps shared.
        value_rate: The step size of what the values alone depend on, which then is a second group
            of parameters; None: there is one group.
        **settings: Go to `torch.optim.AdamW`.
    """
    parameters: list[Any] = [p for p in policy.parameters() if p.requires_grad]
    if value_rate is not None:
        alone = {id(parameter) for parameter in policy.value_parameters()}
        others = [p for p in parameters if id(p) not in alone]
        values = [p for p in parameters if id(p) in alone]
        parameters = [{"params": others}, {"params": values, "lr": value_rate}]
    if isinstance(policy, ShardedPolicy):
        return ShardedAdamW(parameters, **settings)
    if not (isinstance(policy, _Shared) and policy.processes.shard):
        return torch.optim.AdamW(parameters, **settings)
    with warnings.catch_warnings():  # Of what PyTorch itself imports with it.
        warnings.simplefilter("ignore", DeprecationWarning)
        from torch.distributed.optim import ZeroRedundancyOptimizer
    return ZeroRedundancyOptimizer(parameters, torch.optim.AdamW, **settings)


def sum_gradients(policy: Policy) -> None:
    """Sum the gradients over the processes that share the policy; of sharded weights they are."""
    if isinstance(policy, _Shared) and not isinstance(policy, ShardedPolicy):
        policy.processes.sum_gradients(policy)


def own_share(policy: Policy, episodes: Sequence[Episode]) -> tuple[list[Episode], slice]:
    """The episodes, or parts of them, that are for this process to compute; perhaps none.

    Returns:
        They, and which of all the episodes' steps theirs are.
    """
    if not isinstance(policy, _Shared):
        return list(episodes), slice(None)
    shares, index = divide(episodes, policy.processes.count), policy.processes.index
    ends = np.cumsum([sum(episode.num_steps for episode in share) for share in shares])
    return shares[index], slice(int(ends[index - 1]) if index else 0, int(ends[index]))


def sum_shares(policy: Policy, tensor: Tensor) -> Tensor:
    """What each process computed from its `own_share`, summed in place."""
    return policy.processes.sum(tensor) if isinstance(policy, _Shared) else tensor


class _Shared(Policy):
    """A policy that several processes evaluate together, as a subclass of its real class."""

    processes: ClassVar[Processes]

    def evaluate(self, episodes: Sequence[Episode]) -> Evaluation:
        """As the real class does; gradients reach the weights through the own share alone."""
        plain: Any = super()

        def columns(share: Sequence[Episode]) -> list[Tensor]:
            own: Evaluation = plain.evaluate(share)
            return [own.log_probs, own.entropy, own.values]

        return Evaluation(*self._together(columns, episodes))

    def values(self, episodes: Sequence[Episode]) -> Tensor:
        """As `evaluate`, the values alone."""
        plain: Any = super()
        if plain.values.__func__ is Policy.values:  # Those of `evaluate`, which divides, too.
            return self.evaluate(episodes).values
        return self._together(lambda share: [plain.values(share)], episodes)[0]

    def _together(self, columns: Any, episodes: Sequence[Episode]) -> list[Tensor]:
        """What ``columns`` lists of episodes, ``[M]`` each, by each process for its own share."""
        shares = divide(episodes, self.processes.count)
        counts = [sum(episode.num_steps for episode in share) for share in shares]
        # A process without a share needs a graph all the same, for the backward pass to start at.
        mine = shares[self.processes.index] or next(filter(None, shares))
        return joined(columns(mine), counts, self.processes.index)


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Tensors of a type, together of about `_BUCKET` entries, in order."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        if bucket and (
            tensor.dtype != bucket[0].dtype or sum(t.numel() for t in bucket) >= _BUCKET
        ):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket
