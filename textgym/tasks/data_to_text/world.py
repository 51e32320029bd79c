"""A drawn piece of the world: connected entities and what holds of them."""

from __future__ import annotations

from functools import cache

from textgym.tasks.data_to_text.entities import Entity, Fact
from textgym.tasks.data_to_text.makers import MAKERS, VALUES
from textgym.tasks.data_to_text.names import OCCUPATIONS
from textgym.tasks.data_to_text.relations import EVERY_JOB, OPTIONS, Relation
from textgym.tasks.draws import Draws

ROOTS = (
    *("person",) * 6, *("company",) * 3, *("book",) * 3, *("building",) * 3, "city", "city",
    "film", "film", "dish", "dish", "school",
)  # fmt: skip
"""The types of the first entity, repeated in proportion to their frequency."""

BRANCHING = 0.45
"""How often a fact is about another entity than the first, once there is one."""


class World:
    """Draws connected facts.

    Args:
        draws: The example's random choices.
        size: How many facts.

    Attributes:
        root: The first entity.
        entities: All entities, in the order of their appearance.
        facts: In the order in which they were drawn; each shares an entity with an earlier one.
    """

    def __init__(self, draws: Draws, size: int) -> None:
        self._draws = draws
        self.entities: list[Entity] = []
        self.facts: list[Fact] = []
        self.root = self._entity(draws.pick(ROOTS))
        while len(self.facts) < size:
            self._grow()

    def _grow(self) -> None:
        draws, node = self._draws, self.root
        if len(self.entities) > 1 and draws.chance(BRANCHING):
            node = draws.pick(self.entities)
        relation, forward = draws.pick(OPTIONS[node.type])
        if not _allows(node, relation):
            return
        other = relation.object if forward else relation.subject
        if not other:
            fact = Fact(node, relation, None, self._value(node, relation))
        else:
            entity = self._entity(other)
            subject, target = (node, entity) if forward else (entity, node)
            fact = Fact(subject, relation, target)
            entity.facts.append(fact)
        node.facts.append(fact)
        self.facts.append(fact)

    def _entity(self, type_: str) -> Entity:
        while True:
            entity = MAKERS[type_](self._draws)
            if all(entity.name != other.name for other in self.entities):
                self.entities.append(entity)
                return entity

    def _value(self, entity: Entity, relation: Relation) -> str:
        if relation.label == "works as":
            entity.job = self._draws.pick(_jobs_of(entity))
            return entity.job
        return VALUES[relation.subject, relation.label](self._draws, entity)


def _allows(entity: Entity, relation: Relation) -> bool:
    """Whether an entity can have one more relation without repetition or contradiction."""
    person = entity.type == "person"
    for fact in entity.facts:
        other = fact.relation
        if other is relation or other.label in relation.excludes:
            return False
        if person and relation.role == other.role != "":
            return False
    if person and relation.label == "works as":
        return bool(_jobs_of(entity))
    unlimited = not person or not entity.job or relation.jobs is EVERY_JOB
    return unlimited or entity.job in relation.jobs


def _jobs_of(person: Entity) -> tuple[str, ...]:
    """Return the occupations that agree with everything else a person is."""
    jobs = OCCUPATIONS
    for fact in person.facts:
        jobs = _common(jobs, fact.relation.jobs)
    return jobs


@cache
def _common(jobs: tuple[str, ...], allowed: tuple[str, ...]) -> tuple[str, ...]:
    return jobs if allowed == EVERY_JOB else tuple(job for job in jobs if job in allowed)
