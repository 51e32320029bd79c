"""Arithmetic: word problems, every way to work them out, and rewards that cannot be cheated."""

from __future__ import annotations

import copy
import pickle
import re
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from textgym.rewards import load_reward
from textgym.rewards.answers import Answer, AnswerFormat, Working, parse
from textgym.tasks.arithmetic import ArithmeticTask
from textgym.tasks.arithmetic.more_kinds import KINDS
from textgym.tasks.arithmetic.solve import Step, Term, ways, written
from textgym.tasks.arithmetic.teller import LIMITS
from textgym.tasks.base import SPLITS, Example
from textgym.testing import check_reward, check_task
from textgym.tokenizers import load_tokenizer

LEVELS = ArithmeticTask.levels
STEPS = {"easy": 1, "medium": 2, "hard": 3}
OPERATORS = {"easy": "+-", "medium": "+-*", "hard": "+-*/"}
EQUATION = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)\.")
WEIGHTS = {"answer": 0.6, "working": 0.3, "answer_format": 0.1}


def examples(level: str, count: int) -> list[Example]:
    task = ArithmeticTask(level=level)
    return [task.example(i) for i in range(count)]


def default_scores(texts: list[str], of: list[Example]) -> np.ndarray:
    rewards = {Answer(): 0.6, Working(): 0.3, AnswerFormat(): 0.1}
    return sum(weight * reward(texts, of) for reward, weight in rewards.items())


def numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


# --- working it out


def as_text(terms: list[Term], shares: int = 1) -> list[str]:
    return [" ".join(step.canonical() for step in way) for way in ways(terms, shares)]


def test_ways_by_hand() -> None:
    assert as_text([Term(9), Term(4, 1, -1)]) == ["9-4=5"]
    assert as_text([Term(4, 3), Term(5)]) == ["3*4=12 5+12=17"]
    assert as_text([Term(10), Term(3, 1, -1), Term(4, 1, -1)]) == [
        "10-3=7 7-4=3",
        "10-4=6 6-3=3",
        "3+4=7 10-7=3",
    ]
    # 5 - 5 would be 0, and no way needs a number below 1.
    assert as_text([Term(5), Term(3), Term(5, 1, -1)]) == ["3+5=8 8-5=3", "5-3=2 5-2=3"]
    assert as_text([Term(40), Term(6, 2, -1)], shares=4) == ["2*6=12 40-12=28 28/4=7"]


def test_a_product_that_is_needed_twice_is_worked_out_once() -> None:
    first = as_text([Term(5, 3), Term(2), Term(5, 3)])[0]
    assert first == "3*5=15 2+15=17 15+17=32"


def test_written_and_swapped() -> None:
    (way,) = ways([Term(4, 3), Term(5)])
    assert written(way) == "Working: 3 * 4 = 12. 12 + 5 = 17. Answer: 17"
    assert Step(3, "*", 4, 12).swapped() == Step(4, "*", 3, 12)
    assert Step(7, "-", 4, 3).swapped() == Step(7, "-", 4, 3)


# --- the task


@pytest.mark.parametrize("level", LEVELS)
def test_examples_depend_on_seed_and_index_alone(level: str) -> None:
    first = [ArithmeticTask(level=level, seed=5).example(i) for i in range(100)]
    task = pickle.loads(pickle.dumps(copy.deepcopy(ArithmeticTask(level=level, seed=5))))
    assert [task.example(i) for i in reversed(range(100))][::-1] == first
    other = {ArithmeticTask(level=level, seed=6).example(i).prompt for i in range(100)}
    assert len(other & {example.prompt for example in first}) < 3


@pytest.mark.parametrize("level", LEVELS)
def test_splits_share_no_prompt(level: str) -> None:
    task = ArithmeticTask(level=level)
    prompts = [{task.example(i, split).prompt for i in range(500)} for split in SPLITS]
    assert not prompts[0] & prompts[1]
    assert not prompts[0] & prompts[2]
    assert not prompts[1] & prompts[2]


@pytest.mark.parametrize("level", LEVELS)
def test_more_than_a_million_prompts_by_recurrence(level: str) -> None:
    count = 10_000
    distinct = len({example.prompt for example in examples(level, count)})
    # With a million equally likely prompts 50 of 10,000 would recur.
    assert count - distinct < 50


@pytest.mark.parametrize("level", LEVELS)
def test_references_are_true_and_lead_to_the_answer(level: str) -> None:
    for example in examples(level, 1000):
        for reference in example.references:
            known = Counter(numbers(example.prompt))
            equations = EQUATION.findall(reference)
            assert len(equations) == STEPS[level]
            for left, operator, right, result in equations:
                a, b, c = int(left), int(right), int(result)
                assert operator in OPERATORS[level]
                assert c == {"+": a + b, "-": a - b, "*": a * b, "/": a / max(b, 1)}[operator]
                assert a in known
                assert b in known
                assert min(a, b, c) >= 1
                assert max(a, b, c) <= LIMITS[level]
                known[c] += 1
            assert reference.endswith(f"= {c}. Answer: {c}")
            assert example.metadata["answer"] == c
        assert len(set(example.references)) == len(example.references) <= 4


