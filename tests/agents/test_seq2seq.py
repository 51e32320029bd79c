"""Encoder-decoder policies: acting, evaluating and transformers itself see one distribution."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    MarianConfig,
    MarianMTModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from textgym_agents.policies import Contexts, Sampling, Seq2SeqPolicy, small_t5
from textgym_agents.policies.prompt_split import PromptSplit
from textgym_agents.rollout import collect

VOCAB, EOS, PAD, WIDTH, SLOTS = 29, 0, 29, 20, 5


def t5() -> PreTrainedModel:
    return small_t5(VOCAB, layers=2, heads=2, width=16, seed=4)


def bart_sizes(width: int) -> dict[str, Any]:
    layers = {"encoder_layers": 1, "decoder_layers": 2}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    inner = {"encoder_ffn_dim": 24, "decoder_ffn_dim": 24}
    ids = {"pad_token_id": 30, "bos_token_id": None, "eos_token_id": 31}
    return {"vocab_size": 32, "d_model": width, **layers, **heads, **inner, **ids}


def bart(positions: int = WIDTH) -> PreTrainedModel:
    """Learned positions, and embeddings padded beyond the vocabulary."""
    torch.manual_seed(1)
    config = BartConfig(**bart_sizes(16), max_position_embeddings=positions)
    config.decoder_start_token_id, config.forced_eos_token_id = 31, None
    return BartForConditionalGeneration(config)


def marian() -> PreTrainedModel:
    """Positions that are not learned, and no normalisation of embeddings."""
    torch.manual_seed(2)
    config = MarianConfig(**bart_sizes(16), decoder_vocab_size=32, max_position_embeddings=WIDTH)
    config.decoder_start_token_id, config.forced_eos_token_id = 30, None
    return MarianMTModel(config)


MODELS = pytest.mark.parametrize("make_model", [t5, bart, marian])


def sharpened(policy: Seq2SeqPolicy) -> Seq2SeqPolicy:
    """Random weights large enough that contexts matter, and a value head that is not 0."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return policy


