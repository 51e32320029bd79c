"""Further kinds of story: money, travel, reading, a shop, a hall, a camp; and the list of all."""

from __future__ import annotations

from textgym.tasks.arithmetic.kinds import (
    BAKING,
    COLLECTION,
    EGGS,
    HARVEST,
    PERSONAL,
    Kind,
    Share,
)

MONEY = Kind(
    slots=({"T": "dollars"},),
    starts=(
        "{P} had {a} dollars.",
        "{P} started with {a} dollars.",
        "There were {a} dollars in {P}'s purse.",
    ),
    products=(
        "{P} saved {m} dollars a week for {k} weeks.",
        "{P} earned {m} dollars an hour and worked for {k} hours.",
        "{P} got {m} dollars from each of {k} neighbors.",
    ),
    ups=(
        "{His} aunt gave {him} {x} dollars.",
        "{He} found {x} dollars in an old coat.",
        "{He} earned {x} dollars by washing cars.",
        "{Q} paid {him} back {x} dollars.",
    ),
    downs=(
        "{He} spent {x} dollars on {treat}.",
        "{He} lent {x} dollars to {Q}.",
        "{He} gave {x} dollars to {his} brother.",
        "{He} paid {x} dollars for {treat}.",
    ),
    down_products=(
        "{He} bought {k} {goods} for {m} dollars each.",
        "{He} paid for {k} {goods} that cost {m} dollars each.",
    ),
    asks=("How many dollars did {P} have in the end?", "How many dollars did {he} have then?"),
    lefts=("How many dollars were left?", "How many dollars did {P} have left?"),
    shares=(
        Share(
            "{He} spent all {his} money on {d} tickets at the same price.",
            "How many dollars did each ticket cost?",
        ),
        Share(
            "{He} shared all {his} money equally among {d} cousins.",
            "How many dollars did each cousin get?",
        ),
        Share(
            "{He} spent all {his} money on toys for {d} dollars each.",
            "How many toys did {he} buy?",
        ),
    ),
    asides=PERSONAL,
    verb=("saved", "save"),
)

WAY_AHEAD = Kind(
    slots=({"T": "miles"},),
    starts=(
        "{P} set out on a road of {a} miles.",
        "{P} had {a} miles to go to the sea.",
        "{P} planned a tour of {a} miles.",
    ),
    downs=(
        "{He} cycled {x} miles along a river.",
        "{He} rode {x} miles through a forest.",
        "{He} cycled {x} miles in the rain.",
        "{He} rode {x} miles with {Q}.",
    ),
    down_products=(
        "{He} cycled {m} miles a day for {k} days.",
        "For {k} days {he} rode {m} miles a day.",
    ),
    lefts=("How many miles were left?", "How many miles did {P} still have to go?"),
    shares=(
        Share(
            "{He} cycled the rest in {d} days, the same distance each day.",
            "How many miles did {he} cycle on each of these days?",
        ),
    ),
    asides=(*PERSONAL, "The backpack weighed {z} pounds."),
)

WAY_BEHIND = Kind(
    slots=({"T": "miles"},),
    starts=("{P} sailed {a} miles.", "{P} drove {a} miles.", "{P} cycled {a} miles on Monday."),
    products=(
        "{P} cycled {m} miles an hour for {k} hours.",
        "{P} ran {m} miles a day for {k} days.",
        "{P} sailed {m} miles an hour for {k} hours.",
    ),
    ups=(
        "{He} rode {x} more miles on a bus.",
        "{He} drove {x} more miles with {Q}.",
        "{He} went {x} more miles by train.",
    ),
    asks=("How many miles did {P} travel in all?", "How many miles was the whole journey?"),
    asides=PERSONAL,
    verb=("cycled", "cycle"),
)

BOOK = Kind(
    slots=({"B": "book"}, {"B": "story"}, {"B": "comic"}),
    starts=(
        "{P} had a {B} with {a} pages.",
        "{P} borrowed a {B} with {a} pages.",
        "{P} began a {B} with {a} pages.",
    ),
    downs=(
        "{He} read {x} pages in bed.",
        "{He} read {x} pages on a train.",
        "{He} read {x} pages in the garden.",
        "{He} read {x} pages aloud to {Q}.",
    ),
    down_products=(
        "{He} read {m} pages a day for {k} days.",
        "For {k} days {he} read {m} pages a day.",
    ),
    lefts=("How many pages were left?", "How many pages did {P} still have to read?"),
    shares=(
        Share(
            "{He} read the rest in {d} days, the same number of pages each day.",
            "How many pages did {he} read on each of these days?",
        ),
    ),
    asides=(*PERSONAL, "The {B} cost {z} dollars."),
)

