"""Numbers, dates and times of day in both languages."""

from __future__ import annotations

ENGLISH_UNITS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
ENGLISH_TENS = [
    "_",
    "_",
    "twenty",
    "thirty",
    "forty",
    "fifty",
    "sixty",
    "seventy",
    "eighty",
    "ninety",
]
GERMAN_UNITS = [
    "null",
    "ein",
    "zwei",
    "drei",
    "vier",
    "fünf",
    "sechs",
    "sieben",
    "acht",
    "neun",
    "zehn",
    "elf",
    "zwölf",
    "dreizehn",
    "vierzehn",
    "fünfzehn",
    "sechzehn",
    "siebzehn",
    "achtzehn",
    "neunzehn",
]
GERMAN_TENS = [
    "_",
    "_",
    "zwanzig",
    "dreißig",
    "vierzig",
    "fünfzig",
    "sechzig",
    "siebzig",
    "achtzig",
    "neunzig",
]
ENGLISH_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
GERMAN_MONTHS = [
    "Januar",
    "Februar",
    "März",
    "April",
    "Mai",
    "Juni",
    "Juli",
    "August",
    "September",
    "Oktober",
    "November",
    "Dezember",
]
DAYS_IN_MONTH = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
ENGLISH_WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
GERMAN_WEEKDAYS = ["Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"]

_ENGLISH_ORDINALS = {1: "first", 2: "second", 3: "third", 5: "fifth", 8: "eighth", 9: "ninth"}
_GERMAN_ORDINALS = {1: "ersten", 3: "dritten", 7: "siebten", 8: "achten"}


def english_number(n: int) -> str:
    """Spell a number from 0 to 99: "twenty-one"."""
    if n < 20:
        return ENGLISH_UNITS[n]
    tens = ENGLISH_TENS[n // 10]
    return f"{tens}-{ENGLISH_UNITS[n % 10]}" if n % 10 else tens


def german_number(n: int) -> str:
    """Spell a number from 0 to 99 as it stands before a noun: "einundzwanzig"."""
    if n < 20:
        return GERMAN_UNITS[n]
    tens = GERMAN_TENS[n // 10]
    return f"{GERMAN_UNITS[n % 10]}und{tens}" if n % 10 else tens


def english_ordinal(n: int) -> str:
    """Spell an ordinal from 1 to 31: "twenty-first"."""
    if n > 20 and n % 10:
        return f"{ENGLISH_TENS[n // 10]}-{english_ordinal(n % 10)}"
    if n in _ENGLISH_ORDINALS:
        return _ENGLISH_ORDINALS[n]
    word = english_number(n)
    return word.replace("lve", "lf").replace("ty", "tie") + "th"


def german_ordinal(n: int) -> str:
    """Spell an ordinal from 1 to 31 in the dative after "am": "einundzwanzigsten"."""
    if n in _GERMAN_ORDINALS:
        return _GERMAN_ORDINALS[n]
    return german_number(n) + ("ten" if n < 20 else "sten")


def date(day: int, month: int, year: int = 0, *, spelled: bool = False) -> tuple[str, list[str]]:
    """Return a date in English and its German wordings.

    Args:
        day: From 1.
        month: From 0.
        year: A year to add, or 0 for none.
        spelled: Whether English spells the day ("on the third of May") or not ("on 3 May").
    """
    english = f"on {day} {ENGLISH_MONTHS[month]}"
    if spelled:
        english = f"on the {english_ordinal(day)} of {ENGLISH_MONTHS[month]}"
    tail = f" {year}" if year else ""
    words = [f"am {d} {GERMAN_MONTHS[month]}{tail}" for d in (f"{day}.", german_ordinal(day))]
    return english + tail, words[::-1] if spelled else words


def also_date(day: int, month: int, year: int = 0, *, spelled: bool = False) -> str:
    """Return another English wording of a date: "on May 3, 1999" or "on 3 May 1999"."""
    name = ENGLISH_MONTHS[month]
    if spelled:
        return f"on {day} {name} {year}" if year else f"on {day} {name}"
    return f"on {name} {day}, {year}" if year else f"on {name} {day}"


def also_clock(hour: int, minute: int) -> tuple[str, ...]:
    """Return other English wordings of a time of day: "at seven thirty" for half past seven."""
    here = ENGLISH_UNITS[hour]
    if minute == 0:
        return (f"at {here}",)
    return (f"at {here} {english_number(minute)}",) if minute in (15, 30, 45) else ()


def clock(hour: int, minute: int) -> tuple[str, list[str]]:
    """Return a time of day in English and its German wordings.

    Args:
        hour: From 1 to 12; the hour that has begun.
        minute: 0, 15, 30 or 45 are spelled, others from 1 to 59 are in digits.
    """
    here, there = ENGLISH_UNITS[hour], ENGLISH_UNITS[hour % 12 + 1]
    german_here = "eins" if hour == 1 else GERMAN_UNITS[hour]
    german_there = "eins" if hour == 12 else GERMAN_UNITS[hour + 1]
    if minute == 0:
        return f"at {here} o'clock", [f"um {GERMAN_UNITS[hour]} Uhr"]
    if minute == 15:
        return f"at a quarter past {here}", [f"um Viertel nach {german_here}"]
    if minute == 30:
        return f"at half past {here}", [f"um halb {german_there}"]
    if minute == 45:
        return f"at a quarter to {there}", [f"um Viertel vor {german_there}"]
    return f"at {hour}:{minute:02d}", [f"um {hour}:{minute:02d} Uhr", f"um {hour}.{minute:02d} Uhr"]
