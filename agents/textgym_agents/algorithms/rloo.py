"""RLOO: REINFORCE with the other episodes of a group as the baseline, and several steps a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from textgym_agents.algorithms.entropy import check_entropy
from textgym_agents.algorithms.epochs import Batch, EpochAlgorithm, Steps, join, spread
from textgym_agents.algorithms.minibatches import Split
from textgym_agents.algorithms.reference import Reference
from textgym_agents.algorithms.schedules import ScheduleConfig
from textgym_agents.checks import require
from textgym_agents.losses import (
    clipped_policy_loss,
    entropy_bonus,
    kl_estimates,
    ratios,
    sequence_sums,
)
from textgym_agents.policies import Episode, Evaluation, Policy
from textgym_agents.returns import mean_of_others, returns_to_go


@dataclass(frozen=True, kw_only=True)
class RLOOConfig(ScheduleConfig):
    """RLOO: raise the probability of episodes by how much better they did than their group."""

    # Step size of Adam. Lower: slower and steadier. Higher: faster, until it diverges; language
    # models want 1e-6 to 1e-3, small networks 1e-3 to 1e-2.
    learning_rate: float = 1e-3

    # Neighbouring environments that start from the same seed, hence the same prompt, and are
    # compared; 2 or more, must divide num_envs. Lower: more prompts a batch. Higher: better
    # comparisons.
    group_size: int = 4

    # Discount a step, 0 to 1. Lower: early rewards count more and estimates vary less. 1 is the
    # plain sum.
    gamma: float = 1.0

    # Times that each batch is learned from. Lower: fewer steps a batch; 1 (with one minibatch) is
    # REINFORCE itself. Higher: more learned from it, until the clipping holds it back.
    num_epochs: int = 1

    # Optimizer steps an epoch: parts that a batch's episodes are shuffled into. Lower: larger,
    # more exact steps. Higher: more and noisier ones.
    num_minibatches: int = 1

    # How far below 1, and above, a whole episode's probability ratio to the behaviour is rewarded
    # for moving. It is a product over steps, so that long episodes reach it sooner. Lower: smaller
    # steps. Higher: larger ones. It acts from the second step on a batch on.
    clip_range: float = 0.2

    # How far above 1, where that differs from below; None: clip_range. Higher: rare episodes rise
    # faster.
    clip_range_high: float | None = None

    # Weight of the KL divergence (nats, summed over an episode) from the policy that training
    # started with, taken off the return. Lower: moves further from it. Higher: stays closer. 0: no
    # reference is kept.
    kl_coef: float = 0.0

    # Weight of the mean entropy a step (nats). Lower: commits sooner, to a wrong action perhaps.
    # Higher: explores longer.
    entropy_coef: float = 0.0

    # Mean entropy a step (nats) to hold: entropy_coef, which is then the first value, rises while
    # the entropy is lower and falls while it is higher. Lower: ends closer to one action. Higher:
    # explores on; above the logarithm of the number of actions it cannot be reached. None: the
    # weight stays.
    target_entropy: float | None = None

    # Size of that adaptation: 0.1 changes the weight by a tenth a batch where the entropy is a nat
    # off. Lower: slower and steadier. Higher: faster, until it swings.
    entropy_learning_rate: float = 0.1

    # Largest Euclidean norm of the gradient of a step; a longer one is scaled down. Lower:
    # steadier. Higher: single minibatches move more. 0: no limit.
    max_grad_norm: float = 1.0

    # Decoupled weight decay of AdamW, a share of the learning rate. Lower: weights stay. Higher:
    # weights shrink towards 0.
    weight_decay: float = 0.0

    # Complete episodes that each environment adds to a batch; the n-th ones of a group are compared
    # with each other. Lower: more frequent, noisier updates. Higher: fewer, more exact ones.
    episodes_per_env: int = 1

    # Tokens (steps, for other observations) of one forward and backward pass, a shared prompt
    # counted once; a minibatch's gradient is the exact sum of its passes. Lower: less memory, which
    # for language models goes with steps times vocabulary. Higher: fewer passes. 0: one pass.
    max_tokens_per_pass: int = 8192

    def __post_init__(self) -> None:
        super().__post_init__()
        require("learning_rate", self.learning_rate, above=0)
        require("group_size", self.group_size, least=2)
        require("gamma", self.gamma, least=0, most=1)
        for name in ("num_epochs", "num_minibatches", "episodes_per_env"):
            require(name, getattr(self, name), least=1)
        for name in ("kl_coef", "max_grad_norm", "weight_decay", "max_tokens_per_pass"):
            require(name, getattr(self, name), least=0)
        check_entropy(self.entropy_coef, self.target_entropy, self.entropy_learning_rate)
        require("clip_range", self.clip_range, above=0, most=1)
        if self.clip_range_high is not None:
            require("clip_range_high", self.clip_range_high, above=0)

    @property
    def steps_per_env(self) -> int:
        """Always 0: only whole episodes can be compared."""
        return 0


class RLOO(EpochAlgorithm[RLOOConfig]):
    """REINFORCE leave-one-out on whole episodes.

    An episode's advantage is its return less the mean return of its group's other episodes,
    ``A_i = R_i - 1 / (G - 1) sum_{j != i} R_j`` (Kool, van Hoof and Welling, Buy 4 REINFORCE
    Samples, Get a Baseline for Free!, 2019; Ahmadian et al., Back to Basics, 2024, arXiv
    2402.14740, equation 7). With ``kl_coef`` the return is less ``kl_coef`` times the sum over the
    episode of the behaviour's ``log pi - log pi_reference``, whose mean is the KL divergence of
    episodes.
    Maximised is ``mean_i min(ratio_i A_i, clip(ratio_i, 1 - clip_range, 1 + clip_range_high) A_i)``
    with ``ratio_i`` the quotient of the whole episode's probabilities, now and when it was sampled,
    as in TRL's RLOOTrainer.

    The first step after a rollout estimates the gradient of ``E[R] - kl_coef KL`` without bias,
    entropy bonus aside. Good for texts judged at their end, without a critic's cost, and as the
    plain method that others have to beat. In episodes of hundreds of steps the ratio leaves its
    range within a step or two: keep to one epoch there.
    """

    def __init__(self, policy: Policy, config: RLOOConfig) -> None:
        super().__init__(policy, config)
        self.reference = Reference(policy) if config.kl_coef else None

    def prepare(self, episodes: Sequence[Episode]) -> Batch:
        """The episodes' returns, less the divergence, less the others' mean."""
        split = Split(episodes, self.config.max_tokens_per_pass, whole_episodes=True)
        old_log_probs = join([episode.log_probs for episode in episodes])
        groups = [episode.group for episode in episodes]
        gamma = self.config.gamma
        returns = np.array([returns_to_go(episode.rewards, gamma)[0] for episode in episodes])
        metrics = {}
        if self.reference is not None:
            divergence = old_log_probs - self.reference.log_probs(split)
            starts = np.cumsum([0] + [episode.num_steps for episode in episodes[:-1]])
            returns = returns - self.config.kl_coef * np.add.reduceat(divergence, starts)
            metrics["kl_reference"] = float(divergence.mean())
        advantages = returns - mean_of_others(returns, groups)
        return Batch(
            split=split,
            old_log_probs=old_log_probs,
            advantages=spread(advantages, episodes),
            metrics={"advantage_std": float(advantages.std()), **metrics},
        )

    def losses(self, evaluation: Evaluation, steps: Steps) -> dict[str, Tensor]:
        """``loss`` and what it is made of.

        Returns:
            ``loss``, ``policy_loss``, ``entropy`` (nats a step), ``kl`` (from the behaviour, k3,
            nats a step), and ``clip_fraction``, the share of episodes whose ratio is out of range.
            `prepare` adds ``kl_reference`` (k1, nats a step).
        """
        config, lengths = self.config, steps.lengths
        low, high = config.clip_range, config.clip_range_high or config.clip_range
        now = sequence_sums(evaluation.log_probs, lengths)
        old = sequence_sums(steps.old_log_probs, lengths)
        advantages = steps.advantages[lengths.cumsum(0) - 1]
        terms = clipped_policy_loss(now, old, advantages, low, high)
        policy_loss = terms.sum() / steps.num_episodes
        entropy = entropy_bonus(evaluation.entropy, steps.num_steps)
        kl = kl_estimates(steps.old_log_probs, evaluation.log_probs.detach(), "k3")
        ratio = ratios(now.detach(), old)
        return {
            "loss": policy_loss - self.entropy_coef.value * entropy,
            "policy_loss": policy_loss,
            "entropy": entropy,
            "kl": kl.sum() / steps.num_steps,
            "clip_fraction": ((ratio < 1 - low) | (ratio > 1 + high)).sum() / steps.num_episodes,
        }
