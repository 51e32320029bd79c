"""Every registered reward keeps what the interface promises."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgym.rewards import REWARDS, load_reward
from textgym.tasks import load_task

NEED_NO_REFERENCE = {"constant", "random", "diversity", "non_repetition", "fluency"}
TASK_OF = {
    "answer": "arithmetic",
    "answer_format": "arithmetic",
    "working": "arithmetic",
    "faithfulness": "data_to_text",
    "triple_coverage": "data_to_text",
    "key_facts": "summarization",
    "ndcg": "recommendation",
}
"""Rewards that read facts of the example, which that task draws."""


@dataclass(frozen=True)
class Example:
    prompt: str = "a prompt"
    references: tuple[str, ...] = ("the cat sat on the mat, quietly.", "a cat\nsat there")
    metadata: dict[str, Any] = field(default_factory=dict)


def example_for(name: str, **kwargs: Any) -> Any:
    """An example that the reward can be asked about."""
    return load_task(TASK_OF[name]).example(0) if name in TASK_OF else Example(**kwargs)


FRAGMENTS = ["the", " cat", " ", "\n", "sat on", "-\n", ",", ".", "qui", "etly", "é", "漢", "😀"]
chunk_lists = st.lists(
    st.one_of(
        st.sampled_from(FRAGMENTS),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    ),
    max_size=12,
)


@pytest.fixture(params=sorted(REWARDS))
def reward(request):
    return load_reward(request.param)


@pytest.mark.parametrize("name", sorted(REWARDS))
@given(chunks=chunk_lists, references=st.lists(chunk_lists.map("".join), min_size=1, max_size=3))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_stream_equals_batch_and_stays_in_range(name, chunks, references):
    reward, example = load_reward(name), example_for(name, references=tuple(references))
    text, stream = "", load_reward(name).stream(example)
    assert stream.score() == reward([""], [example])[0]
    for chunk in chunks:
        text += chunk
        stream.append(chunk)
        score = stream.score()
        assert type(score) is float
        assert 0.0 <= score <= 1.0
        assert score == reward([text], [example])[0]


def test_asking_rarely_or_often_makes_no_difference(reward):
    chunks = ["the ca", "t sat", "", " on", " the", " mat", "-\n", "x", ", qui", "etly."]
    example = example_for(reward.name)
    often, rarely = reward.stream(example), reward.stream(example)
    for chunk in chunks:
        often.append(chunk)
        often.score()
        rarely.append(chunk)
    assert often.score() == rarely.score()


def test_batch_shape_type_and_order(reward):
    texts = ["the cat sat on the mat, quietly.", "a dog", ""]
    examples = [example_for(reward.name)] * 3
    scores = reward(texts, examples)
    assert scores.shape == (3,)
    assert scores.dtype == np.float64
    np.testing.assert_array_equal(scores[::-1], reward(texts[::-1], examples))


def test_components_and_total(reward):
    texts, examples = ["the cat", "mat"], [example_for(reward.name)] * 2
    components = reward.components(texts, examples)
    assert list(components) == [reward.name]
    np.testing.assert_array_equal(reward.total(components), reward(texts, examples))


@pytest.mark.parametrize("name", sorted(REWARDS))
def test_name_and_signature(name):
    reward = load_reward(name)
    assert reward.name == name
    assert reward.signature.startswith(f"{name}(")
    assert reward.signature in repr(reward)
    assert reward.signature == load_reward(name).signature


def test_a_reference_scores_one(reward):
    if reward.name == "random":
        pytest.skip("a random score knows no reference")
    example = example_for(reward.name)
    if "fluen" in reward.name or reward.name == "sentiment":
        example = load_task("story").example(0)  # A good text is one that tells something.
    assert reward([example.references[0]], [example])[0] == 1.0


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_rewards_and_streams_can_be_copied(reward, duplicate):
    example = example_for(reward.name)
    stream = reward.stream(example)
    stream.append("the cat sa")
    before = stream.score()
    branch, other = duplicate(stream), duplicate(stream)
    same = duplicate(reward)
    assert same.signature == reward.signature
    assert before == same(["the cat sa"], [example])[0]
    # Each goes on as if the others were not there, even with the same words.
    for continued, chunk in ((branch, "t on the mat"), (other, "d, qui"), (stream, "t on the mat")):
        continued.append(chunk)
        assert continued.score() == same(["the cat sa" + chunk], [example])[0]


def test_a_copied_reward_is_not_heavier_for_having_scored(reward):
    fresh = len(pickle.dumps(reward))
    reward(["the cat"], [example_for(reward.name)])
    assert len(pickle.dumps(reward)) == fresh


def test_without_references_the_error_names_the_example(reward):
    example = Example(prompt="which one?", references=())
    if reward.name in NEED_NO_REFERENCE:
        assert 0.0 <= reward(["a"], [example])[0] <= 1.0
        return
    attempts = (lambda: reward(["a"], [example]), lambda: reward.stream(example).score())
    for attempt in attempts:
        with pytest.raises(ValueError, match=f"{reward.name.replace('+', '[+]')}.*'which one[?]'"):
            attempt()


def test_references_given_as_one_string_are_refused(reward):
    if reward.name in NEED_NO_REFERENCE or reward.name in TASK_OF:
        pytest.skip("looks at no reference")
    with pytest.raises(TypeError, match="not one string"):
        reward(["a"], [Example(references="the cat")])


def test_scores_do_not_depend_on_the_hash_seed():
    script = (
        "from types import SimpleNamespace as N\n"
        "from textgym.rewards import REWARDS, load_reward\n"
        "from textgym.tasks import load_task\n"
        "cat = N(prompt='p', references=('the cat sat', 'a dog'), metadata={})\n"
        f"tasks = {TASK_OF}\n"
        "for n in sorted(REWARDS):\n"
        "    e = load_task(tasks[n]).example(0) if n in tasks else cat\n"
        "    texts = ['the cat dog', 'é', *e.references]\n"
        "    print(n, load_reward(n)(texts, [e] * len(texts)).tolist())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert "0." in outputs.pop()
