from __future__ import annotations

import pytest
import torch

from textgym_agents.losses import (
    KLEstimator,
    clipped_policy_loss,
    clipped_value_loss,
    entropy_bonus,
    kl_estimates,
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


def test_clipped_policy_loss_by_hand() -> None:
    """Ratios 2, 0.5, 2, 0.5 and 1; a step that clipping stops has no gradient."""
    ratios = torch.tensor([2.0, 0.5, 2.0, 0.5, 1.0])
    advantages = torch.tensor([1.0, -1.0, -1.0, 1.0, 3.0])
    old = torch.full((5,), -3.0)
    log_probs = (old + ratios.log()).requires_grad_()
    terms = clipped_policy_loss(log_probs, old, advantages, 0.2, 0.3)
    assert terms.tolist() == pytest.approx([-1.3, 0.8, 2.0, -0.5, -3.0])
    terms.sum().backward()
    assert log_probs.grad is not None
    assert log_probs.grad.tolist() == pytest.approx([0.0, 0.0, 2.0, -0.5, -3.0])


def test_clipped_value_loss_by_hand() -> None:
    """Two values moved by 2 where 1 is allowed: towards the target, and beyond it."""
    values = torch.tensor([2.0, 2.0, 0.5], requires_grad=True)
    terms = clipped_value_loss(values, torch.zeros(3), torch.tensor([5.0, 0.0, 1.0]), 1.0)
    assert terms.tolist() == pytest.approx([16.0, 4.0, 0.25])
    terms.sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == pytest.approx([0.0, 4.0, -1.0])


def test_kl_estimates_by_hand() -> None:
    """R = other / pi is 2 and 0.5."""
    log_probs = torch.tensor([0.25, 0.5]).log()
    other = torch.tensor([0.5, 0.25]).log()
    log2 = torch.tensor(2.0).log().item()
    expected: dict[KLEstimator, list[float]] = {
        "k1": [-log2, log2],
        "k2": [log2**2 / 2, log2**2 / 2],
        "k3": [2 - 1 - log2, 0.5 - 1 + log2],
    }
    for kind, numbers in expected.items():
        assert kl_estimates(log_probs, other, kind).tolist() == pytest.approx(numbers)
    with pytest.raises(ValueError, match="known: k1, k2, k3"):
        kl_estimates(log_probs, other, "k4")  # type: ignore[arg-type]


def test_kl_estimates_on_average_are_what_their_docstring_says() -> None:
    """Over all actions of a small distribution: the numbers, and as losses their gradients."""
    torch.manual_seed(0)
    logits = torch.randn(5, dtype=torch.float64, requires_grad=True)
    other = torch.randn(5, dtype=torch.float64).log_softmax(0)
    log_probs = logits.log_softmax(0)
    weights = log_probs.detach().exp()
    forward = (log_probs.exp() * (log_probs - other)).sum()
    reverse = (other.exp() * (other - log_probs)).sum()
    (of_forward,) = torch.autograd.grad(forward, logits, retain_graph=True)
    (of_reverse,) = torch.autograd.grad(reverse, logits, retain_graph=True)
    mean, gradient = {}, {}
    kinds: tuple[KLEstimator, ...] = ("k1", "k2", "k3")
    for kind in kinds:
        mean[kind] = (weights * kl_estimates(log_probs, other, kind)).sum()
        (gradient[kind],) = torch.autograd.grad(mean[kind], logits, retain_graph=True)
    assert mean["k1"].item() == pytest.approx(forward.item())
    assert mean["k3"].item() == pytest.approx(forward.item())
    assert mean["k2"].item() != pytest.approx(forward.item(), rel=0.01)
    torch.testing.assert_close(gradient["k1"], torch.zeros_like(logits))
    torch.testing.assert_close(gradient["k2"], of_forward)
    torch.testing.assert_close(gradient["k3"], of_reverse)


def test_ratios_beyond_all_numbers_have_no_gradient_that_is_none() -> None:
    """In float32 the exponential of 89 is infinite, and 0 times that is not a number."""
    old = torch.tensor([-100.0, -100.0])
    advantages = torch.tensor([1.0, -1.0])
    now = torch.tensor([-0.5, -0.5], requires_grad=True)
    terms = clipped_policy_loss(now, old, advantages, 0.2, 0.2)
    assert torch.isfinite(terms).all()
    terms.sum().backward()
    assert now.grad is not None and now.grad.tolist() == [0.0, 0.0]
    assert torch.isfinite(kl_estimates(old, now.detach(), "k3")).all()
