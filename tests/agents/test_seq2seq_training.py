"""Encoder-decoder policies in runs: environments, checkpoints, learning, and clear errors."""

from __future__ import annotations

import copy
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    MarianConfig,
    MarianMTModel,
    PreTrainedModel,
)

from textgym_agents import checkpoint
from textgym_agents import train as training
from textgym_agents.algorithms import (
    AlgorithmConfig,
    MaximumLikelihood,
    MaximumLikelihoodConfig,
    Reinforce,
    ReinforceConfig,
)
from textgym_agents.evaluate import evaluate
from textgym_agents.policies import (
    Contexts,
    Episode,
    Seq2SeqPolicy,
    load_seq2seq_lm,
    small_gpt2,
    small_t5,
)
from textgym_agents.policies.construction import PolicyConfig, build_policy, describe_policy
from textgym_agents.policies.weights import load_policy, save_policy
from textgym_agents.rollout import collect
from textgym_agents.runs.environments import make_envs
from textgym_agents.train import TrainConfig, train

COPY, TINY = "textgym:textgym/Copy-v0", "textgym:textgym/Tiny-v0"
SMALL = PolicyConfig(kind="seq2seq", layers=1, heads=2, width=16)
PAD = 10


def t5() -> PreTrainedModel:
    return small_t5(10, layers=1, heads=2, width=16, seed=1)


def bart(positions: int = 8) -> PreTrainedModel:
    torch.manual_seed(1)
    return BartForConditionalGeneration(BartConfig(**_sizes(positions)))


def marian() -> PreTrainedModel:
    torch.manual_seed(1)
    return MarianMTModel(MarianConfig(**_sizes(8), decoder_vocab_size=11))


def _sizes(positions: int) -> dict[str, Any]:
    layers = {f"{part}_layers": 1 for part in ("encoder", "decoder")}
    heads = {f"{part}_attention_heads": 2 for part in ("encoder", "decoder")}
    inner = {f"{part}_ffn_dim": 16 for part in ("encoder", "decoder")}
    ids = {"pad_token_id": 10, "eos_token_id": 9, "decoder_start_token_id": 10}
    ids |= {"bos_token_id": None, "forced_eos_token_id": None}  # type: ignore[dict-item]
    sizes = {"vocab_size": 11, "d_model": 16, "max_position_embeddings": positions}
    return {**layers, **heads, **inner, **ids, **sizes}


def contexts(*rows: list[int]) -> Any:
    array = np.full((len(rows), 8), PAD)
    for row, tokens in enumerate(rows):
        array[row, : len(tokens)] = tokens
    return array


@pytest.mark.parametrize("observation", ["box", "dict"])
@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_in_a_textgym_environment(observation: str, mode: str) -> None:
    kwargs = {"observation": observation, "autoreset_mode": mode, "demonstrations": True}
    envs = gym.make_vec(COPY, 8, level="medium", **kwargs)
    policy = Seq2SeqPolicy.from_env(envs, small_t5(10, layers=1, heads=2, width=16))
    seeds = [1, 1, 2, 2, 3, 3, 4, 4]
    generator = torch.Generator().manual_seed(0)
    episodes = collect(envs, policy, seeds=seeds, episodes_per_env=3, generator=generator)
    evaluated = policy.evaluate(episodes).log_probs.detach().numpy()
    collected = np.concatenate([episode.log_probs for episode in episodes])
    np.testing.assert_allclose(evaluated, collected, atol=1e-5, rtol=0)
    tokenizer = envs.mdp.tokenizer  # type: ignore[attr-defined]
    for episode in episodes:
        assert isinstance(episode.observations, Contexts)
        prompt = episode.observations.tokens[: episode.observations.lengths[0]]
        assert tokenizer.decode(prompt.tolist()) == episode.info["prompt"]
    expert = collect(envs, policy, seeds=seeds, follow_expert=True)
    assert [episode.info["score"] for episode in expert] == [1.0] * 8
    assert policy.evaluate(expert).log_probs.shape == (sum(e.num_steps for e in expert),)


