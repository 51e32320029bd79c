"""Wordle: the rules by hand, what the outcomes mean, the expert, and play that must not pay."""

from __future__ import annotations

import copy
import pickle
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import gymnasium as gym
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import textgym  # noqa: F401
from textgym.tasks import SPLITS, Example
from textgym.tasks.base import split_of
from textgym.tasks.wordle import WordleTask
from textgym.tasks.wordle.game import INVALID, WordleGame, answer, marks, still_possible
from textgym.tasks.wordle.task import LEVELS, best_guess
from textgym.tasks.wordle.words import WORDS
from textgym.tokenizers import load_tokenizer

REWARD = {"outcome:solved": 0.5, "outcome:valid": 0.3, "outcome:guesses": 0.2}
LIST = ("crane", "apple", "paper", "robot", "north")
Player = Callable[[Example, Sequence[tuple[str, str]]], str]


def play(task: WordleTask, example: Example, player: Player) -> Mapping[str, float]:
    game, turns = task.converse(example), []
    while True:
        turn = player(example, turns)
        reply = game.reply(turn)
        turns.append((turn, reply.text))
        if reply.done:
            return game.outcome()


def mean_score(task: WordleTask, player: Player, games: int = 300) -> float:
    total = 0.0
    for index in range(games):
        outcome = play(task, task.example(index, "test"), player)
        total += sum(w * outcome[name.split(":")[1]] for name, w in REWARD.items())
    return total / games


@pytest.mark.parametrize(
    ("guess", "hidden", "expected"),
    [
        ("crane", "crane", "+++++"),
        ("crane", "limit", "-----"),
        ("tea", "eat", "???"),
        ("apple", "paper", "??+-?"),  # of the p's, the third letter is right, the second elsewhere
        ("paper", "apple", "??+?-"),
        ("robot", "north", "?+--?"),  # the one o is right, so that the other is none
        ("robot", "floor", "??-+-"),
        ("geese", "these", "--+++"),  # both e's of "these" are right, the first e of "geese" none
        ("eagle", "these", "?---+"),
        ("sleep", "eagle", "-???-"),
        ("llama", "small", "??+?-"),
        ("small", "llama", "-?+??"),
        ("poppy", "apple", "?-+--"),
        ("noon", "onto", "???-"),
    ],
)
def test_marks_are_those_of_the_rules(guess: str, hidden: str, expected: str) -> None:
    assert marks(guess, hidden) == expected


LETTERS = st.text("abc", min_size=5, max_size=5)


@given(LETTERS, LETTERS)
def test_marks_pay_for_each_letter_once(guess: str, hidden: str) -> None:
    found = marks(guess, hidden)
    for letter in "abc":
        marked = sum(g == letter and m != "-" for g, m in zip(guess, found, strict=True))
        assert marked == min(guess.count(letter), hidden.count(letter))
    assert [m == "+" for m in found] == [g == h for g, h in zip(guess, hidden, strict=True)]


def test_a_game_by_hand() -> None:
    game = WordleGame(LIST, "north", 4)
    assert game.outcome() == {"solved": 0, "valid": 0, "guesses": 0, "progress": 0}
    reply = game.reply("robot")
    assert (reply.text, reply.done) == ("r?o+b-o-t?\n", False)
    assert game.outcome() == {"solved": 0, "valid": 0.25, "guesses": 0, "progress": 0.2}
    assert game.reply("horse").text == INVALID
    assert game.reply("crane").text == "c-r?a-n?e-\n"  # ruled out by the o of "robot": not valid
    assert game.outcome() == {"solved": 0, "valid": 0.25, "guesses": 0, "progress": 0.2}
    reply = game.reply(" North\n")
    assert (reply.text, reply.done) == ("n+o+r+t+h+\n", True)
    assert game.outcome() == {"solved": 1, "valid": 0.5, "guesses": 0.25, "progress": 1}


@pytest.mark.parametrize(("turns", "economy"), [(1, 1.0), (2, 0.75), (3, 0.5), (4, 0.25)])
def test_each_guess_costs_as_much(turns: int, economy: float) -> None:
    game = WordleGame(LIST, "north", 4)
    for _ in range(turns - 1):
        assert not game.reply("crane").done
    assert game.reply("north").done
    assert game.outcome()["guesses"] == economy


def test_the_last_guess_ends_a_lost_game() -> None:
    game = WordleGame(LIST, "north", 3)
    assert [game.reply(turn).done for turn in ("crane", "", "paper")] == [False, False, True]
    outcome = game.outcome()
    assert (outcome["solved"], outcome["guesses"], outcome["valid"]) == (0, 0, 1 / 3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.text(), st.sampled_from(LIST)), max_size=6))
def test_any_text_is_a_turn(turns: list[str]) -> None:
    game = WordleGame(LIST, "paper", 4)
    for turn in turns:
        twins = copy.deepcopy(game), pickle.loads(pickle.dumps(game))
        reply = game.reply(turn)
        assert reply.text.endswith("\n")
        for twin in twins:
            assert (twin.reply(turn), twin.outcome()) == (reply, game.outcome())
        assert all(0 <= value <= 1 for value in game.outcome().values())
        if reply.done:
            break


def test_what_is_possible_follows_from_the_replies() -> None:
    replies = [("robot", answer("robot", "north")), ("??", INVALID), ("ROBOT", "r?o+b-o-t?\n")]
    assert still_possible(LIST, replies) == ["north"]
    assert still_possible(LIST, [("x", INVALID)]) == list(LIST)
    assert still_possible(LIST, [("apple", answer("apple", "crane"))]) == ["crane"]