SHOP = Kind(
    slots=tuple(
        [{"T": t} for t in ("lamps", "clocks", "mugs", "radios", "vases", "kettles", "teapots")]
    ),
    starts=("A shop had {a} {T}.", "There were {a} {T} in a shop."),
    products=(
        "A shop had {k} crates of {m} {T}.",
        "A shop had {k} shelves with {m} {T} on each.",
        "There were {k} rows of {m} {T} in a shop.",
    ),
    ups=("A truck brought {x} more {T}.", "The shop got {x} more {T}."),
    downs=(
        "The shop sold {x} {T}.",
        "On Monday people bought {x} {T}.",
        "{P} bought {x} {T} for a hotel.",
        "The shop sent {x} {T} back.",
    ),
    asks=("How many {T} did the shop have in the end?", "How many {T} were in the shop then?"),
    lefts=("How many {T} were left in the shop?", "How many {T} did the shop have left?"),
    shares=(
        Share(
            "The shop stored all its {T} in {d} rooms, the same number in each.",
            "How many {T} were in each room?",
        ),
        Share(
            "The shop sent all its {T} to {d} towns, the same number to each.",
            "How many {T} did each town get?",
        ),
    ),
    asides=("The shop had {z} windows.", "The owner was {y} years old.", "It was {z} o'clock."),
)

RIDE = Kind(
    slots=(
        {"V": "train"},
        {"V": "tram"},
        {"V": "night train"},
        {"V": "monorail"},
    ),
    starts=("There were {a} people on a {V}.", "A {V} left with {a} people."),
    products=(
        "A {V} had {k} cars with {m} people in each.",
        "There were {m} people in each of the {k} cars of a {V}.",
    ),
    ups=(
        "At the next stop, {x} people got on.",
        "At the market, {x} people got on.",
        "In the old town, {x} more people got on.",
    ),
    downs=(
        "At the museum, {x} people got off.",
        "At the park, {x} people got off.",
        "In the new town, {x} people got off.",
    ),
    asks=("How many people were on the {V} then?", "How many people were on the {V} in the end?"),
    lefts=("How many people were left on the {V}?",),
    shares=(
        Share(
            "At the last stop, all the people got into {d} vans, the same number in each.",
            "How many people were in each van?",
        ),
    ),
    asides=(
        "The driver was {y} years old.",
        "A ticket cost {z} dollars.",
        "The {V} was {z} years old.",
    ),
)

HALL = Kind(
    slots=({"H": "hall"}, {"H": "theater"}, {"H": "school"}, {"H": "church"}),
    starts=("A {H} had {a} chairs.", "There were {a} chairs in a {H}."),
    products=("A {H} had {k} rows of {m} chairs.", "A {H} had {k} rooms with {m} chairs each."),
    ups=("{P} brought {x} more chairs.", "The owner bought {x} more chairs."),
    downs=(
        "{P} took {x} chairs away.",
        "The owner sold {x} chairs.",
        "The owner threw out {x} broken chairs.",
    ),
    asks=("How many chairs did the {H} have in the end?", "How many chairs were there then?"),
    lefts=("How many chairs were left?", "How many chairs did the {H} have left?"),
    shares=(
        Share(
            "{P} put all the chairs around {d} tables, the same number at each.",
            "How many chairs were at each table?",
        ),
        Share("{P} stacked all the chairs in piles of {d}.", "How many piles were there?"),
    ),
    asides=("The {H} had {z} windows.", "The owner was {y} years old.", "It was {z} o'clock."),
)

CAMP = Kind(
    slots=(
        {"H": "camp", "at": "at"},
        {"H": "farm", "at": "on"},
        {"H": "village", "at": "in"},
        {"H": "hostel", "at": "at"},
    ),
    starts=("There were {a} children {at} a {H}.", "A {H} had {a} children as guests."),
    products=(
        "A {H} had {k} houses with {m} children in each.",
        "There were {k} groups of {m} children {at} a {H}.",
    ),
    ups=("One day {x} more children came.", "A bus brought {x} more children."),
    downs=("After a storm {x} children went home.", "A van took {x} children home."),
    asks=("How many children were {at} the {H} in the end?", "How many children were there then?"),
    lefts=("How many children were left {at} the {H}?", "How many children stayed {at} the {H}?"),
    shares=(
        Share(
            "All the children then formed {d} teams of the same size.",
            "How many children were in each team?",
        ),
        Share("All the children then formed teams of {d}.", "How many teams were there?"),
    ),
    asides=(
        "The {H} had {z} horses.",
        "It was {y} degrees outside.",
        "The cook was {y} years old.",
    ),
)

KINDS: tuple[Kind, ...] = (
    COLLECTION,
    COLLECTION,
    BAKING,
    HARVEST,
    EGGS,
    MONEY,
    MONEY,
    WAY_AHEAD,
    WAY_BEHIND,
    BOOK,
    SHOP,
    RIDE,
    HALL,
    CAMP,
)
"""All kinds; one that stands twice is drawn twice as often."""
