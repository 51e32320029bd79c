"""Prompts in rows of one array, so that many contexts are laid out at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from textgym.envs.mdp import TextMDP

TABLE_TOKENS = 2**19
"""About how many tokens a table holds (2 MiB); never fewer than two prompts a slot."""

MOST_ROWS = 4096


class PromptTable:
    """The prompts that the slots of a vector environment show, and those shown lately.

    Args:
        mdp: Where the prompts come from; all of them are looked through, if they are few.
        num_envs: The number of slots.

    Attributes:
        contexts: int32 [R, max_context], each row a prompt and then padding.
        lengths: int64 [R], the tokens of each prompt.
        prompts: The `Prompt` of each row, object [R].
        texts: The text of each prompt, object [R].
        references: The references of each prompt, object [R].
        indices: The example number of each prompt, int64 [R].
    """

    def __init__(self, mdp: TextMDP, num_envs: int) -> None:
        mdp.check_prompts()
        most = min(MOST_ROWS, mdp.num_examples, TABLE_TOKENS // mdp.max_context)
        size = max(2 * num_envs, most)
        self._mdp = mdp
        self._rows: dict[int, int] = {}
        self._free = list(range(size))
        pad = mdp.tokenizer.pad_id
        self.contexts = np.full((size, mdp.max_context), pad, dtype=np.int32)
        self.lengths = np.zeros(size, dtype=np.int64)
        self.prompts = np.empty(size, dtype=object)
        self.texts = np.empty(size, dtype=object)
        self.references = np.empty(size, dtype=object)
        self.indices = np.zeros(size, dtype=np.int64)

    def find(self, indices: Sequence[int], shown: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of some examples, int64 [n]; those that are not there yet are added.

        Args:
            indices: Example numbers.
            shown: The rows that slots show now; they stay what they are.
        """
        for index in indices:
            if index not in self._rows:
                self._add(index, indices, shown)
        return np.array([self._rows[index] for index in indices], dtype=np.int64)

    def _add(self, index: int, wanted: Sequence[int], shown: NDArray[np.int64]) -> None:
        if not self._free:
            kept = set(shown.tolist())
            kept.update(self._rows[i] for i in wanted if i in self._rows)
            self._rows = {i: row for i, row in self._rows.items() if row in kept}
            self._free = [row for row in range(len(self.lengths)) if row not in kept]
        prompt = self._mdp.prompt(index)
        row = self._rows[index] = self._free.pop()
        self.contexts[row, : prompt.length] = prompt.tokens
        self.contexts[row, prompt.length :] = self._mdp.tokenizer.pad_id
        self.lengths[row] = prompt.length
        self.prompts[row] = prompt
        self.texts[row] = prompt.example.prompt
        self.references[row] = prompt.example.references
        self.indices[row] = index
