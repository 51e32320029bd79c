"""Losses of the learners: pure functions of tensors.

Each is a sum over the steps given, divided by a count that the caller names, so that the losses
of a batch's parts add up to the loss of the batch, and their gradients likewise.
"""

from __future__ import annotations

from torch import Tensor


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
