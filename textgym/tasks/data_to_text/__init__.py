"""Data to text: triples of an invented world and the texts that state them."""

from textgym.tasks.data_to_text.task import DataToTextTask

__all__ = ["DataToTextTask"]
