"""Which problems there are at each level."""

from __future__ import annotations

from collections.abc import Callable

from textgym.tasks.arithmetic import chains, people, purchases
from textgym.tasks.arithmetic.teller import Story, Teller

Shape = Callable[[Teller], Story]

SHAPES: dict[str, tuple[Shape, ...]] = {
    "easy": (
        chains.one_event,
        chains.one_event,
        chains.one_event,
        people.compared,
        people.two_people,
        people.before_one,
    ),
    "medium": (
        chains.two_events,
        chains.two_events,
        chains.product_and_event,
        chains.product_and_event,
        chains.product_and_event,
        chains.product_taken,
        people.compared_together,
        people.times_together,
        people.before_two,
        purchases.shopping,
    ),
    "hard": (
        chains.product_and_two_events,
        chains.product_and_two_events,
        chains.shared_product,
        chains.shared_product,
        chains.shared_events,
        chains.shared_rest,
        people.product_together,
        purchases.two_goods,
    ),
}
"""The shapes of each level; one that stands twice is drawn twice as often."""