def test_the_best_guess_tells_most_words_apart() -> None:
    words = ["mat", "hat", "cat", "rat", "car"]
    assert [marks("car", word) for word in words] == ["-+-", "-+-", "++-", "-+?", "+++"]
    assert [marks("mat", word) for word in words] == ["+++", "-++", "-++", "-++", "-+-"]
    assert best_guess(words) == "car"  # four different replies, any other word three
    assert best_guess(["mat", "hat"]) == "mat"


@pytest.mark.parametrize("level", LEVELS)
def test_examples_keep_the_rules_of_their_level(level: str) -> None:
    task, rules, tokenizer = WordleTask(level=level), LEVELS[level], load_tokenizer()
    prompts: set[str] = set()
    for split in SPLITS:
        for index in range(1500):
            example = task.example(index, split)
            head, words, rest = example.prompt.split("\n")
            listed = words.split(",")
            assert (head, rest) == (f"{rules.guesses} guesses:", "")
            assert len(set(listed)) == rules.words
            assert listed == example.metadata["words"]
            assert {len(word) for word in listed} <= set(rules.lengths)
            assert len({len(word) for word in listed}) == 1
            assert example.references == (example.metadata["hidden"],)
            assert split_of(example.prompt) == split
            assert len(tokenizer.encode(example.prompt)) <= task.max_prompt_tokens
            prompts.add(example.prompt)
    assert len(prompts) == 4500  # a million lists would hold ten pairs that are alike
    assert task.example(10**6) == WordleTask(level=level).example(10**6)


@pytest.mark.parametrize("level", LEVELS)
def test_every_place_of_the_list_hides_the_word_as_often(level: str) -> None:
    task = WordleTask(level=level)
    count = 8000
    examples = [task.example(index) for index in range(count)]
    places = Counter(e.metadata["words"].index(e.metadata["hidden"]) for e in examples)
    words = LEVELS[level].words
    expected = count / words
    chi2 = sum((places[place] - expected) ** 2 / expected for place in range(words))
    assert chi2 < words - 1 + 5 * (2 * (words - 1)) ** 0.5


def test_all_guesses_and_replies_fit() -> None:
    tokenizer = load_tokenizer()
    for level, rules in LEVELS.items():
        longest = max(
            len(tokenizer.encode(word)) + 1 + len(tokenizer.encode(answer(word, word)))
            for length in rules.lengths
            for word in WORDS[length]
        )
        assert longest * rules.guesses <= WordleTask(level=level).max_new_tokens


def test_the_words_are_words() -> None:
    for length, words in WORDS.items():
        assert len(set(words)) == len(words) > 200
        assert list(words) == sorted(words)
        assert all(len(word) == length and word.isascii() and word.islower() for word in words)


@pytest.mark.parametrize("level", LEVELS)
def test_the_expert_solves_every_game_and_needs_no_secret(level: str) -> None:
    task = WordleTask(level=level)
    for index in range(150):
        example = task.example(index)
        blind = Example(example.prompt, (), {})
        outcome = play(task, example, lambda _, turns, blind=blind: task.expert(blind, turns))
        assert outcome["solved"] == outcome["valid"] == outcome["progress"] == 1
        assert outcome["guesses"] > 0


def test_the_expert_goes_on_after_turns_of_others() -> None:
    task = WordleTask()
    for index in range(50):
        example = task.example(index)
        hidden, words = example.metadata["hidden"], example.metadata["words"]
        other = next(word for word in words if word != hidden)
        turns = [("gibberish", INVALID), (other, answer(other, hidden))]
        guess = task.expert(example, turns)
        assert guess in still_possible(words, turns)
        assert guess == task.expert(example, turns)


@pytest.mark.parametrize("level", LEVELS)
def test_nothing_but_play_pays(level: str) -> None:
    """The better a player reads the replies, the better the score; without a guess it is 0."""
    task, rng = WordleTask(level=level), random.Random(0)

    def words(example: Example) -> list[str]:
        return example.metadata["words"]

    expert = mean_score(task, task.expert)
    consistent = mean_score(
        task, lambda example, turns: rng.choice(still_possible(words(example), turns))
    )
    other_word = mean_score(
        task,
        lambda example, turns: rng.choice(
            [word for word in words(example) if word not in dict(turns)]
        ),
    )
    same_word = mean_score(task, lambda example, _: words(example)[0])
    guess_once = mean_score(task, lambda example, turns: "" if turns else words(example)[0])
    assert 0.94 < expert < 0.98
    assert expert > consistent > expert - 0.03
    assert other_word < 0.7 * expert
    assert same_word < 0.3 * expert
    assert guess_once == same_word
    for junk in ("", "zzzzz", "\n"):
        assert mean_score(task, lambda *_, junk=junk: junk, 20) == 0
    assert mean_score(task, lambda example, _: example.prompt, 20) == 0
    assert mean_score(task, lambda example, _: " ".join(words(example)), 20) == 0
    assert mean_score(task, lambda example, _: ",".join(words(example)), 20) == 0


@pytest.mark.parametrize("level", LEVELS)
def test_the_demonstrated_game_is_the_experts(level: str) -> None:
    env = gym.make("textgym/Wordle-v0", level=level, split="test", demonstrations=True)
    mdp = env.unwrapped.mdp
    for index in range(15):
        _, info = env.reset(options={"example": index})
        example = mdp.task.example(index, "test")
        done = False
        while not done:
            _, reward, done, _, info = env.step(info["expert_action"])
        outcome = play(mdp.task, example, mdp.task.expert)
        assert info["finish_reason"] == "task"
        assert info["solved"] == 1
        assert reward == pytest.approx(0.8 + 0.2 * outcome["guesses"])
        assert info["text"].count("\n") == 2 * len(info["turns"])
