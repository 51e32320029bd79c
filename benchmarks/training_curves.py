"""How the scores of the texts that a run learned from went, over its tokens and its seconds."""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import NamedTuple

from textgym_agents.loggers import read_rows


class Point(NamedTuple):
    """Where a run was: after so many tokens, and seconds of collecting and learning.

    Attributes:
        score: Of the texts that it had learned from since an eighth of the run before, the mean.
    """

    tokens: float
    seconds: float
    score: float


def curve(folder: Path) -> list[Point]:
    """A point a batch."""
    rows, seconds, points = read_rows(folder / "log.jsonl"), 0.0, []
    scores, window = [row["score"] for row in rows], max(1, len(rows) // 8)
    for index, row in enumerate(rows):
        seconds += row["collect_seconds"] + row["update_seconds"]
        lately = scores[max(0, index + 1 - window) : index + 1]
        points.append(Point(row["steps"], seconds, mean(lately)))
    return points


def at(points: list[Point], unit: str, place: float) -> float:
    """The score at so many tokens or seconds, as the unit is."""
    passed = [point.score for point in points if getattr(point, unit) <= place]
    return passed[-1] if passed else points[0].score


def draw(curves: dict[str, list[list[Point]]], path: Path) -> None:
    """Training scores over tokens and seconds, the mean of each algorithm's seeds, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (over_tokens, over_seconds) = plt.subplots(1, 2, figsize=(13, 5.5), sharey=True)
    for axes, unit in ((over_tokens, "tokens"), (over_seconds, "seconds")):
        for index, (name, seeds) in enumerate(curves.items()):
            end = min(getattr(points[-1], unit) for points in seeds)
            places = [end * k / 100 for k in range(12, 101)]  # Before, means are of few batches.
            means = [mean(at(points, unit, place) for points in seeds) for place in places]
            axes.plot(places, means, label=name, color=plt.get_cmap("tab20")(index % 20))
        axes.grid(alpha=0.3)
    over_tokens.set(
        xlabel="tokens", ylabel="score of sampled training texts, of an eighth of a run"
    )
    over_seconds.set(xlabel="seconds on one core", xscale="log")
    over_seconds.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.tight_layout()
    temporary = path.with_suffix(".tmp.png")
    figure.savefig(temporary, dpi=110)
    plt.close(figure)
    temporary.replace(path)
