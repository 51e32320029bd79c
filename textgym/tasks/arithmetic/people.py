"""Problems about two people: who has more, how many both have, and what was there before."""

from __future__ import annotations

from textgym.tasks.arithmetic.more_kinds import KINDS, WAY_BEHIND
from textgym.tasks.arithmetic.solve import Term
from textgym.tasks.arithmetic.teller import MOST_MOVED, Story, Teller

PERSONAL = tuple([kind for kind in KINDS if kind.verb])
OWNING = tuple([kind for kind in PERSONAL if kind is not WAY_BEHIND])
"""Kinds that people come by, and those that they then have."""

GIVEN = (
    "{P} gave {x} {T} to {Q} and had {b} left.",
    "After giving {x} {T} to {Q}, {P} had {b} left.",
)
RECEIVED = (
    "{P} got {x} {T} from {Q} and then had {b}.",
    "With {x} {T} from {Q}, {P} had {b} in all.",
)
GIVEN_TWICE = (
    "{P} gave {x} {T} to {Q} and {y} to a friend, and had {b} left.",
    "{P} lost {x} {T} and gave {y} to {Q}. {He} had {b} left.",
)
SWAPPED = (
    "{P} got {x} {T} from {Q} and gave {y} to a friend. {He} then had {b}.",
    "{P} found {x} {T} and lost {y}. After that {he} had {b}.",
)
AT_FIRST = ("How many {T} did {P} have at first?", "How many {T} did {P} have before?")


def compared(teller: Teller) -> Story:
    """One has so many more or fewer than the other: a + x or a - x."""
    teller.choose(PERSONAL)
    sign = 1 if teller.draws.chance(0.5) else -1
    start, x = teller.fitting(lambda: teller.pair(sign))
    question = _verbal(teller, "How many {T} did {Q} {do}?")
    return Story(_comparison(teller, start, sign, x), question, [Term(start), Term(x, 1, sign)])


def two_people(teller: Teller) -> Story:
    """Two have some; how many have both, or how many more has one: a + b or a - b."""
    teller.choose(PERSONAL)
    together = teller.draws.chance(0.5)
    first, second = teller.fitting(lambda: teller.pair(1 if together else -1))
    numbers = {"a": first, "b": second}
    facts = [_verbal(teller, "{P} {did} {a} {T} and {Q} {did} {b}.", **numbers)]
    if together:
        return _together(teller, facts, [Term(first), Term(second)])
    question = _verbal(teller, "How many more {T} did {P} {do} than {Q}?")
    return Story(facts, question, [Term(first), Term(second, 1, -1)])


def compared_together(teller: Teller) -> Story:
    """One has so many more or fewer than the other; how many have both: a + (a + x)."""
    teller.choose(PERSONAL)
    sign = 1 if teller.draws.chance(0.5) else -1

    def numbers() -> tuple[int, int]:
        start = teller.draws.between(4, teller.limit // 2 - 2)
        most = min(MOST_MOVED, teller.limit - 2 * start if sign > 0 else start - 2)
        return start, teller.draws.between(2, most)

    start, x = teller.fitting(numbers)
    facts = _comparison(teller, start, sign, x)
    return _together(teller, facts, [Term(start), Term(x, 1, sign), Term(start)])


def times_together(teller: Teller) -> Story:
    """One has so many times as many as the other; how many have both: a + k * a."""
    teller.choose(PERSONAL)

    def numbers() -> tuple[int, int]:
        times = teller.draws.between(3, 6)
        return times, teller.draws.between(2, min(15, teller.limit // (times + 1)))

    times, start = teller.fitting(numbers)
    facts = [
        _verbal(teller, "{P} {did} {a} {T}.", a=start),
        _verbal(teller, "{Q} {did} {k} times as many {T} as {P}.", k=times),
    ]
    return _together(teller, facts, [Term(start, times), Term(start)])


def product_together(teller: Teller) -> Story:
    """A product, and another has more or fewer; how many have both: p + (p + x)."""
    teller.choose([kind for kind in OWNING if kind.products])

    def numbers() -> tuple[int, int, bool, int]:
        times, value = teller.product(teller.limit // 2 - 5)
        amount = times * value
        more = teller.draws.chance(0.5) or amount < 6
        most = min(MOST_MOVED, teller.limit - 2 * amount if more else amount - 2)
        return times, value, more, teller.draws.between(2, most)

    times, value, more, x = teller.fitting(numbers)
    facts = [
        teller.say(teller.kind.products, k=times, m=value),
        _verbal(teller, "{Q} had {x} {more} {T} than {P}.", x=x, more=_more(more)),
    ]
    question = teller.say("How many {T} did they have together?")
    product = Term(value, times)
    return Story(facts, question, [product, Term(x, 1, 1 if more else -1), product])


def before_one(teller: Teller) -> Story:
    """What was there before something came or went: b + x or b - x."""
    teller.choose(OWNING)
    given = teller.draws.chance(0.5)
    rest, x = teller.fitting(lambda: teller.pair(1 if given else -1))
    facts = [teller.say(GIVEN if given else RECEIVED, x=x, b=rest)]
    return Story(facts, teller.say(AT_FIRST), [Term(rest), Term(x, 1, 1 if given else -1)])


def before_two(teller: Teller) -> Story:
    """What was there before things went twice, or came and went: b + x + y or b - x + y."""
    teller.choose(OWNING)
    given = teller.draws.chance(0.5)

    def numbers() -> tuple[int, int, int]:
        rest = teller.draws.between(8, teller.limit - 30)
        x = teller.draws.between(2, min(20, rest - 2))
        return rest, x, teller.draws.between(2, min(20, teller.limit - rest - x if given else 20))

    rest, x, y = teller.fitting(numbers)
    if given:
        facts = [teller.say(GIVEN_TWICE, x=x, y=y, b=rest)]
        terms = [Term(rest), Term(y), Term(x)]
    else:
        facts = [teller.say(SWAPPED, x=x, y=y, b=rest)]
        terms = [Term(rest), Term(y), Term(x, 1, -1)]
    return Story(facts, teller.say(AT_FIRST), terms)


def _comparison(teller: Teller, start: int, sign: int, x: int) -> list[str]:
    return [
        _verbal(teller, "{P} {did} {a} {T}.", a=start),
        _verbal(teller, "{Q} {did} {x} {more} {T} than {P}.", x=x, more=_more(sign > 0)),
    ]


def _more(more: bool) -> str:
    return "more" if more else "fewer"


def _together(teller: Teller, facts: list[str], terms: list[Term]) -> Story:
    return Story(facts, _verbal(teller, "How many {T} did they {do} together?"), terms)


def _verbal(teller: Teller, sentence: str, **slots: int | str) -> str:
    did, do = teller.kind.verb
    return sentence.format_map({**teller.slots, "did": did, "do": do, **slots})
