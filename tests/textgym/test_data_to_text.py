from __future__ import annotations

import copy
import json
import pickle
import re
import time

import numpy as np
import pytest

from textgym.rewards import load_reward
from textgym.tasks import SPLITS, load_task
from textgym.tasks.data_to_text import DataToTextTask, names
from textgym.tasks.data_to_text.entities import Entity, Fact
from textgym.tasks.data_to_text.makers import VALUES
from textgym.tasks.data_to_text.phrasing import Unit, listed
from textgym.tasks.data_to_text.relations import EVERY_JOB, MERGED, OPTIONS, RELATIONS, TYPES
from textgym.tasks.data_to_text.task import SIZES
from textgym.tasks.data_to_text.world import World
from textgym.tasks.data_to_text.writer import Writer
from textgym.tasks.draws import Draws
from textgym.tokenizers import load_tokenizer

LEVELS = DataToTextTask.levels
REWARD = {"bleu": 0.4, "triple_coverage": 0.4, "faithfulness": 0.2}


def relation(subject: str, label: str):
    return next(r for r in RELATIONS if (r.subject, r.label) == (subject, label))


@pytest.mark.parametrize("level", LEVELS)
def test_examples_depend_on_seed_and_index_alone(level: str) -> None:
    first = [DataToTextTask(level=level, seed=5).example(i) for i in range(100)]
    task = pickle.loads(pickle.dumps(copy.deepcopy(DataToTextTask(level=level, seed=5))))
    assert [task.example(i) for i in reversed(range(100))][::-1] == first
    other = {DataToTextTask(level=level, seed=6).example(i).prompt for i in range(100)}
    assert len(other & {example.prompt for example in first}) < 5


@pytest.mark.parametrize("level", LEVELS)
def test_splits_share_no_prompt(level: str) -> None:
    task = load_task("data_to_text", level=level)
    prompts = [{task.example(i, split).prompt for i in range(150)} for split in SPLITS]
    assert not prompts[0] & prompts[1]
    assert not prompts[0] & prompts[2]
    assert not prompts[1] & prompts[2]


@pytest.mark.parametrize("level", LEVELS)
def test_form_of_prompts_and_references(level: str) -> None:
    task = DataToTextTask(level=level, seed=1)
    several = 0
    for i in range(600):
        example = task.example(i)
        triples = [t.split(" | ") for t in example.prompt[:-1].split(" ; ")]
        assert example.prompt[-1] == "\n"
        assert triples == [fact["triple"] for fact in example.metadata["facts"]]
        assert len(triples) in SIZES[level]
        assert len({tuple(triple[:2]) for triple in triples}) == len(triples)
        assert json.loads(json.dumps(example.metadata)) == example.metadata
        assert 2 <= len(set(example.references)) == len(example.references) <= 4
        several += len(example.references) >= 3
        for text in example.references:
            assert text.isascii()
            assert text[0].isupper()
            assert text[-1] == "."
            assert not re.search(r"  | [,.]|,,|,\.|\.\.| a [aeiou]|\ban [^aeiou]", text)
            assert not re.search(r"\b(\w+) \1\b", text)
            for sentence in text[:-1].split(". "):
                assert sentence[0].isupper()
                assert len(sentence.split()) <= 45
    assert several > 550


@pytest.mark.parametrize("level", LEVELS)
def test_triples_hang_together(level: str) -> None:
    for seed in range(300):
        world = World(Draws(np.random.default_rng(seed)), SIZES[level][-1])
        known = {world.root}
        for fact in world.facts:
            ends = {fact.subject, fact.object} - {None}
            assert ends & known
            known |= ends
        assert known == set(world.entities)
        assert len({entity.name for entity in known}) == len(known)


def test_nobody_contradicts_themselves() -> None:
    for seed in range(2000):
        world = World(Draws(np.random.default_rng(seed)), 6)
        for entity in world.entities:
            held = [fact.relation for fact in entity.facts]
            assert len(set(held)) == len(held)
            labels = {r.label for r in held}
            assert not any(labels & r.excludes for r in held)
            if entity.type == "person":
                roles = [r.role for r in held if r.role]
                assert len(set(roles)) == len(roles)
                if entity.job:
                    assert all(r.jobs == EVERY_JOB or entity.job in r.jobs for r in held)


