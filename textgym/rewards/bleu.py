"""BLEU of one text against its references, equal to sacreBLEU's `sentence_bleu` / 100."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from textgym.rewards.base import ExampleLike, Stream
from textgym.rewards.incremental import ReferenceReward, Split, TokenStream
from textgym.rewards.ngrams import NgramIndex, NgramMatcher
from textgym.rewards.tokenization_13a import split_13a, split_13a_lowercase, tokenize_13a

SMOOTHING_DEFAULTS: dict[str, float] = {"none": 0.0, "floor": 0.1, "add-k": 1.0, "exp": 0.0}
"""Smoothing methods (Chen and Cherry 2014) to their default value; "none" and "exp" use none."""


@dataclass(frozen=True, slots=True)
class BleuReferences:
    """References as BLEU sees them: n-grams clipped at their maximum count, and lengths."""

    index: NgramIndex
    lengths: tuple[int, ...]


class Bleu(ReferenceReward[BleuReferences]):
    """BLEU (Papineni et al. 2002) of one text, in [0, 1], tokenised by 13a.

    Args:
        smooth_method: what a precision of 0 becomes: "exp" (halved each time, the default of
            sacreBLEU), "floor" (`smooth_value` matches), "add-k" (`smooth_value` more matches
            and n-grams from bigrams on) or "none". Without any matching word the score is 0.
        smooth_value: for "floor" in (0, 1] (default 0.1) and "add-k" above 0 (default 1).
        lowercase: compare lower-cased texts.
        effective_order: average only the orders the text is long enough for, as sentence-level
            BLEU should; without it a text shorter than `max_ngram_order` words scores 0.
        max_ngram_order: the longest n-gram, at least 1.

    Raises:
        ValueError: an unknown smoothing method, or a value out of its range.
    """

    name = "bleu"

    def __init__(
        self,
        *,
        smooth_method: str = "exp",
        smooth_value: float | None = None,
        lowercase: bool = False,
        effective_order: bool = True,
        max_ngram_order: int = 4,
    ) -> None:
        super().__init__()
        if max_ngram_order < 1:
            raise ValueError(f"max_ngram_order must be at least 1, got {max_ngram_order}")
        self.smooth_method = smooth_method
        self.smooth_value = _checked_smoothing(smooth_method, smooth_value)
        self.lowercase = lowercase
        self.effective_order = effective_order
        self.max_ngram_order = max_ngram_order

    @property
    def signature(self) -> str:
        """The options, named as in sacreBLEU's signature."""
        smooth = self.smooth_method
        if smooth in ("floor", "add-k"):
            smooth += f"[{self.smooth_value:g}]"
        return (
            f"{self.name}(case={'lc' if self.lowercase else 'mixed'}, "
            f"eff={'yes' if self.effective_order else 'no'}, tok=13a, smooth={smooth}, "
            f"order={self.max_ngram_order})"
        )

    def prepare(self, references: tuple[str, ...]) -> BleuReferences:
        """Tokenise the references and index their n-grams."""
        texts = [text.lower() if self.lowercase else text for text in references]
        tokens = [tokenize_13a(text.rstrip()) for text in texts]
        return BleuReferences(
            NgramIndex.of_tokens(tokens, self.max_ngram_order), tuple(sorted(map(len, tokens)))
        )

    def stream(self, example: ExampleLike) -> Stream:
        """Follow one text; a step costs as much as its new words and the unfinished one."""
        split = split_13a_lowercase if self.lowercase else split_13a
        return _BleuStream(self, split, self.prepared(example))

    def from_statistics(self, matches: Sequence[int], length: int, reference_length: int) -> float:
        """BLEU from its sufficient statistics (Papineni et al. 2002, section 2.3).

        Args:
            matches: clipped n-gram matches by order minus one.
            length: tokens in the text.
            reference_length: tokens in the reference closest in length.

        Returns:
            The score in [0, 1]; 0 where nothing matches.
        """
        if not any(matches):
            return 0.0
        add = self.smooth_value if self.smooth_method == "add-k" else 0.0
        # Orders the text is too short for count where add-k gives them a precision of k / k.
        orders = self.max_ngram_order if add else min(self.max_ngram_order, length)
        product = 1.0
        zeros = 0
        for n in range(orders):
            correct: float = matches[n]
            total: float = length - n
            if add and n:
                correct, total = correct + add, max(total, 0) + add
            if correct == 0:
                zeros += 1
                correct = self._smoothed(zeros)
            product *= correct / total
        if not self.effective_order and orders < self.max_ngram_order:
            return 0.0
        penalty = math.exp(1 - reference_length / length) if length < reference_length else 1.0
        return penalty * float(product ** (1.0 / orders))

    def _smoothed(self, zeros: int) -> float:
        """The matches to assume where there are none, for the `zeros`-th time."""
        if self.smooth_method == "exp":
            return float(0.5**zeros)
        return self.smooth_value if self.smooth_method == "floor" else 0.0


class _BleuStream(TokenStream):
    def __init__(self, reward: Bleu, split: Split, references: BleuReferences) -> None:
        self._matcher = NgramMatcher(references.index)
        super().__init__(split, [self._matcher])
        self._reward = reward
        self._lengths = references.lengths

    def _compute(self) -> float:
        matcher, lengths = self._matcher, self._lengths
        length = matcher.length
        closest = lengths[0]
        if len(lengths) > 1:  # the shorter one of two that are equally close
            closest = min(lengths, key=lambda reference: abs(reference - length))
        return self._reward.from_statistics(matcher.matches, length, closest)


def _checked_smoothing(method: str, value: float | None) -> float:
    if method not in SMOOTHING_DEFAULTS:
        raise ValueError(
            f"unknown smooth_method {method!r}; known: {', '.join(SMOOTHING_DEFAULTS)}"
        )
    if value is None:
        return SMOOTHING_DEFAULTS[method]
    if method in ("none", "exp"):
        raise ValueError(f"smooth_method {method!r} takes no smooth_value, got {value!r}")
    if not 0.0 < value < math.inf or (method == "floor" and value > 1.0):
        bounds = "in (0, 1]" if method == "floor" else "above 0 and finite"
        raise ValueError(f"smooth_value of {method!r} must be {bounds}, got {value!r}")
    return float(value)
