"""Decoder models for `CausalLMPolicy`: small random ones, and pretrained ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.utils import logging


def small_gpt2(
    vocab_size: int,
    *,
    layers: int = 4,
    heads: int = 4,
    width: int = 256,
    max_positions: int = 256,
    seed: int = 0,
    activation: str = "gelu_pytorch_tanh",
) -> PreTrainedModel:
    """A GPT-2 with random weights and without dropout.

    Args:
        vocab_size: Token ids are 0 to ``vocab_size - 1``.
        layers: Decoder layers.
        heads: Attention heads; divides ``width``.
        width: Size of the hidden states.
        max_positions: The longest context.
        seed: Of the weights, which depend on it and the sizes alone.
        activation: In the layers: a name of transformers'; by default GPT-2's own function, fused.

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
        activation_function=activation,
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPT2LMHeadModel(config)


def small_t5(
    vocab_size: int,
    *,
    layers: int = 4,
    heads: int = 4,
    width: int = 256,
    seed: int = 0,
) -> PreTrainedModel:
    """A T5 with random weights and without dropout, for contexts of any length.

    Args:
        vocab_size: Token ids are 0 to ``vocab_size - 1``; the id after them starts the decoder.
        layers: Encoder layers, and as many decoder layers.
        heads: Attention heads; divides ``width``.
        width: Size of the hidden states.
        seed: Of the weights, which depend on it and the sizes alone.

    Returns:
        The model, on the CPU.

    Raises:
        ValueError: ``heads`` does not divide ``width``.
    """
    if width % heads:
        raise ValueError(f"heads must divide width, got {heads} heads and width {width}")
    config = T5Config(
        vocab_size=vocab_size + 1,
        d_model=width,
        d_kv=width // heads,
        d_ff=4 * width,
        num_layers=layers,
        num_heads=heads,
        dropout_rate=0.0,
        pad_token_id=vocab_size,
        eos_token_id=None,
    )
    config.decoder_start_token_id = vocab_size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return T5ForConditionalGeneration(config)


def load_causal_lm(name_or_path: str | PathLike[str], *, seed: int = 0) -> PreTrainedModel:
    """A pretrained decoder, from safetensors files alone and without remote code.

    Args:
        name_or_path: A Hugging Face model name, or a folder written by ``save_pretrained``.
        seed: Of weights that the files lack, such as a head's, which transformers warns of.

    Returns:
        The model, on the CPU, with PyTorch's fused attention where transformers has it for the
        model. Its weights are float32 whatever the files hold: in bfloat16 most of Adam's steps
        would round to nothing.

    Raises:
        OSError: The model cannot be found.
        ValueError: The model is an encoder-decoder.
    """
    config = _config(name_or_path)
    if config.is_encoder_decoder:
        raise ValueError(
            f"{name_or_path} is a {config.model_type} model, an encoder-decoder; use policy seq2seq"
        )
    return _load(AutoModelForCausalLM, name_or_path, config, seed)


def load_seq2seq_lm(name_or_path: str | PathLike[str], *, seed: int = 0) -> PreTrainedModel:
    """A pretrained encoder-decoder, from safetensors files alone and without remote code.

    Args:
        name_or_path: A Hugging Face model name, or a folder written by ``save_pretrained``.
        seed: See `load_causal_lm`.

    Returns:
        The model, on the CPU, in float32; see `load_causal_lm`.

    Raises:
        OSError: The model cannot be found.
        ValueError: The model is a decoder alone.
    """
    config = _config(name_or_path)
    if not config.is_encoder_decoder:
        raise ValueError(
            f"{name_or_path} is a {config.model_type} model, which has no encoder; use policy "
            "causal_lm for it, or name an encoder-decoder such as T5, BART or Marian"
        )
    return _load(AutoModelForSeq2SeqLM, name_or_path, config, seed)


def is_encoder_decoder(name_or_path: str | PathLike[str]) -> bool:
    """Whether a pretrained model has an encoder and a decoder.

    Raises:
        OSError: The model cannot be found.
    """
    return bool(_config(name_or_path).is_encoder_decoder)


def _config(name_or_path: str | PathLike[str]) -> Any:
    try:
        return AutoConfig.from_pretrained(name_or_path, trust_remote_code=False)
    except OSError as error:
        raise OSError(f"the model {name_or_path} cannot be loaded: {error}") from error


def _load(kind: Any, name_or_path: str | PathLike[str], config: Any, seed: int) -> PreTrainedModel:
    options = {
        "config": config,
        "dtype": torch.float32,
        "use_safetensors": True,
        "trust_remote_code": False,
    }
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = kind.from_pretrained(name_or_path, attn_implementation="sdpa", **options)
        except ValueError as error:
            if "scaled_dot_product_attention" not in str(error):
                raise
            model = kind.from_pretrained(name_or_path, **options)
    return _aligned(model)


def _aligned(model: PreTrainedModel) -> PreTrainedModel:
    """The model with its weights in memory of PyTorch's own, in place.

    Weights mapped from a file lie where the file has them, and matrix products round otherwise
    where memory is not aligned: a resumed run would not equal the one that was never stopped.
    """
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
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
