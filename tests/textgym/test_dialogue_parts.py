"""Dialogue's parts: names, commands, the knowledge base, and what is understood."""

from __future__ import annotations

from typing import Any

import pytest

from textgym.tasks.dialogue.commands import Command, parse_command, write_command
from textgym.tasks.dialogue.domains import DOMAINS, VALUES
from textgym.tasks.dialogue.knowledge import KnowledgeBase
from textgym.tasks.dialogue.names import NUMBERS, name_of
from textgym.tasks.dialogue.understanding import asked_slots, heard_values, same_slots

QUERY = {"area": "north", "food": "Thai", "price": "cheap"}
FACTS: dict[str, Any] = {"seed": 12345, "absent": [], "single": [], "full": []}


def ask(knowledge: KnowledgeBase, turn: str) -> str:
    command = parse_command(turn)
    assert command is not None
    return knowledge.answer(command)


# --- the knowledge base


@pytest.mark.parametrize("domain", DOMAINS)
def test_names_of_a_domain_are_distinct_and_shuffled_by_the_seed(domain: str) -> None:
    count = 2
    for slot in DOMAINS[domain].search:
        count *= len(VALUES[slot])
    assert count <= NUMBERS[domain]
    for seed in (0, 1, 99, 2**31 - 1):
        names = [name_of(domain, number, seed) for number in range(count)]
        assert len(set(names)) == count
    assert name_of(domain, 7, 1234) != name_of(domain, 7, 4321)


def test_commands_are_read_back_and_others_are_words_to_the_user() -> None:
    written = write_command("book", "Lotus Garden", {"day": "Friday", "people": "4"})
    assert written == "book Lotus Garden day=Friday people=4"
    slots = {"day": "Friday", "people": "4"}
    assert parse_command(written) == Command("book", "lotus garden", slots)
    assert parse_command("BOOK lotus garden DAY=friday people=4") == parse_command(written)
    assert parse_command("find restaurant area=moon") == Command(
        "find", "restaurant", {}, "unknown area"
    )
    for words in ("", "Which area?", "Please book it.", "finds restaurant"):
        assert parse_command(words) is None


def test_knowledge_base_finds_books_changes_and_looks_up() -> None:
    knowledge = KnowledgeBase(FACTS)
    shown = ask(knowledge, "find restaurant area=north food=Thai price=cheap").split(", ")
    assert len(shown) == 2
    assert ask(knowledge, "find restaurant area=north food=Thai").endswith(" and more")
    booked = ask(knowledge, f"book {shown[0]} day=Friday people=4")
    reference = booked.removeprefix("booked, reference ")
    assert knowledge.bookings["restaurant"].values == {**QUERY, "day": "Friday", "people": "4"}
    assert ask(knowledge, f"change {reference} people=5") == f"changed, reference {reference}"
    assert knowledge.bookings["restaurant"].values["people"] == "5"
    assert ask(knowledge, f"lookup {shown[1]} phone").startswith("phone ")


@pytest.mark.parametrize(
    ("turn", "answer"),
    [
        ("find", "error, unknown domain"),
        ("find castle", "error, unknown domain"),
        ("find hotel food=Thai", "error, no food to find by"),
        ("find hotel colour=red", "error, unknown slot"),
        ("find hotel area=nowhere", "error, unknown area"),
        ("find train from=Ely to=Ely", "error, from and to are the same"),
        ("book Lotus Garden day=Friday people=4", "error, unknown name"),
        ("change 1234 day=Friday", "error, unknown reference"),
        ("lookup Lotus Garden phone", "error, unknown name"),
        ("lookup", "error, unknown name"),
    ],
)
def test_knowledge_base_says_what_is_wrong(turn: str, answer: str) -> None:
    assert ask(KnowledgeBase(FACTS), turn) == answer


def test_bookings_need_what_was_found_and_all_slots_and_a_free_day() -> None:
    unseen = next(KnowledgeBase(FACTS).matches("restaurant", QUERY)).name
    knowledge = KnowledgeBase({**FACTS, "full": [[unseen, "Friday"]]})
    assert ask(knowledge, f"book {unseen} day=Sunday people=4") == "error, unknown name"
    ask(knowledge, "find restaurant area=north food=Thai price=cheap")
    assert ask(knowledge, f"book {unseen} day=Sunday") == "error, people missing"
    assert ask(knowledge, f"book {unseen} day=Friday people=4") == "full on Friday"
    assert ask(knowledge, f"book {unseen} day=Sunday people=4").startswith("booked")
    assert knowledge.refused == {"restaurant"}


def test_absent_and_single_things() -> None:
    command = "find restaurant area=north food=Thai price=cheap"
    assert ask(KnowledgeBase({**FACTS, "absent": [["restaurant", QUERY]]}), command) == "none"
    one = ask(KnowledgeBase({**FACTS, "single": [["restaurant", QUERY]]}), command)
    assert "," not in one


# --- understanding


@pytest.mark.parametrize(
    ("turn", "domain", "slots"),
    [
        ("Which area?", "restaurant", ["area"]),
        ("What kind of food would you like?", "restaurant", ["food"]),
        ("how many people and what day", "restaurant", ["day", "people"]),
        ("How many stars?", "restaurant", []),
        ("Where to?", "train", ["to"]),
        ("From where?", "train", ["from"]),
        ("The area is nice.", "hotel", []),
        ("", "hotel", []),
    ],
)
def test_questions_are_understood_by_their_words(turn: str, domain: str, slots: list[str]) -> None:
    assert asked_slots(turn, domain) == slots


@pytest.mark.parametrize(
    ("line", "domain", "heard"),
    [
        ("An inexpensive 4-star hotel.", "hotel", {"price": "cheap", "stars": "4"}),
        ("From Ely to York, please.", "train", {"from": "Ely", "to": "York"}),
        ("On Friday for two people.", "train", {"day": "Friday", "people": "2"}),
        ("Thai. Oh, and make it Greek food instead.", "restaurant", {"food": "Greek"}),
        ("I will stay one night.", "hotel", {"nights": "1"}),
        ("Sorry, what do you mean?", "hotel", {}),
    ],
)
def test_values_are_heard_in_what_users_say(line: str, domain: str, heard: dict[str, str]) -> None:
    assert heard_values(line, domain) == heard
    assert same_slots("A hotel on the same day.") == ["day"]
