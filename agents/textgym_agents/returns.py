"""Returns and discounted advantages of whole episodes: pure functions on NumPy arrays.

The policy gradient of the discounted objective J = E[sum_t gamma^t r_t] is

    grad J = E[sum_t gamma^t (G_t - b_t) grad log pi(a_t | s_t)],

with G_t the discounted return from step t on and b_t any number that does not depend on a_t
(Sutton and Barto, Reinforcement Learning, 2nd ed., 2018, section 13.3 and its boxed REINFORCE
with gamma^t; Williams 1992). `discounted_advantages` gives gamma^t (G_t - b_t), the *discounted
advantage*. Many implementations drop gamma^t; the estimate is then not that of any objective's
gradient (Nota and Thomas, Is the Policy Gradient a Gradient?, 2020). `generalized_advantages`
drops it too, since that is what A2C, TRPO and PPO are; with gamma 1 there is no difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Baseline: TypeAlias = Literal["none", "batch_mean", "leave_one_out", "greedy", "learned"]
RewardScale: TypeAlias = Literal["group", "batch", "none"]


def discount_factors(num_steps: int, gamma: float) -> NDArray[np.float64]:
    """The factors ``gamma**t`` for ``t = 0 .. num_steps - 1``: float64 ``[num_steps]``."""
    return np.power(float(gamma), np.arange(num_steps))


def returns_to_go(
    rewards: ArrayLike, gamma: float, final_value: float = 0.0
) -> NDArray[np.float64]:
    """Discounted return from each step on, ``G_t = r_t + gamma G_{t+1}`` with ``G_T`` given.

    Args:
        rewards: ``[T]``.
        gamma: Discount, 0 to 1.
        final_value: ``G_T``, the value of the state after the last step; 0 at a terminal one.

    Returns:
        float64 ``[T]``.
    """
    rewards = np.asarray(rewards, dtype=np.float64)
    returns = np.empty_like(rewards)
    following = float(final_value)
    for t in range(len(rewards) - 1, -1, -1):
        following = rewards[t] + gamma * following
        returns[t] = following
    return returns


def mean_of_others(values: ArrayLike, groups: ArrayLike | None = None) -> NDArray[np.float64]:
    """For each entry, the mean of the other entries of its group.

    An entry's own value has no part in its mean. As a baseline the mean of all N entries, the
    own one included, would depend on the action and shrink the expected gradient by the factor
    (N - 1) / N (Kool, van Hoof and Welling, Buy 4 REINFORCE Samples, Get a Baseline for Free!,
    2019, section 3).

    Args:
        values: ``[N]``.
        groups: ``[N]``, a group number an entry; None puts all entries in one group.

    Returns:
        float64 ``[N]``.

    Raises:
        ValueError: A group has one member only, so that there are no others.
    """
    values = np.asarray(values, dtype=np.float64)
    if groups is None:
        labels, members = np.array([0]), np.zeros(len(values), dtype=np.int64)
    else:
        labels, members = np.unique(np.asarray(groups), return_inverse=True)
    counts = np.bincount(members, minlength=len(labels))
    if (counts < 2).any():
        lonely = "the batch" if groups is None else f"group {labels[int(np.argmin(counts))]}"
        raise ValueError(
            f"a mean over the other episodes needs at least two, but {lonely} has "
            f"{int(counts.min())}; raise group_size (leave_one_out), or num_envs or "
            "episodes_per_env (batch_mean), to 2 or more"
        )
    totals = np.bincount(members, weights=values, minlength=len(labels))
    others: NDArray[np.float64] = (totals[members] - values) / (counts[members] - 1)
    return others


def discounted_advantages(
    returns: Sequence[NDArray[np.float64]],
    gamma: float,
    baseline: Baseline,
    *,
    groups: ArrayLike | None = None,
    values: Sequence[ArrayLike] | None = None,
    greedy_returns: ArrayLike | None = None,
) -> list[NDArray[np.float64]]:
    """The factors of grad log pi in the policy gradient, ``gamma**t (G_t - b_t)``.

    - ``none``: ``b_t = 0``.
    - ``batch_mean``: ``gamma**t b_t`` is the mean return of the batch's other episodes, less
      what this episode collected before step ``t``. The result is the same at every step of an
      episode: its whole return less the others' mean. It does not depend on the action at
      ``t``, so the estimate stays unbiased.
    - ``leave_one_out``: the same within groups of episodes that began alike (RLOO: Kool et al.
      2019; Ahmadian et al., Back to Basics, 2024, equation 7).
    - ``greedy``: the same with the return of the most probable actions from the same start in
      place of the others' mean (Rennie et al., Self-Critical Sequence Training for Image
      Captioning, 2017).
    - ``learned``: ``b_t`` is the policy's value of the state, recorded when it acted.

    Args:
        returns: One array a episode, ``[T_i]``: its returns-to-go.
        gamma: Discount, 0 to 1.
        baseline: One of the above.
        groups: ``[N]``, a group number an episode; used by ``leave_one_out``.
        values: One array an episode, ``[T_i]``; used by ``learned``.
        greedy_returns: ``[N]``, discounted like the others; used by ``greedy``.

    Returns:
        float64 arrays ``[T_i]``, one an episode.

    Raises:
        ValueError: An unknown baseline, or a group of one episode.
    """
    if baseline in ("batch_mean", "leave_one_out"):
        whole = np.array([episode[0] for episode in returns])
        excess = whole - mean_of_others(whole, groups if baseline == "leave_one_out" else None)
        return [np.full(len(r), e) for r, e in zip(returns, excess, strict=True)]
    if baseline == "greedy":
        if greedy_returns is None:
            raise ValueError('baseline "greedy" needs the greedy return of each episode')
        best = np.asarray(greedy_returns, dtype=np.float64)
        return [np.full(len(r), r[0] - b) for r, b in zip(returns, best, strict=True)]
    if baseline == "learned":
        if values is None:
            raise ValueError('baseline "learned" needs the values of each episode')
        differences = [r - np.asarray(v) for r, v in zip(returns, values, strict=True)]
    elif baseline == "none":
        differences = list(returns)
    else:
        raise ValueError(
            f'unknown baseline {baseline!r}; known: "none", "batch_mean", "leave_one_out", '
            '"greedy", "learned"'
        )
    return [discount_factors(len(d), gamma) * d for d in differences]


def normalized(advantages: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Shift and scale a batch's advantages to mean 0 and standard deviation 1 over all steps.

    The step size no longer depends on the scale of the reward, but the estimate is biased: the
    mean and the standard deviation depend on the actions.

    Args:
        advantages: One array an episode, ``[T_i]``.

    Returns:
        float64 arrays of the same shapes; all zeros if all advantages are equal. One step alone
        has no deviation, and stays as it is.
    """
    steps = np.concatenate(list(advantages))
    if len(steps) == 1:
        return list(advantages)
    return [(a - steps.mean()) / (steps.std() + 1e-8) for a in advantages]


