"""Tables of benchmark results: printed, and written under benchmarks/results/."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with the same keys as a Markdown table; floats with three significant digits."""
    keys = list(rows[0])
    lines = ["| " + " | ".join(keys) + " |", "|" + "---|" * len(keys)]
    lines += ["| " + " | ".join(_cell(row[key]) for key in keys) + " |" for row in rows]
    return "\n".join(lines)


def publish(
    name: str,
    title: str,
    command: str,
    rows: Sequence[Mapping[str, Any]],
    folder: Path = RESULTS,
) -> None:
    """Print a table and write it as FOLDER/NAME.md and FOLDER/NAME.json, each atomically."""
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores"
    text = f"# {title}\n\n`{command}` ({machine})\n\n{markdown(rows)}\n"
    print(text)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / f"{name}.md", text)
    record = {"title": title, "command": command, "machine": machine, "rows": list(rows)}
    _write(folder / f"{name}.json", json.dumps(record, indent=1) + "\n")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(path.suffix + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
