"""Matching, constraint and control rewards: values worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from textgym.rewards.constraints import Coverage, Length
from textgym.rewards.controls import Constant, Random
from textgym.rewards.matching import ExactMatch, TokenAccuracy


def score(reward, text, *references, **metadata):
    example = SimpleNamespace(prompt="p", references=references, metadata=metadata)
    value = reward([text], [example])[0]
    stream = reward.stream(example)
    for character in text:
        stream.append(character)
    assert stream.score() == value
    return value


@pytest.mark.parametrize(
    ("text", "references", "expected"),
    [
        ("a b", ["a b"], 1.0),
        (" a b\n", ["\ta b "], 1.0),
        ("a  b", ["a b"], 0.0),
        ("a", ["a b"], 0.0),
        ("a b c", ["a b"], 0.0),
        ("A b", ["a b"], 0.0),
        ("x", ["a", "x"], 1.0),
        ("", [" "], 1.0),
        ("a", [""], 0.0),
        ("ab", ["a", "ab", "abc"], 1.0),
    ],
)
def test_exact_match(text, references, expected):
    assert score(ExactMatch(), text, *references) == expected


def test_exact_match_is_lost_and_never_comes_back():
    example = SimpleNamespace(prompt="p", references=("ab",), metadata={})
    stream = ExactMatch().stream(example)
    scores = []
    for chunk in (" ", "a", "b", "\n", "b", "", "ab"):
        stream.append(chunk)
        scores.append(stream.score())
    assert scores == [0, 0, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("text", "references", "expected"),
    [
        ("a b c", ["a b c"], 1.0),
        ("a x c", ["a b c"], 2 / 3),
        ("b c", ["a b c"], 0.0),
        ("a b c d", ["a b"], 2 / 4),
        ("a", ["a b c d"], 1 / 4),
        ("a y", ["a x", "b y z"], 1 / 2),
        ("", ["a"], 0.0),
        ("", [" "], 1.0),
    ],
)
def test_token_accuracy(text, references, expected):
    assert score(TokenAccuracy(), text, *references) == expected


@pytest.mark.parametrize(
    ("reward", "text", "expected"),
    [
        (Length(4), "a b", 0.5),
        (Length(4), "a b c d", 1.0),
        (Length(4), "a b c d e f g h", 0.5),
        (Length(4, penalise_longer=False), "a b c d e f g h", 1.0),
        (Length(4, penalise_longer=False), "a b", 0.5),
        (Length(0), "", 1.0),
        (Length(0), "a", 0.0),
        (Length(0, penalise_longer=False), "a", 1.0),
        (Length(), "a b", 2 / 3),  # references of 3 and 10 words: the nearer one counts
        (Length(), "a b c d e f g h i", 9 / 10),
        (Length(penalise_longer=False), "a b", 2 / 3),
        (Length(penalise_longer=False), "a b c d e", 1.0),
        (Length(4), " \n", 0.0),
    ],
)
def test_length(reward, text, expected):
    assert score(reward, text, "x y z", "x " * 10) == expected


def test_length_with_a_target_needs_no_reference():
    assert score(Length(2), "a b") == 1.0
    with pytest.raises(ValueError, match="at least 0 words, got -1"):
        Length(-1)


@pytest.mark.parametrize(
    ("text", "keywords", "expected"),
    [
        ("The CAT ran", ["cat", "dog"], 1 / 2),
        ("The CAT ran", ["cat", "Cat", "dog"], 1 / 2),  # keywords are case-folded too
        ("concatenate", ["cat"], 0.0),
        ("a new york taxi", ["New York", "york new"], 1 / 2),
        ("new, york", ["New York"], 1.0),
        ("newyork", ["New York"], 0.0),
        ("STRASSE", ["straße"], 1.0),
        ("anything", [], 1.0),
        ("", ["cat"], 0.0),
    ],
)
def test_coverage_of_named_keywords(text, keywords, expected):
    assert score(Coverage(), text, keywords=keywords) == expected


def test_coverage_of_a_reference():
    # Of "the quick brown fox", "quick" and "brown" have at least four characters.
    assert score(Coverage(), "brown the fox", "the quick brown fox", "other words") == 0.5
    assert score(Coverage(), "brown, quick!", "the quick brown fox") == 1.0
    assert score(Coverage(), "x", "a b c") == 1.0


def test_coverage_can_fall_while_a_word_grows():
    example = SimpleNamespace(prompt="p", references=(), metadata={"keywords": ["cat"]})
    stream = Coverage().stream(example)
    scores = []
    for chunk in ("ca", "t", "s", " cat", " s"):
        stream.append(chunk)
        scores.append(stream.score())
    assert scores == [0, 1, 0, 1, 1]


@pytest.mark.parametrize("keywords", ["cat", [1, 2]])
def test_keywords_must_be_strings(keywords):
    with pytest.raises(TypeError, match="must be a sequence of strings"):
        score(Coverage(), "a", keywords=keywords)


def test_constant():
    assert score(Constant(), "anything") == 1.0
    assert score(Constant(0.25), "") == 0.25
    assert Constant(0.25).signature == "constant(value=0.25)"
    for value in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"in \[0, 1\]"):
            Constant(value)


def test_random_is_fixed_by_seed_and_text():
    assert score(Random(), "a b") == score(Random(0), "a b") != score(Random(1), "a b")
    assert score(Random(), "a b") != score(Random(), "a c")
    assert score(Random(), "\ud800") == score(Random(), "\ud800")  # a lone surrogate is a text too
    # Pinned, so that a change of the formula does not go unnoticed.
    assert score(Random(), "") == pytest.approx(0.6524484863740322, abs=1e-12)
    assert score(Random(7), "the cat 😀") == pytest.approx(0.6031994760867894, abs=1e-12)


def test_random_looks_uniform_and_independent_of_the_seed():
    texts = [f"text {number}" for number in range(10_000)]
    examples = [SimpleNamespace(prompt="p", references=(), metadata={})] * len(texts)
    first, second = Random(0)(texts, examples), Random(1)(texts, examples)
    assert first.min() >= 0.0
    assert first.max() < 1.0
    # Standard errors: 0.0029 of a mean, 0.01 of a correlation, 30 of a bin of 1,000.
    assert abs(first.mean() - 0.5) < 0.012
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.04
    assert np.abs(np.histogram(first, bins=10, range=(0, 1))[0] - 1000).max() < 130
