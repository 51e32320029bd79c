"""Sentiment, diversity, non-repetition and fluency: hand-computed values and what they refuse."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass, field
from typing import Any

import pytest

from textgym.rewards import load_reward
from textgym.rewards.diversity import Diversity, NonRepetition
from textgym.rewards.fluency import fluent_tokens, names_in, sentences_of, table
from textgym.rewards.sentiment import Sentiment, lexicon, valence


@dataclass(frozen=True)
class Example:
    prompt: str = "Write a happy story with: key.\nYesterday, Mara went to the park.\n"
    references: tuple[str, ...] = ("She was delighted to find a small key, and she laughed.",)
    metadata: dict[str, Any] = field(default_factory=dict)


def asked(sentiment: object, **more: Any) -> Example:
    return Example(metadata={"sentiment": sentiment, **more})


def score(name: str, text: str, example: Example) -> float:
    return float(load_reward(name)([text], [example])[0])


# --- sentiment


def test_lexicon_has_hundreds_of_words_and_no_word_twice() -> None:
    signs = dict(lexicon().values())
    good = sum(sign > 0 for sign in signs.values())
    assert 150 < good < 250
    assert 150 < len(signs) - good < 250
    assert len(signs) == len({number for number, _ in lexicon().values()})
    assert all(form == form.casefold() for form in lexicon())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the table stood in the room", 0.0),
        ("she laughed", 0.5),
        ("she laughed and laughs and was laughing", 0.5),
        ("she laughed and smiled", 1.0),
        ("she laughed and cried", 0.0),
        ("she laughed, smiled and sang, but she was tired", 0.5),
        ("it was not a good day", -0.5),
        ("it wasn't good", -0.5),
        ("she was not sad but happy", 1.0),
        ("nothing but sorrow was left", -0.5),
        ("no, it was good", 0.5),
        ("never had she been so happy", 0.5),
        ("She SMILED, and it was Wonderful!", 1.0),
    ],
)
def test_valence_by_hand(text: str, expected: float) -> None:
    assert valence(text) == expected


@pytest.mark.parametrize(
    ("sentiment", "expected"),
    [("happy", 0.5), ("sad", 0.0), ("neutral", 0.5), (0.5, 1.0), (1, 0.5), (0.25, 0.75)],
)
def test_distance_to_what_is_asked(sentiment: object, expected: float) -> None:
    assert score("sentiment", "in the end she laughed again", asked(sentiment)) == expected


def test_short_and_dense_texts_lose() -> None:
    happy = asked("happy")
    assert score("sentiment", "", happy) == 0.0
    assert score("sentiment", "... !!", happy) == 0.0
    assert score("sentiment", "she laughed and smiled", happy) == pytest.approx(4 / 6)
    assert score("sentiment", "good great lovely happy glad nice", happy) == pytest.approx(1 / 3)
    assert score("sentiment", "good good good good good good", happy) == pytest.approx(1 / 6)
    story = "She found the old key at last and laughed, and her friendly aunt was glad."
    assert score("sentiment", story, happy) == 1.0


def test_a_mood_that_turns_is_scored_run_by_run() -> None:
    turn = asked(["sad", "happy"])
    sad, happy = "She cried and was upset.", "Then she laughed and was glad."
    assert score("sentiment", f"{sad} {happy}", turn) == pytest.approx((5 / 6 + 1.0) / 2)
    assert score("sentiment", f"{happy} {sad}", turn) == 0.0
    assert score("sentiment", f"{sad} {sad} {happy} {happy}", turn) == pytest.approx(11 / 12)
    assert score("sentiment", f"{happy} {happy}", turn) == 0.5
    assert score("sentiment", happy, turn) == 0.5
    assert score("sentiment", "", turn) == 0.0


@pytest.mark.parametrize("sentiment", ["joyful", 2.0, float("nan"), [], ["happy", "odd"], True, {}])
def test_sentiments_that_are_none_are_refused(sentiment: object) -> None:
    message = r"reward 'sentiment': metadata\[\"sentiment\"\] must be one of happy, neutral, sad"
    with pytest.raises(ValueError, match=message):
        score("sentiment", "she laughed", asked(sentiment))
    with pytest.raises(ValueError, match=message):
        Sentiment().stream(asked(sentiment))


def test_without_a_sentiment_the_reference_tells_it() -> None:
    assert Sentiment().asked(Example()) == (1.0,)
    with pytest.raises(ValueError, match=r"'sentiment' compares with references.*has none"):
        score("sentiment", "she laughed", Example(references=()))


# --- diversity and repetition


def test_distinct_shares_by_hand() -> None:
    # 4 of 6 words and 4 of 5 pairs are different.
    text = "a b a b c d"
    exact = Diversity(enough=(1.0, 1.0))
    assert exact([text], [Example()])[0] == pytest.approx((4 / 6 + 4 / 5) / 2)
    assert score("diversity", text, Example()) == pytest.approx((1.0 + 0.8 / 0.9) / 2)
    assert score("diversity", "one two three", Example()) == pytest.approx(0.5)
    assert score("diversity", "one", Example()) == pytest.approx(1 / 12)
    assert score("diversity", "", Example()) == 0.0
    assert score("diversity", "no " * 50, Example()) < 0.06


def test_fresh_ngrams_by_hand() -> None:
    example = Example(prompt="Mara went to the park.\n")
    # Of five trigrams, "to the park" is the prompt's.
    assert score("non_repetition", "She ran to the park alone.", example) == pytest.approx(0.75)
    # "a b c", "b c a", "c a b" and two repeats.
    assert score("non_repetition", "a b c A B, C a", example) == pytest.approx(3 / 5)
    assert NonRepetition(n=1)(["a b c a b c"], [example])[0] == pytest.approx(0.5)
    assert score("non_repetition", "brand new words", example) == pytest.approx(0.5)
    assert score("non_repetition", "two words", example) == 0.0
    assert score("non_repetition", "", example) == 0.0
    assert score("non_repetition", example.prompt * 3, example) < 0.2


def test_options_of_diversity_are_checked() -> None:
    with pytest.raises(ValueError, match=r"must be in \(0, 1\]"):
        Diversity(enough=(0.0, 1.0))
    with pytest.raises(ValueError, match="diversity: min_words must be at least 1, got 0"):
        Diversity(min_words=0)
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        NonRepetition(n=0)
    assert NonRepetition(n=4).signature == "non_repetition(n=4, words>=6)"


# --- fluency


def test_names_of_a_prompt() -> None:
    assert names_in(Example().prompt) == {"Mara"}
    assert names_in("On Monday, Tom and Eva ran.\nStop") == {"Tom", "Eva"}


def test_sentences_of_a_text() -> None:
    text = "Mara smiled. Then her key fell, and an old ring"
    first, second = sentences_of(text, frozenset({"Mara"}), table().nouns)
    assert first.symbols == ("*", "smiled", ".")
    assert list(first.trigrams()) == [
        ("^", "*", "smiled"), ("*", "smiled", "."), ("smiled", ".", "$")
    ]  # fmt: skip
    assert second.symbols == ("Then", "her:thing", "fell", ",", "and", "an", "old", "treasure")
    assert second.tokens[1] == ("her", "key")
    assert list(second.clauses()) == [
        (("her:thing", "fell"), 4), (("and", "an", "old", "treasure"), 4)
    ]  # fmt: skip
    assert list(sentences_of("", frozenset(), {})) == []


def test_table_is_of_the_grammar() -> None:
    known = table()
    assert 5_000 < len(known.trigrams) < 20_000
    assert 2_000 < len(known.clauses) < 5_000
    assert {("&", "*", "read"), (",", "and", "she"), ("laughed", ".", "$")} <= known.trigrams
    assert (",", "she", "and") not in known.trigrams
    assert {("and", "she", "laughed"), ("she", "lost", "her:toy")} <= known.clauses
    assert known.nouns["key"] == known.nouns["a small key"] == "thing"
    assert "an small key" not in known.nouns


def test_tokens_out_of_context_are_marked() -> None:
    text = "She was delighted to find key small a, and she laughed."
    marked = " ".join(fluent_tokens(text, Example()))
    assert marked == "She was delighted _ _ _ _ _ _ _ she laughed ."


def test_a_context_counts_once() -> None:
    text = "She lost her key. She lost her ring. She lost her key."
    marked = "She lost her key . She lost her ring . She lost _ _ _"
    assert " ".join(fluent_tokens(text, Example())) == marked
    assert score("fluency", text, Example()) == pytest.approx(12 / 15)


def test_known_trigrams_count_half_outside_known_clauses() -> None:
    text = "She found a small key by a sad mistake, and she laughed."
    example = asked("happy", keywords=["key"])
    marked = "She found a small key by a sad mistake , and she laughed ."
    assert " ".join(fluent_tokens(text, example)) == marked
    marked = "_ _ _ _ _ _ _ _ _ _ and she laughed ."
    assert " ".join(fluent_tokens(text, example, whole_clauses=True)) == marked
    assert score("fluency", text, example) == pytest.approx((1 + 4 / 14) / 2)
    assert score("fluent_coverage", text, example) == 0.5


def test_pronouns_of_someone_else_are_unknown() -> None:
    text = "He was delighted to find a small key, and he laughed."
    assert score("fluency", text, Example()) == pytest.approx(11 / 13)
    man = Example(references=("He was glad.",))
    assert score("fluency", text, man) == 1.0
    nobody = Example(references=())
    assert score("fluency", text, nobody) == 1.0


def test_other_names_are_unknown() -> None:
    text = "Then {} found a small key by a lucky chance, and she laughed."
    right = score("fluency", text.format("Mara"), Example())
    assert score("fluency", text.format("Nora"), Example()) < right


def test_keywords_and_moods_count_only_in_context() -> None:
    example = asked("happy", keywords=["key", "boat"])
    listed = "key, boat. happy, glad, key boat happy laughed smiled"
    assert score("coverage", listed, example) == 1.0
    assert score("fluent_coverage", listed, example) == 0.0
    assert score("fluent_sentiment", listed, example) == 0.0
    told = "She was delighted to find a small key, and she laughed."
    assert score("fluent_coverage", told, example) == 0.5
    assert score("fluent_sentiment", told, example) == 1.0


@pytest.mark.parametrize("name", ["fluency", "fluent_coverage", "fluent_sentiment"])
def test_fluency_rewards_can_be_copied_and_streamed(name: str) -> None:
    reward = pickle.loads(pickle.dumps(copy.deepcopy(load_reward(name))))
    example = asked("happy", keywords=["key"])
    stream, text = reward.stream(example), ""
    for chunk in ["She ", "was del", "ighted to find", " a key, and", " she laughed", "."]:
        stream.append(chunk)
        text += chunk
        assert stream.score() == reward([text], [example])[0]
    assert stream.score() > 0.99
