from __future__ import annotations

import math

import gymnasium as gym
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from tests.agents.texts import act_along, bart, episodes, gpt2, lm_policy
from textgym_agents.algorithms import MaximumLikelihood, MaximumLikelihoodConfig
from textgym_agents.policies import Episode, MLPPolicy
from textgym_agents.rollout import collect


class Echo(gym.Env[int, int]):
    """Shows a symbol; the expert repeats it. Three steps."""

    observation_space = gym.spaces.Discrete(4)
    action_space = gym.spaces.Discrete(4)

    def reset(self, *, seed=None, options=None):  # type: ignore[no-untyped-def]
        super().reset(seed=seed)
        self.steps = 0
        return self._show()

    def step(self, action):  # type: ignore[no-untyped-def]
        reward = float(action == self.symbol)
        self.steps += 1
        observation, info = self._show()
        return observation, reward, self.steps == 3, False, info

    def _show(self):  # type: ignore[no-untyped-def]
        self.symbol = int(self.np_random.integers(4))
        return self.symbol, {"expert_action": self.symbol}


def policy() -> MLPPolicy:
    torch.manual_seed(0)
    return MLPPolicy(gym.spaces.Discrete(4), gym.spaces.Discrete(4), (8,))


def expert_episode(states: list[int], actions: list[int]) -> Episode:
    zeros = np.zeros(len(states), np.float32)
    return Episode(
        slot=0,
        group=0,
        observations=np.array(states),
        actions=np.array(actions),
        log_probs=zeros,
        values=zeros,
        rewards=zeros.astype(np.float64),
    )


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_loss_is_the_mean_cross_entropy_over_tokens(limit: int) -> None:
    actor = policy()
    episodes = [expert_episode([0, 1, 2], [3, 2, 0]), expert_episode([3], [1])]
    learner = MaximumLikelihood(actor, MaximumLikelihoodConfig(max_tokens_per_pass=limit))
    metrics = learner.gradients(episodes)
    measured = [p.grad.clone() for p in actor.actor.parameters() if p.grad is not None]
    actor.zero_grad()
    logits = actor.actor(torch.eye(4)[[0, 1, 2, 3]])
    by_hand = torch.nn.functional.cross_entropy(logits, torch.tensor([3, 2, 0, 1]))
    by_hand.backward()
    assert metrics["loss"] == pytest.approx(by_hand.item(), abs=1e-6)
    assert metrics["perplexity"] == pytest.approx(math.exp(by_hand.item()), rel=1e-5)
    for one, parameter in zip(measured, actor.actor.parameters(), strict=True):
        assert_allclose(one, parameter.grad, atol=1e-6)


def test_cloning_an_expert_from_any_environment() -> None:
    actor = policy()
    learner = MaximumLikelihood(actor, MaximumLikelihoodConfig(learning_rate=0.02))
    envs = gym.vector.SyncVectorEnv([Echo] * 8)
    for iteration in range(60):
        seeds = list(range(8 * iteration, 8 * iteration + 8))
        last = learner.update(collect(envs, actor, seeds=seeds, follow_expert=True))
    played = collect(envs, actor, seeds=list(range(10_000, 10_008)), deterministic=True)
    envs.close()
    assert last["loss"] < 0.2 * math.log(4)
    assert all(episode.total_reward == 3.0 for episode in played)


def test_environment_without_an_expert_is_a_clear_error() -> None:
    envs = gym.make_vec("CartPole-v1", num_envs=1, vectorization_mode="sync")
    actor = MLPPolicy.from_env(envs)
    with pytest.raises(ValueError, match="demonstrations=True"):
        collect(envs, actor, seeds=[0], follow_expert=True)
    envs.close()


@pytest.mark.parametrize(
    ("schedule", "at"),
    [
        ("constant", {0.1: 0.5, 0.2: 1.0, 0.6: 1.0, 1.0: 1.0}),
        ("linear", {0.1: 0.5, 0.2: 1.0, 0.6: 0.5, 1.0: 0.0}),
        ("cosine", {0.1: 0.5, 0.2: 1.0, 0.4: 0.5 + math.sqrt(0.125), 0.6: 0.5, 1.0: 0.0}),
    ],
)
def test_learning_rate_schedules(schedule: str, at: dict[float, float]) -> None:
    config = MaximumLikelihoodConfig(
        learning_rate=2.0,
        schedule=schedule,  # type: ignore[arg-type]
        warmup=0.2,
    )
    learner = MaximumLikelihood(policy(), config)
    for progress, factor in at.items():
        assert learner.learning_rate(progress) == pytest.approx(2.0 * factor, abs=1e-12)


