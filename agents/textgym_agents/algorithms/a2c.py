"""A2C (Mnih et al. 2016): one step a batch along advantages that a learned value gives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from textgym_agents.algorithms.entropy import check_entropy
from textgym_agents.algorithms.minibatches import Split
from textgym_agents.algorithms.schedules import ScheduleConfig
from textgym_agents.algorithms.value_normalization import CriticAlgorithm
from textgym_agents.checks import require
from textgym_agents.losses import entropy_bonus, policy_gradient_loss, value_loss
from textgym_agents.policies import Episode
from textgym_agents.returns import (
    explained_variance,
    generalized_advantages,
    n_step_advantages,
    normalized,
)


@dataclass(frozen=True, kw_only=True)
class A2CConfig(ScheduleConfig):
    """A2C: one step a batch, towards actions that did better than the learned value."""

    # Step size of Adam. Lower: slower and steadier. Higher: faster, until it diverges; language
    # models want 1e-5 to 1e-3, small networks 5e-4 to 1e-2.
    learning_rate: float = 7e-4

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
    gae_lambda: float = 1.0

    # Rewards that an advantage counts before it relies on the value, in place of gae_lambda. Lower:
    # relies on the values sooner. Higher: on the returns. 0: gae_lambda says.
    n_steps: int = 0

    # Weight of the value head's mean squared error. Lower: values learn slower. Higher: they take
    # more of a shared network; nearly all where grad_norm is far above max_grad_norm, which then
    # ruins a language model.
    value_coef: float = 0.5

    # Let the critic predict returns less their running mean, divided by their running deviation.
    # Wanted where returns are far from the size of 1, or far from 0, as scores of texts are, which
    # a value that starts at 0 takes many batches to learn; the policy's values are in that unit.
    normalize_values: bool = False

    # Weight of the mean entropy a step (nats). Lower: commits sooner, to a wrong action perhaps.
    # Higher: explores longer; the paper takes 0.01.
    entropy_coef: float = 0.0

    # Mean entropy a step (nats) to hold: entropy_coef, which is then the first value, rises while
    # the entropy is lower and falls while it is higher. Lower: ends closer to one action. Higher:
    # explores on. None: the weight stays.
    target_entropy: float | None = None

    # Size of that adaptation: 0.1 changes the weight by a tenth a batch where the entropy is a nat
    # off. Lower: slower and steadier. Higher: faster, until it swings.
    entropy_learning_rate: float = 0.1

    # Scale each batch's advantages to mean 0 and deviation 1: the step no longer depends on the
    # reward's scale, but the gradient is biased.
    normalize_advantages: bool = False

    # Largest Euclidean norm of the gradient of a step; a longer one is scaled down. Lower:
    # steadier. Higher: single batches move more. 0: no limit.
    max_grad_norm: float = 0.5

    # Decoupled weight decay of AdamW, a share of the learning rate. Lower: weights stay. Higher:
    # weights shrink towards 0.
    weight_decay: float = 0.0

    # Complete episodes that each environment adds to a batch. Lower: more frequent, noisier steps.
    # Higher: fewer, more exact ones.
    episodes_per_env: int = 1

    # Steps that each environment adds to a batch instead of whole episodes; the last episode is cut
    # there, and its rest estimated by the value. Lower: more frequent, noisier updates, which see
    # only the beginnings of long episodes at resets_every 1. 0: whole episodes, episodes_per_env.
    steps_per_env: int = 0

    # Neighbouring environments that start from the same seed, hence the same prompt; must divide
    # num_envs. Lower: more prompts a batch. Higher: more answers to each.
    group_size: int = 1

    # Tokens (steps, for other observations) of one forward and backward pass, a shared prompt
    # counted once; the batch's gradient is the exact sum of its passes. Lower: less memory, which
    # for language models goes with steps times vocabulary. Higher: fewer passes. 0: one pass.
    max_tokens_per_pass: int = 8192

    def __post_init__(self) -> None:
        super().__post_init__()
        require("learning_rate", self.learning_rate, above=0)
        if self.value_learning_rate is not None:
            require("value_learning_rate", self.value_learning_rate, above=0)
        require("gamma", self.gamma, least=0, most=1)
        require("gae_lambda", self.gae_lambda, least=0, most=1)
        require("value_coef", self.value_coef, least=0)
        check_entropy(self.entropy_coef, self.target_entropy, self.entropy_learning_rate)
        require("n_steps", self.n_steps, least=0)
        require("max_grad_norm", self.max_grad_norm, least=0)
        require("weight_decay", self.weight_decay, least=0)
        require("episodes_per_env", self.episodes_per_env, least=1)
        require("steps_per_env", self.steps_per_env, least=0)
        require("group_size", self.group_size, least=1)
        require("max_tokens_per_pass", self.max_tokens_per_pass, least=0)
        if self.n_steps and self.gae_lambda != 1.0:
            raise ValueError(
                f"n_steps {self.n_steps} takes the place of gae_lambda, which must then be 1, got "
                f"{self.gae_lambda}"
            )


class A2C(CriticAlgorithm[A2CConfig]):
    """Advantage actor-critic, synchronous: A3C (Mnih et al. 2016) with one worker's batch.

    Ascends ``mean_t A_t log pi(a_t|s_t)`` with A_t from generalized advantage estimation (see
    `generalized_advantages`) or, with ``n_steps``, the return of n steps less the value
    (`n_step_advantages`; the paper's segments of ``t_max`` steps are ``steps_per_env``), less
    ``value_coef`` times the value's squared error against ``A_t + V_t``, plus
    ``entropy_coef`` times the entropy (Asynchronous Methods for Deep Reinforcement Learning,
    section 4 and algorithm S3). The optimizer is Adam where the paper has RMSProp. An episode
    that a limit cut goes on at the value of its last observation; one that terminated does not.

    A step counts as much as any other, without the factor ``gamma**t``, and the mean is over the
    batch's steps, so that a long episode has more weight than a short one. `Reinforce` with the
    learned baseline has neither.

    Good for cheap environment steps: no step is used twice, so nothing needs clipping.
    """

    goes_on: ClassVar[bool] = True

    def value_targets(self, episodes: Sequence[Episode]) -> NDArray[np.float64]:
        """``A_t + V_t``; see `CriticAlgorithm`."""
        values = self._known_values(episodes)
        return np.concatenate(self._advantages(episodes, values)) + np.concatenate(values)

    def gradients(self, episodes: Sequence[Episode]) -> dict[str, float]:
        """Set ``grad`` to the gradient of the loss.

        Returns:
            ``loss``, ``policy_loss``, ``value_loss``, ``entropy`` (nats a step),
            ``advantage_std``, ``explained_variance`` (of the targets, by the values that acted).
        """
        config = self.config
        known = self._known_values(episodes)
        advantages = self._advantages(episodes, known)
        values = np.concatenate(known)
        returns = np.concatenate(advantages) + values
        targets = self.scale.normalize(returns)
        spread = float(np.concatenate(advantages).std())
        if config.normalize_advantages:
            advantages = normalized(advantages)
        weights = np.concatenate(advantages)
        split = Split(episodes, config.max_tokens_per_pass)
        metrics: defaultdict[str, float] = defaultdict(float)
        self.optimizer.zero_grad(set_to_none=True)
        for part in split.whole():
            now = self.policy.evaluate(part.episodes)
            wanted = torch.as_tensor(targets[part.steps]).to(now.values)
            factors = torch.as_tensor(weights[part.steps]).to(now.log_probs)
            terms = {
                "policy_loss": policy_gradient_loss(now.log_probs, factors, split.num_steps),
                "value_loss": value_loss(now.values, wanted, split.num_steps),
                "entropy": entropy_bonus(now.entropy, split.num_steps),
            }
            terms["loss"] = (
                terms["policy_loss"]
                + config.value_coef * terms["value_loss"]
                - self.entropy_coef.value * terms["entropy"]
            )
            torch.autograd.backward(terms["loss"])
            for name, term in terms.items():
                metrics[name] += term.item()
        return {
            **metrics,
            "advantage_std": spread,
            "explained_variance": explained_variance(values, returns),
        }

    def _advantages(
        self, episodes: Sequence[Episode], values: Sequence[NDArray[np.float64]]
    ) -> list[NDArray[np.float64]]:
        """The advantages of each episode's steps, ``[T]``."""
        found = []
        for episode, own in zip(episodes, values, strict=True):
            known = episode.rewards, own, self.scale.final_value(episode), self.config.gamma
            if self.config.n_steps:
                found.append(n_step_advantages(*known, self.config.n_steps))
            else:
                found.append(generalized_advantages(*known, self.config.gae_lambda))
        return found
