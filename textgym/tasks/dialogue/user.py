"""The environment's side of a conversation: the simulated user and the knowledge base."""

from __future__ import annotations

import re
from collections.abc import Mapping

from textgym.tasks.base import Example
from textgym.tasks.dialogue.commands import Command, parse_command
from textgym.tasks.dialogue.domains import BOOK
from textgym.tasks.dialogue.knowledge import KnowledgeBase
from textgym.tasks.dialogue.openings import as_user
from textgym.tasks.dialogue.understanding import asked_slots
from textgym.tasks.dialogue.wish import Wish
from textgym.tasks.turns import Conversation, Reply

CONFUSED = (
    "Sorry, I did not understand that.",
    "Sorry, what do you mean?",
    "I do not understand.",
)
TOO_MANY = "One question at a time, please."
AGREED = "Yes, that sounds good."
GOODBYES = ("Thank you, goodbye.", "Great, thank you. Goodbye.", "That is all, thank you.")
OUT_OF_PATIENCE = "Sorry, I have to go."

MOST_QUESTIONS = 2
"""How many slots a turn may ask for."""


class DialogueConversation(Conversation):
    """A user with an agenda, and a knowledge base that answers commands.

    Args:
        example: An example of `DialogueTask`.
    """

    def __init__(self, example: Example) -> None:
        facts = example.metadata
        self._turn_limit: int = facts["turn_limit"]
        self._expert_turns: int = facts["expert_turns"]
        self._wishes = [Wish(goal) for goal in facts["goals"]]
        self._knowledge = KnowledgeBase(facts["knowledge"])
        self._turns = 0

    def reply(self, turn: str) -> Reply:
        """Answer a command as the knowledge base, any other turn as the user."""
        if self._over():
            return Reply("", done=True)
        self._turns += 1
        command = parse_command(turn)
        text = as_user(self._from_user(turn)) if command is None else self._from_knowledge(command)
        if self._over() and not self._succeeded():
            text = as_user(OUT_OF_PATIENCE)
        return Reply(text, done=self._over())

    def outcome(self) -> Mapping[str, float]:
        """How well the agent does, each number in [0, 1]; see `DialogueTask`."""
        success = self._succeeded()
        steps = [wish.steps() for wish in self._wishes]
        spare = self._turn_limit - self._expert_turns
        economy = min(1.0, (self._turn_limit - self._turns) / spare) if success else 0.0
        return {
            "success": float(success),
            "constraints": sum(map(self._met, self._wishes)) / len(self._wishes),
            "progress": sum(done for done, _ in steps) / sum(total for _, total in steps),
            "turn_economy": economy,
        }

    def _over(self) -> bool:
        return self._turns >= self._turn_limit or self._succeeded()

    def _succeeded(self) -> bool:
        return all(wish.done for wish in self._wishes)

    def _wish(self) -> Wish:
        return next(wish for wish in self._wishes if not wish.done)

    def _met(self, wish: Wish) -> float:
        """The share of a wish's final constraints that what was booked or looked up meets."""
        if wish.done:
            return 1.0
        values = self._held(wish)
        return wish.met(values) if values else 0.0

    def _held(self, wish: Wish) -> Mapping[str, str]:
        """The values of what is booked, or was looked up last, for a wish; empty if nothing."""
        if wish.books:
            booking = self._knowledge.bookings.get(wish.domain)
            return booking.values if booking else {}
        about = (wish.domain, wish.want)
        things = [t for t, field, _ in self._knowledge.looked_up if (t.domain, field) == about]
        return things[-1].values if things else {}

    def _from_knowledge(self, command: Command) -> str:
        wish = self._wish()
        answer = self._knowledge.answer(command)
        if command.verb == "find" and command.subject == wish.domain and not command.error:
            wish.found = wish.found or wish.searched_by(command.slots)
        values = self._held(wish)
        wish.acted = wish.acted or (bool(values) and wish.met(values) == 1.0)
        return f"KB: {answer}\n"

    def _from_user(self, turn: str) -> str:
        wish = self._wish()
        told = self._told(turn, wish)
        if told:
            return wish.objection(told) or wish.change("answer", "told") or self._satisfied(wish)
        slots = asked_slots(turn, wish.domain)
        if len(slots) > MOST_QUESTIONS:
            return TOO_MANY
        refused = wish.domain in self._knowledge.refused
        answers = [line for slot in slots if (line := wish.answer(slot, refused))]
        if answers:
            return " ".join([*dict.fromkeys(answers), wish.change("answer")]).rstrip()
        heard = turn.lower()
        offered = [t for name, t in self._knowledge.found.items() if name in heard]
        if offered and offered[0].domain == wish.domain:
            return wish.objection(offered[0].values) or AGREED
        return CONFUSED[self._turns % len(CONFUSED)]

    def _told(self, turn: str, wish: Wish) -> Mapping[str, str]:
        """The values of what a turn tells about, where it is what the user waits for."""
        booking = self._knowledge.bookings.get(wish.domain) if wish.books else None
        if wish.want == BOOK:
            return booking.values if booking and _says(turn, booking.reference) else {}
        for thing, field, detail in self._knowledge.looked_up:
            about = (thing.domain, field) == (wish.domain, wish.want) and _says(turn, detail)
            if about and (booking is None or booking.thing == thing):
                return booking.values if booking else thing.values
        return {}

    def _satisfied(self, wish: Wish) -> str:
        wish.done = True
        return GOODBYES[self._turns % len(GOODBYES)] if self._succeeded() else self._wish().opening


def _says(turn: str, words: str) -> bool:
    """Whether a turn has some words as they are, capitals aside."""
    return re.search(rf"\b{re.escape(words)}\b", turn, re.I) is not None
