"""What a benchmark finds of its own runs, and whether they are what is asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textgym_agents.runs.atomic import write_json


def check_same(folder: Path, settings: Mapping[str, Any]) -> None:
    """Refuse a folder whose runs were asked for with other settings; keep those of a new one.

    Args:
        folder: Of the runs; perhaps not there yet.
        settings: All that a finished run depends on and its name does not tell.
    """
    path = folder / "settings.json"
    asked = {name: str(value) for name, value in settings.items()}
    there = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    names = [name for name in asked if asked[name] != there.get(name, asked[name])]
    if names:
        raise SystemExit(
            f"{folder} has runs with another {', '.join(names)}; ask for the same, or name another "
            "folder with --runs"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, there | asked)
