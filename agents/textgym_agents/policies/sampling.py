"""The distribution that actions are really sampled from, and how one is drawn from it.

`act` and `evaluate` of every policy go through `process_logits`, so that the behaviour's
log-probabilities and those the update differentiates are of the same distribution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_NEVER = float("-inf")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How logits become a distribution. The filters apply in the order of the fields.

    Attributes:
        temperature: The logits are divided by it; > 0. Lower: closer to the most probable
            action. Higher: closer to uniform.
        top_k: Only the ``top_k`` most probable actions stay; 0 switches it off. Lower: less
            variety. Actions that tie with the last one stay, too.
        top_p: Only the smallest set of most probable actions whose probability reaches
            ``top_p`` stays (Holtzman et al. 2020, nucleus sampling); in (0, 1], 1 switches it
            off. Lower: less variety.

    Raises:
        ValueError: If a field is out of its range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise ValueError(
                f"temperature must be positive and finite, got {self.temperature}; "
                "for the most probable action use deterministic=True"
            )
        if self.top_k < 0:
            raise ValueError(f"top_k must be >= 0 (0: off), got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must lie in (0, 1] (1: off), got {self.top_p}")


def process_logits(
    logits: Tensor, sampling: Sampling, mask: Tensor | None = None, keep: Tensor | None = None
) -> Tensor:
    """Log-probabilities of the sampling distribution.

    Args:
        logits: float ``[M, V]``.
        sampling: Temperature, top-k and top-p.
        mask: bool ``[M, V]`` or ``[V]``, True where an action is legal.
        keep: int64 ``[M]``, actions known to have been sampled, which top-k and top-p never
            remove: rounding differs between a cached step and a whole forward pass, and must
            not move a borderline action to probability zero.

    Returns:
        float ``[M, V]``, at least float32; minus infinity where the probability is zero.
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    if sampling.temperature != 1.0:
        logits = logits / sampling.temperature
    if mask is not None:
        logits = torch.where(mask, logits, _NEVER)
    if 0 < sampling.top_k < logits.shape[-1]:
        threshold = logits.detach().topk(sampling.top_k, dim=-1).values[..., -1:]
        logits = _remove(logits, logits < threshold, keep)
    if sampling.top_p < 1.0:
        logits = _remove(logits, _outside_nucleus(logits.detach(), sampling.top_p), keep)
    return torch.log_softmax(logits, dim=-1)


def _outside_nucleus(logits: Tensor, top_p: float) -> Tensor:
    """True for actions before which, in falling order, ``top_p`` is already reached."""
    ordered, order = logits.sort(dim=-1, descending=True)
    probabilities = ordered.softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities
    before[..., 0] = 0.0
    return torch.zeros_like(before, dtype=torch.bool).scatter(-1, order, before >= top_p)


def _remove(logits: Tensor, remove: Tensor, keep: Tensor | None) -> Tensor:
    if keep is not None:
        remove = remove.scatter(-1, keep[..., None], False)
    return logits.masked_fill(remove, _NEVER)


def entropy(log_probs: Tensor) -> Tensor:
    """Shannon entropy in nats.

    Args:
        log_probs: float ``[M, V]``, normalised; minus infinity counts as nothing.

    Returns:
        float ``[M]``, differentiable.
    """
    finite = log_probs.masked_fill(torch.isneginf(log_probs), 0.0)
    return -(log_probs.exp() * finite).sum(dim=-1)


def gather(log_probs: Tensor, actions: Tensor) -> Tensor:
    """The entries of ``log_probs`` ``[M, V]`` at ``actions`` (int64 ``[M]``): ``[M]``."""
    return log_probs.gather(-1, actions[..., None]).squeeze(-1)


def choose(
    log_probs: Tensor, generator: torch.Generator | None = None, deterministic: bool = False
) -> Tensor:
    """Draw one action a row by inverting the cumulative distribution.

    One uniform number a row costs far less than the noise for every action that
    `torch.multinomial` draws.

    Args:
        log_probs: float ``[M, V]``, normalised.
        generator: Source of the uniform numbers; None: torch's default one.
        deterministic: Take the most probable action instead, and draw nothing.

    Returns:
        int64 ``[M]``; never an action of probability zero.
    """
    if deterministic:
        return log_probs.argmax(dim=-1)
    device = log_probs.device if generator is None else generator.device
    uniform = torch.rand(
        (len(log_probs), 1), generator=generator, device=device, dtype=torch.float64
    )
    return invert_cdf(log_probs.exp(), uniform.to(log_probs.device))


def invert_cdf(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """The first action whose cumulative probability exceeds a share of the total.

    Args:
        probabilities: float ``[M, V]``, not negative, with a positive sum.
        uniform: float64 ``[M, 1]`` in [0, 1].

    Returns:
        int64 ``[M]``; never an action of probability zero.
    """
    cumulative = probabilities.cumsum(dim=-1, dtype=torch.float64)
    point = uniform * cumulative[..., -1:]
    chosen = torch.searchsorted(cumulative, point, right=True)
    # Rounding can put the point at the total, beyond the last action (as NaN always is), and a
    # parallel cumulative sum (CUDA) can rise a little where a probability is zero.
    chosen.clamp_(max=probabilities.shape[-1] - 1)
    zero = probabilities.gather(-1, chosen) <= 0
    if bool(zero.any()):
        chosen = torch.where(zero, probabilities.argmax(dim=-1, keepdim=True), chosen)
    return chosen.squeeze(-1)
