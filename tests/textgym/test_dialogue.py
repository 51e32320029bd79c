"""Dialogue: the simulated user, the expert, and what scores nothing."""

from __future__ import annotations

import copy
import json
import pickle
import random
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgym.rewards import load_reward
from textgym.rewards.base import ExampleLike
from textgym.tasks import Example, Reply
from textgym.tasks.dialogue import DialogueTask
from textgym.tasks.dialogue.domains import DOMAINS
from textgym.tasks.dialogue.knowledge import KnowledgeBase
from textgym.tasks.dialogue.user import DialogueConversation
from textgym.testing import check_task
from textgym.tokenizers import load_tokenizer

LEVELS = DialogueTask.levels
REWARD = {
    "outcome:success": 0.4,
    "outcome:constraints": 0.3,
    "outcome:progress": 0.2,
    "outcome:turn_economy": 0.1,
}
QUERY = {"area": "north", "food": "Thai", "price": "cheap"}
FACTS: dict[str, Any] = {"seed": 12345, "absent": [], "single": [], "full": []}

Said = list[tuple[str, str]]


def goal(**facts: Any) -> dict[str, Any]:
    """A table for two on Friday at a cheap Thai restaurant in the north."""
    slots = {**QUERY, "day": "Friday", "people": "2"}
    lines = {
        "area": "In the north.",
        "food": "Thai food.",
        "price": "A cheap one, please.",
        "day": "On Friday.",
        "people": "For two people.",
    }
    plain = {"domain": "restaurant", "want": "book", "opening": "", "slots": slots, "lines": lines}
    rest = {"missing": ["people"], "dodge": "", "changes": [], "alternative": None}
    return {**plain, **rest, **facts}


def hand_made(*goals: dict[str, Any], **facts: Any) -> Example:
    metadata = {
        "turn_limit": 12,
        "expert_turns": 4,
        "goals": goals,
        "knowledge": {**FACTS, **facts},
    }
    prompt = "User: I need a cheap Thai restaurant in the north for Friday.\n"
    return Example(prompt, (), metadata)


def finish(task: DialogueTask, example: Example, said: Sequence[tuple[str, str]] = ()) -> Said:
    """Let the expert play on from some turns to the end."""
    conversation = task.converse(example)
    turns = list(said)
    for turn, _ in said:
        conversation.reply(turn)
    done = False
    while not done:
        turn = task.expert(example, turns)
        reply = conversation.reply(turn)
        turns.append((turn, reply.text))
        done = reply.done
    return turns


def outcome(task: DialogueTask, example: Example, turns: Sequence[str]) -> dict[str, float]:
    conversation = task.converse(example)
    for turn in turns:
        if conversation.reply(turn).done:
            break
    return dict(conversation.outcome())


def reward(task: DialogueTask, example: Example, turns: Sequence[str]) -> float:
    judged: ExampleLike = Example(example.prompt, (), {"outcome": outcome(task, example, turns)})
    return float(load_reward(REWARD)([""], [judged])[0])


# --- the user


def test_outcome_step_by_step_by_hand() -> None:
    conversation = DialogueConversation(hand_made(goal()))
    name = next(KnowledgeBase(FACTS).matches("restaurant", QUERY)).name
    steps = [
        ("Which table?", "User: Sorry, what do you mean?\n", 0, 0.0, 0.0),
        ("For how many people?", "User: For two people.\n", 0, 0.0, 1 / 4),
        ("find restaurant area=north food=Thai price=cheap", None, 0, 0.0, 2 / 4),
        (f"book {name} day=Friday people=3", None, 0, 4 / 5, 2 / 4),
        ("It is booked, 14345.", "User: I do not understand.\n", 0, 4 / 5, 2 / 4),
        ("The reference is 4345.", "User: That is not right. For two people.\n", 0, 4 / 5, 2 / 4),
        ("change 4345 people=2", "KB: changed, reference 4345\n", 0, 1.0, 3 / 4),
        ("The reference is 4345.", "User: That is all, thank you.\n", 1, 1.0, 1.0),
    ]
    for turn, answer, success, constraints, progress in steps:
        reply = conversation.reply(turn)
        assert answer is None or reply == Reply(answer, done=bool(success))
        numbers = conversation.outcome()
        assert numbers["success"] == success
        assert numbers["constraints"] == pytest.approx(constraints)
        assert numbers["progress"] == pytest.approx(progress)
    assert numbers["turn_economy"] == pytest.approx((12 - 8) / (12 - 4))
    assert conversation.reply("Anything else?") == Reply("", done=True)


