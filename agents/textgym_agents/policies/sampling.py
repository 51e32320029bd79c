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

_FIRST = 128
"""Most probable actions that are tried first; filters of a language model mostly leave fewer."""

_BLOCK = 256
"""Actions that are summed up together, of many."""

_EDGE = 1e-4
"""Probabilities and logits this close to a filter's bound may lie on its other side next time."""


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
        min_p: Only actions at least ``min_p`` times as probable as the most probable one stay
            (Nguyen et al. 2024, arXiv 2407.01082); in [0, 1], 0 switches it off. Higher: less
            variety.
        epsilon: With this probability a legal action drawn uniformly takes the place of one
            drawn from what the filters left: a legal action has probability ``(1 - epsilon) p +
            epsilon / legal``; in [0, 1), 0 switches it off. Higher: more exploration.

    Raises:
        ValueError: If a field is out of its range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    epsilon: float = 0.0

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
        if not 0 <= self.min_p <= 1:
            raise ValueError(f"min_p must lie in [0, 1] (0: off), got {self.min_p}")
        if not 0 <= self.epsilon < 1:
            raise ValueError(f"epsilon must lie in [0, 1) (0: off), got {self.epsilon}")

    @property
    def filters(self) -> bool:
        """Whether top-k, top-p or min-p is on."""
        return self.top_k > 0 or self.top_p < 1 or self.min_p > 0

    @property
    def is_plain(self) -> bool:
        """Whether nothing but the temperature changes the distribution."""
        return not self.filters and self.epsilon == 0


def process_logits(
    logits: Tensor,
    sampling: Sampling,
    mask: Tensor | None = None,
    keep: Tensor | None = None,
    kept: Tensor | None = None,
) -> Tensor:
    """Log-probabilities of the sampling distribution.

    Rounding differs between a cached step and a whole forward pass, and must not move an action
    over the edge of what the filters leave. What is known of the draws decides there.

    Args:
        logits: float ``[M, V]``.
        sampling: What changes the distribution.
        mask: bool ``[M, V]`` or ``[V]``, True where an action is legal.
        keep: int64 ``[M]``, actions known to have been sampled, which the filters never remove.
        kept: int64 ``[M]``, how many actions the filters had left, less than 0 where epsilon drew
            an action that they had not, which nothing is to keep; see `draw`. As many stay, as far
            as the filters, each with its bound moved by rounding, can leave as many; of actions
            within rounding of each other the one in ``keep`` is the first of them or, where it had
            not been left, the last. None: as the logits say, which under epsilon also remove what
            is in ``keep``.

    Returns:
        float ``[M, V]``, at least float32; minus infinity where the probability is zero.
    """
    logits = _prepared(logits, sampling, mask)
    log_probs = torch.log_softmax(_filtered(logits, sampling, keep, kept), dim=-1)
    return _mixed(log_probs, sampling.epsilon, mask)


