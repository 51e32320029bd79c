"""Streaming for decoders that nothing is known about: decode a short window again and again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

UNFINISHED = "\ufffd"
LONGEST_UNFINISHED = 3  # bytes of a UTF-8 character that lacks its last one
WINDOW = 8  # tokens kept as context, more than a character has bytes


class WindowStream:
    """Streams text out of a decoder that is a black box.

    A token's text is what the decoding of the last 8 to 16 tokens gained by it; trailing U+FFFD
    are held back while they may be a character that is not finished.

    Args:
        decode: Ids to text, special ids kept out.
        skipped: Ids that add nothing.
        size: All other ids are 0 .. size - 1.
    """

    def __init__(
        self, decode: Callable[[Sequence[int]], str], skipped: Collection[int], size: int
    ) -> None:
        self._decode = decode
        self._skipped = skipped
        self._size = size
        self._window: list[int] = []
        self._text = ""
        self._emitted = 0  # characters of the window's text

    def append(self, token_id: int) -> str:
        """Return the text that became final with this token; KeyError for an unknown id."""
        if token_id in self._skipped:
            return ""
        if not 0 <= token_id < self._size:
            raise KeyError(token_id)
        self._window.append(int(token_id))
        self._text = self._decode(self._window)
        held = len(self._text) - len(self._text.rstrip(UNFINISHED))
        end = len(self._text) - min(held, LONGEST_UNFINISHED)
        new = self._text[self._emitted : end]
        self._emitted = max(self._emitted, end)
        if len(self._window) > 2 * WINDOW:
            self._shorten()
        return new

    def flush(self) -> str:
        """Return the characters that were held back."""
        rest = self._text[self._emitted :]
        self._emitted = len(self._text)
        return rest

    def _shorten(self) -> None:
        held = len(self._text) - self._emitted
        self._window = self._window[-WINDOW:]
        self._text = self._decode(self._window)
        self._emitted = max(0, len(self._text) - held)
