"""GPT-2 from its weights computes what transformers' modules compute."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from tests.agents import texts
from textgym_agents.policies.decoder import fuse_activations
from textgym_agents.policies.gpt2 import GPT2Weights, is_plain_gpt2
from textgym_agents.policies.kv_cache import KeyValueBuffer, Write
from textgym_agents.policies.lora import add_adapter
from textgym_agents.policies.models import small_gpt2

VOCAB, ROWS, PROMPT, STEPS = 41, 5, 4, 6


def gpt2(**options: Any) -> GPT2LMHeadModel:
    """A GPT-2 whose weights are large enough for mistakes to show."""
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=VOCAB, n_positions=32, n_embd=24, n_layer=3, n_head=2, **options)
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def forward_of_model(model: PreTrainedModel, autocast: bool) -> Any:
    """The same interface, by the model itself."""

    def forward(
        ids: Tensor, positions: Tensor, mask: Tensor, cache: Any, select: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            output = model(
                input_ids=ids,
                position_ids=positions,
                attention_mask=mask,
                past_key_values=cache,
                use_cache=True,
                output_hidden_states=True,
            )
        hidden, logits = output.hidden_states[-1].flatten(0, 1), output.logits.flatten(0, 1)
        return (hidden, logits) if select is None else (hidden[select], logits[select])

    return forward


@torch.inference_mode()
def decode(forward: Any, dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
    """A prompt, some of its tokens chosen, then a token a row and step; rows differ in length."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(VOCAB, (ROWS, PROMPT + STEPS), generator=generator)
    columns = PROMPT + STEPS + 3
    buffer = KeyValueBuffer(3, ROWS, columns, dtype, torch.device("cpu"))
    lengths = torch.full((ROWS,), PROMPT) - (torch.arange(ROWS) == 0) * 2
    own = torch.arange(PROMPT).expand(ROWS, -1)
    inside = (own < lengths[:, None]).flatten().nonzero().flatten()
    rows, columns_of = inside // PROMPT, inside % PROMPT
    cache = buffer.plan(Write(rows, columns_of, inside))
    chosen = torch.tensor([1, 7])
    found = [forward(tokens[:, :PROMPT], own, buffer.mask(own, PROMPT), cache, chosen)]
    for step in range(STEPS):
        at = lengths[:, None] + step
        cache = buffer.plan(Write(torch.arange(ROWS), at[:, 0], width=columns))
        found.append(forward(tokens.gather(1, at), at, buffer.mask(at, columns), cache, None))
    return found


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"activation_function": "relu", "n_inner": 40},
        {"scale_attn_weights": False, "layer_norm_epsilon": 0.1},
        {"scale_attn_by_inverse_layer_idx": True, "tie_word_embeddings": False},
    ],
)
@pytest.mark.parametrize("bias", [False, True])
def test_equals_transformers(options: dict[str, Any], bias: bool) -> None:
    model = gpt2(**options)
    if bias:
        model.lm_head.bias = nn.Parameter(torch.randn(VOCAB))
    assert is_plain_gpt2(model)
    ours = decode(GPT2Weights(model, torch.float32).forward, torch.float32)
    theirs = decode(forward_of_model(model, autocast=False), torch.float32)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def adapt(model: GPT2LMHeadModel) -> GPT2LMHeadModel:
    """Put an adapter into it that adds something."""
    add_adapter(model, 3, alpha=2.0)
    texts.move(model, 0.3)
    return model


def test_equals_peft() -> None:
    model = adapt(gpt2()).double()
    assert is_plain_gpt2(model)
    ours = decode(GPT2Weights(model, torch.float64).forward, torch.float64)
    theirs = decode(forward_of_model(model, autocast=False), torch.float64)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def layer_of(model: GPT2LMHeadModel) -> Any:
    return model.transformer.h[1].mlp.c_fc


def test_an_adapter_that_is_switched_off_is_noticed() -> None:
    model = adapt(gpt2())
    weights = GPT2Weights(model, torch.float32)
    assert not weights.hooked
    layer_of(model).enable_adapters(False)
    assert weights.hooked and not is_plain_gpt2(model)
    layer_of(model).enable_adapters(True)
    assert not weights.hooked and is_plain_gpt2(model)
    layer_of(model).merge()
    assert weights.hooked and not is_plain_gpt2(model)


@pytest.mark.parametrize(
    "options", [{"use_dora": True}, {"lora_dropout": 0.1}, {"lora_bias": True}]
)
def test_adapters_that_are_not_ours_are_called(options: dict[str, Any]) -> None:
    config = LoraConfig(r=2, target_modules=["c_fc"], fan_in_fan_out=True, **options)
    assert not is_plain_gpt2(inject_adapter_in_model(config, gpt2()))


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`:UserWarning")
def test_another_adapter_beside_ours_is_called() -> None:
    model = adapt(gpt2())
    config = LoraConfig(r=2, target_modules=["c_fc"], fan_in_fan_out=True)
    inject_adapter_in_model(config, model, adapter_name="second")
    for active, plain in ((["default", "second"], False), ("second", False), ("default", True)):
        for module in model.modules():
            if isinstance(module, LoraLayer):
                module.set_adapter(active)
        assert is_plain_gpt2(model) is plain


def test_equals_autocast_bit_for_bit() -> None:
    model = gpt2()
    ours = decode(GPT2Weights(model, torch.bfloat16).forward, torch.bfloat16)
    theirs = decode(forward_of_model(model, autocast=True), torch.bfloat16)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


def hooked(model: GPT2LMHeadModel) -> GPT2LMHeadModel:
    model.transformer.h[1].attn.register_forward_hook(lambda *_: None)
    return model


def overridden(model: GPT2LMHeadModel) -> GPT2LMHeadModel:
    model.transformer.ln_f.forward = lambda states: states
    return model


def replaced(model: GPT2LMHeadModel) -> GPT2LMHeadModel:
    class Another(type(model.transformer.h[0].mlp.c_fc)):  # type: ignore[misc]
        pass

    model.transformer.h[0].mlp.c_fc.__class__ = Another
    return model


@pytest.mark.parametrize("change", [hooked, overridden])
def test_hooks_are_called_whenever_they_come(change: Any) -> None:
    model = gpt2()
    weights = GPT2Weights(model, torch.float32)
    assert not weights.hooked
    change(model)
    assert weights.hooked


def test_a_part_of_another_class_is_called() -> None:
    assert is_plain_gpt2(gpt2())
    assert not is_plain_gpt2(replaced(gpt2()))


def test_other_models_and_attentions_are_called() -> None:
    assert not is_plain_gpt2(texts.llama(VOCAB, 32, seed=0))
    assert not is_plain_gpt2(gpt2(attn_implementation="eager"))
    assert not is_plain_gpt2(gpt2(add_cross_attention=True))


def test_fused_activations_change_rounding_alone() -> None:
    model, plain = gpt2(), gpt2()
    before = model.config.to_dict()
    assert fuse_activations(model) is model
    assert type(model.transformer.h[0].mlp.act) is not type(plain.transformer.h[0].mlp.act)
    assert model.config.to_dict() == before
    ids = torch.arange(20)[None]
    torch.testing.assert_close(model(ids).logits, plain(ids).logits, rtol=1e-5, atol=1e-5)


def test_activations_already_fused_stay() -> None:
    model = small_gpt2(VOCAB, layers=1, heads=2, width=8)
    kept = model.transformer.h[0].mlp.act
    assert fuse_activations(model).transformer.h[0].mlp.act is kept