def test_replies_go_to_the_decoder() -> None:
    """In a conversation only what came before the first turn is the prompt."""
    envs = gym.make_vec("textgym:textgym/Wordle-v0", 2, level="easy", demonstrations=True)
    size = int(envs.single_action_space.n)
    policy = Seq2SeqPolicy.from_env(envs, small_t5(size, layers=1, heads=2, width=8))
    episodes = collect(envs, policy, seeds=[3, 5], follow_expert=True)
    assert any((np.diff(e.observations.lengths) > 1).any() for e in episodes)  # type: ignore[union-attr]
    found = policy.evaluate(episodes).log_probs.detach().numpy()
    expected = []
    for episode in episodes:
        assert isinstance(episode.observations, Contexts)
        policy.make_store(1)
        for length, action in zip(episode.observations.lengths, episode.actions, strict=True):
            context = np.full((1, *envs.single_observation_space.shape), envs.metadata["pad_id"])
            context[0, :length] = episode.observations.tokens[:length]
            masks = episode.action_masks
            assert masks is not None
            table = policy.step_log_probs(context, action_masks=masks[None])
            expected.append(table[0, action].item())
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_without_a_cache_the_same_actions_are_drawn() -> None:
    batches = []
    for cache, seed in ((True, 1), (False, 1), (True, 2)):
        envs = make_envs(COPY, 5)
        policy = Seq2SeqPolicy.from_env(envs, t5(), cache=cache)
        generator = torch.Generator().manual_seed(seed)
        episodes = collect(envs, policy, seeds=range(5), episodes_per_env=2, generator=generator)
        batches.append([episode.actions.tolist() for episode in episodes])
    assert batches[0] == batches[1] != batches[2]


def test_changed_weights_make_the_cache_stale() -> None:
    policy, other = (Seq2SeqPolicy(t5(), PAD, num_actions=10) for _ in range(2))
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.5)
    observations = contexts([1, 2], [3, 4, 5])
    policy.act(observations)
    observations[:, 3] = 6
    observations[0, 2] = 7
    expected = other.act(observations, deterministic=True, prompt_lengths=np.array([2, 3]))
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(1.5)
    found = policy.act(observations, deterministic=True)  # It still knows the prompts.
    np.testing.assert_allclose(found.log_probs, expected.log_probs, atol=1e-6)
    policy.load_state_dict(Seq2SeqPolicy(t5(), PAD).state_dict(), assign=True)
    fresh = Seq2SeqPolicy(t5(), PAD, num_actions=10)
    expected = fresh.act(observations, deterministic=True, prompt_lengths=np.array([2, 3]))
    found = policy.act(observations, deterministic=True)
    np.testing.assert_allclose(found.log_probs, expected.log_probs, atol=1e-6)


def test_dropout_stays_off_and_values_start_at_zero() -> None:
    model = bart()
    for module in model.modules():
        if isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.5  # type: ignore[assignment]
    policy = Seq2SeqPolicy(model, PAD, num_actions=10)
    policy.train()
    first = policy.act(contexts([1, 2]), deterministic=True)
    policy.clear_cache()
    again = policy.act(contexts([1, 2]), deterministic=True)
    np.testing.assert_array_equal(first.log_probs, again.log_probs)
    assert first.values.tolist() == [0.0] and policy.training
    plain = Seq2SeqPolicy(bart(), PAD, value_head=False)
    assert plain.act(contexts([1, 2])).values.tolist() == [0.0]


def test_inactive_slots_cost_nothing_when_all_are_and_stay_legal() -> None:
    policy = Seq2SeqPolicy(t5(), PAD, num_actions=10)
    policy.model.register_forward_pre_hook(lambda *_: pytest.fail("the model was called"))
    masks = np.zeros((2, 10), np.bool_)
    masks[0, 4] = masks[1, 6] = True
    acted = policy.act(contexts([1], [2]), action_masks=masks, active=np.zeros(2, np.bool_))
    assert acted.actions.tolist() == [4, 6]


def test_a_reference_stays_as_it_was() -> None:
    envs = make_envs(COPY, 4)
    policy = Seq2SeqPolicy.from_env(envs, t5())
    episodes = collect(envs, policy, seeds=range(4), generator=torch.Generator().manual_seed(0))
    before = policy.evaluate(episodes).log_probs.detach()
    acted = policy.act(contexts([1], [2, 3]), deterministic=True).log_probs
    copied = copy.deepcopy(policy)  # With all that it keeps between calls.
    reference = policy.reference()
    Reinforce(policy, ReinforceConfig(learning_rate=0.05)).update(episodes)
    assert not torch.allclose(policy.evaluate(episodes).log_probs, before, atol=1e-3)
    frozen = reference.evaluate(episodes).log_probs
    torch.testing.assert_close(frozen, before)
    assert not frozen.requires_grad
    for other in (copied, reference):
        again = other.act(contexts([1], [2, 3]), deterministic=True).log_probs
        np.testing.assert_allclose(again, acted, atol=1e-6)


