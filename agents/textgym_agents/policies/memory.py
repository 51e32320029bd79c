"""Gives memory that is free back to the system, which allocators put off."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

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
