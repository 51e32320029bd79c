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
    "several discrete": spaces.MultiDiscrete([3, 5], start=[0, -2]),
    "flags": spaces.MultiBinary(4),
    "mixture": spaces.Dict(
        speed=spaces.Box(-1, 1, (2,), np.float32),
        gear=spaces.Discrete(4, start=1),
        lamps=spaces.MultiBinary(3),
        action_mask=spaces.Box(0, 1, (4,), bool),
    ),
    "nested": spaces.Dict(
        arm=spaces.Tuple([spaces.Box(-1, 1, (2,)), spaces.MultiDiscrete([2, 3])]),
        head=spaces.Dict(turned=spaces.Discrete(2)),
    ),
}
ACTIONS = {
    "discrete": spaces.Discrete(4),
    "discrete from 5": spaces.Discrete(4, start=5),
    "several": spaces.MultiDiscrete([2, 3]),
    "several from 5": spaces.MultiDiscrete([3, 3], start=[5, -5]),
    "numbers": spaces.Box(-0.5, 0.5, (2,)),
}
ONE = np.array([False, True])
SAMPLING = {
    "plain": Sampling(),
    "temperature": Sampling(temperature=0.7),
    "top-k": Sampling(top_k=2),
    "top-p": Sampling(top_p=0.7),
    "min-p": Sampling(min_p=0.4),
    "epsilon": Sampling(epsilon=0.2),
    "top-k, epsilon": Sampling(top_k=2, epsilon=0.3),
    "every option": Sampling(temperature=0.7, top_k=3, top_p=0.95, min_p=0.05, epsilon=0.1),
}


def batch_of(space: gym.Space[Any], size: int) -> Any:
    space.seed(0)
    envs = gym.vector.utils
    empty = envs.create_empty_array(space, size, np.zeros)
    return envs.concatenate(space, [space.sample() for _ in range(size)], empty)


def episodes_of(policy: MLPPolicy, observations: Any, masks: Any) -> list[Episode]:
    """Two episodes of 4 and 8 steps, acted out one batch at once."""
    generator = torch.Generator().manual_seed(0)
    acted = policy.act(observations, action_masks=masks, generator=generator)
    parts = []
    for at in (slice(4), slice(4, 12)):
        store = policy.make_store(12)
        store.add(observations, np.isin(np.arange(12), np.arange(12)[at]))
        rows: Any = [store.finish(slot) for slot in range(12)[at]]
        keys = rows[0].keys() if isinstance(rows[0], dict) else None
        parts.append(
            np.concatenate(rows)
            if keys is None
            else {key: np.concatenate([row[key] for row in rows]) for key in keys}
        )
    return [
        Episode(
            slot=0,
            group=0,
            observations=part,
            actions=acted.actions[at],
            log_probs=acted.log_probs[at],
            values=acted.values[at],
            rewards=np.zeros(len(acted.actions[at])),
            kept=None if acted.kept is None else acted.kept[at],
            action_masks=None if masks is None else masks[at],
        )
        for part, at in zip(parts, (slice(4), slice(4, 12)), strict=True)
    ]


@pytest.mark.parametrize("sampling", SAMPLING)
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("name", SPACES)
def test_evaluate_agrees_with_act(name: str, action: str, sampling: str) -> None:
    torch.manual_seed(0)
    space, numbers = ACTIONS[action], action == "numbers"
    used = SAMPLING[sampling]
    if numbers:
        used = Sampling(temperature=used.temperature)
    policy = MLPPolicy(SPACES[name], space, hidden_sizes=(8,), sampling=used)
    for head in (policy.actor[-1], policy.critic[-1]):
        torch.nn.init.normal_(head.weight)
    masks = None
    if not numbers:
        masks = np.random.default_rng(0).random((12, policy.distribution.num_outputs)) < 0.6
        masks[:, policy.distribution.starts] = True
    episodes = episodes_of(policy, batch_of(SPACES[name], 12), masks)
    for episode in () if numbers else episodes:
        for taken, legal in zip(episode.actions, episode.action_masks, strict=True):
            assert space.contains(taken)
            columns = np.atleast_1d(taken - space.start) + policy.distribution.starts
            assert legal[columns].all()
    evaluation = policy(episodes)
    for field in ("log_probs", "values"):
        expected = np.concatenate([getattr(episode, field) for episode in episodes])
        np.testing.assert_allclose(
            getattr(evaluation, field).detach().numpy(), expected, atol=2e-6, rtol=0
        )
    (evaluation.log_probs.sum() + evaluation.entropy.sum() + evaluation.values.sum()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in policy.parameters())


