"""Pairs: the bundled file of a hundred prompts and answers."""

from __future__ import annotations

from importlib import resources

from textgym.tasks.files import FileTask


class PairsTask(FileTask):
    """The file `textgym/data/pairs.jsonl`, which `textgym/Text-v0` uses when no task is given."""

    max_prompt_tokens = 64
    max_new_tokens = 64

    def __init__(self) -> None:
        source = resources.files("textgym").joinpath("data/pairs.jsonl")
        with resources.as_file(source) as path:
            super().__init__(path, name="pairs")
