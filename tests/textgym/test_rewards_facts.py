from __future__ import annotations

import copy
import pickle

import pytest

from textgym.rewards import load_reward
from textgym.rewards.claims import Lexicon, Reading, split_sentences
from textgym.rewards.facts import Faithfulness, TripleCoverage
from textgym.tasks import Example

COVERAGE, FAITHFULNESS = TripleCoverage(), Faithfulness()

FACTS = [
    {
        "triple": ["Mara Lind", "born in", "Velmar"],
        "phrases": {
            "Mara Lind": ["was born in Velmar", "comes from Velmar"],
            "Velmar": ["is the birthplace of Mara Lind"],
        },
    },
    {
        "triple": ["Mara Lind", "works for", "Lind Glass"],
        "phrases": {
            "Mara Lind": ["works for Lind Glass", "is employed by Lind Glass"],
            "Lind Glass": ["employs Mara Lind"],
        },
    },
    {
        "triple": ["Lind Glass", "founded in", "1976"],
        "phrases": {"Lind Glass": ["was founded in 1976"]},
    },
    {
        "triple": ["Lind Glass", "led by", "Tom Berg"],
        "phrases": {
            "Lind Glass": ["is led by Tom Berg"],
            "Tom Berg": ["leads Lind Glass", "is the head of Lind Glass"],
        },
    },
]
ENTITIES = {
    "Mara Lind": {"pronouns": ["she"], "relative": "who"},
    "Velmar": {"pronouns": ["it", "the city"], "relative": "which"},
    "Lind Glass": {"pronouns": ["it", "the company"], "relative": "which"},
    "Tom Berg": {"pronouns": ["he"], "relative": "who"},
}
EXAMPLE = Example("prompt\n", (), {"facts": FACTS, "entities": ENTITIES})


def read(text: str) -> tuple[set[int], float]:
    reading = Reading(text, Lexicon(FACTS, ENTITIES))
    return reading.stated, reading.unsupported


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("Mara Lind was born in Velmar.", {0}),
        ("Mara Lind was born in Velmar and works for Lind Glass.", {0, 1}),
        ("Mara Lind, who was born in Velmar, works for Lind Glass.", {0, 1}),
        ("Mara Lind works for Lind Glass, which was founded in 1976, and comes from Velmar.",
         {0, 1, 2}),
        ("Mara Lind, born in Velmar, works for Lind Glass, which is led by Tom Berg and was "
         "founded in 1976.", {0, 1, 2, 3}),
        ("Velmar is the birthplace of Mara Lind. She is employed by Lind Glass.", {0, 1}),
        ("Lind Glass is led by Tom Berg. It was founded in 1976.", {2, 3}),
        ("Mara Lind was born in Velmar. She works for Lind Glass. The company is led by Tom "
         "Berg.", {0, 1, 3}),
        ("Mara Lind works for Lind Glass, led by Tom Berg.", {1, 3}),
        ("Lind Glass was founded in 1976 and led by Tom Berg.", {2, 3}),
        ("Lind Glass employs Mara Lind, born in Velmar.", {0, 1}),
        ("Lind Glass was founded in 1976, and Mara Lind comes from Velmar", {0, 2}),
    ],
)  # fmt: skip
def test_what_controlled_english_states(text: str, stated: set[int]) -> None:
    assert read(text) == (stated, 0)


