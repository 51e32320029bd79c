"""PPO (Schulman et al. 2017): several epochs on a batch, with steps that clipping keeps small."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textgym_agents.algorithms.base import Algorithm, check_rewards
from textgym_agents.algorithms.entropy import EntropyCoefficient, check_entropy
from textgym_agents.algorithms.epochs import Floats, join, means
from textgym_agents.algorithms.minibatches import Part, Split
from textgym_agents.algorithms.reference import Reference, steered
from textgym_agents.algorithms.schedules import ScheduleConfig
from textgym_agents.algorithms.value_normalization import RunningScale
from textgym_agents.checks import require
from textgym_agents.losses import (
    KLEstimator,
    clipped_policy_loss,
    clipped_value_loss,
    kl_estimates,
    ratios,
)
from textgym_agents.policies import Episode, Evaluation, Policy
from textgym_agents.returns import explained_variance, generalized_advantages, normalized

_EARLY_STOP = 1.5
"""The KL divergence stops the epochs at so many times target_kl, as in Stable-Baselines3."""


@dataclass(frozen=True, kw_only=True)
class PPOConfig(ScheduleConfig):
    """PPO: several steps on each batch, none of which moves an action's probability far."""

    # Step size of Adam. Lower: slower and steadier. Higher: faster, until it diverges; language
    # models want 1e-6 to 3e-4, small networks 3e-4 to 3e-3.
    learning_rate: float = 3e-4

    # Step size of what the values alone depend on: a value head, a network, or a separate critic.
    # Lower: values follow slowly; a language model's head, which starts at 0, explains next to
    # nothing for a hundred steps at the model's own step size. Higher: soon, until they swing; such
    # a head wants 1e-3 to 1e-2. None: learning_rate.
    value_learning_rate: float | None = None

    # Discount a step, 0 to 1. Lower: early rewards count more and estimates vary less; 0.99 is
    # usual for control tasks of hundreds of steps. 1 is the plain sum, usual for texts. States far
    # from the start count as much as early ones all the same.
    gamma: float = 1.0

    # Lambda of generalized advantage estimation, 0 to 1. Lower: relies on the values, which is
    # biased but varies less. 1: relies on the returns.
    gae_lambda: float = 0.95

    # Times that each batch is learned from. Lower: fewer steps a batch. Higher: more learned from
    # it, until the clipping holds it back or the values overfit.
    num_epochs: int = 4

    # Optimizer steps an epoch: parts that a batch is shuffled into, of single steps where
    # observations are arrays, of whole episodes where they are tokens. Lower: larger, more exact
    # steps. Higher: more and noisier ones.
    num_minibatches: int = 4

    # How far below 1, and above, an action's probability ratio to the batch's policy is rewarded
    # for moving. Lower: smaller steps. Higher: larger ones, until they go wrong.
    clip_range: float = 0.2

    # How far above 1, where that differs from below; None: clip_range. Higher: rare actions rise
    # faster, which keeps entropy up (DAPO takes 0.28).
    clip_range_high: float | None = None

    # How far a value may come nearer to its target from what the batch's policy said, in the value
    # head's unit, before its gradient ends. Lower: slower, steadier critic. 0: no limit.
    value_clip_range: float = 0.0

    # Weight of the value head's mean squared error. Lower: values learn slower. Higher: they take
    # more of a shared network.
    value_coef: float = 0.5

    # Let the critic predict returns less their running mean, divided by their running deviation.
    # Wanted where returns are far from the size of 1; the policy's values are then in that unit.
    normalize_values: bool = False

    # Weight of the mean entropy a step (nats). Lower: commits sooner, to a wrong action perhaps.
    # Higher: explores longer.
    entropy_coef: float = 0.0

    # Mean entropy a step (nats) to hold: entropy_coef, then the first value, rises from batch to
    # batch while the entropy is lower and falls while it is higher. Lower: ends closer to one
    # action. Higher: explores on. None: the weight stays.
    target_entropy: float | None = None

    # Size of that adaptation: 0.1 changes the weight by a tenth a batch where the entropy is a nat
    # off. Lower: slower and steadier. Higher: faster, until it swings.
    entropy_learning_rate: float = 0.1

    # Scale each minibatch's advantages to mean 0 and deviation 1: the step no longer depends on the
    # reward's scale, but the gradient is biased.
    normalize_advantages: bool = True

    # Stop the epochs of a batch before the step at whose minibatch the KL divergence from the
    # batch's policy exceeds 1.5 times this (nats a step). Lower: fewer steps. 0: never.
    target_kl: float = 0.0

    # Weight of the KL divergence (nats a step) from the policy that training started with. Lower:
    # moves further from it. Higher: stays closer. 0: no reference is kept.
    kl_coef: float = 0.0

    # Where that divergence counts: taken off the reward of each step, so that the policy avoids
    # states that lead to it; or in the loss, of the steps taken.
    kl_penalty: Literal["reward", "loss"] = "reward"

    # How it is estimated from the action taken (Schulman 2020). k1: unbiased, of either sign; k2:
    # biased, steadier; k3: unbiased, never negative. In the loss, k2 has the gradient of the
    # divergence itself, k3 that of the reverse one, and k1 none, so it is refused there.
    kl_estimator: KLEstimator = "k1"

    # Divergence (nats a step) that kl_coef is steered towards from batch to batch, by at most 2%
    # each. Lower: closer to the reference. Higher: freer. 0: kl_coef stays.
    kl_coef_target: float = 0.0

    # Largest Euclidean norm of the gradient of a step; a longer one is scaled down. Lower:
    # steadier. Higher: single minibatches move more. 0: no limit.
    max_grad_norm: float = 0.5

    # Decoupled weight decay of AdamW, a share of the learning rate. Lower: weights stay. Higher:
    # weights shrink towards 0.
    weight_decay: float = 0.0

    # Complete episodes that each environment adds to a batch. Lower: more frequent, noisier
    # updates. Higher: fewer, more exact ones.
    episodes_per_env: int = 1

    # Steps that each environment adds to a batch instead of whole episodes; the last episode is cut
    # there, and its rest estimated by the value. Lower: more frequent, noisier updates, which see
    # only the beginnings of long episodes at resets_every 1. 0: whole episodes, episodes_per_env.
    steps_per_env: int = 0

    # Neighbouring environments that start from the same seed, hence the same prompt; must divide
    # num_envs. Lower: more prompts a batch. Higher: more answers to each.
    group_size: int = 1

    # Tokens (steps, for other observations) of one forward and backward pass, a shared prompt
    # counted once; a minibatch's gradient is the exact sum of its passes. Lower: less memory, which
    # for language models goes with steps times vocabulary. Higher: fewer passes. 0: one pass.
    max_tokens_per_pass: int = 8192

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("learning_rate", "clip_range"):
            require(name, getattr(self, name), above=0)
        for name in ("gamma", "gae_lambda"):
            require(name, getattr(self, name), least=0, most=1)
        for name in ("num_epochs", "num_minibatches", "episodes_per_env", "group_size"):
            require(name, getattr(self, name), least=1)
        for name in ("value_clip_range", "value_coef", "target_kl", "kl_coef", "kl_coef_target"):
            require(name, getattr(self, name), least=0)
        for name in ("max_grad_norm", "weight_decay", "steps_per_env", "max_tokens_per_pass"):
            require(name, getattr(self, name), least=0)
        if self.value_learning_rate is not None:
            require("value_learning_rate", self.value_learning_rate, above=0)
        require("clip_range", self.clip_range, most=1)
        check_entropy(self.entropy_coef, self.target_entropy, self.entropy_learning_rate)
        if self.clip_range_high is not None:
            require("clip_range_high", self.clip_range_high, above=0)
        if self.kl_penalty == "loss" and self.kl_estimator == "k1":
            raise ValueError(
                'kl_estimator "k1" has no gradient on average, so it does nothing in the loss; '
                'with kl_penalty "loss" take "k2" or "k3"'
            )
        if self.kl_coef_target > 0 and self.kl_coef == 0:
            raise ValueError(
                f"kl_coef_target {self.kl_coef_target} steers kl_coef by factors, so kl_coef must "
                "start above 0, got 0"
            )


