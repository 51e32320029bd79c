"""The language-model policy: acting and evaluating see one distribution, and errors are clear."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from transformers import BloomConfig, BloomForCausalLM, PreTrainedModel

from tests.agents import texts
from textgym.tokenizers import SymbolTokenizer
from textgym_agents.algorithms import Reinforce, ReinforceConfig
from textgym_agents.policies import Contexts, Episode, Sampling, head, packing
from textgym_agents.policies.causal_lm import CausalLMPolicy
from textgym_agents.policies.construction import PolicyConfig, describe_policy
from textgym_agents.policies.contexts import ContextStore, read_contexts
from textgym_agents.policies.language_model import LanguageModelPolicy
from textgym_agents.policies.models import load_causal_lm, small_gpt2
from textgym_agents.policies.packing import tight_chunks
from textgym_agents.rollout import collect
from textgym_agents.runs.environments import make_envs

VOCAB, EOS, PAD, WIDTH = 29, 0, 29, 20


class Writing(VectorEnv[Any, Any, Any]):
    """Contexts that grow by the action, and by one more token after every token 5.

    An episode ends at EOS or when the context is full; the mask forbids token 7, and token 9
    while the context's length is odd.
    """

    def __init__(self, num_envs: int, as_dict: bool = False) -> None:
        self.num_envs, self.as_dict = num_envs, as_dict
        self.metadata = {"pad_id": PAD, "autoreset_mode": AutoresetMode.NEXT_STEP}
        ids = gym.spaces.Box(0, PAD, (WIDTH,), np.int64)
        self.single_observation_space = ids
        if as_dict:
            attention = gym.spaces.Box(0, 1, (WIDTH,), np.bool_)
            self.single_observation_space = gym.spaces.Dict(input_ids=ids, attention_mask=attention)
        self.single_action_space = gym.spaces.Discrete(VOCAB)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.rngs = [np.random.default_rng(one) for one in seed]
        self.contexts = [self._prompt(slot) for slot in range(self.num_envs)]
        self.done = np.zeros(self.num_envs, np.bool_)
        return self._observations(), self._infos()

    def _prompt(self, slot: int) -> list[int]:
        rng = self.rngs[slot]
        return rng.integers(1, VOCAB, size=int(rng.integers(1, 7))).tolist()

    def step(self, actions: NDArray[np.int64]) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        ended = np.zeros(self.num_envs, np.bool_)
        for slot, action in enumerate(actions.tolist()):
            if self.done[slot]:
                self.contexts[slot] = self._prompt(slot)
                continue
            assert action != 7 and not (action == 9 and len(self.contexts[slot]) % 2)
            reply = [3] if action == 5 else []
            self.contexts[slot] = (self.contexts[slot] + [action] + reply)[:WIDTH]
            ended[slot] = action == EOS or len(self.contexts[slot]) == WIDTH
        self.done = ended
        nothing = np.zeros(self.num_envs)
        return self._observations(), nothing, ended, nothing.astype(np.bool_), self._infos()

    def _observations(self) -> Any:
        ids = np.full((self.num_envs, WIDTH), PAD)
        for slot, context in enumerate(self.contexts):
            ids[slot, : len(context)] = context
        return {"input_ids": ids, "attention_mask": ids != PAD} if self.as_dict else ids

    def _infos(self) -> dict[str, Any]:
        masks = np.ones((self.num_envs, VOCAB), np.int8)
        masks[:, 7] = 0
        masks[[len(context) % 2 == 1 for context in self.contexts], 9] = 0
        return {"action_mask": masks, "_action_mask": np.ones(self.num_envs, np.bool_)}


def gpt2() -> PreTrainedModel:
    return small_gpt2(VOCAB, layers=2, heads=2, width=16, max_positions=WIDTH, seed=4)


def llama() -> PreTrainedModel:
    """Embeddings padded beyond the vocabulary, as many published models have."""
    return texts.llama(32, WIDTH)


MODELS = pytest.mark.parametrize("make_model", [gpt2, llama])
SAMPLING = Sampling(temperature=0.8, top_k=20, top_p=0.95)
EACH_OPTION = (
    Sampling(temperature=0.7),
    Sampling(top_k=5),
    Sampling(top_p=0.8),
    Sampling(min_p=0.1),
    Sampling(epsilon=0.2),
)
EVERY_OPTION = Sampling(temperature=0.8, top_k=10, top_p=0.9, min_p=0.1, epsilon=0.2)


def sharpened(policy: CausalLMPolicy) -> CausalLMPolicy:
    """Random weights large enough that contexts matter, and a value head that is not 0."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in policy.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(0.2 * noise)
    return policy