@pytest.mark.parametrize("level", LEVELS)
def test_only_hard_stories_hold_numbers_that_do_not_matter(level: str) -> None:
    for example in examples(level, 1000):
        equations = EQUATION.findall(example.references[0])
        used = Counter(int(n) for left, _, right, _ in equations for n in (left, right))
        # An amount that two people share in may be used twice.
        idle = set(numbers(example.prompt)) - set(used)
        extra = len(numbers(example.prompt)) - sum(used.values()) + STEPS[level] - 1
        if level == "hard":
            assert len(idle) <= 2
            assert extra in (0, 1, 2)
        else:
            assert not idle
            assert extra in (0, -1)


COMPARISON = re.compile(
    r"\w+ \w+ (\d+) [a-z ]+\. (\w+) \w+ (\d+) (more|fewer|times as many) [a-z ]+ (?:than|as) \w+\."
    r" How many [a-z ]+ did (they|\2) "
)


@pytest.mark.parametrize("level", ["easy", "medium"])
def test_comparisons_read_again_give_the_same_answer(level: str) -> None:
    read = Counter()
    for example in examples(level, 2000):
        match = COMPARISON.match(example.prompt)
        if match:
            a, b = int(match[1]), int(match[3])
            other = {"more": a + b, "fewer": a - b, "times as many": a * b}[match[4]]
            assert example.metadata["answer"] == other + (a if match[5] == "they" else 0)
            read[match[4], match[5] == "they"] += 1
    kinds = ["more", "fewer"] if level == "easy" else ["more", "fewer", "times as many"]
    assert min(read[kind, level == "medium"] for kind in kinds) > 50


@pytest.mark.parametrize("level", LEVELS)
def test_prompts_are_clean_english(level: str) -> None:
    for example in examples(level, 2000):
        text = example.prompt.removesuffix("\n")
        assert text.isascii()
        assert not re.search(r"[{}]|  | [.,?]|\b(\w+) \1\b|\ban? [0-9]|\b[01] ", text), text
        assert text.count("?") == 1
        assert re.fullmatch(r"([A-Z][^.?]*[.?] )*[A-Z][^.?]*[.?]", text), text
        assert all(text[number.start() - 1] == " " for number in re.finditer(r"\d+", text))


def test_sentences_have_the_numbers_that_they_are_given() -> None:
    for kind in KINDS:
        assert all("{a}" in sentence for sentence in kind.starts)
        assert all("{x}" in sentence for sentence in kind.ups + kind.downs)
        for sentence in kind.products + kind.down_products:
            assert "{k}" in sentence
            assert "{m}" in sentence
        assert all("{d}" in share.sentence for share in kind.shares)
        assert all("{y}" in aside or "{z}" in aside for aside in kind.asides)
        assert kind.asks or (kind.lefts and not kind.ups)


@pytest.mark.parametrize("level", LEVELS)
def test_limits_hold(level: str) -> None:
    task, tokenizer = ArithmeticTask(level=level), load_tokenizer()
    for example in examples(level, 1000):
        assert len(tokenizer.encode(example.prompt)) <= task.max_prompt_tokens
        for reference in example.references:
            assert len(tokenizer.encode(reference)) + 1 <= task.max_new_tokens


# --- scores


@pytest.mark.parametrize("level", LEVELS)
def test_expert_and_every_reference_score_one(level: str) -> None:
    task, shown = ArithmeticTask(level=level), examples(level, 300)
    pairs = [(text, example) for example in shown for text in example.references]
    texts, of = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    assert default_scores(texts, of) == pytest.approx(1.0)
    assert default_scores([task.expert(example) for example in shown], shown) == pytest.approx(1.0)


@pytest.mark.parametrize(("level", "share"), [("easy", 0.08), ("medium", 0.04), ("hard", 0.09)])
def test_one_number_for_all_is_seldom_right(level: str, share: float) -> None:
    shown = examples(level, 3000)
    ((number, _),) = Counter(example.metadata["answer"] for example in shown).most_common(1)
    texts = [f"Answer: {number}"] * len(shown)
    assert Answer()(texts, shown).mean() < share
    assert default_scores(texts, shown).mean() < 0.11
    texts = [f"Working: {number - 1} + 1 = {number}. Answer: {number}"] * len(shown)
    assert default_scores(texts, shown).mean() < 0.16


@pytest.mark.parametrize("level", LEVELS)
def test_cheap_tricks_do_not_pay(level: str) -> None:
    shown = examples(level, 300)

    def mean(text) -> float:
        return float(default_scores([text(example) for example in shown], shown).mean())

    assert mean(lambda e: "") == 0.0
    assert mean(lambda e: e.prompt) == 0.0
    assert mean(lambda e: "Working: Answer:") == 0.0
    assert mean(lambda e: " ".join(f"Answer: {n}" for n in range(121))) == 0.0
    assert mean(lambda e: "Answer: " + " ".join(str(n) for n in range(121))) == 0.0
    assert mean(lambda e: e.references[0] + " " + e.references[0]) < 0.35
    assert mean(lambda e: e.references[0] + " Answer: 3") < 0.4
    every = " ".join(f"{a} + {b} = {a + b}." for a in range(2, 20) for b in range(2, 20))
    assert mean(lambda e: f"Working: {every} Answer: 7") < 0.13
    padded = mean(lambda e: e.references[0].replace(". ", ". well. so. "))
    assert padded < 0.85


