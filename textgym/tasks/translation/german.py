"""German morphology: articles, adjective endings, nouns, verbs and pronouns, as tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

NOMINATIVE, ACCUSATIVE, DATIVE = 0, 1, 2
MASCULINE, FEMININE, NEUTER, PLURAL = 0, 1, 2, 3

Paradigm = tuple[tuple[str, str, str], ...]
"""Forms by gender (masculine, feminine, neuter, plural), then case (nominative to dative)."""

DER: Paradigm = (
    ("der", "den", "dem"),
    ("die", "die", "der"),
    ("das", "das", "dem"),
    ("die", "die", "den"),
)
RELATIVE: Paradigm = (*DER[:3], ("die", "die", "denen"))
EIN_ENDINGS: Paradigm = (("", "en", "em"), ("e", "e", "er"), ("", "", "em"), ("e", "e", "en"))
WEAK: Paradigm = (("e", "en", "en"), ("e", "e", "en"), ("e", "e", "en"), ("en", "en", "en"))
MIXED: Paradigm = (("er", "en", "en"), ("e", "e", "en"), ("es", "es", "en"), ("en", "en", "en"))
STRONG: Paradigm = (("er", "en", "em"), ("e", "e", "er"), ("es", "es", "em"), ("e", "e", "en"))

CONTRACTIONS = {
    "in dem": "im",
    "in das": "ins",
    "an dem": "am",
    "an das": "ans",
    "zu dem": "zum",
    "zu der": "zur",
    "von dem": "vom",
}


class Determiner(NamedTuple):
    """The forms of an article and the adjective endings it asks for."""

    forms: Paradigm
    endings: Paradigm


def _with_endings(stem: str, endings: Paradigm) -> Paradigm:
    return tuple((stem + nom, stem + acc, stem + dat) for nom, acc, dat in endings)


DETERMINERS: dict[str, Determiner] = {
    "the": Determiner(DER, WEAK),
    "this": Determiner(_with_endings("dies", STRONG), WEAK),
    "a": Determiner(_with_endings("ein", EIN_ENDINGS), MIXED),
    "no": Determiner(_with_endings("kein", EIN_ENDINGS), MIXED),
    "my": Determiner(_with_endings("mein", EIN_ENDINGS), MIXED),
    "du": Determiner(_with_endings("dein", EIN_ENDINGS), MIXED),
    "Sie": Determiner(_with_endings("Ihr", EIN_ENDINGS), MIXED),
    "his": Determiner(_with_endings("sein", EIN_ENDINGS), MIXED),
    "her": Determiner(_with_endings("ihr", EIN_ENDINGS), MIXED),
    "our": Determiner(_with_endings("unser", EIN_ENDINGS), MIXED),
    "their": Determiner(_with_endings("ihr", EIN_ENDINGS), MIXED),
    "many": Determiner(_with_endings("viel", STRONG), STRONG),
    "some": Determiner(_with_endings("einig", STRONG), STRONG),
    "": Determiner((("", "", ""),) * 4, STRONG),
}

PRONOUNS: dict[str, tuple[str, str, str]] = {
    "I": ("ich", "mich", "mir"),
    "du": ("du", "dich", "dir"),
    "Sie": ("Sie", "Sie", "Ihnen"),
    "he": ("er", "ihn", "ihm"),
    "she": ("sie", "sie", "ihr"),
    "it": ("es", "es", "ihm"),
    "we": ("wir", "uns", "uns"),
    "they": ("sie", "sie", "ihnen"),
    "who": ("wer", "wen", "wem"),
}
THINGS: Paradigm = (PRONOUNS["he"], PRONOUNS["she"], PRONOUNS["it"], PRONOUNS["they"])
"""Personal pronouns that stand for a noun, by its gender."""

REFLEXIVES = (
    ("mich", "mir"),
    ("dich", "dir"),
    ("sich", "sich"),
    ("uns", "uns"),
    ("sich", "sich"),
)
"""Reflexive pronouns by person (ich, du, er, wir, sie), then accusative and dative."""


@dataclass(frozen=True, slots=True)
class Noun:
    """A German noun: its gender and its forms by number (singular, plural), then case."""

    gender: int
    forms: tuple[tuple[str, ...], tuple[str, ...]]


def make_noun(article: str, singular: str, plural: str) -> Noun:
    """Decline a noun given with its article; a star on the singular marks the weak declension."""
    gender = ("der", "die", "das").index(article)
    oblique = base = singular.rstrip("*")
    if singular.endswith("*"):
        oblique = base + ("n" if base[-1] in "e" or base in {"Nachbar", "Bauer"} else "en")
    dative = plural if not plural or plural[-1] in "ns" else plural + "n"
    return Noun(gender, ((base, oblique, oblique), (plural, plural, dative)))


class Verb(NamedTuple):
    """A German verb; finite forms by person (ich, du, er, wir, sie), prefix left out."""

    prefix: str
    infinitive: str
    zu_infinitive: str
    present: tuple[str, ...]
    preterite: tuple[str, ...]
    participle: str
    auxiliary: str


INSEPARABLE = ("be", "ver", "er", "zer", "ent", "emp", "ge", "über", "unter")


def _regular(infinitive: str) -> tuple[str, str, str]:
    """Return he-present, he-preterite and participle of a regular verb."""
    stem = infinitive[:-2] if infinitive.endswith("en") else infinitive[:-1]
    t = "et" if stem[-1] in "td" else "t"
    bare = stem.startswith(INSEPARABLE) or infinitive.endswith("ieren")
    return stem + t, stem + t + "e", ("" if bare else "ge") + stem + t


def make_verb(name: str, irregular: dict[str, list[str]]) -> Verb:
    """Conjugate a verb; "|" sets off a prefix, "!" says regular, "*" says "sein".

    Args:
        name: The infinitive: "lesen", "an|rufen", "spazieren_|gehen", "auf|stehen*", "hängen!".
        irregular: By infinitive: he-present, he-preterite, participle (with a star for "sein")
            and, where it does not follow, the du-present.
    """
    prefix, _, rest = name.replace("_", " ").rpartition("|")
    starred = rest.endswith("*")
    rest = rest.rstrip("*")
    base = rest.rstrip("!")
    listed = irregular.get(rest, [])
    he, past, participle = listed[:3] if listed else _regular(base)
    auxiliary = "sein" if starred or participle.endswith("*") else "haben"
    stem = base[:-2] if base.endswith("en") else base[:-1]
    you = listed[3] if len(listed) > 3 else _du(he)
    first = he if he in {"mag", "weiß", "kann", "muss", "will", "soll", "darf"} else stem + "e"
    plural_past = past + ("n" if past.endswith("e") else "en")
    zu = prefix + "zu " + base if prefix.endswith(" ") else prefix + "zu" + base
    return Verb(
        prefix=prefix,
        infinitive=prefix + base,
        zu_infinitive=zu if prefix else "zu " + base,
        present=(first, you, he, base, base),
        preterite=(past, _du_past(past), past, plural_past, plural_past),
        participle=prefix + participle.rstrip("*"),
        auxiliary=auxiliary,
    )


def _du(he: str) -> str:
    """Return the du-form that goes with a regular he-form (liest: liest, findet: findest)."""
    base = he[:-1]
    return base + ("t" if base[-1] in "sßzx" else "st")


def _du_past(past: str) -> str:
    if past.endswith(("e", "n")) or past[-1] not in "sßzxtd":
        return past + "st"
    return past + ("t" if past[-1] in "sßzx" else "est")


HABEN = ("habe", "hast", "hat", "haben", "haben")
SEIN = ("bin", "bist", "ist", "sind", "sind")
WERDEN = ("werde", "wirst", "wird", "werden", "werden")
HATTE = ("hatte", "hattest", "hatte", "hatten", "hatten")
WAR = ("war", "warst", "war", "waren", "waren")
COPULA = Verb("", "sein", "zu sein", SEIN, WAR, "gewesen", "sein")
PERFECT = {"haben": HABEN, "sein": SEIN}
PLUPERFECT = {"haben": HATTE, "sein": WAR}


def _modal(singular: str, plural: str, you: str | None = None) -> tuple[str, ...]:
    du = you or singular + "st"
    return (singular, du, singular, plural + "en", plural + "en")


def _weak_past(stem: str) -> tuple[str, ...]:
    return (f"{stem}e", f"{stem}est", f"{stem}e", f"{stem}en", f"{stem}en")


MODALS: dict[str, tuple[str, ...]] = {
    "kann": _modal("kann", "könn"),
    "muss": _modal("muss", "müss", "musst"),
    "will": _modal("will", "woll"),
    "darf": _modal("darf", "dürf"),
    "soll": _modal("soll", "soll"),
    "sollte": _weak_past("sollt"),
    "möchte": _weak_past("möcht"),
    "konnte": _weak_past("konnt"),
    "musste": _weak_past("musst"),
    "wollte": _weak_past("wollt"),
    "durfte": _weak_past("durft"),
}
