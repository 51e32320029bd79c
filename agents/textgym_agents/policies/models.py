"""Decoder models for `CausalLMPolicy`: small random ones, and pretrained ones."""

from __future__ import annotations

from os import PathLike

import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, PreTrainedModel


def small_gpt2(
    vocab_size: int,
    *,
    layers: int = 4,
    heads: int = 4,
    width: int = 256,
    max_positions: int = 256,
    seed: int = 0,
) -> PreTrainedModel:
    """A GPT-2 with random weights and without dropout.

    Args:
        vocab_size: Token ids are 0 to ``vocab_size - 1``.
        layers: Decoder layers.
        heads: Attention heads; divides ``width``.
        width: Size of the hidden states.
        max_positions: The longest context.
        seed: Of the weights, which depend on it and the sizes alone.

    Returns:
        The model, on the CPU.
    """
    config = GPT2Config(
        vocab_size=vocab_size,
        n_positions=max_positions,
        n_embd=width,
        n_layer=layers,
        n_head=heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        activation_function="gelu_pytorch_tanh",  # GPT-2's own function, fused
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPT2LMHeadModel(config)


def load_causal_lm(name_or_path: str | PathLike[str]) -> PreTrainedModel:
    """A pretrained decoder, from safetensors files alone and without remote code.

    Args:
        name_or_path: A Hugging Face model name, or a folder written by ``save_pretrained``.

    Returns:
        The model, on the CPU, with the attention implementation that takes prepared masks.
    """
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        name_or_path, use_safetensors=True, trust_remote_code=False, attn_implementation="sdpa"
    )
    return model
