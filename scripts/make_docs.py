"""Write docs/environments.md: a page for every registered environment, from its task's docstring.

python scripts/make_docs.py
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from textgym.envs.scales import Scale, load_scales
from textgym.registration import TABLE, Row
from textgym.rewards import load_reward
from textgym.tasks import Task, load_task

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "environments.md")
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    unfinished = arguments.output.with_suffix(".tmp")
    unfinished.write_text(page(), encoding="utf-8")
    unfinished.replace(arguments.output)


def page() -> str:
    """Return the text of the page."""
    lines = [
        "# Environments",
        "",
        "Written by `python scripts/make_docs.py` from the docstrings. Scores are means over the "
        "test split; *trained* is the bundled model, sampled and by its most probable tokens.",
        "",
    ]
    for row in TABLE:
        lines += section(row)
    return "\n".join(lines).rstrip() + "\n"


def section(row: Row) -> Iterator[str]:
    """Yield the lines about one environment."""
    task = load_task(row.task)
    yield from (f"## {row.id}", "", inspect.getdoc(type(task)) or "", "")
    yield from (f"Default reward: `{load_reward(row.reward).signature}`", "")
    yield "| level | prompt, tokens | answer, tokens | random | untrained | trained | expert |"
    yield "|---|---|---|---|---|---|---|"
    for level in getattr(task, "levels", (None,)):
        yield _level(row, load_task(row.task, level=level), level)
    yield ""


def _level(row: Row, task: Task, level: str | None) -> str:
    limits = (
        row.max_prompt_tokens or getattr(task, "max_prompt_tokens", "-"),
        row.max_new_tokens or getattr(task, "max_new_tokens", "-"),
    )
    (scale,) = [scale for scale in load_scales() if scale.variant == task.variant] or [None]
    return "| " + " | ".join([level or "-", *map(str, limits), *_scores(scale)]) + " |"


def _scores(scale: Scale | None) -> list[str]:
    def shown(value: Any) -> str:
        return "-" if value is None else f"{value.mean:.3f}"

    if scale is None:
        return ["-"] * 4
    trained = f"{shown(scale.likelihood)}, {shown(scale.likelihood_greedy)}"
    trained = "-" if scale.likelihood is None else trained
    return [shown(scale.random), shown(scale.untrained), trained, shown(scale.expert)]


if __name__ == "__main__":
    main()