def test_a_pretrained_model_gets_its_prompts_as_its_tokenizer_makes_them(tmp_path: Path) -> None:
    """What it answers is what transformers generates, to which </s> after the prompt matters."""
    symbols = ["<pad>", "</s>", "<unk>", *"abcdefgh"]
    backend = Tokenizer(WordLevel({symbol: i for i, symbol in enumerate(symbols)}, "<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    ends = {"single": "$A </s>", "special_tokens": [("</s>", 1)]}
    backend.post_processor = TemplateProcessing(**ends)
    wrap: Any = PreTrainedTokenizerFast
    names = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    tokenizer = wrap(tokenizer_object=backend, **names)
    policy = sharpened(Seq2SeqPolicy(small_t5(11, layers=2, heads=2, width=16), 0, num_actions=11))
    rows = [{"prompt": prompt, "reference": "a"} for prompt in ("a b c", "h g", "d d e f a")]
    envs = gym.make_vec(
        "textgym:textgym/Text-v0",
        3,
        task=rows,
        tokenizer=tokenizer,
        task_kwargs={"split_field": None},
    )
    answers = {}
    for episode in collect(envs, policy, seeds=[0, 1, 2], episodes_per_env=4, deterministic=True):
        answers[episode.info["prompt"]] = episode.actions.tolist()
    model: Any = policy.model
    differ = 0
    for prompt, answer in answers.items():
        for framed in (True, False):
            ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=framed).input_ids
            options = {"max_new_tokens": 64, "do_sample": False, "eos_token_id": 1}
            options |= {"suppress_tokens": [0, 2, 11]}
            said = model.generate(ids, **options)[0, 1:].tolist()
            if framed:
                assert said == answer
            differ += said != answer
    assert differ


def own_output(
    policy: Seq2SeqPolicy, prompt: NDArray[np.int64], response: NDArray[np.int64]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Transformers' logits and hidden state at the last token of one response: no batch, cache."""
    output = policy.model(
        input_ids=torch.from_numpy(prompt)[None],
        decoder_input_ids=torch.tensor([[policy.model.config.decoder_start_token_id, *response]]),
        use_cache=False,
        output_hidden_states=True,
    )
    return output.logits[0, -1, :VOCAB], output.decoder_hidden_states[-1][0, -1]


class Writing(VectorEnv[Any, Any, Any]):
    """Contexts that grow by the action, and by a reply of two more tokens after tokens 1 to 5.

    An episode ends at EOS or when the context is full; token 7 is illegal, and token 9 while the
    context's length is odd. With prompts, which all slots walk through, EOS and 8 alone are legal.
    """

    def __init__(
        self, num_envs: int, mode: str = "NextStep", prompts: list[list[int]] | None = None
    ) -> None:
        self.num_envs, self.prompts = num_envs, prompts
        self.metadata = {"pad_id": PAD, "autoreset_mode": AutoresetMode(mode)}
        self.single_observation_space = gym.spaces.Box(0, PAD, (WIDTH,), np.int64)
        self.single_action_space = gym.spaces.Discrete(VOCAB)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.rngs = [np.random.default_rng(one) for one in seed]
        self.begun = np.zeros(self.num_envs, np.int64)
        self.contexts = [self._prompt(slot) for slot in range(self.num_envs)]
        self.done = np.zeros(self.num_envs, np.bool_)
        return self._observations(), self._infos()

    def _prompt(self, slot: int) -> list[int]:
        self.begun[slot] += 1
        if self.prompts is not None:
            return self.prompts[(self.begun[slot] - 1) % len(self.prompts)]
        rng = self.rngs[slot]
        return rng.integers(1, VOCAB, size=int(rng.integers(1, 7))).tolist()

    def step(self, actions: NDArray[np.int64]) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        ended = np.zeros(self.num_envs, np.bool_)
        for slot, action in enumerate(actions.tolist()):
            if self.done[slot]:
                self.contexts[slot] = self._prompt(slot)
                continue
            assert action != 7 and not (action == 9 and len(self.contexts[slot]) % 2)
            reply = [3, 4] if 1 <= action <= 5 else []
            self.contexts[slot] = (self.contexts[slot] + [action] + reply)[:WIDTH]
            ended[slot] = action == EOS or len(self.contexts[slot]) == WIDTH
        if self.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP:
            for slot in np.flatnonzero(ended).tolist():
                self.contexts[slot] = self._prompt(slot)
        else:
            self.done = ended
        nothing = np.zeros(self.num_envs)
        return self._observations(), nothing, ended, nothing.astype(np.bool_), self._infos()

    def _observations(self) -> NDArray[np.int64]:
        ids = np.full((self.num_envs, WIDTH), PAD)
        for slot, context in enumerate(self.contexts):
            ids[slot, : len(context)] = context
        return ids

    def _infos(self) -> dict[str, Any]:
        masks = np.ones((self.num_envs, VOCAB), np.int8)
        masks[:, 7] = 0
        masks[[len(context) % 2 == 1 for context in self.contexts], 9] = 0
        if self.prompts is not None:
            masks[:, [token not in (EOS, 8) for token in range(VOCAB)]] = 0
        return {"action_mask": masks, "_action_mask": np.ones(self.num_envs, np.bool_)}


def walk(steps: int, grow: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_], Any]]:
    """Contexts that grow by up to ``grow`` tokens a step, with resets and idle slots."""
    rng = np.random.default_rng(grow)
    observations = np.full((SLOTS, WIDTH), PAD)
    prompts = rng.integers(VOCAB, size=(3, 9))
    lengths, ends = np.zeros(SLOTS, np.int64), np.zeros(SLOTS, np.int64)
    for _ in range(steps):
        active = rng.random(SLOTS) > 0.2
        for slot in np.flatnonzero(active):
            amount = int(rng.integers(1, grow + 1))
            new = rng.integers(VOCAB, size=amount)
            if lengths[slot] == 0 or lengths[slot] + amount > WIDTH or rng.random() < 0.15:
                ends[slot] = lengths[slot] = rng.integers(1, 10)
                observations[slot] = PAD
                observations[slot, : ends[slot]] = prompts[rng.integers(3), : ends[slot]]
            elif rng.random() < 0.9:  # Else the same context is asked about again.
                observations[slot, lengths[slot] : lengths[slot] + amount] = new
                lengths[slot] += amount
        if active.any():
            yield observations.copy(), active, ends.copy()