def test_relations_are_complete() -> None:
    assert len(RELATIONS) >= 50
    assert {r.subject for r in RELATIONS} <= set(TYPES)
    assert set(OPTIONS) == set(TYPES)
    for r in RELATIONS:
        assert len(r.said) >= 2
        assert bool(r.object) == bool(r.said_inversely)
        assert r.object or r.label == "works as" or (r.subject, r.label) in VALUES
        assert all(job in names.OCCUPATIONS for job in r.jobs if r.jobs != EVERY_JOB)
        assert len({p.before + p.after for p in r.said + r.said_inversely}) >= 2
    assert all(key in {r.label for r in RELATIONS} for pair in MERGED for key in pair)


@pytest.mark.parametrize("level", LEVELS)
def test_every_reference_scores_one(level: str) -> None:
    task, reward = DataToTextTask(level=level, seed=3), load_reward(REWARD)
    for i in range(150):
        example = task.example(i, "validation" if i < 10 else "train")
        for text in (task.expert(example), *example.references):
            assert reward([text], [example])[0] == pytest.approx(1)


@pytest.mark.parametrize("level", LEVELS)
def test_each_fact_alone_is_its_share_of_the_coverage(level: str) -> None:
    task, coverage = DataToTextTask(level=level, seed=4), load_reward("triple_coverage")
    for i in range(50):
        example = task.example(i)
        facts = example.metadata["facts"]
        for fact in facts:
            subject = fact["triple"][0]
            text = f"{subject} {fact['phrases'][subject][0]}."
            assert coverage([text], [example])[0] == 1 / len(facts)


def test_texts_of_other_examples_score_low() -> None:
    task = DataToTextTask(seed=5)
    examples = [task.example(i) for i in range(200)]
    texts = [examples[i - 1].references[0] for i in range(200)]
    names = ("triple_coverage", "faithfulness")
    assert max(load_reward(name)(texts, examples).max() for name in names) == 0
    assert load_reward(REWARD)(texts, examples).mean() < 0.05


def test_cheap_tricks_score_low() -> None:
    task, reward = DataToTextTask(seed=6), load_reward(REWARD)
    examples = [task.example(i) for i in range(200)]

    def mean(texts: list[str]) -> float:
        return float(reward(texts, examples).mean())

    assert mean([""] * 200) == 0
    assert mean([e.prompt for e in examples]) < 0.1
    assert mean([e.prompt.replace(" |", "").replace(" ;", ".") for e in examples]) < 0.25
    assert mean([" ".join(e.metadata["entities"]) + "." for e in examples]) < 0.1
    swapped = [_swapped(e.references[0], list(e.metadata["entities"])) for e in examples]
    assert mean(swapped) < 0.5
    plain = mean([e.references[0] for e in examples])
    assert mean([" ".join([e.references[0]] * 4) for e in examples]) < 0.7 * plain
    assert mean([e.references[0] + " so it is said" * 5 for e in examples]) < 0.9 * plain


def _swapped(text: str, entities: list[str]) -> str:
    """Put the first two names of a text in each other's place; drop one that is alone."""
    first, second = [*entities, "Nobody"][:2]
    swap = {first: second, second: first}
    return re.sub("|".join(map(re.escape, swap)), lambda match: swap[match[0]], text)


