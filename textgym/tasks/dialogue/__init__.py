"""An assistant that books, looks up and corrects for a simulated user, turn by turn."""

from textgym.tasks.dialogue.task import DialogueTask

__all__ = ["DialogueTask"]
