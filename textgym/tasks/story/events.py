"""Single events by mood and by the kind of the word they use; one clause each.

Fields: {s}, {o}, {p}: she, her, her or he, him, his; {x}: "a small key", {the_x}: "the key",
{own_x}: "her key", {mud}: where things fall. Each clause holds a word that tells the mood.
"""

from __future__ import annotations

Events = dict[str, tuple[str, ...]]

HAPPY_THING = (
    "{s} was delighted to find {x}",
    "{s} found {x} by a lucky chance",
    "someone had left {x} there as a lovely gift",
    "{s} won {x} in a funny game",
    "{s} received {x} as a wonderful present",
    "{s} looked at {own_x} with pride",
    "{s} happily showed everyone {own_x}",
    "to {p} delight, {s} discovered {x}",
    "{s} bought {x} and thought it was perfect",
    "{s} luckily found {own_x}, which {s} had missed for weeks",
    "{s} got {x} for free and felt lucky",
)

HAPPY: Events = {
    "paper": (
        "{s} was delighted to find {x}",
        "to {p} delight, {s} discovered {x}",
        "someone had left {x} with friendly words there",
        "a stranger handed {o} {x} with a warm smile",
        "{x} brought {o} wonderful news",
        "{s} read {x} full of pleasant news",
        "{s} opened {x} and found kind words inside",
        "{s} wrote {x} about {p} lovely day",
        "{x} from an old friend made {o} happy",
    ),
    "cloth": (
        "{s} tried on {x} and looked splendid",
        "{own_x} kept {o} warm and comfortable",
        "everyone admired {own_x}",
        "{s} bought {x} that fitted perfectly",
    ),
    "treasure": (
        "{x} sparkled beautifully in {p} hand",
        "{s} found {x}, which was a real treasure",
        "{s} proudly won {x} in a contest",
    ),
    "toy": (
        "{s} played with {x} and had great fun",
        "{s} found {x} and played merrily",
        "{s} merrily played with {own_x}",
    ),
    "music": (
        "{s} played a merry tune on {own_x}",
        "{s} played {x} and sang a cheerful song",
        "people clapped and cheered when {s} played {own_x}",
    ),
    "thing": (),
    "food": (
        "{s} ate {x} that tasted delicious",
        "{s} enjoyed {x} with great pleasure",
        "someone kindly offered {o} {x}",
        "{s} bought {x}, and it was tasty",
        "{s} got {x} for free and felt lucky",
        "{s} happily shared {x} with a friend",
        "{s} won {x} in a funny game",
        "{s} found {x} in {p} bag, and it was delicious",
    ),
    "animal": (
        "{x} came up to {o} and was very friendly",
        "{s} happily made friends with {x}",
        "{s} petted {x}, which was sweet and gentle",
        "{x} followed {o} playfully",
        "{s} watched {x} with delight",
        "{s} rescued {x} like a hero",
        "{x} played a funny trick",
        "{s} fed {x}, which seemed happy and grateful",
        "{x} greeted {o} with delight",
    ),
    "person": (
        "{x} greeted {o} with a warm smile",
        "{x} told {o} a funny joke",
        "{x} told {o} some wonderful news",
        "{x} kindly helped {o}",
        "{x} thanked {o} warmly for {p} help",
        "{x} invited {o} to a party with great pleasure",
        "{x} sang a cheerful song for {o}",
        "{x} praised {o} for {p} courage",
        "{s} danced happily with {x}",
        "{s} had a pleasant talk with {x}",
        "{s} laughed and joked with {x}",
        "{x} gave {o} a nice present",
    ),
    "sight": (
        "{s} admired {x}, which was beautiful",
        "{s} rested beside {x} and felt calm and happy",
        "people were laughing and singing near {x}",
        "{s} happily took pictures of {x}",
        "{s} discovered {x}, the loveliest one in the country",
        "{x} decorated with flowers looked wonderful",
        "{s} drew {x}, and the picture was splendid",
        "there was a merry party beside {x}",
        "{s} enjoyed the peace beside {x}",
    ),
}

