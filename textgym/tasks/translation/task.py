"""The translation task: English sentences and their German translations."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from textgym.tasks.base import Example, ProceduralTask
from textgym.tasks.translation import coordinate, relative, simple, subordinate
from textgym.tasks.translation.sentence import Sentence
from textgym.tasks.translation.writer import Writer

LENGTHS = {"easy": (3, 9), "medium": (7, 17), "hard": (9, 22)}
"""The fewest and the most words of an English sentence, by level."""

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


class TranslationTask(ProceduralTask):
    """English to German in a controlled language of its own: over 600 words, two grammars.

    A prompt is an English sentence and a line break, the references are German translations: the
    most natural one first, then paraphrases (word order, tense, synonyms, "du" and "Sie"). Verbs
    choose their subjects, objects and places, so that a sentence makes sense.

    Levels: "easy" has one short clause without adjectives, "medium" (the default) one clause with
    adjectives, adverbials, dates, numbers, negation and questions, "hard" two clauses.

    There are more than 10**7 distinct pairs at "medium" and "hard", counted by recurrence: n draws
    from N equally likely prompts hold about n**2 / 2N pairs that are alike, and prompts that are
    not equally likely recur more often, so n**2 over twice the recurrences is a low estimate of N.
    """

    name = "translation"
    levels: ClassVar[tuple[str, ...]] = ("easy", "medium", "hard")

    def generate(self, rng: np.random.Generator) -> Example:
        """Draw a sentence of the level; the prompt is English, the references are German."""
        writer = Writer(rng, self.level)
        low, high = LENGTHS[self.level]
        while True:
            sentence = self._sentence(writer)
            if low <= sentence.english.count(" ") + 1 <= high:
                break
            writer.addressed = writer.synonyms = False
        english = sentence.prompt()
        metadata = {"level": self.level, "english": english}
        return Example(english + "\n", sentence.references(writer), metadata)

    def _sentence(self, writer: Writer) -> Sentence:
        if self.level == "hard":
            return writer.pick(TWO_CLAUSES)(writer)
        roll = writer.unit()
        if roll < 0.72:
            return simple.statement(writer)
        if roll < 0.84:
            return simple.question(writer)
        if roll < 0.92 or self.level == "medium":
            return simple.position(writer) if roll > 0.94 else simple.predicate(writer)
        return simple.profession(writer)
