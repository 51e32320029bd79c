"""The frozen reference: the same distribution, no memory with LoRA, and it disturbs nothing."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from tests.agents.texts import PAD, WIDTH, act_along, episodes, gpt2, lm_policy, move
from textgym_agents.policies import Episode, MLPPolicy, Policy
from textgym_agents.policies.causal_lm import CausalLMPolicy
from textgym_agents.policies.reference import own_tensors

PARTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "separate critic": {"critic": "separate"},
    "adapter": {"rank": 2},
    "adapter and critic": {"rank": 2, "critic": "separate"},
}
KINDS = pytest.mark.parametrize("kind", PARTS)


def pointers(module: torch.nn.Module) -> set[int]:
    return {tensor.data_ptr() for tensor in module.state_dict().values()}


def log_probs(policy: Policy, batch: list[Episode]) -> torch.Tensor:
    with torch.no_grad():
        return policy.evaluate(batch).log_probs


@KINDS
def test_it_keeps_the_distribution_while_the_policy_moves(kind: str) -> None:
    policy, batch = lm_policy(**PARTS[kind], moved=0.0), episodes()
    reference = policy.reference()
    before = log_probs(policy, batch)
    assert torch.equal(log_probs(reference, batch), before)
    move(policy, 0.3)
    assert torch.equal(log_probs(reference, batch), before)
    assert (log_probs(policy, batch) - before).abs().max() > 0.1


@KINDS
def test_nothing_of_it_trains_and_it_acts(kind: str) -> None:
    reference = lm_policy(**PARTS[kind]).reference()
    assert isinstance(reference, CausalLMPolicy)
    assert not reference.training
    assert not any(parameter.requires_grad for parameter in reference.parameters())
    assert reference.critic is None
    table, _ = act_along(reference, episodes())
    whole = reference.episode_log_probs(episodes())
    torch.testing.assert_close(table, whole, atol=1e-5, rtol=0)


def test_a_copy_shares_nothing() -> None:
    for policy in (lm_policy(), lm_policy(critic="separate")):
        assert not pointers(policy) & pointers(policy.reference())


@pytest.mark.parametrize("critic", ["shared", "separate"])
def test_below_an_adapter_it_has_no_memory_of_its_own(critic: str) -> None:
    policy = lm_policy(rank=2, critic=critic)
    reference = policy.reference()
    assert pointers(reference.model) <= pointers(policy.model)
    assert set(own_tensors(reference, policy)) <= {"value_head.weight", "value_head.bias"}
    base = gpt2()
    assert sum(p.numel() for p in reference.model.parameters()) == base.num_parameters()
    for name, value in base.state_dict().items():
        assert torch.equal(reference.model.state_dict()[name], value), name


@KINDS
def test_it_disturbs_neither_gradients_nor_the_cache(kind: str) -> None:
    """Evaluated and acted with between the policy's forward and backward passes."""
    gradients = []
    for use_reference in (False, True):
        policy, batch = lm_policy(**PARTS[kind], gradient_checkpointing=True), episodes()
        reference = policy.reference()
        observations = np.full((2, WIDTH), PAD)
        observations[:, :6] = np.arange(12).reshape(2, 6)
        evaluation = policy.evaluate(batch)
        policy.act(observations, deterministic=True)
        if use_reference:
            log_probs(reference, batch)
            reference.act(observations, deterministic=True)
        calls: list[int] = []
        policy.model.get_input_embeddings().register_forward_hook(
            lambda _, inputs, __, calls=calls: calls.append(inputs[0].shape[1])
        )
        observations[:, 6] = 3
        policy.act(observations, deterministic=True)
        assert calls == [1]  # what it had in its cache is still there
        (evaluation.log_probs.sum() + evaluation.values.sum()).backward()  # type: ignore[no-untyped-call]
        found = {n: p.grad for n, p in policy.named_parameters() if p.grad is not None}
        assert len(found) == sum(p.requires_grad for p in policy.parameters())
        gradients.append(found)
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0])


def test_a_copy_begins_without_keys_and_values() -> None:
    policy = lm_policy()
    act_along(policy, episodes())
    assert policy._contexts._cache is not None
    assert policy.reference()._contexts._cache is None


def test_a_small_network_s_reference_is_a_frozen_copy() -> None:
    policy = MLPPolicy(gym.spaces.Discrete(3), gym.spaces.Discrete(4), (8,))
    reference = policy.reference()
    assert not pointers(policy) & pointers(reference)
    assert not any(parameter.requires_grad for parameter in reference.parameters())
    assert not reference.training
    before = {name: value.clone() for name, value in reference.state_dict().items()}
    move(policy, 0.3)
    assert all(torch.equal(value, before[n]) for n, value in reference.state_dict().items())


def test_own_tensors_names_tied_ones_once() -> None:
    policy = lm_policy()
    other = policy.reference()
    own = own_tensors(other, policy)
    assert ("model.lm_head.weight" in own) is not ("model.transformer.wte.weight" in own)
    assert pointers(other) == {tensor.data_ptr() for tensor in own.values()}
    assert own_tensors(policy, policy) == {}
