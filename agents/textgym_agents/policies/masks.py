"""Masks of legal actions, from NumPy to the tensors that distributions take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textgym_agents.policies.base import Actions, Episode


def legal_actions(
    masks: NDArray[np.bool_] | None,
    active: NDArray[np.bool_],
    num_actions: int,
    device: torch.device,
    starts: Sequence[int] | NDArray[np.int64] = (0,),
) -> Tensor | None:
    """The mask of one step.

    Args:
        masks: bool ``[N, V]``, or None: every action is legal.
        active: bool ``[N]``. Inactive slots may have an empty mask: all is legal there.
        num_actions: ``V``; where an action has several components, their choices together.
        device: Where the result goes.
        starts: Where the choices of each component begin.

    Returns:
        bool ``[N, V]`` with at least one legal choice a row and component, or None.

    Raises:
        ValueError: If the shape is another one, or an active slot has no legal action.
    """
    if masks is None:
        return None
    if masks.shape != (len(active), num_actions):
        raise ValueError(f"action masks are {masks.shape}, expected {(len(active), num_actions)}")
    masks = np.array(masks, np.bool_)  # a copy: PyTorch takes no read-only arrays
    some = np.asarray(np.logical_or.reduceat(masks, starts, axis=1).all(axis=1))
    if not some.all():
        if (~some & active).any():
            slot = int(np.flatnonzero(~some & active)[0])
            raise ValueError(f"the action mask of slot {slot} allows no action at all")
        masks = masks | ~some[:, None]
    return torch.from_numpy(masks).to(device)


def flat_masks(
    episodes: Sequence[Episode], num_actions: int, device: torch.device
) -> Tensor | None:
    """The masks of every step of the episodes, one after another.

    They are of the actions that were to choose from: `Episode.choices`, or else the legal ones.

    Args:
        episodes: ``M`` steps in all.
        num_actions: ``V``; masks of another width are an error.
        device: Where the result goes.

    Returns:
        bool ``[M, V]``; ``[V]`` if one mask is shared by all steps; None if there is none.
    """
    masks = [
        episode.action_masks
        if episode.choices is None
        else np.unpackbits(episode.choices, axis=1, count=num_actions).view(np.bool_)
        for episode in episodes
    ]
    for mask in masks:
        if mask is not None and mask.shape[-1] != num_actions:
            raise ValueError(
                f"an episode's action mask has {mask.shape[-1]} entries for {num_actions} actions"
            )
    first = masks[0]
    if all(mask is first for mask in masks):
        if first is None:
            return None
        if first.ndim == 1:
            return torch.from_numpy(first).to(device)
    rows = [
        np.ones((1, num_actions), np.bool_) if mask is None else np.atleast_2d(mask)
        for mask in masks
    ]
    steps = [episode.num_steps for episode in episodes]
    full = [np.broadcast_to(row, (n, num_actions)) for row, n in zip(rows, steps, strict=True)]
    return torch.from_numpy(np.concatenate(full)).to(device)


def first_legal(mask: Tensor | None, num_envs: int, filters: bool = False) -> Actions:
    """The first legal action in each of ``num_envs`` slots, as chosen where none is active.

    Args:
        mask: bool ``[N, V]`` with a legal action a row; None: all are.
        num_envs: ``N``.
        filters: With `Actions.kept`.
    """
    actions = np.zeros(num_envs, np.int64)
    if mask is not None:
        actions = mask.to(torch.uint8).argmax(dim=1).cpu().numpy()
    log_probs, values = np.zeros((2, num_envs), np.float32)
    return Actions(actions, log_probs, values, np.zeros_like(actions) if filters else None)