@MODELS
@pytest.mark.parametrize("as_dict", [False, True])
@pytest.mark.parametrize("sampling", [Sampling(), *EACH_OPTION, SAMPLING, EVERY_OPTION], ids=str)
def test_evaluate_agrees_with_act(make_model: Any, as_dict: bool, sampling: Sampling) -> None:
    envs = Writing(6, as_dict)
    policy = sharpened(CausalLMPolicy.from_env(envs, make_model(), sampling=sampling))
    assert_evaluates_as_it_acts(policy, envs)


@MODELS
@pytest.mark.parametrize("critic", ["shared", "separate"])
@pytest.mark.parametrize("recompute", [False, True])
def test_adapters_critics_and_recomputing_do_with_every_option_on(
    make_model: Any, critic: str, recompute: bool
) -> None:
    parts = {"rank": 2, "critic": critic, "gradient_checkpointing": recompute}
    policy = texts.lm_policy(make_model(), moved=0.2, **parts)
    policy.sampling = EVERY_OPTION
    assert_evaluates_as_it_acts(policy, Writing(6))


def assert_evaluates_as_it_acts(policy: LanguageModelPolicy, envs: Writing) -> None:
    """To 1e-5, by what acting has computed and by computing all again."""
    generator = torch.Generator().manual_seed(0)
    episodes = collect(envs, policy, seeds=range(6), episodes_per_env=6, generator=generator)
    assert len({episode.num_steps for episode in episodes}) > 5
    taken_over = policy.evaluate(episodes)
    policy.clear_cache()
    for evaluation in (taken_over, policy.evaluate(episodes)):
        assert len(evaluation.log_probs) == sum(episode.num_steps for episode in episodes)
        for name in ("log_probs", "values"):
            collected = np.concatenate([getattr(episode, name) for episode in episodes])
            evaluated = getattr(evaluation, name).detach().numpy()
            np.testing.assert_allclose(evaluated, collected, atol=1e-5, rtol=0)
    assert np.concatenate([e.values for e in episodes]).std() > 0.01


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(top_p=0.9, epsilon=0.1),
        Sampling(min_p=0.1),
        Sampling(top_p=0.7),
        Sampling(top_k=50),
        Sampling(top_k=200, top_p=0.8, epsilon=0.1),
    ],
    ids=str,
)
def test_rounding_moves_nothing_over_the_edge_of_a_filter(sampling: Sampling) -> None:
    """Of many actions, some are within rounding of it at one step in a thousand."""
    envs = gym.make_vec(
        "textgym:textgym/Text-v0",
        64,
        task=[{"prompt": "a", "reference": "a"}],
        tokenizer=SymbolTokenizer(["a", *(f"w{i}" for i in range(3000))]),
        reward=lambda *_: 0.0,
        max_prompt_tokens=2,
        max_new_tokens=100,
    )
    vocab = int(envs.single_action_space.n)
    model = small_gpt2(vocab, layers=2, heads=2, width=32, max_positions=WIDTH * 6)
    policy = sharpened(CausalLMPolicy.from_env(envs, model, sampling=sampling))
    generator = torch.Generator().manual_seed(0)
    episodes = collect(
        envs, policy, seeds=range(64), steps_per_env=80, episodes_per_env=1, generator=generator
    )
    with torch.no_grad():
        again = policy.evaluate(episodes).log_probs.numpy()
    collected = np.concatenate([episode.log_probs for episode in episodes])
    assert len(collected) == 64 * 80
    np.testing.assert_allclose(again, collected, atol=1e-5, rtol=0)


