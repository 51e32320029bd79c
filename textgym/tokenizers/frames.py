"""What stands around prompts and replies: special tokens, and the marks of a chat template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

Encode: TypeAlias = Callable[[str], list[int]]

WORDS = ("first words", "second words", "third words")
"""What is said where a template is tried out."""


class Frame(NamedTuple):
    """What stands around a text.

    Attributes:
        before: Ids.
        opening: Text between these and the framed one, which is encoded with it.
        closing: Text after the framed one, likewise.
        after: Ids.
    """

    before: tuple[int, ...] = ()
    opening: str = ""
    closing: str = ""
    after: tuple[int, ...] = ()

    def encode(self, text: str, encode: Encode) -> list[int]:
        """Return the ids of a text in its frame."""
        return [*self.before, *encode(self.opening + text + self.closing), *self.after]

    def cut(self, text: str, encode: Encode, limit: int) -> list[int] | None:
        """Return the frame and as many of the text's last ids as there is room for.

        Args:
            text: What is framed.
            encode: Text to ids.
            limit: The most ids of all together.

        Returns:
            The ids; None if there is no room for any of the text.
        """
        begin = [*self.before, *(encode(self.opening) if self.opening else [])]
        end = [*(encode(self.closing) if self.closing else []), *self.after]
        room = limit - len(begin) - len(end)
        return [*begin, *encode(text)[-room:], *end] if room > 0 else None


NO_FRAME = Frame()


def special_frame(encode: Callable[..., list[int]]) -> Frame:
    """Return what a tokenizer puts before and after a text by itself, as around a letter.

    Args:
        encode: Takes a text, and whether it is `framed`.
    """
    text, framed = encode("a"), encode("a", framed=True)
    starts = range(len(framed) - len(text) + 1)
    start = next((i for i in starts if framed[i : i + len(text)] == text), 0)
    return Frame(tuple(framed[:start]), after=tuple(framed[start + len(text) :]))


def chat_frames(tokenizer: Any, encode: Encode) -> tuple[Frame, Frame, str]:
    """Return how a chat template writes a user's words, for an assistant to answer.

    Args:
        tokenizer: Of `transformers`, with a chat template.
        encode: Text to its ids, in which special tokens are text.

    Returns:
        What stands around the first words of a user; what stands around later ones, the end of the
        answer before them left out; and that end, the token that ends an answer.

    Raises:
        ValueError: If there is no template, or it does not write words as they are, or writes no
            special token after an answer.
    """
    name = getattr(tokenizer, "name_or_path", "")
    if not getattr(tokenizer, "chat_template", None):
        raise ValueError(
            f"tokenizer {name!r} has no chat template: take one of a model that chats, or leave "
            '"chat:" out'
        )
    first, answer, second = WORDS
    messages = [{"role": "user", "content": first}]
    begun = _written(tokenizer, messages)
    messages += [{"role": "assistant", "content": answer}, {"role": "user", "content": second}]
    written = _written(tokenizer, messages)
    before, _, after = begun.partition(first)
    said, _, rest = written.partition(answer)
    between, _, last = rest.partition(second)
    special = {t.content: t for t in tokenizer.added_tokens_decoder.values() if t.special}
    marks = between.lstrip()  # Some end an answer with a space.
    end = next((token for token in special if marks.startswith(token)), "")
    rest = _stripped(marks.removeprefix(end), special.get(end))
    prompts = _frame(tokenizer, before, after, special)
    replies = _frame(tokenizer, rest, last, special)
    answered = said + answer + between[: len(between) - len(marks)] + end
    ends = prompts.encode(first, encode), replies.encode(second, encode)
    whole = [*_ids(tokenizer, answered), *ends[1]]
    if not end or _ids(tokenizer, begun) != ends[0] or _ids(tokenizer, written) != whole:
        raise ValueError(
            f"the chat template of tokenizer {name!r} is not understood: it is to write the words "
            "of users and assistants as they are, and a special token after an answer, not "
            f"{between[:20]!r}"
        )
    return prompts, replies, end


def _frame(tokenizer: Any, before: str, after: str, special: Mapping[str, Any]) -> Frame:
    """Cut what a template writes around words next to its special tokens.

    Args:
        tokenizer: Of `transformers`.
        before: What it writes before the words.
        after: What it writes after them.
        special: The special tokens by how they are written; some swallow the whitespace beside.
    """
    ends = {before.rfind(token) + len(token): token for token in special if token in before}
    start = max(ends, default=0)
    stop = min((after.find(token) for token in special if token in after), default=len(after))
    opening = _stripped(before[start:], special.get(ends.get(start, "")))
    outer = tuple(_ids(tokenizer, before[:start])), tuple(_ids(tokenizer, after[stop:]))
    return Frame(outer[0], opening, after[:stop], outer[1])


def _stripped(text: str, token: Any) -> str:
    """What is left of a text after a token, None for none."""
    return text.lstrip() if token is not None and token.rstrip else text


def _written(tokenizer: Any, messages: list[dict[str, str]]) -> str:
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False)) if text else []
