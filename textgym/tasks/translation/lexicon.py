"""The words of the translation task, read from the package's data files and indexed by tag."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import NamedTuple

from textgym.tasks import english
from textgym.tasks.translation import german
from textgym.tasks.translation.style import Style
from textgym.tasks.translation.wording import Wording

PEOPLE = ("person", "child", "kin")
"""The kinds of noun that the files abbreviate to "P", together with names and pronouns."""


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """Words that never change: an adverb, a name, a bare object.

    Attributes:
        english: The plain English words.
        alternatives: The German synonyms.
        also: English synonyms of `english`.
    """

    english: str
    alternatives: tuple[str, ...]
    also: tuple[str, ...] = ()

    def in_english(self, wording: Wording) -> str:
        """Return the English words in a wording."""
        index = wording.word % (len(self.also) + 1)
        return self.also[index - 1] if index else self.english

    def german(self, style: Style) -> str:
        """Return the German words in a style."""
        return self.alternatives[style.word % len(self.alternatives)]


@dataclass(frozen=True, slots=True, eq=False)
class Adjective:
    """An adjective: its German synonyms as they stand alone and before an ending, English ones."""

    english: str
    alone: tuple[str, ...]
    stems: tuple[str, ...]
    tags: frozenset[str]
    also: tuple[str, ...] = ()

    def in_english(self, wording: Wording) -> str:
        """Return the English word in a wording."""
        index = wording.word % (len(self.also) + 1)
        return self.also[index - 1] if index else self.english


@dataclass(frozen=True, slots=True, eq=False)
class Noun:
    """A noun in both languages; `plural` is empty for a mass noun.

    `also` holds the English synonyms, singular and plural.
    """

    english: str
    plural: str
    german: tuple[german.Noun, ...]
    kind: str
    sex: str
    tags: frozenset[str]
    adjectives: tuple[Adjective, ...]
    also: tuple[tuple[str, str], ...] = ()

    def in_english(self, wording: Wording, plural: bool) -> str:
        """Return the English word in a wording, in the number asked for."""
        index = wording.word % (len(self.also) + 1)
        if index:
            return self.also[index - 1][plural]
        return self.plural if plural else self.english


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A noun for a place, with the prepositions for being there and for going there."""

    noun: Noun
    at: tuple[str, str]
    to: tuple[str, str]
    to_case: int


class Government(NamedTuple):
    """A German verb and what it asks of its object.

    `preposition` is empty for a plain object, `case` is the object's, `reflexive` is -1 or the
    index of the reflexive pronoun's case, `extra` is a phrase that always goes with the verb.
    """

    verb: german.Verb
    preposition: str
    case: int
    reflexive: int
    extra: str


class Saying(NamedTuple):
    """An English verb with the particle and the preposition that make its meaning."""

    verb: english.Verb
    particle: str
    preposition: str


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """An English verb, the kinds of words it goes with, and its German translations.

    `sayings` are the English ways to say it: the verb with what belongs to it, then synonyms.
    """

    verb: english.Verb
    particle: str
    preposition: str
    sayings: tuple[Saying, ...]
    people_act: bool
    subjects: tuple[Noun, ...]
    object_tags: tuple[str, ...]
    objects: tuple[Noun, ...]
    has_receiver: bool
    goal: str
    german: tuple[Government, ...]
    places: tuple[Place, ...]
    goals: tuple[Place, ...]
    towns: bool
    shopping: bool
    manners: tuple[str, ...]
    flags: frozenset[str]
    reasons: tuple[str, ...]

    @property
    def anyone(self) -> bool:
        """Whether any person may be the subject, and nothing else."""
        return self.people_act and len(self.subjects) <= 60


