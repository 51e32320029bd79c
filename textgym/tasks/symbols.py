"""Copy, Reverse and Sort: diagnostics over a small alphabet, whose optimum is known."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from string import ascii_lowercase
from typing import ClassVar

import numpy as np

from textgym.tasks.base import Example, ProceduralTask

LENGTHS = {"easy": (3, 3), "medium": (3, 5), "hard": (5, 8)}
"""The fewest and most symbols of a prompt, by level."""


class SymbolTask(ProceduralTask):
    """Answers a row of symbols, "c a b =", with a rearrangement of it.

    Length and symbols are uniform and independent. The best score is 1 under every bundled
    metric that compares with the reference, since a prompt has exactly one answer.

    Args:
        symbols: Size of the alphabet a, b, c, ...; 1 to 26.
        length: Symbols in every prompt, at least 1; None for the level's range (easy 3,
            medium 3 to 5, hard 5 to 8).
        level: "easy", "medium" or "hard"; None is "easy".
        seed: Another seed draws other examples.

    Raises:
        ValueError: If an argument is out of its range.
    """

    default_level: ClassVar[str] = "easy"

    def __init__(
        self,
        *,
        symbols: int = 8,
        length: int | None = None,
        level: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(level=level, seed=seed)
        if not 1 <= symbols <= len(ascii_lowercase):
            raise ValueError(f"task {self.name!r}: symbols must be in 1..26, not {symbols}")
        if length is not None and length < 1:
            raise ValueError(f"task {self.name!r}: length must be at least 1, not {length}")
        self.alphabet = ascii_lowercase[:symbols]
        self.lengths = LENGTHS[self.level] if length is None else (length, length)
        self.tokenizer = "symbols:" + " ".join(self.alphabet)
        self.max_prompt_tokens = self.lengths[1] + 1  # with "="
        self.max_new_tokens = self.lengths[1] + 1  # with EOS

    @property
    def variant(self) -> str:
        """The name, the level, and the alphabet and the lengths where they are not the level's."""
        usual = self.alphabet == ascii_lowercase[:8] and self.lengths == LENGTHS[self.level]
        low, high = self.lengths
        return super().variant if usual else f"{self.name}/{len(self.alphabet)}x{low}-{high}"

    def generate(self, rng: np.random.Generator) -> Example:
        """Draw one prompt and answer it."""
        length = rng.integers(self.lengths[0], self.lengths[1] + 1)
        row = [self.alphabet[i] for i in rng.integers(len(self.alphabet), size=length)]
        return Example(" ".join([*row, "="]), (" ".join(self.answer(row)),))

    @abstractmethod
    def answer(self, row: Sequence[str]) -> Sequence[str]:
        """Return the one right answer to a row of symbols."""


class CopyTask(SymbolTask):
    """Repeat the row: "c a b =" is answered by "c a b"."""

    name = "copy"

    def answer(self, row: Sequence[str]) -> Sequence[str]:
        """Return the row itself."""
        return row


class ReverseTask(SymbolTask):
    """Repeat the row backwards: "c a b =" is answered by "b a c"."""

    name = "reverse"

    def answer(self, row: Sequence[str]) -> Sequence[str]:
        """Return the row, last symbol first."""
        return row[::-1]


class SortTask(SymbolTask):
    """Repeat the row in alphabetical order: "c a b =" is answered by "a b c"."""

    name = "sort"

    def answer(self, row: Sequence[str]) -> Sequence[str]:
        """Return the row in alphabetical order."""
        return sorted(row)
