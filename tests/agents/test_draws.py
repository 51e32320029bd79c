"""The distributions that acting drew from are not computed again to learn from the draws."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor

import textgym  # noqa: F401  (registers the environments)
from tests.agents import texts
from textgym_agents.policies import CausalLMPolicy, Episode, Sampling, head
from textgym_agents.policies.models import small_gpt2
from textgym_agents.rollout import collect


def acted(
    env_id: str = "textgym/Story-v0",
    masks: bool = False,
    dtype: torch.dtype = torch.float64,
    **options: Any,
) -> tuple[CausalLMPolicy, list[Episode]]:
    envs = gym.make_vec(env_id, num_envs=8, mask_in_info=masks)
    vocabulary = int(envs.single_action_space.n)
    width = int(envs.single_observation_space.shape[0])
    model = small_gpt2(vocabulary + 5, layers=2, heads=2, width=16, max_positions=width).to(dtype)
    texts.move(model, 0.1)
    policy = CausalLMPolicy.from_env(envs, model, **options).to(dtype)
    assert policy._contexts.head_is_last  # It asks the model once.
    seeds = np.repeat(np.arange(4), 2).tolist()
    return policy, collect(
        envs, policy, seeds=seeds, generator=torch.Generator().manual_seed(0), episodes_per_env=2
    )


def logits_computed(policy: CausalLMPolicy, batch: list[Episode]) -> tuple[int, list[Tensor]]:
    """How many products with the head `evaluate` takes, and what it and its gradients are."""
    count = 0
    products = head._logits

    def counted(*arguments: Any) -> Tensor:
        nonlocal count
        count += 1
        return products(*arguments)

    policy.zero_grad(set_to_none=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(head, "_logits", counted)
        found = policy.evaluate(batch)
        taken = count
    torch.autograd.backward((found.log_probs * found.entropy.exp()).sum())
    grads = [p.grad for p in policy.parameters() if p.grad is not None]
    return taken, [found.log_probs.detach(), found.entropy.detach(), *grads]


def assert_as_computed(policy: CausalLMPolicy, batch: list[Episode], found: list[Tensor]) -> None:
    policy.clear_cache()
    count, computed = logits_computed(policy, batch)
    assert count > 0 and len(found) == len(computed) > 20
    for one, other in zip(found, computed, strict=True):
        texts.assert_rounded(one, other)


@pytest.mark.parametrize("env_id", ["textgym/Tiny-v0", "textgym/Story-v0", "textgym/Wordle-v0"])
@pytest.mark.parametrize("masks", [False, True])
def test_draws_are_taken_over(env_id: str, masks: bool) -> None:
    policy, batch = acted(env_id, masks, sampling=Sampling(temperature=0.7))
    count, found = logits_computed(policy, batch)
    assert count == 0
    old = np.concatenate([episode.log_probs for episode in batch])
    assert np.array_equal(found[0].numpy().astype(np.float32), old)
    assert_as_computed(policy, batch, found)


def test_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the backward pass, whose first chunk begins the gradient of the weights."""
    policy, batch = acted()
    monkeypatch.setattr(head, "_CHUNK", 1)
    monkeypatch.setattr(head, "_LEAST_ROWS", 7)
    _, found = logits_computed(policy, batch)
    monkeypatch.undo()
    assert_as_computed(policy, batch, found)


def colder(policy: CausalLMPolicy, batch: list[Episode]) -> list[Episode]:
    policy.sampling = Sampling(temperature=0.5)
    return batch


def filtered(policy: CausalLMPolicy, batch: list[Episode]) -> list[Episode]:
    policy.sampling = Sampling(top_k=3)
    return batch


def other_last_action(_: CausalLMPolicy, batch: list[Episode]) -> list[Episode]:
    actions = batch[0].actions.copy()
    actions[-1] = actions[-1] + 1 if actions[-1] == 0 else actions[-1] - 1
    return [replace(batch[0], actions=actions), *batch[1:]]


def other_masks(policy: CausalLMPolicy, batch: list[Episode]) -> list[Episode]:
    masks = np.ones(policy.num_actions, np.bool_)
    masks[np.setdiff1d(np.arange(len(masks)), batch[0].actions)[:3]] = False
    return [replace(batch[0], action_masks=masks), *batch[1:]]


@pytest.mark.parametrize("change", [colder, filtered, other_last_action, other_masks])
@pytest.mark.parametrize("masks", [False, True])
def test_draws_from_another_distribution_are_not(change: Any, masks: bool) -> None:
    policy, batch = acted(masks=masks)
    before = policy.evaluate(batch).log_probs.detach()
    policy, batch = acted(masks=masks)
    changed = change(policy, batch)
    _, found = logits_computed(policy, changed)
    assert not torch.allclose(found[0], before, atol=1e-6)
    policy.clear_cache()
    _, computed = logits_computed(policy, changed)
    for one, other in zip(found, computed, strict=True):
        texts.assert_rounded(one, other)


@pytest.mark.parametrize("sampling", [Sampling(top_k=5), Sampling(epsilon=0.1)], ids=str)
def test_nothing_is_noted_where_nothing_can_be_taken_over(sampling: Sampling) -> None:
    policy, batch = acted(sampling=sampling)
    assert policy._contexts._activations.draws.find(np.zeros(1, np.int64), batch, sampling) is None
    policy.evaluate(batch)


def test_draws_in_bfloat16_are_those_of_acting() -> None:
    policy, batch = acted(dtype=torch.float32, precision="bf16")
    count, found = logits_computed(policy, batch)
    assert count == 0
    old = np.concatenate([episode.log_probs for episode in batch])
    assert np.array_equal(found[0].numpy(), old)
