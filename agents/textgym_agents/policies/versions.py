"""Whether a model's weights are still what they were."""

from __future__ import annotations

from typing import TypeAlias

from torch import nn

Versions: TypeAlias = tuple[tuple[int, int], ...]


class WeightVersions:
    """Looks at the weights of a model often, so that it must cost little.

    Args:
        model: Its modules stay; their parameters may be changed, or others put in their place.
    """

    def __init__(self, model: nn.Module) -> None:
        # Asking a model of many modules for its parameters takes as long as one of its layers.
        self._tables = [m._parameters for m in model.modules() if m._parameters]

    def now(self) -> Versions:
        """What differs once weights have been changed in place, or replaced."""
        return tuple(
            [(p._version, p.data_ptr()) for t in self._tables for p in t.values() if p is not None]
        )
