"""How each type of entity gets its name, and each relation its value."""

from __future__ import annotations

from collections.abc import Callable

from textgym.tasks.data_to_text import names
from textgym.tasks.data_to_text.entities import Entity
from textgym.tasks.draws import Draws

FACTORIES = tuple(kind for kind in names.PRODUCTS if kind != "Press")
BUILDINGS = tuple(names.USES)
Value = Callable[[Draws, Entity], str]
"""Draws the value of a relation for an entity."""

COURSES = {"sweet": names.SWEET, "savoury": names.SAVOURY}


def _person(draws: Draws) -> Entity:
    she = draws.chance(0.5)
    given = draws.pick(names.WOMEN if she else names.MEN)
    name = f"{given} {draws.pick(names.SURNAMES)}"
    return Entity(name, "person", "", ("she",) if she else ("he",))


def _company(draws: Draws) -> Entity:
    kind = draws.pick(FACTORIES)
    return Entity(f"{_head(draws, names.COMPANY_HEADS)} {kind}", "company", kind)


def _press(draws: Draws) -> Entity:
    return Entity(f"{_head(draws, names.COMPANY_HEADS)} Press", "press", "Press")


def _building(draws: Draws) -> Entity:
    kind = draws.pick(BUILDINGS)
    return Entity(f"{_head(draws, names.BUILDING_HEADS)} {kind}", "building", kind)


def _school(draws: Draws) -> Entity:
    name = f"{draws.pick(names.SURNAMES)} {draws.pick(names.SCHOOL_TYPES)}"
    return Entity(name, "school")


def _head(draws: Draws, heads: tuple[str, ...]) -> str:
    return draws.pick(names.SURNAMES if draws.chance(0.6) else heads)


def _title(draws: Draws) -> str:
    return f"The {draws.pick(names.TITLE_ADJECTIVES)} {draws.pick(names.TITLE_NOUNS)}"


MAKERS: dict[str, Callable[[Draws], Entity]] = {
    "person": _person,
    "company": _company,
    "press": _press,
    "book": lambda draws: Entity(_title(draws), "book"),
    "film": lambda draws: Entity(_title(draws), "film"),
    "building": _building,
    "city": lambda draws: Entity(draws.pick(names.CITIES), "city"),
    "dish": lambda draws: Entity(draws.pick(names.DISHES), "dish", draws.pick(tuple(COURSES))),
    "school": _school,
}
"""Draw an entity of a type."""


def rename(draws: Draws, entity: Entity) -> None:
    """Give an entity another name of its kind, drawn like the first one."""
    other = MAKERS[entity.type](draws)
    entity.name, entity.pronouns = other.name, other.pronouns
    if other.name.endswith(other.detail):  # "Union Toys" is not a name for what makes engines
        entity.name = other.name.removesuffix(other.detail) + entity.detail


def _of(values: tuple[str, ...]) -> Value:
    return lambda draws, _: draws.pick(values)


def _number(low: int, high: int, step: int = 1, unit: str = "", form: str = "") -> Value:
    return lambda draws, _: f"{draws.between(low, high) * step:{form}}{unit}"


def _size(tower: tuple[int, int], other: tuple[int, int], unit: str) -> Value:
    def draw(draws: Draws, building: Entity) -> str:
        return f"{draws.between(*(tower if building.detail == 'Tower' else other))}{unit}"

    return draw


def _dish(label: str) -> Value:
    return lambda draws, dish: draws.pick(COURSES[dish.detail][label])


VALUES: dict[tuple[str, str], Value] = {
    ("person", "birthday"): lambda draws, _: f"{draws.between(1, 28)} {draws.pick(names.MONTHS)}",
    ("person", "speaks"): _of(names.LANGUAGES),
    ("person", "plays"): _of(names.INSTRUMENTS),
    ("company", "founded in"): _number(1970, 1999),
    ("company", "makes"): lambda draws, company: draws.pick(names.PRODUCTS[company.detail]),
    ("company", "employees"): _number(2, 95, step=10),
    ("book", "published in"): _number(2000, 2023),
    ("book", "genre"): _of(names.BOOK_GENRES),
    ("book", "pages"): _number(9, 70, step=10),
    ("film", "released in"): _number(2000, 2023),
    ("film", "length"): _number(70, 180, unit=" minutes"),
    ("film", "genre"): _of(names.FILM_GENRES),
    ("building", "completed in"): _number(2000, 2023),
    ("building", "height"): _size((60, 240), (12, 40), " metres"),
    ("building", "floors"): _size((15, 60), (3, 9), ""),
    ("building", "used as"): lambda draws, building: draws.pick(names.USES[building.detail]),
    ("city", "country"): _of(names.COUNTRIES),
    ("city", "river"): _of(names.RIVERS),
    ("city", "population"): _number(11, 980, unit=",000"),
    ("city", "known for"): _of(names.SPECIALITIES),
    ("city", "first mentioned in"): _number(860, 1450),
    ("dish", "kind"): _dish("kind"),
    ("dish", "main ingredient"): _dish("main ingredient"),
    ("dish", "served with"): _dish("served with"),
    ("school", "opened in"): _number(1780, 1949),
    ("school", "students"): _number(4, 99, step=100, form=","),
}
"""Draw the value of a relation for an entity, by the relation's subject type and label; what a
person works as is drawn by the world, since it must agree with the rest."""
