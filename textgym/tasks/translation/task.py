"""The translation task: sentences of one language and their translations into the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from textgym.tasks.base import AimedTask, Elsewhere, Example, Fits
from textgym.tasks.translation import coordinate, relative, simple, subordinate
from textgym.tasks.translation.sentence import Sentence
from textgym.tasks.translation.writer import Writer

LENGTHS = {"easy": (3, 9), "medium": (7, 17), "hard": (9, 22)}
"""The fewest and the most words of an English sentence, by level."""

DIRECTIONS = ("en-de", "de-en")
"""From English to German, and from German to English."""

LIMITS = {"easy": (36, 44), "medium": (52, 64), "hard": (68, 76)}
"""The longest prompt and the longest answer, EOS included, in tokens, by level.

In 20,000 examples of the bundled tokenizer the longest had 27 and 31, 41 and 45, 50 and 54 tokens,
in the direction that has the longer ones; the rest is room for rarer words and other tokenizers.
"""

MAX_SENTENCES = 1000
"""How many sentences are begun for one example before its split is given up."""

TWO_CLAUSES: tuple[Callable[[Writer], Sentence], ...] = (
    subordinate.that_clause,
    subordinate.that_clause,
    subordinate.embedded_question,
    subordinate.because,
    subordinate.because,
    subordinate.although,
    subordinate.condition,
    subordinate.meanwhile,
    subordinate.before_after,
    subordinate.before_after,
    subordinate.when,
    relative.relative_subject,
    relative.relative_object,
    relative.relative_object,
    coordinate.coordination,
    coordinate.sequence,
    coordinate.purpose,
    coordinate.infinitive,
)
"""The patterns of the level "hard"."""


class TranslationTask(AimedTask):
    """English to German, or back, in a controlled language: over 600 words, two grammars.

    A prompt is a sentence and a line break, the references are its translations, six at most, the
    plain one first, then paraphrases. Verbs choose their subjects, objects and places, so that a
    sentence makes sense.

    "Yesterday Anna did not buy a big car." has the references "Gestern hat Anna kein großes Auto
    gekauft.", "Anna hat gestern kein großes Auto gekauft.", "Gestern kaufte Anna kein großes
    Auto." and so on: they differ in word order, tense, synonyms, "du" and "Sie".

    From German, "Anna hat ihren Freund nicht angerufen." has, among others, the references "Anna
    did not call her friend.", "Anna has not called her friend.", "Anna didn't call her friend." and
    "Anna did not phone her friend.". What German leaves open is answered both ways: "Ihre Gäste
    sind alt." is about her, their or your guests, and the perfect tense is a perfect or a past
    where nothing says when.

    Levels: "easy" has one short clause without adjectives, "medium" (the default) one clause with
    adjectives, adverbials, dates, numbers, negation and questions, "hard" two clauses.

    There are more than 10**7 distinct pairs at "medium" and "hard", counted by recurrence: n draws
    from N equally likely prompts hold about n**2 / 2N pairs that are alike, and prompts that are
    not equally likely recur more often, so n**2 over twice the recurrences is a low estimate of N.
    "easy" has more than 4 * 10**6: 400,000 draws held D = 328,439 prompts, f1 = 309,661 of them
    once and f2 = 10,861 twice, and D + f1**2 / 2 f2 is a low estimate too (Chao 1984).

    What decides the split is not the whole prompt, but words of it: the subject and the verb of
    one clause, in some patterns more. "Anna" may buy things in one split alone, but she and what
    is bought are in all. Where few subjects go with a verb, as with "bark", it is the prompt.

    Metadata: "level", "direction" and "english", the plain English sentence. The default reward is
    BLEU, and the expert's answer the first reference.

    Args:
        level: "easy" to "hard".
        seed: A whole number >= 0.
        direction: "en-de" for English to German or "de-en" for German to English.

    Raises:
        ValueError: If the level or the direction is unknown or the seed is negative.
    """

    name = "translation"
    levels: ClassVar[tuple[str, ...]] = ("easy", "medium", "hard")

    def __init__(
        self, *, level: str | None = None, seed: int = 0, direction: str = "en-de"
    ) -> None:
        super().__init__(level=level, seed=seed)
        if direction not in DIRECTIONS:
            raise ValueError(
                f"task {self.name!r} has no direction {direction!r}; "
                f"its directions are {', '.join(DIRECTIONS)}"
            )
        self.direction = direction
        self.max_prompt_tokens, self.max_new_tokens = LIMITS[self.level]

    @property
    def variant(self) -> str:
        """The name, the level, and the direction where it is German to English."""
        usual = self.direction == "en-de"
        return super().variant if usual else f"{self.name}/{self.direction}/{self.level}"

    def attempt(self, rng: np.random.Generator, fits: Fits) -> Example | None:
        """Draw a sentence that fits: the prompt in one language, references in the other."""
        to_english = self.direction == "de-en"
        writer = Writer(rng, self.level, to_english=to_english, fits=fits)
        low, high = LENGTHS[self.level]
        pattern = self._pattern(writer)
        for _ in range(MAX_SENTENCES):
            writer.retry()
            try:
                sentence = pattern(writer)
            except Elsewhere:
                continue
            english = sentence.in_english()
            source = sentence.in_german() if to_english else english
            if not writer.key and not fits(source):
                continue
            if low <= english.count(" ") + 1 <= high:
                break
            writer.restart()
            pattern = self._pattern(writer)
        else:
            return None
        metadata = {"level": self.level, "direction": self.direction, "english": english}
        if to_english:
            references = sentence.english_references(english, source)
        else:
            references = sentence.german_references(writer)
        return Example(source + "\n", references, metadata)

    def _pattern(self, writer: Writer) -> Callable[[Writer], Sentence]:
        if self.level == "hard":
            return writer.pick(TWO_CLAUSES)
        roll = writer.unit()
        if roll < 0.72:
            return simple.statement
        if roll < 0.84:
            return simple.question
        if roll < 0.92 or self.level == "medium":
            return simple.position if roll > 0.94 else simple.predicate
        return simple.profession