DENIALS = {
    "not true": lambda text: re.sub(r"(^|\. )(?=.)", r"\1It is not true that ", text),
    "not": lambda text: text.replace(".", ", not."),
    "asked": lambda text: text.replace(".", "?"),
    "false": lambda text: text + " All of this is false.",
    "wrong": lambda text: text + " Wrong.",
    "not so": lambda text: text + " Not so.",
    "believed": lambda text: text + " No one believes this.",
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("denial", DENIALS)
def test_denials_cost_more_than_half(level: str, denial: str) -> None:
    task, reward = DataToTextTask(level=level, seed=7), load_reward(REWARD)
    examples = [task.example(i) for i in range(60)]
    texts = [DENIALS[denial](example.references[0]) for example in examples]
    for name in ("triple_coverage", "faithfulness"):
        assert load_reward(name)(texts, examples).max() == 0
    assert reward(texts, examples).max() < 0.4


@pytest.mark.parametrize("opening", ["It is not true that ", "No one believes that ", "Maybe "])
def test_a_denied_sentence_costs_its_facts(opening: str) -> None:
    task, coverage = DataToTextTask(seed=7), load_reward("triple_coverage")
    examples = [task.example(i) for i in range(100)]
    texts = [opening + example.references[0] for example in examples]
    scores = coverage(texts, examples)
    assert scores.max() < 1
    for text, example, score in zip(texts, examples, scores, strict=True):
        if text.count(".") == 1:
            assert score == 0, example.prompt


def test_a_second_value_costs_its_fact() -> None:
    task, reward = DataToTextTask(seed=7), load_reward(REWARD)
    coverage = load_reward("triple_coverage")
    years = 0
    for example in (task.example(i) for i in range(200)):
        facts = example.metadata["facts"]
        for fact in facts:
            subject, _, year = fact["triple"]
            if re.fullmatch(r"(19|20)\d\d", year):
                years += 1
                phrase = fact["phrases"][subject][0].replace(year, str(int(year) + 11))
                text = f"{example.references[0]} {subject} {phrase}."
                assert coverage([text], [example])[0] == (len(facts) - 1) / len(facts)
                assert reward([text], [example])[0] < 0.8
    assert years > 20


def test_phrases_may_open_sentences() -> None:
    task = DataToTextTask(seed=7)
    rewards = [load_reward(name) for name in ("triple_coverage", "faithfulness")]
    opened = 0
    for example in (task.example(i) for i in range(300)):
        for text in example.references:
            inverted = _opened(text)
            if inverted != text:
                opened += 1
                assert [reward([inverted], [example])[0] for reward in rewards] == [1, 1], inverted
    assert opened > 100


def _opened(text: str) -> str:
    """Put the phrase that stands behind the first name, or its end, before it."""
    name = r"^((?:The )?[A-Z]\w+(?: [A-Z]\w+)?)"
    if match := re.match(name + r", (?!who |which )(\w)([^,.]+), (.*)$", text):
        return f"{match[2].upper()}{match[3]}, {match[1]} {match[4]}"
    if match := re.match(name + r" (was \w+) in (\d{4})\b(.*)$", text):
        return f"In {match[3]}, {match[1]} {match[2]}{match[4]}"
    return text


def test_merged_facts_and_pronouns_by_hand() -> None:
    company = Entity("Lind Glass", "company", "Glass")
    boss = Entity("Tom Berg", "person", "", ("he",))
    city = Entity("Velmar", "city")
    facts = [
        Fact(company, relation("company", "founded by"), boss, boss.name),
        Fact(company, relation("company", "founded in"), None, "1976"),
        Fact(boss, relation("person", "born in"), city, city.name),
        Fact(boss, relation("person", "speaks"), None, "Norvian"),
        Fact(boss, relation("person", "works as"), None, "engineer"),
    ]
    for fact in facts:
        for entity in (fact.subject, fact.object):
            if entity is not None:
                entity.facts.append(fact)
    world = World.__new__(World)
    world.facts, world.entities, world.root = facts, [company, boss, city], company
    assert Writer(world).text(company) == (
        "Lind Glass was founded in 1976 by Tom Berg. "
        "He was born in Velmar, speaks Norvian and works as an engineer."
    )
    assert Writer(world).text(city) == (
        "Velmar is the birthplace of Tom Berg. He speaks Norvian, works as an engineer and "
        "founded Lind Glass, which was established in 1976."
    )


@pytest.mark.parametrize(
    ("phrases", "text"),
    [
        (["was born in A"], "was born in A"),
        (["was written by A", "was published in B"], "was written by A and published in B"),
        (["was written by A", "is set in B"], "was written by A and is set in B"),
        (["is set in A", "has B pages", "is by C"], "is set in A, has B pages and is by C"),
        (["is led by A", "is based in B", "is known for its C"],
         "is led by A, based in B and known for its C"),
        (["is a novel", "is set in B"], "is a novel and is set in B"),
    ],
)  # fmt: skip
def test_lists(phrases: list[str], text: str) -> None:
    assert listed([Unit(phrase, None, ()) for phrase in phrases]) == text


@pytest.mark.parametrize("level", LEVELS)
def test_there_are_a_million_prompts(level: str) -> None:
    # n draws from N equally likely prompts give about n**2 / 2N recurrences, more if they are not
    # equally likely: 8 for n = 4,000 and N = 10**6.
    task = DataToTextTask(level=level, seed=9)
    prompts = [task.example(i).prompt for i in range(4000)]
    assert len(prompts) - len(set(prompts)) <= 8


@pytest.mark.parametrize("level", LEVELS)
def test_tokens_stay_within_the_limits(level: str) -> None:
    task, tokenizer = DataToTextTask(level=level, seed=8), load_tokenizer()
    for i in range(500):
        example = task.example(i)
        assert len(tokenizer.encode(example.prompt)) <= task.max_prompt_tokens
        for text in example.references:
            assert len(tokenizer.encode(text)) < task.max_new_tokens


def test_an_example_is_cheap_wherever_it_stands() -> None:
    task = DataToTextTask()
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        for i in range(10**6, 10**6 + 200):
            task.example(i)
        best = min(best, time.process_time() - start)
    assert 200 / best > 2500  # half of what is asked for, as machines differ
