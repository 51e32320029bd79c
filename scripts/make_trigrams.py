"""Collect the trigrams and the clauses that the reward "fluency" knows.

    python scripts/make_trigrams.py [--examples 120000] [--output textgym/data/trigrams.txt]

They are those of the references of Story's train split, all levels, with phrases like "a small
key" as one symbol of the noun's class; see `textgym.rewards.fluency.table` for the file's form.
The same number of examples gives the same file.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from textgym.rewards.fluency import Sentence, names_in, sentences_of
from textgym.tasks import load_task
from textgym.tasks.story.words import FOOD, PLACES, THINGS, Noun

ROOT = Path(__file__).resolve().parents[1]
LEVELS = ("easy", "medium", "hard")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=120_000, help="how many of each level")
    parser.add_argument("--output", type=Path, default=ROOT / "textgym" / "data" / "trigrams.txt")
    arguments = parser.parse_args()
    lines = ["# Made by scripts/make_trigrams.py: nouns by class, known clauses, known trigrams."]
    phrases: dict[str, str] = {}
    for noun in nouns():
        found = sorted({noun.word, *(() if noun.related else noun.indefinite)})
        kind = "relative" if noun.related else noun.kind
        phrases.update(dict.fromkeys(found, kind))
        lines.append("\t".join(["@", kind, *found]))
    clauses: set[str] = set()
    followers: dict[str, set[str]] = defaultdict(set)
    for sentence in sentences(arguments.examples, phrases):
        clauses.update(" ".join(clause) for clause, _ in sentence.clauses())
        for first, second, third in sentence.trigrams():
            followers[f"{first} {second}"].add(third)
    lines += [f"= {clause}" for clause in sorted(clauses)]
    lines += [" ".join([two, *sorted(followers[two])]) for two in sorted(followers)]
    arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    trigrams = sum(map(len, followers.values()))
    print(f"{arguments.output}: {trigrams} trigrams, {len(clauses)} clauses")


def nouns() -> list[Noun]:
    """Return all nouns of the task, by their words."""
    placed = [noun for place in PLACES for noun in (*place.sights, *place.people, *place.animals)]
    return sorted({*placed, *FOOD, *THINGS}, key=lambda noun: noun.word)


def sentences(examples: int, phrases: dict[str, str]) -> Iterator[Sentence]:
    """Return the different sentences of the references, level by level."""
    for level in LEVELS:
        task = load_task("story", level=level)
        for index in range(examples):
            example = task.example(index)
            names = names_in(example.prompt)
            for reference in example.references:
                yield from sentences_of(reference, names, phrases)


if __name__ == "__main__":
    main()
