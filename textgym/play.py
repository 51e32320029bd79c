"""One episode written by a person: text in, rewards out."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO, cast

import gymnasium as gym

from textgym.envs.text_generation import TextGenerationEnv
from textgym.tokenizers import Tokenizer


def play(
    env_id: str,
    env_kwargs: Mapping[str, Any],
    *,
    seed: int | None = None,
    example: int | None = None,
    source: TextIO | None = None,
) -> dict[str, Any]:
    """Play one episode: show the prompt, take lines until the text ends, show the score.

    Args:
        env_id: A registered id of a text environment.
        env_kwargs: Arguments of `gym.make`; `shaping` is "dense" unless they say otherwise.
        seed: Of the environment's `reset`.
        example: The example to show, instead of one that the seed draws.
        source: Where the lines come from; None is standard input. At a terminal, a line that
            cannot be used is explained and asked for again.

    Returns:
        The info at the end of the episode.

    Raises:
        ValueError: If the environment is not one of text, or a line cannot be used.
        gymnasium.error.Error: If there is no such id.
    """
    source = sys.stdin if source is None else source
    entry_point = gym.spec(env_id).entry_point
    if entry_point != "textgym.envs.text_generation:TextGenerationEnv":
        raise ValueError(f"{env_id} is not a text environment of textgym")
    env = gym.make(env_id, **{"shaping": "dense", **env_kwargs})
    text_env = cast("TextGenerationEnv", env.unwrapped)
    env.reset(seed=seed, options=None if example is None else {"example": example})
    tokenizer = text_env.mdp.tokenizer
    prompt = text_env.mdp.prompt(text_env.get_state()["example"])
    print(f"prompt (example {prompt.index}):\n{prompt.example.prompt.rstrip()}")
    print(f"up to {text_env.mdp.max_new_tokens} tokens; an empty line ends the text, or a turn")
    written: list[int] = []
    info: dict[str, Any] = {}
    total = 0.0
    while "score" not in info:
        for token in _next_tokens(source, tokenizer, written):
            _, reward, _, _, info = env.step(token)
            total += float(reward)
            written.append(token)
            print(f"  {_shown(tokenizer, token):<16} #{token:<6} {float(reward):+.4f} {total:+.4f}")
            if info.get("reply"):
                print(info["reply"].rstrip())
            if "reply" in info:
                written.clear()
            if "score" in info:
                break
    env.close()
    _print_end(info, total)
    return info


def _next_tokens(source: TextIO, tokenizer: Tokenizer, written: Sequence[int]) -> list[int]:
    """Return the tokens of the next line that can be used."""
    while True:
        if source.isatty():
            print("> ", end="", flush=True)
        line = source.readline().rstrip("\r\n")
        try:
            return tokens_of(line, tokenizer, written)
        except ValueError as error:
            if not source.isatty():
                raise
            print(f"  {error}")


def tokens_of(line: str, tokenizer: Tokenizer, written: Sequence[int]) -> list[int]:
    """Return the tokens that a line of input stands for.

    Args:
        line: Text; "+" and text that goes on without a space; "#" and an id; or "" for EOS.
        tokenizer: The environment's.
        written: The tokens before.

    Raises:
        ValueError: If an id is not in the vocabulary, or the text cannot be encoded.
    """
    if not line.strip():
        return [tokenizer.eos_id]
    if line.startswith("#"):
        number = line[1:].strip()
        if not number.isdecimal() or int(number) >= tokenizer.vocab_size:
            raise ValueError(f"# takes a token id, 0 to {tokenizer.vocab_size - 1}, not {number!r}")
        return [int(number)]
    before = tokenizer.decode(written)
    text = line[1:] if line.startswith("+") else line
    space = " " if before and not before[-1].isspace() and not line.startswith("+") else ""
    ids = tokenizer.encode(space + text)
    if tokenizer.decode([*written, *ids]) != before + space + text:
        bare = tokenizer.encode(text)  # some encoders add the space themselves
        if tokenizer.decode([*written, *bare]) == before + space + text:
            return bare
    return ids


def _shown(tokenizer: Tokenizer, token: int) -> str:
    if token == tokenizer.eos_id:
        return "(end)"
    return repr(tokenizer.decode([token])) if token not in tokenizer.illegal_ids else "(illegal)"


def _print_end(info: Mapping[str, Any], total: float) -> None:
    print(f"\ntext: {info['text']}")
    for reference in info["references"]:
        print(f"reference: {reference}")
    print(f"score {info['score']:.4f}  return {total:+.4f}  finished by {info['finish_reason']}")