def draw(
    logits: Tensor,
    sampling: Sampling,
    mask: Tensor | None = None,
    uniform: Tensor | None = None,
    with_entropy: bool = False,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Draw an action a row from the sampling distribution.

    Args:
        logits: float ``[M, V]``.
        sampling: What changes the distribution.
        mask: bool ``[M, V]`` or ``[V]``, True where an action is legal.
        uniform: float64 ``[M, 1]``, see `uniform_numbers`; None: take the most probable actions.
        with_entropy: Compute the entropies.

    Returns:
        The actions, int64 ``[M]``; their log-probabilities, float ``[M]``; how many actions the
        filters left, int64 ``[M]``, times -1 where the action is none of them, or None without
        filters; and the entropies of the distribution, float ``[M]`` in nats, or None if not asked
        for.
    """
    logits = _prepared(logits, sampling, mask)
    left = _filtered(logits, sampling)
    log_probs = _mixed(torch.log_softmax(left, dim=-1), sampling.epsilon, mask)
    probabilities = log_probs.exp()
    actions = log_probs.argmax(dim=-1) if uniform is None else invert_cdf(probabilities, uniform)
    kept = None
    if sampling.filters:
        possible = torch.isfinite(left)
        kept = possible.sum(dim=-1)
        kept = torch.where(gather(possible, actions), kept, -kept)
    entropies = None
    if with_entropy:  # As `entropy` has them, in fewer steps.
        least = torch.finfo(log_probs.dtype).min
        entropies = -torch.linalg.vecdot(probabilities, log_probs.clamp(min=least))
    return actions, gather(log_probs, actions), kept, entropies


def _prepared(logits: Tensor, sampling: Sampling, mask: Tensor | None) -> Tensor:
    """The logits in float32 or more, at the temperature, minus infinity where illegal."""
    logits = logits if logits.dtype == torch.float64 else logits.float()
    if sampling.temperature != 1.0:
        logits = logits / sampling.temperature
    return logits if mask is None else torch.where(mask, logits, _NEVER)


def _filtered(
    logits: Tensor, sampling: Sampling, keep: Tensor | None = None, kept: Tensor | None = None
) -> Tensor:
    """The logits with minus infinity where top-k, top-p or min-p removes an action."""
    if not sampling.filters:
        return logits
    known = logits.detach()
    ranked, at, stays = known, None, None
    if keep is not None and (kept is not None or sampling.epsilon == 0):
        at = keep[:, None]
        stays = torch.ones_like(at, dtype=torch.bool) if kept is None else kept[:, None] > 0
        ranked = known.scatter_add(-1, at, torch.where(stays, _EDGE, -_EDGE).to(known))
    size = known.shape[-1]
    first = max(_FIRST, sampling.top_k + 1)
    removed, found = _beyond(first, known, ranked, sampling, kept)
    if not bool(found.all()):
        rest = ~found
        part, of_rest = known[rest], None if kept is None else kept[rest]
        as_ranked = part if ranked is known else ranked[rest]
        removed[rest], _ = _beyond(size, part, as_ranked, sampling, of_rest)
    if at is not None and stays is not None:
        removed = removed.scatter(-1, at, removed.gather(-1, at) & ~stays)
    return logits.masked_fill(removed, _NEVER)


def _beyond(
    first: int, logits: Tensor, ranked: Tensor, sampling: Sampling, kept: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Actions that the filters remove, all but so many of those that come first in ``ranked``.

    The most probable ones are tried first, since the filters mostly leave few, and to sort a large
    vocabulary takes longer than all else of a draw.

    Returns:
        bool ``[M, V]``; and bool ``[M]``, whether the ``first`` actions were enough to tell.
    """
    size = logits.shape[-1]
    falling, order = ranked.topk(min(first, size), dim=-1)
    if ranked is not logits:
        falling = logits.gather(-1, order)
    total = logits.logsumexp(dim=-1, keepdim=True) if sampling.top_p < 1 else None
    if kept is None:
        most = number = _number_left(falling, total, sampling, 0.0)
    else:
        most = _number_left(falling, total, sampling, _EDGE)
        number = kept.abs().clamp(_number_left(falling, total, sampling, -_EDGE), most)
    beyond = torch.arange(order.shape[-1], device=order.device) >= number[:, None]
    removed = torch.ones_like(logits, dtype=torch.bool).scatter_(-1, order, beyond)
    return removed, most < (first if first < size else size + 1)


def _number_left(falling: Tensor, total: Tensor | None, sampling: Sampling, slack: float) -> Tensor:
    """How many of the actions the filters leave, int64 ``[M]``, at least 1.

    Args:
        falling: float ``[M, first]``, logits of the most probable actions, in falling order.
        total: float ``[M, 1]``, the logarithm of the sum of the exponentials of all logits; for
            top-p alone.
        sampling: With one filter or more.
        slack: How much lower than it is the bound of each filter is taken.
    """
    left = torch.isfinite(falling)
    if 0 < sampling.top_k < falling.shape[-1]:
        best = torch.arange(falling.shape[-1], device=falling.device) < sampling.top_k
        tied = falling >= falling[:, sampling.top_k - 1, None] - slack
        left &= best if slack < 0 else best | tied
    if total is not None:
        if sampling.top_k:
            total = falling.masked_fill(~left, _NEVER).logsumexp(dim=-1, keepdim=True)
        probabilities = (falling - total).exp()
        before = probabilities.cumsum(dim=-1) - probabilities
        left &= before < sampling.top_p + slack
    if sampling.min_p > 0:
        left &= falling >= falling.amax(dim=-1, keepdim=True) + math.log(sampling.min_p) - slack
    return left.sum(dim=-1).clamp(min=1)


def _mixed(log_probs: Tensor, epsilon: float, mask: Tensor | None) -> Tensor:
    """``log((1 - epsilon) p + epsilon / legal)`` of legal actions, minus infinity elsewhere."""
    if epsilon == 0:
        return log_probs
    if mask is None:
        share = math.log(epsilon / log_probs.shape[-1])
        return torch.logaddexp(log_probs + math.log1p(-epsilon), log_probs.new_tensor(share))
    legal = mask.sum(dim=-1, keepdim=True).to(log_probs.dtype)
    shares = math.log(epsilon) - legal.log()
    # Illegal entries go first: the gradient of logaddexp at twice minus infinity is NaN.
    log_probs = log_probs.masked_fill(~mask, 0.0)
    mixed = torch.logaddexp(log_probs + math.log1p(-epsilon), shares)
    return mixed.masked_fill(~mask, _NEVER)


def entropy(log_probs: Tensor) -> Tensor:
    """Shannon entropy in nats.

    Args:
        log_probs: float ``[M, V]``, normalised; minus infinity counts as nothing.

    Returns:
        float ``[M]``, differentiable.
    """
    finite = log_probs.masked_fill(torch.isneginf(log_probs), 0.0)
    return -(log_probs.exp() * finite).sum(dim=-1)


def categorical_kl(log_probs: Tensor, other_log_probs: Tensor) -> Tensor:
    """KL(p || q), summed over the actions.

    Args:
        log_probs: float ``[M, V]``, those of p; minus infinity where the probability is 0.
        other_log_probs: float ``[M, V]``, those of q.

    Returns:
        float ``[M]`` in nats, twice differentiable; infinite where q excludes what p has, and not
        a number where that has a probability that rounds to 0.
    """
    never = torch.isneginf(log_probs)
    difference = log_probs.masked_fill(never, 0.0) - other_log_probs.masked_fill(never, 0.0)
    return (log_probs.exp() * difference).sum(dim=-1)


def gather(log_probs: Tensor, actions: Tensor) -> Tensor:
    """The entries of ``log_probs`` ``[M, V]`` at ``actions`` (int64 ``[M]``): ``[M]``."""
    return log_probs.gather(-1, actions[..., None]).squeeze(-1)


def uniform_numbers(count: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Numbers in [0, 1) to draw actions by, float64 ``[count, 1]`` on a device.

    One a row costs far less than the noise for every action that `torch.multinomial` draws.

    Args:
        count: Rows.
        generator: Their source, on whatever device; None: torch's default one.
        device: Where they go.
    """
    source = device if generator is None else generator.device
    numbers = torch.rand((count, 1), generator=generator, device=source, dtype=torch.float64)
    return numbers.to(device)


def invert_cdf(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """The first action whose cumulative probability exceeds a share of the total.

    Of many actions the block is found first, so that the sums of one block alone are written down.

    Args:
        probabilities: float ``[M, V]``, not negative, with a positive sum.
        uniform: float64 ``[M, 1]`` in [0, 1].

    Returns:
        int64 ``[M]``; never an action of probability zero.
    """
    size = probabilities.shape[-1]
    if size <= 16 * _BLOCK:
        cumulative = probabilities.cumsum(dim=-1, dtype=torch.float64)
        chosen = _first_above(cumulative, uniform * cumulative[..., -1:])
    else:
        whole = size - size % _BLOCK
        blocks = probabilities[:, :whole].view(len(probabilities), -1, _BLOCK)
        rest = probabilities[:, whole:].sum(dim=-1, keepdim=True, dtype=torch.float64)
        cumulative = torch.cat([blocks.sum(dim=-1, dtype=torch.float64), rest], -1).cumsum(dim=-1)
        point = uniform * cumulative[..., -1:]
        block = _first_above(cumulative, point)
        before = torch.where(block > 0, cumulative.gather(-1, (block - 1).clamp(min=0)), 0.0)
        places = block * _BLOCK + torch.arange(_BLOCK, device=block.device)
        inside = probabilities.gather(-1, places.clamp(max=size - 1))
        inside = inside.masked_fill(places >= size, 0.0).cumsum(dim=-1, dtype=torch.float64)
        chosen = block * _BLOCK + _first_above(inside, point - before)
        chosen.clamp_(max=size - 1)
    zero = probabilities.gather(-1, chosen) <= 0
    if bool(zero.any()):
        chosen = torch.where(zero, probabilities.argmax(dim=-1, keepdim=True), chosen)
    return chosen.squeeze(-1)


def _first_above(cumulative: Tensor, point: Tensor) -> Tensor:
    """The first column of ``[M, K]`` above the point ``[M, 1]``, int64 ``[M, 1]``.

    Rounding can put the point at the total, beyond the last column (as NaN always is), and a
    parallel cumulative sum (CUDA) can rise a little where a probability is zero.
    """
    above = torch.searchsorted(cumulative, point, right=True)
    return above.clamp_(max=cumulative.shape[-1] - 1)