@pytest.mark.parametrize("make_model", [t5, bart])
def test_recomputed_layers_give_the_same_gradients(make_model: Any) -> None:
    envs, found = make_envs(COPY, 4), []
    for recompute in (False, True):
        policy = Seq2SeqPolicy.from_env(envs, make_model(), gradient_checkpointing=recompute)
        generator = torch.Generator().manual_seed(0)
        episodes = collect(envs, policy, seeds=[1, 1, 2, 3], generator=generator)
        policy.evaluate(episodes).log_probs.sum().backward()
        found.append([p.grad for p in policy.parameters() if p.grad is not None])
    assert len(found[0]) > 10
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("make_model", [t5, bart])
def test_bfloat16(make_model: Any) -> None:
    envs = make_envs(COPY, 4)
    plain = Seq2SeqPolicy.from_env(envs, make_model())
    half = Seq2SeqPolicy.from_env(envs, make_model(), precision="bf16")
    generator = torch.Generator().manual_seed(0)
    episodes = collect(envs, half, seeds=range(4), episodes_per_env=2, generator=generator)
    evaluated = half.evaluate(episodes).log_probs
    exact = plain.evaluate(episodes).log_probs
    assert not torch.equal(evaluated, exact)
    torch.testing.assert_close(evaluated, exact, atol=0.1, rtol=0)
    collected = np.concatenate([episode.log_probs for episode in episodes])
    np.testing.assert_allclose(collected, exact.detach(), atol=0.1)
    evaluated.sum().backward()
    whole = half.to(torch.bfloat16)
    episodes = collect(envs, whole, seeds=range(4), generator=generator)
    assert torch.isfinite(whole.evaluate(episodes).log_probs).all()


@pytest.mark.parametrize("parts", [{}, {"lora_rank": 2, "critic": "separate"}], ids=["", "parts"])
@pytest.mark.parametrize("make_model", [t5, bart, marian])
def test_a_checkpoint_is_exact(make_model: Any, parts: dict[str, Any], tmp_path: Path) -> None:
    envs = make_envs(COPY, 2)
    description = describe_policy(replace(SMALL, **parts), envs, seed=3)
    if make_model is not t5:
        make_model().save_pretrained(tmp_path / "model")
        description["model"] = str(tmp_path / "model")
    policy = build_policy(description)
    assert isinstance(policy, Seq2SeqPolicy)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "embed_positions" not in name:  # Marian's are computed.
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    (tmp_path / "saved").mkdir()
    save_policy(policy, tmp_path / "saved")
    loaded = load_policy(description, tmp_path / "saved")
    assert loaded.state_dict().keys() == policy.state_dict().keys()
    for name, tensor in policy.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    expected = policy.act(contexts([1, 2, 3]), deterministic=True)
    found = loaded.act(contexts([1, 2, 3]), deterministic=True)
    assert found.log_probs == expected.log_probs  # To the bit, or resumed runs would differ.


def config(output: Path, **kwargs: Any) -> TrainConfig:
    options = {"env_id": TINY, "policy": SMALL, "num_envs": 4, "total_steps": 10_000}
    options |= {"output": output, "progress": False, "checkpoint_interval": 100}
    return TrainConfig(**{**options, **kwargs})


ALGORITHMS: dict[str, tuple[dict[str, Any], AlgorithmConfig]] = {
    "reinforce": ({}, ReinforceConfig(baseline="learned")),
    "mle": ({"env_kwargs": {"demonstrations": True}}, MaximumLikelihoodConfig()),
}


