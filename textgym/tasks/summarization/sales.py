"""Reports of a quarter's sales: the total, against the quarter before, and the best product."""

from __future__ import annotations

from typing import NamedTuple

from textgym.tasks.draws import Draws
from textgym.tasks.summarization.report import KeyFact, Report, Step, Way, capital, low
from textgym.tasks.summarization.words import COMPANIES, PEOPLE, PRODUCTS, TOWNS

OPENINGS = (
    "{company} has closed its {quarter} quarter.",
    "the {quarter} quarter at {company} is over.",
    "{company} reports on its {quarter} quarter.",
    "here are the {quarter} quarter's sales at {company}.",
)
PLAIN = {
    "from": (
        "{company} sold {total} items in all, {direction} from {old}.",
        "sales at {company} went {direction} from {old} to {total} items.",
    ),
    "by": (
        "{company} sold {total} items in all, {change} {more} than before.",
        "with {total} items the sales were {change} items {higher} than before.",
    ),
}
PLAIN_BEST = ("the {best} sold best.", "the best sellers were the {best}.")
TOTAL = ("{company} sold {total} items in all.", "in all {total} items were sold.")
OLD = (
    "in the quarter before it had been {old} items.",
    "the quarter before had ended with {old} items.",
    "the quarter before, {company} had sold {old} items.",
)
PERCENT = (
    "sales were {percent} percent {higher} than in the quarter before.",
    "compared with the quarter before, sales {moved} by {percent} percent.",
)
SOLD = (
    "{count} {product} were sold.",
    "customers bought {count} {product}.",
    "the shops sold {count} {product}.",
)
RELATIVE = (
    "customers bought {count} {more} {product} than {other}.",
    "the shops sold {count} {more} {product} than {other}.",
)

ASIDES = (
    "{company} opened a shop in {town}.",
    "{head} is the head of sales.",
    "{staff} people work at {company}.",
    "the price of {product} went up.",
    "{joined} joined the sales team.",
    "the stand at the {fair} fair drew many visitors.",
    "the website got a new look.",
    "parcels arrived within {days} days.",
    "{asked} customers answered a survey.",
    "a truck broke down near {town}.",
    "the staff had a party in {fair}.",
    "{left} left the company.",
    "the shop in {fair} closed for {weeks} weeks.",
    "a new catalogue was printed.",
    "many customers asked for gift cards.",
)
DEEP_ASIDES = (
    *ASIDES,
    "{rival} sold {rival_total} items.",
    "the plan for the next quarter is {goal} items.",
    "a year ago {company} sold {year_ago} items.",
)
"""Asides from the level "medium" on: some look like what matters."""

REFERENCES = {
    "from": (
        "{company} sold {total} items, {direction} from {old}, and {best} sold best.",
        "Sales at {company} {moved} from {old} to {total} items, led by {best}.",
        "{best} sold best at {company}, where sales {moved} from {old} to {total} items.",
        "{company} sold {total} items, {change} {more} than before, and {best} sold best.",
        "With {best} as best sellers, sales at {company} {moved} from {old} to {total} items.",
    ),
    "by": (
        "{company} sold {total} items, {change} {more} than before, and {best} sold best.",
        "Sales at {company} {moved} by {change} to {total} items, led by {best}.",
        "{best} sold best at {company}, where sales {moved} by {change} to {total} items.",
        "With {best} as best sellers, sales at {company} {moved} by {change} to {total} items.",
    ),
    "percent": (
        "{company} sold {total} items, {direction} {percent} percent, and {best} sold best.",
        "Sales at {company} {moved} by {percent} percent to {total} items, led by {best}.",
        "{best} sold best at {company}, where sales {moved} by {percent} percent to {total} items.",
        "With {best} as best sellers, {company} sold {total} items, {direction} {percent} percent.",
    ),
}

UP: Step = ("rose", "grew", "climbed", "increased", "up", "went up")
DOWN: Step = ("fell", "dropped", "sank", "decreased", "down", "went down")
MORE: Step = ("more", "higher")
FEWER: Step = ("fewer", "less", "lower")
SOLD_OR_TO: Step = ("sold", "to", "total of", "totalled")
SOLD_BY: Step = ("sold",)
SALES: Step = ("sales",)
AT: Step = ("at", "of")
FROM: Step = ("from",)
BY: Step = ("by",)
BEST: Step = ("sold best", "led", "as best sellers", "were the best sellers")
LED_BY: Step = ("led by", "best sellers were", "best seller was")


class Sales(NamedTuple):
    """The numbers of a quarter.

    Attributes:
        counts: Items sold of each product, the best one first.
        old: The total of the quarter before.
        percent: The change in whole percent of the old total; 0 where it is told otherwise.
    """

    counts: tuple[int, ...]
    old: int
    percent: int

    @property
    def total(self) -> int:
        """The items sold."""
        return sum(self.counts)


