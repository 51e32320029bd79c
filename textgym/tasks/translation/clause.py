"""One clause in both languages: its English is inherited, its German is said here."""

from __future__ import annotations

from dataclasses import dataclass

from textgym.tasks.translation import german
from textgym.tasks.translation.english_clause import EnglishClause, Modal
from textgym.tasks.translation.lexicon import Government, Words
from textgym.tasks.translation.phrases import (
    SECOND,
    NounPhrase,
    Phrase,
    join_preposition,
    negatable,
)
from textgym.tasks.translation.style import Style

__all__ = ["Clause", "Modal"]


@dataclass(slots=True)
class Clause(EnglishClause):
    """A clause that German says as a main clause, a question, a subordinate clause and so on."""

    def statement(self, style: Style) -> str:
        """Return the German main clause: the finite verb is second, what is first may vary."""
        first, swapped = self._order(style.order)
        if first is not None:
            return self._inverted(style, first.german(style), self._middle(style, swapped, first))
        finite, rest = self._verb(style)[:2]
        subject = self.subject.german(german.NOMINATIVE, style)
        return _join([subject, finite, *self._middle(style, swapped), rest])

    def verb_first(self, style: Style, *, before: str = "") -> str:
        """Return the clause after something that fills the first place, or as a question."""
        return self._inverted(style, before, self._middle(style, style.order == 1))

    def _inverted(self, style: Style, first: str, middle: list[str]) -> str:
        """Return the clause with the subject after the verb; "sich" precedes all but pronouns."""
        finite, rest = self._verb(style)[:2]
        subject = self.subject.german(german.NOMINATIVE, style)
        if self._government(style).reflexive >= 0 and not self.subject.is_pronoun:
            return _join([first, finite, middle[0], subject, *middle[1:], rest])
        return _join([first, finite, subject, *middle, rest])

    def verb_last(self, style: Style, *, subject: str | None = None, without: str = "") -> str:
        """Return the subordinate clause without its conjunction.

        Args:
            style: The wording.
            subject: Replaces the subject: "" where a relative pronoun has been written already.
            without: "object" leaves the object out, for a relative clause that begins with it.
        """
        if subject is None:
            subject = self.subject.german(german.NOMINATIVE, style)
        middle = self._middle(style, style.order == 1, without=without)
        return _join([subject, *middle, self._verb(style)[2]])

    def without_subject(self, style: Style, before: Clause) -> str:
        """Return the second half of a coordination; an auxiliary that `before` has is shared."""
        finite, rest, _ = self._verb(style)
        middle = self._middle(style, style.order == 1)
        same = before._verb(style)[0] == finite and rest and not self._separated(rest)
        return _join([*middle, rest] if same else [finite, *middle, rest])

    def infinitive(self, style: Style) -> str:
        """Return the clause as an infinitive with "zu", without a subject."""
        verb = self._government(style).verb
        return _join([*self._middle(style, style.order == 1), verb.zu_infinitive])

    def orders(self) -> int:
        """Return how many orders of constituents the statement has."""
        return len(self._orders())

    def tenses(self) -> int:
        """Return how many German tenses or modals fit."""
        return len(self._tenses())

    def _separated(self, rest: str) -> bool:
        return rest == self.frame.german[0].verb.prefix.strip()

    def _government(self, style: Style) -> Government:
        return self.frame.german[style.verb % len(self.frame.german)]

    def _tenses(self) -> tuple[str, ...]:
        if self.tense in ("past", "was doing"):
            if "preterite" in self.frame.flags:
                return ("preterite",)
            if self.subject.person == SECOND:
                return ("perfect",)
            if self.written or "st" in self.frame.flags:
                return ("preterite", "perfect")
            return ("perfect", "preterite")
        if self.tense == "future":
            return ("future", "present") if self.time or self.dated else ("future",)
        if self.tense == "progressive":
            now = self.time is not None or self.adverb is not None or self.negation
            return ("present",) if now or "st" in self.frame.flags else ("present", "now")
        if self.modal is not None:
            return self.modal.german
        return (self.tense,)

    def _verb(self, style: Style) -> tuple[str, str, str]:
        """Return the finite verb, the rest of the bracket, and both as a subordinate clause."""
        tenses = self._tenses()
        tense = tenses[style.tense % len(tenses)]
        person = self.subject.person
        if person == SECOND:
            person = (1, 4)[style.address]
        verb = self._government(style).verb
        if tense in ("present", "now", "preterite"):
            finite = (verb.preterite if tense == "preterite" else verb.present)[person]
            return finite, verb.prefix.strip(), verb.prefix + finite
        if tense in ("perfect", "pluperfect"):
            table = german.PERFECT if tense == "perfect" else german.PLUPERFECT
            finite, rest = table[verb.auxiliary][person], verb.participle
        elif tense == "future":
            finite, rest = german.WERDEN[person], verb.infinitive
        else:
            finite, rest = german.MODALS[tense][person], verb.infinitive
        return finite, rest, f"{rest} {finite}"

    def _orders(self) -> list[tuple[Phrase | None, bool]]:
        """Return what may come first (None: the subject) and whether the middle is swapped."""
        swaps = self._can_swap()
        subject: list[tuple[Phrase | None, bool]] = [(None, False)]
        if self.time is None:
            orders = subject + ([(None, True)] if swaps else [])
        elif self.time_first:
            orders = [(self.time, False), *subject] + ([(self.time, True)] if swaps else [])
        else:
            orders = [*subject, (self.time, False)] + ([(None, True)] if swaps else [])
        if self.place is not None and not self.negation and len(orders) < 3:
            orders.append((self.place, False))
        return orders

    def _order(self, index: int) -> tuple[Phrase | None, bool]:
        if index == 0:
            return (self.time if self.time_first else None), False
        orders = self._orders()
        return orders[index % len(orders)]

    def _can_swap(self) -> bool:
        obj = self.object
        if not isinstance(obj, NounPhrase) or obj.is_pronoun or self.frame.german[0].preposition:
            return False
        if obj.definite:
            if self._just():
                return True
            return self.time is not None and not self.time_first
        return self.place is not None and not self.negation

    def _just(self) -> bool:
        return self.adverb is not None and self.adverb.english == "just"

    def _middle(
        self, style: Style, swapped: bool, first: Phrase | None = None, without: str = ""
    ) -> list[str]:
        """Return the middle field: pronouns, time, objects, negation, manner, place, goal."""
        governs = self._government(style)
        pronouns: list[str] = []
        known = new = last = ""
        if governs.reflexive >= 0:
            pronouns.append(self._reflexive(governs, style))
        if self.object is not None and without != "object":
            words, rank = self._german_object(governs, style)
            if rank == 0:
                pronouns.append(words)
            elif rank == 1:
                known = words
            elif rank == 2:
                new = words
            else:
                last = words
        receiver = ""
        if self.receiver is not None:
            receiver = self.receiver.german(german.DATIVE, style)
            if self.receiver.is_pronoun:
                pronouns.append(receiver)
                receiver = ""
        time = ""
        if self.time is not None and first is not self.time:
            time = self.time.german(style)
        adverb, particle = self._adverbs(style)
        start = [receiver, known, time, adverb] if swapped else [time, adverb, receiver, known]
        if swapped and known and self._just():
            start, particle = [time, particle, receiver, known], ""
        company = self.company.german(style) if self.company is not None else ""
        place = (
            self.place.german(style) if self.place is not None and first is not self.place else ""
        )
        manner = self.manner.german(style) if self.manner is not None else ""
        around = [new, place] if swapped else [place, new]
        duration = self.duration.german(style) if self.duration is not None else ""
        goal = self.goal.german(style) if self.goal is not None else ""
        adverbials = [duration, company, manner, *around, last, governs.extra, goal]
        return [*pronouns, *start, particle, *adverbials]

    def _adverbs(self, style: Style) -> tuple[str, str]:
        """Return the adverb of frequency, and the particle of negation or completion."""
        adverb = particle = ""
        if self.adverb is not None:
            if self.adverb.english in ("already", "just"):
                particle = self.adverb.german(style)
            else:
                adverb = self.adverb.german(style)
        if self.tense == "progressive":
            tenses = self._tenses()
            if tenses[style.tense % len(tenses)] == "now":
                adverb = "gerade"
        if self.negation == "never":
            particle = "noch nie" if self.tense == "perfect" else "nie"
        elif self.negation:
            yet = self.negation == "not yet"
            negated = self._negated_object(self._government(style))
            particle = ("noch" if yet else "") if negated else "noch nicht" if yet else "nicht"
        return adverb, particle

    def _negated_object(self, governs: Government) -> bool:
        if self.negation not in ("not", "not yet") or governs.preposition:
            return False
        if isinstance(self.object, Words):
            return self.object.alternatives[0] in KEIN_WORDS
        return self.object is not None and negatable(self.object)

    def _german_object(self, governs: Government, style: Style) -> tuple[str, int]:
        """Return the object and its rank: 0 pronoun, 1 known, 2 new, 3 close to the verb."""
        obj = self.object
        assert obj is not None
        if isinstance(obj, Words):
            words = obj.german(style)
            negated = self._negated_object(governs)
            return (KEIN_WORDS[words] if negated else words), 3
        if governs.preposition:
            return join_preposition(governs.preposition, obj, governs.case, style), 3
        words = obj.german(governs.case, style, negated=self._negated_object(governs))
        return words, 0 if obj.is_pronoun else 1 if obj.definite else 2

    def _reflexive(self, governs: Government, style: Style) -> str:
        person = self.subject.person
        if person == SECOND:
            person = (1, 4)[style.address]
        return german.REFLEXIVES[person][governs.reflexive]


KEIN_WORDS = {
    language: f"kein {language}"
    for language in ("Deutsch", "Englisch", "Italienisch", "Spanisch", "Russisch", "Polnisch")
}
"""Bare objects that German negates with "kein", and how."""


def _join(parts: list[str]) -> str:
    return " ".join([part for part in parts if part])
