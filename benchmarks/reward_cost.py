"""What a score at every token costs: textgym's streams against calling the reference libraries.

    python benchmarks/reward_cost.py            # writes benchmarks/results/reward_cost.{md,json}
    python benchmarks/reward_cost.py --quick    # short texts, prints only

A token is a piece of four characters. "Every step" calls the reference library on the text so
far after each token, as an environment without streams must for a per-token reward. Times are
CPU time of this process (`time.process_time`), medians over repetitions, on texts and references
that neither side has seen: sacreBLEU caches its tokeniser, so repeated texts would flatter it.
The exit status is 1 if a bar at 300 tokens is missed.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from textgym.rewards import Reward, load_reward

CHARACTERS_A_TOKEN = 4
RUST = "rouge_score_rs"
SAMPLED_STEPS = 20
SAMPLE_FROM = 1_000  # tokens; shorter texts call the reference library at every single step
LENGTHS = {27: 15, 300: 7, 2000: 3}  # tokens to repetitions
BARS = {"BLEU": 30.0, "chrF": 100.0, "ROUGE-1+2+L": 400.0}
TITLES = {
    "metric": "metric",
    "tokens": "tokens",
    "stream_us": "stream, µs a token",
    "reference_us": "reference at every step, µs a token",
    "every_step_ratio": "reference / stream",
    "terminal_us": "one reference call, µs",
    "stream_to_terminal": "whole stream / one reference call",
    "batch_us": "one textgym call, µs",
    "batch_seen_us": "the same, references seen before, µs",
    "batch_ratio": "reference call / textgym call",
    "batch_seen_ratio": "the same, references seen before",
}


@dataclass(frozen=True)
class Metric:
    """A reward and the library call it must equal."""

    name: str
    reward: Reward
    reference: Callable[[str, str], float]


@dataclass(frozen=True)
class Times:
    """CPU seconds of one repetition."""

    stream: float
    every_step: float
    terminal: float
    batch: float
    batch_seen: float


def metrics() -> list[Metric]:
    """BLEU, chrF, chrF++ and the three ROUGE scores, each with its reference library.

    ROUGE is also compared with rouge-score-rs, a fast reimplementation in Rust, if installed.
    """
    bleu, chrf, chrfpp = BLEU(effective_order=True), CHRF(), CHRF(word_order=2)
    rouge = load_reward({"rouge_1": 1.0, "rouge_2": 1.0, "rouge_l": 1.0})
    found = [
        Metric("BLEU", load_reward("bleu"), _sacrebleu(bleu)),
        Metric("chrF", load_reward("chrf"), _sacrebleu(chrf)),
        Metric("chrF++", load_reward("chrf++"), _sacrebleu(chrfpp)),
        Metric("ROUGE-1+2+L", rouge, _rouge_score(RougeScorer)),
    ]
    if find_spec(RUST):
        scorer = import_module(f"{RUST}.rouge_scorer").RougeScorer
        found.append(Metric("ROUGE-1+2+L against rouge-score-rs", rouge, _rouge_score(scorer)))
    return found


def _sacrebleu(metric: BLEU | CHRF) -> Callable[[str, str], float]:
    return lambda text, reference: metric.sentence_score(text, [reference]).score / 100


def _rouge_score(scorer_class: Callable[[list[str]], Any]) -> Callable[[str, str], float]:
    scorer = scorer_class(["rouge1", "rouge2", "rougeL"])

    def total(text: str, reference: str) -> float:
        return float(sum(score.fmeasure for score in scorer.score(reference, text).values()))

    return total


def pairs(tokens: int, seed: int) -> Iterator[tuple[str, str]]:
    """Endless unseen (text, reference): the reference with a third of its words replaced.

    Words of 2 to 9 letters are drawn by Zipf's law from 2,000; one in eight ends in punctuation.
    """
    rng = random.Random(seed)
    letters = "eeeetttaaaoooinnsshrrdlucmfwypvbgk"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(2_000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    characters = tokens * CHARACTERS_A_TOKEN
    while True:
        drawn = rng.choices(words, weights, k=characters)
        reference = [w + rng.choice(",.") if rng.random() < 1 / 8 else w for w in drawn]
        others = rng.choices(words, weights, k=characters)
        text = [
            other if rng.random() < 1 / 3 else w for w, other in zip(reference, others, strict=True)
        ]
        yield " ".join(text)[:characters], " ".join(reference)[:characters]


def cpu_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(metric: Metric, tokens: int, material: Iterator[tuple[str, str]]) -> Times:
    """One repetition; each kind of work gets texts and references of its own."""

    def stream() -> None:
        following = metric.reward.stream(example(reference))
        for start in range(0, len(text), CHARACTERS_A_TOKEN):
            following.append(text[start : start + CHARACTERS_A_TOKEN])
            following.score()

    def batch() -> float:
        return float(metric.reward([text], [example(reference)])[0])

    steps = range(1, tokens + 1)
    if tokens >= SAMPLE_FROM:
        every = tokens // SAMPLED_STEPS
        steps = range((every + 1) // 2, tokens + 1, every)
    text, reference = next(material)
    stream_seconds = cpu_seconds(stream)
    text, reference = next(material)
    every_step = sum(
        cpu_seconds(lambda t=text[: step * CHARACTERS_A_TOKEN]: metric.reference(t, reference))
        for step in steps
    ) * (tokens / len(steps))
    text, reference = next(material)
    terminal = cpu_seconds(lambda: metric.reference(text, reference))
    text, reference = next(material)
    batch_seconds = cpu_seconds(batch)
    text, _ = next(material)
    batch_seen = cpu_seconds(batch)
    difference = abs(batch() - metric.reference(text, reference))
    if difference > 1e-9:
        raise AssertionError(f"{metric.name} is {difference} off its reference library")
    return Times(stream_seconds, every_step, terminal, batch_seconds, batch_seen)


def example(reference: str) -> SimpleNamespace:
    return SimpleNamespace(prompt="", references=(reference,), metadata={})


def row(metric: Metric, tokens: int, repetitions: int) -> dict[str, Any]:
    """One line of the table, from the medians; the first repetition warms up and is dropped."""
    material = pairs(tokens, seed=tokens)
    runs = [measure(metric, tokens, material) for _ in range(repetitions + 1)][1:]
    median = {
        name: statistics.median(getattr(run, name) for run in runs) for name in asdict(runs[0])
    }
    return {
        "metric": metric.name,
        "tokens": tokens,
        "stream_us": 1e6 * median["stream"] / tokens,
        "reference_us": 1e6 * median["every_step"] / tokens,
        "every_step_ratio": median["every_step"] / median["stream"],
        "terminal_us": 1e6 * median["terminal"],
        "stream_to_terminal": median["stream"] / median["terminal"],
        "batch_us": 1e6 * median["batch"],
        "batch_seen_us": 1e6 * median["batch_seen"],
        "batch_ratio": median["terminal"] / median["batch"],
        "batch_seen_ratio": median["terminal"] / median["batch_seen"],
        "repetitions": repetitions,
        "sampled_steps": SAMPLED_STEPS if tokens >= SAMPLE_FROM else tokens,
    }


def setting() -> dict[str, Any]:
    """Where and with what the numbers were taken."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu_count": os.cpu_count(),
        "threads": 1,
        **{name: version(name) for name in ("sacrebleu", "rouge-score", "numpy")},
        **({"rouge-score-rs": version("rouge-score-rs")} if find_spec(RUST) else {}),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    lines = ["| " + " | ".join(TITLES.values()) + " |", "|---" * len(TITLES) + "|"]
    lines += ["| " + " | ".join(_cell(each[key]) for key in TITLES) + " |" for each in rows]
    return "\n".join(lines)


