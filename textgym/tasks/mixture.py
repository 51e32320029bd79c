"""Several tasks in one, for learners of many tasks."""

from __future__ import annotations

import inspect
import math
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from itertools import accumulate
from typing import Any, NamedTuple

from textgym.tasks import CLASS, TASKS, load_task
from textgym.tasks.base import NUM_PROCEDURAL_EXAMPLES, SPLITS, Example, Task
from textgym.tasks.turns import Conversation, MultiTurnTask, Reply

TEXT_TASKS = (
    "translation",
    "summarization",
    "dialogue",
    "story",
    "data_to_text",
    "recommendation",
    "arithmetic",
    "wordle",
)
"""The bundled tasks in natural language: the members of a mixture where none are named."""

UNSTATED_LIMIT = 64
"""The tokens of a prompt or an answer of a member that states no limit, as in environments."""


class Member(NamedTuple):
    """One task of a mixture, what it is called there, and how often it is drawn."""

    name: str
    task: Task
    weight: float


class OneTurn(Conversation):
    """A conversation that is over after the agent's first turn."""

    def reply(self, turn: str) -> Reply:
        """End the conversation without a word."""
        return Reply("", done=True)

    def outcome(self) -> Mapping[str, float]:
        """Return no numbers: nothing came of it but the text."""
        return {}


class MixtureTask(MultiTurnTask):
    """Examples of several tasks, each drawn as often as its weight says.

    The agent does what the prompt asks for; "task" in the metadata of an example says which member
    it is of, and all else is the member's: prompt, references, metadata, conversation, expert. The
    other members' examples around it change nothing:

        MixtureTask(["translation", {"task": "translation", "direction": "de-en", "weight": 2}])

    Which member example `i` is of follows from (seed, i) alone: a counter-based hash of the two is
    a number in [0, 1), which the weights part among the members. It is the member's own example
    `i`, so that no two are the same; of a member with fewer examples, `i` modulo their number.
    A member without examples in a split is left out there.

    Every member becomes a conversation. One of a single turn is over after it, without a reply, and
    its outcome is empty, so that its text is scored as it is alone. The limits are the largest ones
    of the members. A reward has to fit every member, or to look at "task".

    Args:
        tasks: The members: names, "module:Class", paths or `Task` objects, as `load_task` takes
            them; or a mapping with such a "task", and optionally "weight" (relative, above 0; 1 by
            default), "name" (what metadata calls it; the task's own by default) and arguments of
            the task, such as "level". None stands for the bundled tasks in natural language. Of
            members with one name, the second is called "name#2", and so on.
        level: For members that have levels and name none themselves; None for their own default.
        seed: For the draws, and for members that take a seed and name none; a whole number >= 0.

    Raises:
        ValueError: If there are no members, a weight is not above 0, the seed is negative, a member
            is a mixture or unknown, or a level or another argument is wrong.
    """

    name = "mixture"

    def __init__(
        self, tasks: Sequence[Any] | None = None, *, level: str | None = None, seed: int = 0
    ) -> None:
        if seed < 0:
            raise ValueError(f"the seed of task {self.name!r} must be >= 0, not {seed}")
        self.level = level
        self.seed = seed
        specs = [name for name in TEXT_TASKS if name in TASKS] if tasks is None else list(tasks)
        self.members = _named([_member(spec, level, seed) for spec in specs])
        if not self.members:
            raise ValueError(f"task {self.name!r} needs one member at least: tasks is empty")
        made = [member.task for member in self.members]
        self.max_prompt_tokens = max(_limit(task, "max_prompt_tokens") for task in made)
        self.max_new_tokens = max(_limit(task, "max_new_tokens") for task in made)
        alike = all(task.tokenizer == made[0].tokenizer for task in made)
        self.tokenizer = made[0].tokenizer if alike else None
        self._by_name = {member.name: member.task for member in self.members}
        self._drawn = {split: _Wheel(self.members, split) for split in SPLITS}

    def num_examples(self, split: str) -> int:
        """Return 2**31, or 0 for a split in which no member has examples.

        Raises:
            ValueError: If the split is not one of `SPLITS`.
        """
        return NUM_PROCEDURAL_EXAMPLES if self._wheel(split).members else 0

    def example(self, index: int, split: str = "train") -> Example:
        """Return example `index` of a split; it depends on (seed, index, split) alone.

        Raises:
            ValueError: If the split is not one of `SPLITS`.
            IndexError: If the index is not in `range(num_examples(split))`.
        """
        wheel = self._wheel(split)
        size = self.num_examples(split)
        if not 0 <= index < size:
            raise IndexError(
                f"example {index} of task {self.name!r} is out of range: the split {split!r} has "
                f"{size} examples, numbered from 0"
            )
        member, count = wheel.pick(unit_hash(self.seed, index))
        example = member.task.example(index % count, split)
        return replace(example, metadata={**example.metadata, "task": member.name})

    def converse(self, example: Example) -> Conversation:
        """Return the member's conversation; of a single turn where the member knows no other."""
        task = self._task_of(example)
        return task.converse(example) if isinstance(task, MultiTurnTask) else OneTurn()

    def expert(self, example: Example, turns: Sequence[tuple[str, str]] = ()) -> str:
        """Return the next turn of the member's expert."""
        return self._task_of(example).expert(example, turns)

    def _wheel(self, split: str) -> _Wheel:
        if split not in self._drawn:
            raise ValueError(
                f"task {self.name!r} has no split {split!r}; splits are {', '.join(SPLITS)}"
            )
        return self._drawn[split]

    def _task_of(self, example: Example) -> Task:
        name = example.metadata.get("task")
        if name not in self._by_name:
            raise ValueError(
                f"the example with the prompt {example.prompt[:60]!r} is of task {name!r}, which "
                f"is no member of the mixture of {', '.join(self._by_name)}"
            )
        return self._by_name[name]


