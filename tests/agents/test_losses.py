from __future__ import annotations

import pytest
import torch

from textgym_agents.losses import (
    entropy_bonus,
    negative_log_likelihood,
    policy_gradient_loss,
    value_loss,
)


def test_policy_gradient_is_the_mean_of_scores_times_advantages() -> None:
    log_probs = torch.tensor([-1.0, -2.0, -3.0], requires_grad=True)
    advantages = torch.tensor([2.0, -1.0, 4.0], requires_grad=True)
    loss = policy_gradient_loss(log_probs, advantages, num_episodes=2)
    loss.backward()
    assert loss.item() == pytest.approx(-(-2.0 + 2.0 - 12.0) / 2)
    assert log_probs.grad is not None
    assert log_probs.grad.tolist() == [-1.0, 0.5, -2.0]
    assert advantages.grad is None


def test_value_loss_moves_the_values_alone() -> None:
    values = torch.tensor([1.0, 2.0], requires_grad=True)
    returns = torch.tensor([3.0, 1.0], requires_grad=True)
    loss = value_loss(values, returns, num_steps=2)
    loss.backward()
    assert loss.item() == pytest.approx((4.0 + 1.0) / 2)
    assert values.grad is not None
    assert values.grad.tolist() == [-2.0, 1.0]
    assert returns.grad is None


def test_parts_add_up_to_the_whole() -> None:
    entropy, log_probs = torch.tensor([0.5, 0.1, 0.3]), torch.tensor([-1.0, -0.5, -3.0])
    for loss in (entropy_bonus, negative_log_likelihood):
        given = entropy if loss is entropy_bonus else log_probs
        whole = loss(given, 3)
        assert (loss(given[:1], 3) + loss(given[1:], 3)).item() == pytest.approx(whole.item())
    assert negative_log_likelihood(log_probs, 3).item() == pytest.approx(1.5)
    assert entropy_bonus(entropy, 3).item() == pytest.approx(0.3)