def generalized_advantages(
    rewards: ArrayLike, values: ArrayLike, final_value: float, gamma: float, lam: float
) -> NDArray[np.float64]:
    """Advantage estimates by GAE, ``A_t = delta_t + gamma lam A_{t+1}`` with ``A_T = 0``.

    ``delta_t = r_t + gamma V_{t+1} - V_t`` (Schulman et al., High-Dimensional Continuous Control
    Using Generalized Advantage Estimation, 2016, section 3). With ``lam`` 1 the sum telescopes
    to ``G_t - V_t``: in a segment cut after n steps, A3C's n-step return less the value (Mnih et
    al., Asynchronous Methods for Deep Reinforcement Learning, 2016). With ``lam`` 0 it is the
    one-step error ``delta_t``. ``A_t + V_t`` is the value's target.

    The factor ``gamma**t`` of the discounted policy gradient is left out, as in the papers and
    implementations of A2C and PPO. For ``gamma`` 1 the two agree. Below 1, later steps then count
    as much as early ones, and what follows from it is not the gradient of the discounted return
    but the sum over states of their *undiscounted* visits times pi A_gamma grad log pi.

    Args:
        rewards: ``[T]``.
        values: ``[T]``, the value of the state at each step.
        final_value: Value of the state after the last step; 0 at a terminal one.
        gamma: Discount, 0 to 1.
        lam: Lower: less variance, and more of the values' bias. 0 to 1.

    Returns:
        float64 ``[T]``.
    """
    rewards, values = np.asarray(rewards, np.float64), np.asarray(values, np.float64)
    following = np.append(values[1:], final_value)
    return returns_to_go(rewards + gamma * following - values, gamma * lam)


def n_step_advantages(
    rewards: ArrayLike, values: ArrayLike, final_value: float, gamma: float, num_steps: int
) -> NDArray[np.float64]:
    """Returns of n steps, less the value of the state that they start from.

    ``A_t = r_t + ... + gamma^(n-1) r_{t+n-1} + gamma^n V_{t+n} - V_t``; where fewer than n steps
    are left, all of them and the final value (Sutton and Barto, Reinforcement Learning, 2nd ed.,
    2018, equation 7.1). ``A_t + V_t`` is the value's target.

    Args:
        rewards: ``[T]``.
        values: ``[T]``, the value of the state at each step.
        final_value: Value of the state after the last step; 0 at a terminal one.
        gamma: Discount, 0 to 1.
        num_steps: n, 1 or more. Lower: less variance, and more of the values' bias.

    Returns:
        float64 ``[T]``.
    """
    rewards, values = np.asarray(rewards, np.float64), np.asarray(values, np.float64)
    size = len(rewards)
    ends = np.minimum(np.arange(size) + num_steps, size)
    ahead = ends - np.arange(size)
    to_go = np.append(returns_to_go(rewards, gamma), 0.0)
    sums = to_go[:-1] - gamma**ahead * to_go[ends]
    advantages: NDArray[np.float64] = (
        sums + gamma**ahead * np.append(values, final_value)[ends] - values
    )
    return advantages


