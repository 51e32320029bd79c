"""A tokenizer whose vocabulary is a handful of symbols, for diagnostic tasks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from textgym.tokenizers.base import decode_each, unknown_id


class SymbolTokenizer:
    """Each symbol is one token; a text is symbols with spaces between them.

    Ids 0 .. n - 1 are the symbols, n is EOS, n + 1 the separator that ends a prompt (never a
    legal action), and n + 2, one past the vocabulary, is the padding id.

    Args:
        symbols: The alphabet: distinct, not empty, without whitespace.
        separator: The symbol that ends a prompt; not in the alphabet.

    Raises:
        ValueError: If a symbol is repeated, empty, or contains whitespace.
    """

    def __init__(self, symbols: Sequence[str], separator: str = "=") -> None:
        self.symbols = tuple(symbols)
        written = (*self.symbols, separator)
        bad = [symbol for symbol in written if symbol.split() != [symbol]]
        if bad or not self.symbols or len(set(written)) < len(written):
            raise ValueError(
                f"symbols must be distinct words without spaces, at least one, and differ from "
                f"the separator {separator!r}; got {list(self.symbols)!r}"
            )
        size = len(self.symbols)
        self.name = f"symbols({''.join(self.symbols)})"
        self.vocab_size = size + 2
        self.eos_id = size
        self.pad_id = size + 2
        self.illegal_ids = frozenset({size + 1})
        self._ids = {symbol: index for index, symbol in enumerate(self.symbols)}
        self._ids[separator] = size + 1
        self._words = {index: symbol for symbol, index in self._ids.items()}

    def encode(self, text: str) -> list[int]:
        """Return the ids of symbols that are separated by whitespace.

        Raises:
            ValueError: If a word of the text is not a symbol.
        """
        try:
            return [self._ids[word] for word in text.split()]
        except KeyError as error:
            raise ValueError(
                f"{error.args[0]!r} in {text!r} is not a symbol of {self.name!r}: "
                f"use {' '.join(self._ids)}, separated by spaces"
            ) from None

    def decode(self, ids: Sequence[int]) -> str:
        """Return the symbols with spaces between them; EOS and padding add nothing."""
        stream = self.stream()
        return "".join([stream.append(token_id) for token_id in ids])

    def decode_batch(self, ids: NDArray[np.int64], lengths: Sequence[int]) -> list[str]:
        """Return the texts of ids that lie one text after another, int64 [sum of lengths]."""
        return decode_each(self, ids, lengths)

    def stream(self) -> SymbolStream:
        """Return a new stream, at the beginning of a text."""
        return SymbolStream(self)

    def word(self, token_id: int) -> str:
        """Return a symbol as written; "" for EOS and padding."""
        word = self._words.get(token_id)
        if word is None and token_id not in (self.eos_id, self.pad_id):
            raise unknown_id(token_id, self.name, self.vocab_size)
        return word or ""


class SymbolStream:
    """Decodes symbols one by one; every symbol is final at once."""

    def __init__(self, tokenizer: SymbolTokenizer) -> None:
        self._tokenizer = tokenizer
        self._started = False

    def append(self, token_id: int) -> str:
        """Return the symbol, after a space if it is not the first one."""
        word = self._tokenizer.word(token_id)
        if not word:
            return ""
        text = f" {word}" if self._started else word
        self._started = True
        return text

    def flush(self) -> str:
        """Return "": nothing is ever held back."""
        return ""
