"""Reports of matches, meetings, days and quarters, and summaries that keep what matters."""

from textgym.tasks.summarization.task import SummarizationTask

__all__ = ["SummarizationTask"]
