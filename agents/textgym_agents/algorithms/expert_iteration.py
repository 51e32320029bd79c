"""Expert iteration: sample several answers, keep the best, and learn them by likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from textgym_agents.algorithms.base import check_rewards
from textgym_agents.algorithms.entropy import check_entropy
from textgym_agents.algorithms.epochs import Batch, EpochAlgorithm, Steps, join
from textgym_agents.algorithms.minibatches import Split
from textgym_agents.algorithms.schedules import ScheduleConfig
from textgym_agents.checks import require
from textgym_agents.losses import entropy_bonus, negative_log_likelihood
from textgym_agents.policies import Episode, Evaluation
from textgym_agents.returns import best_of_groups, returns_to_go


@dataclass(frozen=True, kw_only=True)
class ExpertIterationConfig(ScheduleConfig):
    """Expert iteration: imitate the best of several episodes with the same start."""

    # Step size of Adam. Lower: slower and steadier. Higher: faster, until it diverges; language
    # models want 1e-5 to 1e-3, small networks 1e-3 to 1e-2.
    learning_rate: float = 1e-3

    # Neighbouring environments that start from the same seed, hence the same prompt, and are
    # compared; 2 or more, must divide num_envs. Lower: more prompts a batch. Higher: better bests.
    group_size: int = 8

    # Episodes of a group to learn from: the best so many of those better than its mean. Lower:
    # better ones. Higher: more of them, less sharpening; below group_size.
    keep: int = 1

    # Discount a step, 0 to 1, in the return that is compared. Lower: early rewards count more. 1
    # is the plain sum.
    gamma: float = 1.0

    # Times that each batch is learned from. Lower: closer to the policy that sampled it. Higher:
    # fits it more closely.
    num_epochs: int = 1

    # Optimizer steps an epoch: parts that the kept episodes are shuffled into. Lower: larger, more
    # exact steps. Higher: more and noisier ones.
    num_minibatches: int = 1

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
        for name in ("keep", "num_epochs", "num_minibatches", "episodes_per_env"):
            require(name, getattr(self, name), least=1)
        for name in ("max_grad_norm", "weight_decay", "max_tokens_per_pass"):
            require(name, getattr(self, name), least=0)
        check_entropy(self.entropy_coef, self.target_entropy, self.entropy_learning_rate)
        if self.keep >= self.group_size:
            raise ValueError(
                f"keep must be below group_size, which is {self.group_size}, got {self.keep}: a "
                "group that keeps all has no best"
            )

    @property
    def steps_per_env(self) -> int:
        """Always 0: only whole episodes can be compared."""
        return 0


class ExpertIteration(EpochAlgorithm[ExpertIterationConfig]):
    """Maximum likelihood on the best episodes of each group: the control that RL must beat.

    The policy with a search on top, here the best of ``group_size`` samples, is the expert that
    the policy then imitates (Anthony, Tian and Barber, Thinking Fast and Slow with Deep Learning
    and Tree Search, 2017). For language models: RAFT (Dong et al., 2023, arXiv 2304.06767), with
    ``keep`` of 1, and ReST (Gulcehre et al., 2023), which keeps what exceeds a threshold and grows
    its data less often. Each batch is forgotten once learned, and the policy is not reset.

    Of each group the ``keep`` best episodes are learned, but only those whose return is above the
    group's mean: a group of equal returns has no best, and teaches nothing. Between equals the
    earlier slot comes first. The loss is the mean cross-entropy over the kept episodes' steps:
    ``-sum_i sum_t log pi(a_it | s_it) / sum_i T_i``, the sums over the kept episodes i.

    Good where few of many samples are good, and as what others are to beat: it needs no ratio, no
    clipping and no scale of the reward, and never lowers the probability of a bad episode but by
    raising that of a good one.
    """

    def best(self, episodes: Sequence[Episode]) -> list[Episode]:
        """The episodes to learn from, in their order."""
        returns = [returns_to_go(e.rewards, self.config.gamma)[0] for e in episodes]
        kept = best_of_groups(returns, [e.group for e in episodes], self.config.keep)
        return [episode for episode, good in zip(episodes, kept, strict=True) if good]

    def prepare(self, episodes: Sequence[Episode]) -> Batch:
        """The best episodes.

        Raises:
            ValueError: There are none, since the returns in each group are equal.
        """
        best = self.best(episodes)
        if not best:
            raise ValueError("the returns in each group are equal, so none is better than others")
        old_log_probs = join([episode.log_probs for episode in best])
        return Batch(
            split=Split(best, self.config.max_tokens_per_pass, whole_episodes=True),
            old_log_probs=old_log_probs,
            advantages=np.ones_like(old_log_probs),
            metrics={
                "kept": len(best) / len(episodes),
                "kept_return": float(np.mean([episode.total_reward for episode in best])),
            },
        )

    def losses(self, evaluation: Evaluation, steps: Steps) -> dict[str, Tensor]:
        """``loss`` (with the entropy bonus), ``policy_loss`` (without) and ``entropy``, in nats."""
        policy_loss = negative_log_likelihood(evaluation.log_probs, steps.num_steps)
        entropy = entropy_bonus(evaluation.entropy, steps.num_steps)
        loss = policy_loss - self.entropy_coef.value * entropy
        return {"loss": loss, "policy_loss": policy_loss, "entropy": entropy}

    def update(
        self,
        episodes: Sequence[Episode],
        progress: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> dict[str, float]:
        """Learn the best episodes; see `EpochAlgorithm.update`.

        Returns:
            Besides, ``kept``, the share of episodes learned, and ``kept_return``, their mean
            undiscounted return. Where none is better than others no step is taken, and ``kept``
            is 0.
        """
        check_rewards(episodes)
        if not self.best(episodes):
            rate = self.learning_rate(progress)
            return {"kept": 0.0, "loss": 0.0, "grad_norm": 0.0, "learning_rate": rate}
        return super().update(episodes, progress, rng)