@pytest.mark.parametrize(("progress", "rate"), [(0.05, 0.5e-3), (0.775, 0.25e-3)])
def test_the_optimizer_uses_the_scheduled_rate(progress: float, rate: float) -> None:
    config = MaximumLikelihoodConfig(schedule="linear", warmup=0.1)
    learner = MaximumLikelihood(policy(), config)
    metrics = learner.update([expert_episode([0], [1])], progress=progress)
    assert metrics["learning_rate"] == pytest.approx(rate)
    assert learner.optimizer.param_groups[0]["lr"] == pytest.approx(rate)


def test_weight_decay_shrinks_what_gets_no_gradient() -> None:
    actor = policy()
    config = MaximumLikelihoodConfig(learning_rate=0.1, weight_decay=0.5)
    before = actor.actor[0].weight.detach().clone()
    MaximumLikelihood(actor, config).update([expert_episode([0], [1])])
    # The one-hot input reaches column 0 alone; the others are only decayed.
    assert_allclose(actor.actor[0].weight.detach()[:, 1:], before[:, 1:] * 0.95, rtol=1e-6)


DROPOUT = 0.3


def dropping(checkpointing: bool = False) -> MaximumLikelihood:
    model = lm_policy(gpt2(), gradient_checkpointing=checkpointing)
    return MaximumLikelihood(model, MaximumLikelihoodConfig(dropout=DROPOUT))


def gradients(learner: MaximumLikelihood, batch: list[Episode]) -> tuple[float, list[torch.Tensor]]:
    torch.manual_seed(7)
    loss = learner.gradients(batch)["loss"]
    trained = [p for p in learner.policy.model.parameters() if p.grad is not None]
    return loss, [p.grad.clone() for p in trained]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_dropout_is_that_of_transformers_own_training_mode(checkpointing: bool) -> None:
    learner, (episode,) = dropping(checkpointing), episodes(count=1)
    loss, measured = gradients(learner, [episode])
    model = gpt2()
    model.load_state_dict(learner.policy.model.state_dict())
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = DROPOUT
    for block in model.transformer.h:
        block.attn.attn_dropout.p = 0.0  # Attention drops nothing here.
    torch.manual_seed(7)
    logits = model(torch.from_numpy(episode.observations.tokens)[None], use_cache=False).logits[0]
    steps = torch.from_numpy(episode.observations.lengths - 1)
    expected = torch.nn.functional.cross_entropy(logits[steps], torch.from_numpy(episode.actions))
    expected.backward()
    assert loss == pytest.approx(expected.item(), abs=1e-5)
    for one, parameter in zip(measured, model.parameters(), strict=True):
        assert_allclose(one, parameter.grad, atol=1e-5)


def test_dropout_is_over_when_the_policy_acts() -> None:
    learner, batch = dropping(), episodes()
    before = learner.policy.evaluate(batch).log_probs.detach()
    act_along(learner.policy, batch)
    loss, _ = gradients(learner, batch)
    assert loss != pytest.approx(-float(before.mean()), abs=1e-3)
    torch.testing.assert_close(learner.policy.evaluate(batch).log_probs.detach(), before)
    layers = [m for m in learner.policy.modules() if isinstance(m, torch.nn.Dropout)]
    assert layers and not any(layer.training or layer.p for layer in layers)


def test_dropout_where_there_is_none_to_switch_on() -> None:
    with pytest.raises(ValueError, match="MLPPolicy has no dropout layers"):
        MaximumLikelihood(policy(), MaximumLikelihoodConfig(dropout=0.1))
    with pytest.raises(ValueError, match="drop by a function"):
        MaximumLikelihood(lm_policy(bart()), MaximumLikelihoodConfig(dropout=0.1))
    with pytest.raises(ValueError, match=r"dropout must be at most 0\.9"):
        MaximumLikelihoodConfig(dropout=1.0)
