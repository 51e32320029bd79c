"""What stands around prompts and replies: special tokens, or a chat template's marks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

Encode: TypeAlias = Callable[[str], list[int]]

WORDS = ("first words", "second words", "third words")
"""What is said where a template is tried out."""


class Frame(Protocol):
    """What stands around texts."""

    @property
    def ids(self) -> frozenset[int]:
        """All ids that stand there."""

    def prompt(self, text: str) -> list[int]:
        """Return the ids of a prompt in its frame."""

    def cut(self, text: str, limit: int) -> list[int]:
        """Return a prompt's frame and so many of its last ids as a limit of all leaves room for."""

    def reply(self, text: str) -> list[int]:
        """Return the ids of a reply in its frame, which follow the end of a turn."""


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """What a tokenizer puts around a text by itself, around prompts; nothing around replies.

    Attributes:
        encode: A text to its ids.
        before: Ids before a prompt.
        after: Ids after it.
    """

    encode: Encode
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()

    @property
    def ids(self) -> frozenset[int]:
        """See `Frame`."""
        return frozenset((*self.before, *self.after))

    def prompt(self, text: str) -> list[int]:
        """See `Frame`."""
        return [*self.before, *self.encode(text), *self.after]

    def cut(self, text: str, limit: int) -> list[int]:
        """See `Frame`."""
        room = limit - len(self.before) - len(self.after)
        return [*self.before, *_last(self.encode(text), room), *self.after]

    def reply(self, text: str) -> list[int]:
        """See `Frame`."""
        return self.encode(text) if text else []

    @classmethod
    def of(cls, encode: Callable[..., list[int]], texts: Iterable[str]) -> SpecialTokens:
        """Find them.

        Args:
            encode: Takes a text, and whether it is `framed`.
            texts: Such as have ids, some of them.
        """
        if encode("", framed=True):
            for text in texts:
                ids, framed = encode(text), encode(text, framed=True)
                for start in range(len(framed) - len(ids) + 1 if ids else 0):
                    if framed[start : start + len(ids)] == ids:
                        after = tuple(framed[start + len(ids) :])
                        return cls(encode, tuple(framed[:start]), after)
        return cls(encode)


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A user's words as a chat template writes them, for an assistant to answer.

    The ids are those of all that the template writes, the words within it, but that special tokens
    in the words are text; then they and what stands around them are encoded apart.

    Attributes:
        tokenizer: Of `transformers`; to it special tokens in a text are themselves.
        encode: A text to its ids, in which special tokens are text.
        special: How special tokens are written.
        around: What stands before and after the first words of a user.
        between: What stands between the end of an answer, left out, and later words; and after.
        end: The special token that ends an answer.
        trims: The words lose the whitespace around them.
    """

    tokenizer: Any
    encode: Encode
    special: frozenset[str]
    around: tuple[str, str]
    between: tuple[str, str]
    end: str
    trims: bool

    @property
    def ids(self) -> frozenset[int]:
        """See `Frame`."""
        return frozenset(self._marked("".join((*self.around, self.end, *self.between))))

    def prompt(self, text: str) -> list[int]:
        """See `Frame`."""
        before, after = self.around
        words = self._words(text)
        if self._is_plain(words):
            return self._marked(before + words + after)
        return [*self._marked(before), *self.encode(words), *self._marked(after)]

    def cut(self, text: str, limit: int) -> list[int]:
        """See `Frame`."""
        before, after = (self._marked(part) for part in self.around)
        room = limit - len(before) - len(after)
        return [*before, *_last(self.encode(self._words(text)), room), *after]

    def reply(self, text: str) -> list[int]:
        """See `Frame`."""
        before, after = self.between
        words = self._words(text)
        if self._is_plain(words):
            return self._inside(before + words + after)
        return [*self._inside(before), *self.encode(words), *self._inside(after)]

    def _marked(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False)) if text else []

    def _words(self, text: str) -> str:
        return text.strip() if self.trims else text

    def _is_plain(self, words: str) -> bool:
        return not any(token in words for token in self.special)

    def _inside(self, text: str) -> list[int]:
        """The ids of what follows others, before which some tokenizers put no space."""
        return self._marked(self.end + text)[1:]

    @classmethod
    def of(cls, tokenizer: Any, encode: Encode, name: str) -> ChatTemplate:
        """Find out what a template writes, by trying it.

        Args:
            tokenizer: Of `transformers`.
            encode: A text to its ids, in which special tokens are text.
            name: Of the tokenizer, for messages.

        Raises:
            ValueError: If there is no template, or it does not write words as they are, writes no
                special token after an answer, or nothing that asks for one.
        """
        if not getattr(tokenizer, "chat_template", None):
            raise ValueError(
                f"tokenizer {name!r} has no chat template: name the folder, or the model, of one "
                'that chats, or leave "chat:" out'
            )

        first, answer, second = WORDS
        begun, padded = (_written(tokenizer, [words]) for words in (first, f"\n{first} \n"))
        written = _written(tokenizer, WORDS)
        before, _, after = begun.partition(first)
        said, _, rest = written.partition(answer)
        between, _, last = rest.partition(second)
        marks = between.lstrip()  # Some end an answer with a space.
        special = {t.content for t in tokenizer.added_tokens_decoder.values() if t.special}
        end = max((token for token in special if marks.startswith(token)), key=len, default="")
        asks = begun != _written(tokenizer, [first], ask=False)
        if (
            not end
            or padded not in (begun, f"{before}\n{first} \n{after}")
            or not (asks or said.rstrip() == begun.rstrip())
        ):
            raise ValueError(
                f"the chat template of tokenizer {name!r} is not understood: it is to write users' "
                "words as they are, what asks for an answer, and a special token after that, not "
                f"{written!r}"
            )
        frame = (before, after), (marks.removeprefix(end), last)
        return cls(tokenizer, encode, frozenset(special), *frame, end, padded == begun)


def frame_of(tokenizer: Any) -> Frame:
    """Return a tokenizer's `frame`; of one that has none, that there is nothing."""
    frame: Frame = getattr(tokenizer, "frame", None) or SpecialTokens(tokenizer.encode)
    return frame


def _written(tokenizer: Any, words: Iterable[str], ask: bool = True) -> str:
    """What a template makes of the words of a user, an assistant, a user ..."""
    roles = ("user", "assistant", "user")
    messages = [{"role": role, "content": text} for role, text in zip(roles, words, strict=False)]
    options = {"tokenize": False, "add_generation_prompt": ask}
    return str(tokenizer.apply_chat_template(messages, **options))


def _last(ids: list[int], room: int) -> list[int]:
    return ids[-room:] if room > 0 else []
