"""What can be asked for: domains, their slots, and the values of the slots."""

from __future__ import annotations

from typing import NamedTuple

ANY = "any"
"""The value of a slot that the user does not mind about."""

BOOK = "book"
"""What a user wants who wants a booking; the other wants are fields of `Domain.fields`."""


class Domain(NamedTuple):
    """What there is to know about one kind of thing.

    Attributes:
        search: The slots that say which one.
        booking: The slots that a booking needs besides.
        fields: What can be looked up.
        relaxed: The search slot in which users give way when there is no such thing.
    """

    search: tuple[str, ...]
    booking: tuple[str, ...]
    fields: tuple[str, ...]
    relaxed: str

    def slots(self, want: str) -> tuple[str, ...]:
        """The slots that matter to a user who wants a booking, or to look up a field."""
        return self.search + self.booking if want == BOOK else self.search


DOMAINS: dict[str, Domain] = {
    "restaurant": Domain(
        ("area", "food", "price"), ("day", "people"), ("phone", "address"), "food"
    ),
    "hotel": Domain(("area", "price", "stars"), ("day", "nights"), ("phone", "address"), "price"),
    "train": Domain(("from", "to", "time"), ("day", "people"), ("platform", "fare"), "time"),
}

CITIES = (
    "Bath",
    "Bristol",
    "Derby",
    "Dover",
    "Durham",
    "Ely",
    "Exeter",
    "Leeds",
    "Oxford",
    "York",
)

VALUES: dict[str, tuple[str, ...]] = {
    "area": ("north", "south", "east", "west", "centre"),
    "food": (
        "Chinese",
        "French",
        "Greek",
        "Indian",
        "Italian",
        "Japanese",
        "Korean",
        "Lebanese",
        "Mexican",
        "Spanish",
        "Thai",
        "Turkish",
    ),
    "price": ("cheap", "moderate", "expensive"),
    "stars": ("3", "4", "5"),
    "from": CITIES,
    "to": CITIES,
    "time": ("morning", "afternoon", "evening"),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "people": ("1", "2", "3", "4", "5", "6", "7", "8"),
    "nights": ("1", "2", "3", "4", "5", "6"),
}
"""The values of each slot, as they stand in commands."""

CANONICAL: dict[str, dict[str, str]] = {
    slot: {value.lower(): value for value in values} for slot, values in VALUES.items()
}
"""Each slot's values by their lower-case spelling."""
