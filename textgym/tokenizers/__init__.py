"""Token ids <-> text: the bundled byte-level BPE, Hugging Face tokenizers, symbols."""

from __future__ import annotations

from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend

from textgym.tokenizers.base import DecodeStream, Tokenizer
from textgym.tokenizers.hugging_face import HuggingFaceTokenizer
from textgym.tokenizers.symbols import SymbolTokenizer

__all__ = [
    "BUNDLED",
    "DecodeStream",
    "HuggingFaceTokenizer",
    "SymbolTokenizer",
    "Tokenizer",
    "load_tokenizer",
]

BUNDLED = "bundled"
SYMBOLS = "symbols:"
CHAT = "chat:"
MEMBERS = (
    *("name", "vocab_size", "eos_id", "pad_id", "illegal_ids"),
    *("encode", "decode", "decode_batch", "stream"),
)
"""What an object must have to be a `Tokenizer`."""


def load_tokenizer(spec: Any = None) -> Tokenizer:
    """Return the tokenizer that `spec` names or is.

    Many environments with one Hugging Face object: pass them what this returned for it, since
    making the decoding table takes 0.1 to 1.5 s and a copy of a loaded tokenizer costs nothing.

    Args:
        spec: None or "bundled" for the byte-level BPE of this package; "symbols:a b c" for a
            `SymbolTokenizer`; a `Tokenizer`; a Hugging Face tokenizer object, fast or slow; the
            path of a `tokenizer.json`; a folder or a name that `transformers.AutoTokenizer`
            knows (no remote code is run); such a folder or name after "chat:", whose chat
            template then stands around prompts and replies.

    Raises:
        FileNotFoundError: If a path leads nowhere.
        ImportError: If a name or a folder needs `transformers` and it is not installed.
        TypeError: If `spec` is none of these.
        ValueError: If the tokenizer cannot be loaded or has no end-of-text token.
    """
    if spec is None or spec == BUNDLED:
        return _bundled()
    if isinstance(spec, str) and spec.startswith(SYMBOLS):
        return SymbolTokenizer(spec.removeprefix(SYMBOLS).split())
    if isinstance(spec, str | Path):
        path = Path(str(spec).removeprefix(CHAT)).expanduser()
        return _from_name(str(spec), path, _modified(path))
    if isinstance(spec, Tokenizer):
        return spec
    missing = [name for name in MEMBERS if not hasattr(spec, name)]
    if len(missing) < len(MEMBERS) // 2:
        raise TypeError(f"tokenizer {type(spec).__name__} lacks {', '.join(missing)}")
    return HuggingFaceTokenizer(spec)


@cache
def _bundled() -> HuggingFaceTokenizer:
    definition = resources.files("textgym").joinpath("data/bpe.json").read_text("utf-8")
    return HuggingFaceTokenizer(Backend.from_str(definition), name=BUNDLED)


def _modified(path: Path) -> tuple[int, ...]:
    """Return when the files of a path were last changed, in ns; () if it leads nowhere."""
    files = sorted(path.iterdir()) if path.is_dir() else [path] if path.exists() else []
    return tuple(file.stat().st_mtime_ns for file in files)


@lru_cache(maxsize=4)
def _from_name(name: str, path: Path, modified: tuple[int, ...]) -> HuggingFaceTokenizer:
    """Load a file, a folder or a name, once for as many environments as use it."""
    named, chat, name = name, name.startswith(CHAT), name.removeprefix(CHAT)
    if path.is_file():
        return HuggingFaceTokenizer(_from_file(path), chat=chat, name=named)
    if not path.is_dir() and (path.suffix == ".json" or name.startswith((".", "/", "~"))):
        raise FileNotFoundError(f"tokenizer: there is no file or folder {path.absolute()}")
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise ImportError(
            f'tokenizer {name!r} needs transformers: pip install "textgym[agents]"'
        ) from error
    source = str(path) if path.is_dir() else name
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"tokenizer {name!r} could not be loaded by transformers.AutoTokenizer; give a "
            f"tokenizer.json, a folder with one, or a model's name. It said: {error}"
        ) from error
    return HuggingFaceTokenizer(tokenizer, chat=chat, name=named)


def _from_file(path: Path) -> Backend:
    try:
        return Backend.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise ValueError(f"{path.absolute()} is not a tokenizer.json: {error}") from error
