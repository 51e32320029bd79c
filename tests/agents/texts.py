"""Small language-model policies, and episodes of contexts without an environment."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

from textgym_agents.policies import Contexts, Episode
from textgym_agents.policies.assembly import assemble
from textgym_agents.policies.language_model import LanguageModelPolicy
from textgym_agents.policies.models import small_gpt2, small_t5

VOCAB, PAD, WIDTH = 29, 29, 24


def gpt2(**sizes: int) -> PreTrainedModel:
    return small_gpt2(VOCAB, **{"layers": 2, "heads": 2, "width": 16, **sizes}, max_positions=WIDTH)


def llama(vocab: int = VOCAB, width: int = WIDTH, seed: int = 1) -> PreTrainedModel:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocab,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=width,
        bos_token_id=None,
        eos_token_id=None,
    )
    return LlamaForCausalLM(config)


def t5() -> PreTrainedModel:
    return small_t5(VOCAB, layers=2, heads=2, width=16, seed=4)


def bart() -> PreTrainedModel:
    """Learned positions, a bias on the logits, and embeddings padded beyond the vocabulary."""
    torch.manual_seed(1)
    config = BartConfig(
        vocab_size=VOCAB + 3,
        d_model=16,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=24,
        decoder_ffn_dim=24,
        max_position_embeddings=WIDTH,
        pad_token_id=VOCAB + 1,
        bos_token_id=None,
        eos_token_id=VOCAB + 2,
        decoder_start_token_id=VOCAB + 2,
        forced_eos_token_id=None,
    )
    model = BartForConditionalGeneration(config)
    model.final_logits_bias.copy_(torch.randn(model.final_logits_bias.shape))
    return model


def lm_policy(
    model: PreTrainedModel | None = None, rank: int = 0, moved: float = 0.1, **parts: Any
) -> LanguageModelPolicy:
    """A policy whose trainable weights have moved from where they began."""
    adapter = {"rank": rank, "alpha": 4.0, "targets": [], "base": None, "seed": 0}
    description = {
        "pad_id": PAD,
        "action_space": {"n": VOCAB},
        "lora": adapter if rank else None,
        **parts,
    }
    policy = assemble(model or gpt2(), description)
    move(policy, moved)
    return policy


def move(module: torch.nn.Module, scale: float, seed: int = 0) -> None:
    """Add noise to the weights that train."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(scale * torch.randn(parameter.shape, generator=generator))


def episodes(count: int = 6, prompts: int = 2, seed: int = 0) -> list[Episode]:
    """Random texts of 2 to 12 actions after prompts that some of them share."""
    rng = np.random.default_rng(seed)
    heads = [rng.integers(0, VOCAB, size=8) for _ in range(prompts)]
    made = []
    for index in range(count):
        actions = rng.integers(0, VOCAB, size=int(rng.integers(2, 13)))
        head = heads[index % prompts]
        tokens = np.concatenate([head, actions[:-1]])
        zeros = np.zeros(len(actions), np.float32)
        observations = Contexts(tokens, len(head) + np.arange(len(actions)))
        rewards = rng.normal(size=len(actions))
        made.append(
            Episode(
                slot=index,
                group=index % prompts,
                observations=observations,
                actions=actions,
                log_probs=zeros,
                values=zeros,
                rewards=rewards,
            )
        )
    return made


def act_along(
    policy: LanguageModelPolicy, batch: list[Episode]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities of all actions, ``[M, V]``, and values ``[M]``, from the cached steps."""
    contexts = [episode.observations for episode in batch]
    longest = max(episode.num_steps for episode in batch)
    tables: list[list[Any]] = [[] for _ in batch]
    values: list[list[float]] = [[] for _ in batch]
    for step in range(longest):
        active = np.array([step < episode.num_steps for episode in batch])
        observations = np.full((len(batch), WIDTH), PAD)
        for row, context in enumerate(contexts):
            assert isinstance(context, Contexts)
            length = context.lengths[min(step, len(context.lengths) - 1)]
            observations[row, :length] = context.tokens[:length]
        table = policy.step_log_probs(observations, active=active)
        acted = policy.act(observations, active=active, deterministic=True)
        for row in np.flatnonzero(active):
            tables[row].append(table[row])
            values[row].append(float(acted.values[row]))
    flat = torch.stack([table for row in tables for table in row])
    return flat, torch.tensor([value for row in values for value in row])


def assert_rounded(one: torch.Tensor, other: torch.Tensor) -> None:
    """Check that float64 tensors differ by rounding alone: by 1e-13 of the largest element."""
    torch.testing.assert_close(one, other, rtol=0, atol=1e-13 * float(other.abs().max()))
