"""Recorded dialogues as a task: the user says what was recorded, the agent takes the other side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from textgym.tasks.base import Example
from textgym.tasks.files import FileTask, text_of
from textgym.tasks.turns import Conversation, MultiTurnTask, Reply

SEPARATOR = "\n"
"""Stands behind all that is said to the agent, and in a transcript between it and the user."""


class ReplayTask(FileTask, MultiTurnTask):
    """Replays the user's side of recorded dialogues, whatever the agent says.

    The prompt is what comes before the assistant's first turn: the user's first one, and a system's
    message where there is one. Each turn of the agent is answered by the user's next recorded turn,
    and the last recorded one of the assistant ends the dialogue. Turns in a row of one side count
    as one, a space between them; empty ones are left out. The one reference is the recorded
    dialogue as the environment's transcript shows it, and the expert says the recorded turns. The
    Schema-Guided dialogues, whose turns are lists such as ["U", "I am hungry.", []]:

        task_kwargs={"source": "dialogues.jsonl.gz", "speaker": 0, "text": 1, "user": "U"}

    Metadata: "assistant_turns", the recorded turns of the assistant; "user_turns", what the user
    says after each of them (the last may be ""); and the row's other fields.

    Outcomes, in [0, 1]: "overlap" compares each turn with the recorded one: the mean F1 of their
    words (Rajpurkar et al. 2016, section 6.1), 0 for turns not taken; "progress" is the share of
    the recorded turns that were taken, however empty. A metric of the transcript, such as BLEU,
    also pays for the user's words in it: "outcome:overlap" does not.

    Args:
        source: Where the rows are; see `FileTask`.
        turns: The field that holds a dialogue's turns, a list.
        speaker: Where a turn says who speaks: a key of mappings, an index of lists.
        text: Where it holds what is said.
        user: The speaker whose side is replayed; all others are the assistant, save those who
            speak before the user does.
        split_field: See `FileTask`.
        name: What messages call the task; default the file's name.

    Raises:
        FileNotFoundError: If a file does not exist.
        ImportError: If Parquet is asked for and pyarrow is not installed.
        TypeError: If `source` is no path, mapping or iterable.
        ValueError: If what is read is no dialogue; names file, line and field.
    """

    def __init__(
        self,
        source: Any,
        *,
        turns: str = "turns",
        speaker: str | int = "role",
        text: str | int = "content",
        user: str = "user",
        split_field: str | None = "split",
        name: str | None = None,
    ) -> None:
        self._turns = turns
        self._speaker = speaker
        self._text = text
        self._user = user
        super().__init__(source, split_field=split_field, name=name)

    def converse(self, example: Example) -> Conversation:
        """Return the user's side of a dialogue, at its beginning."""
        metadata = example.metadata
        return Replay(metadata["user_turns"], metadata["assistant_turns"])

    def expert(self, example: Example, turns: Sequence[tuple[str, str]] = ()) -> str:
        """Return the assistant's recorded turn after so many, whatever was said in them."""
        return str(example.metadata["assistant_turns"][len(turns)])

    def _example(self, where: str, row: Mapping[str, Any]) -> Example:
        sides = [
            (is_user, " ".join(text for _, text in said))
            for is_user, said in groupby(self._said(where, row), key=lambda turn: turn[0])
        ]
        first = next((i for i, (is_user, _) in enumerate(sides) if is_user), len(sides))
        assistant = tuple(text for is_user, text in sides[first:] if not is_user)
        if not assistant:
            raise ValueError(
                f"{where}, field {self._turns!r}: there is no turn of the user {self._user!r} with "
                "an answer to it; `user` names the speaker whose side is replayed"
            )
        user = [text + SEPARATOR for is_user, text in sides[first + 1 :] if is_user]
        replies = (*user, "")[: len(assistant)]
        prompt = "".join(text + SEPARATOR for _, text in sides[: first + 1])
        recorded = "".join(
            f"{turn}{SEPARATOR}{reply}" if reply else turn
            for turn, reply in zip(assistant, replies, strict=True)
        )
        metadata = {key: value for key, value in row.items() if key != self._turns}
        metadata |= {"assistant_turns": assistant, "user_turns": replies}
        return Example(prompt, (recorded,), metadata)

    def _said(self, where: str, row: Mapping[str, Any]) -> Iterator[tuple[bool, str]]:
        """Yield whether the user speaks, and the text, of each turn that is not empty."""
        turns = row.get(self._turns)
        if not isinstance(turns, Sequence) or isinstance(turns, str):
            raise ValueError(
                f"{where}: the field {self._turns!r} must hold a list of turns, not "
                f"{str(turns)[:40]!r}; fields are {', '.join(row)}"
            )
        for number, turn in enumerate(turns, start=1):
            place = f"{where}, turn {number}"
            try:
                speaker, text = turn[self._speaker], turn[self._text]
            except (LookupError, TypeError) as error:
                raise ValueError(
                    f"{place}: expected a speaker at {self._speaker!r} and a text at "
                    f"{self._text!r}, got {str(turn)[:60]}"
                ) from error
            said = text_of({"text": text}, "text", place).strip()
            if said:
                yield speaker == self._user, said


class Replay(Conversation):
    """The user's side of one recorded dialogue.

    Args:
        replies: What the user says after each turn of the agent.
        recorded: What the assistant said in the recording; as many.
    """

    def __init__(self, replies: Sequence[str], recorded: Sequence[str]) -> None:
        self._replies = tuple(replies)
        self._recorded = tuple(recorded)
        self._overlaps: list[float] = []

    def reply(self, turn: str) -> Reply:
        """Answer with the next recorded turn of the user, whatever was said."""
        number = len(self._overlaps)
        self._overlaps.append(word_f1(turn, self._recorded[number]))
        return Reply(self._replies[number], done=number + 1 == len(self._replies))

    def outcome(self) -> Mapping[str, float]:
        """Return overlap and turns, both in [0, 1]; see `ReplayTask`."""
        count = len(self._recorded)
        return {"overlap": sum(self._overlaps) / count, "progress": len(self._overlaps) / count}


def word_f1(text: str, reference: str) -> float:
    """Return the harmonic mean of the precision and the recall of a text's words.

    Words are what spaces separate; capitals do not count, their order neither. 0 without words.
    """
    words, wanted = Counter(text.lower().split()), Counter(reference.lower().split())
    total = words.total() + wanted.total()
    return 2 * (words & wanted).total() / total if total else 0.0
