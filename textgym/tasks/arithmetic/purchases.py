"""Problems about what is bought."""

from __future__ import annotations

from textgym.tasks.arithmetic.solve import Term
from textgym.tasks.arithmetic.teller import Story, Teller
from textgym.tasks.arithmetic.words import GOODS, Goods

IN_ALL = ("How many dollars did {P} spend in all?", "How many dollars did {he} pay altogether?")


def shopping(teller: Teller) -> Story:
    """So many at a price, and one thing more: k * m + x."""
    times, price, x = teller.fitting(
        lambda: (*teller.product(teller.limit - 20), teller.draws.between(2, 20))
    )
    facts = [
        teller.say("{P} bought {k} {goods} for {m} dollars each.", k=times, m=price),
        teller.link(teller.say("{He} paid {x} dollars for {treat}.", x=x)),
    ]
    return Story(facts, teller.say(IN_ALL), [Term(price, times), Term(x)])


def two_goods(teller: Teller) -> Story:
    """So many of one thing and so many of another, each at its price: k * m + j * n."""
    first, second = teller.draws.sample(GOODS, 2)

    def numbers() -> tuple[int, int, int, int]:
        k, m = _price(teller, first)
        j, n = _price(teller, second)
        while {j, n} == {k, m}:
            j, n = _price(teller, second)
        return k, m, j, n

    k, m, j, n = teller.fitting(numbers)
    sentence = f"{{P}} bought {k} {first.many} for {m} dollars each"
    if teller.draws.chance(0.5):
        sentence += f" and {j} {second.many} for {n} dollars each."
        facts = [teller.say(sentence)]
    else:
        other = f"{{He}} bought {j} {second.many} for {n} dollars each."
        facts = [teller.say(sentence + "."), teller.link(teller.say(other))]
    terms = [Term(m, k), Term(n, j)]
    if k * m - j * n > 1 and teller.draws.chance(0.4):
        question = f"How many dollars more did the {first.many} cost than the {second.many}?"
        return Story(facts, question, [terms[0], Term(n, j, -1)])
    return Story(facts, teller.say(IN_ALL), terms)


def _price(teller: Teller, goods: Goods) -> tuple[int, int]:
    """Return how many are bought, and the price of one in dollars."""
    price = teller.draws.between(goods.least, goods.most)
    return teller.draws.between(2, min(9, teller.limit // 2 // price)), price
