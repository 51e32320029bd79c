"""What can be said of an entity: finite phrases, what is left of them in apposition, and lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from textgym.tasks.data_to_text.entities import Entity, Fact
from textgym.tasks.data_to_text.relations import MERGED

COPULAS = ("is", "was")

IRREGULAR_PARTICIPLES = frozenset(
    ("born", "brought", "known", "led", "made", "run", "set", "shot", "written")
)

ARTICLES = frozenset(("a", "an", "the"))

MERGING = frozenset(label for key in MERGED for label in key)
"""The labels of facts that may be said in one phrase with another."""


class Unit(NamedTuple):
    """A phrase about an entity, and what follows from it.

    Attributes:
        text: A finite verb phrase: "was born in Velmar".
        child: The entity that the phrase ends in, if it has facts of its own that are not told.
        named: The entities that the phrase names.
    """

    text: str
    child: Entity | None
    named: tuple[Entity, ...]

    @property
    def kind(self) -> str:
        """What is left without the copula: "participle", "noun", or "" for anything else."""
        words = self.text.split(" ", 2)
        if words[0] not in COPULAS:
            return ""
        if words[1].endswith("ed") or words[1] in IRREGULAR_PARTICIPLES:
            return "participle"
        return "noun" if words[1] in ARTICLES else ""

    @property
    def reduced(self) -> str:
        """The phrase without its copula: "born in Velmar", "a doctor"."""
        return self.text.split(" ", 1)[1]


def merged_key(first: Fact, second: Fact) -> tuple[str, str] | None:
    """Return the key in `MERGED` of two facts about one subject, in this order, if there is one."""
    key = (first.relation.label, second.relation.label)
    return key if first.subject is second.subject and key in MERGED else None


def merged_phrases(first: Fact, second: Fact) -> list[str]:
    """Return the phrases that say both facts; their order is that of the key in `MERGED`."""
    objects = [fact.relation.said[0].object_text(fact.value) for fact in (first, second)]
    key = first.relation.label, second.relation.label
    return [template.format(*objects) for template in MERGED[key]]


def listed(units: Sequence[Unit]) -> str:
    """Return "p1", "p1 and p2" or "p1, p2 and p3", a shared "was" or "is" said once."""
    if len(units) == 1:
        return units[0].text
    texts = [unit.text for unit in units]
    copula = texts[0].split(" ", 1)[0] + " "
    if all(text.startswith(copula) for text in texts) and all(
        unit.kind == "participle" for unit in units
    ):
        texts[1:] = [unit.reduced for unit in units[1:]]
    return ", ".join(texts[:-1]) + " and " + texts[-1]
