"""The data-to-text task: triples of a knowledge graph, and texts that state them."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from textgym.tasks.base import AimedTask, Example, Fits
from textgym.tasks.data_to_text.makers import rename
from textgym.tasks.data_to_text.phrasing import MERGING, merged_key, merged_phrases
from textgym.tasks.data_to_text.world import World
from textgym.tasks.data_to_text.writer import Writer
from textgym.tasks.draws import Draws

SIZES = {"easy": (1, 2, 2), "medium": (2, 3, 4), "hard": (4, 5, 6)}
"""How many triples a prompt may have, by level; each entry is as likely."""

LIMITS = {"easy": (48, 52), "medium": (88, 84), "hard": (128, 112)}
"""The longest prompt and the answer's budget (EOS included) in bundled tokens, by level."""

NUM_REFERENCES = {"easy": 4, "medium": 4, "hard": 3}
"""How many different texts are wanted, by level; where the facts allow fewer, there are fewer."""

MAX_NAMES = 100
"""How many names are drawn for one entity before its prompt's split is given up."""

GAP = "_"
"""Stands for the name that is yet to be drawn."""

MAX_TEXTS = 12
"""How many texts are written to find them."""


class DataToTextTask(AimedTask):
    r"""Triples of a knowledge graph to fluent text that states each of them and nothing else.

    A prompt lists one to six facts about connected people, companies, books, films, buildings,
    cities, dishes and schools of an invented world, as "subject | relation | object" between
    semicolons. The agent writes them up, in as few sentences as read well:

        Julia Berg | works for | Drake Toys ; Drake Toys | founded in | 1976\n
        Julia Berg works for Drake Toys, which was founded in 1976.

    The references vary order, wording (active, passive and inverse phrases), relative clauses,
    apposition and pronouns, and start from either end of the graph; the first one is the plainest.
    There are up to four (at hard three), fewer where there is not much to vary.

    Levels: "easy" has one or two triples, "medium" (the default) two to four, "hard" four to six.
    All draw from 51 relations; names are combined from lists, so there are more than 10**6 prompts
    a level.

    Metadata: "level"; "facts", for each triple {"triple": [subject, relation, object], "phrases":
    {entity: [finite phrases that state the triple after this entity as their subject]}}; and
    "entities", by name {"pronouns": [what may stand for it], "relative": "who" or "which"}.

    The default reward is 0.4 BLEU, 0.4 triple_coverage and 0.2 faithfulness. The expert is the
    first reference, which scores 1.
    """

    name = "data_to_text"
    levels: ClassVar[tuple[str, ...]] = ("easy", "medium", "hard")

    def __init__(self, *, level: str | None = None, seed: int = 0) -> None:
        super().__init__(level=level, seed=seed)
        self.max_prompt_tokens, self.max_new_tokens = LIMITS[self.level]

    def attempt(self, rng: np.random.Generator, fits: Fits) -> Example | None:
        """Draw connected triples, name them so that they fit, and write them up in several ways."""
        draws = Draws(rng)
        world = World(draws, draws.pick(SIZES[self.level]))
        prompt = _prompt(_triples(world))
        if not fits(prompt):
            named = _renamed(world, draws, fits)
            if named is None:
                return None
            prompt = named
        triples = _triples(world)
        metadata = {
            "level": self.level,
            "facts": _facts(world, triples),
            "entities": {
                e.name: {"pronouns": list(e.pronouns), "relative": e.relative}
                for e in world.entities
            },
        }
        references = _references(world, draws, NUM_REFERENCES[self.level])
        return Example(prompt, references, metadata)


def _triples(world: World) -> list[list[str]]:
    return [[fact.subject.name, fact.relation.label, fact.value] for fact in world.facts]


def _prompt(triples: list[list[str]]) -> str:
    return " ; ".join([" | ".join(triple) for triple in triples]) + "\n"


def _renamed(world: World, draws: Draws, fits: Fits) -> str | None:
    """Rename an entity until the prompt fits; return that prompt, or None if no name will do."""
    entity = draws.pick(world.entities)
    taken = [each.name for each in world.entities]
    entity.name = GAP
    pieces = _prompt(_triples(world)).split(GAP)
    for _ in range(MAX_NAMES):
        rename(draws, entity)
        prompt = entity.name.join(pieces)
        if fits(prompt) and entity.name not in taken:
            return prompt
    return None


def _references(world: World, draws: Draws, wanted: int) -> tuple[str, ...]:
    texts = {Writer(world).text(world.facts[0].subject): None}
    for _ in range(MAX_TEXTS - 1):
        root = world.root if draws.chance(0.5) else draws.pick(world.entities)
        if root.facts:
            texts[Writer(world, draws).text(root)] = None
        if len(texts) == wanted:
            break
    return tuple(texts)


def _facts(world: World, triples: list[list[str]]) -> list[dict[str, Any]]:
    """Return each triple and the phrases that state it, by what they are about."""
    said = [
        {
            entity.name: [phrase.fill(name) for phrase in phrases]
            for entity in (fact.subject, fact.object)
            if entity is not None
            for phrases, name in (fact.phrases(entity),)
        }
        for fact in world.facts
    ]
    merging = [(i, f) for i, f in enumerate(world.facts) if f.relation.label in MERGING]
    for i, first in merging:
        for j, second in merging:
            if i != j and merged_key(first, second):
                both = merged_phrases(first, second)
                said[i][first.subject.name] += both
                said[j][first.subject.name] += both
    return [{"triple": t, "phrases": phrases} for t, phrases in zip(triples, said, strict=True)]
