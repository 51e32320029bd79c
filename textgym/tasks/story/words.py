"""The words of the stories: names, times, places, and nouns with the adjectives that suit them."""

from __future__ import annotations

from dataclasses import dataclass

from textgym.tasks.english import with_article


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


WOMEN = _words(
    "Ada Alice Amy Anna Bella Clara Daisy Diana Ella Emma Eva Fiona Grace Hanna Helen Ida Iris "
    "Jane Julia Kate Laura Lena Lily Lucy Mara Maria Mia Molly Nina Nora Olga Paula Rita Rosa "
    "Ruth Sara Sofia Tina Vera Zoe"
)
MEN = _words(
    "Adam Alan Alex Anton Arthur Ben Boris Carl Colin Daniel David Dennis Eric Felix Frank "
    "George Henry Hugo Ivan Jack Jacob James Jonas Karl Leo Liam Luke Martin Max Nick Oliver "
    "Oscar Paul Peter Robert Simon Theo Thomas Tom Victor"
)

DAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
TIMES = (
    *(f"On {day} {part}" for day in DAYS for part in ("morning", "afternoon", "evening")),
    *(f"Last {day}" for day in DAYS),
    *(f"One {kind} {part}" for kind in ("quiet", "long") for part in ("morning", "afternoon")),
    *(f"After {meal}" for meal in ("breakfast", "lunch", "dinner")),
    *("Yesterday", "Last week", "Last month", "Early in the morning", "Late in the afternoon"),
)
ARRIVALS = ("walked to", "went to", "came to", "hurried to", "visited", "arrived at")


@dataclass(frozen=True, slots=True, eq=False)
class Noun:
    """A noun of the stories.

    Attributes:
        word: The noun itself, as it is asked for.
        kind: What it is, for the events it can play a part in.
        indefinite: How it is mentioned first, one of these: "a key", "a small key".
        related: Whether it is always the main character's: "her brother".
    """

    word: str
    kind: str
    indefinite: tuple[str, ...]
    related: bool = False


def _nouns(kind: str, lines: str) -> dict[str, Noun]:
    """Read nouns, each followed by its adjectives: "key: small old; coin: golden"."""
    found = {}
    for entry in lines.split(";"):
        word, _, adjectives = entry.strip().partition(":")
        # The bare noun stands as often as all adjectives together.
        phrases = [f"{adjective} {word}" for adjective in adjectives.split()]
        bare = [word] * max(len(phrases), 1)
        indefinite = tuple(with_article(phrase) for phrase in bare + phrases)
        found[word] = Noun(word, kind, indefinite)
    return found


PAPER = _nouns(
    "paper",
    "letter: long short; postcard: colourful old; note: short little; message: short secret; "
    "card: colourful small; telegram: short",
)
CLOTH = _nouns(
    "cloth",
    "scarf: red blue white; hat: green straw black; coat: long brown blue; jacket: leather red; "
    "sweater: woollen grey green; cap: blue yellow; cloak: long black; shawl: white silk",
)
TREASURE = _nouns(
    "treasure",
    "ring: golden silver; coin: golden old; necklace: silver; watch: golden old; bracelet: "
    "silver; medal: golden; pearl: white small; brooch: silver old; crown: golden small",
)
TOY = _nouns(
    "toy",
    "ball: red little; kite: red blue; doll: wooden little; puzzle: wooden; puppet: wooden; "
    "whistle: tin little; balloon: red yellow; robot: tin little",
)
MUSIC = _nouns(
    "music",
    "drum: small red; flute: wooden silver; guitar: old brown; violin: old small; trumpet: "
    "silver; harp: small golden; accordion: old red",
)
OTHER = _nouns(
    "thing",
    "key: small silver rusty; book: old thick; map: old folded; notebook: little blue; umbrella: "
    "black yellow; basket: small straw; lantern: small old; photograph: old faded; candle: white "
    "tall; camera: old small; backpack: green old; box: wooden small; vase: blue glass; mirror: "
    "small round; blanket: woollen grey; telescope: brass old; compass: brass small; bottle: "
    "green glass; teapot: white blue; pen: silver red; diary: little blue",
)
THINGS = (*PAPER.values(), *CLOTH.values(), *TREASURE.values(), *TOY.values(), *MUSIC.values())
THINGS += tuple(OTHER.values())

FOOD = tuple(
    _nouns(
        "food",
        "cake: big round; pie: big round; apple: red green; pear: yellow; peach: ripe; sandwich: "
        "big; pancake: thin big; cookie: round; muffin: small; melon: ripe green; orange: big; "
        "pizza: big; waffle: big; pretzel: big; banana: ripe; plum: ripe; doughnut: round",
    ).values()
)

