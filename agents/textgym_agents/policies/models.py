"""Decoder models for `CausalLMPolicy`: small random ones, and pretrained ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike

import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, PreTrainedModel
from transformers.utils import logging


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
        The model, on the CPU, with the attention implementation that takes prepared masks. Its
        weights are float32 whatever the files hold: in bfloat16 most of Adam's steps would round
        to nothing.
    """
    with quiet():
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            name_or_path,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation="sdpa",
        )
    return model


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' progress bars for reading and writing files off the terminal."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
