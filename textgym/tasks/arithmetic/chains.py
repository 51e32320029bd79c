"""Problems in which one quantity grows and shrinks, and may be shared out."""

from __future__ import annotations

from textgym.tasks.arithmetic.more_kinds import KINDS
from textgym.tasks.arithmetic.solve import Term
from textgym.tasks.arithmetic.teller import MOST_MOVED, Story, Teller

MULTIPLYING = tuple([kind for kind in KINDS if kind.products])
SPENDING = tuple([kind for kind in KINDS if kind.down_products])
SHARING = tuple([kind for kind in KINDS if kind.shares])
MULTIPLYING_SHARING = tuple([kind for kind in MULTIPLYING if kind.shares])


def one_event(teller: Teller) -> Story:
    """Something comes or goes: a + x or a - x."""
    teller.choose(KINDS)
    return _chain(teller, product=False, events=1)


def two_events(teller: Teller) -> Story:
    """Things come or go twice: a + x - y."""
    teller.choose(KINDS)
    return _chain(teller, product=False, events=2)


def product_and_event(teller: Teller) -> Story:
    """So many times so much, and then something comes or goes: k * m + x."""
    teller.choose(MULTIPLYING)
    return _chain(teller, product=True, events=1)


def product_and_two_events(teller: Teller) -> Story:
    """So many times so much, and then things come or go twice: k * m + x - y."""
    teller.choose(MULTIPLYING)
    return _chain(teller, product=True, events=2)


def shared_product(teller: Teller) -> Story:
    """A product, an event, and the whole is shared out: (k * m - x) / d."""
    teller.choose(MULTIPLYING_SHARING)
    return _chain(teller, product=True, events=1, share=True)


def shared_events(teller: Teller) -> Story:
    """A start, two events, and the whole is shared out: (a + x - y) / d."""
    teller.choose(SHARING)
    return _chain(teller, product=False, events=2, share=True)


def product_taken(teller: Teller) -> Story:
    """So many times so much is taken away: a - k * m."""
    kind = teller.choose(SPENDING)

    def numbers() -> tuple[int, int, int]:
        times, value = teller.product(teller.limit - 10)
        return times, value, teller.draws.between(times * value + 2, teller.limit)

    times, value, start = teller.fitting(numbers)
    facts = [teller.say(kind.starts, a=start), teller.say(kind.down_products, k=times, m=value)]
    return Story(facts, teller.say(kind.lefts), [Term(start), Term(value, times, -1)])


def shared_rest(teller: Teller) -> Story:
    """So many times so much is taken away, and the rest is shared out: (a - k * m) / d."""
    kind = teller.choose(SPENDING)

    def numbers() -> tuple[int, int, int, int]:
        shares = teller.draws.between(2, 9)
        rest = shares * teller.draws.between(2, min(12, 60 // shares))
        times, value = teller.product(teller.limit - rest)
        return times, value, rest + times * value, shares

    times, value, start, shares = teller.fitting(numbers)
    facts = [teller.say(kind.starts, a=start), teller.say(kind.down_products, k=times, m=value)]
    return _shared(teller, facts, [Term(start), Term(value, times, -1)], shares)


def _chain(teller: Teller, *, product: bool, events: int, share: bool = False) -> Story:
    kind, draws = teller.kind, teller.draws
    pool = [(1, up) for up in kind.ups] + [(-1, down) for down in kind.downs]
    happening = draws.sample(pool, events)
    signs = [sign for sign, _ in happening]
    shares = draws.between(2, 9) if share else 1

    def numbers() -> tuple[int, int, list[int], int]:
        times, moved = 1, None
        while moved is None:
            if product:
                times, value = teller.product(teller.limit - 2)
                moved = _onward(teller, times * value, signs, shares)
            else:
                value, moved = _backward(teller, signs, shares)
        return times, value, moved, shares

    times, value, moved, _ = teller.fitting(numbers)
    if product:
        facts = [teller.say(kind.products, k=times, m=value)]
    else:
        facts = [teller.say(kind.starts, a=value)]
    for count, ((_, sentence), x) in enumerate(zip(happening, moved, strict=True)):
        said = teller.say(sentence, x=x)
        facts.append(teller.link(said) if count else said)
    terms = [Term(value, times), *[Term(x, 1, s) for s, x in zip(signs, moved, strict=True)]]
    if share:
        return _shared(teller, facts, terms, shares)
    return Story(facts, teller.say(_questions(teller, lost=signs[-1] < 0)), terms)


def _onward(teller: Teller, start: int, signs: list[int], shares: int) -> list[int] | None:
    """Return what comes or goes each time, so that the end is a multiple of `shares`, or None."""
    total = start
    moved: list[int] = []
    for sign in signs:
        most = min(MOST_MOVED, teller.limit - total if sign > 0 else total - 2)
        choices = range(2, most + 1)
        if len(moved) == len(signs) - 1 and shares > 1:
            first = -sign * total % shares
            choices = range(first if first >= 2 else first + shares, most + 1, shares)
        if not choices:
            return None
        moved.append(teller.draws.pick(choices))
        total += sign * moved[-1]
    return moved if total >= 3 * shares or shares == 1 else None


def _backward(teller: Teller, signs: list[int], shares: int) -> tuple[int, list[int] | None]:
    """Draw the end, then what came before it: the start, and what comes or goes each time."""
    total = shares * teller.draws.between(
        2 if shares == 1 else 3, min(teller.limit, 30 * shares) // shares
    )
    moved: list[int] = []
    for sign in reversed(signs):
        most = min(MOST_MOVED, total - 2 if sign > 0 else teller.limit - total)
        if most < 2:
            return total, None
        moved.insert(0, teller.draws.between(2, most))
        total -= sign * moved[0]
    return total, moved


def _questions(teller: Teller, *, lost: bool) -> tuple[str, ...]:
    kind = teller.kind
    return (*kind.asks, *kind.lefts) if lost else kind.asks


def _shared(teller: Teller, facts: list[str], terms: list[Term], shares: int) -> Story:
    share = teller.draws.pick(teller.kind.shares)
    facts.append(teller.link(teller.say(share.sentence, d=shares)))
    return Story(facts, teller.say(share.question), terms, shares)
