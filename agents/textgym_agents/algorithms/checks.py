"""Range checks for configuration fields."""

from __future__ import annotations

import math


def require(
    name: str,
    value: float,
    *,
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
) -> None:
    """Check that a configuration value lies in its range.

    Args:
        name: The field, for the message.
        value: Its value.
        above: The value must be greater than this.
        least: The value must be at least this.
        most: The value must be at most this.

    Raises:
        ValueError: Names the field, the value and the bound it breaks, or that it is not finite.
    """
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    if above is not None and not value > above:
        raise ValueError(f"{name} must be greater than {above}, got {value}")
    if least is not None and not value >= least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    if most is not None and not value <= most:
        raise ValueError(f"{name} must be at most {most}, got {value}")
