"""What a vector environment is given, checked: actions, masks of slots, step limits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.envs.mdp import TextMDP
from textgym.tokenizers import Tokenizer


def check_actions(
    actions: Any, num_envs: int, tokenizer: Tokenizer, ignored: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Actions as token ids, int64 [num_envs]; those of the `ignored` slots become EOS.

    Raises:
        ValueError: for a wrong shape or type, or an id outside the vocabulary.
    """
    tokens = np.asarray(actions)
    if tokens.shape != (num_envs,) or tokens.dtype.kind not in "iu":
        raise ValueError(
            f"actions must be integers of shape ({num_envs},), "
            f"not {tokens.dtype} of shape {tokens.shape}"
        )
    tokens = tokens.astype(np.int64, copy=bool(ignored.size))
    tokens[ignored] = tokenizer.eos_id
    wrong = tokens.view(np.uint64) >= tokenizer.vocab_size  # Negative numbers are large ones here.
    if wrong.any():
        slot = int(wrong.argmax())
        raise ValueError(
            f"an action is a token id from 0 to {tokenizer.vocab_size - 1}, "
            f"not {tokens[slot]} (slot {slot})"
        )
    return tokens


def check_reset_mask(mask: Any, num_envs: int) -> NDArray[np.int64]:
    """The slots that ``options["reset_mask"]`` names, int64 [n].

    Raises:
        TypeError: if it is not a NumPy array of bools.
        ValueError: if its shape is not (num_envs,), or nothing in it is True.
    """
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
        raise TypeError(f'options["reset_mask"] must be a NumPy array of bools, not {mask!r}')
    if mask.shape != (num_envs,) or not mask.any():
        raise ValueError(
            f'options["reset_mask"] must have shape ({num_envs},) and a True in it, '
            f"not shape {mask.shape} with {int(mask.sum())} True"
        )
    return mask.nonzero()[0]


def check_step_limit(steps: int | None) -> int | None:
    """The limit of steps an episode, as gymnasium.make takes it: None and -1 are none.

    Raises:
        ValueError: if it is not a positive whole number.
    """
    if steps is None or steps == -1:
        return None
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1:
        raise ValueError(f"max_episode_steps must be None or a positive int, not {steps!r}")
    return int(steps)


def check_examples(
    chosen: Any, slots: NDArray[np.int64], mdp: TextMDP, num_envs: int
) -> list[list[int]] | None:
    """The numbers of the examples that options name for each of these slots; None for none.

    Raises:
        ValueError: For a number that is no example's, or not one entry a slot.
    """
    if chosen is None:
        return None
    given = list(chosen) if np.iterable(chosen) else [chosen] * num_envs
    if len(given) != num_envs:
        raise ValueError(f'options["example"] has {len(given)} entries for num_envs={num_envs}')
    lists = (given[slot] for slot in slots.tolist())
    return [
        [mdp.check_index(index) for index in (each if np.iterable(each) else [each])]
        for each in lists
    ]
