"""What a task is: prompts and references by index, and nothing about environments."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

SPLITS: tuple[str, ...] = ("train", "validation", "test")
"""The names of the splits that every task answers to."""

HOMES = (*SPLITS[1:], *SPLITS[:1] * 14)
"""The splits of the sixteen buckets that generated prompts are hashed to."""

NUM_PROCEDURAL_EXAMPLES = 2**31
"""The number of indices in each split of a procedural task."""

MAX_REDRAWS = 10_000
"""How many prompts are drawn for one example before its split is called empty."""

Fits = Callable[[str], bool]
"""Says whether the text that decides an example's split puts it in the split wanted."""


class Elsewhere(Exception):  # noqa: N818 - no error: it ends a draw
    """Ends the drawing of an example that turns out to belong to another split."""


@dataclass(frozen=True, slots=True)
class Example:
    """One prompt, the texts that answer it well, and anything a reward may want to know.

    Attributes:
        prompt: The text before the response; its last character is a separator.
        references: The good responses, the best one first; may be empty.
        metadata: Facts about the example; never shown to a policy.
    """

    prompt: str
    references: tuple[str, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Task(ABC):
    """A source of examples, indexed and split.

    Attributes:
        name: What the task is called in the table of tasks and in messages.
        tokenizer: The tokenizer the task is meant for: a name, a tokenizer object, or None for
            the bundled one.
    """

    name: str
    tokenizer: Any = None

    @property
    def variant(self) -> str:
        """The name and all that changes how hard the task is, such as "translation/medium"."""
        return self.name

    @abstractmethod
    def num_examples(self, split: str) -> int:
        """Return how many examples a split has.

        Raises:
            ValueError: If the split is not one of `SPLITS`.
        """

    @abstractmethod
    def example(self, index: int, split: str = "train") -> Example:
        """Return example `index` (from 0) of a split; the same one at every call.

        Raises:
            ValueError: If the split is not one of `SPLITS`.
            IndexError: If the index is not in `range(num_examples(split))`.
        """

    def describe_splits(self) -> str:
        """Return how many examples each split has, as in "train 9, validation 1, test 0"."""
        return ", ".join(f"{split} {self.num_examples(split)}" for split in SPLITS)

    def expert(self, example: Example, turns: Sequence[tuple[str, str]] = ()) -> str:
        """Return a text of the best known score: by default the first reference.

        Args:
            example: The example to answer.
            turns: What was said so far, in a task of several turns; see `MultiTurnTask`.

        Raises:
            ValueError: If the example has no reference.
        """
        if not example.references:
            raise ValueError(
                f"task {self.name!r} has no expert: its example with the prompt "
                f"{example.prompt[:60]!r} has no reference"
            )
        return example.references[0]


class ProceduralTask(Task):
    """A task whose examples are generated, each from (seed, index) alone.

    Example `i` comes from `default_rng(SeedSequence([seed, i]))`: examples are drawn from that one
    generator until one belongs to the split asked for. Which split an example belongs to is a hash
    of its prompt, so no prompt is in two splits, whatever the seed. Validation and test have a
    sixteenth of the prompts each, so they take sixteen draws; an `AimedTask` takes less.

    Args:
        level: One of the class's `levels`; None stands for its `default_level`.
        seed: A whole number >= 0; other seeds give other examples.

    Raises:
        ValueError: If the level is unknown or the seed is negative.
    """

    levels: ClassVar[tuple[str, ...]] = ("easy", "medium", "hard")
    default_level: ClassVar[str] = "medium"

    def __init__(self, *, level: str | None = None, seed: int = 0) -> None:
        chosen = self.default_level if level is None else level
        if chosen not in self.levels:
            raise ValueError(
                f"task {self.name!r} has no level {chosen!r}; "
                f"its levels are {', '.join(self.levels)}"
            )
        if seed < 0:
            raise ValueError(f"the seed of task {self.name!r} must be >= 0, not {seed}")
        self.level = chosen
        self.seed = seed

    @property
    def variant(self) -> str:
        """The name and the level; a subclass adds what else makes it easier or harder."""
        return f"{self.name}/{self.level}"

    @abstractmethod
    def generate(self, rng: np.random.Generator) -> Example:
        """Draw one example of the task's level, for whichever split it falls in."""

    def attempt(self, rng: np.random.Generator, fits: Fits) -> Example | None:
        """Draw one example; return None if it is not in the split wanted."""
        example = self.generate(rng)
        return example if fits(example.prompt) else None

    def num_examples(self, split: str) -> int:
        """Return 2**31, the number of indices of every split; prompts may recur.

        Raises:
            ValueError: If the split is not one of `SPLITS`.
        """
        _check_split(self.name, split)
        return NUM_PROCEDURAL_EXAMPLES

    def example(self, index: int, split: str = "train") -> Example:
        """Return example `index` of a split; it depends on (seed, index, split, level) alone.

        Raises:
            ValueError: If the split is not one of `SPLITS`, or the level has no prompt in it.
            IndexError: If the index is not in `range(2**31)`.
        """
        size = self.num_examples(split)
        if not 0 <= index < size:
            raise IndexError(
                f"example {index} of task {self.name!r} is out of range: the split {split!r} has "
                f"the examples 0 to {size - 1}"
            )
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, index]))

        def fits(text: str) -> bool:
            return split_of(text) == split

        for _ in range(MAX_REDRAWS):
            example = self.attempt(rng, fits)
            if example is not None:
                return example
        raise ValueError(
            f"task {self.name!r} at level {self.level!r} has no prompt in the split {split!r}: "
            f"{MAX_REDRAWS} prompts drawn for example {index} all fell in other splits"
        )


class AimedTask(ProceduralTask):
    """A procedural task that aims at a split, instead of drawing sixteen whole examples for one.

    Its `attempt` asks `fits` about the prompt, or earlier, about a key: words that the prompt
    determines, so that equal prompts have equal keys and no prompt is in two splits. Where they do
    not fit, it redraws a part of them that is cheap to draw.

    Held-out examples have to be distributed like the others, so that part needs a hundred values
    that are about as likely: whatever is left of the prompt then fits as often as anything else.
    Where a value is likelier, a few draws at most, and then all anew: it fits in one split alone,
    and all the likelier to lose against other values there, the more of them are drawn.
    """

    @abstractmethod
    def attempt(self, rng: np.random.Generator, fits: Fits) -> Example | None:
        """Draw one example that fits; return None if there was none.

        Args:
            rng: Where all random choices come from.
            fits: Whether a prompt, or a key, belongs to the split wanted. Every prompt is asked
                about by the same kind of words at every call.
        """

    def generate(self, rng: np.random.Generator) -> Example:
        """Draw one example of the task's level, for whichever split it falls in."""
        while True:
            example = self.attempt(rng, lambda text: True)
            if example is not None:
                return example


def split_of(text: str) -> str:
    """Return the split of a generated prompt or key: 1/16 validation, 1/16 test, else train."""
    # CRC is linear, so the low bits of similar prompts are alike: a multiplication mixes them.
    return HOMES[(zlib.crc32(text.encode()) * 2654435761 & 0xFFFFFFFF) >> 28]


def _check_split(name: str, split: str) -> None:
    if split not in SPLITS:
        raise ValueError(f"task {name!r} has no split {split!r}; splits are {', '.join(SPLITS)}")
