"""The rules of the game: what a guess tells, and what is still possible after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textgym.tasks.turns import Conversation, Reply

RIGHT, ELSEWHERE, ABSENT = "+", "?", "-"
"""What stands behind a letter of a guess: it is right here, it is elsewhere in the hidden word, or
it is not in it (any more, if the guess has it more than once)."""

INVALID = "not in the list\n"
"""The reply to a turn that is no word of the list."""


def marks(guess: str, hidden: str) -> str:
    """Return one mark for each letter of a guess, by the rules of Wordle.

    Letters in the right place are marked first. Each letter of the hidden word pays for one mark:
    what is left of them marks the other letters of the guess from left to right.

    Args:
        guess: A word.
        hidden: A word of the same length.
    """
    unmatched = [other for letter, other in zip(guess, hidden, strict=True) if letter != other]
    found = []
    for letter, other in zip(guess, hidden, strict=True):
        if letter == other:
            found.append(RIGHT)
        elif letter in unmatched:
            unmatched.remove(letter)
            found.append(ELSEWHERE)
        else:
            found.append(ABSENT)
    return "".join(found)


def answer(guess: str, hidden: str) -> str:
    """Return the reply to a word of the list: each letter with its mark, "c-r+a?n-e+"."""
    pairs = zip(guess, marks(guess, hidden), strict=True)
    return "".join(letter + mark for letter, mark in pairs) + "\n"


def read_guess(turn: str) -> str:
    """Return the word that a turn of the agent says; spaces around it and capitals do not count."""
    return turn.strip().lower()


def still_possible(words: Sequence[str], turns: Sequence[tuple[str, str]]) -> list[str]:
    """Return the words that agree with every reply, in their order.

    Args:
        words: The list of the game.
        turns: The turns of the agent and the replies to them.
    """
    possible = list(words)
    for turn, reply in turns:
        guess = read_guess(turn)
        if guess in words:
            possible = [word for word in possible if answer(guess, word) == reply]
    return possible


class WordleGame(Conversation):
    """One game, which ends with the right guess or the last one.

    Args:
        words: The list of the game.
        hidden: The one to find.
        guesses: How many turns the agent has.
    """

    def __init__(self, words: Sequence[str], hidden: str, guesses: int) -> None:
        self._words = tuple(words)
        self._hidden = hidden
        self._guesses = guesses
        self._taken = 0
        self._sound = 0
        self._matched = 0
        self._solved = False
        self._possible = list(words)

    def reply(self, turn: str) -> Reply:
        """Mark the letters of a guess; a turn that is no word of the list costs a guess too."""
        self._taken += 1
        last = self._taken >= self._guesses
        guess = read_guess(turn)
        if guess not in self._words:
            return Reply(INVALID, done=last)
        self._sound += guess in self._possible
        self._solved = guess == self._hidden
        self._matched = max(self._matched, marks(guess, self._hidden).count(RIGHT))
        said = answer(guess, self._hidden)
        self._possible = [word for word in self._possible if answer(guess, word) == said]
        return Reply(said, done=last or self._solved)

    def outcome(self) -> Mapping[str, float]:
        """Return solved, valid, guesses and progress, each in [0, 1]; see `WordleTask`."""
        unused = self._guesses - self._taken
        return {
            "solved": float(self._solved),
            # A lost game counts all its guesses, so that it does not pay to stop after a sound one.
            "valid": self._sound / (self._taken if self._solved else self._guesses),
            "guesses": (unused + 1) / self._guesses if self._solved else 0.0,
            "progress": self._matched / len(self._hidden),
        }
