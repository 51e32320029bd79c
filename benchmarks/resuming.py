"""What a benchmark finds of its own runs, and whether they are what is asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textgym_agents.policies.bundled import bundled_folder
from textgym_agents.runs.atomic import write_json


def bundled_weights() -> str:
    """The SHA-256 of the bundled model's weights, which runs that begin with it depend on."""
    with (bundled_folder() / "model.safetensors").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_same(
    folder: Path, settings: Mapping[str, Any], parts: Mapping[str, Any] | None = None
) -> None:
    """Refuse a folder whose runs are not known to have had these settings; note them in a new one.

    Args:
        folder: Of the runs; perhaps not there yet.
        settings: What all of them depend on, beside what their names tell.
        parts: What some of them depend on; a folder may have others, and get more.

    Raises:
        SystemExit: Says what differs.
    """
    path = folder / "settings.json"
    asked = {name: str(value) for name, value in settings.items()}
    some = {name: str(value) for name, value in (parts or {}).items()}
    there = asked
    if path.is_file():
        there = json.loads(path.read_text("utf-8"))
    elif folder.is_dir() and any(folder.iterdir()):
        raise SystemExit(
            f"{folder} does not say which settings its runs had ({path.name} is missing); name "
            "another folder with --runs"
        )
    wrong = [name for name in asked if there.get(name) != asked[name]]
    wrong += [name for name in some if there.get(name, some[name]) != some[name]]
    if wrong:
        raise SystemExit(
            f"{folder} has runs with another {', '.join(wrong)}; ask for the same, or name another "
            "folder with --runs"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, there | some)
