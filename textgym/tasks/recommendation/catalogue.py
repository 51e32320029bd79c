"""The catalogue: invented film titles of two words, and what each offers to which taste."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Genre(NamedTuple):
    """A taste, and the words that serve it; both rows have `WORDS` words."""

    name: str
    adjectives: tuple[str, ...]
    nouns: tuple[str, ...]


WORDS = 5
"""Adjectives, and nouns, of a genre."""

GENRES: tuple[Genre, ...] = (
    Genre(
        "crime",
        ("Stolen", "Guilty", "Wanted", "Crooked", "Hidden"),
        ("Heist", "Alibi", "Detective", "Thief", "Robbery"),
    ),
    Genre(
        "space",
        ("Cosmic", "Lunar", "Galactic", "Martian", "Distant"),
        ("Comet", "Robot", "Rocket", "Alien", "Planet"),
    ),
    Genre(
        "romance",
        ("Tender", "Loving", "Beloved", "Blushing", "Romantic"),
        ("Kiss", "Wedding", "Bride", "Valentine", "Sweetheart"),
    ),
    Genre(
        "comedy",
        ("Clumsy", "Silly", "Merry", "Giddy", "Crazy"),
        ("Clown", "Uncle", "Butler", "Picnic", "Parrot"),
    ),
    Genre(
        "horror",
        ("Haunted", "Cursed", "Bloody", "Ghostly", "Creepy"),
        ("Tomb", "Vampire", "Phantom", "Zombie", "Monster"),
    ),
    Genre(
        "history",
        ("Royal", "Ancient", "Imperial", "Medieval", "Roman"),
        ("Castle", "Queen", "Knight", "Empire", "Crown"),
    ),
)

NOUN_WEIGHTS = (1.2, 1.1, 1.0, 0.9, 0.8)
ADJECTIVE_WEIGHTS = (0.7, 0.6, 0.5, 0.4, 0.3)
"""How much a title offers to a genre by the place of its word in the genre's row."""


class Catalogue(NamedTuple):
    """Titles and their factors.

    Attributes:
        genres: The names of the tastes, [genres].
        titles: [titles], each an adjective of one genre and a noun of another.
        factors: float64 [titles, genres]: the noun's weight in its genre, the adjective's in its
            own, and 0 elsewhere.
    """

    genres: tuple[str, ...]
    titles: tuple[str, ...]
    factors: NDArray[np.float64]


@cache
def catalogue(num_genres: int) -> Catalogue:
    """Return the catalogue of the first genres: 5 n (n - 1) titles for n of them.

    Each adjective goes with one noun of every other genre, and so does each noun with an
    adjective.
    """
    titles: list[str] = []
    rows: list[Sequence[float]] = []
    for first in range(num_genres):
        for second in range(num_genres):
            if first == second:
                continue
            for place in range(WORDS):
                noun_place = (place + 2 * first + second) % WORDS
                row = [0.0] * num_genres
                row[first] = ADJECTIVE_WEIGHTS[place]
                row[second] = NOUN_WEIGHTS[noun_place]
                rows.append(row)
                adjective, noun = GENRES[first].adjectives[place], GENRES[second].nouns[noun_place]
                titles.append(f"{adjective} {noun}")
    names = tuple(genre.name for genre in GENRES[:num_genres])
    factors = np.array(rows)
    factors.flags.writeable = False
    return Catalogue(names, tuple(titles), factors)