@dataclass(frozen=True, slots=True, eq=False)
class Lexicon:
    """All words: nouns, places, frames, adjectives and adverbs by key."""

    nouns: tuple[Noun, ...]
    places: tuple[Place, ...]
    frames: tuple[Frame, ...]
    adjectives: tuple[Adjective, ...]
    adverbs: dict[str, tuple[Words, ...]]
    tagged: dict[str, tuple[Noun, ...]]
    placed: dict[str, tuple[Place, ...]]

    @property
    def num_lexemes(self) -> int:
        """Return the number of English entries that carry a meaning of their own."""
        verbs = {(f.verb.base, f.particle, f.preposition) for f in self.frames}
        adverbs = sum(len(words) for words in self.adverbs.values())
        return len(self.nouns) + len(self.places) + len(self.adjectives) + len(verbs) + adverbs


@cache
def load_lexicon() -> Lexicon:
    """Read the lexicon from the package's data files."""
    adjectives = tuple(_adjective(*fields) for fields in _rows("adjectives"))
    nouns = tuple(_noun(fields, adjectives) for fields in _rows("nouns"))
    places = tuple(_place(fields, adjectives) for fields in _rows("places"))
    adverbs: dict[str, list[Words]] = {}
    for key, words, translations in _rows("adverbs"):
        plain, *also = _split(words, " / ")
        adverbs.setdefault(key, []).append(Words(plain, _split(translations, "/"), tuple(also)))
    tagged = _index((tag, noun) for noun in nouns for tag in (noun.kind, *sorted(noun.tags)))
    placed = _index((tag, place) for place in places for tag in sorted(place.noun.tags))
    frames = tuple(_frame(fields, tagged, placed) for fields in _rows("verbs"))
    keyed = {key: tuple(words) for key, words in adverbs.items()}
    return Lexicon(nouns, places, frames, adjectives, keyed, tagged, placed)


@cache
def load_irregular() -> dict[str, list[str]]:
    """Read the forms of the irregular German verbs, by infinitive."""
    return {fields[0]: list(fields[1:]) for fields in _rows("german_verbs")}


def government(text: str) -> Government:
    """Parse a German verb with its government, such as "warten (auf acc)" or "helfen (dat)"."""
    name, _, rest = text.strip().partition(" (")
    reflexive = 1 if name.startswith("sich3=") else 0 if name.startswith("sich=") else -1
    verb = german.make_verb(name.rpartition("=")[2], load_irregular())
    words = rest.rstrip(")").split()
    case = german.DATIVE if words and words[-1] == "dat" else german.ACCUSATIVE
    governs = bool(words) and words[-1] in ("acc", "dat")
    preposition = words[0] if governs and len(words) == 2 else ""
    return Government(verb, preposition, case, reflexive, "" if governs else " ".join(words))


def _rows(name: str) -> Iterator[tuple[str, ...]]:
    path = resources.files("textgym") / "data" / f"translation_{name}.txt"
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield tuple(field.strip().removesuffix("-") for field in line.split(" | "))


def _split(text: str, separator: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(separator) if part.strip())


def _index(pairs: Iterable[tuple[str, object]]) -> dict[str, tuple]:  # type: ignore[type-arg]
    table: dict[str, list[object]] = {}
    for key, value in pairs:
        table.setdefault(key, []).append(value)
    return {key: tuple(values) for key, values in table.items()}


def _adjective(words: str, translations: str, tags: str) -> Adjective:
    word, *also = _split(words, " / ")
    alone, stems = [], []
    for translation in _split(translations, "/"):
        form, _, stem = translation.partition(" (")
        alone.append(form)
        stems.append(stem.rstrip(")") or (form[:-1] if form.endswith("e") else form))
    return Adjective(word, tuple(alone), tuple(stems), frozenset(tags.split()), tuple(also))


def _german_nouns(text: str) -> tuple[german.Noun, ...]:
    nouns = []
    for synonym in _split(text, "/"):
        singular, _, plural = synonym.partition(", ")
        article, word = singular.split(" ", 1)
        nouns.append(german.make_noun(article, word, plural))
    return tuple(nouns)