@MODELS
def test_evaluate_is_what_transformers_computes_one_context_at_a_time(make_model: Any) -> None:
    envs = Writing(3)
    policy = sharpened(CausalLMPolicy.from_env(envs, make_model(), sampling=Sampling()))
    episodes = collect(envs, policy, seeds=[1, 2, 3], generator=torch.Generator().manual_seed(0))
    evaluation = policy.evaluate(episodes)
    log_probs, entropies = [], []
    for episode in episodes:
        assert isinstance(episode.observations, Contexts)
        masks = np.broadcast_to(episode.action_masks, (episode.num_steps, VOCAB))
        for length, action, mask in zip(
            episode.observations.lengths, episode.actions, masks, strict=True
        ):
            ids = torch.from_numpy(episode.observations.tokens[:length])[None]
            logits = policy.model(ids).logits[0, -1, :VOCAB]
            logits = logits.masked_fill(~torch.from_numpy(mask.copy()), -1e9)
            distribution = torch.distributions.Categorical(logits=logits)
            log_probs.append(distribution.log_prob(torch.tensor(action)))
            entropies.append(distribution.entropy())
    torch.testing.assert_close(evaluation.log_probs, torch.stack(log_probs), atol=1e-5, rtol=0)
    torch.testing.assert_close(evaluation.entropy, torch.stack(entropies), atol=1e-5, rtol=0)


def test_evaluate_computes_logits_at_actions_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    envs = Writing(4)
    policy = CausalLMPolicy.from_env(envs, gpt2())
    episodes = collect(envs, policy, seeds=range(4), episodes_per_env=2)
    calls: list[int] = []
    policy(episodes)  # The first evaluation finds out what kind of head there is.
    compute = head._logits

    def counted(*arguments: Any) -> torch.Tensor:
        logits = compute(*arguments)
        calls.append(len(logits))
        return logits

    monkeypatch.setattr(head, "_logits", counted)
    policy.model.get_output_embeddings().register_forward_hook(
        lambda _, __, logits: calls.append(logits.shape[:-1].numel())
    )
    policy(episodes)
    assert sorted(calls) == [0, sum(episode.num_steps for episode in episodes)]


def grouped(seed: int, lengths: tuple[int, ...] = (5, 1, 3)) -> list[Episode]:
    """Four texts of 1 to 12 tokens after each of some prompts, the groups mixed."""
    rng = np.random.default_rng(seed)
    prompts = [rng.integers(1, VOCAB, size=length) for length in lengths]
    episodes = []
    for index in range(4 * len(prompts)):
        prompt = prompts[index % len(prompts)]
        text = rng.integers(1, VOCAB, size=int(rng.integers(1, 13)))
        tokens = np.concatenate([prompt, text])[:-1]
        episodes.append(
            Episode(
                slot=index,
                group=index % len(prompts),
                observations=Contexts(tokens, np.arange(len(prompt), len(tokens) + 1)),
                actions=text,
                log_probs=np.zeros(len(text), np.float32),
                values=np.zeros(len(text), np.float32),
                rewards=np.zeros(len(text)),
            )
        )
    return episodes


