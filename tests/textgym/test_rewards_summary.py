from __future__ import annotations

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest

from textgym.rewards.summary import KeyFacts
from textgym.tasks.base import Example
from textgym.tasks.summarization import SummarizationTask
from textgym.tasks.summarization.words import VALUES
from textgym.testing import check_reward

LEVELS = SummarizationTask.levels
REWARD = KeyFacts()


def examples(level: str, count: int = 300) -> list[Example]:
    task = SummarizationTask(level=level)
    return [task.example(i) for i in range(count)]


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=\.)\s", text.strip())


MATCH = SimpleNamespace(
    prompt="Kelby and Lind easily got it after 17 minutes. It was with all its might, by Lind. "
    "On day three it is at last perhaps over.\n",
    references=("Norton beat Corby 2-1, and Kerr scored the winning goal.",),  # 10 words
    metadata={
        "key_facts": [
            {
                "name": "winner",
                "says": [
                    [["norton"], ["beat"], ["corby"]],
                    [["corby"], ["lost"], ["to"], ["norton"]],
                ],
                "denies": [[["corby"], ["beat"], ["norton"]]],
            },
            {"name": "score", "says": [[["2-1"]]], "denies": []},
            {"name": "hero", "says": [[["kerr"], ["winning goal", "winner"]]], "denies": []},
        ],
        "values": ["norton", "corby", "kelby", "kerr", "lind"],
    },
)


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("Norton beat Corby 2-1, and Kerr scored the winning goal.", 1),
        ("NORTON easily beat Corby 2-1; Kerr got the winner", 1),
        ("Corby lost 2-1 to Norton.", 2 / 3),
        ("Norton beat Corby.", 1 / 3),
        ("Kerr scored the winning goal.", 1 / 3),
        ("2-1", 1 / 3),
        ("", 0),
        (".", 0),
        ("Norton, Corby, Kerr.", 0),
        # the loser named as the winner: the score is right, the winner denied
        ("Corby beat Norton 2-1.", 0),
        ("Corby beat Norton 2-1, and Kerr scored the winning goal.", 1 / 3),
        # both ways said
        ("Norton beat Corby. Corby beat Norton.", 0),
        # unsupported: another player, another club, other numbers
        ("Norton beat Corby 2-1, and Lind scored the winning goal.", 1 / 3),
        ("Norton beat Kelby 2-1, and Kerr scored the winning goal.", 1 / 3),
        (
            "Norton beat Corby 2-0, and Kerr scored the winning goal.",
            1 / 3 * 0.9,
        ),  # "2-0" is strange
        ("Norton beat Corby 2-0.", 0),
        ("Norton beat Corby 2-1 after 17 minutes.", 1 / 3),
        ("Norton beat Corby 2-1 on day three.", 1 / 3),
        # who is between: another candidate, "by", too many words, another sentence
        ("Norton and Kerr beat Corby.", 0),
        ("Norton was beat by Corby.", 0),
        ("Norton with all its might at last beat Corby.", 0),
        ("Norton. beat. Corby.", 0),
        # negated or doubtful
        ("Norton did not beat Corby.", 0),
        ("Norton didn't beat Corby.", 0),
        ("Perhaps Norton beat Corby 2-1.", 0),
        ("Kerr or Norton beat Corby.", 0),
        ("It is untrue that Norton beat Corby 2-1.", 0),
        ("Norton denied that Kerr scored the winning goal.", 0),
        # asked
        ("Norton beat Corby 2-1? Kerr scored the winning goal?", 0),
        ("Norton beat Corby? Kerr scored the winning goal!", 1 / 3),
        # said and denied, or taken back
        ("Norton beat Corby 2-1. Norton never beat Corby.", 1 / 3),
        ("Norton beat Corby 2-1, and Kerr scored the winner. Wrong.", 0),
        ("Norton beat Corby 2-1, and Kerr scored the winner. Not so!", 0),
        ("Norton beat Corby 2-1, and Kerr scored. It is false.", 0),
        ("None of it is true. Norton beat Corby 2-1.", 0),
    ],
)
def test_facts_are_found_and_falsehoods_noticed(text: str, score: float) -> None:
    assert REWARD.score(text, MATCH) == pytest.approx(score)


def test_long_texts_lose() -> None:
    good = MATCH.references[0]  # 10 words with "2-1" as one
    assert REWARD.score(f"{good} It was Norton.", MATCH) == pytest.approx(0.7)
    assert REWARD.score(f"{good} Such great fun.", MATCH) == pytest.approx(0.4)  # 3 strange words
    assert REWARD.score(f"{good} {good}", MATCH) == 0


def test_metadata_that_is_missing_is_named() -> None:
    for key in ("key_facts", "values"):
        metadata = {name: value for name, value in MATCH.metadata.items() if name != key}
        broken = SimpleNamespace(prompt="x\n", references=("y",), metadata=metadata)
        with pytest.raises(ValueError, match=rf"reward 'key_facts' needs metadata\['{key}'\]"):
            REWARD.score("text", broken)


