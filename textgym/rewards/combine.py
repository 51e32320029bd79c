"""Rewards made of others: a plain function as a reward, and weighted sums."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from textgym.rewards.base import ExampleLike, PerTextReward, Reward, Scores, Stream

RewardFunction = Callable[[str, Any], float]


class FunctionReward(PerTextReward):
    """A plain function ``f(text, example) -> float`` as a reward.

    Args:
        function: called once a text. For pickling it must be importable, so not a lambda.
        name: the component's name; by default the function's ``__name__``, and "function" for
            a lambda.
    """

    def __init__(self, function: RewardFunction, name: str | None = None) -> None:
        if not callable(function):
            raise TypeError(f"a reward function must be callable, got {function!r}")
        self.function = function
        self.name = name or _function_name(function)

    @property
    def signature(self) -> str:
        """The name and where the function comes from."""
        origin = getattr(self.function, "__module__", None) or type(self.function).__module__
        qualified = getattr(self.function, "__qualname__", type(self.function).__qualname__)
        return f"{self.name}(function={origin}.{qualified})"

    def score(self, text: str, example: ExampleLike) -> float:
        """What the function returns, as a float.

        Raises:
            TypeError: the function returned something that is not a number.
        """
        value = self.function(text, example)
        if isinstance(value, str):
            raise TypeError(f"reward function {self.name!r} returned {value!r}, not a number")
        try:
            return float(value)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"reward function {self.name!r} returned {value!r}, not a number"
            ) from error


class Combined(Reward):
    """A weighted sum of rewards: sum_k weight_k * score_k.

    Args:
        weights: rewards to their weights, in the order in which they are added up. Weights are
            finite; a negative one is a penalty. With weights that are at least 0 and add up
            to 1 the sum stays in [0, 1].

    Raises:
        ValueError: no reward, two of the same name, or a weight that is not finite.
        TypeError: a part that is not a Reward, or a weight that is not a number.
    """

    def __init__(self, weights: Mapping[Reward, float]) -> None:
        if not weights:
            raise ValueError("a combined reward needs at least one part, got an empty mapping")
        self.parts: dict[str, Reward] = {}
        self.weights: dict[str, float] = {}
        for reward, weight in weights.items():
            if not isinstance(reward, Reward):
                raise TypeError(f"a part of a combined reward must be a Reward, got {reward!r}")
            if reward.name in self.parts:
                raise ValueError(
                    f"two parts of a combined reward are named {reward.name!r}; "
                    "names must differ, since the components are reported by name"
                )
            self.parts[reward.name] = reward
            self.weights[reward.name] = _checked_weight(reward.name, weight)
        self.name = "+".join(self.parts)

    @property
    def signature(self) -> str:
        """Each weight and each part's own signature."""
        parts = self.parts.values()
        return " + ".join(f"{self.weights[part.name]!r}*{part.signature}" for part in parts)

    def __call__(self, texts: Sequence[str], examples: Sequence[ExampleLike]) -> Scores:
        """The weighted sum of the parts' scores, float64 [n]."""
        return self.total(self.components(texts, examples))

    def components(
        self, texts: Sequence[str], examples: Sequence[ExampleLike]
    ) -> dict[str, Scores]:
        """Each part's score by name, unweighted, each float64 [n]."""
        return {name: part(texts, examples) for name, part in self.parts.items()}

    def total(self, components: Mapping[str, Scores]) -> Scores:
        """The weighted sum of components, float64 [n]."""
        terms = [weight * components[name] for name, weight in self.weights.items()]
        return np.asarray(sum(terms[1:], start=terms[0]), dtype=np.float64)

    def stream(self, example: ExampleLike) -> Stream:
        """The parts' streams side by side."""
        streams = [part.stream(example) for part in self.parts.values()]
        return _CombinedStream(list(self.weights.values()), streams)


class _CombinedStream(Stream):
    def __init__(self, weights: list[float], streams: list[Stream]) -> None:
        self._streams = streams
        self._weighted = list(zip(weights, streams, strict=True))

    def append(self, text: str) -> None:
        for stream in self._streams:
            stream.append(text)

    def score(self) -> float:
        total = 0.0
        for weight, stream in self._weighted:
            total += weight * stream.score()
        return total


def _function_name(function: RewardFunction) -> str:
    name = getattr(function, "__name__", None) or type(function).__name__
    return "function" if name == "<lambda>" else str(name)


def _checked_weight(name: str, weight: object) -> float:
    if isinstance(weight, bool) or not isinstance(weight, (int, float, np.number)):
        raise TypeError(f"the weight of reward {name!r} must be a number, got {weight!r}")
    value = float(weight)
    if not math.isfinite(value):
        raise ValueError(f"the weight of reward {name!r} must be finite, got {weight!r}")
    return value
