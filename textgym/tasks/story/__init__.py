"""The story task: continue an opening with given words and a given mood."""

from textgym.tasks.story.task import StoryTask

__all__ = ["StoryTask"]
