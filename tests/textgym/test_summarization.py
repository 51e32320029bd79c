from __future__ import annotations

import copy
import json
import pickle
import re
import time

import numpy as np
import pytest

from textgym.rewards.rouge import RougeL
from textgym.rewards.summary import KeyFacts
from textgym.tasks.base import SPLITS, Example
from textgym.tasks.draws import Draws
from textgym.tasks.summarization import SummarizationTask
from textgym.tasks.summarization.report import LENGTHS, merged
from textgym.tasks.summarization.weather import HOURS, degrees
from textgym.tasks.summarization.words import CONDITIONS, DAYS, NUMBERS, VALUES
from textgym.testing import check_task
from textgym.tokenizers import load_tokenizer

LEVELS = SummarizationTask.levels
KINDS = {"match", "meeting", "weather", "sales"}
REWARD = KeyFacts()


def examples(level: str, count: int = 300, split: str = "train") -> list[Example]:
    task = SummarizationTask(level=level)
    return [task.example(i, split) for i in range(count)]


def of_kind(kind: str, level: str = "medium", count: int = 300) -> list[Example]:
    return [each for each in examples(level, count) if each.metadata["truth"]["kind"] == kind]


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=\.)\s", text.strip())


# --- the task


@pytest.mark.parametrize("level", LEVELS)
def test_examples_depend_on_seed_and_index_alone(level: str) -> None:
    task = SummarizationTask(level=level, seed=5)
    first = [task.example(i) for i in range(100)]
    twin = pickle.loads(pickle.dumps(copy.deepcopy(task)))
    assert [twin.example(i) for i in reversed(range(100))][::-1] == first
    other = {SummarizationTask(level=level, seed=6).example(i).prompt for i in range(100)}
    assert not other & {example.prompt for example in first}


@pytest.mark.parametrize("level", LEVELS)
def test_splits_share_no_prompt(level: str) -> None:
    prompts = [{each.prompt for each in examples(level, 100, split)} for split in SPLITS]
    assert not prompts[0] & prompts[1]
    assert not prompts[0] & prompts[2]
    assert not prompts[1] & prompts[2]


@pytest.mark.parametrize("level", LEVELS)
def test_there_are_more_than_a_million_prompts(level: str) -> None:
    draws = 8_000
    distinct = len({each.prompt for each in examples(level, draws)})
    assert draws**2 / (2 * max(draws - distinct, 1)) > 10**6


@pytest.mark.parametrize("level", LEVELS)
def test_reports_have_the_level_s_length_and_read_as_sentences(level: str) -> None:
    kinds = set()
    for example in examples(level):
        kinds.add(example.metadata["truth"]["kind"])
        assert example.prompt.endswith(".\n")
        fewest, most = LENGTHS[level]
        assert fewest <= len(sentences(example.prompt)) <= most
        for text in (example.prompt, *example.references):
            assert text.isascii()
            assert not re.search(r"[{}]|  | [,.;]|None|\b1 degrees|\b(\w+) \1\b", text), text
            assert not re.search(r"\ba [aeio]|\ban [^aeioh]|\ban h(?!our)", text), text
            assert all(re.fullmatch(r"[A-Z0-9].*\.", each) for each in sentences(text)), text
        assert 3 <= len(set(example.references)) == len(example.references) <= 6
    assert kinds == KINDS


@pytest.mark.parametrize("level", LEVELS)
def test_texts_fit_the_limits(level: str) -> None:
    task, tokenizer = SummarizationTask(level=level), load_tokenizer()
    for example in examples(level):
        assert len(tokenizer.encode(example.prompt)) <= task.max_prompt_tokens
        for reference in example.references:
            assert len(tokenizer.encode(reference)) + 1 <= task.max_new_tokens


@pytest.mark.parametrize("level", LEVELS)
def test_every_reference_scores_fully_and_the_expert_is_the_first(level: str) -> None:
    task, rouge = SummarizationTask(level=level), RougeL()
    for example in examples(level):
        for reference in example.references:
            assert REWARD.score(reference, example) == 1.0, reference
            assert rouge.score(reference, example) == 1.0
        assert task.expert(example) == example.references[0]


def test_no_distractor_tells_the_truth_by_accident() -> None:
    """What a summary may not mention (a value of the world) is never part of a reference."""
    values = set(VALUES)
    for example in examples("hard"):
        known = set(re.findall(r"\w+", json.dumps(example.metadata["key_facts"]).lower()))
        for reference in example.references:
            assert values & set(re.findall(r"[a-z]+", reference.lower())) <= known


