"""Rewards of ranked lists."""

from __future__ import annotations

import math
from collections.abc import Mapping

from textgym.rewards.base import ExampleLike, PerTextReward

SEPARATOR = ";"
"""What stands between two items of a list."""


class Ndcg(PerTextReward):
    """NDCG@k of a list of items, "first; second; third", in [0, 1].

    The discounted cumulative gain of Järvelin and Kekäläinen (2002, "Cumulated gain-based
    evaluation of IR techniques", ACM TOIS 20(4)) in its usual form: the sum over the ranks
    r = 1..k of gain / log2(r + 1), where an item's gain is its relevance as it stands (not
    2**relevance - 1), divided by that sum for the ideal order.

    Items are compared whole, without regard to case and to how wide a space is. An item that is
    not in the table of relevances, or that was listed before, takes its rank and gains nothing.
    A list of n > k items is scored on its first k and multiplied by k / n, so that nothing is won
    by going on; a list that is empty scores 0, and so does any where nothing is relevant.

    The example's metadata says what is relevant:
        relevance: A mapping of items to gains, numbers >= 0; what is not in it gains 0.
        k: The length of the list asked for, at least 1.
    """

    name = "ndcg"

    @property
    def signature(self) -> str:
        """The name, the gain, the discount and what happens after rank k."""
        return f"{self.name}(k=example,gain=relevance,discount=log2(rank+1),longer=k/n)"

    def score(self, text: str, example: ExampleLike) -> float:
        """The score of one text.

        Raises:
            ValueError: The metadata lack a key, k < 1, or a gain is negative or not finite.
        """
        gains, k = self._relevance(example), self._k(example)
        ideal = _discounted(sorted(gains.values(), reverse=True)[:k])
        if not ideal or not text.strip():
            return 0.0
        items = [_plain(item) for item in text.split(SEPARATOR)]
        gained = [gains.pop(item, 0.0) for item in items[:k]]
        return min(1.0, _discounted(gained) / ideal) * min(1.0, k / len(items))

    def _relevance(self, example: ExampleLike) -> dict[str, float]:
        relevance = example.metadata.get("relevance")
        if not isinstance(relevance, Mapping):
            raise ValueError(
                f'reward {self.name!r} needs metadata["relevance"], a mapping of items to gains, '
                f"in the example with the prompt {example.prompt[:60]!r}; got {relevance!r}"
            )
        gains = {_plain(item): float(gain) for item, gain in relevance.items()}
        if not all(0 <= gain < math.inf for gain in gains.values()):
            raise ValueError(
                f'reward {self.name!r}: the gains in metadata["relevance"] must be finite and '
                f">= 0; got {relevance!r}"
            )
        return gains

    def _k(self, example: ExampleLike) -> int:
        k = example.metadata.get("k")
        if not isinstance(k, int) or k < 1:
            raise ValueError(
                f'reward {self.name!r} needs metadata["k"], a whole number >= 1, in the example '
                f"with the prompt {example.prompt[:60]!r}; got {k!r}"
            )
        return k


def _plain(item: str) -> str:
    return " ".join(item.split()).casefold()


def _discounted(gains: list[float]) -> float:
    """Return the DCG of gains in the order of their ranks."""
    return sum(gain / math.log2(rank + 2) for rank, gain in enumerate(gains))
