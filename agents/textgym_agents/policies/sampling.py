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

_TINY = 2e-6
"""An action that adds less to the log-probability of the uniform share counts as filtered away."""

_FIRST = 128
"""Actions that a nucleus is looked for among first; a language model's mostly has far fewer."""

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
    old_log_probs: Tensor | None = None,
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
        old_log_probs: float ``[M]``, what those actions were sampled with. It matters under
            epsilon and a filter together: an action whose whole probability was the uniform
            share had been filtered away, and nothing is to keep it. None: none had been.
        kept: int64 ``[M]``, how many actions the filters had left; see `draw`. An action within
            rounding of the edge of top-p or min-p stays if it is among so many most probable
            ones. None: as the logits say.

    Returns:
        float ``[M, V]``, at least float32; minus infinity where the probability is zero.
    """
    logits = _prepared(logits, sampling, mask)
    if sampling.epsilon == 0:
        return torch.log_softmax(_filtered(logits, sampling, keep, kept=kept), dim=-1)
    share = _uniform_share(logits, sampling.epsilon, mask)
    stray = None
    if sampling.filters and old_log_probs is not None:
        stray = old_log_probs <= share.squeeze(-1) + _TINY
    log_probs = torch.log_softmax(_filtered(logits, sampling, keep, stray, kept), dim=-1)
    return _mixed(log_probs, sampling.epsilon, share, mask)


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
        filters left, int64 ``[M]``, or None without filters; and the entropies of the distribution,
        float ``[M]`` in nats, or None if not asked for.
    """
    logits = _prepared(logits, sampling, mask)
    left = _filtered(logits, sampling)
    log_probs = torch.log_softmax(left, dim=-1)
    if sampling.epsilon > 0:
        share = _uniform_share(logits, sampling.epsilon, mask)
        log_probs = _mixed(log_probs, sampling.epsilon, share, mask)
    probabilities = log_probs.exp()
    actions = log_probs.argmax(dim=-1) if uniform is None else invert_cdf(probabilities, uniform)
    kept = torch.isfinite(left).sum(dim=-1) if sampling.filters else None
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
    logits: Tensor,
    sampling: Sampling,
    keep: Tensor | None = None,
    stray: Tensor | None = None,
    kept: Tensor | None = None,
) -> Tensor:
    """The logits with minus infinity where top-k, top-p or min-p removes an action.

    ``keep`` stays whatever they say, unless it is a ``stray`` (bool ``[M]``).
    """
    if 0 < sampling.top_k < logits.shape[-1]:
        threshold = logits.detach().topk(sampling.top_k, dim=-1).values[..., -1:]
        logits = _remove(logits, logits < threshold, keep, stray)
    if sampling.top_p < 1.0:
        outside = _outside_nucleus(logits.detach(), sampling.top_p, kept)
        logits = _remove(logits, outside, keep, stray)
    if sampling.min_p > 0:
        improbable = _improbable(logits.detach(), sampling.min_p, kept)
        logits = _remove(logits, improbable, keep, stray)
    return logits


def _uniform_share(logits: Tensor, epsilon: float, mask: Tensor | None) -> Tensor:
    """``log(epsilon / legal)``, ``[1, 1]`` or ``[M, 1]``."""
    if mask is None:
        return logits.new_full((1, 1), math.log(epsilon / logits.shape[-1]))
    legal = mask.sum(dim=-1, keepdim=True).to(logits.dtype)
    return math.log(epsilon) - legal.log().reshape(-1, 1)


def _mixed(log_probs: Tensor, epsilon: float, share: Tensor, mask: Tensor | None) -> Tensor:
    """``log((1 - epsilon) p + epsilon / legal)`` of legal actions, minus infinity elsewhere."""
    if mask is None:
        return torch.logaddexp(log_probs + math.log1p(-epsilon), share)
    # Illegal entries go first: the gradient of logaddexp at twice minus infinity is NaN.
    log_probs = log_probs.masked_fill(~mask, 0.0)
    mixed = torch.logaddexp(log_probs + math.log1p(-epsilon), share)
    return mixed.masked_fill(~mask, _NEVER)


def _outside_nucleus(logits: Tensor, top_p: float, kept: Tensor | None) -> Tensor:
    """True for actions before which, in falling order, ``top_p`` is already reached.

    The most probable actions are tried first, since most nuclei are small, and to sort a large
    vocabulary takes longer than all else of a draw.
    """
    total = logits.logsumexp(dim=-1, keepdim=True)
    outside, reached = _after_the_first(_FIRST, logits, total, top_p, kept)
    if not bool(reached.all()):
        rest = ~reached
        of_rest = None if kept is None else kept[rest]
        size = logits.shape[-1]
        outside[rest], _ = _after_the_first(size, logits[rest], total[rest], top_p, of_rest)
    return outside


def _after_the_first(
    count: int, logits: Tensor, total: Tensor, top_p: float, kept: Tensor | None
) -> tuple[Tensor, Tensor]:
    """`_outside_nucleus`, if the most probable ``count`` actions reach ``top_p``: bool ``[M]``."""
    size = logits.shape[-1]
    largest, order = logits.topk(min(count, size), dim=-1)
    probabilities = (largest - total).exp()
    reached = probabilities.cumsum(dim=-1)
    before = reached - probabilities
    before[..., 0] = 0.0
    outside = before >= top_p
    if kept is not None:
        rank = torch.arange(outside.shape[-1], device=logits.device)
        outside = torch.where((before - top_p).abs() < _EDGE, rank >= kept[..., None], outside)
    everywhere = torch.ones_like(logits, dtype=torch.bool).scatter_(-1, order, outside)
    return everywhere, (reached[..., -1] >= top_p + _EDGE) | (count >= size)


def _improbable(logits: Tensor, min_p: float, kept: Tensor | None) -> Tensor:
    """True for actions less than ``min_p`` times as probable as the most probable one."""
    above = logits - logits.amax(dim=-1, keepdim=True) - math.log(min_p)
    improbable = above < 0
    if kept is not None and bool((unsure := above.abs() < _EDGE).any()):
        order = logits.argsort(dim=-1, descending=True)
        rank = torch.empty_like(order).scatter_(
            -1, order, torch.arange(logits.shape[-1], device=logits.device).expand_as(order)
        )
        improbable = torch.where(unsure, rank >= kept[..., None], improbable)
    return improbable


def _remove(logits: Tensor, remove: Tensor, keep: Tensor | None, stray: Tensor | None) -> Tensor:
    if keep is not None and stray is None:
        remove = remove.scatter(-1, keep[..., None], False)
    elif keep is not None and stray is not None:
        at = keep[..., None]
        remove = remove.scatter(-1, at, remove.gather(-1, at) & stray[..., None])
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


def choose(
    log_probs: Tensor, generator: torch.Generator | None = None, deterministic: bool = False
) -> Tensor:
    """Draw one action a row by inverting the cumulative distribution.

    Args:
        log_probs: float ``[M, V]``, normalised.
        generator: Source of the uniform numbers; None: torch's default one.
        deterministic: Take the most probable action instead, and draw nothing.

    Returns:
        int64 ``[M]``; never an action of probability zero.
    """
    if deterministic:
        return log_probs.argmax(dim=-1)
    uniform = uniform_numbers(len(log_probs), generator, log_probs.device)
    return invert_cdf(log_probs.exp(), uniform)


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
