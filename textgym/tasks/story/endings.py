"""What joins events to a story: feelings, connectives and closing sentences."""

from __future__ import annotations

FEELINGS = {
    "happy": (
        "smiled",
        "laughed",
        "was very glad",
        "cheered",
        "was overjoyed",
        "felt grateful",
        "was thrilled",
        "was full of joy",
        "was in a good mood",
    ),
    "sad": (
        "cried",
        "wept",
        "was very sad",
        "was upset",
        "was miserable",
        "was disappointed",
        "sighed",
        "was unhappy",
        "felt desperate",
        "was in a bad mood",
    ),
}
"""How the main character feels about an event: "..., and she smiled"."""

CONNECTIVES = ("then ", "soon ", "after that, ", "later, ", "a little later, ", "next, ")
"""What may stand before an event that is not the first."""

TURNS = ("but then ", "later, however, ", "but soon ", "but after a while, ")
"""What stands before the first event of another mood."""

CLOSINGS = {
    "happy": (
        "{s} went home with a glad heart",
        "it was the best day of the whole year",
        "{s} smiled all the way home",
        "{s} would never forget that glorious day",
        "{s} sang joyfully on the way home",
        "{s} felt like a winner",
        "{s} left the place happy and content",
        "in the end, {s} was proud and content",
        "everything was marvellous",
        "{s} hoped for many more such lovely days",
    ),
    "sad": (
        "{s} went home with a heavy heart",
        "it was the worst day of the whole year",
        "{s} cried all the way home",
        "{s} would never forget that dreadful day",
        "{s} walked home alone and wept",
        "{s} felt like the unluckiest person in the world",
        "{s} was hungry, tired and miserable",
        "in the end, {s} was sad and hopeless",
        "nothing but sorrow was left",
        "{s} sat down in tears",
    ),
}
"""The last sentence of a story, where no event is the last."""