@MODELS
@pytest.mark.parametrize("lengths", [(5, 8, 3), (5, 1, 3)], ids=["shared", "a prompt of a token"])
def test_shared_prompts_change_neither_numbers_nor_gradients(
    make_model: Any, lengths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(packing._PASS_COST, "cpu", 1)  # Several chunks of different lengths.
    policy = sharpened(CausalLMPolicy(make_model(), PAD, sampling=SAMPLING))
    episodes = grouped(0, lengths)
    weight = torch.linspace(-1, 1, sum(episode.num_steps for episode in episodes))
    found = []
    for parts in ([episodes], [[episode] for episode in episodes]):
        policy.zero_grad()
        evaluations = [policy.evaluate(part) for part in parts]
        joined = [
            torch.cat([getattr(e, name) for e in evaluations])
            for name in ("log_probs", "entropy", "values")
        ]
        sum((weight * one).sum() for one in joined).backward()
        gradients = torch.cat([p.grad.flatten() for p in policy.parameters() if p.grad is not None])
        found.append([*(one.detach() for one in joined), gradients])
    for together, apart in zip(*found, strict=True):
        torch.testing.assert_close(together, apart, atol=2e-5, rtol=2e-5)


def test_a_shared_prompt_goes_through_the_model_once_and_padding_never() -> None:
    policy = CausalLMPolicy(gpt2(), PAD)
    tokens: list[int] = []
    policy.model.transformer.h[0].register_forward_hook(
        lambda _, arguments, __: tokens.append(arguments[0].shape[:2].numel())
    )
    episodes = grouped(0, (8, 8))
    policy.evaluate(episodes)  # The first evaluation finds out what kind of head there is.
    tokens.clear()
    policy.evaluate(episodes)
    assert tokens == [2 * 7 + sum(episode.num_steps for episode in episodes)]


@pytest.mark.parametrize("pass_cost", [0, 3, 10, 1000])
def test_chunks_cost_the_least_that_is_possible(pass_cost: int) -> None:
    """Against every way to cut the sequences, in the order of their lengths, into chunks."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        sizes = rng.geometric(0.1, size=9)
        ordered = np.sort(sizes)
        costs = []
        for cuts in itertools.product([False, True], repeat=8):
            ends = [*np.flatnonzero(cuts) + 1, 9]
            begins = [0, *ends[:-1]]
            parts = [(e - b) * ordered[e - 1] for b, e in zip(begins, ends, strict=True)]
            costs.append(sum(parts) + pass_cost * len(parts))
        chunks = tight_chunks(sizes, pass_cost)
        assert sorted(index for chunk in chunks for index in chunk) == list(range(9))
        found = sum(len(c) * int(sizes[c].max()) + pass_cost for c in chunks)
        assert found == min(costs)


@MODELS
def test_gradients_reach_every_weight(make_model: Any) -> None:
    envs = Writing(3)
    policy = sharpened(CausalLMPolicy.from_env(envs, make_model()))
    episodes = collect(envs, policy, seeds=[1, 2, 3], episodes_per_env=2)
    evaluation = policy.evaluate(episodes)
    (evaluation.log_probs.mean() + evaluation.values.mean()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in policy.parameters())


def test_acting_depends_on_the_generator_alone_and_not_on_the_cache() -> None:
    model = gpt2()
    batches = []
    for cache, seed in ((True, 1), (True, 1), (False, 1), (True, 2)):
        envs = Writing(5)
        policy = CausalLMPolicy.from_env(envs, model, cache=cache, sampling=SAMPLING)
        generator = torch.Generator().manual_seed(seed)
        episodes = collect(envs, policy, seeds=range(5), episodes_per_env=3, generator=generator)
        batches.append([episode.actions.tolist() for episode in episodes])
    assert batches[0] == batches[1] == batches[2] != batches[3]


def test_deterministic_takes_the_most_probable_legal_token() -> None:
    policy = sharpened(CausalLMPolicy(gpt2(), PAD, sampling=SAMPLING))
    contexts = np.full((4, WIDTH), PAD)
    contexts[:, :3] = np.arange(12).reshape(4, 3)
    with torch.no_grad():
        logits = policy.model(torch.from_numpy(contexts[:, :3])).logits[:, -1]
    acted = policy.act(contexts, deterministic=True)
    assert acted.actions.tolist() == logits.argmax(-1).tolist()
    masks = np.ones((4, VOCAB), np.bool_)
    masks[np.arange(4), acted.actions] = False
    second = policy.act(contexts, action_masks=masks, deterministic=True)
    assert second.actions.tolist() == logits.topk(2).indices[:, 1].tolist()
    assert (second.log_probs < 0).all()


def test_dropout_stays_off_and_values_start_at_zero() -> None:
    model = gpt2()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    policy = CausalLMPolicy(model, PAD)
    policy.train()
    contexts = np.full((2, WIDTH), PAD)
    contexts[:, 0] = [1, 2]
    first = policy.act(contexts, deterministic=True)
    policy.clear_cache()
    np.testing.assert_array_equal(
        first.log_probs, policy.act(contexts, deterministic=True).log_probs
    )
    assert first.values.tolist() == [0.0, 0.0]
    assert policy.training and policy.value_head is not None
    assert CausalLMPolicy(gpt2(), PAD, value_head=False).act(contexts).values.tolist() == [0, 0]


def test_inactive_slots_cost_nothing_when_all_are_and_stay_legal() -> None:
    policy = CausalLMPolicy(gpt2(), PAD)
    policy.model.register_forward_pre_hook(lambda *_: pytest.fail("the model was called"))
    contexts = np.full((2, WIDTH), PAD)
    masks = np.zeros((2, VOCAB), np.bool_)
    masks[0, 4] = masks[1, 6] = True
    acted = policy.act(contexts, action_masks=masks, active=np.zeros(2, np.bool_))
    assert acted.actions.tolist() == [4, 6]


def test_state_dict_round_trip_keeps_the_distribution() -> None:
    policy = sharpened(CausalLMPolicy(gpt2(), PAD))
    other = CausalLMPolicy(small_gpt2(VOCAB, layers=2, heads=2, width=16, max_positions=20), PAD)
    contexts = np.full((1, WIDTH), PAD)
    contexts[0, :4] = [1, 2, 3, 4]
    expected = policy.act(contexts, deterministic=True)
    assert other.act(contexts, deterministic=True).values != expected.values
    assert {key.split(".")[0] for key in policy.state_dict()} == {"model", "value_head"}
    other.load_state_dict(copy.deepcopy(policy.state_dict()))
    loaded = other.act(contexts, deterministic=True)
    assert (loaded.actions, loaded.log_probs) == (expected.actions, expected.log_probs)


def test_small_gpt2_depends_on_its_seed_and_leaves_the_global_one_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    weights = [small_gpt2(11, layers=1, heads=1, width=8, seed=s).lm_head.weight for s in (1, 1, 2)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert torch.equal(torch.get_rng_state(), before)


def test_a_saved_model_loads_and_pickled_weights_do_not(tmp_path: Path) -> None:
    model = gpt2()
    model.save_pretrained(tmp_path / "safe")
    loaded = load_causal_lm(tmp_path / "safe")
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)
    model.config.save_pretrained(tmp_path / "pickled")
    torch.save(model.state_dict(), tmp_path / "pickled" / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        load_causal_lm(tmp_path / "pickled")


def test_an_encoder_decoder_is_not_taken_for_a_decoder(tmp_path: Path) -> None:
    texts.bart().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is a bart model, an encoder-decoder; use policy seq2seq"):
        load_causal_lm(tmp_path)
    envs = gym.make_vec("textgym:textgym/Tiny-v0", num_envs=1)
    for model, kind in ((str(tmp_path), "seq2seq"), ("bundled", "causal_lm"), (None, "causal_lm")):
        assert describe_policy(PolicyConfig(model=model), envs)["kind"] == kind
    with pytest.raises(OSError, match=r"the model \S*/no such model cannot be loaded"):
        describe_policy(PolicyConfig(model=f"{tmp_path}/no such model"), envs)


def test_a_model_without_fused_attention_acts_as_it_evaluates(tmp_path: Path) -> None:
    """Bloom's has none; its positions are biases on the attention."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "n_layer": 2, "n_head": 2}
    ids = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    BloomForCausalLM(BloomConfig(vocab_size=VOCAB, **sizes, **ids)).save_pretrained(tmp_path)
    envs = Writing(3)
    policy = sharpened(CausalLMPolicy.from_env(envs, load_causal_lm(tmp_path)))
    episodes = collect(envs, policy, seeds=[1, 2, 3], generator=torch.Generator().manual_seed(0))
    found = policy.evaluate(episodes).log_probs.detach()
    for episode, own in zip(
        episodes, found.split([episode.num_steps for episode in episodes]), strict=True
    ):
        np.testing.assert_allclose(own, episode.log_probs, atol=1e-5)
        contexts = episode.observations
        assert isinstance(contexts, Contexts)
        model: Any = policy.model
        logits = model(torch.tensor(contexts.tokens)[None]).logits[0, contexts.lengths - 1]
        logits = logits.masked_fill(torch.tensor(~episode.action_masks), -torch.inf)
        chosen = logits.log_softmax(-1)[range(episode.num_steps), episode.actions]
        np.testing.assert_allclose(own, chosen.detach(), atol=1e-4)


def test_weights_that_a_checkpoint_lacks_come_from_the_seed(tmp_path: Path) -> None:
    model = small_gpt2(9, layers=1, heads=2, width=16, max_positions=8)
    model.config.tie_word_embeddings = False
    model.transformer.save_pretrained(tmp_path)
    heads = []
    for seed, state in ((3, 0), (3, 1), (4, 0)):
        torch.manual_seed(state)
        before = torch.get_rng_state()
        heads.append(load_causal_lm(tmp_path, seed=seed).get_output_embeddings().weight)
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])