def test_user_dodges_changes_and_gives_way_once() -> None:
    change = {"moment": "answer", "slot": "day", "value": "Sunday", "line": "Make it Sunday."}
    other = {"moment": "refused", "slot": "food", "value": "Greek", "line": "Then Greek food."}
    facts = goal(dodge="area", changes=[change], alternative=other)
    conversation = DialogueConversation(hand_made(facts, absent=[["restaurant", QUERY]]))
    assert conversation.reply("How many people?").text == "User: In the north. Make it Sunday.\n"
    assert conversation.reply("How many people?").text == "User: For two people.\n"
    assert conversation.reply("Which food?").text == "User: Thai food.\n"
    conversation.reply("find restaurant area=north food=Thai price=cheap")
    assert conversation.reply("Another food?").text == "User: Then Greek food.\n"
    assert conversation.reply("What day?").text == "User: Make it Sunday.\n"
    assert (
        conversation.reply("Area, food or price?").text == "User: One question at a time, please.\n"
    )


def test_user_judges_offers_and_leaves_at_the_limit() -> None:
    conversation = DialogueConversation(hand_made(goal()))
    right = next(KnowledgeBase(FACTS).matches("restaurant", QUERY)).name
    wrong = next(KnowledgeBase(FACTS).matches("restaurant", {**QUERY, "food": "Greek"})).name
    conversation.reply("find restaurant area=north food=Thai price=cheap")
    conversation.reply("find restaurant area=north food=Greek price=cheap")
    assert conversation.reply(f"I suggest {right}.").text == "User: Yes, that sounds good.\n"
    said = conversation.reply(f"I suggest {wrong}.").text
    assert said == "User: That is not right. Thai food.\n"
    replies = [conversation.reply("Hm.") for _ in range(8)]
    assert [reply.done for reply in replies] == [False] * 7 + [True]
    assert replies[-1].text == "User: Sorry, I have to go.\n"
    assert conversation.outcome()["success"] == 0.0


def test_a_number_that_was_not_looked_up_tells_nothing() -> None:
    example = hand_made(goal(want="platform", slots=QUERY, missing=[]))
    guesses = " ".join(map(str, range(1, 15)))
    assert outcome(DialogueTask(), example, [guesses] * 12)["progress"] == 0.0


# --- examples


@pytest.mark.parametrize("level", LEVELS)
def test_contract(level: str) -> None:
    check_task("dialogue", level=level, samples=20)


@pytest.mark.parametrize("level", LEVELS)
def test_examples_hardly_recur(level: str) -> None:
    # 3,000 draws without a recurrence: fewer than 10^6 equally likely ones would show 4.5 of them.
    task = DialogueTask(level=level)
    shown = [task.example(i) for i in range(3000)]
    assert len({example.prompt + json.dumps(example.metadata) for example in shown}) == 3000
    again = pickle.loads(pickle.dumps(copy.deepcopy(task)))
    assert [again.example(i) for i in range(100)] == shown[:100]


# --- the expert


@pytest.mark.parametrize("level", LEVELS)
def test_expert_reaches_the_best_outcome_within_the_limits(level: str) -> None:
    task = DialogueTask(level=level)
    tokenizer = load_tokenizer()
    for index in range(2000):
        example = task.example(index)
        turns = finish(task, example)
        assert len(turns) == example.metadata["expert_turns"]
        result = outcome(task, example, [turn for turn, _ in turns])
        assert result == dict.fromkeys(result, 1.0)
        if index < 300:
            tokens = [(tokenizer.encode(turn), tokenizer.encode(reply)) for turn, reply in turns]
            spent = sum(len(turn) + 1 + len(reply) for turn, reply in tokens)
            assert spent <= task.max_new_tokens
            assert len(tokenizer.encode(example.prompt)) <= task.max_prompt_tokens