@pytest.mark.parametrize(
    ("text", "stated", "unsupported"),
    [
        # about the wrong subject
        ("Tom Berg was born in Velmar.", set(), 1),
        ("Mara Lind works for Lind Glass, which was born in Velmar.", {1}, 1),
        ("Mara Lind works for Lind Glass, which was founded in 1976 and comes from Velmar.",
         {1, 2}, 1),
        ("Velmar is the birthplace of Mara Lind. It was founded in 1976.", {0}, 1),
        ("Lind Glass is led by Tom Berg. She was born in Velmar.", {3}, 1),
        ("Velmar is the birthplace of Tom Berg.", set(), 3),
        # said twice
        ("Mara Lind was born in Velmar. She was born in Velmar. She comes from Velmar.", {0}, 2),
        ("Tom Berg, the head of Lind Glass, leads Lind Glass.", {3}, 1),
        # wrong values
        ("Mara Lind was founded in 1976.", set(), 1),
        ("Mara Lind was born in Tarnby.", set(), 2),
        # names of which nothing is said
        ("Mara Lind. Velmar. Tom Berg.", set(), 3),
        ("Mara Lind was born in Velmar. Tom Berg.", {0}, 1),
        # connectives out of place, and no subject
        ("Mara Lind was born in Velmar and.", {0}, 1),
        ("Mara Lind was born in Velmar, which.", {0}, 1),
        ("was born in Velmar.", set(), 2.5),
        (". . .", set(), 3),
        # other words: at least one claim, and one for each two words
        ("Mara Lind was never born in Velmar.", set(), 3),
        ("Mara Lind never was born in Velmar.", set(), 3),
        ("Mara Lind, oddly, was born in Velmar.", {0}, 1),
        ("Mara Lind was born in Velmar. a b c d e f g h", {0}, 4),
    ],
)  # fmt: skip
def test_what_it_does_not_support(text: str, stated: set[int], unsupported: float) -> None:
    assert read(text) == (stated, unsupported)


@pytest.mark.parametrize(
    ("text", "stated", "unsupported"),
    [
        # a phrase or two that open the sentence, and the end of a phrase
        ("Born in Velmar, Mara Lind works for Lind Glass.", {0, 1}, 0),
        ("Born in Velmar and employed by Lind Glass, Mara Lind.", {0, 1}, 1),
        ("Mara Lind works for Lind Glass. Founded in 1976, the company is led by Tom Berg.",
         {1, 2, 3}, 0),
        ("The head of Lind Glass, Tom Berg leads Lind Glass.", {3}, 1),
        ("In 1976, Lind Glass was founded.", {2}, 0),
        ("In 1976, Lind Glass was founded and is led by Tom Berg.", {2, 3}, 0),
        # of the wrong subject
        ("Founded in 1976, Mara Lind works for Lind Glass.", {1}, 1),
        ("Born in Velmar, Tom Berg leads Lind Glass.", {3}, 1),
        ("In 1976, Mara Lind was founded.", set(), 1),
        ("Born in Tarnby, Mara Lind works for Lind Glass.", {1}, 1.5),
    ],
)  # fmt: skip
def test_phrases_that_open_a_sentence(text: str, stated: set[int], unsupported: float) -> None:
    assert read(text) == (stated, unsupported)


BOTH = "Mara Lind was born in Velmar. She works for Lind Glass."


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("It is not true that Mara Lind was born in Velmar. She works for Lind Glass.", {1}),
        ("No one believes that Mara Lind was born in Velmar.", set()),
        ("Maybe Mara Lind was born in Velmar.", set()),
        ("Mara Lind was born in Velmar, not.", set()),
        ("Mara Lind wasn't born in Velmar.", set()),
        ("Mara Lind was born in Velmar or works for Lind Glass.", set()),
        ("Tom Berg denied that Mara Lind was born in Velmar.", set()),
        ("Mara Lind was born in Velmar? She works for Lind Glass.", {1}),
        ("Mara Lind was born in Velmar? She works for Lind Glass?", set()),
        # said and denied
        (BOTH + " Mara Lind was never born in Velmar.", {1}),
        (BOTH + " It is false that Mara Lind works for Lind Glass.", {0}),
        (BOTH + " It is false that Tom Berg works for Lind Glass.", {0, 1}),
        ("Nobody says that Mara Lind was born in Velmar. " + BOTH, {1}),
        (BOTH + " Was Mara Lind born in Velmar?", {0, 1}),
        # all taken back
        (BOTH + " All of this is false.", set()),
        (BOTH + " All this is false, and Tom Berg leads Lind Glass.", set()),
        (BOTH + " Wrong.", set()),
        (BOTH + " Not so.", set()),
        (BOTH + " No one believes it.", set()),
        ("None of what follows is true. " + BOTH, set()),
        (BOTH + " She has no children.", {0, 1}),
        # said with another value
        (BOTH + " Mara Lind was born in Tarnby.", {1}),
        ("Mara Lind was born in Tarnby. " + BOTH, {1}),
        (BOTH + " Lind Glass was founded in 1976 and led by Ida Frank.", {0, 1, 2}),
        ("Lind Glass was founded in 1976. The company was founded in 1977.", set()),
        ("Lind Glass was founded in 1976. The company was founded in the year 1976.", {2}),
        (BOTH + " Tom Berg was born in Tarnby.", {0, 1}),
        (BOTH + " She was tired.", {0, 1}),
    ],
)  # fmt: skip
def test_denials_doubts_and_contradictions(text: str, stated: set[int]) -> None:
    found, unsupported = read(text)
    assert found == stated
    assert unsupported >= 1


