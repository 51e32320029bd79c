"""How one translation differs from another: the choices that a paraphrase makes."""

from __future__ import annotations

from typing import NamedTuple


class Style(NamedTuple):
    """Which of the possible wordings a German sentence takes; 0 is the most natural one.

    Attributes:
        address: 0 for "du", 1 for "Sie".
        verb: The index of the verb among its synonyms.
        word: The index of every other word among its synonyms.
        tense: The index of the tense among those that fit (perfect, preterite).
        order: The index of the order of constituents.
    """

    address: int = 0
    verb: int = 0
    word: int = 0
    tense: int = 0
    order: int = 0

    @property
    def calm(self) -> Style:
        """The style with everything in its usual order."""
        return self._replace(order=0) if self.order else self


STYLES = (
    Style(),
    Style(order=1),
    Style(tense=1),
    Style(verb=1),
    Style(address=1),
    Style(word=1),
    Style(tense=1, order=1),
    Style(verb=1, order=1),
    Style(address=1, order=1),
    Style(order=2),
    Style(word=1, tense=1),
    Style(word=1, order=1),
    Style(verb=1, tense=1),
    Style(word=1, verb=1),
)
"""The wordings tried for the references, in this order."""
