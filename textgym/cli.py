"""The command line: `textgym list`, `textgym play`, `textgym score`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gymnasium.envs.registration import registry
from gymnasium.error import Error as GymnasiumError

from textgym.envs import RewardError
from textgym.envs.scales import load_scales
from textgym.play import play
from textgym.registration import TABLE
from textgym.rewards import REWARDS, load_reward
from textgym.score import read_pairs, report
from textgym.tasks import load_task

ERRORS = (ValueError, TypeError, OSError, ImportError, GymnasiumError, RewardError)
"""What bad input raises; anything else is a defect and shows its traceback."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0, 2 for bad input, 130 for Ctrl-C."""
    arguments = _parser().parse_args(argv)
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # for "module:name"; python -m has it there, too
    try:
        arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except ERRORS as error:
        print(f"textgym: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="textgym", description="Text generation as Gymnasium environments."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_list(commands)
    _add_play(commands)
    _add_score(commands)
    return parser


def _add_list(commands: Any) -> None:
    command = commands.add_parser("list", help="show the registered environments")
    command.set_defaults(run=lambda _: print("\n".join(table())))


def _add_play(commands: Any) -> None:
    command = commands.add_parser(
        "play",
        help="write the answers yourself",
        description="Write an answer, see what every token is paid. A line of text is encoded "
        "into tokens and follows a space; begin it with + to go on with the last word. #12 is "
        "the token with id 12. An empty line, or the end of the input, is EOS.",
    )
    command.add_argument("env", metavar="ENV", help='an id, as in "textgym list", or "Copy-v0"')
    command.add_argument(
        "--env-kwargs",
        type=_json_object,
        default={},
        metavar="JSON",
        help='keyword arguments of gym.make; default {"shaping": "dense"}, so that every token '
        "shows what it is worth",
    )
    command.add_argument("--seed", type=int, help="fixes the example; default a random one")
    command.add_argument("--example", type=int, help="the number of the example to show")
    command.set_defaults(
        run=lambda a: play(_full_id(a.env), a.env_kwargs, seed=a.seed, example=a.example)
    )


def _add_score(commands: Any) -> None:
    command = commands.add_parser(
        "score",
        help="score texts that are there already",
        description="Score a file with hypotheses and references in its rows (.jsonl, .json, "
        ".csv, .tsv, .parquet), or a text file of hypotheses, one a line, against text files of "
        "references. What is shown is the mean of the texts' scores (not corpus BLEU), with a "
        "95%% bootstrap interval over texts.",
    )
    command.add_argument("files", nargs="+", type=Path, metavar="FILE")
    command.add_argument(
        "--reward",
        required=True,
        type=_reward,
        help=f'one of {", ".join(REWARDS)}, or weights, such as \'{{"bleu": 0.7, "chrf": 0.3}}\'',
    )
    command.add_argument(
        "--hypothesis", default="hypothesis", metavar="FIELD", help="field or template; %(default)s"
    )
    command.add_argument(
        "--references",
        action="append",
        metavar="FIELD",
        help="field or template, may be repeated; default references or reference",
    )
    command.add_argument("--per-line", action="store_true", help="also show the score of each text")
    command.set_defaults(run=_score)


def _score(arguments: argparse.Namespace) -> None:
    reward = load_reward(arguments.reward)
    pairs = read_pairs(arguments.files, arguments.hypothesis, arguments.references)
    for line in report(pairs, reward, per_line=arguments.per_line):
        print(line)


def table() -> list[str]:
    """Return the lines of two tables of the registered environments: what they are, and scores."""
    rows = [("id", "reward", "prompt", "answer", "levels", "what to do")]
    for row in TABLE:
        task: Any = load_task(row.task)
        prompt = row.max_prompt_tokens or task.max_prompt_tokens
        answer = row.max_new_tokens or task.max_new_tokens
        levels = ", ".join(
            f"{level}*" if level == getattr(task, "level", None) else level
            for level in getattr(task, "levels", ())
        )
        name = load_reward(row.reward).name
        rows.append((row.id, name, str(prompt), str(answer), levels or "-", row.description))
    columns = ("task", "random", "untrained", "trained", "greedy", "expert")
    scores: list[tuple[str, ...]] = [columns]
    for scale in load_scales():
        measured = (
            *(scale.random, scale.untrained, scale.likelihood),
            *(scale.likelihood_greedy, scale.expert),
        )
        shown = ["-" if value is None else f"{value.mean:.3f}" for value in measured]
        scores.append((scale.variant, *shown))
    return [
        *_aligned(rows),
        "",
        "prompt, answer: most tokens, EOS included; *: the level if none is given",
        "",
        *_aligned(scores),
        "",
        "mean scores on the test split: random tokens; a small model untrained, trained by "
        "likelihood, and the same by its most probable tokens; the expert",
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _full_id(name: str) -> str:
    return name if "/" in name or name in registry else f"textgym/{name}"


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"malformed JSON: {error}: {text!r}") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(
            f'expected a JSON object such as {{"level": "easy"}}: {text!r}'
        )
    return value


def _reward(text: str) -> Any:
    return _json_object(text) if text.lstrip().startswith("{") else text


if __name__ == "__main__":
    sys.exit(main())