def test_models_and_environments_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match=r"29 actions.*embeds only 11"):
        CausalLMPolicy.from_env(Writing(1), small_gpt2(11, layers=1, heads=1, width=8))
    short = small_gpt2(VOCAB, layers=1, heads=1, width=8, max_positions=12)
    with pytest.raises(ValueError, match=r"19 tokens.*max_position_embeddings=12"):
        CausalLMPolicy.from_env(Writing(1), short)
    with pytest.raises(ValueError, match=r"pad_id"):
        CausalLMPolicy.from_env(gym.make_vec("CartPole-v1", 1), gpt2())
    policy = CausalLMPolicy(short, PAD)
    contexts = np.full((2, WIDTH), PAD)
    with pytest.raises(ValueError, match="context of slot 0 is empty"):
        policy.act(contexts)
    contexts[:, 0] = [1, 40]
    with pytest.raises(ValueError, match="token id 40"):
        policy.act(contexts)
    contexts[:, :13] = 1
    with pytest.raises(ValueError, match="13 tokens"):
        policy.act(contexts)
    with pytest.raises(ValueError, match=r"float32 \(2, 4\)"):
        policy.act(np.zeros((2, 4), np.float32))
    with pytest.raises(ValueError, match="'input_ids' and 'attention_mask'"):
        policy.act({"obs": contexts})