@pytest.mark.parametrize("level", LEVELS)
def test_examples_are_drawn_fast(level: str) -> None:
    task = SummarizationTask(level=level)
    best = 0.0
    for _ in range(5):
        start = time.process_time()
        for i in range(400):
            task.example(i)
        best = max(best, 400 / (time.process_time() - start))
    assert best > 5_000


def test_merging_keeps_both_orders() -> None:
    for seed in range(50):
        result = merged(Draws(np.random.default_rng(seed)), "abc", "xyz")
        assert [each for each in result if each in "abc"] == list("abc")
        assert [each for each in result if each in "xyz"] == list("xyz")


def test_the_task_keeps_its_contract() -> None:
    check_task(SummarizationTask(level="hard"))


# --- what matters can be read off the report


GOAL = re.compile(
    r"^(?:(?P<a>\w+) scored for (?P<A>\w+) after"
    r"|After \d+ minutes (?P<b>\w+) scored for (?P<B>\w+)\."
    r"|(?P<C>\w+) scored through (?P<c>\w+) after"
    r"|(?P<d>\w+) of (?P<D>\w+) (?:headed in|scored from a free kick) after)"
)
HARD_GOAL = re.compile(
    r"^(?:(\w+) scored after \d+ minutes\."
    r"|After \d+ minutes (\w+) found the net\."
    r"|(\w+) turned a cross into a goal)"
)


def check_match(truth: dict, goals: list[tuple[str, str]]) -> None:
    """Hold the truth against the goals: (player, side), in time."""
    sides = [side for _, side in goals]
    score = sorted((sides.count(side) for side in truth["sides"]), reverse=True)
    assert score == list(truth["score"])
    if score[0] == score[1]:
        assert truth["winner"] is None
        assert goals[-1] == (truth["hero"], truth["sides"][0])
        return
    assert sides.count(truth["winner"]) == score[0]
    scorers = [player for player, side in goals if side == truth["winner"]]
    if score[0] - score[1] == 1:
        assert truth["hero"] == scorers[score[1]]  # the goal that the others did not match
        assert len(set(scorers)) == len(scorers)
    else:
        assert scorers.count(truth["hero"]) == 2


def test_the_score_follows_from_the_goals() -> None:
    found = of_kind("match")
    for example in found:
        goals = []
        for sentence in sentences(example.prompt):
            groups = (match := GOAL.match(sentence)) and match.groupdict()
            if groups:
                key = next(key for key in "abcd" if groups[key])
                goals.append((groups[key], groups[key.upper()]))
        check_match(example.metadata["truth"], goals)
    assert len(found) > 40


def test_at_hard_the_line_ups_tell_whose_goals_they_are() -> None:
    for example in of_kind("match", "hard"):
        side_of: dict[str, str] = {}
        goals = []
        for sentence in sentences(example.prompt):
            if " played for " in sentence:
                names, side = sentence[:-1].split(" played for ")
                side_of |= dict.fromkeys(re.split(r", | and ", names), side)
            elif match := HARD_GOAL.match(sentence):
                player = next(filter(None, match.groups()))
                goals.append((player, side_of[player]))
        check_match(example.metadata["truth"], goals)


@pytest.mark.parametrize("level", ["medium", "hard"])
def test_deadlines_follow_from_the_dates(level: str) -> None:
    computed = 0
    for example in of_kind("meeting", level):
        met = DAYS.index(re.search("|".join(DAYS), example.prompt)[0])
        due = example.metadata["truth"]["due"]
        if days := re.search(r"within (\w+) days|set (\w+) days|are (\w+) days", example.prompt):
            count = next(filter(None, days.groups()))
            computed += 1
            assert DAYS[(met + NUMBERS.index(count)) % 7] == due
        elif early := re.search(r"due on (\w+) at first", example.prompt):
            delay = NUMBERS.index(re.search(r"put off by (\w+) days", example.prompt)[1])
            assert DAYS[(DAYS.index(early[1]) + delay) % 7] == due
            assert early[1] not in (due, DAYS[met])
        else:
            assert re.search(f"by {due}|work is {due}", example.prompt)
    assert computed > 10


