"""One clause: what is said once, and how English says it."""

from __future__ import annotations

from dataclasses import dataclass

from textgym.tasks.english import BE_PAST, BE_PRESENT
from textgym.tasks.english import Verb as EnglishVerb
from textgym.tasks.translation.lexicon import Frame, Saying, Words
from textgym.tasks.translation.phrases import (
    THIRD,
    NounPhrase,
    Phrase,
    PrepositionalPhrase,
    own_possessive,
)
from textgym.tasks.translation.wording import PLAIN, Wording, joined, negated

UNMOVED = frozenset(("early", "badly", "loudly"))
"""Words in "-ly" that stay after the verb."""


@dataclass(frozen=True, slots=True)
class Modal:
    """A modal verb: what stands before the English infinitive, and the German verbs for it.

    Attributes:
        auxiliary: "can" for a verb that is its own auxiliary, "" for one that takes "do".
        chain: The forms of one that takes "do": "want to", "wants to" are built from them.
        german: The German modals.
        past: Whether `chain` is in the past.
        also: What else translates the first German modal.
        denied: What else translates it with "nicht".
        gerund: Whether the form in "-ing" follows: "likes reading".
    """

    auxiliary: str
    chain: EnglishVerb | None
    german: tuple[str, ...]
    past: bool = False
    also: tuple[Modal, ...] = ()
    denied: tuple[Modal, ...] = ()
    gerund: bool = False


