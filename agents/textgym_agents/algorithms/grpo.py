"""GRPO and its variants: advantages from a group of episodes that began alike, and no critic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal, TypeAlias

import numpy as np
from torch import Tensor

from textgym_agents.algorithms.entropy import check_entropy
from textgym_agents.algorithms.epochs import Batch, EpochAlgorithm, Steps, join, spread
from textgym_agents.algorithms.minibatches import Split
from textgym_agents.algorithms.reference import Reference
from textgym_agents.algorithms.schedules import ScheduleConfig
from textgym_agents.checks import require
from textgym_agents.losses import (
    Aggregation,
    clipped_policy_loss,
    clipped_weight_loss,
    entropy_bonus,
    kl_estimates,
    ratios,
    sequence_means,
    step_weights,
)
from textgym_agents.policies import Episode, Evaluation, Policy
from textgym_agents.returns import RewardScale, equal_groups, group_normalized, returns_to_go

Variant: TypeAlias = Literal["grpo", "dr_grpo", "dapo", "gspo", "cispo"]
RatioLevel: TypeAlias = Literal["token", "sequence"]
Surrogate: TypeAlias = Literal["clipped", "weighted"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What tells the variants apart; `GRPOConfig` has fields of the same names."""

    aggregation: Aggregation = "sequence"
    ratio_level: RatioLevel = "token"
    surrogate: Surrogate = "clipped"
    scale_rewards: RewardScale = "group"
    clip_range: float = 0.2
    clip_range_high: float = 0.2
    extra_rounds: int = 0


VARIANTS: Mapping[Variant, Settings] = {
    "grpo": Settings(),
    "dr_grpo": Settings(aggregation="constant", scale_rewards="none"),
    "dapo": Settings(aggregation="token", clip_range_high=0.28, extra_rounds=4),
    "gspo": Settings(ratio_level="sequence", clip_range=3e-4, clip_range_high=4e-4),
    "cispo": Settings(
        aggregation="token", surrogate="weighted", clip_range=1.0, clip_range_high=4.0
    ),
}
"""The settings of each variant, whose sources `GRPO` names."""


