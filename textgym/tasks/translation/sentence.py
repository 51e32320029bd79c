"""A sentence with its wordings in both languages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textgym.tasks.translation.clause import Clause
from textgym.tasks.translation.style import STYLES, Style
from textgym.tasks.translation.wording import (
    CONTRACTION,
    LINK,
    MOVE,
    PLAIN,
    SHORTENED,
    SWAP,
    TENSE,
    VERB,
    WORDINGS,
    Wording,
)
from textgym.tasks.translation.writer import Writer

MAX_REFERENCES = 6
"""How many references an example has at most."""

FORMAL = {"They": "You", "Her": "Your", "Their": "Your"}
"""What else a first word may translate where German begins with "Sie" or "Ihr"."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """Two functions that word a sentence in English and in German.

    Attributes:
        english: From a wording to the English sentence, without capital and full stop.
        german: From a style to the German sentence, without capital and full stop.
        clauses: The clauses inside, which tell what styles differ.
        ending: The final punctuation mark.
        orders: How many orders of constituents `german` knows; 0 asks the first clause.
    """

    english: Callable[[Wording], str]
    german: Callable[[Style], str]
    clauses: tuple[Clause, ...]
    ending: str = "."
    orders: int = 0

    def in_english(self, wording: Wording = PLAIN) -> str:
        """Return the English sentence as it is written."""
        return finished(self.english(wording), self.ending)

    def in_german(self, style: Style = STYLES[0]) -> str:
        """Return the German sentence as it is written."""
        return finished(self.german(style), self.ending)

    def english_references(self, english: str, german: str) -> tuple[str, ...]:
        """Return the distinct English wordings of the most natural German one.

        Args:
            english: The plain English wording, which comes first.
            german: The German wording; at its beginning "Sie" may be "they" or a polite "you".
        """
        found = dict.fromkeys((english, *polite(english, german)))
        useful: set[str] = set()
        idle = self._idle(english)
        for wording, choices in WORDINGS:
            if len(choices) > 1 or wording.link == 2:
                if not choices <= useful:
                    continue
            elif wording in idle:
                continue
            words = self.in_english(wording)
            if words not in found:
                found[words] = None
                useful |= choices
                if len(found) == MAX_REFERENCES:
                    break
        return tuple(found)

    def _idle(self, english: str) -> set[Wording]:
        """Return single choices that change nothing in this sentence, lest all be tried."""
        clauses = self.clauses
        idle = set()
        if len(clauses) == 1:
            idle.add(LINK)
        if not any(word in english for word in ("her", "Her", "their", "Their")):
            idle.add(SWAP)
        if not any(each.negation or each.subject.subject in SHORTENED for each in clauses):
            idle.add(CONTRACTION)
        if not any(each.modal is not None or len(each.english_tenses()) > 1 for each in clauses):
            idle.add(TENSE)
        if not any(len(each.frame.sayings) > 1 for each in clauses):
            idle.add(VERB)
        if not any(each.manner is not None or each.receiver is not None for each in clauses):
            idle.add(MOVE)
        return idle

    def german_references(self, writer: Writer) -> tuple[str, ...]:
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
            found[self.in_german(style)] = None
            if len(found) == MAX_REFERENCES:
                break
        return tuple(found)


def polite(english: str, german: str) -> tuple[str, ...]:
    """Return the reading in which a German "Sie" or "Ihr" at the beginning is polite, if any."""
    first, _, rest = english.partition(" ")
    third = {"they", "them", "their"} & set(rest.rstrip(".?").replace(",", "").split())
    if not german.startswith(("Sie ", "Ihr")) or first not in FORMAL or third:
        return ()
    return (f"{FORMAL[first]} {rest}",)


def finished(words: str, ending: str) -> str:
    """Return the words with a capital and a final punctuation mark."""
    return words[0].upper() + words[1:] + ending
