"""A task out of a file or a Hugging Face dataset."""

from __future__ import annotations

import math
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from textgym.tasks.base import SPLITS, Example, Task, split_of
from textgym.tasks.rows import Row, read_rows

REFERENCE_FIELDS = ("references", "reference")
VALIDATION_NAMES = ("val", "dev", "eval")


class FileTask(Task):
    r"""Reads prompts and references from rows; everything is read once, at construction.

    A field is given by its name, or by a template: a string with braces, such as "{en} |\n"
    ("{{" is a brace; conversions and formats, such as "{x:.2f}", are refused). Text fields hold a
    string, or a list of strings, which a template joins with ", "; finite numbers are written out.
    The fields that are neither prompt nor reference are an example's metadata.

    Args:
        source: A path (.jsonl, .json with a list, .csv, .tsv, all also with .gz, or .parquet); a
            `datasets.Dataset` or other iterable of mappings; or a mapping of splits to such
            sources (a `DatasetDict`, or {"train": "a.csv", "test": "b.csv"}).
        prompt: The field or template of the prompt.
        references: A field or template, or several. A field may hold one string or a list of
            them. None: the field "references" or "reference". (): there are no references.
        prompt_suffix: Ends a prompt that does not already end with it, so that a model sees
            where the response begins.
        split_field: The field that names the split, where rows have it: train..., val..., dev...
            or eval..., and test... All rows must have it, or none. If none has it, or it is None,
            a hash of the prompt decides: 1/16 validation, 1/16 test, the rest train.
        name: What messages call the task; default the file's name.

    Raises:
        FileNotFoundError: If a file does not exist.
        ImportError: If Parquet is asked for and pyarrow is not installed.
        TypeError: If `source` is no path, mapping or iterable.
        ValueError: If a file or a template is malformed, a field is missing, not text or empty, a
            split's name is unknown, or there is no row; names file, line and field.
    """

    def __init__(
        self,
        source: Any,
        *,
        prompt: str = "prompt",
        references: str | Sequence[str] | None = None,
        prompt_suffix: str = "\n",
        split_field: str | None = "split",
        name: str | None = None,
    ) -> None:
        self.name = name or (Path(source).name if isinstance(source, str | Path) else "dataset")
        self._prompt = prompt
        self._references = (references,) if isinstance(references, str) else references
        self._suffix = prompt_suffix
        self._split_field = split_field
        self._by_hash = False
        self._examples: dict[str, list[Example]] = {split: [] for split in SPLITS}
        if isinstance(source, Mapping):
            for key, part in source.items():
                split = split_of_part(key, part, f"task {self.name!r}")
                self._read(rows_of(part, f"{self.name}[{key!r}]"), split)
        else:
            self._read(rows_of(source, self.name), None)
        if not any(self._examples.values()):
            raise ValueError(f"task {self.name!r} has no rows: {str(source)[:200]}")

    def __deepcopy__(self, memo: dict[int, Any]) -> FileTask:
        return self  # nothing of it ever changes

    def num_examples(self, split: str) -> int:
        """Return how many examples a split has; 0 is possible."""
        if split not in self._examples:
            raise ValueError(
                f"task {self.name!r} has no split {split!r}; splits are {', '.join(SPLITS)}"
            )
        return len(self._examples[split])

    def example(self, index: int, split: str = "train") -> Example:
        """Return example `index` of a split, in the order of the rows."""
        size = self.num_examples(split)
        if not 0 <= index < size:
            raise IndexError(
                f"example {index} of task {self.name!r} is out of range: its splits have so many "
                f"examples: {self.describe_splits()}. Asked for was {split!r}"
            )
        return self._examples[split][index]

    def describe_splits(self) -> str:
        """Return how many examples each split has, and whether a hash of the prompt decided."""
        sizes = super().describe_splits()
        if not self._by_hash:
            return sizes
        field = f"a field {self._split_field!r}" if self._split_field else "a split_field"
        return f"{sizes}; a hash of the prompt decided; {field} in every row would choose"

    def _read(self, rows: Iterable[Row], split: str | None) -> None:
        field = None if split else self._split_field
        by_field: bool | None = None
        for where, row in rows:
            has_field = field is not None and field in row
            if by_field is None:
                by_field = has_field
            elif has_field and not by_field:
                raise ValueError(
                    f"{where}: there is the field {field!r}, which the first row lacks; all rows "
                    "or none must name their split. split_field=None ignores the field"
                )
            example = self._example(where, row)
            if by_field:
                named = split_of_row(row, str(field), where)
            else:
                named = split or split_of(example.prompt)
                self._by_hash = split is None
            self._examples[named].append(example)

    def _example(self, where: str, row: Mapping[str, Any]) -> Example:
        prompt = text_of(row, self._prompt, where)
        if not prompt.endswith(self._suffix):
            prompt += self._suffix
        fields = self._references
        if fields is None:
            default = next((f for f in REFERENCE_FIELDS if f in row), REFERENCE_FIELDS[0])
            fields = (default,)
        references = [text for field in fields for text in texts_of(row, field, where)]
        used = {name for field in (self._prompt, *fields) for name in field_names(field)}
        metadata = {key: value for key, value in row.items() if key not in used}
        return Example(prompt, tuple(references), metadata)


