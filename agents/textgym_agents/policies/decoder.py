"""What a policy asks of a transformers decoder: its head, vocabulary, and if a cache fits it."""

from __future__ import annotations

import inspect
import sys

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.activations import ACT2FN, NewGELUActivation

_SURPLUS_SHARE, _LEAST_SURPLUS = 20, 128
"""Embeddings beyond the actions, one in so many of these or at least so many, may be padding."""


def cacheable_width(model: PreTrainedModel) -> int:
    """How long contexts may be for `ContextCache` to compute what the model computes; 0: never."""
    config = model.config.get_text_config(decoder=True)
    if "position_ids" not in inspect.signature(model.forward).parameters:
        return 0
    if getattr(config, "alibi", False) or getattr(config, "is_encoder_decoder", False):
        return 0
    if hasattr(config, "attention_layers"):  # GPT-Neo masks by column, in a buffer of fixed size
        return 0
    if not set(getattr(config, "layer_types", None) or []) <= {
        "full_attention",
        "sliding_attention",
    }:
        return 0
    return getattr(config, "sliding_window", None) or sys.maxsize


def output_head(model: PreTrainedModel) -> nn.Linear:
    """The language-model head.

    Raises:
        ValueError: There is none, or it is not linear.
    """
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    if not isinstance(head, nn.Linear):
        raise ValueError(
            f"{type(model).__name__} has no plain linear language-model head; load it with "
            "AutoModelForCausalLM or AutoModelForSeq2SeqLM, and leave its head without an adapter"
        )
    return head


def head_bias(model: PreTrainedModel) -> Tensor | None:
    """What is added to the products with the head's weights, ``[V]``: BART has a bias apart."""
    own: Tensor | None = output_head(model).bias
    apart: Tensor | None = getattr(model, "final_logits_bias", None)
    if apart is None:
        return own
    return apart[0] if own is None else own + apart[0]


def head_is_last(model: PreTrainedModel) -> bool:
    """Whether a model's logits are the product with its head's weights, plus `head_bias`.

    Finds out by one token. Logits that are scaled or capped are not, nor is a head that is more
    than its weights and bias (an adapter's, one with hooks).
    """
    head = output_head(model)
    if type(head) is not nn.Linear or head._forward_hooks or head._forward_pre_hooks:
        return False
    outputs: list[Tensor] = []
    ids = torch.zeros((1, 1), dtype=torch.int64, device=head.weight.device)
    inputs = {"input_ids": ids, "use_cache": False}
    if getattr(model.config, "is_encoder_decoder", False):
        inputs["decoder_input_ids"] = ids
    device = head.weight.device
    with (
        head.register_forward_hook(lambda _, __, output: outputs.append(output)),
        torch.no_grad(),
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),  # Dropout draws.
    ):
        logits: Tensor = model(**inputs).logits
    apart = getattr(model, "final_logits_bias", None)
    return logits is outputs[-1] if apart is None else torch.equal(logits, outputs[-1] + apart)


def fuse_activations(model: PreTrainedModel) -> PreTrainedModel:
    """Compute GPT-2's GELU, eight operations in transformers, in one, wherever the model has it.

    Its values change by rounding, its configuration not at all.

    Returns:
        The model, changed in place.
    """
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is NewGELUActivation:
                setattr(module, name, ACT2FN["gelu_pytorch_tanh"])
    return model


def num_embeddings(model: PreTrainedModel) -> int:
    """Token ids that the model has an embedding of."""
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, Tensor)
    return len(weight)


def check_vocabulary(num_embeddings: int, num_actions: int) -> None:
    """Check that a model with so many embeddings can be meant for so many actions.

    Raises:
        ValueError: It has fewer, or far more.
    """
    if num_actions > num_embeddings:
        raise ValueError(
            f"the environment has {num_actions:,} actions (token ids) but the model embeds only "
            f"{num_embeddings:,}; use the model's own tokenizer in the environment, or "
            "model.resize_token_embeddings"
        )
    if num_embeddings - num_actions > max(_LEAST_SURPLUS, num_actions // _SURPLUS_SHARE):
        raise ValueError(
            f"the model embeds {num_embeddings:,} token ids but the environment has only "
            f"{num_actions:,} actions, so its tokenizer is not the model's; use the model's own "
            "tokenizer in the environment, or model.resize_token_embeddings"
        )


def linear_values(head: nn.Linear, hidden: Tensor) -> Tensor:
    """A value head's values of hidden states ``[M, H]``, at least float32 ``[M]``."""
    values: Tensor = head(hidden.to(head.weight.dtype)).squeeze(-1)
    return values.float()


def zero_linear(size: int) -> nn.Linear:
    """A value head from ``size`` features to one number, which starts at 0."""
    layer = nn.Linear(size, 1)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
