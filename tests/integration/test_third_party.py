"""Other people's learners take the environments as `gym.make` gives them."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Categorical

import textgym  # noqa: F401

COPY = "textgym:textgym/Copy-v0"


def random_returns(episodes: int = 500) -> np.ndarray:
    """What the uniform policy over all actions earns."""
    env = gym.make(COPY)
    env.action_space.seed(0)
    returns = []
    env.reset(seed=0)
    while len(returns) < episodes:
        _, reward, terminated, _, _ = env.step(env.action_space.sample())
        if terminated:
            returns.append(reward)
            env.reset()
    return np.array(returns)


def interval(values: np.ndarray) -> tuple[float, float]:
    """The mean's 95% interval, by the normal approximation."""
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


@pytest.mark.filterwarnings("ignore::UserWarning:stable_baselines3")
def test_stable_baselines3_ppo_learns_copy() -> None:
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env

    envs = make_vec_env(COPY, n_envs=16, seed=0)
    model = PPO("MlpPolicy", envs, n_steps=64, batch_size=256, ent_coef=0.01, seed=0, device="cpu")
    model.learn(20_000)
    test = gym.make(COPY, split="test")
    observation, _ = test.reset(seed=1)
    returns = []
    while len(returns) < 200:
        action, _ = model.predict(observation, deterministic=False)
        observation, reward, terminated, _, _ = test.step(action)
        if terminated:
            returns.append(reward)
            observation, _ = test.reset()
    assert interval(np.array(returns))[0] > interval(random_returns())[1]


class CleanAgent(nn.Module):
    """The network of a single-file PPO: layers for the policy and for the value."""

    def __init__(self, inputs: int, actions: int) -> None:
        super().__init__()
        self.critic = nn.Sequential(nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 1))
        self.actor = nn.Sequential(nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, actions))


def clean_ppo_epoch(
    agent: CleanAgent, optimizer: torch.optim.Optimizer, batch: tuple[torch.Tensor, ...]
) -> None:
    """Four passes of the clipped objective over one batch."""
    obs, actions, old_log_probs, returns, advantages = batch
    for _ in range(4):
        dist = Categorical(logits=agent.actor(obs))
        ratio = (dist.log_prob(actions) - old_log_probs).exp()
        clipped = ratio.clamp(0.8, 1.2)
        policy_loss = -torch.min(ratio * advantages, clipped * advantages).mean()
        value_loss = (agent.critic(obs).squeeze(-1) - returns).square().mean()
        optimizer.zero_grad()
        (policy_loss + 0.5 * value_loss - 0.01 * dist.entropy().mean()).backward()
        optimizer.step()


def test_a_single_file_ppo_learns_copy() -> None:
    """In the manner of CleanRL's ppo.py: SyncVectorEnv, float observations, its own loop."""
    torch.manual_seed(0)
    envs = gym.vector.SyncVectorEnv([lambda: gym.make(COPY)] * 16)
    agent = CleanAgent(
        int(np.prod(envs.single_observation_space.shape)), envs.single_action_space.n
    )
    optimizer = torch.optim.Adam(agent.parameters(), lr=3e-3)
    obs = torch.tensor(envs.reset(seed=0)[0], dtype=torch.float32)
    done = np.zeros(16, dtype=bool)
    late: list[float] = []
    for update in range(40):
        steps = []
        for _ in range(32):
            with torch.no_grad():
                dist = Categorical(logits=agent.actor(obs))
                action = dist.sample()
                value = agent.critic(obs).squeeze(-1)
            after, reward, terminated, truncated, _ = envs.step(action.numpy())
            steps.append((obs, action, dist.log_prob(action), value, reward, terminated, done))
            if update >= 30:
                late.extend(reward[terminated & ~done].tolist())
            obs, done = torch.tensor(after, dtype=torch.float32), terminated | truncated
        returns, running = [], agent.critic(obs).squeeze(-1).detach()
        for step in reversed(steps):
            running = torch.tensor(step[4]) + running * torch.tensor(1.0 - step[5])
            returns.append(running)
        keep = torch.tensor(np.concatenate([~step[6] for step in steps]))
        target = torch.cat(returns[::-1]).float()[keep]
        flat = [torch.cat([step[i] for step in steps])[keep] for i in range(4)]
        advantage = target - flat[3]
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        clean_ppo_epoch(agent, optimizer, (*flat[:3], target, advantage))
    assert interval(np.array(late))[0] > interval(random_returns())[1]