def explained_variance(values: ArrayLike, returns: ArrayLike) -> float:
    """The share of the returns' variance that the values explain, ``1 - Var[G - V] / Var[G]``.

    Args:
        values: ``[M]``.
        returns: ``[M]``.

    Returns:
        At most 1, and below 0 if the values are worse than a constant; 0 if all returns are
        equal.
    """
    returns = np.asarray(returns, np.float64)
    variance = float(np.var(returns))
    residual = float(np.var(returns - np.asarray(values, np.float64)))
    return 1.0 - residual / variance if variance > 0 else 0.0


def group_normalized(
    values: ArrayLike, groups: ArrayLike, scale: RewardScale = "group", epsilon: float = 1e-4
) -> NDArray[np.float64]:
    """Values less their group's mean, divided by a standard deviation.

    With ``group`` these are GRPO's advantages (Shao et al., DeepSeekMath, 2024, section 4.1.2).
    The mean includes the value itself and the divisor depends on the group, so the policy
    gradient that they weight is not that of the mean value: with ``none`` (Dr. GRPO: Liu et al.,
    Understanding R1-Zero-Like Training, 2025) it is, but for the factor ``(G - 1) / G``.

    Args:
        values: ``[N]``, as the episodes' returns.
        groups: ``[N]``, a group number an entry.
        scale: Divide by the group's standard deviation, by the batch's, or not at all.
        epsilon: Is added to the standard deviation (that of a sample: divided by ``G - 1``).

    Returns:
        float64 ``[N]``; 0 throughout a group of equal values.

    Raises:
        ValueError: A group has one member only.
    """
    values = np.asarray(values, dtype=np.float64)
    members = np.unique(np.asarray(groups), return_inverse=True)[1]
    counts = np.bincount(members)
    above_mean: NDArray[np.float64] = values - mean_of_others(values, groups)
    above_mean *= 1.0 - 1.0 / counts[members]  # From the others' mean to that of all.
    above_mean[equal_groups(values, groups)] = 0.0  # Rounding must not be a preference.
    if scale == "none":
        return above_mean
    if scale == "batch":
        deviation = np.full(len(values), values.std(ddof=1))
    else:
        deviation = np.sqrt(np.bincount(members, weights=above_mean**2) / (counts - 1))[members]
    above_mean /= deviation + epsilon
    return above_mean


def equal_groups(values: ArrayLike, groups: ArrayLike) -> NDArray[np.bool_]:
    """Whether all values of an entry's group are the same, so that none is better: bool ``[N]``.

    Sums of rewards that are equal but for rounding (1e-12 of their size, or of 1) are the same.

    Args:
        values: ``[N]``.
        groups: ``[N]``, a group number an entry.
    """
    values = np.asarray(values, dtype=np.float64)
    labels, members = np.unique(np.asarray(groups), return_inverse=True)
    least, most = np.full(len(labels), np.inf), np.full(len(labels), -np.inf)
    np.minimum.at(least, members, values)
    np.maximum.at(most, members, values)
    size = np.maximum(np.maximum(np.abs(least), np.abs(most)), 1.0)
    same: NDArray[np.bool_] = (most - least <= 1e-12 * size)[members]
    return same


def best_of_groups(values: ArrayLike, groups: ArrayLike, keep: int) -> NDArray[np.bool_]:
    """Which entries are among the best of their group and better than its mean: bool ``[N]``.

    Args:
        values: ``[N]``.
        groups: ``[N]``, a group number an entry.
        keep: Entries of a group at most; between equals the earlier one comes first. None of a
            group of equal values, which has no best, and fewer than ``keep`` where fewer are
            above the mean.

    Raises:
        ValueError: A group has one member only.
    """
    above = group_normalized(values, groups, "none") > 0
    best = np.zeros(len(above), np.bool_)
    taken: dict[int, int] = {}
    for index in np.argsort(-np.asarray(values, dtype=np.float64), kind="stable"):
        group = int(np.asarray(groups)[index])
        if above[index] and taken.get(group, 0) < keep:
            best[index] = True
            taken[group] = taken.get(group, 0) + 1
    return best
