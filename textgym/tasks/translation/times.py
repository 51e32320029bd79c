"""Draws when something happens: dates, weekdays, times of day, spans."""

from __future__ import annotations

from textgym.tasks.translation import numbers
from textgym.tasks.translation.lexicon import Words
from textgym.tasks.translation.wording import Wording
from textgym.tasks.translation.writer import Writer

OTHER = Wording(word=1)
SPANS = (("day", "Tagen"), ("week", "Wochen"), ("month", "Monaten"), ("year", "Jahren"))
PARTS = (("morning", "morgen"), ("afternoon", "nachmittag"), ("evening", "abend"))
YESTERDAY = (
    Words("yesterday", ("gestern",)),
    Words("the day before yesterday", ("vorgestern",)),
)
TOMORROW = (
    Words("tomorrow", ("morgen",)),
    Words("the day after tomorrow", ("übermorgen",)),
)


def past_time(writer: Writer, *, memorable: bool, clock: bool, routine: bool = False) -> Words:
    """Return a time in the past; only what is remembered for years happened years ago."""
    if routine:
        return _routine_time(writer, YESTERDAY, clock=clock)
    roll = writer.unit()
    if roll < 0.45:
        key = "past_long" if memorable and writer.chance(0.4) else "past"
        return with_clock(writer, writer.words(key), clock=clock)
    if roll < 0.7:
        return with_clock(writer, day(writer, past=True), clock=clock)
    if roll < 0.85 and memorable:
        return month_or_year(writer)
    if roll < 0.93 or not clock:
        n = writer.between(2, 9 if memorable else 6)
        one, many = SPANS[writer.between(0, 3 if memorable else 0)]
        words = f"{numbers.english_number(n)} {one}s ago"
        return Words(words, (f"vor {numbers.german_number(n)} {many}",))
    return time_of_day(writer)


def future_time(writer: Writer, *, memorable: bool, clock: bool, routine: bool = False) -> Words:
    """Return a time in the future."""
    if routine:
        return _routine_time(writer, TOMORROW, clock=clock)
    roll = writer.unit()
    if roll < 0.5:
        key = "future_long" if memorable and writer.chance(0.4) else "future"
        return with_clock(writer, writer.words(key), clock=clock)
    if roll < 0.8:
        return with_clock(writer, day(writer, past=False), clock=clock)
    if roll < 0.9 or not clock:
        n = writer.between(2, 9 if memorable else 6)
        one, many = SPANS[writer.between(0, 2 if memorable else 0)]
        words = f"in {numbers.english_number(n)} {one}s"
        return Words(words, (f"in {numbers.german_number(n)} {many}",))
    return time_of_day(writer)


def _routine_time(writer: Writer, near: tuple[Words, ...], *, clock: bool) -> Words:
    """Return a day that is near enough for what is done every day, or a time of day."""
    if clock and writer.chance(0.3):
        return time_of_day(writer)
    if writer.chance(0.35):
        return with_clock(writer, weekday(writer), clock=clock)
    return with_clock(writer, writer.noted(writer.pick(near)), clock=clock)


def weekday(writer: Writer) -> Words:
    """Return a weekday."""
    index = writer.between(0, 6)
    english, german = numbers.ENGLISH_WEEKDAYS[index], numbers.GERMAN_WEEKDAYS[index]
    also = ("am Sonnabend",) if german == "Samstag" else ()
    return writer.noted(Words(f"on {english}", (f"am {german}", *also)))


def day(writer: Writer, *, past: bool) -> Words:
    """Return a weekday, with a part of the day or not, or a date."""
    if writer.chance(0.45):
        if writer.chance(0.6):
            return weekday(writer)
        index = writer.between(0, 6)
        english, german = numbers.ENGLISH_WEEKDAYS[index], numbers.GERMAN_WEEKDAYS[index]
        part, suffix = writer.pick(PARTS)
        return Words(f"on {english} {part}", (f"am {german}{suffix}",))
    month = writer.between(0, 11)
    number = writer.between(1, numbers.DAYS_IN_MONTH[month])
    year = writer.between(1990, 2024) if past and writer.chance(0.2) else 0
    english, wordings = numbers.date(number, month, year, spelled=writer.chance(0.25))
    also = numbers.also_date(number, month, year, spelled=english.startswith("on the"))
    return writer.noted(Words(english, tuple(wordings), (also,)))


def month_or_year(writer: Writer) -> Words:
    """Return a month or a year."""
    if writer.chance(0.5):
        index = writer.between(0, 11)
        english, german = numbers.ENGLISH_MONTHS[index], numbers.GERMAN_MONTHS[index]
        return Words(f"in {english}", (f"im {german}",))
    year = writer.between(1950, 2024)
    return Words(f"in {year}", (f"im Jahr {year}",))


def time_of_day(writer: Writer) -> Words:
    """Return a time of day."""
    minutes = (0, 0, 15, 30, 45, 5 * writer.between(1, 11))
    hour, minute = writer.between(1, 12), writer.pick(minutes)
    english, wordings = numbers.clock(hour, minute)
    return writer.noted(Words(english, tuple(wordings), numbers.also_clock(hour, minute)))


def with_clock(writer: Writer, date: Words, *, clock: bool) -> Words:
    """Return a day, sometimes with a time of day after it."""
    vague = (
        "week",
        "month",
        "year",
        "few",
        "soon",
        "weekend",
        "summer",
        "winter",
        "ago",
        "noon",
        "ing",
    )
    if not clock or not writer.chance(0.22) or any(word in date.english for word in vague):
        return date
    time = time_of_day(writer)
    wordings = [f"{day} {time.alternatives[0]}" for day in date.alternatives]
    also = f"{date.in_english(OTHER)} {time.in_english(OTHER)}"
    return writer.noted(Words(f"{date.english} {time.english}", tuple(wordings), (also,)))


def duration(writer: Writer) -> Words:
    """Return how long something goes on."""
    hours = writer.chance(0.6)
    n = writer.between(2, 9) if hours else 5 * writer.between(2, 11)
    one, many = ("hours", "Stunden") if hours else ("minutes", "Minuten")
    number = numbers.german_number(n)
    words = (f"{number} {many} lang", f"{number} {many}")
    return writer.noted(Words(f"for {numbers.english_number(n)} {one}", words))
