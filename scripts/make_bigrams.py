"""Collect the pairs of neighbouring words that the reward "fluency" knows.

    python scripts/make_bigrams.py [--examples 60000] [--output textgym/data/bigrams.txt]

The pairs are those of the references of Story's train split, all levels. A line of the file is a
token and the tokens that may follow it; "^" and "$" stand for a text's beginning and end, "*" for
a name. The same number of examples gives the same file.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

from textgym.rewards.fluency import names_in, pairs_of
from textgym.tasks import load_task

ROOT = Path(__file__).resolve().parents[1]
LEVELS = ("easy", "medium", "hard")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=60_000, help="how many of each level")
    parser.add_argument("--output", type=Path, default=ROOT / "textgym" / "data" / "bigrams.txt")
    arguments = parser.parse_args()
    followers = collect(arguments.examples)
    lines = [" ".join([first, *sorted(followers[first])]) for first in sorted(followers)]
    header = "# Made by scripts/make_bigrams.py: a token and those that may follow it."
    arguments.output.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    print(f"{arguments.output}: {sum(map(len, followers.values()))} pairs")


def collect(examples: int) -> dict[str, set[str]]:
    """Return the tokens that follow each token in the references."""
    followers: dict[str, set[str]] = defaultdict(set)
    for level in LEVELS:
        task = load_task("story", level=level)
        for index in range(examples):
            example = task.example(index)
            names = names_in(example.prompt)
            for reference in example.references:
                for first, second in pairs_of(reference, names):
                    followers[first].add(second)
    return followers


if __name__ == "__main__":
    main()
