"""TRPO (Schulman et al. 2015): the best step within a trust region of the policy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textgym_agents.algorithms.base import Algorithm, check_rewards
from textgym_agents.algorithms.entropy import EntropyCoefficient, check_entropy
from textgym_agents.algorithms.minibatches import Split
from textgym_agents.algorithms.trust_region import (
    assign,
    conjugate_gradient,
    fisher_products,
    flat,
    frozen,
)
from textgym_agents.algorithms.value_normalization import Floats, RunningScale
from textgym_agents.checks import require
from textgym_agents.distributed import own_share, sum_gradients, sum_shares
from textgym_agents.losses import ratios, value_loss
from textgym_agents.policies import Episode, Policy
from textgym_agents.returns import explained_variance, generalized_advantages, normalized


@dataclass(frozen=True, kw_only=True)
class TRPOConfig:
    """TRPO: the natural gradient step to the edge of a trust region, checked before it is taken."""

    # Largest mean KL divergence (nats a step) from the old policy to the new one. Lower: smaller,
    # safer steps. Higher: faster, until the surrogate says little about the return.
    target_kl: float = 0.01

    # Fisher-vector products that find the natural gradient's direction. Lower: faster, closer to
    # the plain gradient. Higher: more exact; each costs a language model about eight forward passes
    # of the batch, ten where it takes several.
    cg_iterations: int = 10

    # Is added to the Fisher matrix's diagonal. Lower: closer to the natural gradient, which is
    # large where the policy hardly depends on the parameters. Higher: closer to the plain gradient.
    cg_damping: float = 0.1

    # Share of the batch, above 0 to 1, that the Fisher matrix is a mean over; in effect 1, 1/2,
    # 1/3 and so on. Lower: faster. Higher: more exact.
    fisher_share: float = 1.0

    # Steps tried, each shorter than the one before, until one raises the surrogate within
    # target_kl; none is taken if all fail. Lower: faster. Higher: fails less.
    line_search_steps: int = 10

    # Length of each step tried, as a share of the one before, above 0 and below 1. Lower: finds a
    # step sooner. Higher: finds a longer one.
    line_search_shrink: float = 0.8

    # Step size of Adam for the value function, the only thing that Adam moves here. Lower: slower
    # and steadier. Higher: faster, until it diverges.
    learning_rate: float = 1e-3

    # Times the value function is fitted to each step of the batch. Lower: faster, and values that
    # lag behind. Higher: values closer to the batch's returns.
    value_epochs: int = 10

    # Adam steps that each of those takes. Lower: fewer, more exact ones. Higher: more, noisier
    # ones.
    num_minibatches: int = 8

    # Largest Euclidean norm of the value function's gradient; a longer one is scaled down. 0: no
    # limit.
    max_grad_norm: float = 0.5

    # Decoupled weight decay of the value function, a share of the learning rate. Lower: weights
    # stay. Higher: weights shrink towards 0.
    weight_decay: float = 0.0

    # Discount a step, 0 to 1. Lower: early rewards count more and estimates vary less. Higher:
    # late rewards count as much; 1 is the plain sum.
    gamma: float = 1.0

    # Lambda of generalised advantage estimation, 0 to 1. Lower: less variance, more of the value
    # function's bias. Higher: the reverse; 1 uses returns as they were.
    gae_lambda: float = 0.95

    # Scale each batch's advantages to mean 0 and deviation 1. The step's length does not depend on
    # their scale anyway; the mean it takes away is noise that the values left.
    normalize_advantages: bool = True

    # Let the critic predict returns less their running mean, divided by their running deviation.
    # Wanted where returns are far from the size of 1, or far from 0, as scores of texts are; the
    # policy's values are in that unit.
    normalize_values: bool = False

    # Weight of the mean entropy a step (nats) in the surrogate, whose advantages have deviation 1
    # as a rule. Lower: commits sooner, to a wrong action perhaps. Higher: explores longer.
    entropy_coef: float = 0.0

    # Mean entropy a step (nats) to hold: entropy_coef, which is then the first value, rises while
    # the entropy is lower and falls while it is higher. Lower: ends closer to one action. Higher:
    # explores on. None: the weight stays.
    target_entropy: float | None = None

    # Size of that adaptation: 0.1 changes the weight by a tenth a batch where the entropy is a nat
    # off. Lower: slower and steadier. Higher: faster, until it swings.
    entropy_learning_rate: float = 0.1

    # Complete episodes that each environment adds to a batch. Lower: more frequent, noisier steps.
    # Higher: fewer, more exact ones.
    episodes_per_env: int = 1

    # Steps after which an environment's part of the batch is cut and its return bootstrapped from
    # the value function. Lower: more frequent, noisier updates. Higher: fewer, more exact ones. 0:
    # complete episodes, episodes_per_env of them.
    steps_per_env: int = 0

    # Neighbouring environments that start from the same seed, hence the same prompt; must divide
    # num_envs. TRPO does not compare them: 1 gives more prompts a batch.
    group_size: int = 1

    # Tokens (steps, for other observations) of one forward and backward pass, a shared prompt
    # counted once. Lower: less memory, which for language models goes with steps times vocabulary,
    # and is three times that of a plain gradient here. Higher: fewer passes. 0: one pass.
    max_tokens_per_pass: int = 8192

    def __post_init__(self) -> None:
        for name in ("target_kl", "line_search_shrink", "learning_rate", "fisher_share"):
            require(name, getattr(self, name), above=0)
        for name in ("cg_damping", "max_grad_norm", "weight_decay", "gamma", "gae_lambda"):
            require(name, getattr(self, name), least=0)
        for name in ("line_search_shrink", "fisher_share", "gamma", "gae_lambda"):
            require(name, getattr(self, name), most=1)
        if self.line_search_shrink == 1:
            raise ValueError("line_search_shrink must be less than 1: each try is to be shorter")
        for name in ("cg_iterations", "line_search_steps", "num_minibatches", "episodes_per_env"):
            require(name, getattr(self, name), least=1)
        for name in ("value_epochs", "steps_per_env", "max_tokens_per_pass"):
            require(name, getattr(self, name), least=0)
        require("group_size", self.group_size, least=1)
        check_entropy(self.entropy_coef, self.target_entropy, self.entropy_learning_rate)


@dataclass(frozen=True, slots=True)
class _Targets:
    """What a batch's steps are learned from, its episodes' steps one after another: ``[M]``.

    ``values``, of the policy that acted, and ``returns`` are in the environment's unit.
    """

    advantages: Tensor
    values: Floats
    returns: Floats
    old_log_probs: Tensor


class TRPO(Algorithm[TRPOConfig]):
    """Trust region policy optimization (Schulman et al. 2015, arXiv 1502.05477).

    With ratio = pi / pi_old and advantages A by GAE, each batch's step solves (section 4 with the
    penalty's place taken by a constraint on the mean KL)

        maximise   L = mean over steps of ratio A, and of entropy_coef H(pi)
        subject to mean over states of KL(pi_old || pi) <= target_kl

    approximately, as appendix C does: the direction ``s = (F + damping)^-1 g`` by conjugate
    gradient, g the gradient of L and F the Fisher matrix; the length
    ``sqrt(2 target_kl / s^T (F + damping) s)``, at which the constraint's second-order expansion
    holds with equality; and a line search back from there until the exact KL is at most
    ``target_kl`` and L has risen. F and the KL are those of the distributions over all actions at
    each visited state, not estimates from the actions taken. The value function is fitted to the
    batch by Adam afterwards.

    Good for steps that never ruin a policy, with hardly anything to tune, on small networks and
    short batches of text; PPO does much the same for less where models are large.

    The policy's step moves every parameter its distribution depends on, Adam those that only its
    values depend on: with a value head on a language model's trunk, the head alone, so that
    fitting values leaves the trust region as it was. Sampling with top-k, top-p or min-p makes the
    set of possible actions jump, which the exact KL sees as infinite; steps then fail often.
    """

    goes_on: ClassVar[bool] = True
    shardable: ClassVar[bool] = False

    def __init__(self, policy: Policy, config: TRPOConfig) -> None:
        super().__init__(policy, config)
        self.entropy_coef = EntropyCoefficient(
            config.entropy_coef, config.target_entropy, config.entropy_learning_rate
        )
        self.scale = RunningScale()

    def state(self) -> dict[str, Tensor]:
        """The entropy's weight and the returns' scale, as far as in use."""
        scale = self.scale.state() if self.config.normalize_values else {}
        return self.entropy_coef.state() | scale

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave; see `Algorithm.load_state`."""
        self._check_state(tensors)
        self.entropy_coef.load_state(tensors)
        if self.config.normalize_values:
            self.scale.load_state(tensors)

    def gradients(self, episodes: Sequence[Episode]) -> dict[str, float]:
        """Set ``grad`` to the gradient of minus the surrogate L at the present parameters.

        Returns:
            ``loss``, which is minus L, and ``entropy`` (nats a step).
        """
        targets = self._targets(episodes)
        metrics = {"loss": 0.0, "entropy": 0.0}
        self.optimizer.zero_grad(set_to_none=True)
        for part in self._split(episodes).whole():
            evaluation = self.policy.evaluate(part.episodes)
            told = evaluation.log_probs, evaluation.entropy
            loss = -self._surrogate(*told, targets, part.steps)
            torch.autograd.backward(loss)
            metrics["loss"] += loss.item()
            entropy = evaluation.entropy.detach().sum() / len(targets.returns)
            metrics["entropy"] += entropy.item()
        return metrics

    def update(
        self,
        episodes: Sequence[Episode],
        progress: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> dict[str, float]:
        """Step the policy to the edge of the trust region, then fit the value function.

        Returns:
            ``loss`` (policy and value), ``policy_loss`` (minus L at the new parameters),
            ``surrogate_gain`` (by how much L rose), ``kl`` (exact, nats a step), ``step_share``
            (of the longest step; 0: none was taken), ``grad_norm`` (of g), ``entropy``,
            ``value_loss``, ``explained_variance`` (both of the values that the batch began with),
            ``learning_rate``, ``entropy_coef`` (the one used).

        Raises:
            ValueError: A reward is not finite, or the batch is empty.
            FloatingPointError: The surrogate or its gradient is not finite, and nothing has
                changed; or the values' fit has diverged, after the policy's step.
        """
        check_rewards(episodes)
        rng = np.random.default_rng(0) if rng is None else rng
        targets = self._targets(episodes)
        try:
            metrics = self.gradients(episodes)
            sum_gradients(self.policy)
            moved = [p for p in self.policy.parameters() if p.grad is not None]
            gradient = -flat([p.grad for p in moved if p.grad is not None])
            metrics["grad_norm"] = _finite_norm(metrics["loss"], gradient)
        finally:
            self.optimizer.zero_grad(set_to_none=True)
        if self.config.normalize_values:
            self.scale.add(targets.returns)
        step = self._longest_step(episodes, moved, gradient, rng)
        metrics |= self._line_search(episodes, targets, moved, step, metrics["loss"])
        metrics["value_loss"] = float(np.mean((targets.returns - targets.values) ** 2))
        metrics["explained_variance"] = explained_variance(targets.values, targets.returns)
        self._fit_values(episodes, targets, moved, progress, rng)
        metrics["loss"] = metrics["policy_loss"] + metrics["value_loss"]
        metrics["learning_rate"] = self.learning_rate(progress)
        metrics["entropy_coef"] = self.entropy_coef.value
        self.entropy_coef.update(metrics["entropy"])
        return metrics

    def _surrogate(
        self, log_probs: Tensor, entropy: Tensor, targets: _Targets, steps: NDArray[np.int64]
    ) -> Tensor:
        """What some of the batch's steps add to L, float64."""
        ratio = ratios(log_probs, targets.old_log_probs[steps])
        terms = (ratio * targets.advantages[steps]).double().sum()
        if self.entropy_coef.value:
            terms = terms + self.entropy_coef.value * entropy.double().sum()
        return terms / len(targets.returns)

    def _longest_step(
        self,
        episodes: Sequence[Episode],
        moved: Sequence[Tensor],
        gradient: Tensor,
        rng: np.random.Generator,
    ) -> Tensor:
        """The step ``[P]`` along the natural gradient whose KL to second order is target_kl."""
        config = self.config
        parts = next(self._split(episodes).shuffled(round(1 / config.fisher_share), rng))
        fisher = fisher_products(self.policy, parts, moved)

        def damped(vector: Tensor) -> Tensor:
            return fisher(vector) + config.cg_damping * vector

        direction, image = conjugate_gradient(damped, gradient, config.cg_iterations)
        squared_length = float(direction @ image)
        if not squared_length > 0:  # No advantage differs from 0, or rounding won.
            return torch.zeros_like(gradient)
        return math.sqrt(2 * config.target_kl / squared_length) * direction

    @torch.no_grad()
    def _line_search(
        self,
        episodes: Sequence[Episode],
        targets: _Targets,
        moved: Sequence[Tensor],
        step: Tensor,
        loss: float,
    ) -> dict[str, float]:
        """Take the longest step that keeps to the trust region and raises the surrogate."""
        old = flat([parameter.detach() for parameter in moved])
        parts, before = self._split(episodes).whole(), None
        for attempt in range(self.config.line_search_steps if step.any() else 0):
            share = self.config.line_search_shrink**attempt
            sums = torch.zeros(2, dtype=torch.float64, device=old.device)
            for part in parts:
                own, which = own_share(self.policy, part.episodes)
                if own and (before is None or len(parts) > 1):  # Several would take much memory.
                    assign(moved, old)
                    before = self.policy.episode_distributions(own)
                assign(moved, old + share * step)
                if own and before is not None:
                    after = self.policy.episode_distributions(own)
                    told = self.policy.read_distributions(after, own)
                    sums[0] -= self._surrogate(*told, targets, part.steps[which])
                    divergence = self.policy.divergence(before, after)
                    sums[1] += divergence.double().sum() / len(targets.returns)
                    del after, told, divergence  # They take memory.
            new_loss, kl = sum_shares(self.policy, sums).tolist()
            if new_loss < loss and kl <= self.config.target_kl:
                return {
                    "policy_loss": new_loss,
                    "surrogate_gain": loss - new_loss,
                    "kl": kl,
                    "step_share": share,
                }
        assign(moved, old)
        return {"policy_loss": loss, "surrogate_gain": 0.0, "kl": 0.0, "step_share": 0.0}

    def _fit_values(
        self,
        episodes: Sequence[Episode],
        targets: _Targets,
        moved: Sequence[Tensor],
        progress: float,
        rng: np.random.Generator,
    ) -> None:
        """Adam on the parameters that only the values depend on."""
        wanted = self._joined(self.scale.normalize(targets.returns))
        with frozen(moved):
            if not any(parameter.requires_grad for parameter in self.policy.parameters()):
                return
            split = self._split(episodes)
            for _ in range(self.config.value_epochs):
                for parts in split.shuffled(self.config.num_minibatches, rng):
                    num_steps = sum(len(part.steps) for part in parts)
                    total = 0.0
                    for part in parts:
                        values = self.policy.values(part.episodes)
                        loss = value_loss(values, wanted[part.steps], num_steps)
                        torch.autograd.backward(loss)
                        total += loss.item()
                    self._step(total, progress)

    def _split(self, episodes: Sequence[Episode]) -> Split:
        return Split(episodes, self.config.max_tokens_per_pass)

    def _targets(self, episodes: Sequence[Episode]) -> _Targets:
        gamma, lam = self.config.gamma, self.config.gae_lambda
        values = [self.scale.restore(episode.values.astype(np.float64)) for episode in episodes]
        advantages = []
        for episode, known in zip(episodes, values, strict=True):
            last = self.scale.final_value(episode)
            advantages.append(generalized_advantages(episode.rewards, known, last, gamma, lam))
        joined = np.concatenate(values)
        returns = joined + np.concatenate(advantages)
        if self.config.normalize_advantages:
            advantages = normalized(advantages)
        old_log_probs = np.concatenate([episode.log_probs for episode in episodes])
        weights = self._joined(np.concatenate(advantages))
        return _Targets(weights, joined, returns, self._joined(old_log_probs))

    def _joined(self, array: Floats) -> Tensor:
        """Float32 on the policy's device."""
        return torch.from_numpy(array.astype(np.float32)).to(self.policy.device)


def _finite_norm(loss: float, gradient: Tensor) -> float:
    norm = float(gradient.norm())
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise FloatingPointError(
            f"the surrogate is {-loss} and its gradient's norm {norm}: no step was taken and the "
            "parameters are unchanged; actions that the policy gives probability 0 are the usual "
            "cause"
        )
    return norm
