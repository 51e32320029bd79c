"""How one English translation differs from another: the choices that a paraphrase makes."""

from __future__ import annotations

from typing import NamedTuple


class Wording(NamedTuple):
    """Which of the possible wordings an English sentence takes; zero is the plain one.

    Attributes:
        swapped: Whether "her" and "their" are exchanged where German "ihr" may be either.
        tense: The index of the tense or modal among those that fit the German verb form.
        order: The index of the order: where the time, "yet", the receiver or the clause stands.
        word: The index of every noun, adjective and adverb among its synonyms.
        verb: The index of the verb among its synonyms.
        link: The index of the conjunction or relative pronoun among its synonyms.
        contracted: Whether to write "doesn't" and "she'll".
    """

    swapped: int = 0
    tense: int = 0
    order: int = 0
    word: int = 0
    verb: int = 0
    link: int = 0
    contracted: int = 0

    @property
    def calm(self) -> Wording:
        """The wording with everything in its usual order."""
        return self._replace(order=0) if self.order else self


PLAIN = Wording()


def _listed(*wordings: Wording) -> tuple[tuple[Wording, frozenset[str]], ...]:
    """Return the wordings with the names of what they change."""
    names = Wording._fields
    return tuple(
        (wording, frozenset(name for name, value in zip(names, wording, strict=True) if value))
        for wording in wordings
    )


SWAP, TENSE, CONTRACTION = Wording(swapped=1), Wording(tense=1), Wording(contracted=1)
VERB, LINK, MOVE = Wording(verb=1), Wording(link=1), Wording(order=2)
WORDINGS = _listed(
    SWAP,
    TENSE,
    Wording(order=1),
    Wording(word=1),
    CONTRACTION,
    VERB,
    LINK,
    MOVE,
    Wording(contracted=1, tense=1),
    Wording(contracted=1, order=1),
    Wording(word=1, order=1),
    Wording(verb=1, word=1),
    Wording(contracted=1, word=1),
    Wording(link=1, word=1),
    Wording(tense=1, order=1),
    Wording(verb=1, order=1),
    Wording(link=2),
)
"""The wordings tried for the references, in this order, and what each changes."""

NEGATED = {word: f"{word}n't" for word in ("do", "does", "did", "has", "have", "had", "is", "are")}
NEGATED |= {word: f"{word}n't" for word in ("was", "were", "would", "should", "could")}
NEGATED |= {"can": "can't", "will": "won't", "must": "mustn't"}
SHORT = {"am": "'m", "is": "'s", "are": "'re", "will": "'ll", "have": "'ve", "has": "'s"}
SHORT |= {"would like to": "'d like to"}
SHORTENED = frozenset(["I", "you", "he", "she", "it", "we", "they"])


def negated(auxiliary: str, contracted: int) -> str:
    """Return an auxiliary with "not", contracted if asked for and if English does."""
    if contracted and auxiliary in NEGATED:
        return NEGATED[auxiliary]
    return "cannot" if auxiliary == "can" else f"{auxiliary} not"


def joined(subject: str, auxiliary: str) -> str:
    """Return a pronoun and an auxiliary as one word: "she'll"; other words stay apart."""
    first, blank, rest = auxiliary.partition(" not")
    if subject in SHORTENED and first in SHORT:
        return f"{subject}{SHORT[first]}{blank}{rest}"
    return f"{subject} {auxiliary}"
