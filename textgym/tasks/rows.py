"""Rows out of files: JSONL, JSON, CSV, TSV (all also gzipped) and Parquet; nothing is unpickled."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

Row = tuple[str, Mapping[str, Any]]
"""Where a row stands, for messages ("pairs.jsonl, line 3"), and its fields by name."""

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file, whose suffix says what it is.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If the file is Parquet and pyarrow is not installed.
        ValueError: If the suffix is unknown, or the file is damaged; names file and line.
    """
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"task file {path.absolute()} {what}")
    zipped = path.suffix == ".gz"
    suffix = path.with_suffix("").suffix if zipped else path.suffix
    if suffix not in SUFFIXES or (zipped and suffix == ".parquet"):
        raise ValueError(
            f"task file {path}: unknown kind {''.join(path.suffixes[-2:])!r}; known are "
            f"{', '.join(SUFFIXES)}, and .gz behind all but .parquet"
        )
    if suffix == ".parquet":
        yield from _parquet_rows(path)
        return
    try:
        with _open(path, zipped) as file:
            yield from _text_rows(path, suffix, file)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text: {error}") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: damaged gzip file: {error}") from error


def _open(path: Path, zipped: bool) -> IO[str]:
    if zipped:
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _text_rows(path: Path, suffix: str, file: IO[str]) -> Iterator[Row]:
    if suffix == ".jsonl":
        return _jsonl_rows(path, file)
    if suffix == ".json":
        return _json_rows(path, file)
    return _csv_rows(path, file, "\t" if suffix == ".tsv" else ",")


def _jsonl_rows(path: Path, file: IO[str]) -> Iterator[Row]:
    for number, line in enumerate(file, start=1):
        if line.strip():
            where = f"{path}, line {number}"
            yield where, _mapping(_parse(line.rstrip("\r\n"), where), where)


def _json_rows(path: Path, file: IO[str]) -> Iterator[Row]:
    rows = _parse(file.read(), str(path))
    if not isinstance(rows, list):
        raise ValueError(f"{path}: expected a list of objects, not {type(rows).__name__}")
    for number, row in enumerate(rows, start=1):
        where = f"{path}, row {number}"
        yield where, _mapping(row, where)


def _csv_rows(path: Path, file: IO[str], delimiter: str) -> Iterator[Row]:
    reader = csv.DictReader(file, delimiter=delimiter, strict=True)
    try:
        _check_header(reader.fieldnames or (), f"{path}, line {reader.reader.line_num}")
        for row in reader:
            where = f"{path}, line {reader.reader.line_num}"
            cells: list[Any] = list(row.values())
            if None in row or None in cells:
                raise ValueError(
                    f"{where}: the number of cells differs from that of the header's "
                    f"{len(reader.fieldnames or ())} columns"
                )
            yield where, row
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.reader.line_num}: malformed: {error}") from error


def _check_header(columns: Sequence[str], where: str) -> None:
    for number, column in enumerate(columns):
        if column and column in columns[:number]:
            raise ValueError(
                f"{where}: the column {column!r} is there twice; give each a name of its own"
            )


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError(f'{path} needs pyarrow: pip install "textgym[data]"') from error
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", row
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path}: cannot be read as Parquet: {error}") from error


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"column {error.colno}" if error.lineno == 1 else f"line {error.lineno}"
        raise ValueError(f"{where}: malformed JSON at {place}: {error.msg}") from error
    except (ValueError, RecursionError) as error:  # a number or a nesting beyond Python's limits
        raise ValueError(f"{where}: malformed JSON: {error}") from error


def _mapping(row: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(row, dict):
        raise ValueError(f"{where}: expected an object with fields, not {type(row).__name__}")
    return row
