"""Pictures of an episode: plain text, coloured terminal output, and an RGB array."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.error import DependencyNotInstalled
from numpy.typing import NDArray

from textgym.tokenizers import Tokenizer

RENDER_MODES = ("ansi", "human", "rgb_array")
VECTOR_RENDER_MODES = ("ansi", "rgb_array")
WIDTH, HEIGHT, LINE = 640, 360, 18
COLUMNS = 88
NEUTRAL, GOOD, BAD, PROMPT = (40, 40, 40), (0, 130, 60), (190, 40, 40), (90, 90, 160)
BACKGROUND = (252, 252, 248)


def check_render_mode(mode: str | None, modes: Sequence[str] = RENDER_MODES) -> None:
    """Raise a ValueError for a render mode that there is not, or whose library is missing."""
    if mode is not None and mode not in modes:
        raise ValueError(f"render_mode must be None or one of {tuple(modes)}, not {mode!r}")
    if mode == "rgb_array":
        _pillow()


class Transcript:
    """One episode as it was written: each token's text, its reward, and the score at the end."""

    def __init__(self, tokenizer: Tokenizer, prompt: str) -> None:
        self._tokenizer = tokenizer
        self._decoder = tokenizer.stream()
        self._prompt = prompt
        self._pieces: list[tuple[str, float, str]] = []  # a token's text, its reward, the reply
        self._score: float | None = None

    def add(self, token: int, reward: float, reply: str | None, score: float | None) -> None:
        """Note a token, what it was paid, the reply to the turn and the score of the text it ended.

        The reply is None within a turn, the score within an episode.
        """
        piece = self._decoder.append(token)
        if reply is not None or score is not None:
            piece += self._decoder.flush()
        if reply is not None:
            self._decoder = self._tokenizer.stream()
        self._pieces.append((piece, reward, f"\n{reply}" if reply else ""))
        self._score = score

    def text(self) -> str:
        """Prompt, answer, return and score as plain text."""
        said = "".join(piece + reply for piece, _, reply in self._pieces)
        return f"{self._prompt}{said}\n{self._summary()}"

    def _summary(self) -> str:
        total = sum(reward for _, reward, _ in self._pieces)
        end = "" if self._score is None else f"  score {self._score:.3f}"
        return f"[{len(self._pieces)} tokens  return {total:+.3f}{end}]"

    def print_prompt(self) -> None:
        """Write the prompt to standard output."""
        sys.stdout.write(f"\n\x1b[2m{self._prompt}\x1b[0m")
        sys.stdout.flush()

    def print_last(self) -> None:
        """Write the last token's text, green or red by its reward, and the score at the end."""
        piece, reward, reply = self._pieces[-1]
        colour = "32" if reward > 0 else "31" if reward < 0 else "0"
        sys.stdout.write(f"\x1b[{colour}m{piece}\x1b[0m")
        if reply:
            sys.stdout.write(f"\x1b[2m{reply}\x1b[0m")
        if self._score is not None:
            sys.stdout.write(f"\n{self._summary()}\n")
        sys.stdout.flush()

    def picture(self) -> NDArray[np.uint8]:
        """The transcript as an image, uint8 [HEIGHT, WIDTH, 3]; long ones show their end."""
        image_module, draw_module, font_module = _pillow()
        image = image_module.new("RGB", (WIDTH, HEIGHT), BACKGROUND)
        draw = draw_module.Draw(image)
        font = font_module.load_default()
        runs = [(self._prompt, PROMPT)]
        for piece, reward, reply in self._pieces:
            runs.append((piece, GOOD if reward > 0 else BAD if reward < 0 else NEUTRAL))
            runs.append((reply, PROMPT))
        lines = _wrap(runs)[-(HEIGHT // LINE - 2) :]
        for row, line in enumerate(lines):
            x = 10.0
            for run, colour in line:
                shown = run.encode("latin-1", "replace").decode("latin-1")
                draw.text((x, 8 + row * LINE), shown, fill=colour, font=font)
                x += draw.textlength(shown, font=font)
        draw.text((10, HEIGHT - LINE - 6), self._summary(), fill=NEUTRAL, font=font)
        return np.array(image, dtype=np.uint8)


def _wrap(runs: list[tuple[str, Any]]) -> list[list[tuple[str, Any]]]:
    """Break coloured runs into lines of at most COLUMNS characters."""
    lines: list[list[tuple[str, Any]]] = [[]]
    used = 0
    for text, colour in runs:
        for number, part in enumerate(text.split("\n")):
            if number:
                lines.append([])
                used = 0
            for chunk in textwrap.wrap(part, COLUMNS, drop_whitespace=False):
                if used + len(chunk) > COLUMNS:
                    lines.append([])
                    used = 0
                lines[-1].append((chunk, colour))
                used += len(chunk)
    return lines


def _pillow() -> tuple[Any, Any, Any]:
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise DependencyNotInstalled(
            'render_mode="rgb_array" needs Pillow: pip install "textgym[render]"'
        ) from error
    return Image, ImageDraw, ImageFont