@pytest.mark.parametrize("level", LEVELS)
def test_expert_goes_by_what_was_said_alone(level: str) -> None:
    task = DialogueTask(level=level)
    for index in range(100):
        example = task.example(index)
        turns = finish(task, example)
        blind = Example(example.prompt, (), {})
        for count, (turn, _) in enumerate(turns):
            assert task.expert(blind, turns[:count]) == turn


DETOURS = (
    "",
    "Hello!",
    "Which area?",
    "How many people and which day?",
    "At what time?",
    "find restaurant",
    "find restaurant food=Thai price=cheap area=north",
    "find hotel area=north",
    "find train from=Ely to=York",
    "find nothing",
    "book it day=Friday",
    "lookup it phone",
    "Another day?",
)


@pytest.mark.parametrize("level", LEVELS)
def test_expert_recovers_after_turns_that_were_not_its_own(level: str) -> None:
    task = DialogueTask(level=level)
    chance = random.Random(0)
    for index in range(300):
        example = task.example(index)
        own = finish(task, example)
        conversation = task.converse(example)
        said: Said = []
        before = chance.randrange(len(own))
        for turn in [t for t, _ in own[:before]] + chance.sample(DETOURS, 2):
            said.append((turn, conversation.reply(turn).text))
        result = outcome(task, example, [t for t, _ in finish(task, example, said)])
        assert result["success"] == 1.0, (example, said)


def test_expert_mends_wrong_bookings() -> None:
    task = DialogueTask()
    example = hand_made(goal())
    name = next(KnowledgeBase(FACTS).matches("restaurant", {})).name
    wrong = next(KnowledgeBase(FACTS).matches("restaurant", QUERY)).name
    for turns in (
        ["find restaurant", f"book {name} day=Monday people=8", "The reference is 4345."],
        ["find restaurant area=north food=Thai price=cheap", f"book {wrong} day=Monday people=8"],
    ):
        conversation = task.converse(example)
        said = [(turn, conversation.reply(turn).text) for turn in turns]
        assert said[-1][1].startswith(("KB: booked", "User: That is not right."))
        mended = [turn for turn, _ in finish(task, example, said)]
        assert outcome(task, example, mended)["success"] == 1.0


# --- what scores nothing, or little


def words(level: str) -> list[str]:
    task = DialogueTask(level=level)
    said = [line for i in range(30) for line in finish(task, task.example(i))]
    return " ".join(part for line in said for part in line).split()


@pytest.mark.parametrize("level", LEVELS)
def test_random_words_score_next_to_nothing(level: str) -> None:
    task = DialogueTask(level=level)
    chance = random.Random(1)
    known = words(level)
    scores = []
    for index in range(200):
        turns = [" ".join(chance.choices(known, k=chance.randint(1, 12))) for _ in range(18)]
        scores.append(reward(task, task.example(index), turns))
    assert fmean(scores) < 0.06


@pytest.mark.parametrize(
    "turns",
    [
        [""] * 18,
        ["Goodbye."] * 18,
        [" ".join(map(str, range(1000, 10_000)))] * 3,
        ["area food price stars day people nights from where to time?"] * 18,
        ["find restaurant", "find hotel", "find train"] * 6,
        ["book day=Friday people=2"] * 18,
        [f"lookup T{number} fare" for number in range(100, 118)],
    ],
)
@pytest.mark.parametrize("level", LEVELS)
def test_one_fits_all_scores_nothing(level: str, turns: list[str]) -> None:
    task = DialogueTask(level=level)
    scores = [reward(task, task.example(index), turns) for index in range(50)]
    assert fmean(scores) < 0.02


