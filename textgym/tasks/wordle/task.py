"""The Wordle task: games drawn from short lists of words, and a program that plays them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from textgym.tasks.base import Example, ProceduralTask
from textgym.tasks.draws import Draws
from textgym.tasks.turns import MultiTurnTask
from textgym.tasks.wordle.game import WordleGame, answer, still_possible
from textgym.tasks.wordle.words import WORDS


class Rules(NamedTuple):
    """What a level plays with: word lengths, list, guesses, and limits in tokens.

    Attributes:
        lengths: The numbers of letters of a word; one game has words of one length.
        words: How many words are listed.
        guesses: How many turns the agent has.
        max_prompt_tokens: No list of the longest words has more.
        max_new_tokens: Enough for all guesses and replies, were each letter a token of its own.
    """

    lengths: tuple[int, ...]
    words: int
    guesses: int
    max_prompt_tokens: int
    max_new_tokens: int


LEVELS = {
    "easy": Rules((4,), 6, 4, 32, 56),
    "medium": Rules((5,), 10, 4, 50, 68),
    "hard": Rules((5, 6), 16, 5, 84, 100),
}


class WordleTask(ProceduralTask, MultiTurnTask):
    """Guess a hidden word of a list in a few turns, by what each guess tells.

    The prompt says how many guesses there are and lists the words, one of which is hidden. The
    agent's turn is a word of the list. The reply repeats it with a mark behind each letter: "+"
    for right here, "?" for elsewhere in the hidden word, "-" for neither; of a letter that the
    guess has more often than the hidden word, only as many are marked. Anything else is answered by
    "not in the list" and costs a guess too. The game ends with the hidden word or the last guess:

        4 guesses:
        robot,glove,never,crowd,plant,north,bread,truck,judge,raise
        robot
        r?o+b-o-t?
        north
        n+o+r+t+h+

    Each of the words is hidden as often as the others, so that the prompt alone tells nothing.

    Levels: "easy" has 6 words of 4 letters and 4 guesses, "medium" (the default) 10 words of 5
    letters and 4 guesses, "hard" 16 words of 5 or of 6 letters and 5 guesses. There are more than
    10**14 ordered lists a level, out of at least 220 words of each length.

    Metadata: "words", the list; "hidden", the word to find, which is also the one reference: who
    guesses it at once gets the best score there is; "guesses", how many there are.

    Outcomes, all in [0, 1]: "solved"; "valid", the share of turns that named a word which was still
    possible (of all the turns there were, if the game was lost); "guesses", 1 for a game solved by
    the first guess, falling in equal steps to 1 / guesses for the last one, and 0 for a lost game;
    "progress", the share of letters in the right place in the best guess. The default reward weighs
    "solved" 0.5, "valid" 0.3 and "guesses" 0.2.

    The expert knows the prompt and the replies alone: of the words that are still possible it
    guesses the one that the replies would tell apart best.
    """

    name = "wordle"

    def __init__(self, *, level: str | None = None, seed: int = 0) -> None:
        super().__init__(level=level, seed=seed)
        self.rules = LEVELS[self.level]
        self.max_prompt_tokens = self.rules.max_prompt_tokens
        self.max_new_tokens = self.rules.max_new_tokens

    def generate(self, rng: np.random.Generator) -> Example:
        """Draw a list of words and which of them is hidden."""
        draws = Draws(rng)
        words = draws.sample(WORDS[draws.pick(self.rules.lengths)], self.rules.words)
        hidden = draws.pick(words)
        guesses = self.rules.guesses
        prompt = f"{guesses} guesses:\n{','.join(words)}\n"
        return Example(prompt, (hidden,), {"words": words, "hidden": hidden, "guesses": guesses})

    def converse(self, example: Example) -> WordleGame:
        """Return a game at its beginning."""
        metadata = example.metadata
        return WordleGame(metadata["words"], metadata["hidden"], metadata["guesses"])

    def expert(self, example: Example, turns: Sequence[tuple[str, str]] = ()) -> str:
        """Return the possible word after which the fewest words are left on average.

        It reads the prompt and the replies, and never looks at the hidden word.

        Args:
            example: The game.
            turns: The turns so far, the expert's or not, and the replies to them.
        """
        words = example.prompt.splitlines()[1].split(",")
        return best_guess(still_possible(words, turns) or words)


def best_guess(possible: Sequence[str]) -> str:
    """Return the word whose replies split the possible words best; of equals the first one.

    More different replies are better, since each leads to one word that the next guess can hit;
    of as many, those which leave fewer words on average.
    """

    def split(guess: str) -> tuple[int, int]:
        sizes = Counter(answer(guess, word) for word in possible).values()
        return len(sizes), -sum(size * size for size in sizes)

    return max(possible, key=split)
