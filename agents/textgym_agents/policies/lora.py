"""Low-rank adapters: a frozen model with small trainable matrices beside its linear layers.

LoRA (Hu et al. 2021, arXiv 2106.09685, section 4.1): a layer ``W x`` becomes ``W x + (alpha / r)
B A x`` with ``A`` of ``r`` rows drawn at random and ``B`` of ``r`` columns that starts at 0, so
that the adapted model starts as the model. ``W`` never changes: the model without its adapter is
the reference of a KL penalty, at no memory of its own. Dropout on the adapter's input is not
offered: acting and evaluating would see different distributions.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

ADAPTER_WEIGHTS, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
"""The files of an adapter in peft's format."""

_PREFIX, _NAME = "base_model.model.", ".default."
"""What peft puts before a weight's name in a file, and into it in a model."""


def add_adapter(
    model: PreTrainedModel,
    rank: int,
    *,
    alpha: float,
    targets: Sequence[str] = (),
    seed: int = 0,
    base: str | None = None,
) -> None:
    """Freeze a model and put an adapter into it, in place.

    Args:
        model: A transformers model without an adapter.
        rank: Rows of ``A``, 1 or more.
        alpha: The adapter's output is scaled by ``alpha / rank``.
        targets: Last parts of the names of the linear layers to adapt; empty: all but the
            language-model head.
        seed: Of the adapter's random weights.
        base: The model's name, if the adapter is to be saved without it.

    Raises:
        ModuleNotFoundError: peft is not installed.
        ValueError: The model has no such layers.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("LoRA needs peft: pip install 'textgym[lora]'") from error
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]  # any number will do
        target_modules=list(targets) or "all-linear",
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
        task_type="SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM",
        base_model_name_or_path=base,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model)


def base_name(model: PreTrainedModel) -> str | None:
    """The name of the model below the adapter, None where it has none and must be saved."""
    name = model.peft_config["default"].base_model_name_or_path
    return None if name is None else str(name)


def has_adapter(model: nn.Module) -> bool:
    """Whether the model has an adapter."""
    return hasattr(model, "peft_config")


class Adapter(NamedTuple):
    """What is put beside a linear layer: of inputs ``x`` it adds ``scaling * x @ down.T @ up.T``.

    Attributes:
        layer: The one below it.
        down: ``A``, ``[r, in]``.
        up: ``B``, ``[out, r]``.
        scaling: ``alpha / r``.
    """

    layer: nn.Module
    down: nn.Parameter
    up: nn.Parameter
    scaling: float


def adapter_of(module: nn.Module) -> Adapter | None:
    """A layer's adapter, if it has one as `add_adapter` makes them, and that is on."""
    if not hasattr(module, "lora_A"):
        return None
    from peft.tuners.lora import Linear

    if type(module) is not Linear or module.active_adapters != ["default"]:
        return None
    down, up = module.lora_A["default"], module.lora_B["default"]
    parts = down, up, module.lora_dropout["default"]
    if [type(part) for part in parts] != [nn.Linear, nn.Linear, nn.Identity]:
        return None
    if module.lora_variant or module.disable_adapters or module.merged:
        return None
    if down.bias is not None or up.bias is not None:
        return None
    return Adapter(module.base_layer, down.weight, up.weight, module.scaling["default"])


def remove_adapter(model: PreTrainedModel, *, merge: bool = False) -> None:
    """Take the adapter out of a model, in place, and leave what was below it.

    Args:
        model: A model with an adapter.
        merge: Add ``(alpha / r) B A`` to the weights first, so that the outputs stay.
    """
    from peft.tuners.lora import LoraLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, LoraLayer):
            if merge:
                module.merge()
            model.set_submodule(name, module.get_base_layer())
    del model.peft_config


def merged(model: PreTrainedModel) -> PreTrainedModel:
    """A plain trainable model that computes what the adapted one does; shares nothing with it."""
    plain = copy.deepcopy(model)
    remove_adapter(plain, merge=True)
    plain.requires_grad_(True)
    return plain


def base_model(model: PreTrainedModel) -> PreTrainedModel:
    """The adapted model without its adapter: other modules, the very same frozen weights."""
    base = copy.deepcopy(model, share_frozen(model))
    remove_adapter(base)
    return base


def share_frozen(module: nn.Module) -> dict[int, Any]:
    """A memo for `copy.deepcopy`: the copy has its parameters that do not train in common."""
    return {id(parameter): parameter for parameter in module.parameters() if not trains(parameter)}


def trains(parameter: Tensor) -> bool:
    """Whether an optimizer may change it."""
    return parameter.requires_grad


def adapter_tensors(model: PreTrainedModel) -> dict[str, Tensor]:
    """The adapter's weights under the names that peft gives them in files."""
    return {
        _PREFIX + name.replace(_NAME, "."): tensor.contiguous()
        for name, tensor in model.state_dict().items()
        if ".lora_A." in name or ".lora_B." in name
    }


def named_in_model(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """`adapter_tensors` under the names that the weights have in the model."""
    return {
        name.removeprefix(_PREFIX).replace(".weight", f"{_NAME}weight"): tensor
        for name, tensor in tensors.items()
    }


def base_names(model: PreTrainedModel) -> dict[str, str]:
    """Names of the weights below the adapter: those they have without it to those they have."""
    names = [name for name in model.state_dict() if ".lora_" not in name]
    return {name.replace(".base_layer.", "."): name for name in names}


def save_adapter_config(model: PreTrainedModel, folder: Path) -> None:
    """Write ``adapter_config.json``, by which peft can put the adapter onto its base."""
    model.peft_config["default"].save_pretrained(folder)
