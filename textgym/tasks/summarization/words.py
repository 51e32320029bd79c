"""The names and things of the reports' world."""

from __future__ import annotations

from typing import NamedTuple


def _each(words: str) -> tuple[str, ...]:
    return tuple(words.split())


TOWNS = _each(
    "Norton Ashford Milbury Weston Harwick Kelby Dunmore Larkhill Oakley Brenton Seaford Tilbury "
    "Corby Haddon Elmsey Ripley Stanton Walden Marlow Fenwick Garston Hexley Penrith Colby"
)
"""Towns, and the clubs that are called after them."""

PLAYERS = _each(
    "Kerr Lind Moreno Okafor Becker Novak Silva Haas Doyle Petrov Tanaka Rossi Weber Khan Larsen "
    "Duval Costa Meyer Ivanov Sato Nolan Fischer Ortega Jensen"
)

PEOPLE = _each(
    "Lena Tom Mira Ben Sara Omar Nina Paul Ines Jonas Carla Felix Amira David Julia Hugo Elif "
    "Peter Nora Simon Tara Victor Alma Leo"
)

COMPANIES = _each(
    "Brightway Nordhaus Caspero Lumora Veltano Greenfold Hartwell Ostera Pinewood Talvik Sorelle "
    "Quendal"
)

PRODUCTS = _each(
    "lamps chairs tables beds sofas clocks mirrors carpets desks shelves kettles toasters heaters "
    "fans radios tents bikes helmets coats scarves"
)

BODIES = ("board", "council", "committee", "club", "choir", "union")
"""Who holds a meeting."""

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


class Plan(NamedTuple):
    """Something to decide on: "repair", "the roof", and "the roof plan"."""

    verb: str
    thing: str
    label: str

    def __str__(self) -> str:
        return f"{self.verb} {self.thing}"


PLANS = (
    Plan("repair", "the roof", "roof"),
    Plan("paint", "the hall", "hall"),
    Plan("buy", "a printer", "printer"),
    Plan("rent", "a bus", "bus"),
    Plan("write", "a newsletter", "newsletter"),
    Plan("clean", "the kitchen", "kitchen"),
    Plan("plant", "a hedge", "hedge"),
    Plan("fix", "the fence", "fence"),
    Plan("order", "new uniforms", "uniform"),
    Plan("build", "a shed", "shed"),
    Plan("update", "the website", "website"),
    Plan("invite", "a speaker", "speaker"),
    Plan("sell", "the piano", "piano"),
    Plan("hire", "a gardener", "gardener"),
    Plan("print", "new flyers", "flyer"),
    Plan("design", "a logo", "logo"),
    Plan("organize", "a concert", "concert"),
    Plan("install", "an alarm", "alarm"),
    Plan("draft", "a budget", "budget"),
    Plan("empty", "the cellar", "cellar"),
    Plan("tidy", "the archive", "archive"),
    Plan("replace", "the boiler", "boiler"),
    Plan("record", "a podcast", "podcast"),
    Plan("mend", "the curtains", "curtain"),
)


class Condition(NamedTuple):
    """A kind of weather.

    Attributes:
        noun: What it is called; singular or plural, without an article.
        there: "there was" or "there were", as the noun takes it.
        forms: Other words for it.
        clues: What is seen while it lasts: clauses in the past tense.
        warmest: The range of the highest temperature of a day that has it, in degrees.
    """

    noun: str
    there: str
    forms: tuple[str, ...]
    clues: tuple[str, ...]
    warmest: tuple[int, int]


RAIN = Condition(
    "rain",
    "there was",
    ("rainy", "showers"),
    ("umbrellas filled the streets", "water ran down the windows", "the gutters overflowed"),
    (6, 26),
)
SNOW = Condition(
    "snow",
    "there was",
    ("snowy", "snowfall"),
    ("children built snowmen", "white flakes covered the cars", "the ploughs cleared the roads"),
    (2, 5),
)
FOG = Condition(
    "fog",
    "there was",
    ("foggy", "mist"),
    (
        "drivers could hardly see the road",
        "the church tower was hidden",
        "ships sounded their horns",
    ),
    (6, 14),
)
SUNSHINE = Condition(
    "sunshine",
    "there was",
    ("sun", "sunny"),
    ("everyone wore sunglasses", "the sky was bright blue", "not a cloud was to be seen"),
    (6, 31),
)
CLOUDS = Condition(
    "clouds",
    "there were",
    ("cloudy", "cloud"),
    ("the sky was grey but dry", "a grey blanket hid the sun", "the sky was dull but it was dry"),
    (2, 26),
)
STORMS = Condition(
    "thunderstorms",
    "there were",
    ("thunderstorm", "thunder", "storms"),
    ("lightning lit the sky", "dogs hid from the thunder", "lightning struck again and again"),
    (19, 31),
)
OTHER_CONDITIONS = ("drizzle", "hail", "haze")
"""Weather that a day never turns from or to; it may be told of elsewhere."""

CONDITIONS = (RAIN, SNOW, FOG, SUNSHINE, CLOUDS, STORMS)

TURNS = (
    (RAIN, SUNSHINE),
    (RAIN, CLOUDS),
    (RAIN, STORMS),
    (FOG, SUNSHINE),
    (FOG, RAIN),
    (FOG, CLOUDS),
    (SUNSHINE, RAIN),
    (SUNSHINE, STORMS),
    (SUNSHINE, CLOUDS),
    (SUNSHINE, FOG),
    (CLOUDS, SUNSHINE),
    (CLOUDS, RAIN),
    (CLOUDS, SNOW),
    (CLOUDS, STORMS),
    (SNOW, CLOUDS),
    (STORMS, SUNSHINE),
    (STORMS, RAIN),
    (STORMS, CLOUDS),
)
"""How the weather of a day may turn."""

VALUES: tuple[str, ...] = tuple(
    word.lower()
    for word in (
        *TOWNS,
        *PLAYERS,
        *PEOPLE,
        *COMPANIES,
        *PRODUCTS,
        *BODIES,
        *DAYS,
        *(plan.thing.split()[-1] for plan in PLANS),
        *(word for each in CONDITIONS for word in (each.noun, *each.forms)),
        *OTHER_CONDITIONS,
    )
)
"""Every name and thing that a summary may be wrong about, in lower case."""