ONE = {"answer": 17, "solutions": (("3*4=12", "5+12=17"),)}
TWO = {"answer": 3, "solutions": (("10-3=7", "7-4=3"), ("3+4=7", "10-7=3"))}


def score(reward, text: str, metadata: dict) -> float:
    example = SimpleNamespace(prompt="p", references=(), metadata=metadata)
    stream = reward.stream(example)
    for character in text:
        stream.append(character)
    value = float(reward([text], [example])[0])
    assert stream.score() == value
    return value


@pytest.mark.parametrize(
    ("text", "answer", "working", "form"),
    [
        ("Working: 3 * 4 = 12. 12 + 5 = 17. Answer: 17", 1, 1, 1),
        ("4*3=12. 5+12=17. Answer: 17.\n", 1, 1, 1),
        ("Answer: 17", 1, 0, 0.5),
        ("Answer: 18", 0, 0, 0.5),
        ("Working: 3 * 4 = 12.", 0, 1 / 2, 1 / 4),
        ("Working: 3 * 4 = 12. Answer: 17", 1, 1 / 2, 3 / 4),
        ("Working: 3 * 4 = 12. 12 + 5 = 18. Answer: 17", 1, 1 / 2, 1),
        ("Working: 3 * 4 = 12. 12 + 5 = 17. 1 + 1 = 2. Answer: 17", 1, 2 / 3, 5 / 6),
        ("Working: 3 * 4 = 12. 3 * 4 = 12. 12 + 5 = 17. Answer: 17", 1, 2 / 3, 5 / 6),
        ("Working: first 3 * 4 = 12. 12 + 5 = 17. Answer: 17", 1, 1 / 2, 3 / 4),
        ("Working: 3 * 4 = 12. 12 + 5 = 17. Answer: 17 18", 0, 2 / 3, 1 / 3),
        ("Working: 3 * 4 = 12. 12 + 5 = 17. Answer: 17 Answer: 17", 0, 1 / 2, 1 / 4),
        ("Working: 3 * 4 = 12. 12 + 5 = 17", 0, 1, 1 / 2),
        ("17", 0, 0, 0),
        ("", 0, 0, 0),
    ],
)
def test_rewards_by_hand(text: str, answer: float, working: float, form: float) -> None:
    assert score(Answer(), text, ONE) == answer
    assert score(Working(), text, ONE) == pytest.approx(working)
    assert score(AnswerFormat(), text, ONE) == pytest.approx(form)


def test_the_best_way_counts_and_ways_do_not_mix() -> None:
    assert score(Working(), "Working: 4 + 3 = 7. 10 - 7 = 3. Answer: 3", TWO) == 1.0
    assert score(Working(), "Working: 10 - 3 = 7. 10 - 7 = 3. Answer: 3", TWO) == 0.5
    assert score(Working(), "Working: 3 - 10 = 7. 7 - 4 = 3. Answer: 3", TWO) == 0.5


def test_parse_takes_any_text() -> None:
    assert parse("Answer: -5").answer == -5
    assert parse("Answer: 007").answer == 7
    assert parse("Answer: " + "9" * 5000).answer is None
    assert parse("Answer: ٣").answer is None
    assert parse("answer: 5").answer is None
    assert parse("....").parts == 0


@pytest.mark.parametrize(
    ("name", "metadata", "key"),
    [
        ("answer", {}, "answer"),
        ("answer", {"answer": "17"}, "answer"),
        ("working", {"answer": 17}, "solutions"),
        ("working", {"solutions": ()}, "solutions"),
        ("answer_format", {"solutions": ("3*4=12",)}, "solutions"),
    ],
)
def test_rewards_say_what_is_missing(name: str, metadata: dict, key: str) -> None:
    example = SimpleNamespace(prompt="p", references=(), metadata=metadata)
    with pytest.raises(ValueError, match=rf"'{name}' needs metadata\[\"{key}\"\]"):
        load_reward(name)(["x"], [example])


def test_rewards_combine_by_name() -> None:
    example = examples("medium", 1)[0]
    reward = load_reward(WEIGHTS)
    assert reward([example.references[0]], [example])[0] == pytest.approx(1.0)
    assert set(reward.components(["x"], [example])) == set(WEIGHTS)


@pytest.mark.parametrize("level", LEVELS)
def test_task_and_rewards_keep_the_contract(level: str) -> None:
    check_task("arithmetic", level=level, samples=30)
    for name in (*WEIGHTS, WEIGHTS):
        check_reward(name, examples(level, 5))
