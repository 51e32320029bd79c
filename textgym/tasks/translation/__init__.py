"""English to German in a controlled language: a lexicon, two grammars and a task."""

from textgym.tasks.translation.task import TranslationTask

__all__ = ["TranslationTask"]