class _Wheel:
    """The members that have examples in a split, and which numbers in [0, 1) are whose."""

    def __init__(self, members: Sequence[Member], split: str) -> None:
        counted = [(member, member.task.num_examples(split)) for member in members]
        self.members = [(member, count) for member, count in counted if count]
        sums = list(accumulate(member.weight for member, _ in self.members))
        self._bounds = [part / sums[-1] for part in sums[:-1]]

    def pick(self, number: float) -> tuple[Member, int]:
        """Return the member whose part of [0, 1) a number is in, and its number of examples."""
        return self.members[bisect(self._bounds, number)]


def _member(spec: Any, level: str | None, seed: int) -> Member:
    """Return a member with the name that it was given, or its task's."""
    if not isinstance(spec, Mapping):
        spec = {"task": spec}
    options = dict(spec)
    if "task" not in options:
        raise ValueError(f'a member of a mixture needs a "task", and {spec!r} has none')
    wanted = options.pop("task")
    weight, name = options.pop("weight", 1.0), options.pop("name", None)
    if isinstance(weight, bool) or not 0.0 < weight < math.inf:
        raise ValueError(f"the weight of member {wanted!r} must be above 0, not {weight!r}")
    task = load_task(wanted, **{**_shared(wanted, level, seed), **options})
    if isinstance(task, MixtureTask):
        raise ValueError("a mixture cannot be the member of another one: name its members instead")
    return Member(name or task.name, task, float(weight))


def _shared(spec: Any, level: str | None, seed: int) -> dict[str, Any]:
    """Return the mixture's own level and seed, as far as a task that is named takes them."""
    target = TASKS.get(spec, spec) if isinstance(spec, str) else ""
    if not CLASS.fullmatch(target):
        return {}
    module, _, attribute = target.partition(":")
    try:
        known = inspect.signature(getattr(import_module(module), attribute)).parameters
    except (ImportError, AttributeError):
        return {}
    shared = {"level": level, "seed": seed}
    return {key: value for key, value in shared.items() if key in known and value is not None}


def _named(members: Sequence[Member]) -> tuple[Member, ...]:
    """Return the members with names that differ: "copy", "copy#2"."""
    seen: dict[str, int] = {}
    named = []
    for member in members:
        seen[member.name] = count = seen.get(member.name, 0) + 1
        named.append(member if count == 1 else member._replace(name=f"{member.name}#{count}"))
    return tuple(named)


def _limit(task: Task, name: str) -> int:
    return int(getattr(task, name, UNSTATED_LIMIT))


MASK = 2**64 - 1


def unit_hash(seed: int, index: int) -> float:
    """Return a number in [0, 1) that looks random: SplitMix64 (Steele, Lea and Flood 2014)."""
    mixed = _mix64((_mix64(seed & MASK) + (index + 1) * 0x9E3779B97F4A7C15) & MASK)
    return (mixed >> 11) / 2.0**53


def _mix64(z: int) -> int:
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)
