"""Wordle-v0: guess a hidden word of a list in a few turns."""

from textgym.tasks.wordle.task import WordleTask

__all__ = ["WordleTask"]
