"""Each slot's seed and episode number, from which its examples are drawn, if none are chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from textgym.envs.draws import draw_uint64, fold_seed, seed_keys


class SlotSeeds:
    """The seeds of a vector environment's slots.

    Args:
        num_envs: The number of slots N.

    Attributes:
        seeds: uint64 [N].
        episodes: The number of each slot's episode since it was seeded, uint64 [N].
    """

    def __init__(self, num_envs: int) -> None:
        self.seeds = np.zeros(num_envs, dtype=np.uint64)
        self.episodes = np.zeros(num_envs, dtype=np.uint64)
        self._keys = seed_keys(self.seeds)
        self._chosen: list[list[int]] = [[] for _ in range(num_envs)]

    def assign(
        self,
        seed: int | Sequence[int | None] | None,
        slots: NDArray[np.int64],
        draw: Callable[[], int] | None,
    ) -> None:
        """Give slots their seeds.

        Args:
            seed: For the first slot, the others get the numbers after it; or one for each slot.
                None goes on with the slot's next episode.
            slots: Which slots, int64 [n].
            draw: Where a slot's seed comes from when none is given; None: it has one already.

        Raises:
            ValueError: If there are not N seeds, or one is no seed.
        """
        num_envs = len(self.seeds)
        if isinstance(seed, (Sequence, np.ndarray)):
            seeds = list(seed)
        else:
            start = None if seed is None else fold_seed(seed)
            seeds = [None if start is None else start + i for i in range(num_envs)]
        if len(seeds) != num_envs:
            raise ValueError(f"{len(seeds)} seeds were passed for num_envs={num_envs}")
        for given in seeds:  # All of them before any is assigned.
            if given is not None:
                fold_seed(given)
        for slot in slots.tolist():
            given = seeds[slot]
            if given is None and draw is None:
                self.episodes[slot] += np.uint64(1)
                continue
            number = fold_seed(given) if given is not None or draw is None else draw()
            self.seeds[slot], self.episodes[slot] = number, 0
        self._keys = seed_keys(self.seeds)

    def choose(
        self, slots: NDArray[np.int64], examples: Sequence[Sequence[int]] | None, keep: bool
    ) -> None:
        """Have some slots show these examples, one an episode, before they draw them again.

        Args:
            slots: Which slots, int64 [n].
            examples: Numbers for each; None: there are none, or, with `keep`, those of before.
            keep: See `examples`.
        """
        if examples is None and keep:
            return
        for slot, numbers in zip(slots.tolist(), examples or [()] * len(slots), strict=True):
            self._chosen[slot] = list(reversed(numbers))

    def examples(self, slots: NDArray[np.int64], count: int) -> list[int]:
        """The example, of so many, of the episode that begins in each of some slots."""
        numbers = draw_uint64(self._keys[slots], self.episodes[slots], 0)
        drawn: list[int] = (numbers % np.uint64(count)).tolist()
        if not any(self._chosen):
            return drawn
        pairs = zip(drawn, (self._chosen[slot] for slot in slots.tolist()), strict=True)
        return [chosen.pop() if chosen else index for index, chosen in pairs]
