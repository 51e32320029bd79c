"""Tiny: a text MDP small enough to enumerate every text and solve it exactly."""

from __future__ import annotations

from textgym.tasks.base import Example, Task

PROMPTS = {
    "train": ("a", "a b", "b a", "b b"),
    "validation": ("b",),
    "test": ("a a",),
}


class TinyTask(Task):
    """Repeat one or two symbols backwards: "a b =" is answered by "b a".

    Three actions are legal (a, b and EOS) and texts have at most three tokens, so that from any
    prompt there are 7 texts to decide on and 15 finished ones. The splits are written down,
    since a hash of so few prompts could leave one empty.
    """

    name = "tiny"
    tokenizer = "symbols:a b"
    max_prompt_tokens = 3
    max_new_tokens = 3

    def num_examples(self, split: str) -> int:
        """Return 4 for "train", 1 for "validation" and "test"."""
        return len(self._prompts(split))

    def example(self, index: int, split: str = "train") -> Example:
        """Return example `index` of a split."""
        prompts = self._prompts(split)
        if not 0 <= index < len(prompts):
            raise IndexError(
                f"example {index} of task 'tiny' is out of range: the split {split!r} has the "
                f"examples 0 to {len(prompts) - 1}"
            )
        row = prompts[index].split()
        return Example(" ".join([*row, "="]), (" ".join(reversed(row)),))

    def _prompts(self, split: str) -> tuple[str, ...]:
        if split not in PROMPTS:
            raise ValueError(f"task 'tiny' has no split {split!r}; splits are {', '.join(PROMPTS)}")
        return PROMPTS[split]
