"""Decoding by table: every token stands for bytes, and bytes stream through UTF-8."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as Backend

BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """The bytes of every token.

    Byte sequences that are not UTF-8 become U+FFFD as Unicode recommends (one for each maximal
    part of a character), whatever follows. Hugging Face's byte fallback does otherwise: one bad
    byte there turns every byte token of its run into U+FFFD, complete characters before it too,
    so that text which was already there changes. Ids that an encoder gave decode alike.

    Attributes:
        first: Bytes by id, at the beginning of a text (where some tokens lose their space).
        rest: Bytes by id, everywhere else.
        skipped: Special ids, which add nothing; both tables hold b"" for them.
        row: `rest` as an array of objects, for decoding many texts at once.
    """

    first: dict[int, bytes]
    rest: dict[int, bytes]
    skipped: frozenset[int]
    row: NDArray[np.object_] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        row = np.empty(max(self.rest) + 1, dtype=object)
        row[list(self.rest)] = list(self.rest.values())
        object.__setattr__(self, "row", row)

    def __deepcopy__(self, memo: dict[int, Any]) -> Pieces:
        return self

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of the ids; KeyError for an id that is in no table."""
        if len(ids) > 1:
            text = b"".join(itemgetter(*ids)(self.rest))
        else:
            text = b"".join([self.rest[i] for i in ids])
        if self.first is not self.rest:
            start = next((i for i in ids if i not in self.skipped), None)
            if start is not None:
                text = self.first[start] + text[len(self.rest[start]) :]
        return text.decode("utf-8", "replace")

    def decode_batch(self, ids: NDArray[np.int64], lengths: Sequence[int]) -> list[str]:
        """Return the texts of ids that lie one text after another, int64 [sum of lengths]."""
        ends = list(accumulate(lengths))
        starts = [0, *ends][: len(ends)]
        if self.first is not self.rest:
            return [self.decode(ids[a:b].tolist()) for a, b in zip(starts, ends, strict=True)]
        pieces = self.row[ids].tolist()
        return [
            b"".join(pieces[a:b]).decode("utf-8", "replace")
            for a, b in zip(starts, ends, strict=True)
        ]


class PieceStream:
    """Streams bytes into text; holds back the bytes of an unfinished character alone."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._table = pieces.first
        self._pending = b""

    def append(self, token_id: int) -> str:
        """Return the text that became final; KeyError for an id that is in no table."""
        piece = self._table[token_id]
        if token_id not in self._pieces.skipped:
            self._table = self._pieces.rest
        pending = self._pending + piece
        text, used = codecs.utf_8_decode(pending, "replace", False)
        self._pending = pending[used:]
        return text

    def flush(self) -> str:
        """Return U+FFFD for a character that was cut short, else ""."""
        text = self._pending.decode("utf-8", "replace")
        self._pending = b""
        return text


def compile_pieces(backend: Backend, skipped: Collection[int], size: int) -> Pieces | None:
    """Return the table that decodes like a `tokenizers` tokenizer, if there is one.

    Args:
        backend: The tokenizer, with any decoder.
        skipped: Special ids below `size`.
        size: Ids are 0 .. size - 1; `size` itself gets no bytes, for padding.

    Returns:
        None if a token's text depends on more than whether it is the first one.
    """
    config = json.loads(backend.to_str())["decoder"]
    steps = [] if config is None else config.get("decoders", [config])
    if [step["type"] for step in steps] == ["ByteLevel"]:
        first = rest = _byte_level_table(backend, size)
    elif _is_tokenwise(steps):
        fallback = any(step["type"] == "ByteFallback" for step in steps)
        first = _probe_table(backend, size, "", fallback)
        rest = _probe_table(backend, size, "a", fallback)
    else:
        return None
    for table in (first, rest):
        table.update(dict.fromkeys([*skipped, size], b""))
    return Pieces(first, rest, frozenset(skipped) | {size})


def _is_tokenwise(steps: Sequence[dict[str, Any]]) -> bool:
    """Tell whether a decoder works token by token, but for a space lost at the beginning."""
    types = [step["type"] for step in steps]
    known = {"Replace", "ByteFallback", "Fuse", "Strip", "Metaspace", "WordPiece"}
    if not known.issuperset(types):
        return False
    fused = steps[types.index("Fuse") + 1 :] if "Fuse" in types else []
    return all(s["type"] == "Strip" and s["start"] <= 1 and s["stop"] == 0 for s in fused)


def _probe_table(backend: Backend, size: int, before: str, fallback: bool) -> dict[int, bytes]:
    """Return what the decoder makes of each token alone, or behind a token `before`."""
    table = {}
    for token_id in range(size):
        token = backend.id_to_token(token_id)
        byte = BYTE_TOKEN.fullmatch(token) if fallback and token else None
        if token is None:
            table[token_id] = b""
        elif byte and int(byte[1], 16) >= 0x80:  # alone, it is no character
            table[token_id] = bytes([int(byte[1], 16)])
        else:
            tokens = [before, token] if before else [token]
            text = backend.decoder.decode(tokens) if backend.decoder else " ".join(tokens)
            table[token_id] = text[len(before) :].encode()
    return table


def _byte_level_table(backend: Backend, size: int) -> dict[int, bytes]:
    """Return the bytes of tokens that are written in GPT-2's alphabet of bytes."""
    alphabet = byte_alphabet()
    table = {}
    for token_id in range(size):
        token = backend.id_to_token(token_id) or ""
        try:
            table[token_id] = bytes([alphabet[character] for character in token])
        except KeyError:  # an added token, kept as it is written
            table[token_id] = token.encode()
    return table


def byte_alphabet() -> dict[str, int]:
    """Return byte-level BPE's characters and their bytes (GPT-2, `bytes_to_unicode`)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    shifted = {chr(256 + index): byte for index, byte in enumerate(others)}
    return {chr(byte): byte for byte in plain} | shifted