def test_votes_decide() -> None:
    for example in of_kind("meeting", "hard"):
        plans = dict(
            re.findall(r"(\w+) (?:proposed|wanted|asked the members) to (.*?)\.", example.prompt)
        )
        votes: dict[str, int] = {}
        for count, label in re.findall(r"(\w+) members voted for the (\w+) plan", example.prompt):
            votes[label] = NUMBERS.index(count.lower())
        for label, count in re.findall(r"[Tt]he (\w+) plan got (\w+) votes", example.prompt):
            votes[label] = NUMBERS.index(count)
        for name, count in re.findall(r"plan of (\w+) got (\w+) votes", example.prompt):
            votes[plans[name]] = NUMBERS.index(count)
        assert len(votes) == 3
        winner = max(votes, key=votes.__getitem__)
        assert sorted(votes.values())[-1] > sorted(votes.values())[-2]
        assert winner in example.metadata["truth"]["plan"]


def test_the_high_is_the_highest_reading() -> None:
    for example in of_kind("weather"):
        readings = re.findall(
            r"(?:showed (\d+) degrees? at|[Aa]t (?:\d+ [ap]m|noon) it was (\d+)"
            r"|was (\d+) degrees?\.)",
            re.sub(r"In \w+ it was \d+ degrees?\.", "", example.prompt),
        )
        temperatures = [int(next(filter(None, each))) for each in readings]
        assert len(temperatures) == 3
        assert max(temperatures) == example.metadata["truth"]["high"]
        assert temperatures.count(max(temperatures)) == 1


def test_at_hard_the_high_and_the_time_are_computed() -> None:
    timed = 0
    for example in of_kind("weather", "hard"):
        truth, prompt = example.metadata["truth"], example.prompt
        rise = int(re.search(r"(\d+) degrees? warmer", prompt)[1])
        own = re.sub(r"In \w+ it was \d+ degrees?\.", "", prompt)
        first = re.search(r"showed (\d+)|it was (\d+) degrees?\.|reading at \d+ am was (\d+)", own)
        assert int(next(filter(None, first.groups()))) + rise == truth["high"]
        if stay := re.search(
            r"(?:at|From) (\d+) am (?:and stayed|on there \w+ \w+) for (\d+)", prompt
        ):
            timed += 1
            assert int(stay[1]) + int(stay[2]) == 10 + HOURS.index(truth["time"])
        else:
            assert truth["time"] in prompt
    assert timed > 10


def test_weather_of_a_day_fits_its_temperature() -> None:
    ranges = {each.noun: each.warmest for each in CONDITIONS}
    for example in of_kind("weather"):
        truth = example.metadata["truth"]
        for noun in (truth["before"], truth["after"]):
            assert ranges[noun][0] <= truth["high"] <= ranges[noun][1]
        assert all(int(each) >= 0 for each in re.findall(r"(-?\d+) degree", example.prompt))
    assert [degrees(n) for n in range(3)] == ["0 degrees", "1 degree", "2 degrees"]


def sold(prompt: str) -> dict[str, int]:
    """The items of each product, relative ones included."""
    counts: dict[str, int] = {}
    for count, product in re.findall(r"(?:bought|shops sold) (\d+) (\w+)\.", prompt):
        counts[product] = int(count)
    for count, product in re.findall(r"(\d+) (?!items)(\w+) were sold", prompt):
        counts[product] = int(count)
    for count, more, product, other in re.findall(r"(\d+) (more|fewer) (\w+) than (\w+)\.", prompt):
        counts[product] = counts[other] + (int(count) if more == "more" else -int(count))
    return counts


@pytest.mark.parametrize("level", ["medium", "hard"])
def test_totals_and_percentages_follow_from_the_numbers(level: str) -> None:
    percentages = 0
    for example in of_kind("sales", level):
        truth, counts = example.metadata["truth"], sold(example.prompt)
        assert sum(counts.values()) == truth["total"]
        assert min(counts.values()) > 0
        ranked = sorted(counts.values())
        assert counts[truth["best"]] == ranked[-1] > ranked[-2]
        if truth["percent"]:
            percentages += 1
            old = truth["total"] - truth["change"]
            assert abs(truth["change"]) * 100 == truth["percent"] * old
        else:
            assert truth["old"] == truth["total"] - truth["change"] > 0
            assert re.search(rf"\b{truth['old']}\b", example.prompt)
    assert (percentages > 0) == (level == "hard")
