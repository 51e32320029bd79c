"""Corpus BLEU by sacreBLEU, with bootstrap intervals that pair the systems sentence by sentence.

Koehn (2004), "Statistical significance tests for machine translation evaluation": test sets of the
same size are drawn from the test set with replacement, the same ones for every system. The seeds
that the systems were trained from are drawn with replacement as well, the same ones for every
system, so that an interval holds what a further training would give.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics import BLEU

METRIC = BLEU(tokenize="13a")
ORDERS = METRIC.max_ngram_order


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with the ends of its 95% interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def statistics(hypotheses: Sequence[str], references: Sequence[str]) -> NDArray[np.int64]:
    """What corpus BLEU adds up, one row a sentence.

    Returns:
        int64 ``[n, 10]``: matches of each order, n-grams of each order, words of the hypothesis,
        words of the reference.
    """
    scores = [
        METRIC.corpus_score([hypothesis], [[reference]])
        for hypothesis, reference in zip(hypotheses, references, strict=True)
    ]
    return np.array([[*s.counts, *s.totals, s.sys_len, s.ref_len] for s in scores], np.int64)


def bleu(sums: NDArray[np.int64]) -> float:
    """Corpus BLEU, 0 to 100, from the sum of the rows of `statistics`."""
    total = sums.tolist()
    score = BLEU.compute_bleu(
        correct=total[:ORDERS],
        total=total[ORDERS : 2 * ORDERS],
        sys_len=total[-2],
        ref_len=total[-1],
        smooth_method=METRIC.smooth_method,
        smooth_value=METRIC.smooth_value,
    )
    return float(score.score)


def length_ratio(seeds: NDArray[np.int64]) -> float:
    """Words of the hypotheses over words of the references, of statistics ``[S, n, 10]``."""
    words = seeds.sum(axis=(0, 1))
    return float(words[-2] / words[-1])


def signature() -> str:
    """SacreBLEU's signature, once it has scored something."""
    return str(METRIC.get_signature())


class Bootstrap:
    """Systems on one test set, and their scores on test sets drawn from it.

    Args:
        systems: For each its `statistics` by seed, ``[S, n, 10]``, of the same S seeds and n
            sentences.
        samples: Test sets to draw.
        seed: Of the draws.
    """

    def __init__(
        self, systems: Mapping[str, NDArray[np.int64]], samples: int = 1000, seed: int = 0
    ) -> None:
        generator = np.random.default_rng(seed)
        ((count, size),) = {stats.shape[:2] for stats in systems.values()}
        drawn = generator.multinomial(size, np.full(size, 1 / size), size=samples)
        self.seeds = {
            name: [bleu(seed.sum(axis=0)) for seed in stats] for name, stats in systems.items()
        }
        self.means = {name: float(np.mean(scores)) for name, scores in self.seeds.items()}
        picked = generator.integers(count, size=(count, samples))
        self._samples: dict[str, NDArray[np.float64]] = {}
        for name, stats in systems.items():
            scores = np.array([[bleu(row) for row in drawn @ seed] for seed in stats])
            self._samples[name] = np.take_along_axis(scores, picked, axis=0).mean(axis=0)

    def interval(self, name: str) -> Interval:
        """The mean over a system's seeds."""
        return _interval(self.means[name], self._samples[name])

    def difference(self, name: str, other: str) -> Interval:
        """How much better one system is than another."""
        return _interval(
            self.means[name] - self.means[other], self._samples[name] - self._samples[other]
        )


def _interval(value: float, samples: NDArray[np.float64]) -> Interval:
    low, high = np.percentile(samples, [2.5, 97.5])
    return Interval(value, float(low), float(high))
