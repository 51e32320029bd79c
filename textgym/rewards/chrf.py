"""chrF and chrF++ of one text, equal to sacreBLEU's `CHRF.sentence_score` / 100."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass

from textgym.rewards.base import ExampleLike, Stream
from textgym.rewards.incremental import ReferenceReward, split_words
from textgym.rewards.ngrams import NgramIndex, NgramMatcher, SubstringMatcher

_PUNCTUATION = frozenset(string.punctuation)
_EPSILON = 1e-16


@dataclass(frozen=True, slots=True)
class ChrfReference:
    """One reference as chrF sees it; `totals[n]` counts its n-grams, characters' then words'."""

    characters: NgramIndex
    words: NgramIndex
    totals: tuple[int, ...]


class Chrf(ReferenceReward[tuple[ChrfReference, ...]]):
    """chrF (Popović 2015): the F-score of character n-grams, in [0, 1], best over references.

    Args:
        char_order: the longest character n-gram, at least 1.
        word_order: the longest word n-gram; 0 is chrF, 2 is chrF++ (Popović 2017).
        beta: how many times recall counts as much as precision, above 0.
        whitespace: whether whitespace characters belong to the n-grams.
        eps_smoothing: average the orders' F-scores, with a tiny value where an order is empty
            (as chrF++.py and Moses do), instead of averaging precision and recall over the
            orders that text and reference both have.

    Raises:
        ValueError: an order or beta out of its range.
    """

    name = "chrf"

    def __init__(
        self,
        *,
        char_order: int = 6,
        word_order: int = 0,
        beta: float = 2.0,
        whitespace: bool = False,
        eps_smoothing: bool = False,
    ) -> None:
        super().__init__()
        if char_order < 1 or word_order < 0 or not beta > 0:
            raise ValueError(
                "chrF needs char_order >= 1, word_order >= 0 and beta > 0, got "
                f"{char_order}, {word_order} and {beta}"
            )
        self.char_order = char_order
        self.word_order = word_order
        self.beta = beta
        self.whitespace = whitespace
        self.eps_smoothing = eps_smoothing

    @property
    def signature(self) -> str:
        """The options, named as in sacreBLEU's signature."""
        return (
            f"{self.name}(case=mixed, eff={'no' if self.eps_smoothing else 'yes'}, "
            f"nc={self.char_order}, nw={self.word_order}, "
            f"space={'yes' if self.whitespace else 'no'}, beta={self.beta:g})"
        )

    def prepare(self, references: tuple[str, ...]) -> tuple[ChrfReference, ...]:
        """Index each reference's character and word n-grams."""
        return tuple(self._prepare_one(reference) for reference in references)

    def _prepare_one(self, reference: str) -> ChrfReference:
        characters = reference if self.whitespace else "".join(reference.split())
        words = _words(reference.split()) if self.word_order else []
        totals = (*_totals(len(characters), self.char_order), *_totals(len(words), self.word_order))
        return ChrfReference(
            NgramIndex.of_characters(characters, self.char_order),
            NgramIndex.of_tokens([words], self.word_order),
            totals,
        )

    def stream(self, example: ExampleLike) -> Stream:
        """Follow one text; characters are final at once, only the last word is not."""
        return _ChrfStream(self, self.prepared(example))

    def from_statistics(
        self, matches: Sequence[int], totals: Sequence[int], reference_totals: Sequence[int]
    ) -> float:
        """The F-score from its sufficient statistics (Popović 2017, equation 1).

        Args:
            matches: clipped matches by order, characters' orders and then words'.
            totals: n-grams in the text by order; what is below 1 counts as none.
            reference_totals: n-grams in the reference by order, likewise.

        Returns:
            The F-score in [0, 1]; 0 where nothing matches.
        """
        if self.eps_smoothing:
            return self._smoothed(matches, totals, reference_totals)
        precision = recall = 0.0
        orders = 0
        for correct, total, expected in zip(matches, totals, reference_totals, strict=True):
            if total > 0 and expected > 0:
                precision += correct / total
                recall += correct / expected
                orders += 1
        if not precision:
            return 0.0
        precision, recall = precision / orders, recall / orders
        factor = self.beta**2
        return (1 + factor) * precision * recall / (factor * precision + recall)

    def _smoothed(
        self, matches: Sequence[int], totals: Sequence[int], reference_totals: Sequence[int]
    ) -> float:
        factor = self.beta**2
        score = 0.0
        for correct, total, expected in zip(matches, totals, reference_totals, strict=True):
            precision = correct / total if total > 0 and expected > 0 else _EPSILON
            recall = correct / expected if expected > 0 else _EPSILON
            denominator = factor * precision + recall
            if denominator > 0:
                score += (1 + factor) * precision * recall / denominator
            else:
                score += _EPSILON
        return score / len(matches)


class ChrfPlusPlus(Chrf):
    """chrF++ (Popović 2017): chrF with word unigrams and bigrams; `Chrf` tells the options."""

    name = "chrf++"

    def __init__(
        self,
        *,
        char_order: int = 6,
        word_order: int = 2,
        beta: float = 2.0,
        whitespace: bool = False,
        eps_smoothing: bool = False,
    ) -> None:
        super().__init__(
            char_order=char_order,
            word_order=word_order,
            beta=beta,
            whitespace=whitespace,
            eps_smoothing=eps_smoothing,
        )


class _ChrfStream(Stream):
    def __init__(self, reward: Chrf, references: tuple[ChrfReference, ...]) -> None:
        self._reward = reward
        self._characters = [SubstringMatcher(reference.characters) for reference in references]
        self._words = [NgramMatcher(reference.words) for reference in references]
        totals = [reference.totals for reference in references]
        self._rows = list(zip(self._characters, self._words, totals, strict=True))
        self._unread = ""  # what the character matchers have not seen
        self._last_word = ""  # the unfinished word, tentative in the word matchers
        self._stale = True
        self._score = 0.0

    def append(self, text: str) -> None:
        if text:
            self._unread += text
            self._stale = True

    def score(self) -> float:
        if self._stale:
            self._advance()
            self._score = self._compute()
            self._stale = False
        return self._score

    def _advance(self) -> None:
        text, self._unread = self._unread, ""
        characters = text if self._reward.whitespace else "".join(text.split())
        for matcher in self._characters:
            matcher.extend(characters)
        if self._reward.word_order:
            final, tentative, self._last_word = split_words(self._last_word + text)
            for word_matcher in self._words:
                word_matcher.advance(_words(final), _words(tentative))

    def _compute(self) -> float:
        reward = self._reward
        totals = [*_totals(self._characters[0].length, reward.char_order)]
        totals += _totals(self._words[0].length, reward.word_order)
        best = 0.0
        for characters, words, expected in self._rows:
            matches = characters.matches + words.matches
            best = max(best, reward.from_statistics(matches, totals, expected))
        return best


def _words(parts: Sequence[str]) -> list[str]:
    """The words of chrF++: punctuation at a word's end, or else at its start, stands alone."""
    words: list[str] = []
    for word in parts:
        if len(word) == 1:
            words.append(word)
        elif word[-1] in _PUNCTUATION:
            words += [word[:-1], word[-1]]
        elif word[0] in _PUNCTUATION:
            words += [word[0], word[1:]]
        else:
            words.append(word)
    return words


def _totals(length: int, order: int) -> range:
    """How many n-grams of each order there are, below 1 where there is none."""
    return range(length, length - order, -1)