def _noun(fields: tuple[str, ...], adjectives: tuple[Adjective, ...]) -> Noun:
    words, translations, tagline = fields
    plain, *also = words.split(" / ")
    singular, plural = _numbers(plain)
    kind, *rest = tagline.split()
    sex = rest[0] if rest and rest[0] in "mfx" else ""
    tags = frozenset((kind, *rest))
    return Noun(
        english=singular,
        plural=plural,
        german=_german_nouns(translations),
        kind=kind,
        sex=sex,
        tags=tags,
        adjectives=tuple(a for a in adjectives if a.tags & tags),
        also=tuple(_numbers(synonym) for synonym in also),
    )


def _numbers(text: str) -> tuple[str, str]:
    """Return singular and plural: "lady, ladies", "bread, " without a plural, "friend"."""
    singular, comma, plural = text.partition(",")
    return singular, plural.strip() if comma else english.plural(singular)


def _place(fields: tuple[str, ...], adjectives: tuple[Adjective, ...]) -> Place:
    words, translations, at, to, tags = fields
    noun = _noun((words, translations, f"place {tags}"), adjectives)
    (here, german_here), (there, german_there, case) = _split(at, ","), _split(to, ",")
    to_case = german.DATIVE if case == "dat" else german.ACCUSATIVE
    return Place(noun, (here, german_here), (there, german_there), to_case)


def _frame(
    fields: tuple[str, ...],
    tagged: dict[str, tuple[Noun, ...]],
    placed: dict[str, tuple[Place, ...]],
) -> Frame:
    verb, subject, wanted, translations, where, manner, flags = fields
    sayings = tuple(_saying(text) for text in verb.split(" / "))
    receiver, arrow, wanted = wanted.rpartition(" > ")
    goal_tags = wanted.removeprefix("->").split(",") if wanted.startswith("->") else []
    objects, _, position = ("" if goal_tags else wanted).partition(" ~")
    subject_tags, object_tags = _split(subject, ","), _split(objects, ",")
    why = next((f[4:] for f in flags.split() if f.startswith("why:")), "")
    return Frame(
        verb=sayings[0].verb,
        particle=sayings[0].particle,
        preposition=sayings[0].preposition,
        sayings=sayings,
        people_act="P" in subject_tags or "person" in subject_tags,
        subjects=_members(tagged, subject_tags),
        object_tags=object_tags,
        objects=_objects(tagged, placed, object_tags),
        has_receiver=bool(arrow and receiver),
        goal=position or ("to" if goal_tags else ""),
        german=tuple(government(g) for g in _split(translations, "/")),
        places=_members(placed, tuple(where.split())),
        goals=_members(placed, tuple(goal_tags)),
        towns="$town" in goal_tags or "$town" in where,
        shopping=where == "shop",
        manners=tuple(manner.split()),
        flags=frozenset(f for f in flags.split() if not f.startswith("why:")),
        reasons=_split(why, ","),
    )


def _saying(text: str) -> Saying:
    """Parse an English verb such as "pick +up" or "think thought thought @of"."""
    head, _, preposition = text.partition(" @")
    head, _, particle = head.partition(" +")
    return Saying(english.make_verb(*head.split()), particle, preposition)


def _objects(
    tagged: dict[str, tuple[Noun, ...]], placed: dict[str, tuple[Place, ...]], tags: tuple[str, ...]
) -> tuple[Noun, ...]:
    """Return the nouns that have one of the tags; "#room" stands for places."""
    rooms = _members(placed, tuple(tag[1:] for tag in tags if tag.startswith("#")))
    return (*_members(tagged, tags), *(place.noun for place in rooms))


def _members(table: dict[str, tuple], tags: tuple[str, ...]) -> tuple:  # type: ignore[type-arg]
    """Return the words that have one of the tags, each once, in the order of the files."""
    spread = [tag for name in tags for tag in (PEOPLE if name == "P" else (name,))]
    found = {id(word): word for tag in spread for word in table.get(tag, ())}
    return tuple(found.values())
