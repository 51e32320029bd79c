"""Writes facts up as fluent text: aggregation, relative clauses, apposition and pronouns."""

from __future__ import annotations

from textgym.tasks.data_to_text.entities import Entity, Fact
from textgym.tasks.data_to_text.phrasing import MERGING, Unit, listed, merged_key, merged_phrases
from textgym.tasks.data_to_text.world import World
from textgym.tasks.draws import Draws

KINDS = frozenset(("person", "book", "film", "dish"))
"""The types of which "is a novel set in Velmar" and the like is said."""


class Writer:
    """Writes one text about a world.

    A text goes from entity to entity: what holds of the first one is told in sentences of one to
    three facts; what holds of others follows in relative clauses or in sentences of their own.

    Args:
        world: Whose facts are to be told, each once.
        draws: What varies the wording; None writes the plainest text.
    """

    def __init__(self, world: World, draws: Draws | None = None) -> None:
        self._world = world
        self._draws = draws
        self._told: set[int] = set()
        self._used: set[str] = set()
        self._topic: Entity | None = None
        self._subject = ""
        self._mentioned: list[Entity] = []
        self._queue: list[Entity] = []

    def text(self, root: Entity) -> str:
        """Return the text that starts from an entity."""
        sentences = []
        self._queue = [root]
        while self._queue:
            node = self._queue.pop(0)
            chunks = self._chunks(self._units(node))
            sentences += [self._sentence(node, chunk) for chunk in chunks]
        return " ".join(sentences)

    def _chance(self, probability: float, plain: bool) -> bool:
        return plain if self._draws is None else self._draws.chance(probability)

    def _units(self, node: Entity) -> list[Unit]:
        """Tell all that is untold of an entity; what leads on to other entities comes last."""
        facts = [fact for fact in node.facts if id(fact) not in self._told]
        self._told.update(map(id, facts))
        if self._draws is not None and len(facts) > 1:
            facts = self._draws.shuffled(facts)
        units = []
        while facts:
            fact = facts.pop(0)
            partner = None
            if facts and fact.relation.label in MERGING:
                pairs = (f for f in facts if merged_key(fact, f) or merged_key(f, fact))
                partner = next(pairs, None)
            if partner is None:
                units.append(self._single(node, fact))
            else:
                facts.remove(partner)
                pair = (fact, partner) if merged_key(fact, partner) else (partner, fact)
                units.append(self._pair(*pair))
        units.sort(key=lambda unit: unit.child is not None)
        return units

    def _single(self, node: Entity, fact: Fact) -> Unit:
        phrases, name = fact.phrases(node)
        unused = self._used.isdisjoint
        fresh = [phrase for phrase in phrases if unused(phrase.words)] or phrases
        phrase = fresh[0] if self._draws is None else self._draws.pick(fresh)
        self._used |= phrase.words
        return self._unit(phrase.fill(name), (fact.other(node),))

    def _pair(self, first: Fact, second: Fact) -> Unit:
        phrases = merged_phrases(first, second)
        others = (first.object, second.object)
        rich = [other for other in others if other is not None and self._untold(other)]
        if rich:
            phrases = [text for text in phrases if text.endswith(rich[0].name)] or phrases
        text = phrases[0] if self._draws is None else self._draws.pick(phrases)
        self._used |= first.relation.said[0].words | second.relation.said[0].words
        return self._unit(text, others)

    def _unit(self, text: str, others: tuple[Entity | None, ...]) -> Unit:
        named = tuple([other for other in others if other is not None])
        for other in named:
            if self._untold(other):
                return Unit(text, other, named)
        return Unit(text, None, named)

    def _untold(self, entity: Entity) -> bool:
        return not self._told.issuperset(map(id, entity.facts))

    def _chunks(self, units: list[Unit]) -> list[list[Unit]]:
        """Divide what is told of an entity into sentences of one to three phrases."""
        chunks = []
        while units:
            size = 3 if len(units) != 4 else 2
            if self._draws is not None:
                size = self._draws.pick((1, 2, 2, 3, 3))
            chunks.append(units[:size])
            units = units[size:]
        return chunks

    def _sentence(self, node: Entity, units: list[Unit]) -> str:
        told = " " + listed(units)
        self._subject = self._pronoun(node, told) or node.name
        if len(units) > 1 and self._subject == node.name:
            told = self._elaborated(node, units)
        self._topic = node
        self._mentioned = [node]
        end = self._end(units, told)
        return f"{self._subject[0].upper()}{self._subject[1:]}{told}{end}."

    def _pronoun(self, node: Entity, told: str) -> str:
        """Return what may stand for an entity without doubt whom it means, or ""."""
        if node not in self._mentioned:
            return ""
        first, nouns = node.pronouns[0], node.pronouns[1:]
        rivals = [e for e in self._mentioned if e is not node]
        clear = [
            noun
            for noun in nouns
            if noun != self._subject
            and noun[4:] not in told
            and not any(noun in rival.pronouns for rival in rivals)
        ]
        if self._topic is not node:
            if not nouns and not any(first in rival.pronouns for rival in rivals):
                clear = [first]
        elif nouns or not any(first in rival.pronouns for rival in rivals):
            clear = [first, *clear]
        if not clear:
            return ""
        return clear[0] if self._draws is None else self._draws.pick(clear)

    def _elaborated(self, node: Entity, units: list[Unit]) -> str:
        """Continue a name with two or three phrases; one may become a clause or an apposition."""
        first, *rest = units
        style = "list"
        if self._draws is not None and first.child is None:
            style = self._draws.pick(("list", "list", "clause", "apposition", "apposition"))
        if style == "clause":
            return f", {node.relative} {first.text}, {listed(rest)}"
        if style == "list" or not first.kind:
            return " " + listed(units)
        if _is_kind(node, first) and rest[0].kind == "participle":
            return self._noun_phrase(first, rest)
        return f", {first.reduced}, {listed(rest)}"

    def _noun_phrase(self, noun: Unit, rest: list[Unit]) -> str:
        """Return "is a novel set in Velmar and ...": a noun, a participle and another phrase."""
        texts = [rest[0].reduced]
        if len(rest) > 1:
            texts.append(rest[1].reduced if rest[1].kind == "participle" else rest[1].text)
        return f" {noun.text} " + " and ".join(texts)

    def _end(self, units: list[Unit], told: str) -> str:
        """Lead on to the entities that a sentence named: at once the last, later the others."""
        self._mention(units)
        self._queue += [unit.child for unit in units[:-1] if unit.child is not None]
        child = units[-1].child
        if child is None:
            return ""
        if not units[-1].text.endswith(child.name) or not self._attaches(child):
            self._queue.append(child)
            return ""
        return self._clause(child, told)

    def _mention(self, units: list[Unit]) -> None:
        for unit in units:
            self._mentioned += unit.named

    def _attaches(self, child: Entity) -> bool:
        untold = sum(id(fact) not in self._told for fact in child.facts)
        return untold <= 2 and self._chance(0.7, plain=True)

    def _clause(self, child: Entity, told: str) -> str:
        """Return ", who was born in Velmar", ", a doctor" or ", based in Velmar"."""
        units = self._units(child)
        self._mention(units)
        self._queue += [unit.child for unit in units if unit.child is not None]
        reduced = units[0].reduced if len(units) == 1 and units[0].kind else ""
        if reduced and reduced.split(" ")[0] not in told and self._chance(0.5, plain=False):
            return f", {reduced}"
        return f", {child.relative} {listed(units)}"


def _is_kind(node: Entity, unit: Unit) -> bool:
    """Whether a phrase says what somebody or something is, so that a participle can follow it."""
    return node.type in KINDS and unit.text.startswith("is a") and not unit.named
