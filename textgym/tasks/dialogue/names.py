"""What things are called: the names of restaurants, hotels and trains, anew in each example."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST = _words(
    "Golden Silver Blue Red Green Little Old Happy Royal Secret Wild Hungry Lucky Quiet Sunny "
    "Copper Velvet Rusty Merry Crooked"
)
SECOND = _words(
    "Anchor Bowl Cellar Corner Dragon Fork Fox Garden Goose Kettle Kitchen Lantern Lotus Olive "
    "Onion Pan Pearl Pepper Spoon Table"
)
"""The words of a restaurant's name."""

HOTEL_FIRST = _words(
    "Abbey Bridge Castle Cathedral Forest Harbour Hill Lake Market Meadow Park River"
)
HOTEL_SECOND = _words("Court Gate House Inn Lodge Manor Palace Rooms View")
"""The words of a hotel's name."""

STREETS = _words(
    "Abbot Baker Bell Bishop Brewer Canal Castle Chapel Church Cross Garden High King Market Mill "
    "Park Queen River School Station"
)

NUMBERS = {"restaurant": 397, "hotel": 107, "train": 601}
"""How many names there are for each kind of thing: primes, so that x -> ax + b permutes them."""


def name_of(domain: str, number: int, seed: int) -> str:
    """Return the name of thing `number` of a domain; no two have the same one under a seed."""
    count = NUMBERS[domain]
    place = (number * (1 + seed % (count - 1)) + seed // count) % count
    if domain == "train":
        return f"T{100 + place}"
    first, second = (HOTEL_FIRST, HOTEL_SECOND) if domain == "hotel" else (FIRST, SECOND)
    return f"{first[place // len(second)]} {second[place % len(second)]}"


def detail_of(field: str, number: int, seed: int) -> str:
    """Return what there is to look up about thing `number`: a phone number, an address, ..."""
    drawn = (seed * 31 + number * 7919 + 104729) % 1_000_003
    if field == "phone":
        return str(100_000 + drawn % 900_000)
    if field == "address":
        return f"{1 + drawn % 99} {STREETS[drawn // 99 % 20]} Street"
    if field == "fare":
        return f"{9 + drawn % 71} pounds"
    return str(1 + drawn % 14)


def reference_of(booking: int, seed: int) -> str:
    """Return the reference of the n-th booking: four digits, none twice in an example."""
    return str(1000 + (seed + 2711 * booking) % 9000)