@MODELS
@pytest.mark.parametrize(("grow", "slack"), [(1, 32), (6, 1)])
def test_acting_is_what_transformers_computes(make_model: Any, grow: int, slack: int) -> None:
    policy = sharpened(Seq2SeqPolicy(make_model(), PAD, num_actions=VOCAB, cache_slack=slack))
    for observations, active, ends in walk(60, grow):
        acted = policy.act(observations, active=active, prompt_lengths=ends)
        for slot in np.flatnonzero(active):
            context = observations[slot][observations[slot] != PAD]
            with torch.no_grad():
                logits, _ = own_output(policy, context[: ends[slot]], context[ends[slot] :])
            expected = logits.log_softmax(-1)[acted.actions[slot]]
            assert acted.log_probs[slot] == pytest.approx(expected.item(), abs=1e-5)
        assert (acted.log_probs[~active] == 0).all() and (acted.values[~active] == 0).all()


SAMPLINGS = {
    "plain": Sampling(),
    "temperature": Sampling(temperature=0.7),
    "top-k": Sampling(top_k=5),
    "top-p": Sampling(top_p=0.8),
    "min-p": Sampling(min_p=0.1),
    "epsilon": Sampling(epsilon=0.2),
    "filtered": Sampling(temperature=0.8, top_k=20, top_p=0.95),
    "all": Sampling(temperature=1.2, top_k=20, top_p=0.95, min_p=0.02, epsilon=0.1),
}


@MODELS
@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
@pytest.mark.parametrize("sampling", list(SAMPLINGS))
def test_evaluate_agrees_with_act(make_model: Any, mode: str, sampling: str) -> None:
    envs = Writing(6, mode)
    policy = Seq2SeqPolicy.from_env(envs, make_model(), sampling=SAMPLINGS[sampling])
    sharpened(policy)
    generator = torch.Generator().manual_seed(0)
    seeds = [0, 0, 1, 2, 3, 4]
    episodes = collect(envs, policy, seeds=seeds, episodes_per_env=5, generator=generator)
    assert len({episode.num_steps for episode in episodes}) > 5
    evaluation = policy.evaluate(episodes)
    for name in ("log_probs", "values"):
        collected = np.concatenate([getattr(episode, name) for episode in episodes])
        evaluated = getattr(evaluation, name).detach().numpy()
        np.testing.assert_allclose(evaluated, collected, atol=1e-5, rtol=0)
    assert np.concatenate([e.values for e in episodes]).std() > 0.01
    table = policy.episode_log_probs(episodes)
    actions = torch.from_numpy(np.concatenate([episode.actions for episode in episodes]))
    taken = table.gather(1, actions[:, None])[:, 0]
    torch.testing.assert_close(taken, evaluation.log_probs)


@MODELS
def test_gradients_are_those_of_one_pass_a_step(make_model: Any) -> None:
    """And reach every weight, for episodes with replies in them and for shared prompts."""
    envs = Writing(4)
    policy = sharpened(Seq2SeqPolicy.from_env(envs, make_model()))
    generator = torch.Generator().manual_seed(1)
    episodes = collect(envs, policy, seeds=[1, 1, 2, 5], generator=generator)
    assert any((np.diff(e.observations.lengths) > 1).any() for e in episodes)  # type: ignore[union-attr]
    evaluation = policy.evaluate(episodes)
    (evaluation.log_probs.sum() + evaluation.values.sum()).backward()
    found = {name: p.grad for name, p in policy.named_parameters() if p.requires_grad}
    assert all(grad is not None and grad.abs().sum() > 0 for grad in found.values())
    policy.zero_grad(set_to_none=True)
    assert policy.value_head is not None
    for episode in episodes:
        assert isinstance(episode.observations, Contexts)
        tokens, lengths = episode.observations.tokens, episode.observations.lengths
        masks = np.broadcast_to(episode.action_masks, (episode.num_steps, VOCAB))
        for step, length in enumerate(lengths):
            prompt, response = tokens[: lengths[0]], tokens[lengths[0] : length]
            logits, hidden = own_output(policy, prompt, response)
            log_probs = logits.masked_fill(~torch.from_numpy(masks[step].copy()), -1e9)
            value = policy.value_head(hidden)[0]
            (log_probs.log_softmax(-1)[episode.actions[step]] + value).backward()
    for name, parameter in policy.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(found[name], parameter.grad, atol=2e-4, rtol=1e-4)


def test_prompts_are_encoded_once_and_logits_computed_at_actions_alone() -> None:
    envs = Writing(6)
    policy = sharpened(Seq2SeqPolicy.from_env(envs, t5()))
    encoded: list[int] = []
    policy.model.get_encoder().register_forward_hook(  # type: ignore[no-untyped-call]
        lambda _, __, output: encoded.append(len(output.last_hidden_state))
    )
    generator = torch.Generator().manual_seed(0)
    episodes = collect(envs, policy, seeds=[1, 1, 1, 2, 2, 3], generator=generator)
    assert encoded == [3]
    decoded: list[int] = []
    policy.model.get_output_embeddings().register_forward_hook(
        lambda _, __, logits: decoded.append(logits.shape[:-1].numel())
    )
    policy(episodes)
    assert encoded == [3, 3] and decoded == [sum(episode.num_steps for episode in episodes)]


