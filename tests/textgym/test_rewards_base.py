"""The reward interface: loading, functions, weighted sums, and what is refused."""

from __future__ import annotations

import copy
import functools
import math
import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from textgym.rewards import REWARDS, Combined, FunctionReward, Reward, load_reward
from textgym.rewards.bleu import Bleu
from textgym.rewards.chrf import Chrf
from textgym.rewards.controls import Constant
from textgym.rewards.rouge import RougeL

EXAMPLE = SimpleNamespace(prompt="the prompt", references=("a b c d",), metadata={})


def vowels(text, example):
    return sum(c in "aeiou" for c in text) / 10


class Doubled:
    """A callable object that is not a function."""

    def __call__(self, text, example):
        return 2.0 * len(text)


class Words(Reward):
    """A batch-only reward: it looks at all the texts at once, and follows none."""

    name = "words"

    def __init__(self):
        self.calls = 0

    def __call__(self, texts, examples):
        self.calls += 1
        return np.array([len(text.split()) for text in texts], dtype=np.float64)


WORDS = Words()


def test_load_by_name_object_mapping_and_function():
    assert type(load_reward("bleu")) is Bleu
    reward = Constant(0.5)
    assert load_reward(reward) is reward
    assert load_reward("chrfpp").name == "chrf++"
    assert load_reward(vowels)(["aeb"], [EXAMPLE])[0] == 0.2
    combined = load_reward({"bleu": 0.7, RougeL(): 0.3})
    assert isinstance(combined, Combined)
    assert combined.weights == {"bleu": 0.7, "rouge_l": 0.3}


def test_names_of_modules():
    """Of a function, a class and a Reward; what is not there is named."""
    names = {"vowels": 0.2, "Doubled": 6.0, "Words": 1.0, "WORDS": 1.0}
    for name, score in names.items():
        assert load_reward(f"{__name__}:{name}")(["aeb"], [EXAMPLE])[0] == score
    combined = load_reward({f"{__name__}:vowels": 0.5, "bleu": 0.5})
    assert combined.components(["aeb"], [EXAMPLE])["vowels"][0] == 0.2
    for name, reason in (("os:nothing", "no attribute 'nothing'"), ("no_such:f", "No module")):
        with pytest.raises(ValueError, match=f"reward '{name}' cannot be imported: .*{reason}"):
            load_reward(name)
    with pytest.raises(TypeError, match="reward 'os:sep' is '/', neither a function nor a Reward"):
        load_reward("os:sep")


def test_unknown_name_lists_the_known_ones_and_guesses():
    with pytest.raises(ValueError, match=r"unknown reward 'blue'.*did you mean 'bleu'") as error:
        load_reward("blue")
    assert all(name in str(error.value) for name in REWARDS)
    with pytest.raises(ValueError, match="did you mean 'rouge_l'"):
        load_reward("ROUGE-L")
    with pytest.raises(ValueError, match="unknown reward 'zzzzzz'; known rewards"):
        load_reward("zzzzzz")


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        (3, TypeError, "a reward is a name"),
        (None, TypeError, "a reward is a name"),
        (Bleu, TypeError, r"pass Bleu\(\.\.\.\)"),
        ({}, ValueError, "at least one part"),
        ({"bleu": math.nan}, ValueError, "'bleu' must be finite"),
        ({"bleu": math.inf}, ValueError, "'bleu' must be finite"),
        ({"bleu": "1"}, TypeError, "'bleu' must be a number"),
        ({"bleu": True}, TypeError, "'bleu' must be a number"),
        ({"bleu": {"chrf": 1.0}}, TypeError, "'bleu' must be a number, got {'chrf': 1.0}"),
        ({"blue": 1.0}, ValueError, "unknown reward 'blue'"),
        ({3: 1.0}, TypeError, "its key 3 is neither"),
        ({vowels: 1.0}, TypeError, r"wrap a function: FunctionReward\(f\)"),
        ({"chrf++": 0.5, "chrfpp": 0.5}, ValueError, "two parts .* named 'chrf\\+\\+'"),
        ({"bleu": 0.5, Bleu(lowercase=True): 0.5}, ValueError, "two parts .* named 'bleu'"),
    ],
)
def test_specs_that_are_refused(spec, error, message):
    with pytest.raises(error, match=message):
        load_reward(spec)


