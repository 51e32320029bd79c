"""Torch's device and CPU threads, as a configuration names them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def check_device(name: str) -> None:
    """Check that a device can be used.

    Raises:
        ValueError: Torch does not know the name, or the machine has no such device.
    """
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"device {name!r} cannot be used: {reason}") from error


@contextmanager
def cpu_threads(threads: int) -> Iterator[None]:
    """Let torch use so many CPU threads while the body runs; 0: as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
