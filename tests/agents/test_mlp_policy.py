"""The MLP policy: observation spaces, agreement of act and evaluate, initial weights."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from textgym_agents.policies import Contexts, Episode, MLPPolicy, Sampling

SPACES = {
    "floats": spaces.Box(-1, 1, (2, 3), np.float32),
    "symbols": spaces.Box(0, 6, (5,), np.int64),
    "shifted symbols": spaces.Box(-3, 3, (5,), np.int64),
    "discrete": spaces.Discrete(7),
    "discrete from 10": spaces.Discrete(7, start=10),
    "dict": spaces.Dict(
        input_ids=spaces.Box(0, 6, (5,), np.int64), action_mask=spaces.Box(0, 1, (4,), bool)
    ),
}


def batch_of(space: gym.Space[Any], size: int) -> Any:
    space.seed(0)
    samples = [space.sample() for _ in range(size)]
    if isinstance(space, spaces.Dict):
        return {key: np.stack([sample[key] for sample in samples]) for key in space.spaces}
    return np.stack(samples)


def episodes_of(policy: MLPPolicy, observations: Any, masks: Any, start: int) -> list[Episode]:
    """Two episodes of 4 and 8 steps, acted out one batch at once."""
    generator = torch.Generator().manual_seed(0)
    acted = policy.act(observations, action_masks=masks, generator=generator)
    if isinstance(observations, dict):
        parts = [{"input_ids": observations["input_ids"][at]} for at in (slice(4), slice(4, 12))]
    else:
        parts = [observations[:4], observations[4:]]
    return [
        Episode(
            slot=0,
            group=0,
            observations=part,
            actions=acted.actions[at],
            log_probs=acted.log_probs[at],
            values=acted.values[at],
            rewards=np.zeros(len(acted.actions[at])),
            action_masks=None if masks is None else masks[at],
        )
        for part, at in zip(parts, (slice(4), slice(4, 12)), strict=True)
    ]


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("start", [0, 5])
def test_evaluate_agrees_with_act(name: str, start: int) -> None:
    torch.manual_seed(0)
    policy = MLPPolicy(
        SPACES[name],
        spaces.Discrete(4, start=start),
        hidden_sizes=(8,),
        sampling=Sampling(temperature=0.7, top_k=3, top_p=0.95),
    )
    for head in (policy.actor[-1], policy.critic[-1]):
        torch.nn.init.normal_(head.weight)
    masks = np.random.default_rng(0).random((12, 4)) < 0.6
    masks[:, 1] = True
    episodes = episodes_of(policy, batch_of(SPACES[name], 12), masks, start)
    actions = np.concatenate([episode.actions for episode in episodes])
    assert ((actions >= start) & (actions < start + 4)).all()
    assert masks[np.arange(12), actions - start].all()
    evaluation = policy(episodes)
    for ours, theirs in (("log_probs", "log_probs"), ("values", "values")):
        expected = np.concatenate([getattr(episode, theirs) for episode in episodes])
        np.testing.assert_allclose(
            getattr(evaluation, ours).detach().numpy(), expected, atol=1e-6, rtol=0
        )
    (evaluation.log_probs.sum() + evaluation.entropy.sum() + evaluation.values.sum()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in policy.parameters())


def test_different_observations_get_different_features() -> None:
    torch.manual_seed(0)
    policy = MLPPolicy(spaces.Box(0, 6, (2,), np.int64), spaces.Discrete(3))
    grid = np.stack(np.meshgrid(np.arange(7), np.arange(7)), -1).reshape(-1, 2)
    assert len(np.unique(policy.act(grid).values)) == 49


def test_weights_start_orthogonal_and_actions_almost_uniform() -> None:
    policy = MLPPolicy(SPACES["floats"], spaces.Discrete(4), hidden_sizes=(64, 64))
    hidden = policy.actor[2].weight.detach()
    torch.testing.assert_close(hidden @ hidden.T, 2 * torch.eye(64), atol=1e-4, rtol=0)
    head = policy.actor[-1].weight.detach()
    torch.testing.assert_close(head @ head.T, 1e-4 * torch.eye(4), atol=1e-6, rtol=0)
    log_probs = policy.act(batch_of(SPACES["floats"], 32)).log_probs
    np.testing.assert_allclose(log_probs, np.log(0.25), atol=0.05)


def test_inactive_slots_need_no_legal_action() -> None:
    policy = MLPPolicy(SPACES["discrete"], spaces.Discrete(3))
    masks = np.array([[False, False, False], [False, True, False]])
    acted = policy.act(np.array([1, 2]), action_masks=masks, active=np.array([False, True]))
    assert acted.actions[1] == 1
    assert acted.log_probs.tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="slot 0 allows no action"):
        policy.act(np.array([1, 2]), action_masks=masks)


@pytest.mark.parametrize(
    ("observation", "action", "message"),
    [
        (spaces.Box(0, 5000, (5,), np.int64), spaces.Discrete(2), "5,001 values"),
        (spaces.Text(5), spaces.Discrete(2), "Box, Discrete or Dict"),
        (spaces.Dict(other=spaces.Discrete(2)), spaces.Discrete(2), "'other'"),
        (spaces.Discrete(2), spaces.Box(0, 1, (2,)), "Discrete action space"),
    ],
)
def test_spaces_it_cannot_take_are_named(observation: Any, action: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MLPPolicy(observation, action)


def test_observations_that_do_not_fit_are_refused() -> None:
    policy = MLPPolicy(SPACES["floats"], spaces.Discrete(2))
    with pytest.raises(ValueError, match=r"\(3, 2\).*\(2, 3\)"):
        policy.act(np.zeros((1, 3, 2), np.float32))
    with pytest.raises(ValueError, match="logits are not finite"):
        policy.act(np.full((1, 2, 3), np.nan, np.float32))
    episode = Episode(
        slot=0,
        group=0,
        observations=Contexts(np.zeros(1, np.int64), np.ones(1, np.int64)),
        actions=np.zeros(1, np.int64),
        log_probs=np.zeros(1, np.float32),
        values=np.zeros(1, np.float32),
        rewards=np.zeros(1),
    )
    with pytest.raises(ValueError, match="language-model policy"):
        policy.evaluate([episode])


def test_importing_policies_loads_no_transformers() -> None:
    code = "import sys, textgym_agents.policies; sys.exit('transformers' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