def test_a_model_of_another_vocabulary_is_refused() -> None:
    """More embeddings than actions are padding up to a point, then another tokenizer's."""

    def model(vocabulary: int) -> PreTrainedModel:
        return small_gpt2(vocabulary, layers=1, heads=1, width=4, max_positions=8)

    with pytest.raises(ValueError, match=r"embeds 10,000 token ids.*only 1,536 actions"):
        CausalLMPolicy(model(10_000), PAD, num_actions=1_536)
    assert CausalLMPolicy(model(1_536 + 128), PAD, num_actions=1_536).num_actions == 1_536
    assert CausalLMPolicy(model(10_500), PAD, num_actions=10_000).num_actions == 10_000
    with pytest.raises(ValueError, match=r"10,501.*10,000"):
        CausalLMPolicy(model(10_501), PAD, num_actions=10_000)


def test_parameters_put_in_the_place_of_others_make_the_cache_stale() -> None:
    policy, other = CausalLMPolicy(gpt2(), PAD), sharpened(CausalLMPolicy(gpt2(), PAD))
    contexts = np.full((2, WIDTH), PAD)
    contexts[:, :4] = [[1, 2, 3, 4], [5, 6, 7, 8]]
    policy.act(contexts, deterministic=True)
    policy.load_state_dict(copy.deepcopy(other.state_dict()), assign=True)
    for length in (5, 6):
        contexts[:, length - 1] = 2
        expected = other.act(contexts, deterministic=True).log_probs
        found = policy.act(contexts, deterministic=True).log_probs
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_policy_moved_to_bfloat16_acts_and_evaluates() -> None:
    envs = Writing(3)
    policy = sharpened(CausalLMPolicy.from_env(envs, gpt2())).to(torch.bfloat16)
    episodes = collect(envs, policy, seeds=[1, 2, 3], generator=torch.Generator().manual_seed(0))
    evaluation = policy.evaluate(episodes)
    assert evaluation.values.dtype == torch.float32
    for name in ("log_probs", "values"):
        collected = np.concatenate([getattr(episode, name) for episode in episodes])
        evaluated = getattr(evaluation, name).detach().float().numpy()
        np.testing.assert_allclose(evaluated, collected, atol=0.1, rtol=0)


