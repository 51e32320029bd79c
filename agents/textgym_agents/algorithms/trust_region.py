"""The linear algebra of a trust region: natural gradients without the Fisher matrix.

The Fisher matrix F of a policy is the mean over states of the covariance of grad log pi. It is
also the Hessian of the mean KL divergence from the policy to itself with other parameters, so that
F v is the gradient of (the KL's gradient times v): one more backward pass for each v.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from textgym_agents.algorithms.minibatches import Part
from textgym_agents.distributed import own_share, sum_shares
from textgym_agents.policies import Episode, Policy


def conjugate_gradient(
    product: Callable[[Tensor], Tensor], target: Tensor, iterations: int, tolerance: float = 1e-10
) -> tuple[Tensor, Tensor]:
    """Solve ``A x = target`` for a positive definite A known by its products alone.

    Hestenes and Stiefel, Methods of Conjugate Gradients for Solving Linear Systems, 1952. Exact
    after as many iterations as A has distinct eigenvalues, but for rounding; the best solution in
    the span of ``target, A target, A^2 target, ...`` before that.

    Args:
        product: ``v -> A v``, both ``[P]``.
        target: float ``[P]``.
        iterations: Products at most.
        tolerance: Stop when the squared norm of the residual is below this share of the target's.

    Returns:
        ``x``, 0 for a target of 0, and ``A x`` without another product, each ``[P]``.
    """
    solution = torch.zeros_like(target)
    residual = direction = target
    squared = start = residual @ residual
    for _ in range(iterations):
        if squared <= tolerance * start:
            break
        image = product(direction)
        length = squared / (direction @ image)
        solution = solution + length * direction
        residual = residual - length * image
        before, squared = squared, residual @ residual
        direction = residual + (squared / before) * direction
    return solution, target - residual


def fisher_products(
    policy: Policy, parts: Sequence[Part], parameters: Sequence[Tensor]
) -> Callable[[Tensor], Tensor]:
    """The products ``F vector``, exact in the actions; F is a mean over the parts' steps.

    The forward pass and the first backward pass are the same for all products: of a single part
    they are made once. Of several, which are there so that memory is bounded by the largest, they
    are made again for each product.

    Args:
        policy: The policy, which stays as it is until the last product.
        parts: Evaluated one after another.
        parameters: Those of its parameters that its distribution depends on; ``P`` numbers.

    Returns:
        ``vector -> F vector``, both float ``[P]``.
    """
    num_steps = sum(len(part.steps) for part in parts)
    shares = [own_share(policy, part.episodes)[0] for part in parts]
    kept: list[Tensor] = []

    def gradient(episodes: Sequence[Episode]) -> Tensor:
        if kept:
            return kept[0]
        present = policy.episode_distributions(episodes)
        kl = policy.divergence(present.detach(), present).sum() / num_steps
        found = flat(torch.autograd.grad(kl, parameters, create_graph=True))
        if len(shares) == 1:
            kept.append(found)
        return found

    def product(vector: Tensor) -> Tensor:
        total = torch.zeros_like(vector)
        # PyTorch's fused attention has one derivative only; checkpoints attend in each pass.
        with sdpa_kernel(SDPBackend.MATH):
            for share in filter(None, shares):
                along = gradient(share) @ vector
                found = torch.autograd.grad(along, parameters, retain_graph=bool(kept))
                total += flat(found)
        return sum_shares(policy, total)

    return product


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """The entries of all tensors in one vector ``[P]``."""
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


@torch.no_grad()
def assign(parameters: Sequence[Tensor], vector: Tensor) -> None:
    """Give the parameters the entries of a vector ``[P]``, as `flat` orders them."""
    sizes = [parameter.numel() for parameter in parameters]
    for parameter, values in zip(parameters, torch.split(vector, sizes), strict=True):
        parameter.copy_(values.view_as(parameter))


@contextmanager
def frozen(parameters: Sequence[Tensor]) -> Iterator[None]:
    """No gradients flow into the parameters meanwhile, nor is memory kept for them."""
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
