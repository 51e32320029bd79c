"""Who and what the problems are about."""

from __future__ import annotations

from typing import NamedTuple

WOMEN = ("Anna", "Clara", "Ella", "Grace", "Ida", "Julia", "Lena", "Mia", "Nora", "Rosa", "Sara")
MEN = ("Adam", "Ben", "David", "Emil", "Felix", "Hugo", "Jack", "Leo", "Max", "Oscar", "Tom")

SHE = {"he": "she", "him": "her", "his": "her", "He": "She", "His": "Her"}
HE = {"he": "he", "him": "him", "his": "his", "He": "He", "His": "His"}
"""Pronouns by the slot that they fill in a sentence."""

BYSTANDERS = ("kites", "pens", "keys", "spoons", "socks", "hats", "puzzles", "candles")
"""What a problem may mention and not ask about."""


class Goods(NamedTuple):
    """Something to buy: its plural, and its lowest and highest price in dollars."""

    many: str
    least: int
    most: int


GOODS = (
    Goods("books", 5, 15),
    Goods("pens", 2, 4),
    Goods("cups", 3, 8),
    Goods("shirts", 8, 15),
    Goods("balls", 4, 9),
    Goods("tickets", 5, 12),
    Goods("notebooks", 2, 5),
    Goods("plants", 4, 12),
    Goods("pizzas", 7, 12),
    Goods("lamps", 9, 15),
    Goods("toys", 3, 12),
    Goods("cakes", 6, 15),
)

TREATS = ("a scarf", "a game", "a gift", "a bag", "a meal", "a ring", "a belt", "a clock")
"""What money is spent on besides."""