def _cell(value: str | int | float) -> str:
    if isinstance(value, float):
        return f"{value:.2g}" if value < 10 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else value


def bar_lines(rows: list[dict[str, Any]]) -> list[str]:
    """For each bar at 300 tokens, whether it is held."""
    at_300 = {each["metric"]: each["every_step_ratio"] for each in rows if each["tokens"] == 300}
    return [
        f"- {name}: {at_300[name]:,.0f}x, bar {bar:,.0f}x: "
        f"{'held' if at_300[name] >= bar else 'MISSED'}"
        for name, bar in BARS.items()
        if name in at_300
    ]


def report(rows: list[dict[str, Any]], where: dict[str, Any]) -> str:
    """The page that is kept in `results/`."""
    repetitions = {each["tokens"]: each["repetitions"] for each in rows}
    counts = ", ".join(f"{count} (at {tokens:,} tokens)" for tokens, count in repetitions.items())
    sampled = [each["tokens"] for each in rows if each["sampled_steps"] < each["tokens"]]
    sampling = (
        f" From {min(sampled):,} tokens on the reference library is called at {SAMPLED_STEPS} "
        "evenly spaced steps, and their time is scaled to all of them."
        if sampled
        else ""
    )
    bars = bar_lines(rows)
    return "\n".join(
        [
            "# What a score at every token costs",
            "",
            f"`python benchmarks/reward_cost.py`; "
            f"{', '.join(f'{key} {value}' for key, value in where.items())}.",
            "",
            f"A token is a piece of {CHARACTERS_A_TOKEN} characters; an example has one reference, "
            f"a third of whose words the text replaces. CPU time, medians of {counts} repetitions, "
            f"on unseen texts and references.{sampling} A stream's time includes preparing its "
            "reference.",
            "",
            table(rows),
            *(
                ["", "At 300 tokens, against the reference library at every step:", ""]
                if bars
                else []
            ),
            *bars,
            "",
        ]
    )


def write(path: Path, text: str) -> None:
    """Write a file as a whole or not at all."""
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="27 tokens only, two repetitions")
    parser.add_argument("--output", type=Path, help="folder for reward_cost.md and .json")
    arguments = parser.parse_args()
    logging.getLogger("sacrebleu").setLevel(logging.ERROR)
    output = arguments.output
    if output is None and not arguments.quick:
        output = Path(__file__).parent / "results"
    rows = []
    for tokens, repetitions in ({27: 2} if arguments.quick else LENGTHS).items():
        rows += [row(metric, tokens, repetitions) for metric in metrics()]
    page = report(rows, setting())
    print(page)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        write(output / "reward_cost.md", page)
        content = {"setting": setting(), "bars_at_300_tokens": BARS, "rows": rows}
        write(output / "reward_cost.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return int(any("MISSED" in line for line in bar_lines(rows)))


if __name__ == "__main__":
    sys.exit(main())
