"""A policy's weights as files, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from textgym_agents.policies import Policy
from textgym_agents.policies.construction import (
    PolicyConfig,
    build_language_model,
    build_policy,
    describe_parts,
    described_sampling,
    refuse_parts,
    with_sampling,
)
from textgym_agents.policies.reference import own_tensors

WEIGHTS = "policy.safetensors"
MODEL = "model"
ADAPTER = "adapter"


def save_policy(policy: Policy, folder: Path) -> None:
    """Write a policy's weights into an existing folder.

    A language model goes to ``model/`` in Hugging Face's format, and what the policy has besides
    (its value head, a separate critic) to ``policy.safetensors``; any other policy goes there
    whole. A LoRA adapter goes to ``adapter/`` in peft's format; the model below it never changes,
    and is written unless it has a name to load it by again.

    Raises:
        OSError: A file cannot be written, as on a full disk.
    """
    own = policy.state_dict()
    model = getattr(policy, "model", None)
    if model is not None:
        _save_model(model, folder)
        own = own_tensors(policy, besides=model)
    write_tensors({name: value.contiguous() for name, value in own.items()}, folder / WEIGHTS)


def _save_model(model: Any, folder: Path) -> None:
    from textgym_agents.policies import lora
    from textgym_agents.policies.models import quiet

    if lora.has_adapter(model):
        (folder / ADAPTER).mkdir()
        write_tensors(lora.adapter_tensors(model), folder / ADAPTER / lora.ADAPTER_WEIGHTS)
        lora.save_adapter_config(model, folder / ADAPTER)
        if lora.base_name(model) is not None:
            return
        model = lora.base_model(model)
    with quiet(), _writing(folder / MODEL):
        model.save_pretrained(folder / MODEL)


def load_policy(description: Mapping[str, Any], folder: Path) -> Policy:
    """Build a described policy with the weights that `save_policy` wrote.

    Raises:
        FileNotFoundError: A file of weights is missing.
        ValueError: A file is damaged, or does not fit the description.
    """
    path = folder / WEIGHTS
    if description["kind"] == "mlp":
        policy = build_policy(description)
        load_tensors(policy, read_tensors(path), path)
        return policy
    if description.get("lora") is not None:
        return _load_adapted(description, folder)
    weights = _read_model(folder)
    policy = build_language_model(description, folder / MODEL)
    model: Any = policy.model
    own = {f"model.{name}": tensor for name, tensor in {**_computed(model), **weights}.items()}
    load_tensors(policy, {**read_tensors(path), **own}, path)
    return policy


def warm_start(
    saved: Mapping[str, Any], folder: Path, config: PolicyConfig, seed: int
) -> tuple[Policy, dict[str, Any]]:
    """A policy that begins with the network that `save_policy` wrote, and its description.

    How it samples and computes, and a language model's parts, are the configuration's: an adapter
    in the folder is merged into the model below it before another is put on.

    Args:
        saved: The description of the policy in the folder.
        folder: A checkpoint.
        config: Its sampling and its parts hold.
        seed: Of a new adapter's weights.

    Raises:
        FileNotFoundError, ValueError: See `load_policy`.
    """
    description = with_sampling(saved, config.sampling())
    policy = load_policy(description, folder)
    if description["kind"] == "mlp":
        refuse_parts(config)
        return policy, description
    from textgym_agents.policies.assembly import reassemble
    from textgym_agents.policies.language_model import LanguageModelPolicy

    assert isinstance(policy, LanguageModelPolicy)
    description |= describe_parts(config, None, seed)
    return reassemble(policy, description, sampling=described_sampling(description)), description


def _load_adapted(description: Mapping[str, Any], folder: Path) -> Policy:
    """A policy with an adapter: on the model in the folder, or on the one that it names."""
    from textgym_agents.policies import lora

    named = description["lora"]["base"] is not None
    weights = {} if named else _read_model(folder)
    adapter = lora.named_in_model(read_tensors(folder / ADAPTER / lora.ADAPTER_WEIGHTS))
    policy = build_language_model(description, None if named else folder / MODEL)
    model: Any = policy.model
    names = lora.base_names(model)
    if named:
        weights = {name: model.state_dict()[name] for name in names.values()}
    own = {names.get(name, name): tensor for name, tensor in weights.items()} | adapter
    own = _computed(model) | own
    path = folder / WEIGHTS
    inside = {f"model.{name}": tensor for name, tensor in own.items()}
    load_tensors(policy, {**read_tensors(path), **inside}, path)
    return policy


def _computed(model: Any) -> dict[str, torch.Tensor]:
    """What a model computes and never learns (Marian's positions), and does not save."""
    state = model.state_dict()
    return {name: state[name] for name in model._keys_to_ignore_on_save or () if name in state}


def _read_model(folder: Path) -> dict[str, torch.Tensor]:
    files = sorted((folder / MODEL).glob("*.safetensors"))
    if not files or not (folder / MODEL / "config.json").is_file():
        raise FileNotFoundError(
            f"the checkpoint lacks {MODEL}/config.json or {MODEL}/*.safetensors: {folder}"
        )
    return {name: tensor for file in files for name, tensor in read_tensors(file).items()}


def load_tensors(module: torch.nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Give a module the weights read from ``path``; one of several tied ones is enough.

    Raises:
        ValueError: Names are missing or unknown, or shapes differ; names them.
    """
    own = module.state_dict()
    given = {own[name].data_ptr() for name in tensors if name in own}
    wrong = [f"{name} is missing" for name in own if own[name].data_ptr() not in given]
    wrong += [f"{name} is unknown" for name in tensors if name not in own]
    wrong += [
        f"{name} has shape {tuple(tensor.shape)}, the policy {tuple(own[name].shape)}"
        for name, tensor in tensors.items()
        if name in own and tensor.shape != own[name].shape
    ]
    if wrong:
        raise ValueError(f"{path} does not fit the policy: {'; '.join(wrong[:8])}")
    module.load_state_dict(tensors, strict=False)


def write_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Write a safetensors file.

    Raises:
        OSError: It cannot be written.
    """
    with _writing(path):
        save_file(tensors, path)


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file.

    Raises:
        FileNotFoundError: It is not there.
        ValueError: It is damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"the checkpoint has no {path.name}: {path}")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged: {error}") from error


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Report failures to write as what they are: safetensors has an error of its own for them."""
    try:
        yield
    except SafetensorError as error:
        raise OSError(f"{path} cannot be written: {error}") from error
