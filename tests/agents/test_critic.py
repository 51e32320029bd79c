"""The separate critic: the same values acting and evaluating, and learning of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.agents.texts import (
    PAD,
    VOCAB,
    act_along,
    bart,
    episodes,
    gpt2,
    llama,
    lm_policy,
    move,
    t5,
)
from textgym_agents.algorithms import Reinforce, ReinforceConfig
from textgym_agents.policies import CausalLMPolicy, Contexts, Episode
from textgym_agents.policies.assembly import reassemble
from textgym_agents.policies.construction import PolicyConfig, build_policy, describe_policy
from textgym_agents.policies.decoder import output_head
from textgym_agents.returns import returns_to_go
from textgym_agents.rollout import collect
from textgym_agents.runs.environments import make_envs

MODELS = pytest.mark.parametrize("make_model", [gpt2, llama])
ALL_MODELS = pytest.mark.parametrize("make_model", [gpt2, llama, t5, bart])
SEPARATE: dict[str, Any] = {"critic": "separate"}


def critic_weights(policy: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in policy.named_parameters() if n.startswith("critic.")}


def policy_weights(policy: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in policy.named_parameters() if n.startswith("model.")}


@ALL_MODELS
@pytest.mark.parametrize("rank", [0, 2])
def test_acting_gives_the_values_that_evaluating_does(make_model: Any, rank: int) -> None:
    policy, batch = lm_policy(make_model(), rank=rank, **SEPARATE), episodes()
    for seed in (1, 2):
        _, acted = act_along(policy, batch)
        evaluated = policy.evaluate(batch).values.detach()
        torch.testing.assert_close(acted, evaluated, atol=1e-5, rtol=0)
        assert acted.std() > 0.01
        move(policy, 0.1, seed)  # the critic's own cache is stale now


@ALL_MODELS
@pytest.mark.parametrize("critic", ["shared", "separate"])
def test_values_alone_are_those_of_evaluating_without_logits(make_model: Any, critic: Any) -> None:
    policy, batch = lm_policy(make_model(), critic=critic), episodes()
    rows: list[int] = []
    head = output_head(policy.model)
    evaluation = policy.evaluate(batch)
    with head.register_forward_hook(lambda *passed: rows.append(passed[2].numel())):
        values = policy.values(batch)
    assert not any(rows)
    torch.testing.assert_close(values, evaluation.values)
    trained = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    weights = torch.arange(len(values)).float()
    ours, theirs = (
        torch.autograd.grad(found @ weights, trained, allow_unused=True, materialize_grads=True)
        for found in (values, evaluation.values)
    )
    torch.testing.assert_close(ours, theirs)
    assert any(gradient.any() for gradient in theirs)


def test_without_a_critic_values_are_0() -> None:
    policy = CausalLMPolicy(gpt2(), PAD, num_actions=VOCAB, value_head=False)
    values = policy.values(episodes())
    assert values.shape == policy.evaluate(episodes()).values.shape and not values.any()


@MODELS
def test_values_are_a_plain_forward_of_its_trunk(make_model: Any) -> None:
    policy, batch = lm_policy(make_model(), **SEPARATE), episodes(3)
    critic = policy.critic
    assert critic is not None
    expected = []
    for episode in batch:
        contexts: Any = episode.observations
        ids = torch.from_numpy(contexts.tokens)[None]
        hidden = critic.model.base_model(ids).last_hidden_state[0, contexts.lengths - 1]
        expected.append(critic.value_head(hidden).squeeze(-1))
    values = policy.evaluate(batch).values
    torch.testing.assert_close(values, torch.cat(expected), atol=1e-5, rtol=0)


@ALL_MODELS
def test_it_begins_as_a_copy_that_says_0(make_model: Any) -> None:
    policy = lm_policy(make_model(), moved=0.0, **SEPARATE)
    critic = policy.critic
    assert critic is not None and policy.value_head is None
    assert not policy.evaluate(episodes()).values.any()
    theirs = policy.model.state_dict()
    for name, value in critic.model.state_dict().items():
        if name not in ("lm_head.weight", "final_logits_bias"):
            assert torch.equal(value, theirs[name])
            assert value.data_ptr() != theirs[name].data_ptr(), name


def test_below_adapters_both_have_the_same_weights_in_memory() -> None:
    policy = lm_policy(rank=2, **SEPARATE)
    assert policy.critic is not None
    theirs = {value.data_ptr() for value in policy.model.parameters()}
    own = {n for n, p in policy.critic.model.named_parameters() if p.data_ptr() not in theirs}
    assert len(own) == 17
    assert all(".lora_" in name or name == "lm_head.weight" for name in own)


@ALL_MODELS
def test_each_loss_reaches_its_own_model_alone(make_model: Any) -> None:
    policy, batch = lm_policy(make_model(), **SEPARATE), episodes()
    for part, other in (("log_probs", "critic."), ("values", "model.")):
        policy.zero_grad()
        getattr(policy.evaluate(batch), part).sum().backward()
        moved = {n for n, p in policy.named_parameters() if p.grad is not None}
        assert moved and not any(name.startswith(other) for name in moved)
    trained = {n for n, p in policy.named_parameters() if p.requires_grad}
    assert moved == {name for name in trained if name.startswith("critic.")}


def least_loss(batch: list[Episode]) -> float:
    """What values of the contexts alone leave of the squared errors, a mean over the steps."""
    returns: dict[bytes, list[float]] = {}
    for episode in batch:
        assert isinstance(episode.observations, Contexts)
        tokens, lengths = episode.observations.tokens, episode.observations.lengths
        for length, value in zip(lengths, returns_to_go(episode.rewards, 1.0), strict=True):
            returns.setdefault(tokens[:length].tobytes(), []).append(float(value))
    errors = [value - np.mean(values) for values in returns.values() for value in values]
    return float(np.mean(np.square(errors)))


def test_it_learns_the_returns_with_the_policy_s_optimizer() -> None:
    policy, batch = lm_policy(**SEPARATE), episodes()
    config = ReinforceConfig(baseline="learned", learning_rate=0.01, value_coef=1.0)
    learner = Reinforce(policy, config)
    critic_before, policy_before = critic_weights(policy), policy_weights(policy)
    losses = [learner.update(batch)["value_loss"] for _ in range(60)]
    assert losses[-1] - least_loss(batch) < 0.01 * losses[0]
    assert any(not torch.equal(v, critic_before[n]) for n, v in critic_weights(policy).items())
    assert any(not torch.equal(v, policy_before[n]) for n, v in policy_weights(policy).items())


def test_the_policy_s_gradient_is_the_same_without_it() -> None:
    """The errors of the values do not reach the language model, as they do with a shared head."""
    batch, gradients = episodes(), []
    for parts, coefficient in (({}, 0.0), (SEPARATE, 5.0), ({}, 5.0)):
        policy = lm_policy(**parts)
        with torch.no_grad():  # equal values, so that the baseline is the same
            for episode, start in zip(batch, range(len(batch)), strict=True):
                episode.values = np.full(episode.num_steps, start / 10, np.float32)
        config = ReinforceConfig(baseline="learned", value_coef=coefficient)
        Reinforce(policy, config).gradients(batch)
        weight = policy.model.get_input_embeddings().weight
        assert weight.grad is not None
        gradients.append(weight.grad)
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-5, rtol=1e-4)
    assert (gradients[2] - gradients[0]).abs().max() > 1e-3


def rollout(policy: Any, steps: int) -> list[Episode]:
    envs = make_envs("textgym:textgym/Tiny-v0", 4)
    generator = torch.Generator().manual_seed(0)
    episodes = collect(
        envs, policy, seeds=range(4), episodes_per_env=2, steps_per_env=steps, generator=generator
    )
    envs.close()
    return episodes


def test_rollouts_have_its_values_also_where_they_are_cut() -> None:
    envs = make_envs("textgym:textgym/Tiny-v0", 4)
    config = PolicyConfig(kind="causal_lm", layers=1, heads=2, width=16, critic="separate")
    policy = build_policy(describe_policy(config, envs))
    envs.close()
    move(policy, 0.5)
    whole, cut = rollout(policy, 0), rollout(policy, 1)
    for batch in (whole, cut):
        values = policy.evaluate(batch).values.detach().numpy()
        collected = np.concatenate([episode.values for episode in batch])
        np.testing.assert_allclose(collected, values, atol=1e-5)
    piece = next(episode for episode in cut if not episode.terminated)
    longer = next(episode for episode in whole if episode.slot == piece.slot)
    assert piece.final_value == pytest.approx(float(longer.values[1]), abs=1e-5)
    assert piece.final_value != 0


def test_a_warm_start_keeps_it_or_makes_one() -> None:
    description = {"pad_id": 29, "action_space": {"n": 29}, "critic": "separate"}
    first = lm_policy(**SEPARATE)
    kept = reassemble(first, description)
    assert all(torch.equal(v, critic_weights(first)[n]) for n, v in critic_weights(kept).items())
    shared = lm_policy()
    made = reassemble(shared, description)
    assert made.critic is not None
    assert not made.evaluate(episodes()).values.any()
    trunk = made.critic.model.transformer.wte.weight
    assert torch.equal(trunk, shared.model.transformer.wte.weight)


@pytest.mark.parametrize("kind", ["causal_lm", "seq2seq"])
def test_files_hold_it(kind: Any, tmp_path: Path) -> None:
    from textgym_agents.policies.weights import load_policy, save_policy

    envs = make_envs("textgym:textgym/Tiny-v0", 1)
    config = PolicyConfig(kind=kind, layers=1, heads=2, width=16, critic="separate")
    description = describe_policy(config, envs)
    envs.close()
    policy = build_policy(description)
    move(policy, 0.5)
    save_policy(policy, tmp_path)
    loaded = load_policy(description, tmp_path)
    assert loaded.state_dict().keys() == policy.state_dict().keys()
    for name, value in policy.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