@pytest.mark.parametrize("name", list(ALGORITHMS))
def test_resumed_run_equals_the_unstopped_one(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, algorithm = ALGORITHMS[name]
    iterate, results = training.iterate, []
    for output, stop in (("whole", 6), ("halves", 3), ("halves", 6)):

        def interrupted(run: Any, stop: int = stop) -> dict[str, float]:
            if run.iteration + 1 == stop:
                os.kill(os.getpid(), signal.SIGINT)
            return iterate(run)

        monkeypatch.setattr(training, "iterate", interrupted)
        resume = (output, stop) == ("halves", 6)
        results.append(train(config(tmp_path / output, resume=resume, **options), algorithm))
    assert [result.iteration for result in results] == [6, 3, 6]
    files = sorted(results[0].checkpoint.rglob("*.safetensors"))
    assert len(files) >= 3
    for file in files:
        expected = load_file(file)
        resumed = load_file(results[2].checkpoint / file.relative_to(results[0].checkpoint))
        for key, tensor in expected.items():
            assert torch.equal(tensor, resumed[key]), (file.name, key)
    assert checkpoint.load_checkpoint_policy(results[0].checkpoint).act(
        np.array([[1, 2, 2, 2, 2, 2]])
    )


def test_models_and_contexts_that_do_not_fit_are_named(tmp_path: Path) -> None:
    envs = make_envs(COPY, 2)
    gpt2 = small_gpt2(10, layers=1, heads=1, width=8)
    with pytest.raises(ValueError, match=r"GPT2LMHeadModel has no encoder.*CausalLMPolicy"):
        Seq2SeqPolicy.from_env(envs, gpt2)
    gpt2.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"gpt2 model, which has no encoder.*causal_lm"):
        load_seq2seq_lm(tmp_path)
    with pytest.raises(ValueError, match="gpt2 model, which has no encoder"):
        build_policy(describe_policy(PolicyConfig(kind="seq2seq", model="bundled"), envs))
    with pytest.raises(ValueError, match=r"heads must divide width, got 3 heads and width 16"):
        small_t5(10, heads=3, width=16)
    with pytest.raises(ValueError, match=r"10 actions.*embeds only 5"):
        Seq2SeqPolicy.from_env(envs, small_t5(4, layers=1, heads=1, width=8))
    with pytest.raises(ValueError, match=r"8 tokens.*max_position_embeddings=3"):
        Seq2SeqPolicy.from_env(envs, bart(3))
    with pytest.raises(ValueError, match="pad_id"):
        Seq2SeqPolicy.from_env(gym.make_vec("CartPole-v1", 1), t5())
    with pytest.raises(ValueError, match=r"a seq2seq needs an environment"):
        describe_policy(SMALL, gym.make_vec("CartPole-v1", 1))
    startless = t5()
    startless.config.decoder_start_token_id = None
    startless.generation_config.decoder_start_token_id = None
    with pytest.raises(ValueError, match="decoder_start_token_id"):
        Seq2SeqPolicy(startless, PAD)


def test_prompts_and_responses_that_do_not_fit_are_named() -> None:
    policy = Seq2SeqPolicy(bart(4), PAD, num_actions=10)
    with pytest.raises(ValueError, match=r"prompt of slot 1 has 0 tokens"):
        policy.act(contexts([1], []))
    with pytest.raises(ValueError, match=r"prompt of slot 0 has 3 tokens and its context 2"):
        policy.act(contexts([1, 2]), prompt_lengths=np.array([3]))
    with pytest.raises(ValueError, match=r"a prompt of 5 tokens.*max_position_embeddings=4"):
        policy.act(contexts([9, 2, 3, 4, 5]))
    with pytest.raises(ValueError, match=r"a response, with the start token, of 5 tokens"):
        policy.act(contexts([1, 2, 3, 4, 5]), prompt_lengths=np.array([1]))
    with pytest.raises(ValueError, match="token id 40"):
        policy.act(contexts([1, 40]))
    with pytest.raises(ValueError, match=r"float32 \(2, 4\)"):
        policy.act(np.zeros((2, 4), np.float32))
    weight = policy.model.get_input_embeddings().weight
    old = weight.detach().clone()
    with torch.no_grad():
        weight.fill_(torch.nan)
    with pytest.raises(ValueError, match="not finite"):
        policy.act(contexts([1]))
    with torch.no_grad():
        weight.copy_(old)
    assert np.isfinite(policy.act(contexts([1])).log_probs).all()
    nothing = np.zeros(1, np.float32)
    rows = {"observations": np.zeros((1, 4)), "actions": np.zeros(1, np.int64)}
    record = {"log_probs": nothing, "values": nothing, "rewards": np.zeros(1)}
    with pytest.raises(ValueError, match="ndarray"):
        policy.evaluate([Episode(slot=0, group=0, **rows, **record)])


@pytest.mark.slow
def test_likelihood_then_reinforce_learn_to_copy() -> None:
    """A fresh T5 solves nothing; likelihood teaches it some prompts, and reward most of them."""
    envs = make_envs(COPY, 32, {"demonstrations": True, "reward": "exact_match"})
    policy = Seq2SeqPolicy.from_env(envs, small_t5(10, layers=2, heads=4, width=64))
    scores = [evaluate(envs, policy, num_episodes=256).returns.mean]
    cloning = MaximumLikelihood(policy, MaximumLikelihoodConfig(learning_rate=2e-3))
    seeds = iter(np.arange(10_000, 30_000).reshape(-1, 32).tolist())
    for _ in range(150):
        cloning.update(collect(envs, policy, seeds=next(seeds), follow_expert=True))
    scores.append(evaluate(envs, policy, num_episodes=256).returns.mean)
    learner = Reinforce(policy, ReinforceConfig(learning_rate=5e-4))
    for iteration in range(250):
        generator = torch.Generator().manual_seed(iteration)
        learner.update(collect(envs, policy, seeds=next(seeds), generator=generator))
    scores.append(evaluate(envs, policy, num_episodes=256).returns.mean)
    assert scores[0] < 0.05 and scores[1] > 0.1 and scores[2] > scores[1] + 0.2, scores