@dataclass(frozen=True, kw_only=True)
class GRPOConfig(ScheduleConfig):
    """GRPO: raise the probability of episodes that did better than others with the same start."""

    # Which published recipe. grpo: the original; dr_grpo: neither lengths nor deviations divide;
    # dapo: a mean over tokens, more room upwards, groups of equal rewards sampled anew; gspo: the
    # ratio of whole episodes; cispo: clipped weights, so that every token has a gradient. Fields
    # that are None below are as the recipe has them.
    variant: Variant = "grpo"

    # Step size of Adam. Lower: slower and steadier. Higher: faster, until it diverges; language
    # models want 1e-6 to 1e-3, small networks 1e-3 to 1e-2.
    learning_rate: float = 1e-3

    # Neighbouring environments that start from the same seed, hence the same prompt, and are
    # compared; 2 or more, must divide num_envs. Lower: more prompts a batch. Higher: better
    # comparisons.
    group_size: int = 8

    # Discount a step, 0 to 1, in the return that is compared. Lower: early rewards count more. 1
    # is the plain sum.
    gamma: float = 1.0

    # Times that each batch is learned from. Lower: fewer steps a batch. Higher: more learned from
    # it, until the clipping holds it back.
    num_epochs: int = 1

    # Optimizer steps an epoch: parts that a batch's episodes are shuffled into. Lower: larger,
    # more exact steps. Higher: more and noisier ones.
    num_minibatches: int = 1

    # How steps are averaged. sequence: over each episode, then over episodes, so that a step of a
    # long one counts less; token: over all steps; constant: summed over each episode and divided
    # by constant_length, then over episodes. None: grpo and gspo sequence, dapo and cispo token,
    # dr_grpo constant.
    aggregation: Aggregation | None = None

    # What the aggregation "constant" divides an episode's sum by, such as the largest length.
    # Lower: a larger gradient. 1 is the policy gradient itself.
    constant_length: float = 1.0

    # Whether each token has its ratio to the behaviour, or an episode one, the geometric mean of
    # its tokens'. None: gspo sequence, others token.
    ratio_level: RatioLevel | None = None

    # clipped: PPO's, no gradient where the ratio is out of range; weighted: the clipped ratio
    # weighs the log-probability. None: cispo weighted, others clipped.
    surrogate: Surrogate | None = None

    # What a return less its group's mean is divided by: the group's standard deviation, the
    # batch's, or nothing. None: dr_grpo nothing, others the group's.
    scale_rewards: RewardScale | None = None

    # How far below 1 a ratio may fall, up to 1, which is no limit. Lower: smaller steps. Higher:
    # larger ones. None: grpo, dr_grpo and dapo 0.2, gspo 0.0003, cispo 1.
    clip_range: float | None = None

    # How far above 1 a ratio may rise. Lower: smaller steps. Higher: rare actions rise faster.
    # None: clip_range where that is given; otherwise grpo and dr_grpo 0.2, dapo 0.28, gspo 0.0004,
    # cispo 4.
    clip_range_high: float | None = None

    # Drop groups whose returns are all equal, and collect again, at most so many times, while that
    # leaves fewer episodes than num_envs times episodes_per_env. Higher: fuller batches, more
    # environment steps. 0: keep all. None: dapo 4, others 0.
    extra_rounds: int | None = None

    # Weight of the KL divergence from the policy that training started with, estimated at each
    # step (k3) and averaged like the loss. Lower: moves further from it. Higher: stays closer;
    # DeepSeekMath has 0.04. 0: no reference is kept.
    kl_coef: float = 0.0

    # Multiply that estimate by the token's ratio to the behaviour. The gradient is then that of the
    # divergence itself (DeepSeek-V3.2; TRL's default), otherwise that of the reverse divergence,
    # which is what the original has.
    unbiased_kl: bool = False

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
        for name in ("learning_rate", "constant_length"):
            require(name, getattr(self, name), above=0)
        require("group_size", self.group_size, least=2)
        require("gamma", self.gamma, least=0, most=1)
        for name in ("num_epochs", "num_minibatches", "episodes_per_env"):
            require(name, getattr(self, name), least=1)
        for name in ("kl_coef", "max_grad_norm", "weight_decay", "max_tokens_per_pass"):
            require(name, getattr(self, name), least=0)
        check_entropy(self.entropy_coef, self.target_entropy, self.entropy_learning_rate)
        settings = self.settings
        require("clip_range", settings.clip_range, above=0, most=1)
        require("clip_range_high", settings.clip_range_high, above=0)
        require("extra_rounds", settings.extra_rounds, least=0)

    @property
    def settings(self) -> Settings:
        """The variant's settings, but for the fields that are given."""
        given = {
            field.name: getattr(self, field.name)
            for field in fields(Settings)
            if getattr(self, field.name) is not None
        }
        if "clip_range" in given:
            given.setdefault("clip_range_high", given["clip_range"])
        return replace(VARIANTS[self.variant], **given)

    @property
    def steps_per_env(self) -> int:
        """Always 0: only whole episodes can be compared."""
        return 0


