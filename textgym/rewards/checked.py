"""Scores of a batch of texts, checked: what is wrong with a reward names the text that shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from textgym.rewards.base import ExampleLike, Reward, Scores

Place = Callable[[int], str]
"""What a message calls the text with this number: where it stands, and how it begins."""


class RewardError(RuntimeError):
    """A reward raised, or returned something that is not one finite number a text."""


def checked_scores(
    reward: Reward, texts: Sequence[str], examples: Sequence[ExampleLike], place: Place
) -> tuple[Scores, dict[str, Scores]]:
    """The scores and their components, float64 [n] each.

    Args:
        reward: What scores.
        texts: n of them, at least one.
        examples: What they answer.
        place: Names a text in messages.

    Raises:
        RewardError: If the reward raises, or gives anything but n finite numbers.
    """
    try:
        total, components = _evaluate(reward, texts, examples)
    except Exception as error:
        where, cause = _first_failure(reward, texts, examples, place, error)
        raise raised(reward, cause, where) from cause
    for name, values in components.items():
        if values is not total:
            check_finite(reward, name, values, place, len(texts))
    check_finite(reward, reward.name, total, place, len(texts))
    return total, components


def _evaluate(
    reward: Reward, texts: Sequence[str], examples: Sequence[ExampleLike]
) -> tuple[Scores, dict[str, Scores]]:
    components = {
        name: np.asarray(values, dtype=np.float64)
        for name, values in reward.components(texts, examples).items()
    }
    return np.asarray(reward.total(components), dtype=np.float64), components


def _first_failure(
    reward: Reward,
    texts: Sequence[str],
    examples: Sequence[ExampleLike],
    place: Place,
    error: Exception,
) -> tuple[str, Exception]:
    """The first text that alone makes the reward raise, and what it raises then."""
    if len(texts) > 1:
        for number, (text, example) in enumerate(zip(texts, examples, strict=True)):
            try:
                _evaluate(reward, [text], [example])
            except Exception as alone:
                return place(number), alone
        return f"{len(texts)} texts at once, the first {place(0)}; each alone it scored", error
    return place(0), error


def raised(reward: Reward, cause: Exception, where: str) -> RewardError:
    """The error that says what a reward raised, and for what."""
    return RewardError(f"reward {reward.name!r} raised {type(cause).__name__}: {cause} ({where})")


def check_finite(reward: Reward, name: str, values: Scores, place: Place, count: int) -> None:
    """Refuse anything but ``count`` finite numbers.

    Raises:
        RewardError: Names the component, and a text whose score is not finite.
    """
    if values.shape != (count,):
        raise RewardError(
            f"reward {reward.name!r} gave {name!r} of shape {values.shape} for {count} texts: "
            "one number a text is wanted"
        )
    finite = np.isfinite(values)
    if not finite.all():
        number = int(finite.argmin())
        raise RewardError(
            f"reward {reward.name!r} gave {name!r} = {values[number]} for {place(number)}: a "
            "finite number is wanted"
        )
