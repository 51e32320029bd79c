"""Entities and facts: what a drawn piece of the world consists of."""

from __future__ import annotations

from typing import NamedTuple

from textgym.tasks.data_to_text.relations import Phrase, Relation

PRONOUNS = {
    "company": ("it", "the company"),
    "press": ("it", "the publisher"),
    "book": ("it", "the book"),
    "film": ("it", "the film"),
    "building": ("it", "the building"),
    "city": ("it", "the city"),
    "dish": ("it", "the dish"),
    "school": ("it", "the school"),
}
"""What may stand for the name of an entity, by its type; people are "he" or "she"."""


class Entity:
    """Somebody or something with a name.

    Attributes:
        name: As it is written.
        type: One of the types of the relations.
        pronouns: What may stand for the name: "she", or "it" and "the company".
        detail: What decides its values: the last word of a company's or a building's name, a
            dish's course.
        facts: The facts it stands in.
        job: The value of "works as", or "".
    """

    __slots__ = ("detail", "facts", "job", "name", "pronouns", "type")

    def __init__(
        self, name: str, type_: str, detail: str = "", pronouns: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        self.type = type_
        self.detail = detail
        self.pronouns = pronouns or PRONOUNS[type_]
        self.facts: list[Fact] = []
        self.job = ""

    @property
    def relative(self) -> str:
        """The relative pronoun: "who" or "which"."""
        return "who" if self.type == "person" else "which"


class Fact(NamedTuple):
    """One triple.

    Attributes:
        subject: Who or what it is about.
        relation: What it says.
        object: An entity, or None where the object is a value.
        literal: That value as it is written; "" where there is an entity.
    """

    subject: Entity
    relation: Relation
    object: Entity | None
    literal: str = ""

    @property
    def value(self) -> str:
        """The object as it is written."""
        return self.literal if self.object is None else self.object.name

    def other(self, about: Entity) -> Entity | None:
        """Return the entity at the other end, or None where that is a value."""
        return self.object if about is self.subject else self.subject

    def phrases(self, about: Entity) -> tuple[tuple[Phrase, ...], str]:
        """Return the phrases whose subject is `about`, and what fills their gaps."""
        if about is self.subject:
            return self.relation.said, self.value
        return self.relation.said_inversely, self.subject.name