def test_evaluating_with_every_option_gives_what_a_thousand_steps_were_drawn_with() -> None:
    """What epsilon drew from outside the filters, too: a fifth of the draws here."""
    torch.manual_seed(0)
    used = Sampling(temperature=0.8, top_k=6, top_p=0.8, min_p=0.1, epsilon=0.3)
    policy = MLPPolicy(spaces.Box(-1, 1, (3,)), spaces.Discrete(12), (8,), used)
    torch.nn.init.normal_(policy.actor[-1].weight)
    observations = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)
    acted = policy.act(observations, generator=torch.Generator().manual_seed(0))
    strays = np.isclose(acted.log_probs, np.log(0.3 / 12), atol=1e-6)
    assert 100 < strays.sum() < 300
    np.testing.assert_array_equal(acted.kept < 0, strays)
    whole = Episode(
        slot=0,
        group=0,
        observations=observations,
        actions=acted.actions,
        log_probs=acted.log_probs,
        values=acted.values,
        rewards=np.zeros(1000),
        kept=acted.kept,
    )
    listed = policy.step_log_probs(observations)
    np.testing.assert_allclose(listed.exp().sum(-1), 1, atol=1e-5)
    again = [policy.evaluate([whole]).log_probs, policy.episode_log_probs([whole])]
    again[1] = again[1][torch.arange(1000), torch.from_numpy(acted.actions)]
    for log_probs in again:
        np.testing.assert_allclose(log_probs.detach(), acted.log_probs, atol=1e-5, rtol=0)


def test_features_are_in_the_order_of_sorted_keys() -> None:
    policy = MLPPolicy(SPACES["mixture"], spaces.Discrete(4))
    observations = {
        "speed": np.array([[0.5, -0.25]], np.float32),
        "lamps": np.array([[1, 0, 1]], np.int8),
        "gear": np.array([3]),
        "action_mask": np.ones((1, 4), bool),
    }
    encoded = policy.features(observations, policy.device)
    assert encoded.tolist() == [[0, 0, 1, 0, 1, 0, 1, 0.5, -0.25]]
    several = MLPPolicy(SPACES["several discrete"], spaces.Discrete(4))
    encoded = several.features(np.array([[2, -1]]), several.device)
    assert encoded.tolist() == [[0, 0, 1, 0, 1, 0, 0, 0]]


def test_a_network_of_text_reads_the_tokens_alone() -> None:
    ids = spaces.Box(0, 6, (5,), np.int64)
    text = spaces.Dict(input_ids=ids, attention_mask=spaces.Box(0, 1, (5,), np.int8))
    torch.manual_seed(0)
    policy = MLPPolicy(text, spaces.Discrete(3))
    torch.manual_seed(0)
    plain = MLPPolicy(ids, spaces.Discrete(3))
    batch = batch_of(text, 4)
    values = policy.act(batch).values
    np.testing.assert_array_equal(values, plain.act(batch["input_ids"]).values)
    store = policy.make_store(4)
    store.add(batch, np.ones(4, bool))
    assert set(store.finish(0)) == {"input_ids"}


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
    several = MLPPolicy(SPACES["discrete"], spaces.MultiDiscrete([1, 2]))
    acted = several.act(np.array([1, 2]), action_masks=masks | [[0, 0, 0], [1, 0, 0]], active=ONE)
    assert acted.actions[1].tolist() == [0, 0]
    with pytest.raises(ValueError, match="slot 1 allows no action"):
        several.act(np.array([1, 2]), action_masks=masks, active=ONE)
    acted = policy.act(np.array([1, 2]), action_masks=masks, active=ONE)
    assert acted.actions[1] == 1
    assert acted.log_probs.tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="slot 0 allows no action"):
        policy.act(np.array([1, 2]), action_masks=masks)


@pytest.mark.parametrize(
    ("observation", "action", "message"),
    [
        (spaces.Box(0, 5000, (5,), np.int64), spaces.Discrete(2), "5,001 values"),
        (spaces.Text(5), spaces.Discrete(2), "Box, Discrete, MultiDiscrete"),
        (spaces.Dict(other=spaces.Text(5)), spaces.Discrete(2), "Box, Discrete, MultiDiscrete"),
        (spaces.Dict(action_mask=spaces.MultiBinary(2)), spaces.Discrete(2), "nothing to observe"),
        (spaces.Discrete(2), spaces.Box(0, 5, (2,), np.int64), "must be floats"),
        (spaces.Discrete(2), spaces.Text(5), "action spaces, got"),
    ],
)
def test_spaces_it_cannot_take_are_named(observation: Any, action: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MLPPolicy(observation, action)


def test_observations_that_do_not_fit_are_refused() -> None:
    policy = MLPPolicy(SPACES["floats"], spaces.Discrete(2))
    with pytest.raises(ValueError, match=r"\(3, 2\).*\(2, 3\)"):
        policy.act(np.zeros((1, 3, 2), np.float32))
    with pytest.raises(ValueError, match=r"keys \['image'\]; .* a plain array"):
        policy.act({"image": np.zeros((1, 2, 3), np.float32)})
    with pytest.raises(ValueError, match="integers from 7 to 7, outside"):
        MLPPolicy(SPACES["discrete"], spaces.Discrete(2)).act(np.array([7]))
    box = MLPPolicy(SPACES["floats"], ACTIONS["numbers"])
    with pytest.raises(ValueError, match="listed for Discrete"):
        box.step_log_probs(np.zeros((1, 2, 3), np.float32))
    box.sampling = SAMPLING["every option"]
    with pytest.raises(ValueError, match="temperature alone"):
        box.act(np.zeros((1, 2, 3), np.float32))
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


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (spaces.Box(0, 255, (96, 96, 3), np.uint8), "7,077,888 one-hot inputs .*a float Box"),
        (spaces.Box(0, 5_000, (2,), np.int64), "5,001 values is too wide for one-hot"),
    ],
)
def test_integers_too_many_for_a_network_are_refused(space: spaces.Box, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MLPPolicy(space, spaces.Discrete(2))
