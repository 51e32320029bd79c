"""Tasks: where prompts and references come from. A task knows text only."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from textgym.tasks.base import SPLITS, Example, ProceduralTask, Task
from textgym.tasks.turns import Conversation, MultiTurnTask, Reply

__all__ = [
    "SPLITS",
    "TASKS",
    "Conversation",
    "Example",
    "MultiTurnTask",
    "ProceduralTask",
    "Reply",
    "Task",
    "load_task",
]

CLASS = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
"""How a class of a module is named: "package.module:Class"."""

TASKS: dict[str, str] = {
    "copy": "textgym.tasks.symbols:CopyTask",
    "reverse": "textgym.tasks.symbols:ReverseTask",
    "sort": "textgym.tasks.symbols:SortTask",
    "tiny": "textgym.tasks.tiny:TinyTask",
    "translation": "textgym.tasks.translation:TranslationTask",
    "story": "textgym.tasks.story:StoryTask",
    "pairs": "textgym.tasks.pairs:PairsTask",
    "summarization": "textgym.tasks.summarization:SummarizationTask",
    "data_to_text": "textgym.tasks.data_to_text:DataToTextTask",
    "recommendation": "textgym.tasks.recommendation:RecommendationTask",
    "arithmetic": "textgym.tasks.arithmetic:ArithmeticTask",
    "wordle": "textgym.tasks.wordle:WordleTask",
    "dialogue": "textgym.tasks.dialogue:DialogueTask",
    "replay": "textgym.tasks.replay:ReplayTask",
    "mixture": "textgym.tasks.mixture:MixtureTask",
}
"""The bundled tasks: name -> "module:Class". A new task is one file and a row here."""


def load_task(spec: Any, *, level: str | None = None, **kwargs: Any) -> Task:
    """Return the task that `spec` names or is.

    Args:
        spec: A name in `TASKS`; "module:Class" of a task of your own; the path of a file (.jsonl,
            .json, .csv, .tsv, each also with .gz, or .parquet); a `datasets.Dataset` or
            `DatasetDict`; rows (mappings) in a list; a mapping of splits to such sources; or a
            `Task`.
        level: The difficulty, where the task has levels.
        **kwargs: The task's other constructor arguments, for files those of `FileTask`.

    Raises:
        FileNotFoundError: If a path leads nowhere.
        TypeError: If `spec` is none of these.
        ValueError: If a name or a level is unknown, or what the file holds is not usable.
    """
    if isinstance(spec, Task):
        if kwargs or level is not None:
            raise ValueError(f"task {spec.name!r} is made already: pass its options when making it")
        return spec
    if isinstance(spec, str) and spec in TASKS:
        return _make(TASKS[spec], spec, level, kwargs)
    if isinstance(spec, str) and CLASS.fullmatch(spec):
        return _make(spec, spec, level, kwargs)
    if isinstance(spec, str) and not Path(spec).suffix:
        raise ValueError(
            f"there is no task {spec!r}: it is neither one of {', '.join(TASKS)} nor a path "
            "that ends in .jsonl, .json, .csv, .tsv (or these and .gz) or .parquet"
        )
    if not isinstance(spec, Iterable | Path):
        raise TypeError(f"a task is a name, a path, a dataset or a Task, not {type(spec)!r}")
    return _make("textgym.tasks.files:FileTask", str(spec)[:80], level, {"source": spec, **kwargs})


def _make(target: str, name: str, level: str | None, kwargs: dict[str, Any]) -> Task:
    module, _, attribute = target.partition(":")
    try:
        made = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"task {name!r}: {target!r} cannot be imported: {error}") from error
    parameters = inspect.signature(made).parameters
    if level is not None:
        if "level" not in parameters:
            raise ValueError(f"task {name!r} has no levels, so level={level!r} means nothing to it")
        kwargs = {"level": level, **kwargs}
    missing = [
        key
        for key, parameter in parameters.items()
        if key not in kwargs
        and parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if missing:
        raise ValueError(f"task {name!r} needs the arguments {', '.join(missing)} (task_kwargs)")
    task: Task = made(**kwargs)
    return task
