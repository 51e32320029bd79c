"""Scores of texts in files: the mean, its interval, and what exactly was measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from textgym.rewards import Reward
from textgym.rewards.checked import checked_scores
from textgym.tasks import Example
from textgym.tasks.files import REFERENCE_FIELDS, text_of, texts_of
from textgym.tasks.rows import SUFFIXES, read_rows

RESAMPLES = 1000

Pair = tuple[str, str, Example]
"""Where a hypothesis stands, for messages ("x.jsonl, line 3"), it, and the example it answers."""


def read_pairs(
    files: Sequence[Path], hypothesis: str = "hypothesis", references: Sequence[str] | None = None
) -> list[Pair]:
    """Read hypotheses and references.

    Args:
        files: One file with rows (see `textgym.tasks.rows`), or a text file of hypotheses, one a
            line, and then at least one text file of references.
        hypothesis: For rows, the field or template of the hypothesis.
        references: For rows, the fields or templates of the references; None for "references"
            or "reference", if there is one.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If a file is malformed or empty, a field is missing, or files differ in
            length; names file, line and field.
    """
    first = files[0]
    rows = first.suffix in SUFFIXES or first.with_suffix("").suffix in SUFFIXES
    if rows and len(files) > 1:
        raise ValueError(f"{first} holds hypotheses and references: give it alone")
    if not rows and len(files) == 1:
        raise ValueError(
            f"{first} is a text file of hypotheses: give a text file of references too, or a file "
            f"with both ({', '.join(SUFFIXES)})"
        )
    pairs = list(_row_pairs(first, hypothesis, references) if rows else _line_pairs(files))
    if not pairs:
        raise ValueError(f"{first}: there is nothing to score")
    return pairs


def _row_pairs(path: Path, hypothesis: str, references: Sequence[str] | None) -> Iterator[Pair]:
    for where, row in read_rows(path):
        fields = references
        if fields is None:
            fields = [field for field in REFERENCE_FIELDS if field in row][:1]
        found = tuple(text for field in fields for text in texts_of(row, field, where))
        text = text_of(row, hypothesis, where)
        yield where, text, Example(str(row.get("prompt", "")), found, row)


def _line_pairs(files: Sequence[Path]) -> Iterator[Pair]:
    columns = [_lines(path) for path in files]
    for path, lines in zip(files, columns, strict=True):
        if len(lines) != len(columns[0]):
            raise ValueError(f"{path} has {len(lines)} lines, but {files[0]} has {len(columns[0])}")
    for number, (hypothesis, *references) in enumerate(zip(*columns, strict=True), start=1):
        yield f"{files[0]}, line {number}", hypothesis, Example("", tuple(references))


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path.absolute()}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text: {error}") from error
    return text.removesuffix("\n").split("\n") if text else []


def report(pairs: Sequence[Pair], reward: Reward, *, per_line: bool = False) -> list[str]:
    """Return the lines that say how well the hypotheses score.

    Args:
        pairs: At least one.
        reward: What scores them.
        per_line: Whether the score of each hypothesis comes first: its number, from 1, a tab,
            the score.

    Raises:
        RewardError: If the reward raises or gives anything but one finite number a text; names
            the row.
    """
    places, texts, examples = zip(*pairs, strict=True)
    total, parts = checked_scores(
        reward, texts, examples, lambda number: f"{places[number]}, text {texts[number][:60]!r}"
    )
    lines = [f"{number}\t{score:.6f}" for number, score in enumerate(total, 1)] if per_line else []
    named = {reward.name: total} | (parts if len(parts) > 1 else {})
    width = max(map(len, named))
    for name, scores in named.items():
        low, high = bootstrap_interval(scores)
        lines.append(f"{name:<{width}}  {scores.mean():.4f}  95% [{low:.4f}, {high:.4f}]")
    return [*lines, f"n {len(pairs)}", f"signature {reward.signature}"]


def bootstrap_interval(
    scores: NDArray[np.float64], resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Return the 95% percentile bootstrap interval of the mean (Efron 1979).

    Args:
        scores: float64 [n], n >= 1.
        resamples: How many samples of size n are drawn with replacement.
        seed: The same one gives the same interval.
    """
    rng = np.random.default_rng(seed)
    size = len(scores)
    means = [scores[rng.integers(size, size=size)].mean() for _ in range(resamples)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
