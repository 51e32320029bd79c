"""A sentence in English with its German wordings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textgym.tasks.translation.clause import Clause
from textgym.tasks.translation.style import STYLES, Style
from textgym.tasks.translation.writer import Writer

MAX_REFERENCES = 6
"""How many references an example has at most."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """An English sentence and a function that words it in German.

    Attributes:
        english: Without capital and full stop.
        german: From a style to the German sentence, without capital and full stop.
        clauses: The clauses inside, which tell what styles differ.
        ending: The final punctuation mark.
        orders: How many orders of constituents `german` knows; 0 asks the first clause.
    """

    english: str
    german: Callable[[Style], str]
    clauses: tuple[Clause, ...]
    ending: str = "."
    orders: int = 0

    def prompt(self) -> str:
        """Return the English sentence as it is written."""
        return finished(self.english, self.ending)

    def references(self, writer: Writer) -> tuple[str, ...]:
        """Return the distinct German wordings, the most natural first."""
        orders = self.orders or self.clauses[0].orders()
        tenses = max(clause.tenses() for clause in self.clauses)
        verbs = max(len(clause.frame.german) for clause in self.clauses)
        found: dict[str, None] = {}
        for style in STYLES:
            if style.order >= orders or style.tense >= tenses or style.verb >= verbs:
                continue
            if (style.address and not writer.addressed) or (style.word and not writer.synonyms):
                continue
            found[finished(self.german(style), self.ending)] = None
            if len(found) == MAX_REFERENCES:
                break
        return tuple(found)


def finished(words: str, ending: str) -> str:
    """Return the words with a capital and a final punctuation mark."""
    return words[0].upper() + words[1:] + ending
