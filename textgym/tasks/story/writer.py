"""Writes stories: events for the asked words, in the asked moods, as sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textgym.tasks.draws import Draws
from textgym.tasks.story.endings import CLOSINGS, CONNECTIVES, FEELINGS, TURNS
from textgym.tasks.story.events import EVENTS
from textgym.tasks.story.pairs import ORDER, PAIRS
from textgym.tasks.story.words import Noun

Group = tuple[Noun, ...]
"""The one or two words of an event."""

RANK = {kind: rank for rank, kind in enumerate(ORDER)}
"""The position of a kind in a pair; what is not named is a thing."""

BEGINNING = 16
"""How many characters of a clause are its beginning."""

MAX_DRAWS = 20
"""How often a clause is drawn until it begins unlike the others."""

CONNECTED, FELT, NAMED = 0.4, 0.3, 0.15
"""How often a sentence begins with a connective, ends with a feeling, names the hero."""


@dataclass(frozen=True, slots=True)
class Hero:
    """The main character: a name, and "she" or "he" in its three forms."""

    name: str
    subject: str
    object: str
    possessive: str


class Storyteller:
    """Writes stories about one hero, with the same words and moods each time.

    Args:
        draws: Where random choices come from.
        hero: The main character.
        words: The nouns that every story uses; as many as sentences or one less, up to twice as
            many.
        moods: The mood of each sentence, "happy" or "sad".
        indoors: Whether things fall onto a floor, not into the mud.
    """

    def __init__(
        self,
        draws: Draws,
        hero: Hero,
        words: Sequence[Noun],
        moods: Sequence[str],
        *,
        indoors: bool = False,
    ) -> None:
        self._draws = draws
        self._hero = hero
        self._words = words
        self._moods = moods
        self._used: set[str] = set()
        self._fields = {
            "n": hero.name,
            "s": hero.subject,
            "o": hero.object,
            "p": hero.possessive,
            "mud": "onto the floor" if indoors else "into the mud",
        }

    def story(self) -> str:
        """Write one story, a sentence a mood."""
        self._used.clear()
        groups = self._groups()
        sentences = []
        for i, mood in enumerate(self._moods):
            if i < len(groups):
                clause = self._event(groups[i], mood, feeling=self._needs_feeling(i, len(groups)))
                clause = self._connective(i) + clause
            else:
                clause = self._choose(CLOSINGS[mood]).format(s=self._hero.subject)
            sentences.append(clause[0].upper() + clause[1:] + ".")
        return " ".join(sentences)

    def _groups(self) -> list[Group]:
        """Spread the words over the events, at most two for each.

        There is an event a sentence or, where the story has a closing sentence, one less.
        """
        count, sentences = len(self._words), len(self._moods)
        fewest = max((count + 1) // 2, sentences - 1)
        events = self._draws.between(fewest, min(count, sentences))
        pairs = count - events
        words = self._draws.shuffled(self._words)
        groups: list[Group] = [_in_order(*words[2 * i : 2 * i + 2]) for i in range(pairs)]
        groups += [(word,) for word in words[2 * pairs :]]
        return self._draws.shuffled(groups)

    def _needs_feeling(self, i: int, events: int) -> bool:
        """Whether sentence i tells a feeling; the last of a mood does, lest one word tells it."""
        last = i + 1 == len(self._moods) or self._moods[i + 1] != self._moods[i]
        return last or (i + 1 < events and self._draws.chance(FELT))

    def _connective(self, i: int) -> str:
        if i and self._moods[i] != self._moods[i - 1]:
            return self._choose(TURNS)
        return self._choose(CONNECTIVES) if i and self._draws.chance(CONNECTED) else ""

    def _event(self, group: Group, mood: str, *, feeling: bool) -> str:
        events = EVENTS[mood][group[0].kind] if len(group) == 1 else PAIRS[mood][_kinds(group)]
        clause = self._choose(events)
        if self._draws.chance(NAMED):
            clause = self._with_name(clause, group)
        if feeling:
            # What others do to the hero may be a reason; what the hero does is told before.
            acts = "{s}" in clause or clause.startswith("{n}")
            long = " and " in clause or "," in clause
            joint = ", so {s} " if long and not acts else ", and {s} "
            clause += joint + self._choose(FEELINGS[mood])
        fields = dict(self._fields)
        for letter, noun in zip("xy", group, strict=False):
            self._mention(fields, letter, noun)
        return clause.format_map(fields)

    def _with_name(self, clause: str, group: Group) -> str:
        """Name the hero in place of the first pronoun, where the name can only mean the hero."""
        if clause.startswith("{s} ") and len(self._used) > 1:
            return "{n}" + clause[3:]
        if group[0].kind == "person" and not group[0].related and "{p}" not in clause:
            return clause.replace("{o}", "{n}", 1)
        return clause

    def _choose(self, choices: Sequence[str]) -> str:
        """Draw one that begins unlike all that this story has used, as far as there is one."""
        for _ in range(MAX_DRAWS):
            chosen = self._draws.pick(choices)
            if chosen[:BEGINNING] not in self._used:
                break
        self._used.add(chosen[:BEGINNING])
        return chosen

    def _mention(self, fields: dict[str, str], letter: str, noun: Noun) -> None:
        own = self._hero.possessive + " " + noun.word
        fields["own_" + letter] = own
        fields["word_" + letter] = noun.word
        fields[letter] = own if noun.related else self._draws.pick(noun.indefinite)
        fields["the_" + letter] = own if noun.related else "the " + noun.word


def _kinds(group: Sequence[Noun]) -> tuple[str, ...]:
    return tuple(noun.kind if noun.kind in RANK else "thing" for noun in group)


def _in_order(first: Noun, second: Noun) -> tuple[Noun, Noun]:
    ranks = [RANK.get(noun.kind, RANK["thing"]) for noun in (first, second)]
    return (first, second) if ranks[0] <= ranks[1] else (second, first)
