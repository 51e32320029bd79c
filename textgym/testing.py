"""Conformance of what users write: `check_task` and `check_reward` tell what is wrong."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from textgym.rewards import load_reward
from textgym.rewards.base import ExampleLike
from textgym.tasks import SPLITS, Conversation, Example, MultiTurnTask, Reply, Task, load_task
from textgym.tokenizers import Tokenizer, load_tokenizer
from textgym.tokenizers.frames import frame_of

ODD_TURNS = ("", " ", "\n", "no such thing", "äß€😀\u0301", "a" * 500)
"""Turns that no conversation may fail on."""

TOLERANCE = 1e-9
MOST_TURNS = 1000


def check_task(task: Any, *, samples: int = 50, tokenizer: Any = None, **kwargs: Any) -> None:
    """Check that a task keeps the contract of `textgym.tasks.Task`.

    Args:
        task: A task, or what `textgym.tasks.load_task` takes.
        samples: How many examples of each split to look at.
        tokenizer: What the environment will use; None for the task's own.
        **kwargs: Arguments of `load_task`, such as `level`.

    Raises:
        AssertionError: It does not; the message lists everything that is wrong, with the split
            and the number of the example.
    """
    loaded = load_task(task, **kwargs)
    chosen = load_tokenizer(loaded.tokenizer if tokenizer is None else tokenizer)
    _raise(f"task {getattr(loaded, 'name', task)!r}", _task_problems(loaded, samples, chosen))


def check_reward(reward: Any, examples: Sequence[ExampleLike], texts: Sequence[str] = ()) -> None:
    """Check that a reward keeps the contract of `textgym.rewards.Reward`.

    Args:
        reward: A reward, or what `textgym.rewards.load_reward` takes.
        examples: A few examples that it is meant for.
        texts: Further texts to score, besides the empty one, the prompts and the references.

    Raises:
        AssertionError: It does not; the message lists everything that is wrong.
    """
    loaded = load_reward(reward)
    _raise(f"reward {loaded.name!r}", _reward_problems(loaded, examples, texts))


def play_expert(env: Any, example: int) -> dict[str, Any]:
    """Play an episode as the task's expert does, by `reset` and `step`.

    Args:
        env: A single text environment, wrapped or not.
        example: The number of the example.

    Returns:
        The info at the end of the episode.
    """
    _, info = env.reset(options={"example": example})
    mdp = env.unwrapped.mdp
    shown = mdp.prompt(example).example
    said: list[tuple[str, str]] = []
    while "score" not in info:
        turn = mdp.task.expert(shown, said)
        for token in [*mdp.tokenizer.encode(turn), mdp.tokenizer.eos_id]:
            *_, info = env.step(token)
            if "score" in info:
                break
        said.append((turn, info.get("reply", "")))
    return dict(info)


def _raise(what: str, problems: Iterator[str]) -> None:
    found = list(dict.fromkeys(problems))
    if found:
        raise AssertionError("\n  - ".join([f"{what} breaks its contract:", *found]))


def _task_problems(task: Task, samples: int, tokenizer: Tokenizer) -> Iterator[str]:
    if not isinstance(getattr(task, "name", None), str) or not task.name:
        yield "it has no name: set the class attribute `name` to a string"
        return
    yield from _copy_problems(task)
    try:
        task.num_examples("no such split")
        yield "num_examples accepts a split that there is not: raise a ValueError"
    except ValueError:
        pass
    except Exception as error:
        yield f"num_examples raises {error!r} for a split that there is not, not a ValueError"
    shown: dict[str, str] = {}
    for split in SPLITS:
        try:
            size = task.num_examples(split)
        except Exception as error:
            yield f"num_examples({split!r}) raises {error!r}: return 0 for a split without examples"
            continue
        if split == "train" and size < 1:
            yield "the split 'train' is empty"
        for index in _indices(size, samples):
            where = f"example {index} of split {split!r}"
            try:
                example = task.example(index, split)
            except Exception as error:
                yield f"{where} raises {error!r}"
                continue
            problems = list(_example_problems(task, example, tokenizer))
            yield from (f"{where}: {problem}" for problem in problems)
            if not isinstance(example, Example):
                continue
            if not _same(example, task.example(index, split)):
                yield f"{where} is another one at the second call: draw it from (seed, index) alone"
            if shown.setdefault(str(example.prompt), split) != split:
                yield f"{where}: its prompt is in the split {shown[example.prompt]!r} as well"
        try:
            task.example(size, split)
            yield f"example {size} of split {split!r} is out of range: raise an IndexError"
        except IndexError:
            pass
        except Exception as error:
            yield f"example {size} of split {split!r} raises {error!r}, not an IndexError"


def _indices(size: int, samples: int) -> list[int]:
    """Some numbers out of `range(size)`: the first ones, the last one, and others."""
    few = list(range(min(size, samples)))
    return few if size <= samples else [*few, size - 1, size // 2]


def _same(first: Any, second: Any) -> bool:
    """Whether two examples are equal, arrays in their metadata included."""
    return pickle.dumps(first) == pickle.dumps(second) or repr(first) == repr(second)


def _copy_problems(task: Task) -> Iterator[str]:
    try:
        twin = pickle.loads(pickle.dumps(copy.deepcopy(task)))
        pairs = [(t.example(0, "train") if t.num_examples("train") else 0) for t in (task, twin)]
        if not _same(*pairs):
            yield "a pickled copy shows other examples"
    except Exception as error:
        yield f"it cannot be copied and pickled, as vector environments do: {error!r}"


def _example_problems(task: Task, example: Any, tokenizer: Tokenizer) -> Iterator[str]:
    if not isinstance(example, Example):
        yield f"it is a {type(example).__name__}, not a textgym.tasks.Example"
        return
    references: Any = example.references
    if not isinstance(example.prompt, str) or not example.prompt:
        yield "its prompt is no text or empty: a context needs a token"
        return
    if example.prompt[-1].isalnum():
        yield f"its prompt ends in {example.prompt[-1]!r}: end it in a separator, such as a newline"
    if not isinstance(references, tuple) or not all(isinstance(r, str) for r in references):
        yield "its references are no tuple of strings"
        return
    if not isinstance(example.metadata, Mapping):
        yield "its metadata is no mapping"
        return
    yield from _token_problems(task, example, tokenizer)
    if isinstance(task, MultiTurnTask):
        yield from _turn_problems(task, example, tokenizer)
        return
    try:
        if not isinstance(task.expert(example), str):
            yield "its expert says no text"
    except Exception as error:
        if references or not isinstance(error, ValueError):
            yield f"its expert raises {error!r}"


def _token_problems(task: Task, example: Example, tokenizer: Tokenizer) -> Iterator[str]:
    texts = {"prompt": (example.prompt,), "reference": example.references}
    limits = {"prompt": "max_prompt_tokens", "reference": "max_new_tokens"}
    for kind, written in texts.items():
        limit = getattr(task, limits[kind], None)
        for text in written:
            try:
                tokens = tokenizer.encode(text)
                framed = frame_of(tokenizer).prompt(text) if kind == "prompt" else tokens
            except ValueError as error:
                yield f"tokenizer {tokenizer.name!r} cannot encode its {kind}: {error}"
                continue
            if tokenizer.decode(tokens) != text and not tokenizer.illegal_ids & set(tokens):
                yield f"tokenizer {tokenizer.name!r} does not give its {kind} {text!r} back"
            length = len(framed) + (kind == "reference")
            shared = kind == "reference" and isinstance(task, MultiTurnTask)
            if limit is not None and length > limit and not shared:
                yield f"its {kind} has {length} tokens, more than the task's {limits[kind]}={limit}"


def _turn_problems(task: MultiTurnTask, example: Example, tokenizer: Tokenizer) -> Iterator[str]:
    for turn in ODD_TURNS:
        try:
            conversation = task.converse(example)
            reply = conversation.reply(turn)
            yield from _reply_problems(conversation, reply, turn)
        except Exception as error:
            yield f"its conversation raises {error!r} on the turn {turn[:20]!r}"
            return
        try:
            tokenizer.encode(reply.text)
        except ValueError as error:
            yield f"tokenizer {tokenizer.name!r} cannot encode the reply {reply.text!r}: {error}"
    try:
        yield from _expert_problems(task, example)
    except Exception as error:
        yield f"its expert or its conversation, played to the end or copied, raises {error!r}"


def _expert_problems(task: MultiTurnTask, example: Example) -> Iterator[str]:
    """Play the expert against two equal conversations and a copy of one."""
    first, second = task.converse(example), task.converse(example)
    said: list[tuple[str, str]] = []
    while len(said) < MOST_TURNS:
        twin = copy.deepcopy(first)
        turn: Any = task.expert(example, said)
        if not isinstance(turn, str):
            yield f"its expert says {turn!r} after {len(said)} turns, which is no text"
            return
        reply = first.reply(turn)
        if reply != second.reply(turn) or first.outcome() != second.outcome():
            yield "equal turns lead to different replies or outcomes: draw nothing at random there"
            return
        if twin.reply(turn) != reply:
            yield "a deep copy of its conversation goes on differently"
            return
        if reply.done:
            return
        said.append((turn, reply.text))
    yield f"its expert is not done after {MOST_TURNS} turns"


def _reply_problems(conversation: Conversation, reply: Any, turn: str) -> Iterator[str]:
    if not isinstance(reply, Reply) or not isinstance(reply.text, str):
        yield f"its conversation answers {turn[:20]!r} with no textgym.tasks.Reply"
        return
    if not reply.done and (not reply.text or reply.text[-1].isalnum()):
        yield f"the reply to {turn[:20]!r} does not end in a separator, such as a newline"
    for name, value in conversation.outcome().items():
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            yield f"its outcome {name!r} is {value!r}, not a finite number"


def _reward_problems(
    reward: Any, examples: Sequence[ExampleLike], texts: Sequence[str]
) -> Iterator[str]:
    pairs = [
        (text, example)
        for example in examples
        for text in ("", example.prompt, *example.references, *texts)
    ]
    try:
        scores = np.asarray(reward([t for t, _ in pairs], [e for _, e in pairs]))
    except Exception as error:
        yield f"it raises {error!r} on {len(pairs)} texts"
        return
    if scores.shape != (len(pairs),) or scores.dtype != np.float64:
        yield (
            f"{len(pairs)} texts give {scores.dtype} of shape {scores.shape}, not float64 "
            f"({len(pairs)},)"
        )
        return
    try:
        twin = pickle.loads(pickle.dumps(copy.deepcopy(reward)))
    except Exception as error:
        yield f"it cannot be copied and pickled, as vector environments do: {error!r}"
        return
    for (text, example), score in zip(pairs, scores.tolist(), strict=True):
        where = f"text {text[:40]!r} of the prompt {example.prompt[:40]!r}"
        if not math.isfinite(score):
            yield f"{where} scores {score}"
            continue
        if abs(float(twin([text], [example])[0]) - score) > TOLERANCE:
            yield f"{where} scores otherwise alone, or in a pickled copy"
        stream = reward.stream(example)
        for character in text[:200]:
            stream.append(character)
            stream.score()
        stream.append(text[200:])
        if abs(stream.score() - score) > TOLERANCE:
            yield f"{where} streams to {stream.score()}, but scores {score}"
