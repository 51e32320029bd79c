"""The kinds of story: in each, one quantity that grows, shrinks and may be shared out.

Slots of the sentences: {P} and {Q} are two people, {he}, {him}, {his} (and with a capital) stand
for {P}; {T} are the things counted; {a} is a start, {k} times {m} a product, {x} what comes or
goes, {d} a number of shares; {y} (21 to 35), {z} (2 to 12) and the things {U} do not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Share(NamedTuple):
    """How the quantity is divided into {d} parts, or parts of {d}, and what is asked then."""

    sentence: str
    question: str


class Kind(NamedTuple):
    """Sentences about one quantity.

    Attributes:
        slots: The things that the kind can be about, each with what goes with them.
        starts: The quantity is {a}.
        products: The quantity is {k} times {m}.
        ups: {x} are added.
        downs: {x} are taken away.
        down_products: {k} times {m} are taken away.
        asks: Questions about the quantity, after anything.
        lefts: Questions that need something to have been taken away.
        shares: How the quantity can be shared out.
        asides: Facts that do not matter.
        verb: Past tense and base form of how a person comes by {T}; empty where nobody does.
    """

    slots: tuple[Mapping[str, str], ...]
    starts: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    ups: tuple[str, ...] = ()
    downs: tuple[str, ...] = ()
    down_products: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    lefts: tuple[str, ...] = ()
    shares: tuple[Share, ...] = ()
    asides: tuple[str, ...] = ()
    verb: tuple[str, ...] = ()

    @property
    def personal(self) -> bool:
        """Whether every story of the kind names {P}: its first sentence does."""
        return "{P}" in self.starts[0]


def _things(unit: str, units: str, *names: str) -> tuple[Mapping[str, str], ...]:
    return tuple([{"T": name, "unit": unit, "units": units} for name in names])


PERSONAL = (
    "{P} was {y} years old.",
    "{Q} was {y} years old.",
    "{P} also had {z} {U}.",
    "{Q} had {z} {U}.",
    "It was {y} degrees outside.",
)
COLLECTION = Kind(
    slots=(
        *_things("box", "boxes", "buttons", "postcards", "pencils", "crayons", "toy cars"),
        *_things("bag", "bags", "marbles", "balloons", "candies"),
        *_things("jar", "jars", "coins", "shells", "beads"),
        *_things("pack", "packs", "stickers", "cards", "stamps"),
    ),
    starts=("{P} had {a} {T}.", "{P} owned {a} {T}.", "At first {P} had {a} {T}."),
    products=(
        "{P} had {k} {units} with {m} {T} in each.",
        "{P} bought {k} {units} of {m} {T}.",
        "{P} kept {his} {T} in {k} {units}, with {m} in each {unit}.",
        "There were {m} {T} in a {unit}, and {P} had {k} {units}.",
    ),
    ups=(
        "{He} bought {x} more {T}.",
        "{Q} gave {him} {x} {T}.",
        "{He} got {x} {T} from {Q}.",
        "{He} won {x} more {T} at a fair.",
        "{He} found {x} more {T} at home.",
    ),
    downs=(
        "{He} gave {x} {T} to {Q}.",
        "{He} lost {x} {T}.",
        "{He} sold {x} {T}.",
        "{He} gave away {x} {T}.",
        "{Q} borrowed {x} of {his} {T}.",
    ),
    asks=(
        "How many {T} did {P} have in the end?",
        "How many {T} did {he} have then?",
        "How many {T} does {P} have now?",
    ),
    lefts=("How many {T} did {P} have left?", "How many {T} were left?"),
    shares=(
        Share(
            "{He} put all {his} {T} into {d} drawers, the same number in each.",
            "How many {T} were in each drawer?",
        ),
        Share(
            "{He} shared all {his} {T} equally among {d} friends.",
            "How many {T} did each friend get?",
        ),
        Share("{He} packed all {his} {T} in parcels of {d}.", "How many parcels did {he} make?"),
    ),
    asides=PERSONAL,
    verb=("had", "have"),
)

BAKING = Kind(
    slots=_things("tray", "trays", "cookies", "muffins", "buns", "rolls", "cupcakes", "tarts"),
    starts=("{P} baked {a} {T}.", "{P} made {a} {T} for a party.", "{P} put {a} {T} on a table."),
    products=(
        "{P} baked {k} trays of {m} {T}.",
        "{P} filled {k} trays with {m} {T} each.",
        "One tray held {m} {T}, and {P} baked {k} trays.",
    ),
    ups=(
        "{He} baked {x} more {T}.",
        "{Q} brought {x} more {T}.",
        "A neighbor added {x} {T}.",
        "{He} bought {x} more {T}.",
    ),
    downs=(
        "The guests ate {x} {T}.",
        "{He} sold {x} {T}.",
        "{He} gave {x} {T} to {Q}.",
        "{Q} took {x} {T} to school.",
    ),
    asks=("How many {T} were there in the end?", "How many {T} were there then?"),
    lefts=("How many {T} were left?", "How many {T} did {P} have left?"),
    shares=(
        Share(
            "{He} packed all the {T} into {d} bags, the same number in each.",
            "How many {T} were in each bag?",
        ),
        Share(
            "{He} shared all the {T} equally among {d} children.",
            "How many {T} did each child get?",
        ),
        Share("{He} packed all the {T} in boxes of {d}.", "How many boxes did {he} fill?"),
    ),
    asides=(*PERSONAL, "The oven was on for {z} minutes."),
    verb=("baked", "bake"),
)

HARVEST = Kind(
    slots=_things("basket", "baskets", "apples", "pears", "plums", "lemons", "peaches", "oranges"),
    starts=("{P} picked {a} {T}.", "{P} had {a} {T} in a bag.", "{P} bought {a} {T}."),
    products=(
        "{P} filled {k} baskets with {m} {T} each.",
        "{P} picked {m} {T} from each of {k} trees.",
        "{P} had {k} baskets with {m} {T} in each.",
    ),
    ups=(
        "{He} picked {x} more {T}.",
        "{Q} gave {him} {x} {T}.",
        "{He} found {x} more {T} under a tree.",
        "{He} bought {x} more {T}.",
    ),
    downs=(
        "{He} sold {x} {T} at the market.",
        "{He} gave {x} {T} to {Q}.",
        "{He} used {x} {T} for juice.",
        "{He} threw away {x} bad {T}.",
    ),
    asks=("How many {T} did {P} have in the end?", "How many {T} did {he} have then?"),
    lefts=("How many {T} were left?", "How many {T} did {P} have left?"),
    shares=(
        Share(
            "{He} put all the {T} into {d} bowls, the same number in each.",
            "How many {T} were in each bowl?",
        ),
        Share("{He} packed all the {T} in bags of {d}.", "How many bags did {he} fill?"),
    ),
    asides=(*PERSONAL, "There were {z} birds in the garden."),
    verb=("picked", "pick"),
)

EGGS = Kind(
    slots=({"T": "eggs"},),
    starts=("{P} collected {a} eggs on a farm.", "{P} had {a} eggs.", "{P} bought {a} eggs."),
    products=(
        "The hens laid {m} eggs a day for {k} days, and {P} kept them all.",
        "{P} collected {m} eggs a day for {k} days.",
        "{P} filled {k} cartons with {m} eggs each.",
    ),
    ups=("{He} collected {x} more eggs.", "{Q} gave {him} {x} eggs.", "{He} bought {x} more eggs."),
    downs=(
        "{He} sold {x} eggs.",
        "{He} used {x} eggs for baking.",
        "{He} dropped {x} eggs.",
        "{He} gave {x} eggs to {Q}.",
    ),
    asks=("How many eggs did {P} have in the end?", "How many eggs did {he} have then?"),
    lefts=("How many eggs were left?", "How many eggs did {P} have left?"),
    shares=(
        Share(
            "{He} put all the eggs into {d} baskets, the same number in each.",
            "How many eggs were in each basket?",
        ),
        Share("{He} packed all the eggs in cartons of {d}.", "How many cartons did {he} fill?"),
    ),
    asides=(*PERSONAL, "There were {z} cows on the farm."),
    verb=("collected", "collect"),
)
