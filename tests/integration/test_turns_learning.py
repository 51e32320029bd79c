"""A language-model policy in tasks of several turns: its own tokens alone are learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
import torch

from textgym.tasks import Conversation, Example, MultiTurnTask, ProceduralTask, Reply
from textgym_agents.algorithms import MaximumLikelihoodConfig, ReinforceConfig
from textgym_agents.checkpoint import load_checkpoint_policy
from textgym_agents.evaluate import evaluate
from textgym_agents.policies.causal_lm import CausalLMPolicy
from textgym_agents.policies.construction import PolicyConfig
from textgym_agents.policies.models import small_gpt2
from textgym_agents.rollout import collect
from textgym_agents.runs.environments import make_envs
from textgym_agents.train import TrainConfig, train


class Echo(Conversation):
    """Names a letter each turn, which the agent is to repeat."""

    def __init__(self, letters: str) -> None:
        self._letters = letters
        self._right: list[bool] = []

    def reply(self, turn: str) -> Reply:
        self._right.append(turn.strip() == self._letters[len(self._right)])
        done = len(self._right) == len(self._letters)
        return Reply("" if done else f"{self._letters[len(self._right)]} =", done)

    def outcome(self) -> Mapping[str, float]:
        return {"right": sum(self._right) / len(self._letters)}


class EchoTask(ProceduralTask, MultiTurnTask):
    name = "echo"
    levels: ClassVar[tuple[str, ...]] = ("easy",)
    default_level: ClassVar[str] = "easy"
    tokenizer = "symbols:a b c d"
    max_prompt_tokens = 2
    max_new_tokens = 10

    def generate(self, rng: np.random.Generator) -> Example:
        letters = "".join(rng.choice(list("abcd"), size=3))
        # The prompt alone decides on the split: with the first letter alone all would be in one.
        return Example(f"{letters[0]} =", (), {"letters": letters})

    def example(self, index: int, split: str = "train") -> Example:
        return self.generate(np.random.default_rng([index, len(split)]))

    def converse(self, example: Example) -> Conversation:
        return Echo(example.metadata["letters"])

    def expert(self, example: Example, turns: Sequence[tuple[str, str]] = ()) -> str:
        return str(example.metadata["letters"][len(turns)])


ENV = {
    "task": "test_turns_learning:EchoTask",
    "reward": "outcome:right",
    "max_prompt_tokens": None,
    "max_new_tokens": None,
}
KWARGS: dict[str, Any] = {**ENV, "task": EchoTask()}


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_one_pass_evaluates_a_conversation_as_it_was_sampled(mode: str) -> None:
    envs = gym.make_vec("textgym:textgym/Text-v0", 8, autoreset_mode=mode, **KWARGS)
    model = small_gpt2(6, layers=2, heads=2, width=32, max_positions=12, seed=0)
    policy = CausalLMPolicy.from_env(envs, model)
    generator = torch.Generator().manual_seed(0)
    episodes = collect(envs, policy, seeds=range(8), episodes_per_env=4, generator=generator)
    assert any(len(episode.info["turns"]) >= 2 for episode in episodes)
    for episode in episodes:
        contexts = episode.observations
        # Replies lie between the actions, and none of them is one.
        assert contexts.lengths[0] == 2
        spoken = contexts.tokens[contexts.lengths[1:] - 1]
        replied = np.diff(contexts.lengths) > 1
        assert (spoken[~replied] == episode.actions[:-1][~replied]).all()
        assert (contexts.tokens[contexts.lengths[:-1]] == episode.actions[:-1]).all()
    evaluation = policy.evaluate(episodes)
    sampled = np.concatenate([episode.log_probs for episode in episodes])
    assert evaluation.log_probs.detach().numpy() == pytest.approx(sampled, abs=1e-5)
    # The same, a pass a step.
    for episode in episodes[:4]:
        for t, length in enumerate(episode.observations.lengths):
            ids = torch.from_numpy(episode.observations.tokens[:length])[None]
            with torch.no_grad():
                logits = model(ids).logits[0, -1].clone()
            logits[~torch.from_numpy(np.resize(episode.action_masks, 6))] = -torch.inf
            alone = torch.log_softmax(logits, -1)[episode.actions[t]]
            assert float(alone) == pytest.approx(float(episode.log_probs[t]), abs=1e-5)


def test_the_gradient_of_cut_conversations_is_that_of_a_pass_a_step() -> None:
    """Of log-probabilities, entropies and values, each step weighed by another number."""
    envs = make_envs("textgym:textgym/Text-v0", 24, KWARGS)
    model = small_gpt2(6, layers=2, heads=2, width=32, max_positions=12, seed=0)
    policy = CausalLMPolicy.from_env(envs, model)
    head = policy.value_head
    assert head is not None
    torch.nn.init.normal_(head.weight)
    generator = torch.Generator().manual_seed(0)
    episodes = collect(envs, policy, seeds=range(24), steps_per_env=7, generator=generator)
    cut = [episode for episode in episodes if not episode.terminated]
    turns = [np.diff(episode.observations.lengths).max(initial=0) > 1 for episode in cut]
    assert len(cut) >= 4 and any(turns)
    weights = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 24 * 7))).float()
    packed = policy.evaluate(episodes)
    loss = (weights * torch.stack([packed.log_probs, packed.entropy, packed.values])).sum()
    rows = []
    for episode in episodes:
        legal = torch.from_numpy(np.resize(episode.action_masks, 6))
        for t, length in enumerate(episode.observations.lengths):
            ids = torch.from_numpy(episode.observations.tokens[:length])[None]
            hidden = model.transformer(ids).last_hidden_state[0, -1]
            logits = model.lm_head(hidden).masked_fill(~legal, -1e9)
            drawn = torch.distributions.Categorical(logits=logits)
            chosen = drawn.log_prob(torch.tensor(episode.actions[t]))
            rows.append(torch.stack([chosen, drawn.entropy(), head(hidden)[0]]))
    alone = (weights * torch.stack(rows, dim=1)).sum()
    torch.testing.assert_close(loss, alone, atol=1e-4, rtol=1e-5)
    gradients = [torch.autograd.grad(each, list(policy.parameters())) for each in (loss, alone)]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5 * float(theirs.abs().max()), rtol=1e-4)


def test_likelihood_and_reinforce_learn_a_conversation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    shared: dict[str, Any] = {
        "env_id": "textgym:textgym/Text-v0",
        "progress": False,
        "tensorboard": False,
        "policy": PolicyConfig(layers=1, heads=2, width=32),
    }
    cloned = train(
        TrainConfig(
            **shared,
            env_kwargs={**ENV, "demonstrations": True},
            num_envs=32,
            total_steps=6_000,
            output=tmp_path / "mle",
        ),
        MaximumLikelihoodConfig(learning_rate=1e-2),
    )
    improved = train(
        TrainConfig(
            **shared, env_kwargs=ENV, num_envs=64, total_steps=60_000, output=tmp_path / "pg"
        ),
        ReinforceConfig(
            learning_rate=3e-3, baseline="leave_one_out", group_size=4, entropy_coef=0.05
        ),
    )
    scores = {}
    for name, result in (("mle", cloned), ("pg", improved)):
        policy = load_checkpoint_policy(result.checkpoint)
        envs = make_envs("textgym:textgym/Text-v0", 32, ENV)
        scores[name] = evaluate(envs, policy, num_episodes=256, seed=1).scores["right"]
    assert scores["mle"].low > 0.9
    # Random tokens say the one right letter and EOS 1 time in 36. Over five seeds: 0.76 to 0.99.
    assert scores["pg"].low > 0.6