def test_a_model_saved_in_bfloat16_loads_in_float32_and_quietly(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = gpt2().to(torch.bfloat16)
    model.save_pretrained(tmp_path)
    capfd.readouterr()
    loaded = load_causal_lm(tmp_path)
    assert capfd.readouterr() == ("", "")
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight.float())


def test_weights_that_are_not_finite_are_noticed_and_leave_no_trace() -> None:
    policy = CausalLMPolicy(gpt2(), PAD)
    long = np.full((2, WIDTH), PAD)
    long[:, :8] = 1
    mixed = long.copy()
    mixed[1, 1:] = PAD
    expected = policy.act(mixed, deterministic=True).log_probs
    weight = policy.model.get_input_embeddings().weight
    old = weight.detach().clone()
    with torch.no_grad():
        weight.fill_(torch.nan)
    with pytest.raises(ValueError, match="not finite"):
        policy.act(long)
    with torch.no_grad():
        weight.copy_(old)
    np.testing.assert_allclose(policy.act(mixed, deterministic=True).log_probs, expected, atol=1e-6)


def test_an_action_at_the_edge_of_a_filter_stays_finite() -> None:
    """Rounding may rank a sampled action just outside the top k when it is evaluated."""
    policy = CausalLMPolicy(gpt2(), PAD, sampling=Sampling(top_k=2))
    episode = Episode(
        slot=0,
        group=0,
        observations=Contexts(np.array([1, 2, 3]), np.array([3])),
        actions=np.zeros(1, np.int64),
        log_probs=np.zeros(1, np.float32),
        values=np.zeros(1, np.float32),
        rewards=np.zeros(1),
    )
    for action in range(VOCAB):
        episode.actions[0] = action
        assert torch.isfinite(policy.evaluate([episode]).log_probs).all()


def test_the_store_keeps_the_last_context_and_its_lengths() -> None:
    store = ContextStore(2, PAD)
    contexts = np.full((2, 6), PAD)
    contexts[:, :2] = [[1, 2], [3, 4]]
    store.add(contexts, np.array([True, True]))
    contexts[0, 2:5] = [5, 6, 7]
    store.add(contexts, np.array([True, False]))
    first = store.finish(0)
    assert (first.tokens.tolist(), first.lengths.tolist()) == ([1, 2, 5, 6, 7], [2, 5])
    contexts[0] = [9, PAD, PAD, PAD, PAD, PAD]
    store.add(contexts, np.array([True, True]))
    assert store.finish(0).tokens.tolist() == [9]
    assert store.finish(1).lengths.tolist() == [2, 2]
    store.add(contexts, np.array([True, False]))
    contexts[0, 0] = 8
    with pytest.raises(ValueError, match="slot 0 does not begin with"):
        store.add(contexts, np.array([True, False]))


def test_padding_is_found_at_the_end_alone() -> None:
    tokens, lengths = read_contexts(np.array([[5, PAD, 6, PAD], [PAD] * 4, [1, 2, 3, 4]]), PAD)
    assert lengths.tolist() == [3, 0, 4]
    assert tokens.tolist() == [[5, 0, 6, 0], [0, 0, 0, 0], [1, 2, 3, 4]]


def test_evaluate_refuses_episodes_of_another_policy() -> None:
    episode = Episode(
        slot=0,
        group=0,
        observations=np.zeros((1, 4)),
        actions=np.zeros(1, np.int64),
        log_probs=np.zeros(1, np.float32),
        values=np.zeros(1, np.float32),
        rewards=np.zeros(1),
    )
    with pytest.raises(ValueError, match="ndarray"):
        CausalLMPolicy(gpt2(), PAD).evaluate([episode])


