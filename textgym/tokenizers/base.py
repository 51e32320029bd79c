"""What every tokenizer offers: token ids <-> text, and text that streams token by token."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


class DecodeStream(Protocol):
    """Decodes one text token by token; the parts joined equal `Tokenizer.decode` of all ids.

    What `append` returned never changes: only an unfinished character is held back.
    """

    def append(self, token_id: int) -> str:
        """Return the text that became final with this token ("" within a character).

        Raises:
            LookupError, ValueError: If the tokenizer has no such id.
        """

    def flush(self) -> str:
        """Return what is left at the end of the text (U+FFFD for a character cut short)."""


@runtime_checkable
class Tokenizer(Protocol):
    """Token ids and text, as an environment needs them.

    Attributes:
        name: For people and for signatures.
        vocab_size: Number of ids; actions are 0 .. vocab_size - 1, special tokens included.
        eos_id: The id that ends a text, in 0 .. vocab_size - 1.
        pad_id: The id that fills observations: the tokenizer's own padding token if it has one
            that is not its EOS, else `vocab_size`. Never a legal action.
        illegal_ids: Ids below `vocab_size` that are never a legal action: padding, beginning of
            text, unknown, mask and other special tokens; never `eos_id`.
    """

    name: str
    vocab_size: int
    eos_id: int
    pad_id: int
    illegal_ids: frozenset[int]

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; no special token is added, none is read out of the text."""

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of the ids; special tokens and padding add nothing.

        Raises:
            ValueError: If an id is neither `pad_id` nor in 0 .. vocab_size - 1.
        """

    def decode_batch(self, ids: NDArray[np.int64], lengths: Sequence[int]) -> list[str]:
        """Return the texts of ids that lie one text after another; `decode_each` will do.

        Args:
            ids: int64 [sum of lengths].
            lengths: The number of ids of each text.
        """

    def stream(self) -> DecodeStream:
        """Return a new stream, at the beginning of a text."""


def decode_each(tokenizer: Tokenizer, ids: NDArray[np.int64], lengths: Sequence[int]) -> list[str]:
    """`Tokenizer.decode_batch` for a tokenizer that has no faster way than text by text."""
    rest = iter(ids.tolist())
    return [tokenizer.decode(list(islice(rest, length))) for length in lengths]


def unknown_id(token_id: object, tokenizer_name: str, vocab_size: int) -> ValueError:
    """Return the error for an id that a tokenizer does not have."""
    return ValueError(
        f"tokenizer {tokenizer_name!r} has no token id {token_id}: its ids are 0..{vocab_size - 1}"
    )
