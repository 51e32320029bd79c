"""Any Hugging Face tokenizer: `tokenizers.Tokenizer`, `transformers` fast and slow."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as Backend

from textgym.tokenizers.base import DecodeStream, decode_each, unknown_id
from textgym.tokenizers.frames import ChatTemplate, Frame, SpecialTokens
from textgym.tokenizers.pieces import PieceStream, compile_pieces
from textgym.tokenizers.windows import WindowStream

EOS_TOKENS = ("<|endoftext|>", "</s>", "<eos>", "<|end_of_text|>", "<|im_end|>", "[EOS]", "[SEP]")
PAD_TOKENS = ("<|pad|>", "<pad>", "[PAD]")


class HuggingFaceTokenizer:
    """Adapts a Hugging Face tokenizer, of any kind, to textgym's protocol.

    - Special tokens written out in a text are encoded as ordinary text, and decoding skips
      special ids, so that any text an encoder knows round-trips. (A Unigram vocabulary has them
      among its pieces, and reads them.)
    - What the tokenizer puts around a text by itself, such as Llama's <s> before and T5's </s>
      after it, stands around prompts: pretrained models have seen no text without it.
    - `clean_up_tokenization_spaces` stays off: it would delete spaces of text that an agent has
      already seen.
    - A tokenizer without EOS ends texts with its [SEP] (BERT); without either it is refused.
    - A padding token that is the EOS token (a habit with GPT-2), or stands around prompts, is no
      padding token.

    Args:
        tokenizer: A `tokenizers.Tokenizer`, or a `transformers` tokenizer, fast or slow. It is
            copied (fast) or only called (slow).
        eos_token: The token that ends a text, where it is not the tokenizer's own EOS.
        chat: Prompts, and replies in tasks of several turns, are a user's words in the tokenizer's
            chat template, and the token that ends an assistant's is EOS.
        name: For people and for signatures; default the tokenizer's `name_or_path`.

    Attributes:
        frame: What stands around prompts and replies.
        signature: A checksum of the vocabulary, by which a learner's checkpoint knows the
            tokenizer it was trained with.

    Raises:
        TypeError: If the object is not a Hugging Face tokenizer.
        ValueError: If there is no EOS token, or no chat template that is understood.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        eos_token: str | None = None,
        chat: bool = False,
        name: str | None = None,
    ) -> None:
        self.name = name or getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__
        vocabulary = _vocabulary(tokenizer)
        self._coder = _coder(tokenizer)
        self.frame: Frame = SpecialTokens.of(self._coder.encode, self._some_texts(vocabulary))
        if chat:
            self.frame = template = ChatTemplate.of(tokenizer, self.encode, self.name)
            eos_token = eos_token or template.end
        eos = eos_token or _eos_token(tokenizer, vocabulary)
        if eos not in vocabulary:
            raise ValueError(
                f"tokenizer {self.name!r} has no end-of-text token"
                + (f" {eos!r}" if eos else "")
                + ": set tokenizer.eos_token to one of its tokens, or pass "
                'HuggingFaceTokenizer(tokenizer, eos_token="...")'
            )
        self.signature = f"vocabulary:{_checksum(vocabulary):08x}"
        self.eos_id = vocabulary[eos]
        used = set(vocabulary.values())
        if used <= _special_ids(tokenizer):
            raise ValueError(
                f"tokenizer {self.name!r} has no tokens but special ones, as of a folder without "
                "its files: save it there with save_pretrained"
            )
        self.vocab_size = max(len(used), 1 + max(used))
        special = _special_ids(tokenizer) | (set(range(self.vocab_size)) - used)
        pad = vocabulary.get(_pad_token(tokenizer, vocabulary) or eos, self.eos_id)
        self.pad_id = self.vocab_size if pad in {self.eos_id, *self.frame.ids} else pad
        special |= {self.eos_id, pad}
        self.illegal_ids = frozenset(special - {self.eos_id})
        self._skipped = frozenset(special | {self.pad_id})
        self._given = tokenizer
        self._pieces = (
            compile_pieces(self._coder.backend, special, self.vocab_size)
            if isinstance(self._coder, _FastCoder)
            else None
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> HuggingFaceTokenizer:
        return self  # nothing of it ever changes

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the tokenizer into a folder, where `transformers.AutoTokenizer` finds it.

        Raises:
            ImportError: If it was not one of `transformers` and that is not installed.
        """
        tokenizer = copy.deepcopy(self._given)
        if isinstance(tokenizer, Backend):
            from transformers import PreTrainedTokenizerFast

            wrap: Any = PreTrainedTokenizerFast
            pad = tokenizer.id_to_token(self.pad_id)
            tokenizer = wrap(tokenizer_object=tokenizer, pad_token=pad)
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(self.eos_id)
        tokenizer.save_pretrained(str(folder))

    def _some_texts(self, vocabulary: Mapping[str, int]) -> Iterator[str]:
        """Texts that the tokenizer knows: a letter, or what its tokens say."""
        yield "a"
        for index in islice(vocabulary.values(), 300):
            yield self._coder.decode([index])

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; no special token is added, none is read out of the text."""
        return self._coder.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of the ids; special tokens and padding add nothing."""
        try:
            if self._pieces is not None:
                return self._pieces.decode(ids)
            stream = self.stream()
            return "".join([*map(stream.append, ids), stream.flush()])
        except KeyError as error:
            raise unknown_id(error.args[0], self.name, self.vocab_size) from None

    def decode_batch(self, ids: NDArray[np.int64], lengths: Sequence[int]) -> list[str]:
        """Return the texts of ids that lie one text after another, int64 [sum of lengths]."""
        # Negative ids are large ones as unsigned numbers.
        if self._pieces is None or (ids.size and ids.view(np.uint64).max() > self.vocab_size):
            return decode_each(self, ids, lengths)
        return self._pieces.decode_batch(ids, lengths)

    def stream(self) -> DecodeStream:
        """Return a new stream, at the beginning of a text."""
        if self._pieces is not None:
            return PieceStream(self._pieces)
        return WindowStream(self._coder.decode, self._skipped, self.vocab_size)


def _checksum(vocabulary: Mapping[str, int]) -> int:
    """A number that tells vocabularies apart, whose ids mean other tokens."""
    tokens = sorted(vocabulary, key=lambda token: (vocabulary[token], token))
    return crc32("\n".join(tokens).encode())


class _FastCoder:
    """Encodes with a copy of a `tokenizers.Tokenizer`, without its padding and truncation."""

    def __init__(self, definition: str) -> None:
        self.backend = Backend.from_str(definition)
        self.backend.no_padding()
        self.backend.no_truncation()
        self.backend.encode_special_tokens = True

    def __deepcopy__(self, memo: dict[int, Any]) -> _FastCoder:
        return self  # nothing of it ever changes

    def __reduce__(self) -> tuple[type[_FastCoder], tuple[str]]:
        return (_FastCoder, (self.backend.to_str(),))

    def encode(self, text: str, framed: bool = False) -> list[int]:
        ids: list[int] = self.backend.encode(text, add_special_tokens=framed).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.backend.decode(list(ids), skip_special_tokens=True))


class _SlowCoder:
    """Calls a `transformers` tokenizer that is written in Python."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def encode(self, text: str, framed: bool = False) -> list[int]:
        options = {"add_special_tokens": framed, "split_special_tokens": True}
        return list(self._tokenizer.encode(text, **options))

    def decode(self, ids: Sequence[int]) -> str:
        options = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
        return str(self._tokenizer.decode(list(ids), **options))


def _coder(tokenizer: Any) -> _FastCoder | _SlowCoder:
    backend = tokenizer if isinstance(tokenizer, Backend) else _backend(tokenizer)
    return _SlowCoder(tokenizer) if backend is None else _FastCoder(backend.to_str())


def _backend(tokenizer: Any) -> Backend | None:
    return getattr(tokenizer, "backend_tokenizer", None)


def _vocabulary(tokenizer: Any) -> dict[str, int]:
    """Return every token and its id, added tokens included."""
    if isinstance(tokenizer, Backend):
        return dict(tokenizer.get_vocab(with_added_tokens=True))
    if not hasattr(tokenizer, "get_vocab") or not hasattr(tokenizer, "all_special_ids"):
        raise TypeError(
            f"expected a tokenizer of `tokenizers` or `transformers`, got {type(tokenizer)!r}"
        )
    return {**tokenizer.get_vocab(), **tokenizer.get_added_vocab()}


def _special_ids(tokenizer: Any) -> set[int]:
    backend = tokenizer if isinstance(tokenizer, Backend) else _backend(tokenizer)
    ids = set() if isinstance(tokenizer, Backend) else set(tokenizer.all_special_ids)
    if backend is not None:
        added = backend.get_added_tokens_decoder()
        ids |= {token_id for token_id, token in added.items() if token.special}
    return ids


def _eos_token(tokenizer: Any, vocabulary: Iterable[str]) -> str | None:
    if isinstance(tokenizer, Backend):
        return next((token for token in EOS_TOKENS if token in vocabulary), None)
    token: str | None = tokenizer.eos_token or tokenizer.sep_token
    return token


def _pad_token(tokenizer: Any, vocabulary: Iterable[str]) -> str | None:
    if isinstance(tokenizer, Backend):
        return next((token for token in PAD_TOKENS if token in vocabulary), None)
    token: str | None = tokenizer.pad_token
    return token
