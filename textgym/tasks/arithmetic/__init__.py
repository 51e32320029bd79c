"""Word problems of one to three steps, answered with the working."""

from textgym.tasks.arithmetic.task import ArithmeticTask

__all__ = ["ArithmeticTask"]