def write_sales(draws: Draws, level: str) -> Report:
    """Draw a quarter and tell it."""
    sales = _sales(draws, level)
    company, rival = draws.sample(COMPANIES, 2)
    products = draws.sample(PRODUCTS, 5)
    rising = sales.total > sales.old
    kind = draws.pick(("from", "by")) if level == "easy" else "from"
    if sales.percent:
        kind = "percent"
    slots: dict[str, object] = {
        "company": company,
        "quarter": draws.pick(("first", "second", "third", "fourth")),
        "total": sales.total,
        "old": sales.old,
        "change": abs(sales.total - sales.old),
        "percent": sales.percent,
        "direction": "up" if rising else "down",
        "moved": "rose" if rising else "fell",
        "more": "more" if rising else "fewer",
        "higher": "higher" if rising else "lower",
        "best": products[0],
        "rival": rival,
        "product": products[4],
    }
    body = _body(draws, level, slots, (kind, sales, products[:4]))
    return Report(
        opening=draws.pick(OPENINGS).format_map(slots),
        body=body,
        asides=ASIDES if level == "easy" else DEEP_ASIDES,
        slots=slots | _aside_slots(draws, sales.total),
        references=[capital(each.format_map(slots)) for each in REFERENCES[kind]],
        truth={
            "kind": "sales",
            "company": company,
            "best": products[0],
            "total": sales.total,
            "old": None if kind != "from" else sales.old,
            "change": sales.total - sales.old,
            "percent": sales.percent,
        },
        key_facts=_key_facts(slots, kind),
    )


def _sales(draws: Draws, level: str) -> Sales:
    """Draw numbers that fit one another; the best product leads by a good deal."""
    percent = draws.pick((10, 20, 30, 40)) if level == "hard" and draws.chance(0.5) else 0
    rising = draws.chance(0.5)
    if percent:
        old = draws.between(4, 10) * 100
        total = old + (old if rising else -old) * percent // 100
    else:
        total = draws.between(30, 120) * 10
        change = draws.between(1, 12) * 10
        old = total - change if rising else total + change
    kinds, most = (4, 24) if level == "hard" else (3, 30)  # most: a thousandth of ten times that
    others = [draws.between(total // 100, total * most // 1000) * 10 for _ in range(kinds - 1)]
    return Sales((total - sum(others), *others), old, percent)


def _body(
    draws: Draws, level: str, slots: dict[str, object], told: tuple[str, Sales, list[str]]
) -> list[str]:
    kind, sales, products = told
    if level == "easy":
        plain = (draws.pick(PLAIN[kind]), draws.pick(PLAIN_BEST))
        return draws.shuffled([each.format_map(slots) for each in plain])
    before = draws.pick(PERCENT if kind == "percent" else OLD).format_map(slots)
    counts = _counts(draws, sales.counts, products, relative=level == "hard")
    if level == "hard":
        return draws.shuffled([*counts, before])
    return [draws.pick(TOTAL).format_map(slots), *draws.shuffled([*counts, before])]


def _counts(
    draws: Draws, counts: tuple[int, ...], products: list[str], *, relative: bool
) -> list[str]:
    """Return a sentence for each product; one may be told relative to another."""
    told = [
        draws.pick(SOLD).format(count=count, product=product)
        for count, product in zip(counts, products, strict=False)
    ]
    i, j = draws.sample(range(len(counts)), 2)
    if relative and counts[i] != counts[j]:
        told[i] = draws.pick(RELATIVE).format(
            count=abs(counts[i] - counts[j]),
            more="more" if counts[i] > counts[j] else "fewer",
            product=products[i],
            other=products[j],
        )
    return told


def _aside_slots(draws: Draws, total: int) -> dict[str, object]:
    head, joined, left = draws.sample(PEOPLE, 3)
    town, fair = draws.sample(TOWNS, 2)
    return {
        "head": head,
        "joined": joined,
        "left": left,
        "town": town,
        "fair": fair,
        "staff": draws.between(12, 95),
        "days": draws.between(2, 9),
        "asked": draws.between(12, 95),
        "weeks": draws.between(2, 9),
        "rival_total": draws.between(30, 120) * 10 + 5,
        "goal": total + draws.between(2, 20) * 10 + 5,
        "year_ago": total - draws.between(2, 20) * 10 + 5,
    }


def _key_facts(slots: dict[str, object], kind: str) -> list[KeyFact]:
    rising = slots["direction"] == "up"
    moved, amount, opposite = (UP, MORE, (DOWN, FEWER)) if rising else (DOWN, FEWER, (UP, MORE))
    total, old, change = ((str(slots[name]),) for name in ("total", "old", "change"))
    percent: Step = (f"{slots['percent']} percent",)
    measure = percent if kind == "percent" else change
    changed: tuple[Way, ...] = ((moved, BY, measure), (measure, amount))
    if kind == "percent":
        changed = (*changed, (moved, percent))
    elif kind == "from":
        changed = (*changed, (moved, FROM, old))
    best, company = low(str(slots["best"])), low(str(slots["company"]))
    return [
        KeyFact("company", ((company, SOLD_BY), (AT, company), (company, SALES))),
        KeyFact(
            "total",
            ((SOLD_OR_TO, total),),
            ((FROM, total), (SOLD_OR_TO, old), (SOLD_OR_TO, (f"{slots['change']} items",))),
        ),
        KeyFact("change", changed, tuple((each,) for each in opposite)),
        KeyFact("best", ((best, BEST), (LED_BY, best))),
    ]