@pytest.mark.parametrize("level", LEVELS)
def test_booking_whatever_there_is_meets_few_constraints(level: str) -> None:
    task = DialogueTask(level=level)
    met = []
    for index in range(100):
        example = task.example(index)
        domain = example.metadata["goals"][0]["domain"]
        booking = DOMAINS[domain].booking
        name = next(KnowledgeBase(example.metadata["knowledge"]).matches(domain, {})).name
        turns = [f"find {domain}", f"book {name} {booking[0]}=Friday {booking[1]}=2"]
        result = outcome(task, example, turns)
        met.append(result["constraints"])
        assert result["success"] == 0.0
    assert fmean(met) < 0.3


@pytest.mark.parametrize("level", LEVELS)
def test_questions_alone_score_little(level: str) -> None:
    task = DialogueTask(level=level)
    questions = ["Which area?", "What food?", "What price?", "How many stars?", "What day?"]
    questions += ["How many people?", "How many nights?", "From where?", "Where to?", "What time?"]
    scores = [reward(task, task.example(index), questions) for index in range(100)]
    assert 0.0 < fmean(scores) < 0.13


def test_being_slow_costs_economy_alone() -> None:
    task = DialogueTask(level="medium")
    example = task.example(0)
    turns = [turn for turn, _ in finish(task, example)]
    slow = outcome(task, example, ["Hello!", *turns])
    spare = example.metadata["turn_limit"] - example.metadata["expert_turns"]
    assert slow.pop("turn_economy") == pytest.approx(1 - 1 / spare)
    assert slow == dict.fromkeys(slow, 1.0)


# --- conversations


def test_interleaved_conversations_do_not_mix() -> None:
    task = DialogueTask(level="hard")
    examples = [task.example(i) for i in range(6)]
    alone = [finish(task, example) for example in examples]
    conversations = [task.converse(example) for example in examples]
    together: list[Said] = [[] for _ in examples]
    for step in range(max(map(len, alone))):
        for conversation, said, turns in zip(conversations, together, alone, strict=True):
            if step < len(turns):
                said.append((turns[step][0], conversation.reply(turns[step][0]).text))
    assert together == alone


@pytest.mark.parametrize("level", LEVELS)
def test_conversations_replay_copy_and_pickle_midway(level: str) -> None:
    task = DialogueTask(level=level)
    for index in range(20):
        example = task.example(index)
        before = json.dumps(example.metadata)
        turns = [turn for turn, _ in finish(task, example)]
        first = task.converse(example)
        for turn in turns[: index % len(turns)]:
            first.reply(turn)
        twins = [copy.deepcopy(first), pickle.loads(pickle.dumps(first))]
        rest = turns[index % len(turns) :]
        said = [[c.reply(turn) for turn in rest] for c in (first, *twins)]
        assert said[0] == said[1] == said[2]
        assert first.outcome() == twins[0].outcome() == twins[1].outcome()
        assert json.dumps(example.metadata) == before


TURNS = st.lists(
    st.one_of(
        st.text(max_size=40),
        st.sampled_from(DETOURS),
        st.text(max_size=20).map(lambda text: f"find train {text}"),
        st.text(max_size=20).map(lambda text: f"book {text} day=Friday people=1"),
    ),
    max_size=20,
)


@settings(max_examples=150, deadline=None)
@given(turns=TURNS, index=st.integers(0, 1000), level=st.sampled_from(LEVELS))
def test_any_text_is_a_turn(turns: list[str], index: int, level: str) -> None:
    task = DialogueTask(level=level)
    example = task.example(index)
    conversation = task.converse(example)
    said: Said = []
    for turn in turns:
        reply = conversation.reply(turn)
        assert reply.done or reply.text.startswith(("User: ", "KB: "))
        assert reply.text.endswith("\n") or not reply.text
        assert reply.text.isascii()
        said.append((turn, reply.text))
        assert task.expert(example, said)
        assert all(0.0 <= value <= 1.0 for value in conversation.outcome().values())
    assert conversation.reply("").done == (len(turns) + 1 >= example.metadata["turn_limit"])
