"""REINFORCE (Williams 1992) with a choice of baselines: on-policy, one step a batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from textgym_agents.algorithms.base import passes
from textgym_agents.algorithms.entropy import check_entropy
from textgym_agents.algorithms.schedules import ScheduleConfig
from textgym_agents.algorithms.value_normalization import CriticAlgorithm
from textgym_agents.checks import require
from textgym_agents.losses import entropy_bonus, policy_gradient_loss, value_loss
from textgym_agents.policies import Episode, Evaluation
from textgym_agents.returns import (
    Baseline,
    discounted_advantages,
    normalized,
    returns_to_go,
)


@dataclass(frozen=True, kw_only=True)
class ReinforceConfig(ScheduleConfig):
    """REINFORCE: raise the probability of actions by how much better they did than a baseline."""

    # Step size of Adam. Lower: slower and steadier. Higher: faster, until it diverges; language
    # models want 1e-5 to 1e-3, small networks 1e-3 to 1e-2.
    learning_rate: float = 1e-3

    # Step size of what the values alone depend on: a value head, a network, or a separate critic.
    # Lower: values follow slowly; a language model's head, which starts at 0, explains next to
    # nothing for a hundred steps at the model's own step size. Higher: soon, until they swing; such
    # a head wants 1e-3 to 1e-2. None: learning_rate.
    value_learning_rate: float | None = None

    # Discount a step, 0 to 1. Lower: early rewards count more and estimates vary less. Higher:
    # late rewards count as much; 1 is the plain sum.
    gamma: float = 1.0

    # What returns are compared with. none: nothing; batch_mean: the batch's other episodes;
    # leave_one_out: the other episodes of the same group (needs group_size of 2 or more); greedy:
    # the most probable actions from the same start (SCST), an episode more a group, which doubles
    # the rollouts of groups of 1; learned: the policy's value head.
    baseline: Baseline = "batch_mean"

    # Weight of the mean entropy a step (nats) in the objective, beside an episode's return
    # (rescaled under normalize_advantages): at T steps an episode, a nat at a step is worth
    # entropy_coef / T of return. Lower: commits sooner, to a wrong action perhaps. Higher: explores
    # longer; above 0 the gradient is no longer that of the return alone.
    entropy_coef: float = 0.0

    # Mean entropy a step (nats) to hold: entropy_coef, which is then the first value, rises while
    # the entropy is lower and falls while it is higher. Lower: ends closer to one action. Higher:
    # explores on; above the logarithm of the number of actions it cannot be reached. None: the
    # weight stays.
    target_entropy: float | None = None

    # Size of that adaptation: 0.1 changes the weight by a tenth a batch where the entropy is a nat
    # off. Lower: slower and steadier. Higher: faster, until it swings.
    entropy_learning_rate: float = 0.1

    # Weight of the value head's mean squared error; only with the learned baseline. Lower: the
    # baseline learns slower. Higher: it takes more of a shared network.
    value_coef: float = 0.5

    # Let the value head predict returns less their running mean, divided by their running
    # deviation; only with the learned baseline. Wanted where returns are far from the size of 1, or
    # far from 0, as scores of texts are; the policy's values are in that unit.
    normalize_values: bool = False

    # Largest Euclidean norm of the gradient of a step; a longer one is scaled down. Lower:
    # steadier. Higher: single batches move more. 0: no limit.
    max_grad_norm: float = 1.0

    # Decoupled weight decay of AdamW, a share of the learning rate. Lower: weights stay. Higher:
    # weights shrink towards 0.
    weight_decay: float = 0.0

    # Complete episodes that each environment adds to a batch. Lower: more frequent, noisier steps.
    # Higher: fewer, more exact ones.
    episodes_per_env: int = 1

    # Steps that each environment adds to a batch instead of whole episodes; the last episode is cut
    # there and counts as truncated. Lower: more frequent, noisier updates, which see only the
    # beginnings of long episodes. 0: whole episodes, episodes_per_env of them, which all
    # baselines but the learned one need.
    steps_per_env: int = 0

    # Neighbouring environments that start from the same seed, hence the same prompt; must divide
    # num_envs. Lower: more prompts a batch. Higher: a better leave-one-out baseline, and fewer
    # greedy rollouts.
    group_size: int = 1

    # Tokens (steps, for other observations) of one forward and backward pass, a shared prompt
    # counted once; the batch's gradient is the exact sum of its passes. Lower: less memory, which
    # for language models goes with steps times vocabulary. Higher: fewer passes. 0: one pass.
    max_tokens_per_pass: int = 8192

    # Scale each batch's advantages to mean 0 and deviation 1: the step no longer depends on the
    # reward's scale, but the gradient is biased.
    normalize_advantages: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require("learning_rate", self.learning_rate, above=0)
        if self.value_learning_rate is not None:
            require("value_learning_rate", self.value_learning_rate, above=0)
        require("gamma", self.gamma, least=0, most=1)
        check_entropy(self.entropy_coef, self.target_entropy, self.entropy_learning_rate)
        require("value_coef", self.value_coef, least=0)
        require("max_grad_norm", self.max_grad_norm, least=0)
        require("weight_decay", self.weight_decay, least=0)
        require("episodes_per_env", self.episodes_per_env, least=1)
        require("steps_per_env", self.steps_per_env, least=0)
        require("group_size", self.group_size, least=1)
        require("max_tokens_per_pass", self.max_tokens_per_pass, least=0)
        if self.baseline != "learned" and self.steps_per_env:
            raise ValueError(
                f'baseline "{self.baseline}" needs whole episodes, whose rest it cannot estimate, '
                f"so steps_per_env must be 0, got {self.steps_per_env}"
            )
        if self.baseline != "learned":
            for name, off in (("normalize_values", False), ("value_learning_rate", None)):
                if getattr(self, name) != off:
                    raise ValueError(
                        f"{name} is for the values that the learned baseline takes, got baseline "
                        f'"{self.baseline}"'
                    )
        if self.baseline == "leave_one_out" and self.group_size < 2:
            raise ValueError(
                f'baseline "leave_one_out" compares the episodes of a group, so group_size must '
                f"be 2 or more, got {self.group_size}"
            )


class Reinforce(CriticAlgorithm[ReinforceConfig]):
    """REINFORCE: the mean over episodes of ``sum_t gamma^t (G_t - b_t) grad log pi(a_t|s_t)``.

    G_t is the discounted return from step t on and b_t the ``baseline``, for which see
    `discounted_advantages` (Williams, Simple Statistical Gradient-Following Algorithms for
    Connectionist Reinforcement Learning, 1992; with the factor ``gamma^t``: Sutton and Barto,
    Reinforcement Learning, 2nd ed., 2018, section 13.3). Over whole episodes it estimates the
    gradient of the expected discounted return without bias, entropy bonus and
    ``normalize_advantages`` aside. ``steps_per_env`` makes how many episodes a batch has depend on
    the policy, which biases the mean over them.

    With the greedy baseline it is self-critical sequence training, ``b_t`` the return of the most
    probable actions from the same start (Rennie et al., Self-Critical Sequence Training for Image
    Captioning, 2017): good where that is what will be decoded.

    With the learned baseline, an episode that a limit cut is bootstrapped from the value of its
    last observation. The other baselines have no value to bootstrap from: their objective is the
    return within the limit.

    Good as the plain method that the others are measured by, and for short episodes.
    """

    @classmethod
    def check_batch_size(cls, config: ReinforceConfig, num_episodes: int) -> None:
        """The mean of the batch's other episodes needs others; see `Algorithm`."""
        if config.baseline == "batch_mean" and num_episodes < 2:
            raise ValueError(
                'baseline "batch_mean" compares the episodes of a batch, so num_envs times '
                f"episodes_per_env must be 2 or more, got {num_episodes}"
            )

    @property
    def greedy_rollout(self) -> bool:
        """Whether the baseline is the greedy rollout's return."""
        return self.config.baseline == "greedy"

    def whole_return(self, episode: Episode) -> float:
        """The discounted return; see `Algorithm.whole_return`."""
        return float(returns_to_go(episode.rewards, self.config.gamma)[0])

    def value_targets(self, episodes: Sequence[Episode]) -> NDArray[np.float64]:
        """The returns-to-go; see `CriticAlgorithm`."""
        return np.concatenate(self._returns(episodes))

    def gradients(self, episodes: Sequence[Episode]) -> dict[str, float]:
        """Set ``grad`` to the gradient of the loss; minus it estimates that of the return.

        Returns:
            ``loss``, ``policy_loss``, ``entropy`` (nats a step), ``value_loss`` with the learned
            baseline, ``advantage_std``, and ``log_prob_gap``: the largest difference between the
            log-probability an action was sampled with and the one evaluated now, which is
            rounding error while the batch is on-policy.
        """
        returns = self._returns(episodes)
        advantages = self._advantages(episodes, returns)
        num_steps = sum(episode.num_steps for episode in episodes)
        metrics: defaultdict[str, float] = defaultdict(float)
        gap = 0.0
        self.optimizer.zero_grad(set_to_none=True)
        for indices in passes(episodes, self.config.max_tokens_per_pass):
            evaluation = self.policy.evaluate([episodes[i] for i in indices])
            like = evaluation.log_probs
            parts = self._losses(
                evaluation,
                _join([advantages[i] for i in indices], like),
                _join([self.scale.normalize(returns[i]) for i in indices], like),
                num_episodes=len(episodes),
                num_steps=num_steps,
            )
            torch.autograd.backward(parts["loss"])
            for name, part in parts.items():
                metrics[name] += part.item()
            behaviour = _join([episodes[i].log_probs for i in indices], like)
            gap = max(gap, float((like.detach() - behaviour).abs().max()))
        advantage_std = float(np.concatenate(advantages).std())
        return {**metrics, "advantage_std": advantage_std, "log_prob_gap": gap}

    def _losses(
        self,
        evaluation: Evaluation,
        advantages: torch.Tensor,
        targets: torch.Tensor,
        *,
        num_episodes: int,
        num_steps: int,
    ) -> dict[str, torch.Tensor]:
        """The loss of a part of the batch, and the parts it is made of, by name."""
        parts = {
            "policy_loss": policy_gradient_loss(evaluation.log_probs, advantages, num_episodes),
            "entropy": entropy_bonus(evaluation.entropy, num_steps),
        }
        loss = parts["policy_loss"] - self.entropy_coef.value * parts["entropy"]
        if self.config.baseline == "learned":
            parts["value_loss"] = value_loss(evaluation.values, targets, num_steps)
            loss = loss + self.config.value_coef * parts["value_loss"]
        return {"loss": loss, **parts}

    def _returns(self, episodes: Sequence[Episode]) -> list[NDArray[np.float64]]:
        bootstrap = self.config.baseline == "learned"
        return [
            returns_to_go(
                episode.rewards,
                self.config.gamma,
                self.scale.final_value(episode) if bootstrap else 0.0,
            )
            for episode in episodes
        ]

    def _advantages(
        self, episodes: Sequence[Episode], returns: list[NDArray[np.float64]]
    ) -> list[NDArray[np.float64]]:
        best = [e.greedy_return for e in episodes if e.greedy_return is not None]
        if self.greedy_rollout and len(best) < len(episodes):
            raise ValueError('baseline "greedy" needs the greedy_return of every episode')
        advantages = discounted_advantages(
            returns,
            self.config.gamma,
            self.config.baseline,
            groups=[episode.group for episode in episodes],
            values=self._known_values(episodes),
            greedy_returns=best if self.greedy_rollout else None,
        )
        return normalized(advantages) if self.config.normalize_advantages else advantages


def _join(arrays: Sequence[NDArray[np.floating]], like: torch.Tensor) -> torch.Tensor:
    """Episode arrays as one tensor ``[M]`` of the type and on the device of ``like``."""
    return torch.as_tensor(np.concatenate(arrays), dtype=like.dtype, device=like.device)
