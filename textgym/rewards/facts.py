"""Rewards for text that states given facts: how many of them, and how little else."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from textgym.rewards.base import ExampleLike, PerTextReward, Stream
from textgym.rewards.claims import UNKNOWN_WORDS_PER_CLAIM, Lexicon, Reading

KEYS = {
    "facts": 'a sequence of {"triple": [subject, relation, object], "phrases": {entity: [phrases '
    "that state the triple after that entity as their subject]}}",
    "entities": 'a mapping of names to {"pronouns": ["it", "the company"], "relative": "which"}',
}
"""What the rewards of this file read from an example's metadata."""


class FactsReward(PerTextReward):
    """A reward of what a text claims; a subclass writes `judge`."""

    @property
    def signature(self) -> str:
        """The name, what states a triple, and how much unknown words weigh."""
        weight = f"claim={UNKNOWN_WORDS_PER_CLAIM}words"
        return f"{self.name}(phrases=example,subject=resolved,denials=read,{weight})"

    @abstractmethod
    def judge(self, reading: Reading, num_facts: int) -> float:
        """The score of a text that was read, given how many triples there are."""

    def score(self, text: str, example: ExampleLike) -> float:
        """The score of one text.

        Raises:
            ValueError: The metadata has no "facts" or "entities", or none in them.
        """
        lexicon = self.lexicon(example)
        return self.judge(Reading(text, lexicon), lexicon.num_facts)

    def lexicon(self, example: ExampleLike) -> Lexicon:
        """The patterns of an example's triples.

        Raises:
            ValueError: The metadata has no "facts" or "entities", or none in them.
        """
        facts, entities = (_needed(self.name, example, key) for key in KEYS)
        return Lexicon(facts, entities)

    def stream(self, example: ExampleLike) -> Stream:
        """Follow one text, of which every new state is read again with the same patterns."""
        return _ReadingStream(self, self.lexicon(example))


class _ReadingStream(Stream):
    def __init__(self, reward: FactsReward, lexicon: Lexicon) -> None:
        self._reward = reward
        self._lexicon = lexicon
        self._text = ""

    def append(self, text: str) -> None:
        self._text += text

    def score(self) -> float:
        return self._reward.judge(Reading(self._text, self._lexicon), self._lexicon.num_facts)


class TripleCoverage(FactsReward):
    """The share of an example's triples that the text states, in [0, 1].

    A triple is stated where one of its phrases stands as it is, in a clause whose subject is the
    right entity, by its name or by a pronoun that stands for it; see `claims.Reading`. The same
    phrase about another entity states nothing, nor does a sentence with a negation or a doubt. A
    triple that the text also denies, or tells with another value, is not stated. What else the
    text says costs nothing here: combine it with `Faithfulness`.
    """

    name = "triple_coverage"

    def judge(self, reading: Reading, num_facts: int) -> float:
        """The share of the triples that are stated."""
        return len(reading.stated) / num_facts


class Faithfulness(FactsReward):
    """The share of what the text claims that the example's triples support, in [0, 1].

    The number of triples stated over that number plus everything unsupported: a phrase about the
    wrong entity, a triple stated twice, a name of which nothing is said, and any run of words that
    is neither a name, a phrase of a triple nor a connective in its place (two words weigh as much
    as one claim). A text that states no triple scores 0, the empty one too.
    """

    name = "faithfulness"

    def judge(self, reading: Reading, num_facts: int) -> float:
        """The share of the claims that are supported; 0 without any."""
        stated = len(reading.stated)
        return stated / (stated + reading.unsupported) if stated else 0.0


def _needed(name: str, example: ExampleLike, key: str) -> Any:
    value = example.metadata.get(key)
    if not value:
        raise ValueError(
            f"reward {name!r} needs metadata[{key!r}], {KEYS[key]}; the example with the prompt "
            f"{example.prompt[:60]!r} has none"
        )
    return value