def test_metadata_may_come_from_json() -> None:
    for example in examples("medium", 40):
        metadata = json.loads(json.dumps(example.metadata))
        again = SimpleNamespace(
            prompt=example.prompt, references=example.references, metadata=metadata
        )
        assert REWARD.score(example.references[-1], again) == 1


def test_the_contract_of_rewards_is_kept() -> None:
    check_reward(REWARD, examples("medium", 5), ["Norton beat Corby.", "7 7 7", "\0", "é"])


def test_streams_equal_batches() -> None:
    for example in examples("medium", 20):
        stream, text = REWARD.stream(example), ""
        for word in example.references[0].split(" "):
            stream.append(word + " ")
            text += word + " "
            assert stream.score() == REWARD([text], [example])[0]


# --- the reward on the task: what does not pay


@pytest.mark.parametrize(("level", "most"), [("easy", 0.05), ("medium", 0.005), ("hard", 0.0)])
def test_pasting_the_report_does_not_pay(level: str, most: float) -> None:
    scores = [REWARD.score(each.prompt, each) for each in examples(level)]
    assert np.mean(scores) <= most


@pytest.mark.parametrize("level", LEVELS)
def test_sentences_of_the_report_do_not_pay_beyond_easy(level: str) -> None:
    rng = np.random.default_rng(0)
    scores = []
    for example in examples(level):
        told = sentences(example.prompt)
        scores.append(REWARD.score(" ".join(rng.choice(told, 2, replace=False)), example))
    assert np.mean(scores) < (0.3 if level == "easy" else 0.1)


@pytest.mark.parametrize("level", LEVELS)
def test_lists_gibberish_and_other_summaries_do_not_pay(level: str) -> None:
    rng = np.random.default_rng(0)
    several = examples(level)
    previous = several[-1]
    scores: dict[str, list[float]] = {
        "names": [],
        "all": [],
        "gibberish": [],
        "filler": [],
        "shuffled": [],
        "other": [],
    }
    for example in several:
        words = example.references[0].rstrip(".").split(" ")
        names = re.findall(r"\b(?:[A-Z]\w+|\d[\d-]*)\b", example.prompt)
        scores["names"].append(REWARD.score(" ".join(names), example))
        scores["all"].append(REWARD.score(" ".join(VALUES), example))
        scores["gibberish"].append(REWARD.score(" blub ".join(words), example))
        scores["filler"].append(REWARD.score(" the ".join(words), example))
        scores["shuffled"].append(REWARD.score(" ".join(rng.permutation(words)), example))
        scores["other"].append(REWARD.score(previous.references[0], example))
        previous = example
    means = {name: np.mean(values) for name, values in scores.items()}
    assert means["names"] < 0.02
    assert means["all"] == 0
    assert means["gibberish"] == 0
    assert means["filler"] < 0.25
    assert means["shuffled"] < 0.25
    assert means["other"] < 0.02


def swapped(text: str, first: str, second: str) -> str:
    return text.replace(first, "\0").replace(second, first).replace("\0", second)


def test_wrong_attribution_costs() -> None:
    """In each kind, two things of the right kind change places."""
    for example in examples("medium"):
        truth = example.metadata["truth"]
        for reference in example.references:
            if truth["kind"] == "match" and truth["winner"]:
                wrong, most = swapped(reference, *truth["sides"]), 1 / 3
            elif truth["kind"] == "weather":
                before, after = truth["before"], truth["after"]
                lower = reference[0].lower() + reference[1:] if before[0] != "I" else reference
                wrong, most = swapped(lower, before, after), 1 / 2
            elif truth["kind"] == "sales" and str(truth["old"]) in reference:
                wrong, most = swapped(reference, str(truth["old"]), str(truth["total"])), 1 / 2
            else:
                continue
            assert REWARD.score(wrong, example) <= most, wrong


def test_numbers_and_names_of_distractors_cost() -> None:
    sales = [each for each in examples("medium") if each.metadata["truth"]["kind"] == "sales"]
    for example in sales:
        truth = example.metadata["truth"]
        sold = re.findall(r"(?:bought|shops sold) (\d+) (\w+)\.", example.prompt)
        others = [each for each in sold if each[1] != truth["best"]]
        if not others:
            continue
        number, other = others[0]
        text = example.references[0]
        assert REWARD.score(text, example) == 1
        assert REWARD.score(text.replace(truth["best"], other), example) <= 1 / 2
        assert REWARD.score(text.replace(str(truth["total"]), number), example) <= 1 / 2
        up, down = ("up", "down") if truth["change"] > 0 else ("down", "up")
        assert REWARD.score(text.replace(f" {up} ", f" {down} "), example) <= 1 / 2


ATTACKS = {
    "asked": lambda text: text.replace(".", "?"),
    "wrong": lambda text: text + " Wrong.",
    "false": lambda text: text + " All of this is false.",
    "not so": lambda text: text + " Not so.",
    "untrue": lambda text: "It is untrue that " + text,
    "denied": lambda text: "It is denied that " + text,
    "doubted": lambda text: "I doubt that " + text,
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_questions_and_retractions_state_nothing(level: str, attack: str) -> None:
    for example in examples(level, 60):
        for reference in example.references:
            assert REWARD.score(ATTACKS[attack](reference), example) == 0