@dataclass(frozen=True, slots=True)
class _Batch:
    """A batch and what each of its steps is learned from: float64 ``[M]`` arrays.

    ``values`` and ``returns`` are in the environment's unit, ``old_values`` the values in the value
    head's; ``kl_reference`` is the mean divergence from the reference in nats a step.
    """

    split: Split
    old_log_probs: Floats
    reference_log_probs: Floats | None
    kl_reference: float
    old_values: Floats
    values: Floats
    advantages: Floats
    returns: Floats


class PPO(Algorithm[PPOConfig]):
    """PPO with clipping, on complete episodes or segments of them.

    Maximises, by several epochs of minibatch steps on each batch, the clipped surrogate
    ``mean_t min(ratio_t A_t, clip(ratio_t, 1 - clip_range, 1 + clip_range_high) A_t)`` with
    ``ratio_t = pi(a_t|s_t) / pi_old(a_t|s_t)`` and A_t from generalized advantage estimation,
    less ``value_coef`` times the value's squared error against ``A_t + V_t``, plus
    ``entropy_coef`` times the entropy (Schulman et al., Proximal Policy Optimization Algorithms,
    2017, sections 3 and 5). An episode that a limit cut goes on at the value of its last
    observation; one that terminated does not.

    A step counts as much as any other, without the factor ``gamma**t``: see
    `generalized_advantages`. The mean is over a minibatch's steps, so that a long episode has more
    weight than a short one.

    With ``kl_coef`` the reward is that of Ziegler et al. (Fine-Tuning Language Models from Human
    Preferences, 2019): a step's reward less ``kl_coef`` times the estimated KL divergence from a
    frozen copy of the first policy, with their proportional controller of ``kl_coef`` (section
    2.2), though its target is nats a step here.

    Good for long episodes and dense rewards, and where environment steps are dear.
    """

    goes_on: ClassVar[bool] = True

    def __init__(self, policy: Policy, config: PPOConfig) -> None:
        super().__init__(policy, config)
        self.reference = Reference(policy) if config.kl_coef > 0 else None
        self.kl_coef = config.kl_coef
        self.entropy_coef = EntropyCoefficient(
            config.entropy_coef, config.target_entropy, config.entropy_learning_rate
        )
        self.scale = RunningScale()

    def gradients(self, episodes: Sequence[Episode]) -> dict[str, float]:
        """Set ``grad`` to the gradient of the loss of the whole batch as one minibatch."""
        batch = self._batch(episodes)
        return self._gradients(batch, batch.split.whole())

    def update(
        self,
        episodes: Sequence[Episode],
        progress: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> dict[str, float]:
        """Take up to ``num_epochs * num_minibatches`` optimizer steps; see `Algorithm.update`.

        Returns:
            Means over the minibatches: ``loss``, ``policy_loss``, ``value_loss``, ``entropy``
            (nats a step), ``kl`` (from the batch's policy, nats a step), ``clip_fraction`` (of
            steps whose ratio is out of range), ``grad_norm``. Of the batch: ``optimizer_steps``,
            ``advantage_std``, ``explained_variance`` (of the targets, by the values that acted),
            ``entropy_coef``, the one used, and with a reference ``kl_reference`` (nats a step) and
            ``kl_coef``, the one used.

        Raises:
            ValueError: A reward is not finite, or the batch is empty.
            FloatingPointError: A minibatch's loss or gradient is not finite; the parameters are
                those that the minibatch before it left.
        """
        check_rewards(episodes)
        rng = np.random.default_rng(0) if rng is None else rng
        batch = self._batch(episodes)
        if self.config.normalize_values and np.isfinite(batch.returns).all():
            self.scale.add(batch.returns)  # Of others the loss is not finite, either.
        epochs, count = range(self.config.num_epochs), self.config.num_minibatches
        rows: list[dict[str, float]] = []
        try:
            for parts in (m for _ in epochs for m in batch.split.shuffled(count, rng)):
                rows.append(self._gradients(batch, parts))
                if 0 < _EARLY_STOP * self.config.target_kl < rows[-1]["kl"]:
                    break
                rows[-1]["grad_norm"] = self._step(rows[-1]["loss"], progress)
        finally:
            self.optimizer.zero_grad(set_to_none=True)
        metrics = {
            **({"grad_norm": 0.0} | means(rows)),
            "optimizer_steps": sum("grad_norm" in row for row in rows),
            "advantage_std": float(batch.advantages.std()),
            "explained_variance": explained_variance(batch.values, batch.returns),
            "learning_rate": self.learning_rate(progress),
            "entropy_coef": self.entropy_coef.value,
        }
        self.entropy_coef.update(metrics["entropy"])
        if self.reference is not None:
            metrics |= {"kl_reference": batch.kl_reference, "kl_coef": self.kl_coef}
            self.kl_coef = steered(self.kl_coef, batch.kl_reference, self.config.kl_coef_target)
        return metrics

    def state(self) -> dict[str, Tensor]:
        """The coefficients, the reference's weights and the returns' scale, as far as in use."""
        state = self.entropy_coef.state()
        if self.reference is not None:
            state["kl_coef"] = torch.tensor(self.kl_coef, dtype=torch.float64)
            state |= self.reference.state()
        if self.config.normalize_values:
            state |= self.scale.state()
        return state

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave; see `Algorithm.load_state`."""
        self._check_state(tensors)
        if self.reference is not None:
            self.kl_coef = float(tensors["kl_coef"])
            self.reference.load_state(tensors)
        if self.config.normalize_values:
            self.scale.load_state(tensors)
        self.entropy_coef.load_state(tensors)

    def _batch(self, episodes: Sequence[Episode]) -> _Batch:
        """What the policy of the rollout said, and what its actions were worth."""
        config = self.config
        split = Split(episodes, config.max_tokens_per_pass)
        old_log_probs = join([episode.log_probs for episode in episodes])
        old_values = join([episode.values for episode in episodes])
        values = self.scale.restore(old_values)
        rewards = join([episode.rewards for episode in episodes])
        reference, kl_reference = None, 0.0
        if self.reference is not None:
            reference = self.reference.log_probs(split)
            penalty = kl_estimates(
                torch.as_tensor(old_log_probs), torch.as_tensor(reference), config.kl_estimator
            ).numpy()
            kl_reference = float(penalty.mean())
            if config.kl_penalty == "reward":
                rewards = rewards - self.kl_coef * penalty
        advantages = self._advantages(episodes, rewards, values)
        returns = advantages + values
        return _Batch(
            split, old_log_probs, reference, kl_reference, old_values, values, advantages, returns
        )

    def _advantages(self, episodes: Sequence[Episode], rewards: Floats, values: Floats) -> Floats:
        """Advantages of the batch's steps from their rewards and values, all ``[M]``."""
        gamma, lam, found, end = self.config.gamma, self.config.gae_lambda, [], 0
        for episode in episodes:
            begin, end = end, end + episode.num_steps
            last = self.scale.final_value(episode)
            known = rewards[begin:end], values[begin:end], last
            found.append(generalized_advantages(*known, gamma, lam))
        return np.concatenate(found)

    def _gradients(self, batch: _Batch, parts: Sequence[Part]) -> dict[str, float]:
        """Set ``grad`` to the gradient of a minibatch's mean loss a step; return its metrics."""
        steps = np.concatenate([part.steps for part in parts])
        advantages = batch.advantages.copy()
        if self.config.normalize_advantages:
            (advantages[steps],) = normalized([advantages[steps]])
        metrics: defaultdict[str, float] = defaultdict(float)
        self.optimizer.zero_grad(set_to_none=True)
        for part in parts:
            evaluation = self.behaviour.evaluate(part.episodes)
            terms = self._terms(evaluation, replace(batch, advantages=advantages), part.steps)
            torch.autograd.backward(terms["loss"].sum() / len(steps))
            sums = torch.stack([term.detach().sum() for term in terms.values()]).tolist()
            for name, total in zip(terms, sums, strict=True):
                metrics[name] += total / len(steps)
        return dict(metrics)

    def _terms(
        self, evaluation: Evaluation, batch: _Batch, steps: NDArray[np.int64]
    ) -> dict[str, Tensor]:
        """The loss and what it is made of, ``[M]`` each: one number a step."""
        config, log_probs = self.config, evaluation.log_probs

        def of(numbers: Floats) -> Tensor:
            return torch.as_tensor(numbers[steps], dtype=log_probs.dtype, device=log_probs.device)

        old = of(batch.old_log_probs)
        high = config.clip_range if config.clip_range_high is None else config.clip_range_high
        policy_loss = clipped_policy_loss(
            log_probs, old, of(batch.advantages), config.clip_range, high
        )
        value_loss = clipped_value_loss(
            evaluation.values,
            of(batch.old_values),
            of(self.scale.normalize(batch.returns)),
            config.value_clip_range or math.inf,
        )
        loss = policy_loss + config.value_coef * value_loss
        loss = loss - self.entropy_coef.value * evaluation.entropy
        if batch.reference_log_probs is not None and config.kl_penalty == "loss":
            kl = kl_estimates(log_probs, of(batch.reference_log_probs), config.kl_estimator)
            loss = loss + self.kl_coef * kl
        ratio = ratios(log_probs.detach(), old)
        outside = (ratio > 1 + high) | (ratio < 1 - config.clip_range)
        return {
            "loss": loss,
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "entropy": evaluation.entropy,
            "kl": kl_estimates(old, log_probs.detach(), "k3"),
            "clip_fraction": outside.to(log_probs.dtype),
        }