class GRPO(EpochAlgorithm[GRPOConfig]):
    """Group relative policy optimization on whole episodes, and what has become of it.

    An episode's advantage, at each of its steps, is its return less its group's mean, over its
    group's standard deviation: ``A_i = (R_i - mean R) / std R``. Maximised is the mean of PPO's
    ``min(ratio A, clip(ratio, 1 - clip_range, 1 + clip_range_high) A)`` less ``kl_coef`` times the
    k3 estimate of the KL divergence from the reference (Shao et al., DeepSeekMath, 2024,
    arXiv 2402.03300, section 4.1, equations 3 and 4, outcome supervision). As a loss k3 has the
    gradient of the reverse divergence, unless ``unbiased_kl`` (DeepSeek-V3.2, 2025, arXiv
    2512.02556). The variants:

    - ``dr_grpo``: no division by the standard deviation or the own length, which favour groups
      of little variance and long failures (Liu et al., Understanding R1-Zero-Like Training, 2025,
      arXiv 2503.20783). With ``constant_length`` 1 its first step on a batch estimates
      ``(G - 1) / G`` times the policy gradient without bias.
    - ``dapo``: the mean over tokens, ``clip_range_high`` above ``clip_range``, and dynamic sampling
      (Yu et al., 2025, arXiv 2503.14476, sections 3.1 to 3.3). Its overlong penalty (3.4)
      is a matter of the environment's reward.
    - ``gspo``: one ratio an episode, the geometric mean of its steps', ``s_i = exp(sum_t log
      (pi / pi_old)(a_it | s_it) / T_i)``, in place of each step's (Zheng et al., 2025, arXiv
      2507.18071; ranges from its section 5.1).
    - ``cispo``: the clipped ratio, without its gradient, weighs the log-probability, ``sg(clip(
      ratio, 1 - clip_range, 1 + clip_range_high)) A log pi`` (MiniMax-M1, 2025, arXiv 2506.13585).
      That paper does not name its upper limit; 5, which is
      ``clip_range_high`` 4, is from Khatri et al. (The Art of Scaling Reinforcement Learning
      Compute for LLMs, 2025).

    Good for texts judged at their end, where a critic would cost as much as the policy, and where
    starts can be repeated. The first step after a rollout has ratio 1: the surrogates, clipping
    ranges and ratio levels differ only with further steps on a batch (``num_epochs``,
    ``num_minibatches``). An episode cut by a time limit counts with what it had collected.
    """

    def __init__(self, policy: Policy, config: GRPOConfig) -> None:
        super().__init__(policy, config)
        self.settings = config.settings
        self.reference = Reference(policy) if config.kl_coef else None

    @property
    def extra_rounds(self) -> int:
        """See `Algorithm.extra_rounds`."""
        return self.settings.extra_rounds

    def select(self, episodes: Sequence[Episode]) -> list[Episode]:
        """With ``extra_rounds``: the episodes of groups whose returns differ."""
        if not self.extra_rounds:
            return list(episodes)
        equal = equal_groups(self._returns(episodes), [episode.group for episode in episodes])
        return [episode for episode, same in zip(episodes, equal, strict=True) if not same]

    def prepare(self, episodes: Sequence[Episode]) -> Batch:
        """The episodes' advantages within their groups."""
        groups = [episode.group for episode in episodes]
        returns = self._returns(episodes)
        advantages = group_normalized(returns, groups, self.settings.scale_rewards)
        split = Split(episodes, self.config.max_tokens_per_pass, whole_episodes=True)
        return Batch(
            split=split,
            old_log_probs=join([episode.log_probs for episode in episodes]),
            advantages=spread(advantages, episodes),
            reference_log_probs=None if self.reference is None else self.reference.log_probs(split),
            metrics={
                "advantage_std": float(advantages.std()),
                "equal_groups": float(equal_groups(returns, groups).mean()),
            },
        )

    def losses(self, evaluation: Evaluation, steps: Steps) -> dict[str, Tensor]:
        """``loss`` and what it is made of.

        Returns:
            ``loss``, ``policy_loss``, ``entropy``, ``kl`` (from the behaviour, k3) and with a
            reference ``kl_reference`` (k3), all in nats a step, and ``clip_fraction``, the share
            of steps whose ratio is out of range.
        """
        config, settings, total = self.config, self.settings, steps.num_steps
        now, old = evaluation.log_probs, steps.old_log_probs
        weights = step_weights(
            steps.lengths, settings.aggregation, steps.num_episodes, total, config.constant_length
        ).to(now)
        entropy = entropy_bonus(evaluation.entropy, total)
        kl = kl_estimates(old, now.detach(), "k3").sum() / total
        if settings.ratio_level == "sequence":
            now, old = sequence_means(now, steps.lengths), sequence_means(old, steps.lengths)
        low, high = settings.clip_range, settings.clip_range_high
        surrogate = clipped_policy_loss if settings.surrogate == "clipped" else clipped_weight_loss
        policy_loss = (weights * surrogate(now, old, steps.advantages, low, high)).sum()
        ratio = ratios(now.detach(), old)
        parts = {
            "policy_loss": policy_loss,
            "entropy": entropy,
            "kl": kl,
            "clip_fraction": ((ratio < 1 - low) | (ratio > 1 + high)).sum() / total,
        }
        loss = policy_loss - self.entropy_coef.value * entropy
        if steps.reference_log_probs is not None:
            divergence = kl_estimates(evaluation.log_probs, steps.reference_log_probs, "k3")
            parts["kl_reference"] = divergence.detach().sum() / total
            if config.unbiased_kl:
                divergence = divergence * ratios(evaluation.log_probs, steps.old_log_probs)
            loss = loss + config.kl_coef * (weights * divergence).sum()
        return {"loss": loss, **parts}

    def _returns(self, episodes: Sequence[Episode]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Each episode's discounted return, ``[N]``."""
        return np.array([returns_to_go(e.rewards, self.config.gamma)[0] for e in episodes])
