"""Log-probabilities and entropies of actions from hidden states, without all logits at once.

Logits take the vocabulary's size a step, which for a batch is far more than anything else that a
forward pass leaves behind. Here they live a chunk of steps at a time, and the backward pass
computes them again: one more product with the head's weights, and no copies of theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint

from textgym_agents.policies.sampling import Sampling, entropy, gather, process_logits
from textgym_agents.policies.tied import TiedGradient

_CHUNK, _LEAST_ROWS = 2**20, 128
"""Logits of a chunk, and the fewest steps: fewer make a slow product."""

_NEVER = -1e30
"""The logit of what is not legal: its probability is 0, and so is that times its logarithm."""


def head_log_probs(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    actions: Tensor,
    *,
    num_actions: int,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    dtype: torch.dtype | None = None,
    left: TiedGradient | None = None,
    drawn: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """What a linear head and a temperature make of hidden states.

    Equal to `process_logits` of the head's logits without filters and epsilon, then `gather` and
    `entropy`, but for rounding.

    Args:
        hidden: float ``[M, H]``.
        weight: float ``[V', H]``, of ``V'`` rows, ``V`` or more.
        bias: float ``[V']``, or None.
        actions: int64 ``[M]``, those taken.
        num_actions: ``V``; rows of the weights from there on are no actions.
        mask: bool ``[M, V]`` or ``[V]``, True where an action is legal; None: all are.
        temperature: The logits are divided by it.
        dtype: Of the products with the weights; None: that of the weights.
        left: Gets the weights' gradient, which then is not given to autograd; see `tied`.
        drawn: float64 ``[2, M]``, the log-probabilities and entropies, where acting has found them;
            they are then not computed again.

    Returns:
        Log-probabilities of the actions and entropies in nats, each ``[M]``, at least float32,
        differentiable once with respect to ``hidden``, ``weight`` and ``bias``.
    """
    dtype = dtype or weight.dtype
    log_probs, entropy = _HeadLogProbs.apply(  # type: ignore[no-untyped-call]
        hidden, weight, bias, actions, num_actions, mask, temperature, dtype, left, drawn
    )
    return log_probs, entropy


def sampled_log_probs(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    actions: Tensor,
    *,
    num_actions: int,
    sampling: Sampling,
    mask: Tensor | None = None,
    kept: Tensor | None = None,
    dtype: torch.dtype | None = None,
    left: TiedGradient | None = None,
    drawn: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`head_log_probs`, whose other arguments and results these are, for any sampling.

    Args:
        hidden: See there.
        weight: See there.
        bias: See there.
        actions: See there.
        num_actions: See there.
        sampling: What changes the distribution.
        mask: See there.
        kept: int64 ``[M]``; see `process_logits`.
        dtype: See there.
        left: See there; filters and epsilon leave nothing.
        drawn: See there; filters and epsilon do not use it.
    """
    if sampling.is_plain:
        known: dict[str, Any] = {"mask": mask, "dtype": dtype, "left": left, "drawn": drawn}
        parts, temperature = (hidden, weight, bias, actions), sampling.temperature
        return head_log_probs(*parts, num_actions=num_actions, temperature=temperature, **known)
    cast = dtype or weight.dtype
    bias = None if bias is None else bias[:num_actions].to(cast)

    def part(rows: slice, states: Tensor) -> tuple[Tensor, Tensor]:
        log_probs = process_logits(
            linear(states.to(cast), weight[:num_actions].to(cast), bias),
            sampling,
            _rows(mask, rows),
            actions[rows],
            None if kept is None else kept[rows],
        )
        return gather(log_probs, actions[rows]), entropy(log_probs)

    chunks = [
        checkpoint(part, rows, hidden[rows], use_reentrant=False, preserve_rng_state=False)
        for rows in _chunks(len(hidden), num_actions)
    ]
    log_probs, entropies = zip(*chunks, strict=True)
    return torch.cat(log_probs), torch.cat(entropies)


class _HeadLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        actions: Tensor,
        size: int,
        mask: Tensor | None,
        temperature: float,
        dtype: torch.dtype,
        left: TiedGradient | None,
        drawn: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        exact = torch.float64 if hidden.dtype == torch.float64 else torch.float32
        log_probs, entropy, normalizer = hidden.new_empty((3, len(hidden)), dtype=exact)
        cast = weight[:size].to(dtype)
        if drawn is not None:
            log_probs.copy_(drawn[0])
            entropy.copy_(drawn[1])
        for rows in () if drawn is not None else _chunks(len(hidden), size):
            logits = _logits(hidden[rows], cast, bias, _rows(mask, rows), temperature)
            largest = logits.amax(dim=1)
            logits.sub_(largest[:, None])
            taken = logits.gather(1, actions[rows, None]).squeeze(1)
            shares = logits.exp()
            total = shares.sum(dim=1)
            spread = shares.mul_(logits).sum(dim=1) / total
            total.log_()
            log_probs[rows] = torch.where(taken > _NEVER / 2, taken - total, float("-inf"))
            entropy[rows] = total - spread
            normalizer[rows] = largest + total
        known = None if drawn is not None else normalizer
        ctx.save_for_backward(hidden, weight, bias, actions, mask, entropy, known)
        ctx.size, ctx.temperature, ctx.dtype, ctx.left = size, temperature, dtype, left
        ctx.set_materialize_grads(False)
        return log_probs, entropy

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, of_log_probs: Tensor | None, of_entropy: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, actions, mask, entropy, normalizer = ctx.saved_tensors
        if of_log_probs is None:
            of_log_probs = torch.zeros_like(entropy)
        if of_entropy is not None and not bool(of_entropy.any()):
            of_entropy = None
        cast = weight[: ctx.size].to(ctx.dtype)
        to_hidden, to_weight, to_bias = ctx.needs_input_grad[:3]
        hidden_grad = torch.empty_like(hidden) if to_hidden else None
        weight_grad = torch.empty_like(weight) if to_weight else None
        bias_grad = None if bias is None or not to_bias else torch.zeros_like(bias)
        for rows in _chunks(len(hidden), ctx.size):
            logits = _logits(hidden[rows], cast, bias, _rows(mask, rows), ctx.temperature)
            known = logits.logsumexp(dim=1) if normalizer is None else normalizer[rows]
            logits.sub_(known[:, None])
            if of_entropy is None:
                grad = logits.exp_().mul_(-of_log_probs[rows, None])
            else:  # -p (log p + entropy), of the entropy
                shares = logits.exp()
                factor = logits.add_(entropy[rows, None]).mul_(-of_entropy[rows, None])
                grad = shares.mul_(factor.sub_(of_log_probs[rows, None]))
            grad.scatter_add_(1, actions[rows, None], of_log_probs[rows, None].clone())
            if ctx.temperature != 1.0:
                grad.div_(ctx.temperature)
            if bias_grad is not None:
                bias_grad[: ctx.size] += grad.sum(dim=0)
            grad = grad.to(ctx.dtype)
            if hidden_grad is not None:
                hidden_grad[rows] = (grad @ cast).to(hidden.dtype)
            if weight_grad is not None:
                states, own = hidden[rows].to(ctx.dtype), weight_grad[: ctx.size]
                kept = int(rows.start > 0)  # Times what is there, which is nothing at first.
                if own.dtype == ctx.dtype:  # Without a copy of the weights' size.
                    own.addmm_(grad.t(), states, beta=kept)
                elif kept:
                    own += grad.t() @ states
                else:
                    own.copy_(grad.t() @ states)
        if weight_grad is not None:
            weight_grad[ctx.size :] = 0.0
        if ctx.left is not None and weight_grad is not None:
            ctx.left.leave(weight_grad)
            weight_grad = None
        return hidden_grad, weight_grad, bias_grad, *[None] * 7


def _logits(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, mask: Tensor | None, temperature: float
) -> Tensor:
    """Logits of a chunk, ``[m, V]``, a fresh tensor of at least float32."""
    cast = None if bias is None else bias[: len(weight)].to(weight.dtype)
    logits = linear(hidden.to(weight.dtype), weight, cast)
    logits = logits if logits.dtype == torch.float64 else logits.float()
    if temperature != 1.0:
        logits.div_(temperature)
    if mask is not None:
        logits.masked_fill_(~mask, _NEVER)
    return logits


def _rows(mask: Tensor | None, rows: slice) -> Tensor | None:
    return mask if mask is None or mask.dim() == 1 else mask[rows]


def _chunks(num_steps: int, size: int) -> Iterator[slice]:
    """Slices of ``num_steps`` steps, of about equally many."""
    most = max(_CHUNK // size, _LEAST_ROWS)
    count = max(1, -(-num_steps // most))
    for part in range(count):
        yield slice(part * num_steps // count, (part + 1) * num_steps // count)
