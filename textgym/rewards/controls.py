"""Rewards that know nothing of quality: what a learner does with them shows what it does alone."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np

from textgym.rewards.base import ExampleLike, PerTextReward, Reward, Scores, Stream, check_pairs

_MASK64 = 0xFFFFFFFFFFFFFFFF


class Constant(Reward):
    """The same score for every text.

    Args:
        value: the score, in [0, 1].

    Raises:
        ValueError: `value` is outside [0, 1].
    """

    name = "constant"

    def __init__(self, value: float = 1.0) -> None:
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"a constant reward lies in [0, 1], got {value!r}")
        self.value = float(value)

    @property
    def signature(self) -> str:
        """The name and the value."""
        return f"{self.name}(value={self.value!r})"

    def __call__(self, texts: Sequence[str], examples: Sequence[ExampleLike]) -> Scores:
        """The constant for each text, float64 [n]."""
        check_pairs(self.name, texts, examples)
        return np.full(len(texts), self.value)

    def stream(self, example: ExampleLike) -> Stream:
        """A stream that ignores its text."""
        return _ConstantStream(self.value)


class _ConstantStream(Stream):
    def __init__(self, value: float) -> None:
        self._value = value

    def append(self, text: str) -> None:
        """Nothing to do: the score does not depend on the text."""

    def score(self) -> float:
        return self._value


class Random(PerTextReward):
    """A number that looks uniform on [0, 1) but is fixed by the seed and the text.

    A learner that improves on it is fitting noise. The number is a checksum of the text's
    UTF-8 bytes, mixed with the seed: the same in every process and on every machine.

    Args:
        seed: another seed gives unrelated scores.
    """

    name = "random"

    def __init__(self, seed: int = 0) -> None:
        self.seed = int(seed)

    @property
    def signature(self) -> str:
        """The name and the seed."""
        return f"{self.name}(seed={self.seed}, hash=crc32+splitmix64)"

    def score(self, text: str, example: ExampleLike) -> float:
        """The number for this text, in [0, 1)."""
        return _uniform(self.seed, crc32(_bytes(text)))

    def stream(self, example: ExampleLike) -> Stream:
        """A stream that carries the checksum on."""
        return _RandomStream(self.seed)


class _RandomStream(Stream):
    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._checksum = crc32(b"")

    def append(self, text: str) -> None:
        self._checksum = crc32(_bytes(text), self._checksum)

    def score(self) -> float:
        return _uniform(self._seed, self._checksum)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _uniform(seed: int, checksum: int) -> float:
    """The top 53 bits of SplitMix64 (Steele, Lea and Flood 2014) over seed and checksum."""
    mixed = _splitmix64(_splitmix64(seed) ^ checksum)
    return float((mixed >> 11) * 2.0**-53)


def _splitmix64(state: int) -> int:
    state = (state + 0x9E3779B97F4A7C15) & _MASK64
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK64
    return state ^ (state >> 31)