@pytest.mark.parametrize("observation", ["box", "dict"])
@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_in_a_textgym_environment(observation: str, mode: str) -> None:
    envs = gym.make_vec(
        "textgym:textgym/Reverse-v0",
        8,
        observation=observation,
        autoreset_mode=mode,
        demonstrations=True,
    )
    model = small_gpt2(int(envs.single_action_space.n), layers=1, heads=2, width=16)
    policy = sharpened(CausalLMPolicy.from_env(envs, model))
    seeds = [1, 1, 2, 2, 3, 3, 4, 4]
    episodes = collect(envs, policy, seeds=seeds, episodes_per_env=3)
    evaluated = policy.evaluate(episodes).log_probs.detach().numpy()
    collected = np.concatenate([episode.log_probs for episode in episodes])
    np.testing.assert_allclose(evaluated, collected, atol=1e-5, rtol=0)
    examples: dict[int, set[int]] = {}
    for episode in episodes:
        examples.setdefault(episode.group, set()).add(episode.info["example"])
        assert episode.total_reward == pytest.approx(episode.info["score"])
        assert episode.action_masks is not None and episode.action_masks.ndim == 1
    assert len(examples) == 12 and all(len(example) == 1 for example in examples.values())
    expert = collect(envs, policy, seeds=seeds, follow_expert=True)
    assert [episode.info["score"] for episode in expert] == [1.0] * 8
    assert policy.evaluate(expert).log_probs.shape == (sum(e.num_steps for e in expert),)


def test_padding_after_a_long_prompt_needs_no_positions() -> None:
    """A long prompt with a short text, and a short one with a long text, fill the positions."""
    policy = sharpened(CausalLMPolicy(gpt2(), PAD))
    rng = np.random.default_rng(0)
    episodes = []
    for index, (prompt, text) in enumerate([(WIDTH - 3, 3)] * 3 + [(3, WIDTH - 3)] * 3):
        tokens = np.random.default_rng(prompt).integers(1, VOCAB, size=prompt)
        actions = rng.integers(1, VOCAB, size=text)
        zeros = np.zeros(text, np.float32)
        context = Contexts(np.concatenate([tokens, actions[:-1]]), np.arange(prompt, prompt + text))
        episodes.append(
            Episode(
                slot=index,
                group=0,
                observations=context,
                actions=actions,
                log_probs=zeros,
                values=zeros,
                rewards=zeros.astype(np.float64),
            )
        )
    together = policy.evaluate(episodes).log_probs
    apart = torch.cat([policy.evaluate([episode]).log_probs for episode in episodes])
    torch.testing.assert_close(together, apart, atol=2e-5, rtol=2e-5)


def test_an_algorithm_s_step_makes_the_cache_stale() -> None:
    """A fused optimizer changes weights without a trace in their versions."""
    policy, fresh = CausalLMPolicy(gpt2(), PAD), CausalLMPolicy(gpt2(), PAD)
    learner = Reinforce(policy, ReinforceConfig(learning_rate=0.05))
    contexts = np.full((2, WIDTH), PAD)
    contexts[:, :4] = [[1, 2, 3, 4], [5, 6, 7, 8]]
    policy.act(contexts, deterministic=True)
    policy.episode_log_probs(grouped(0)).square().sum().backward()
    learner._step(0.0, progress=0.0)
    fresh.load_state_dict(policy.state_dict())
    contexts[:, 4] = 2
    expected = fresh.act(contexts, deterministic=True).log_probs
    np.testing.assert_allclose(
        policy.act(contexts, deterministic=True).log_probs, expected, atol=1e-6
    )


def test_a_rollout_owes_nothing_to_what_was_acted_before() -> None:
    """An earlier cache would keep a part of the prompt, and round otherwise."""
    envs = make_envs("textgym:textgym/Tiny-v0", 4)
    space = envs.single_action_space
    assert isinstance(space, gym.spaces.Discrete)
    policy = CausalLMPolicy.from_env(
        envs, small_gpt2(int(space.n), layers=1, heads=2, width=16, max_positions=32)
    )
    for _ in range(2):
        collect(envs, policy, seeds=range(4), generator=torch.Generator().manual_seed(0))
        cache = policy._contexts._cache
        collect(envs, policy, seeds=range(4), generator=torch.Generator().manual_seed(0))
        assert policy._contexts._cache is not cache
    envs.close()
