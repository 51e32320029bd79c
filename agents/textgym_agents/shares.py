"""How the work on a batch is divided among processes, and what each computed is put together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from textgym_agents.policies import Contexts, Episode


def divide(episodes: Sequence[Episode], count: int) -> list[list[Episode]]:
    """Divide episodes, one after another, into shares of about equal work.

    Args:
        episodes: If their observations are arrays, they are cut wherever a share ends; a sequence
            stays whole, since its last step costs as much as all of them.
        count: Shares.

    Returns:
        ``count`` lists, some of them empty where there is too little. Together, they have the
        episodes' steps in order.
    """
    shares: list[list[Episode]] = [[] for _ in range(count)]
    whole = isinstance(episodes[0].observations, Contexts)
    sizes = np.array([_size(episode) for episode in episodes])
    ends = np.cumsum(sizes)
    if whole:
        places = (ends - sizes / 2) * count // ends[-1]
        for episode, place in zip(episodes, places, strict=True):
            shares[int(place)].append(episode)
        return shares
    bounds = [int(ends[-1]) * index // count for index in range(count + 1)]
    for episode, end in zip(episodes, ends.tolist(), strict=True):
        begin = end - episode.num_steps
        for share, low, high in zip(shares, bounds, bounds[1:], strict=False):
            if (first := max(low, begin)) < (last := min(high, end)):
                share.append(episode.some_steps(slice(first - begin, last - begin)))
    return shares


def _size(episode: Episode) -> int:
    """What evaluating an episode costs: its tokens, or steps."""
    observations = episode.observations
    return len(observations.tokens) if isinstance(observations, Contexts) else episode.num_steps


def joined(columns: Sequence[Tensor], counts: Sequence[int], index: int) -> list[Tensor]:
    """Each column ``[M_index]`` amid those of the other processes, ``[sum(counts)]``.

    Only the own part has a gradient. Where ``counts[index]`` is 0, the own part is left out.
    """
    own = [column[: counts[index]] for column in columns]
    table = torch.zeros((len(own), max(counts)), dtype=torch.float64, device=own[0].device)
    for row, column in zip(table, own, strict=True):
        row[: counts[index]] = column.detach()
    tables = [torch.empty_like(table) for _ in counts]
    dist.all_gather(tables, table)
    whole = []
    for place, column in enumerate(own):
        parts = [rows[place, :n].to(column.dtype) for rows, n in zip(tables, counts, strict=True)]
        parts[index] = column
        whole.append(torch.cat(parts))
    return whole