SAD_THING = (
    "{s} lost {own_x}",
    "a thief stole {own_x}",
    "{s} noticed in shock that {own_x} was missing",
    "{s} searched for {own_x} in vain",
    "{own_x} fell {mud} and was ruined",
    "{s} wanted to buy {x}, but it was terribly expensive",
    "someone rudely took {own_x}",
    "{own_x} was badly damaged in an accident",
    "{s} looked at {own_x} and felt lonely",
)

SAD: Events = {
    "paper": (
        "{s} lost {own_x}",
        "a thief stole {own_x}",
        "{s} noticed in shock that {own_x} was missing",
        "{s} tore {own_x} by a stupid mistake",
        "{x} brought {o} terrible news",
        "{s} read {x} full of awful news",
        "{s} opened {x} and found cruel words inside",
        "{s} wrote {x} about {p} grief",
        "{x} told {o} that someone was very ill",
    ),
    "cloth": (
        "{s} tried on {x} and looked awful",
        "{s} tore {own_x} on a nasty nail",
        "everyone mocked {own_x}",
        "{own_x} was dirty and torn",
    ),
    "treasure": (
        "{s} bought {x}, which was a worthless fake",
        "{s} found {x}, but it was broken and worthless",
        "{s} was forced to sell {own_x}, to {p} grief",
    ),
    "toy": (
        "{s} played with {x} all alone and was bored",
        "a rude boy smashed {own_x}",
        "{own_x} broke by a sad mistake",
    ),
    "music": (
        "{s} played a gloomy tune on {own_x}",
        "{s} played {x}, but it sounded horrible",
        "people complained when {s} played {own_x}",
        "{own_x} broke by a sad mistake",
    ),
    "thing": (),
    "food": (
        "{s} ate {x} that tasted awful",
        "{s} bought {x}, but it was rotten",
        "{x} made {o} feel sick",
        "someone rudely took {own_x}",
        "{s} dropped {own_x} {mud} and was hungry",
        "{s} ate {x} alone and felt lonely",
        "{s} was hungry but could not pay for {x}",
    ),
    "animal": (
        "{x} bit {o}, and it was painful",
        "{x} frightened {o}",
        "{s} found {x} that was ill and weak",
        "{x} chased {o}, and it was a scary moment",
        "{s} saw {x} that was hurt and afraid",
        "{x} attacked {o}",
        "{s} tried in vain to reach {x}",
        "{x} looked hungry and lonely",
        "{x} escaped from {o} in fear",
    ),
    "person": (
        "{x} shouted at {o} angrily",
        "{x} insulted {o}",
        "{x} told {o} some terrible news",
        "{x} was rude and cruel to {o}",
        "{x} ignored {o} in an emergency",
        "{x} blamed {o} for a bad mistake",
        "{x} mocked {o}",
        "{s} had an ugly quarrel with {x}",
        "{s} argued with {x} about money",
        "{s} heard that {x} was very ill",
        "{x} told {o} a cruel lie",
        "{x} left {o} without a word, and it was painful",
    ),
    "sight": (
        "{s} waited beside {x}, lonely and cold",
        "{s} fell near {x} and hurt {p} knee",
        "{the_x} was badly damaged",
        "{s} found {the_x} in a terrible state",
        "vandals destroyed {the_x}",
        "there was an awful accident near {x}",
        "people were crying and shouting near {x}",
        "{s} got lost near {x} and was afraid",
        "a thief robbed {o} near {x}",
        "{the_x} looked ugly and gloomy",
    ),
}

SHARING = ("cloth", "treasure", "toy", "music", "thing")
"""The kinds of thing that all that happens to things can happen to; letters are not won."""

EVENTS: dict[str, Events] = {
    mood: {
        kind: events + (general if kind in SHARING else ())
        for kind, events in table.items()
    }
    for mood, table, general in (("happy", HAPPY, HAPPY_THING), ("sad", SAD, SAD_THING))
}  # fmt: skip
"""The clauses by mood ("happy", "sad") and kind; things share the general ones."""
