"""Names to rewards."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping
from typing import Any

from textgym.rewards.base import Reward
from textgym.rewards.combine import Combined, FunctionReward
from textgym.rewards.outcome import Outcome

RewardSpec = str | Mapping[Any, float] | Callable[[str, Any], float] | Reward

REWARDS: dict[str, str] = {
    "bleu": "textgym.rewards.bleu:Bleu",
    "chrf": "textgym.rewards.chrf:Chrf",
    "chrf++": "textgym.rewards.chrf:ChrfPlusPlus",
    "rouge_1": "textgym.rewards.rouge:Rouge1",
    "rouge_2": "textgym.rewards.rouge:Rouge2",
    "rouge_l": "textgym.rewards.rouge:RougeL",
    "exact_match": "textgym.rewards.matching:ExactMatch",
    "token_accuracy": "textgym.rewards.matching:TokenAccuracy",
    "ndcg": "textgym.rewards.ranking:Ndcg",
    "answer": "textgym.rewards.answers:Answer",
    "working": "textgym.rewards.answers:Working",
    "answer_format": "textgym.rewards.answers:AnswerFormat",
    "key_facts": "textgym.rewards.summary:KeyFacts",
    "triple_coverage": "textgym.rewards.facts:TripleCoverage",
    "faithfulness": "textgym.rewards.facts:Faithfulness",
    "length": "textgym.rewards.constraints:Length",
    "coverage": "textgym.rewards.constraints:Coverage",
    "sentiment": "textgym.rewards.sentiment:Sentiment",
    "diversity": "textgym.rewards.diversity:Diversity",
    "non_repetition": "textgym.rewards.diversity:NonRepetition",
    "fluency": "textgym.rewards.fluency:Fluency",
    "fluent_coverage": "textgym.rewards.fluency:FluentCoverage",
    "fluent_sentiment": "textgym.rewards.fluency:FluentSentiment",
    "constant": "textgym.rewards.controls:Constant",
    "random": "textgym.rewards.controls:Random",
}
"""Each bundled reward's name to ``module:Class``; the class needs no arguments."""

OUTCOME = "outcome:"
"""What stands before the name of a number of a conversation's outcome."""

ALIASES: dict[str, str] = {"chrfpp": "chrf++"}
"""Other spellings of names in `REWARDS`."""


def load_reward(spec: RewardSpec) -> Reward:
    """Make a reward from what a user may write for one.

    Args:
        spec: a name in `REWARDS`; "outcome:KEY" for a number of a conversation's outcome; a
            mapping from names or Rewards to weights, which becomes their weighted sum; a
            function ``f(text, example) -> float``; "package.module:NAME" for a function, a Reward
            or its class there; or a Reward, which is returned as it is.

    Raises:
        ValueError: an unknown name, or one that cannot be imported; or a mapping that is empty,
            repeats a name or holds a weight that is not finite.
        TypeError: anything else, or such a thing found by its name.
    """
    if isinstance(spec, Reward):
        return spec
    if isinstance(spec, str):
        return _named(spec)
    if isinstance(spec, Mapping):
        return Combined({_part(key): weight for key, weight in spec.items()})
    if isinstance(spec, type):
        raise TypeError(f"a reward is an instance, not a class: pass {spec.__name__}(...)")
    if callable(spec):
        return FunctionReward(spec)
    raise TypeError(
        "a reward is a name, a mapping of names to weights, a function f(text, example) -> float "
        f"or a Reward; got {spec!r}"
    )


def _part(key: object) -> Reward:
    if isinstance(key, (str, Reward)):
        return load_reward(key)
    raise TypeError(
        f"a combined reward maps names or Rewards to weights; its key {key!r} is neither "
        "(wrap a function: FunctionReward(f))"
    )


def _named(name: str) -> Reward:
    if name.startswith(OUTCOME):
        return Outcome(name.removeprefix(OUTCOME))
    if ":" in name:
        return _imported(name, name)
    name = ALIASES.get(name, name)
    if name not in REWARDS:
        known = sorted(REWARDS)
        close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ValueError(f"unknown reward {name!r}{hint}; known rewards: {', '.join(known)}")
    return _imported(name, REWARDS[name])


def _imported(name: str, target: str) -> Reward:
    module, _, attribute = target.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"reward {name!r} cannot be imported: {error}") from error
    made = found() if isinstance(found, type) else found
    if not callable(made):  # As Rewards are.
        raise TypeError(f"reward {name!r} is {made!r}, neither a function nor a Reward")
    return load_reward(made)
