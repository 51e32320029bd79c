"""What a training run leaves in its output folder besides checkpoints.

config.json     what was asked for
log.jsonl       a row an iteration
tensorboard/    the same for TensorBoard
metrics.json    how it ended
curve.png       mean return over environment steps
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from textgym_agents.loggers import (
    ConsoleLogger,
    JsonLinesLogger,
    Logger,
    Row,
    TensorBoardLogger,
    read_rows,
    save_learning_curve,
)
from textgym_agents.runs.atomic import write_json

LOG = "log.jsonl"


class RunRecord:
    """Writes a run's rows wherever they are wanted.

    Args:
        output: The run's folder.
        config: What was asked for, as JSON.
        total_steps: Where the progress bar ends.
        iteration: The last iteration already recorded; -1 for a new run.
        steps: Environment steps taken until then.
        tensorboard: Write events for TensorBoard, too.
        progress: Show a progress bar.

    Attributes:
        last_row: The last row recorded before, empty for a new run.
    """

    def __init__(
        self,
        output: Path,
        config: Mapping[str, Any],
        *,
        total_steps: int,
        iteration: int = -1,
        steps: int = 0,
        tensorboard: bool = True,
        progress: bool = True,
    ) -> None:
        self._output = output
        write_json(output / "config.json", config)
        lines = JsonLinesLogger(output / LOG, iteration)
        self.last_row: dict[str, float] = lines.kept[-1] if lines.kept else {}
        self._loggers: list[Logger] = [lines]
        if tensorboard:
            purge = steps + 1 if iteration >= 0 else None
            self._loggers.append(TensorBoardLogger(output / "tensorboard", purge))
        if progress:
            self._loggers.append(ConsoleLogger(total_steps))

    def log(self, row: Row) -> None:
        """Record a row everywhere."""
        for logger in self._loggers:
            logger.log(row)

    def finish(self, metrics: Mapping[str, Any], final: Row, title: str) -> None:
        """Write how the run ended, and its learning curve.

        Args:
            metrics: The contents of metrics.json.
            final: A last point of the curve that is not in the log.
            title: The picture's title.
        """
        write_json(self._output / "metrics.json", plain(metrics))
        rows: list[Row] = [*read_rows(self._output / LOG), final]
        save_learning_curve(rows, self._output / "curve.png", title)

    def close(self) -> None:
        """Close every logger."""
        for logger in self._loggers:
            logger.close()


class NoRecord(RunRecord):
    """Records nothing: that of every process but the first."""

    def __init__(self) -> None:
        self.last_row = {}

    def log(self, row: Row) -> None:
        """Do nothing."""

    def finish(self, metrics: Mapping[str, Any], final: Row, title: str) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def plain(value: Any) -> Any:
    """A configuration as JSON: dataclasses become objects, paths strings.

    What JSON has no form for becomes a name: a function or a class "module:name", by which it can
    be found again, another object that of its type.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}:{value.__qualname__}"
    return f"{type(value).__module__}.{type(value).__qualname__}"