def rows_of(source: Any, name: str) -> Iterator[Row]:
    """Yield the rows of a path or of an iterable of mappings, and where each one stands."""
    if isinstance(source, str | Path):
        yield from read_rows(Path(source).expanduser())
        return
    if not isinstance(source, Iterable):
        raise TypeError(f"task {name!r}: expected a path or rows, got {type(source)!r}")
    for number, row in enumerate(source):
        where = f"{name}, row {number}"
        if not isinstance(row, Mapping):
            raise ValueError(f"{where}: expected a mapping of fields, not {type(row).__name__}")
        yield where, row


def split_of_row(row: Mapping[str, Any], field: str, where: str) -> str:
    """Return the split that a row's field names.

    Raises:
        ValueError: If the row lacks the field, or it names no split.
    """
    name = _value(row, field, where)
    split = split_named(name)
    if split is None:
        raise ValueError(f"{where}: {_unknown_split(name)}. split_field=None ignores the field")
    return split


def split_of_part(key: Any, part: Any, where: str) -> str:
    """Return the split that a key of a mapping of splits names.

    Raises:
        ValueError: If it names none, be it that the mapping is of columns instead of splits.
    """
    split = split_named(key)
    if split is not None:
        return split
    if _is_column(part):
        raise ValueError(
            f"{where}: a mapping is of splits to rows, but {key!r} is a column, not a split; pass "
            "datasets.Dataset.from_dict(columns) or a list of rows"
        )
    raise ValueError(f"{where}: {_unknown_split(key)}. Leave that split out of the mapping")


def split_named(name: Any) -> str | None:
    """Return the split that a data set's own name for it means ("dev" is "validation"), if any."""
    lower = name.lower() if isinstance(name, str) else ""
    if lower.startswith(VALIDATION_NAMES):
        return "validation"
    return next((split for split in ("train", "test") if lower.startswith(split)), None)


def _unknown_split(name: Any) -> str:
    return (
        f"unknown split {name!r}; a split's name begins with train, test, or one of "
        f"{', '.join(VALIDATION_NAMES)}"
    )


def _is_column(part: Any) -> bool:
    """Return whether a part of a mapping holds values of one field instead of rows."""
    if isinstance(part, str | Path) or not isinstance(part, Iterable):
        return False
    return not all(isinstance(row, Mapping) for row in islice(part, 1))


def field_names(field: str) -> list[str]:
    """Return the fields that a field name or a template reads."""
    if "{" not in field:
        return [field]
    return [name for _, name, _, _ in _parse(field) if name is not None]


def _parse(template: str) -> list[tuple[str, str | None, str | None, str | None]]:
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"malformed template {template!r}: {error}") from error
    for _, name, form, conversion in parts:
        if form or conversion:
            what = f"the conversion !{conversion}" if conversion else f"the format :{form}"
            raise ValueError(
                f"template {template!r}: only {{field}} is understood; take {what} off {{{name}}}"
            )
    return parts


def text_of(row: Mapping[str, Any], field: str, where: str) -> str:
    """Return the one text that a field name or a template gives."""
    if "{" not in field:
        return ", ".join(_strings(row, field, where))
    return "".join(
        literal + ("" if name is None else ", ".join(_strings(row, name, where)))
        for literal, name, _, _ in _parse(field)
    )


def texts_of(row: Mapping[str, Any], field: str, where: str) -> list[str]:
    """Return the texts, none of them empty, that a field or a template of references gives."""
    texts = [text_of(row, field, where)] if "{" in field else _strings(row, field, where)
    if not texts or not all(text.strip() for text in texts):
        raise ValueError(
            f"{where}, field {field!r}: "
            + ("a reference is empty" if texts else "there are no references")
            + "; give every row a text, or references=() if the task has none"
        )
    return texts


def _strings(row: Mapping[str, Any], field: str, where: str) -> list[str]:
    """Return a field's text or texts; finite numbers are written out."""
    value = _value(row, field, where)
    values = list(value) if isinstance(value, list | tuple) else [value]
    for item in values:
        if not _is_text_or_number(item):
            raise ValueError(
                f"{where}, field {field!r}: expected text or a list of texts, not "
                f"{str(item)[:40]!r} ({type(item).__name__})"
            )
        if isinstance(item, str) and not _is_unicode(item):
            raise ValueError(f"{where}, field {field!r}: half a surrogate pair is no character")
    return [str(item) for item in values]


def _is_text_or_number(item: Any) -> bool:
    if isinstance(item, float):
        return math.isfinite(item)  # NaN is pandas' missing value, as None is Python's
    return isinstance(item, str | int) and not isinstance(item, bool)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _value(row: Mapping[str, Any], field: str, where: str) -> Any:
    if field not in row:
        raise ValueError(f"{where}: there is no field {field!r}; fields are {', '.join(row)}")
    return row[field]