def test_function_names():
    assert load_reward(vowels).name == "vowels"
    assert load_reward(lambda text, example: 0.0).name == "function"
    assert load_reward(functools.partial(vowels)).name == "partial"
    assert load_reward(Doubled()).name == "Doubled"
    assert FunctionReward(vowels, name="v").name == "v"
    assert load_reward(vowels).signature.endswith("vowels)")


def test_function_rewards_survive_pickling_and_see_the_example():
    reward = pickle.loads(pickle.dumps(FunctionReward(len_over_prompt)))
    assert reward(["abcde", ""], [EXAMPLE, EXAMPLE]).tolist() == [0.5, 0.0]


def len_over_prompt(text, example):
    return len(text) / len(example.prompt)


@pytest.mark.parametrize("value", ["0.5", None, [1, 2], object()])
def test_a_function_must_return_a_number(value):
    with pytest.raises(TypeError, match=r"reward function 'function' returned .* not a number"):
        load_reward(lambda text, example: value)(["a"], [EXAMPLE])


@pytest.mark.parametrize("value", [1, True, np.float32(1.0), np.array(1.0)])
def test_a_function_may_return_any_number(value):
    scores = load_reward(lambda text, example: value)(["a"], [EXAMPLE])
    assert scores.dtype == np.float64
    assert scores.tolist() == [1.0]


def test_an_error_in_a_function_is_not_swallowed():
    def broken(text, example):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        load_reward(broken)(["a"], [EXAMPLE])


def test_combined_components_total_and_signature():
    combined = Combined({Bleu(): 0.7, Chrf(): 0.5, Constant(0.25): -1.0})
    texts, examples = ["a b c d", "", "a x"], [EXAMPLE] * 3
    components = combined.components(texts, examples)
    assert list(components) == ["bleu", "chrf", "constant"]
    expected = 0.7 * components["bleu"] + 0.5 * components["chrf"] - 0.25
    assert components["bleu"][0] == 1.0
    np.testing.assert_allclose(combined(texts, examples), expected, rtol=0, atol=1e-15)
    assert combined(texts, examples)[0] == pytest.approx(0.95)
    assert combined.name == "bleu+chrf+constant"
    for part in ("0.7*bleu(", "0.5*chrf(", "-1.0*constant(value=0.25)"):
        assert part in combined.signature


def test_combined_streams_and_nested_sums():
    inner = Combined({Bleu(): 0.5, Words(): 0.5})
    outer = Combined({inner: 2.0, RougeL(): 1.0})
    assert list(outer.components(["a"], [EXAMPLE])) == ["bleu+words", "rouge_l"]
    stream = outer.stream(EXAMPLE)
    text = ""
    for chunk in ("a", " b", "", " c d e"):
        text += chunk
        stream.append(chunk)
        assert stream.score() == outer([text], [EXAMPLE])[0]


def test_a_reward_without_a_stream_of_its_own_is_scored_again_only_when_the_text_changed():
    reward = Words()
    stream = reward.stream(EXAMPLE)
    for chunk, expected in (("", 0.0), ("a b", 2.0), ("", 2.0), ("c d", 3.0)):
        stream.append(chunk)
        assert stream.score() == stream.score() == expected
    assert reward.calls == 3
    assert isinstance(stream.score(), float)


def test_a_batch_must_be_paired():
    for reward in (Bleu(), Constant(), load_reward(vowels)):
        with pytest.raises(ValueError, match="got 2 texts but 1 examples"):
            reward(["a", "b"], [EXAMPLE])
        with pytest.raises(TypeError, match="not one string"):
            reward("a", [EXAMPLE])
        assert reward([], []).shape == (0,)


def test_a_combination_survives_pickling_and_copies():
    combined = load_reward({"bleu": 0.5, "random": 0.5})
    for other in (pickle.loads(pickle.dumps(combined)), copy.deepcopy(combined)):
        assert other.signature == combined.signature
        assert other(["a b"], [EXAMPLE])[0] == combined(["a b"], [EXAMPLE])[0]