RELATIVES = tuple(
    Noun(word, "person", (), related=True)
    for word in _words(
        "friend brother sister mother father grandmother grandfather uncle aunt cousin "
        "neighbour teacher classmate"
    )
)
STRANGERS = _nouns(
    "person",
    "sailor: old young; captain: old tall; fisherman: old; lifeguard: young tall; gardener: old; "
    "painter: young tall; jogger: tall; baker: old tall; butcher: tall; merchant: old; farmer: "
    "old young; conductor: tall; porter: tall old; traveller: young; librarian: young tall; "
    "student: young; professor: old; guide: young; guard: tall; artist: young old; shepherd: "
    "young old; hunter: old; ranger: young; hiker: young; musician: old young; policeman: "
    "tall; coach: young; actor: young old; singer: young; dancer: young; clown: tall; "
    "acrobat: young; magician: old; juggler: young; waiter: young; blacksmith: old; cook: old; "
    "boy: little; girl: little; tourist: tall young; postman: old",
)
ANIMALS = _nouns(
    "animal",
    "seagull: white; cat: grey black; dog: brown little; rabbit: white little; hedgehog: little; "
    "duck: brown; squirrel: red little; swan: white; pigeon: grey; goat: white; mouse: grey "
    "little; horse: brown white; lamb: white; hen: brown; pony: brown; goose: grey; donkey: grey; "
    "fox: red; deer: young; owl: grey white; peacock: blue; monkey: little brown; parrot: "
    "green red; otter: young; puppy: little brown; kitten: grey little; robin: little",
)
SIGHTS = _nouns(
    "sight",
    "boat: white small; ship: tall white; lighthouse: white old; pier: long wooden; sandcastle: "
    "tall; hut: wooden small; tent: green white; fountain: stone old; bench: green wooden; "
    "rosebush: tall; pavilion: white round; greenhouse: old; swing: wooden; statue: stone marble; "
    "bridge: stone wooden; playground: new; stall: wooden; cart: old wooden; clock: tall old; "
    "train: long green; kiosk: small; bookshelf: tall old; globe: big old; lamp: tall green; "
    "desk: long wooden; painting: big old; carriage: old wooden; tractor: red old; barn: red "
    "old; well: deep old; windmill: white old; cabin: wooden; shelter: wooden old; oak: tall old; "
    "tower: tall stone; gate: iron wooden; throne: golden old; piano: black old; blackboard: "
    "old; stage: wooden; carousel: old; wagon: red wooden; "
    "fireplace: stone; willow: old; raft: small; mill: old; chapel: white little; "
    "staircase: marble long; counter: long wooden",
)

INDOORS = _words("station library museum castle school theatre cafe hotel palace")


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where a story happens, and what there is besides the things that are found anywhere.

    Attributes:
        name: The place's noun.
        adjectives: What the place may be called.
        sights: Its fixtures.
        people: Who is met there, friends and relatives included.
        animals: Which animals are met there.
        indoors: Whether there is a floor, not mud.
    """

    name: str
    adjectives: tuple[str, ...]
    sights: tuple[Noun, ...]
    people: tuple[Noun, ...]
    animals: tuple[Noun, ...]
    indoors: bool


def _place(name: str, adjectives: str, sights: str, people: str, animals: str) -> Place:
    return Place(
        name,
        tuple(adjectives.split()),
        tuple(SIGHTS[word] for word in sights.split()),
        tuple(STRANGERS[word] for word in people.split()) + RELATIVES,
        tuple(ANIMALS[word] for word in animals.split()),
        name in INDOORS,
    )


PLACES = (
    _place("harbour", "old busy", "boat ship lighthouse pier bench",
           "sailor captain fisherman merchant tourist", "seagull cat dog pigeon"),
    _place("beach", "sandy long", "boat sandcastle hut tent lighthouse pier",
           "fisherman lifeguard girl boy tourist", "seagull dog puppy"),
    _place("garden", "large green", "fountain bench rosebush pavilion greenhouse swing gate",
           "gardener painter girl boy", "rabbit hedgehog robin cat kitten"),
    _place("park", "large green", "fountain bench statue pavilion swing bridge playground",
           "gardener jogger painter girl boy", "duck dog squirrel swan puppy"),
    _place("market", "busy large", "stall fountain cart clock wagon",
           "baker butcher merchant farmer cook tourist", "dog cat pigeon goat hen"),
    _place("station", "busy old", "train clock bench kiosk bridge",
           "conductor porter traveller postman tourist", "pigeon dog cat mouse"),
    _place("library", "old large", "bookshelf globe lamp desk fireplace staircase",
           "librarian student professor girl boy", "cat mouse kitten"),
    _place("museum", "large famous", "statue painting globe carriage staircase throne",
           "guide guard artist professor tourist", "mouse cat"),
    _place("farm", "small old", "tractor barn well windmill cart gate",
           "farmer shepherd girl boy", "horse goat lamb hen pony goose donkey kitten puppy"),
    _place("forest", "dark large", "cabin shelter oak tent bridge hut",
           "hunter ranger hiker painter", "fox deer owl squirrel hedgehog rabbit robin"),
    _place("square", "old busy", "fountain statue bench tower well stall clock",
           "musician policeman painter postman tourist", "pigeon dog cat puppy"),
    _place("castle", "old famous", "tower gate throne bridge well statue staircase",
           "guard guide hunter tourist", "horse peacock owl dog"),
    _place("school", "old new", "piano clock desk blackboard playground stage",
           "coach student girl boy musician", "cat mouse pigeon"),
    _place("theatre", "old famous", "stage piano staircase statue lamp",
           "actor singer dancer musician painter", "cat mouse"),
    _place("circus", "small famous", "tent stage carousel wagon bench",
           "clown acrobat magician juggler dancer", "pony monkey parrot horse dog goose"),
    _place("cafe", "old small", "piano lamp fireplace counter painting clock",
           "waiter baker singer artist student", "cat dog parrot"),
    _place("river", "wide long", "boat bridge mill raft willow cabin",
           "fisherman hiker painter girl boy", "duck swan otter dog goose deer"),
    _place("lake", "large deep", "boat cabin willow raft pier bench",
           "fisherman hiker ranger traveller painter", "duck swan otter fox deer"),
    _place("village", "small old", "well chapel bridge mill fountain barn windmill",
           "shepherd farmer blacksmith baker postman", "goat pony hen dog donkey goose lamb"),
    _place("hotel", "large old", "piano fireplace painting staircase counter",
           "waiter porter cook traveller singer", "parrot cat dog"),
    _place("fair", "large busy", "carousel tent stall stage wagon swing",
           "clown magician juggler musician baker", "pony monkey dog goat"),
    _place("palace", "famous old", "throne gate fountain statue staircase",
           "guard guide gardener cook dancer", "peacock horse swan cat"),
)  # fmt: skip
