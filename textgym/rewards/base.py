"""What a reward is: texts and examples in, scores out; in batches, or as a text grows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


class ExampleLike(Protocol):
    """What a reward may look at besides the text: any object with these three attributes."""

    @property
    def prompt(self) -> str:
        """The text the response answers."""

    @property
    def references(self) -> Sequence[str]:
        """The texts that would have been right; may be empty."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Whatever else the task knows about the example, for instance ``keywords``."""


class Stream(ABC):
    """The score of one growing text. Streams can be pickled and deep-copied (snapshots)."""

    @abstractmethod
    def append(self, text: str) -> None:
        """Extend the text so far; the empty string changes nothing."""

    @abstractmethod
    def score(self) -> float:
        """The score of the text so far, equal to the reward's batch score of that text."""


class Reward(ABC):
    """A score of texts, given the examples they answer; as a rule in [0, 1].

    Rewards can be pickled and deep-copied. A subclass sets `name` and writes `__call__`; one
    that can follow a growing text more cheaply than by scoring it anew overrides `stream`.
    """

    name: str

    @property
    def signature(self) -> str:
        """Everything that changes the number, in one line: the name and its options."""
        return self.name

    @abstractmethod
    def __call__(self, texts: Sequence[str], examples: Sequence[ExampleLike]) -> Scores:
        """Score each text against the example at the same position.

        Returns:
            float64 [n], one score a text.
        """

    def components(
        self, texts: Sequence[str], examples: Sequence[ExampleLike]
    ) -> dict[str, Scores]:
        """The parts of the score by name, each float64 [n]; a single reward is its only part."""
        return {self.name: self(texts, examples)}

    def total(self, components: Mapping[str, Scores]) -> Scores:
        """The score, float64 [n], from what `components` returned."""
        return components[self.name]

    def stream(self, example: ExampleLike) -> Stream:
        """Follow one text that starts empty; by default each new text is scored from scratch."""
        return RescoringStream(self, example)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.signature!r})"


class PerTextReward(Reward):
    """A reward that looks at one text at a time; a subclass writes `score`."""

    @abstractmethod
    def score(self, text: str, example: ExampleLike) -> float:
        """The score of one text."""

    def __call__(self, texts: Sequence[str], examples: Sequence[ExampleLike]) -> Scores:
        """Score each text by itself, float64 [n].

        Raises:
            ValueError: `texts` and `examples` differ in length.
            TypeError: `texts` is one string.
        """
        check_pairs(self.name, texts, examples)
        scores = [self.score(text, example) for text, example in zip(texts, examples, strict=True)]
        return np.array(scores, dtype=np.float64)


class RescoringStream(Stream):
    """Scores the whole text again whenever it has changed: right for any reward, O(n) a step."""

    def __init__(self, reward: Reward, example: ExampleLike) -> None:
        self._reward = reward
        self._example = example
        self._chunks: list[str] = []
        self._score: float | None = None

    def append(self, text: str) -> None:
        """Extend the text so far."""
        if text:
            self._chunks.append(text)
            self._score = None

    def score(self) -> float:
        """The reward's batch score of the text so far."""
        if self._score is None:
            self._chunks = ["".join(self._chunks)]
            self._score = float(self._reward(self._chunks, [self._example])[0])
        return self._score


def check_pairs(name: str, texts: Sequence[str], examples: Sequence[ExampleLike]) -> None:
    """Refuse a batch in which texts and examples cannot be paired.

    Raises:
        ValueError: the lengths differ.
        TypeError: `texts` is one string, whose characters would be taken for texts.
    """
    if isinstance(texts, str):
        raise TypeError(f"reward {name!r} takes a sequence of texts, not one string: use [text]")
    if len(texts) != len(examples):
        raise ValueError(
            f"reward {name!r} got {len(texts)} texts but {len(examples)} examples; "
            "each text needs the example it answers"
        )


def references_of(name: str, example: ExampleLike) -> tuple[str, ...]:
    """The example's references, of which the reward needs at least one.

    Raises:
        ValueError: there is none.
        TypeError: `references` is one string.
    """
    references = example.references
    if isinstance(references, str):
        raise TypeError(
            f"reward {name!r}: references must be a sequence of strings, not one string, "
            f"in the example with prompt {_shown(example.prompt)}"
        )
    if not references:
        raise ValueError(
            f"reward {name!r} compares with references, but the example with prompt "
            f"{_shown(example.prompt)} has none"
        )
    return tuple(references)


def _shown(prompt: str, limit: int = 60) -> str:
    return repr(prompt if len(prompt) <= limit else prompt[:limit] + "...")