def test_denying_names_are_names() -> None:
    facts = [
        {"triple": ["No Lies", "set in", "Velmar"], "phrases": {"No Lies": ["is set in Velmar"]}}
    ]
    entities = {"No Lies": {"pronouns": ["it"], "relative": "which"}}
    reading = Reading("No Lies is set in Velmar.", Lexicon(facts, entities))
    assert (reading.stated, reading.unsupported) == ({0}, 0)


def test_scores_by_hand() -> None:
    text = "Mara Lind was born in Velmar. Tom Berg was born in Velmar."
    assert COVERAGE.score(text, EXAMPLE) == 1 / 4
    assert FAITHFULNESS.score(text, EXAMPLE) == 1 / 2
    assert COVERAGE(["", text], [EXAMPLE] * 2).tolist() == [0, 0.25]


def test_merged_phrase_states_both_facts() -> None:
    facts = copy.deepcopy(FACTS)
    for i in (2, 3):
        facts[i]["phrases"]["Lind Glass"].append("was founded in 1976 by Tom Berg")
    reading = Reading("Lind Glass was founded in 1976 by Tom Berg.", Lexicon(facts, ENTITIES))
    assert reading.stated == {2, 3}
    assert reading.unsupported == 0


def test_sentences_and_numbers() -> None:
    assert split_sentences("A's 1,200 b. C, d") == [["A's", "1,200", "b"], ["C", ",", "d"]]
    assert split_sentences("A b? C.") == [["A", "b", "?"], ["C"]]
    assert split_sentences("") == []


@pytest.mark.parametrize(
    "text", ["", " ", "\n", ".", "and", "who which", "He she it.", "The the a of in was is."]
)
def test_saying_nothing_scores_nothing(text: str) -> None:
    assert COVERAGE.score(text, EXAMPLE) == 0
    assert FAITHFULNESS.score(text, EXAMPLE) == 0


def test_listing_everything_costs_faithfulness() -> None:
    phrases = sorted({p for fact in FACTS for ps in fact["phrases"].values() for p in ps})
    everything = " ".join(f"{name} {phrase}." for name in ENTITIES for phrase in phrases)
    assert COVERAGE.score(everything, EXAMPLE) == 1
    assert FAITHFULNESS.score(everything, EXAMPLE) < 0.15


def test_padding_and_repetition_cost_more_and_more() -> None:
    text = "Mara Lind was born in Velmar."
    padded = [FAITHFULNESS.score(text + " word" * n, EXAMPLE) for n in (0, 2, 4, 20)]
    assert padded == [1, 1 / 2, 1 / 3, 1 / 11]
    assert FAITHFULNESS.score(" ".join([text] * 5), EXAMPLE) == 1 / 5


@pytest.mark.parametrize("reward", [COVERAGE, FAITHFULNESS], ids=lambda r: r.name)
def test_stream_equals_batch_at_every_character(reward: TripleCoverage | Faithfulness) -> None:
    text = "Mara Lind, born in Velmar, works for Lind Glass, which is led by Tom Berg. It was"
    stream = reward.stream(EXAMPLE)
    for i, character in enumerate(text, 1):
        stream.append(character)
        assert stream.score() == reward([text[:i]], [EXAMPLE])[0]
    other = pickle.loads(pickle.dumps(copy.deepcopy(stream)))
    other.append(" founded in 1976.")
    assert other.score() == reward.score(text + " founded in 1976.", EXAMPLE) > 0
    assert stream.score() == reward.score(text, EXAMPLE)


@pytest.mark.parametrize("name", ["triple_coverage", "faithfulness"])
@pytest.mark.parametrize("key", ["facts", "entities"])
def test_missing_metadata_is_named(name: str, key: str) -> None:
    metadata = {k: v for k, v in EXAMPLE.metadata.items() if k != key}
    with pytest.raises(ValueError, match=rf"reward '{name}' needs metadata\['{key}'\]"):
        load_reward(name)(["text"], [Example("p\n", (), metadata)])
