"""English morphology: verb forms, plurals and the indefinite article."""

from __future__ import annotations

from typing import NamedTuple


class Verb(NamedTuple):
    """An English verb's forms: read, reads, read, read, reading."""

    base: str
    third: str
    past: str
    participle: str
    ing: str


def make_verb(base: str, past: str = "", participle: str = "") -> Verb:
    """Return the forms of a verb; past and participle are regular where they are left out."""
    ending = "d" if base.endswith("e") else "ed"
    consonant_y = base.endswith("y") and base[-2] not in "aeiou"
    regular = base[:-1] + "ied" if consonant_y else _doubled(base) + ending
    return Verb(
        base, third_person(base), past or regular, participle or past or regular, _ing(base)
    )


def third_person(base: str) -> str:
    """Return the he-form of the present tense."""
    if base == "have":
        return "has"
    if base.endswith("y") and base[-2] not in "aeiou":
        return base[:-1] + "ies"
    return base + ("es" if base.endswith(("s", "sh", "ch", "x", "o")) else "s")


def _ing(base: str) -> str:
    if base == "lie":
        return "lying"
    if base.endswith("e") and not base.endswith("ee"):
        return base[:-1] + "ing"
    return _doubled(base) + "ing"


def _doubled(base: str) -> str:
    """Double a final consonant after one short stressed vowel (swim: swimm)."""
    vowels = [c in "aeiou" for c in base]
    short = sum(vowels) == 1 or base in {"forget", "begin", "travel"}
    if short and len(base) > 2 and vowels[-3:] == [False, True, False] and base[-1] not in "wxy":
        return base + base[-1]
    return base


def plural(singular: str) -> str:
    """Return the regular plural of a noun."""
    return singular + "s"


def with_article(words: str) -> str:
    """Put "a" or "an" before a noun phrase."""
    vowel = words[0].lower() in "aeiou" and not words.startswith(("uni", "use"))
    return ("an " if vowel else "a ") + words


BE_PRESENT = ("am", "are", "is", "are", "are")
BE_PAST = ("was", "were", "was", "were", "were")
"""Forms of "be" by person (I, you, he, we, they)."""
