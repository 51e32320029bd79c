"""Where a training run's numbers go: JSON lines, TensorBoard, the console, a picture.

A row is one iteration's numbers by name. Rows of iteration 0 are measured before training.
"""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from textgym_agents.runs.atomic import replacing, write_text

Row: TypeAlias = Mapping[str, float]

TIME_COLUMNS = frozenset({"seconds", "collect_seconds", "update_seconds", "steps_per_second"})
"""Columns that differ between two runs of the same computation."""

CONSOLE_COLUMNS = ("return_mean", "score", "loss", "eval_return_mean", "eval_score")


class Logger(ABC):
    """Takes one row an iteration."""

    @abstractmethod
    def log(self, row: Row) -> None:
        """Record a row; it has at least ``iteration`` and ``steps``."""

    @abstractmethod
    def close(self) -> None:
        """Write out what is left and release what is held."""


class JsonLinesLogger(Logger):
    """One JSON object a line, on disk when `log` returns.

    Args:
        path: The file. Rows after ``iteration`` are removed from it first: they are what an
            earlier run wrote after the checkpoint that is being resumed.
        iteration: The last iteration to keep; -1 starts an empty file.

    Attributes:
        kept: The rows that were kept.
    """

    def __init__(self, path: Path, iteration: int = -1) -> None:
        self.kept = [row for row in read_rows(path) if row["iteration"] <= iteration]
        write_text(path, "".join(json.dumps(row) + "\n" for row in self.kept))
        self._file = path.open("a", encoding="utf-8")

    def log(self, row: Row) -> None:
        """Append a line."""
        self._file.write(json.dumps(dict(row), default=float) + "\n")  # NumPy's, too.
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_rows(path: Path) -> list[dict[str, float]]:
    """The rows of a JSON-lines log; none if there is no file.

    A last line without its end, left by a process that was killed while writing, is dropped.

    Raises:
        ValueError: A line is not JSON, or has no iteration; names file and line.
    """
    if not path.exists():
        return []
    rows: list[dict[str, float]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(keepends=True), 1):
        if not line.endswith("\n"):
            break
        try:
            row = json.loads(line)
            row["iteration"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}, line {number}: not a row of a training log: {line!r}"
            ) from error
        rows.append(row)
    return rows


class TensorBoardLogger(Logger):
    """Scalars for TensorBoard, over environment steps.

    Args:
        folder: Where the event file goes.
        purge_step: Earlier events from this step on are hidden (a resumed run writes them anew).
    """

    def __init__(self, folder: Path, purge_step: int | None = None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(log_dir=str(folder), purge_step=purge_step)

    def log(self, row: Row) -> None:
        """Write each number under its name."""
        for name, value in row.items():
            if name not in ("iteration", "steps"):
                self._writer.add_scalar(name, value, int(row["steps"]))

    def close(self) -> None:
        """Flush and close the event file."""
        self._writer.close()


class ConsoleLogger(Logger):
    """A progress bar on a terminal; elsewhere a line now and then.

    Args:
        total_steps: Where the bar ends.
        console: Where to write; None: standard error.
        seconds_between: Least time between two lines, off a terminal.
    """

    def __init__(
        self, total_steps: int, console: Console | None = None, seconds_between: float = 10.0
    ) -> None:
        self._console = console or Console(stderr=True)
        self._between = seconds_between
        self._last_line = -seconds_between
        self._total = total_steps
        self._progress = Progress(
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("", total=total_steps)
        self._progress.start()

    def log(self, row: Row) -> None:
        """Show the row's main numbers."""
        text = "  ".join(f"{name} {row[name]:.4g}" for name in CONSOLE_COLUMNS if name in row)
        if not self._progress.disable:
            self._progress.update(self._task, completed=row["steps"], description=text)
        elif time.monotonic() - self._last_line >= self._between or row["steps"] >= self._total:
            self._last_line = time.monotonic()
            self._console.print(
                f"iteration {row['iteration']:.0f}  steps {row['steps']:.0f}  {text}",
                soft_wrap=True,
                highlight=False,
            )

    def close(self) -> None:
        """Take the bar down."""
        self._progress.stop()


def save_learning_curve(rows: Sequence[Row], path: Path, title: str) -> None:
    """Draw mean returns, and scores if there are any, over environment steps; PNG, atomic.

    Args:
        rows: The log, in order.
        path: The picture.
        title: Its title.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [n for n in ("return_mean", "eval_return_mean") if any(n in row for row in rows)]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = FigureCanvasAgg(figure).figure.subplots()
    for name in names:
        points = [(row["steps"], row[name]) for row in rows if name in row]
        label = "evaluation" if name.startswith("eval") else "training"
        marker = "o" if name.startswith("eval") else None
        axes.plot(*zip(*points, strict=True), label=label, marker=marker, markersize=4)
    bands = [row for row in rows if "eval_return_low" in row]
    if bands:
        axes.fill_between(
            [row["steps"] for row in bands],
            [row["eval_return_low"] for row in bands],
            [row["eval_return_high"] for row in bands],
            alpha=0.2,
            color="C1",
            label="95% interval",
        )
    axes.set(xlabel="environment steps", ylabel="mean return", title=title)
    if names:
        axes.legend()
    axes.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
