"""Losses of the learners: pure functions of tensors.

Each is either one term a step, or a sum over the steps given, divided by a count that the caller
names, so that the losses of a batch's parts add up to the loss of the batch, and their gradients
likewise.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

KLEstimator: TypeAlias = Literal["k1", "k2", "k3"]
Aggregation: TypeAlias = Literal["sequence", "token", "constant"]

_LARGEST_LOG_RATIO = 20.0
"""Where a ratio of probabilities, 5e8, stops growing; in float32 it would be infinite at 89."""


def policy_gradient_loss(log_probs: Tensor, advantages: Tensor, num_episodes: int) -> Tensor:
    """A loss whose gradient is minus the REINFORCE estimate of grad J (Williams 1992).

    Args:
        log_probs: float ``[M]``, of the actions taken, in nats.
        advantages: float ``[M]``, discounted advantages ``gamma**t (G_t - b_t)``.
        num_episodes: Episodes in the whole batch.

    Returns:
        A scalar. Its value means nothing; its gradient does.
    """
    return -(log_probs * advantages.detach()).sum() / num_episodes


def value_loss(values: Tensor, returns: Tensor, num_steps: int) -> Tensor:
    """Mean squared error of the values, ``[M]``, against the returns-to-go, ``[M]``.

    Args:
        values: float ``[M]``.
        returns: float ``[M]``.
        num_steps: Steps in the whole batch.
    """
    return (values - returns.detach()).square().sum() / num_steps


def entropy_bonus(entropy: Tensor, num_steps: int) -> Tensor:
    """Mean entropy a step, in nats; to be maximised.

    Args:
        entropy: float ``[M]``.
        num_steps: Steps in the whole batch.
    """
    return entropy.sum() / num_steps


def negative_log_likelihood(log_probs: Tensor, num_steps: int) -> Tensor:
    """Mean cross-entropy a step, in nats.

    Args:
        log_probs: float ``[M]``, of the expert's actions.
        num_steps: Steps in the whole batch.
    """
    return -log_probs.sum() / num_steps


def ratios(log_probs: Tensor, old_log_probs: Tensor) -> Tensor:
    """``exp(log_probs - old_log_probs)``, at most 5e8; NaN where either is infinite.

    Args:
        log_probs: float ``[M]``, in nats.
        old_log_probs: float ``[M]``, of the behaviour.

    Returns:
        float ``[M]``.
    """
    return _bounded(log_probs - old_log_probs.detach()).exp()


def clipped_policy_loss(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    clip_low: float,
    clip_high: float,
) -> Tensor:
    """PPO's surrogate, negated: ``-min(ratio A, clip(ratio, 1 - clip_low, 1 + clip_high) A)``.

    ``ratio`` is ``exp(log_probs - old_log_probs)``. Schulman et al. (Proximal Policy Optimization
    Algorithms, 2017, section 3) have one clipping range; a wider upper one is DAPO's clip-higher
    (Yu et al. 2025).

    Args:
        log_probs: float ``[M]``, of the actions taken, in nats.
        old_log_probs: float ``[M]``, of the policy that took them.
        advantages: float ``[M]``.
        clip_low: How far below 1 the ratio still has a gradient where the advantage is negative.
        clip_high: How far above 1 where it is positive.

    Returns:
        float ``[M]``, one term a step.
    """
    ratio, advantages = ratios(log_probs, old_log_probs), advantages.detach()
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high)
    return -torch.minimum(ratio * advantages, clipped * advantages)


def clipped_value_loss(
    values: Tensor, old_values: Tensor, returns: Tensor, clip_range: float
) -> Tensor:
    """The worse of two squared errors: the value's, and that of the value kept near the old one.

    ``max((V - G)^2, (V_old + clip(V - V_old, -clip_range, clip_range) - G)^2)``, as OpenAI
    Baselines' ppo2 has it, without its factor 1/2.

    Args:
        values: float ``[M]``.
        old_values: float ``[M]``, of the policy that acted.
        returns: float ``[M]``, the targets.
        clip_range: How far the value may come nearer to the target before its error has no
            gradient, in its own unit; one that moved away has a gradient wherever it is.

    Returns:
        float ``[M]``, one term a step.
    """
    old_values, returns = old_values.detach(), returns.detach()
    near = old_values + (values - old_values).clamp(-clip_range, clip_range)
    return torch.maximum((values - returns).square(), (near - returns).square())


def kl_estimates(log_probs: Tensor, other_log_probs: Tensor, kind: KLEstimator) -> Tensor:
    """Estimates of KL(pi || other) at steps sampled from pi (Schulman, Approximating KL, 2020).

    With ``r = other / pi`` at the action taken: k1 is ``-log r``, unbiased and of either sign;
    k2 is ``(log r)^2 / 2``, biased, of less variance and never negative; k3 is
    ``r - 1 - log r``, unbiased and never negative.

    As losses they are other things than as numbers. On samples from pi the gradient of k1 has
    expectation 0, that of k2 is the gradient of KL(pi || other) in expectation, and that of k3
    the gradient of KL(other || pi).

    Args:
        log_probs: float ``[M]``, pi's of the actions taken, in nats.
        other_log_probs: float ``[M]``, the other distribution's.
        kind: One of the above.

    Returns:
        float ``[M]``, one estimate a step.

    Raises:
        ValueError: An unknown kind.
    """
    log_ratio = other_log_probs - log_probs
    if kind == "k1":
        return -log_ratio
    if kind == "k2":
        return 0.5 * log_ratio.square()
    if kind == "k3":
        return _bounded(log_ratio).expm1() - log_ratio
    raise ValueError(f"unknown KL estimator {kind!r}; known: k1, k2, k3")


def step_weights(
    lengths: Tensor,
    aggregation: Aggregation,
    num_sequences: int,
    num_steps: int,
    constant: float = 1.0,
) -> Tensor:
    """What each step counts in a batch's mean: the weighted sum over its steps is the mean.

    Args:
        lengths: int64 ``[N]``, the steps ``T_i`` of each sequence of a part of the batch.
        aggregation: ``sequence``: the mean over each sequence's steps, then over the sequences,
            ``1 / (num_sequences T_i)`` (GRPO: Shao et al. 2024, equation 3); ``token``: the mean
            over all steps, ``1 / num_steps`` (DAPO: Yu et al. 2025, section 3.3); ``constant``:
            ``1 / (num_sequences constant)`` (Dr. GRPO: Liu et al. 2025).
        num_sequences: Of the whole batch.
        num_steps: Of the whole batch.
        constant: Above 0.

    Returns:
        float64 ``[M]``, ``M = sum(lengths)``; the sequences' steps one after another.

    Raises:
        ValueError: An unknown aggregation.
    """
    if aggregation == "sequence":
        counts = num_sequences * lengths.double()
    elif aggregation == "token":
        counts = torch.full_like(lengths, num_steps, dtype=torch.float64)
    elif aggregation == "constant":
        counts = torch.full_like(lengths, num_sequences, dtype=torch.float64) * constant
    else:
        raise ValueError(
            f'unknown aggregation {aggregation!r}; known: "sequence", "token", "constant"'
        )
    return counts.reciprocal().repeat_interleave(lengths)


def sequence_sums(values: Tensor, lengths: Tensor) -> Tensor:
    """The sum over each sequence's steps.

    Args:
        values: float ``[M]``, the sequences' steps one after another.
        lengths: int64 ``[N]``, with ``M = sum(lengths)``.

    Returns:
        ``[N]``, differentiable.
    """
    owner = torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)
    return values.new_zeros(len(lengths)).index_add(0, owner, values)


def sequence_means(values: Tensor, lengths: Tensor) -> Tensor:
    """The mean over a sequence's steps, at each of them.

    Of log-probabilities' differences, its exponential is GSPO's ratio of sequences, the geometric
    mean of the ratios of their steps (Zheng et al., Group Sequence Policy Optimization, 2025).

    Args:
        values: float ``[M]``, the sequences' steps one after another.
        lengths: int64 ``[N]``, with ``M = sum(lengths)``.

    Returns:
        ``[M]``, differentiable.
    """
    return (sequence_sums(values, lengths) / lengths).repeat_interleave(lengths)


def clipped_weight_loss(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    clip_low: float,
    clip_high: float,
) -> Tensor:
    """CISPO's loss of each step: REINFORCE with a clipped importance weight.

    ``-sg(clip(ratio, 1 - clip_low, 1 + clip_high)) * advantage * log_prob``, where ``sg`` stops
    the gradient, so that a clipped step still counts (MiniMax-M1, 2025).

    Args:
        log_probs: float ``[M]``, of the actions now, in nats.
        old_log_probs: float ``[M]``, of the behaviour.
        advantages: float ``[M]``.
        clip_low: How far the weight may fall below 1; 1: as far as it falls.
        clip_high: How far it may rise above 1.

    Returns:
        float ``[M]``.
    """
    weight = ratios(log_probs.detach(), old_log_probs).clamp(1 - clip_low, 1 + clip_high)
    return -weight * advantages.detach() * log_probs


def _bounded(log_ratio: Tensor) -> Tensor:
    """Logarithms of ratios, at most `_LARGEST_LOG_RATIO`.

    An infinite one, of an action that had probability 0 or has it now, is an error, and becomes NaN
    for the loss to show it.
    """
    return log_ratio.where(log_ratio.isfinite(), torch.nan).clamp(max=_LARGEST_LOG_RATIO)
