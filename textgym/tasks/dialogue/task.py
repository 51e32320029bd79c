"""The dialogue task: an assistant, a simulated user and a knowledge base."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from textgym.tasks.base import Example, ProceduralTask
from textgym.tasks.dialogue.agenda import TWISTS, Goal, draw_dodge, draw_goal, draw_knowledge
from textgym.tasks.dialogue.domains import DOMAINS
from textgym.tasks.dialogue.expert import next_turn
from textgym.tasks.dialogue.openings import as_user
from textgym.tasks.dialogue.user import DialogueConversation
from textgym.tasks.draws import Draws
from textgym.tasks.turns import MultiTurnTask


class Level(NamedTuple):
    """What a level is made of.

    Attributes:
        missing: For each goal, the fewest and most slots that its opening leaves out.
        twists: How likely something comes between, in each goal.
        dodges: How likely the user answers a question with something else, in each goal.
        turn_limit: The turns of the agent after which the user goes.
        expert_turns: The most turns that the expert needs; longer conversations are drawn again.
        prompt_tokens: A bound on the tokens of a prompt.
        new_tokens: A bound on the tokens of a conversation, the agent's and the replies.
    """

    missing: tuple[tuple[int, int], ...]
    twists: float
    dodges: float
    turn_limit: int
    expert_turns: int
    prompt_tokens: int
    new_tokens: int


LEVELS = {
    "easy": Level(((0, 1),), 0.0, 0.0, 8, 4, 48, 144),
    "medium": Level(((2, 3),), 1.0, 0.0, 12, 8, 48, 280),
    "hard": Level(((0, 1), (1, 2)), 0.75, 0.5, 18, 14, 48, 512),
}


class DialogueTask(ProceduralTask, MultiTurnTask):
    """Book, look up and correct for a user who changes their mind, with a knowledge base.

    The agent's turn is one line: words to the user, or a command to the knowledge base. EOS ends
    the turn; then the answer of the one who was spoken to stands in the context. A conversation,
    the agent's turns indented:

        User: I am looking for a moderately priced French restaurant for Wednesday.
            Which area?
        User: In the north, please.
            For how many people?
        User: Four people.
            find restaurant area=north food=French price=moderate
        KB: Sunny Cellar
            book Sunny Cellar day=Wednesday people=4
        KB: full on Wednesday
            Sunny Cellar is full on Wednesday. Another day?
        User: Well, Friday will do.
            book Sunny Cellar day=Friday people=4
        KB: booked, reference 3663
            Sunny Cellar is booked, reference 3663.
        User: Thank you, goodbye.

    The commands are "find DOMAIN SLOT=VALUE ...", which shows two names at most, "book NAME
    SLOT=VALUE ...", "change REFERENCE SLOT=VALUE ..." and "lookup NAME FIELD". What can be booked
    are the names that were shown; they are others in each example, so they cannot be learned by
    heart. A later booking of the same domain replaces the one before. The domains:

    | domain     | found by          | booked by   | looked up       |
    |------------|-------------------|-------------|-----------------|
    | restaurant | area, food, price | day, people | phone, address  |
    | hotel      | area, price, stars| day, nights | phone, address  |
    | train      | from, to, time    | day, people | platform, fare  |

    A user wants a booking, or to look something up. Users understand questions by their words, two
    slots in one turn at most, and answer what they do not understand with a line that says so. They
    are content when they are told the reference of a booking, or what they wanted to know, and all
    is as they wish; else they object. Users hold to all that they said, but they may answer
    something else than was asked, change their mind beside an answer or after the booking, ask
    about what is booked, and have to give way where nothing is to be had.

    Levels: "easy" has one goal, at most one slot to ask for, and no surprises. "medium" (the
    default) has two or three slots to ask for (one where something is looked up), and one surprise:
    a change of mind, something that is full or not there, or a further question. "hard" has two
    goals in a row, the second of which may refer to the first one ("on the same day"), surprises in
    most of them, and users who answer something else first. The user goes after 8, 12 and 18 turns.

    The outcome, each number in [0, 1]:

    - success: 1 if the user was satisfied in all goals, and said goodbye.
    - constraints: the mean over the goals of the share of the final constraints that what was
      booked, or looked up, meets; 0 for a goal as long as there is nothing of the kind.
    - progress: the share of the steps done: slots elicited, changes of mind heard, a search by all
      that is wanted, a booking (or looking up) as wished, satisfaction.
    - turn_economy: 1 at the number of turns of the expert, falling linearly to 0 at the last turn;
      0 without success.

    Success implies that constraints and progress are 1. The default reward weighs them 0.4, 0.3,
    0.2 and 0.1. The reference is the expert's first turn. The expert is a dialogue manager that
    goes by what was said alone, also after turns that were not its own; left alone, it always
    scores 1.

    Metadata: "level", "turn_limit", "expert_turns", "goals" (what the user wants, says and changes)
    and "knowledge" (what the knowledge base holds; "seed" of the names). Examples hardly ever
    recur, as the seed alone has 2**31 values. Prompts alone recur like those of about 10**6 equally
    likely ones at "easy" and "hard", and of 10**5 at "medium", which leaves more unsaid.
    """

    name = "dialogue"

    def __init__(self, *, level: str | None = None, seed: int = 0) -> None:
        super().__init__(level=level, seed=seed)
        self.max_prompt_tokens = LEVELS[self.level].prompt_tokens
        self.max_new_tokens = LEVELS[self.level].new_tokens

    def generate(self, rng: np.random.Generator) -> Example:
        """Draw what the user wants and what the knowledge base holds."""
        draws = Draws(rng)
        level = LEVELS[self.level]
        goals = _draw_goals(level, draws)
        while sum(goal.expert_turns() for goal in goals) > level.expert_turns:
            goals = _draw_goals(level, draws)
        metadata = {
            "level": self.level,
            "turn_limit": level.turn_limit,
            "expert_turns": sum(goal.expert_turns() for goal in goals),
            "goals": [goal.as_facts(draws) for goal in goals],
            "knowledge": draw_knowledge(goals, draws),
        }
        prompt = as_user(goals[0].opening)
        return Example(prompt, (next_turn(prompt, ()),), metadata)

    def converse(self, example: Example) -> DialogueConversation:
        """Return the user and the knowledge base of an example, before the first turn."""
        return DialogueConversation(example)

    def expert(self, example: Example, turns: Sequence[tuple[str, str]] = ()) -> str:
        """Return the best next turn, from the prompt and the turns so far alone."""
        return next_turn(example.prompt, turns)


def _draw_goals(level: Level, draws: Draws) -> list[Goal]:
    goals: list[Goal] = []
    for domain, missing in zip(
        draws.sample(list(DOMAINS), len(level.missing)), level.missing, strict=True
    ):
        twists = list(TWISTS) if draws.chance(level.twists) else []
        last = goals[-1] if goals else None
        goal = draw_goal(domain, draws.between(*missing), twists, last, draws)
        if goal.missing and draws.chance(level.dodges):
            draw_dodge(goal, draws)
        goals.append(goal)
    return goals
