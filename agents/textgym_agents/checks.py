"""Checks of configuration fields."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args, get_origin, get_type_hints


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


def check_choices(config: Any) -> None:
    """Check each field of a configuration that is to be one of several words.

    Which they are is in the field's type: a ``Literal``, or that and None.

    Args:
        config: A dataclass.

    Raises:
        ValueError: Names the field, its value and the words.
    """
    for name, hint in get_type_hints(type(config)).items():
        literals = [part for part in (hint, *get_args(hint)) if get_origin(part) is Literal]
        if not literals:
            continue
        words, value = get_args(literals[0]), getattr(config, name)
        if value not in words and not (value is None and type(None) in get_args(hint)):
            known = ", ".join(f'"{word}"' for word in words)
            raise ValueError(f"{name} must be one of {known}, got {value!r}")