def test_a_prompt_that_another_slot_still_has_is_not_encoded_again() -> None:
    policy = sharpened(Seq2SeqPolicy(t5(), PAD, num_actions=VOCAB))
    encoded: list[int] = []
    policy.model.get_encoder().register_forward_hook(  # type: ignore[no-untyped-call]
        lambda _, __, output: encoded.append(len(output.last_hidden_state))
    )
    contexts = np.full((2, WIDTH), PAD)
    contexts[:, :3] = [[1, 2, 3], [4, 5, 6]]
    policy.act(contexts)
    contexts[:, :3] = [[4, 5, 6], [1, 2, 3]]  # Each takes the other's.
    acted = policy.act(contexts, deterministic=True)
    assert encoded == [2]
    policy.clear_cache()
    again = policy.act(contexts, deterministic=True)
    np.testing.assert_allclose(acted.log_probs, again.log_probs, atol=1e-6)
    assert encoded == [2, 2]


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_a_prompt_that_extends_the_episode_before_is_a_prompt(mode: str) -> None:
    """The context alone does not tell: the rollout's store does."""
    envs = Writing(2, mode, prompts=[[1, 2], [1, 2, EOS, 4], [1], [1, 6, 8]])
    policy = sharpened(Seq2SeqPolicy.from_env(envs, t5()))
    generator = torch.Generator().manual_seed(0)
    episodes = collect(envs, policy, seeds=[1, 2], episodes_per_env=24, generator=generator)
    lengths = [episode.observations.lengths[0] for episode in episodes]  # type: ignore[union-attr]
    assert lengths == [2, 4, 1, 3] * 12
    evaluated = policy.evaluate(episodes).log_probs.detach().numpy()
    collected = np.concatenate([episode.log_probs for episode in episodes])
    np.testing.assert_allclose(evaluated, collected, atol=1e-5, rtol=0)


def test_where_prompts_end_without_a_store() -> None:
    split = PromptSplit()

    def shown(*contexts: list[int], active: tuple[int, ...] = (1, 1)) -> list[int]:
        tokens = np.zeros((2, 6), np.int64)
        for slot, context in enumerate(contexts):
            tokens[slot, : len(context)] = context
        lengths = np.array([len(context) for context in contexts])
        return split.update(tokens, lengths, np.array(active, np.bool_)).tolist()

    assert shown([1, 2], [3]) == [2, 1]
    assert shown([1, 2, 4], [3, 5, 6]) == [2, 1]  # Both go on, one by two tokens.
    assert shown([1, 2, 4], [7, 5]) == [2, 2]  # The second begins anew.
    assert shown([1, 2], [7, 5, 1], active=(1, 0)) == [2, 2]  # The first is shorter than before.
    split.end(1)
    assert shown([1, 2, 3], [7, 5, 1, 0], active=(1, 0)) == [2, 2]
    assert shown([1, 2, 3], [7, 5, 1, 0, 2]) == [2, 5]  # Its next active context is a prompt.
    assert split.update(np.ones((1, 6), np.int64), np.array([6]), np.ones(1, np.bool_)) == [6]


@pytest.mark.parametrize("make_model", [t5, bart])
def test_greedy_acting_is_greedy_generation(make_model: Any) -> None:
    policy = sharpened(Seq2SeqPolicy(make_model(), PAD, num_actions=VOCAB))
    rng = np.random.default_rng(0)
    for size in (1, 3, 6):
        prompt = rng.integers(VOCAB, size=size)
        generated = policy.model.generate(
            torch.from_numpy(prompt)[None],
            do_sample=False,
            max_new_tokens=12,
            eos_token_id=EOS,
            suppress_tokens=list(range(VOCAB, policy.model.config.vocab_size)),
        )[0, 1:].tolist()
        context = np.full((1, WIDTH), PAD)
        context[0, :size] = prompt
        acted: list[int] = []
        while len(acted) < 12 and EOS not in acted:
            acted.append(int(policy.act(context, deterministic=True).actions[0]))
            context[0, size + len(acted) - 1] = acted[-1]
        assert acted == generated
