"""Whether a model's weights are still what they were."""

from __future__ import annotations

from typing import TypeAlias

from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

Versions: TypeAlias = tuple[tuple[int, int], ...]

_optimizer_steps = 0


def _count(*_: object) -> None:
    global _optimizer_steps
    _optimizer_steps += 1


register_optimizer_step_post_hook(_count)  # A fused step does not show in what it changes.


class WeightVersions:
    """Looks at the weights of a model often, so that it must cost little.

    Args:
        model: Its modules stay; their parameters may be changed, or others put in their place.
    """

    def __init__(self, model: nn.Module) -> None:
        # Asking a model of many modules for its parameters takes as long as one of its layers.
        self._tables = [m._parameters for m in model.modules() if m._parameters]

    def now(self) -> Versions:
        """What differs once weights have been changed in place or replaced, or an optimizer's step.

        Not seen are changes behind PyTorch's back, as of ``parameter.data``.
        """
        weights = [
            (p._version, p.data_ptr()) for t in self._tables for p in t.values() if p is not None
        ]
        return ((_optimizer_steps, 0), *weights)