@dataclass(slots=True)
class EnglishClause:
    """A subject, what it does, and all that surrounds it.

    Attributes:
        tense: "present", "progressive", "past", "was doing", "perfect", "pluperfect", "future" or
            "modal".
        negation: "", "not", "not yet" or "never".
        adverb: "often", "already", "gladly" and their like.
        goal: Where to, where, or a predicate: what German puts last in the middle field.
        dated: Whether the sentence says elsewhere when this happens.
        written: Whether the preterite is the first choice for the past.
    """

    subject: NounPhrase
    frame: Frame
    tense: str
    object: NounPhrase | Words | None = None
    receiver: NounPhrase | None = None
    modal: Modal | None = None
    negation: str = ""
    adverb: Words | None = None
    time: Words | None = None
    time_first: bool = False
    duration: Words | None = None
    manner: Words | None = None
    company: PrepositionalPhrase | None = None
    place: PrepositionalPhrase | None = None
    goal: Phrase | None = None
    written: bool = False
    dated: bool = False

    def english(
        self,
        wording: Wording = PLAIN,
        *,
        inverted: bool = False,
        shared: bool = False,
        question: str = "",
        without: str = "",
    ) -> str:
        """Return the English clause without capital or full stop.

        Args:
            wording: The wording.
            inverted: Put the auxiliary first, as a question does.
            shared: Leave the subject out, as the second half of a coordination does.
            question: A question word at the beginning.
            without: "object" leaves the object out, for a relative clause that begins with it.
        """
        auxiliary, main = self._english_verb(wording, inverted)
        subject = "" if shared else self.subject.in_english(wording, subject=True)
        if self.negation in ("not", "not yet"):
            auxiliary = negated(auxiliary, wording.contracted)
        if inverted:
            parts = [question, auxiliary, subject]
        elif wording.contracted and subject and auxiliary:
            parts = [question, joined(subject, auxiliary)]
        else:
            parts = [question, subject, auxiliary]
        inside = self._inside(wording)
        time = self.time.in_english(wording) if self.time is not None else ""
        fixed = inverted or time == "" or self.subject.subject == "who"
        early = not fixed and self.time_first != (wording.order == 1)
        if early and time:
            parts.insert(0, time)
        yet_early = self.negation == "not yet" and wording.order == 1
        if self.negation == "never" or yet_early:
            parts.append("yet" if yet_early else "never")
        if self.adverb is not None:
            parts.append(self.adverb.in_english(wording))
        moving = wording.order == 2 or (fixed and wording.order == 1)
        soon = moving and self._manner_moves(wording, main)
        parts.extend(self._english_predicate(main, inside, without, soon=soon))
        parts.append("" if early else time)
        if self.negation == "not yet" and not yet_early:
            parts.append("yet")
        return " ".join([part for part in parts if part])

    def english_infinitive(self, wording: Wording = PLAIN) -> str:
        """Return the clause as an infinitive without "to" and without a subject."""
        main = self._saying(wording).verb.base
        parts = self._english_predicate(main, self._inside(wording))
        return " ".join([part for part in parts if part])

    def _inside(self, wording: Wording) -> Wording:
        """Return the wording of what the subject does: "her" that refers to her is not "their"."""
        if wording.swapped and own_possessive(self.subject.core()) in ("her", "their"):
            return wording._replace(swapped=0)
        return wording

    def _saying(self, wording: Wording) -> Saying:
        sayings = self.frame.sayings
        return sayings[wording.verb % len(sayings)]

    def english_tenses(self) -> tuple[str, ...]:
        """Return the tenses that translate the first German one, the clause's own first."""
        tense = self.tense
        if tense == "past":
            told = self.time is not None or self.dated or self.written or self.duration is not None
            if "ing" in self.frame.flags:
                return ("past", "was doing")
            state = "st" in self.frame.flags or "preterite" in self.frame.flags
            return ("past",) if told or state else ("past", "perfect")
        if tense == "perfect" and not self.negation:
            return ("perfect", "past")
        if tense == "progressive" and self.time is None and self.adverb is None:
            return ("progressive", "present")
        if tense == "was doing":
            return ("was doing", "past")
        if tense == "future":
            return ("future", "going")
        return (tense,)

    def _modal(self, wording: Wording) -> Modal | None:
        if self.modal is None or not wording.tense:
            return self.modal
        modals = (self.modal, *(self.modal.denied if self.negation else self.modal.also))
        return modals[wording.tense % len(modals)]

    def _english_verb(self, wording: Wording, inverted: bool) -> tuple[str, str]:
        """Return the auxiliary, "" for none, and the main verb with what links it to a modal."""
        person, verb = self.subject.person, self._saying(wording).verb
        tenses = self.english_tenses()
        tense = tenses[wording.tense % len(tenses)]
        if tense in ("progressive", "was doing"):
            return (BE_PAST if tense == "was doing" else BE_PRESENT)[person], verb.ing
        if tense == "perfect":
            return "has" if person == THIRD else "have", verb.participle
        if tense == "pluperfect":
            return "had", verb.participle
        if tense == "future":
            return "will", verb.base
        if tense == "going":
            return BE_PRESENT[person], f"going to {verb.base}"
        copula, tail, modal = verb.base == "be", "", self._modal(wording)
        if modal is not None:
            if modal.auxiliary:
                return modal.auxiliary, verb.base
            assert modal.chain is not None
            tail = f" {verb.ing}" if modal.gerund else f" to {verb.base}"
            verb, tense = modal.chain, "past" if modal.past else "present"
            copula = verb.base.startswith("be ")
        if copula:
            form = (BE_PAST if tense == "past" else BE_PRESENT)[person]
            return form, verb.base[3:] + tail if tail else ""
        do = "did" if tense == "past" else "does" if person == THIRD else "do"
        if inverted or self.negation == "not":
            return do, verb.base + tail
        if tense == "past":
            return "", verb.past + tail
        return "", (verb.third if person == THIRD else verb.base) + tail

    def _manner_moves(self, wording: Wording, main: str) -> bool:
        """Say whether the manner may stand before the main verb: "is slowly peeling"."""
        if self.manner is None or self.modal is not None or self.negation:
            return False
        particle = self._saying(wording).particle
        if main.startswith("going to ") or particle == "aloud":
            return False
        manner = self.manner.in_english(wording)
        follows = self.object is not None or self.goal is not None or bool(particle)
        return follows and manner.endswith("ly") and manner not in UNMOVED

    def _english_predicate(
        self, main: str, wording: Wording, without: str = "", *, soon: bool = False
    ) -> list[str]:
        """Return the main verb and all that follows it but the time; `soon` moves the manner."""
        saying, obj = self._saying(wording), self.object
        manner = self.manner.in_english(wording) if self.manner is not None else ""
        placing = self.goal is not None and obj is not None and self.modal is None
        moved = soon or (bool(saying.preposition or placing) and manner.endswith("ly"))
        after_verb = bool(saying.preposition) and not soon
        parts = [manner, main] if moved and not after_verb else [main]
        words = "" if obj is None or without == "object" else obj.in_english(wording)
        before, after = self._receiver(wording)
        words = f"{before} {words}" if before and words else before or words
        pronoun = isinstance(obj, NounPhrase) and obj.is_pronoun
        if saying.preposition:
            parts += [
                saying.particle,
                manner if moved and after_verb else "",
                saying.preposition,
                words,
            ]
        elif pronoun or saying.particle == "aloud" or not words:
            parts += [words, saying.particle]
        else:
            parts += [saying.particle, words]
        parts.append(after)
        if self.goal is not None:
            parts.append(self.goal.in_english(wording))
        if not moved:
            parts.append(manner)
        for phrase in (self.company, self.place, self.duration):
            if phrase is not None:
                parts.append(phrase.in_english(wording))
        return parts

    def _receiver(self, wording: Wording) -> tuple[str, str]:
        """Return the receiver before the object and after it; one of them is empty."""
        if self.receiver is None:
            return "", ""
        words = self.receiver.in_english(wording)
        turned = wording.order == (2 if self.time is not None else 1)
        if "last" in self.frame.flags or turned:
            return "", f"to {words}"
        return words, ""
