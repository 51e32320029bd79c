"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside ``path``; what was written there becomes ``path`` at the end.

    The body writes a file or makes a folder at the temporary name. If it raises, what it wrote is
    removed and ``path`` is as it was before. What was written is on disk before it gets its name.

    Yields:
        A path in the same folder, hence on the same file system, with the same suffix.

    Raises:
        IsADirectoryError: The body wrote a file, but ``path`` is a folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    remove(temporary)
    try:
        yield temporary
        if not temporary.is_dir():
            refuse_folder(path)
        _flush(temporary)
        if path.is_dir():
            retired = path.with_name(f".{os.getpid()}-old-{path.name}")
            path.replace(retired)
            temporary.replace(path)
            remove(retired)
        else:
            temporary.replace(path)
    finally:
        remove(temporary)


def remove(path: Path) -> None:
    """Remove a file, or a folder with what is in it, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def refuse_folder(path: Path) -> None:
    """Check that a file can have this name.

    Raises:
        IsADirectoryError: It is a folder's.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file")


def _flush(path: Path) -> None:
    """Have a file, or the files of a folder, written to the disk itself."""
    for file in (path, *path.rglob("*")):
        if file.is_file():
            with file.open("rb+") as stream:
                os.fsync(stream.fileno())


def write_text(path: Path, text: str) -> None:
    """Replace the file's text (UTF-8)."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Replace the file with ``value`` as indented JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
