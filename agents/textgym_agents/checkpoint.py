"""Checkpoints of a training run: a folder that is there whole or not at all.

checkpoints/
    iteration-00000050/
        state.json               where the run is, its configuration, the policy's description
        policy.safetensors       the weights; of a language model only what model/ lacks
        model/                   a language model in Hugging Face's format
        optimizer.safetensors    Adam's moments
        algorithm.safetensors    what else the algorithm goes on from, if anything
        environments.safetensors what was done in them since their reset, if they go on
    latest                       the newest folder's name
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from textgym_agents.policies import Policy
from textgym_agents.policies.weights import (
    MODEL,
    load_policy,
    read_tensors,
    save_policy,
    write_tensors,
)
from textgym_agents.runs.atomic import remove, replacing, write_json, write_text

FORMAT = 1
LATEST = "latest"
CHECKPOINTS = "checkpoints"
_PREFIX = "iteration-"


@dataclass(frozen=True, kw_only=True)
class RunState:
    """Where a run is, and what run it is; all of it JSON.

    Attributes:
        iteration: Batches learned from.
        steps: Environment steps taken.
        algorithm: The algorithm's name.
        algorithm_config: Its configuration.
        train_config: The run's configuration.
        policy: What the policy is, as `construction.describe_policy` says it.
    """

    iteration: int = 0
    steps: int = 0
    algorithm: str
    algorithm_config: Mapping[str, Any]
    train_config: Mapping[str, Any]
    policy: Mapping[str, Any]


def save_checkpoint(
    folder: Path,
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    state: RunState,
    keep: int = 3,
    algorithm: Mapping[str, torch.Tensor] | None = None,
    environments: Mapping[str, torch.Tensor] | None = None,
    tokenizer: Any = None,
) -> Path:
    """Write a checkpoint, make it the latest, and remove old ones and what a killed run left.

    If writing fails, the checkpoints of before are as they were.

    Args:
        folder: Holds the run's checkpoints.
        policy: Its weights are saved.
        optimizer: Its moments are saved.
        state: Where the run is.
        keep: How many checkpoints stay, this one included; 1 or more.
        algorithm: The algorithm's state.
        environments: Theirs; see `Ongoing.state`.
        tokenizer: Has ``save_pretrained``, and goes with a language model's weights, so that
            transformers finds both in one folder; None: there is none.

    Returns:
        The checkpoint's folder.

    Raises:
        OSError: A file cannot be written, as on a full disk.
    """
    for unfinished in folder.glob(f".*-{_PREFIX}*"):
        remove(unfinished)
    target = checkpoint_folder(folder, state.iteration)
    with replacing(target) as temporary:
        temporary.mkdir()
        save_policy(policy, temporary)
        if tokenizer is not None and (temporary / MODEL).is_dir():
            tokenizer.save_pretrained(temporary / MODEL)
        tensors, groups = _flatten(optimizer)
        write_tensors(tensors, temporary / "optimizer.safetensors")
        for part, state_of in (("algorithm", algorithm), ("environments", environments)):
            if state_of:
                own = {name: tensor.detach().clone() for name, tensor in state_of.items()}
                write_tensors(own, temporary / f"{part}.safetensors")
        write_json(
            temporary / "state.json",
            {"format": FORMAT, **asdict(state), "optimizer_groups": groups},
        )
    write_text(folder / LATEST, target.name + "\n")
    older = sorted(path for path in folder.glob(f"{_PREFIX}*") if path != target)
    for path in older[: max(len(older) - keep + 1, 0)]:
        remove(path)
    return target


def checkpoint_folder(folder: Path, iteration: int) -> Path:
    """Where, in a folder of checkpoints, that of an iteration is."""
    return folder / f"{_PREFIX}{iteration:08d}"


def find_checkpoint(path: str | Path) -> Path:
    """The checkpoint folder that a path means.

    Args:
        path: A checkpoint, a folder of checkpoints, or a run's output folder.

    Raises:
        FileNotFoundError: There is none; says what was looked for.
    """
    path = Path(path)
    if (path / "state.json").is_file():
        return path
    for folder in (path, path / CHECKPOINTS):
        if (folder / LATEST).is_file():
            named = folder / (folder / LATEST).read_text(encoding="utf-8").strip()
            if not (named / "state.json").is_file():
                raise FileNotFoundError(f"{folder / LATEST} names {named}, which is no checkpoint")
            return named
    raise FileNotFoundError(
        f"no checkpoint at {path}: neither state.json, nor {LATEST}, nor {CHECKPOINTS}/{LATEST} "
        "is there"
    )


def has_progress(folder: Path) -> bool:
    """Whether a folder of checkpoints has one besides that of iteration 0."""
    return any(path.name != f"{_PREFIX}{0:08d}" for path in folder.glob(f"{_PREFIX}*"))


def read_state(checkpoint: Path) -> RunState:
    """Read where a checkpoint's run was.

    Raises:
        FileNotFoundError: There is no ``state.json``.
        ValueError: It is not JSON, of another format, or lacks an entry.
    """
    raw = _read_json(checkpoint)
    missing = [name for name in RunState.__dataclass_fields__ if raw.get(name) is None]
    if missing:
        raise ValueError(f"{checkpoint / 'state.json'} lacks {', '.join(missing)}")
    return RunState(**{name: raw[name] for name in RunState.__dataclass_fields__})


def load_checkpoint_policy(checkpoint: str | Path, device: str = "cpu") -> Policy:
    """Build a checkpoint's policy from the folder alone.

    Args:
        checkpoint: A checkpoint, or a run's output folder, whose last one is taken.
        device: A torch device.

    Raises:
        FileNotFoundError: There is no checkpoint, or a file of it is missing.
        ValueError: A file is damaged, or the weights do not fit the described policy.
    """
    folder = find_checkpoint(checkpoint)
    return load_policy(read_state(folder).policy, folder).to(device)


def load_optimizer(checkpoint: Path, optimizer: torch.optim.Optimizer) -> None:
    """Give the optimizer the moments and settings it had when the checkpoint was written.

    Raises:
        FileNotFoundError: There is no ``optimizer.safetensors``.
        ValueError: The file is damaged, or its tensors are not of the parameters' shapes.
    """
    path = checkpoint / "optimizer.safetensors"
    tensors = read_tensors(path)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        place = int(index)
        if place >= len(parameters):
            raise ValueError(
                f"{path}: state for parameter {place}, but the policy has {len(parameters)}"
            )
        if tensor.ndim and tensor.shape != parameters[place].shape:
            raise ValueError(
                f"{path}: {key} of parameter {place} has shape {tuple(tensor.shape)}, the "
                f"parameter {tuple(parameters[place].shape)}"
            )
        state.setdefault(place, {})[key] = tensor
    groups = _read_json(checkpoint)["optimizer_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def load_part(
    checkpoint: Path, part: Literal["algorithm", "environments"]
) -> dict[str, torch.Tensor]:
    """The state that a part of the run had when the checkpoint was written; empty for none.

    Raises:
        ValueError: The file is damaged.
    """
    path = checkpoint / f"{part}.safetensors"
    return read_tensors(path) if path.is_file() else {}


def _flatten(
    optimizer: torch.optim.Optimizer,
) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]]:
    """An optimizer's state as tensors by ``"<parameter>.<key>"``, and its settings as JSON."""
    state = optimizer.state_dict()
    tensors = {
        f"{index}.{key}": value.contiguous()
        for index, entry in state["state"].items()
        for key, value in entry.items()
    }
    return tensors, state["param_groups"]


def _read_json(checkpoint: Path) -> dict[str, Any]:
    path = checkpoint / "state.json"
    if not path.is_file():
        raise FileNotFoundError(f"the checkpoint has no state.json: {path}")
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if raw.get("format") != FORMAT:
        raise ValueError(f"{path} has format {raw.get('format')!r}; this version reads {FORMAT}")
    return raw
