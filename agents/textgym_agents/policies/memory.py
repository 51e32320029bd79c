"""Gives memory that is free back to the system, which allocators put off."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

_LEAST = 2**26
"""Bytes below which it is not worth the time."""


def _c_library() -> Any:
    """glibc, or None elsewhere."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") else None


_LIBRARY = _c_library()


def give_back(num_bytes: int) -> None:
    """Give back what is free, after so many bytes on the CPU have become so, if they are many.

    What a step of learning allocates next is of other sizes than what a rollout has held: left with
    the allocator, much of that would stay unused under the step's peak. Only glibc is asked.
    """
    if num_bytes >= _LEAST and _LIBRARY is not None:
        _LIBRARY.malloc_trim(0)


def give_back_in_backward(parameters: Iterable[nn.Parameter]) -> None:
    """Have backward passes give back what they free, whenever many bytes of gradients were added.

    A backward pass frees activations as it makes gradients, which are larger and hence lie
    elsewhere. Nothing is done for parameters that are few, or not on the CPU.

    Args:
        parameters: Those that learn.
    """
    learning = [p for p in parameters if p.requires_grad and p.device.type == "cpu"]
    if sum(p.numel() * p.element_size() for p in learning) < _LEAST:
        return
    added = 0

    def count(parameter: Tensor) -> None:
        nonlocal added
        added += parameter.numel() * parameter.element_size()
        if added >= _LEAST:
            give_back(added)
            added = 0

    for parameter in learning:
        parameter.register_post_accumulate_grad_hook(count)  # type: ignore[no-untyped-call]
