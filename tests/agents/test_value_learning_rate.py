"""What gives the values alone may learn at a step size of its own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.agents import texts
from textgym_agents.algorithms import (
    A2C,
    NLPO,
    PPO,
    A2CConfig,
    NLPOConfig,
    PPOConfig,
    Reinforce,
    ReinforceConfig,
)
from textgym_agents.distributed import adamw
from textgym_agents.policies import CausalLMPolicy, Policy
from textgym_agents.policies.construction import PolicyConfig, build_policy, describe_policy
from textgym_agents.rollout import collect
from textgym_agents.runs.environments import make_envs

TINY = "textgym:textgym/Tiny-v0"
RATE, VALUE_RATE = 1e-4, 1e-2
SMALL: dict[str, Any] = {"kind": "causal_lm", "layers": 1, "heads": 2, "width": 8}
POLICIES = {
    "network": (PolicyConfig(kind="mlp", hidden_sizes=(8,)), "critic."),
    "head": (PolicyConfig(**SMALL), "value_head."),
    "head beside an adapter": (PolicyConfig(**SMALL, lora_rank=2), "value_head."),
    "critic": (PolicyConfig(**SMALL, critic="separate"), "critic."),
    "encoder's head": (PolicyConfig(**{**SMALL, "kind": "seq2seq"}), "value_head."),
}
SETTINGS: dict[str, Any] = {
    "learning_rate": RATE,
    "value_learning_rate": VALUE_RATE,
    "schedule": "linear",
    "max_grad_norm": 0.0,
}
ONE_STEP: dict[str, Any] = {"num_epochs": 1, "num_minibatches": 1, **SETTINGS}
LEARNERS: dict[str, tuple[Any, Any]] = {
    "a2c": (A2C, A2CConfig(**SETTINGS)),
    "ppo": (PPO, PPOConfig(**ONE_STEP)),
    "nlpo": (NLPO, NLPOConfig(**ONE_STEP)),
    "reinforce": (Reinforce, ReinforceConfig(baseline="learned", **SETTINGS)),
}


def policy(kind: str) -> Policy:
    """Where no gradient is 0 for the values' having begun there."""
    envs = make_envs(TINY, 1)
    made = build_policy(describe_policy(POLICIES[kind][0], envs, 0))
    envs.close()
    texts.move(made, 0.1)
    return made


def moved(kind: str, name: str, progress: float) -> dict[str, Tensor]:
    """How far an update takes each parameter that it moves."""
    learner_class, config = LEARNERS[name]
    learner = learner_class(policy(kind), config)
    envs = make_envs(TINY, 16, {"shaping": "dense"})
    generator = torch.Generator().manual_seed(0)
    episodes = collect(envs, learner.behaviour, seeds=range(16), generator=generator)
    envs.close()
    before = {n: p.detach().clone() for n, p in learner.policy.named_parameters()}
    learner.update(episodes, progress)
    after = dict(learner.policy.named_parameters())
    steps = {n: (after[n].detach() - old).abs().max() for n, old in before.items()}
    return {n: step for n, step in steps.items() if step > 0}


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("kind", POLICIES)
def test_values_move_by_their_own_step_size(kind: str, name: str) -> None:
    """Adam's first step is as long as the step size, which the schedule scales for both."""
    prefix = POLICIES[kind][1]
    steps = moved(kind, name, progress=0.75)
    values = [float(step) for n, step in steps.items() if n.startswith(prefix)]
    others = [float(step) for n, step in steps.items() if not n.startswith(prefix)]
    assert max(values) == pytest.approx(VALUE_RATE / 4, rel=1e-2)
    assert max(others) == pytest.approx(RATE / 4, rel=1e-2)


def test_a_policy_without_values_has_none_to_move() -> None:
    made = CausalLMPolicy(texts.gpt2(), texts.PAD, value_head=False)
    assert made.value_parameters() == []
    groups = adamw(made, 1e-2, lr=1e-4).param_groups
    assert [len(group["params"]) for group in groups] == [len(list(made.parameters())), 0]


@pytest.mark.parametrize("config", [A2CConfig, PPOConfig, NLPOConfig])
def test_a_step_size_that_is_none_is_refused(config: Any) -> None:
    with pytest.raises(ValueError, match="value_learning_rate must be greater than 0, got 0"):
        config(value_learning_rate=0.0)


def test_it_needs_a_learned_baseline() -> None:
    message = 'value_learning_rate is for the values .* got baseline "batch_mean"'
    with pytest.raises(ValueError, match=message):
        ReinforceConfig(value_learning_rate=1e-3)
