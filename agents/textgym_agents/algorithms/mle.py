"""Maximum likelihood on an expert's actions: behaviour cloning, the usual warm start."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from textgym_agents.algorithms.base import Algorithm, passes
from textgym_agents.algorithms.schedules import ScheduleConfig
from textgym_agents.checks import require
from textgym_agents.losses import negative_log_likelihood
from textgym_agents.policies import Episode, Policy


@dataclass(frozen=True, kw_only=True)
class MaximumLikelihoodConfig(ScheduleConfig):
    """Maximum likelihood: make the expert's actions more probable, one step a batch.

    The environment must show the expert's next action in info["expert_action"]; text
    environments do with demonstrations=True.
    """

    # Largest step size of Adam. Lower: slower and steadier. Higher: faster, until it diverges;
    # small fresh models take 1e-3, pretrained ones 1e-5 to 1e-4.
    learning_rate: float = 1e-3

    # Largest Euclidean norm of the gradient of a step; a longer one is scaled down. Lower:
    # steadier. Higher: single batches move more. 0: no limit.
    max_grad_norm: float = 1.0

    # Decoupled weight decay of AdamW, a share of the learning rate. Lower: weights stay. Higher:
    # weights shrink towards 0, which overfits less.
    weight_decay: float = 0.0

    # Share of hidden states, 0 to 0.9, that a language model's dropout layers (after embeddings
    # and each part of a block, not in attention) set to 0 while it learns. Lower: learns faster.
    # Higher: overfits less, so that few demonstrations can be gone through more often.
    dropout: float = 0.0

    # Demonstrations that each environment adds to a batch. Lower: more frequent, noisier steps.
    # Higher: fewer, more exact ones.
    episodes_per_env: int = 1

    # Steps that each environment adds to a batch instead of whole episodes; the last episode is cut
    # there and counts as truncated. Lower: more frequent, noisier updates, which see only the
    # beginnings of long episodes. 0: whole episodes, episodes_per_env of them.
    steps_per_env: int = 0

    # Neighbouring environments that start from the same seed, hence the same prompt; must divide
    # num_envs. Higher repeats demonstrations, so 1 is best but for several references.
    group_size: int = 1

    # Tokens (steps, for other observations) of one forward and backward pass, a shared prompt
    # counted once; the batch's gradient is the exact sum of its passes. Lower: less memory, which
    # for language models goes with steps times vocabulary. Higher: fewer passes. 0: one pass.
    max_tokens_per_pass: int = 8192

    def __post_init__(self) -> None:
        super().__post_init__()
        require("learning_rate", self.learning_rate, above=0)
        require("max_grad_norm", self.max_grad_norm, least=0)
        require("weight_decay", self.weight_decay, least=0)
        require("dropout", self.dropout, least=0, most=0.9)
        require("episodes_per_env", self.episodes_per_env, least=1)
        require("steps_per_env", self.steps_per_env, least=0)
        require("group_size", self.group_size, least=1)
        require("max_tokens_per_pass", self.max_tokens_per_pass, least=0)


class MaximumLikelihood(Algorithm[MaximumLikelihoodConfig]):
    """Maximum likelihood on episodes whose actions the expert chose.

    Minimises the mean over a batch's steps of ``-log pi(a_t | s_t)``, a_t the expert's: behaviour
    cloning (Pomerleau, ALVINN, 1989), for text the cross-entropy that language models are trained
    by. The states are the expert's own, so that nothing is learned of how to go on from errors
    (Ross, Gordon and Bagnell 2011).

    Good for the start of every other algorithm, and as the control that is to be beaten where
    answers to learn from are there.

    Raises:
        ValueError: ``dropout`` is asked of a policy without dropout layers.
    """

    follows_expert: ClassVar[bool] = True

    def __init__(self, policy: Policy, config: MaximumLikelihoodConfig) -> None:
        super().__init__(policy, config)
        self._dropout_layers = _dropout_layers(policy) if config.dropout else []
        if config.dropout and not self._dropout_layers:
            raise ValueError(
                f"dropout is {config.dropout}, but the {type(policy).__name__} has no dropout "
                "layers outside of attention (some models, such as BART and OPT, drop by a "
                "function, which stays off); use 0"
            )

    def gradients(self, episodes: Sequence[Episode]) -> dict[str, float]:
        """Set ``grad`` to the gradient of the mean cross-entropy over the batch's steps.

        Returns:
            ``loss`` (nats a step), ``perplexity`` (its exponential), ``entropy`` (nats a step).
        """
        num_steps = sum(episode.num_steps for episode in episodes)
        loss_sum = entropy_sum = 0.0
        self.optimizer.zero_grad(set_to_none=True)
        for indices in passes(episodes, self.config.max_tokens_per_pass):
            with self._dropping():
                evaluation = self.policy.evaluate([episodes[i] for i in indices])
                loss = negative_log_likelihood(evaluation.log_probs, num_steps)
                torch.autograd.backward(loss)
            loss_sum += loss.item()
            entropy_sum += float(evaluation.entropy.detach().sum()) / num_steps
        return {
            "loss": loss_sum,
            "perplexity": math.exp(min(loss_sum, 700.0)),
            "entropy": entropy_sum,
        }

    @contextmanager
    def _dropping(self) -> Iterator[None]:
        """Have dropout layers, which are off otherwise, drop a share of their inputs."""
        layers = self._dropout_layers
        before = [(layer.p, layer.training) for layer in layers]
        if layers:
            self.policy.clear_cache()  # What acting computed, it computed without.
        try:
            for layer in layers:
                layer.p = self.config.dropout
                layer.train()
            yield
        finally:
            for layer, (layer.p, training) in zip(layers, before, strict=True):
                layer.train(training)


def _dropout_layers(policy: Policy) -> list[nn.Dropout]:
    """Those outside of attention, whose own is not called where attention is one operation."""
    return [
        module
        for name, module in policy.named_modules()
        if isinstance(module, nn.Dropout)
        and name.rpartition(".")[2] not in ("attn_dropout", "attention_dropout")
    ]
