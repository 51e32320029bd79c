"""Exact values and policy gradients of small text MDPs: the ground truth for learners.

Notation and equations are those of Sutton and Barto, Reinforcement Learning (2nd edition, 2018):
values (3.12-3.13), optimality (3.19-3.20), the policy-gradient theorem (13.5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.envs.text_generation import TextGenerationEnv

Floats = NDArray[np.float64]
Policy = Floats | Callable[[NDArray[np.int64]], Any]
"""A table of probabilities [S, V], or a function from observations [S, C] to one."""


@dataclass(frozen=True, slots=True)
class Values:
    """Values of a policy.

    Attributes:
        v: V(s), float64 [S].
        q: Q(s, a), float64 [S, V].
        j: the expected return from the start, J.
    """

    v: Floats
    q: Floats
    j: float

    @property
    def advantage(self) -> Floats:
        """A(s, a) = Q(s, a) - V(s), float64 [S, V]."""
        return self.q - self.v[:, None]


@dataclass(frozen=True, slots=True)
class EnumeratedMDP:
    """Every context that can be reached, each before its successors.

    Attributes:
        observations: int64 [S, C], the contexts that do not end the episode.
        start: float64 [S], the probability that an episode starts there.
        successors: int64 [S, V], the state each action leads to, -1 where it ends the episode.
        rewards: float64 [S, V].
        legal: bool [S, V]; an illegal action ends the episode, as in the environment.
    """

    observations: NDArray[np.int64]
    start: Floats
    successors: NDArray[np.int64]
    rewards: Floats
    legal: NDArray[np.bool_]

    def optimal(self, gamma: float = 1.0) -> Values:
        """V*, Q* and the best J, over legal actions, by backward induction."""
        masked = np.where(self.legal, 0.0, -np.inf)
        return self._backward(gamma, lambda s, q: float(np.max(q + masked[s])))

    def evaluate(self, policy: Policy, gamma: float = 1.0) -> Values:
        """V, Q and J of a policy."""
        table = self.table(policy)
        return self._backward(gamma, lambda s, q: float(table[s] @ q))

    def _backward(self, gamma: float, value: Callable[[int, Floats], float]) -> Values:
        v = np.zeros(len(self.start) + 1)  # The last entry, index -1, is the terminal state.
        q = np.zeros_like(self.rewards)
        for s in range(len(self.start) - 1, -1, -1):
            q[s] = self.rewards[s] + gamma * v[self.successors[s]]
            v[s] = value(s, q[s])
        return Values(v[:-1], q, float(self.start @ v[:-1]))

    def visits(self, policy: Policy, gamma: float = 1.0) -> Floats:
        """The discounted number of visits, sum over t of gamma^t P(s_t = s); float64 [S]."""
        table = self.table(policy)
        visits = self.start.copy()
        for s, after in enumerate(self.successors):
            goes_on = after >= 0
            visits[after[goes_on]] += gamma * visits[s] * table[s, goes_on]
        return visits

    def gradient(self, policy: Policy, gamma: float = 1.0) -> Floats:
        """The gradient of J by the logits of a softmax policy, float64 [S, V].

        By the policy-gradient theorem (13.5) with d pi(a|s) / d logit(s, b) =
        pi(a|s) (1[a = b] - pi(b|s)), it is visits(s) pi(a|s) A(s, a). For parameters behind the
        logits, multiply by their Jacobian.
        """
        table = self.table(policy)
        visits = self.visits(table, gamma)
        return visits[:, None] * table * self.evaluate(table, gamma).advantage

    def table(self, policy: Policy) -> Floats:
        """A policy as float64 [S, V].

        Raises:
            ValueError: if the shape is not [S, V] or a row is not a distribution.
        """
        given = policy(self.observations) if callable(policy) else policy
        table = np.asarray(given, dtype=np.float64)
        if table.shape != self.rewards.shape:
            raise ValueError(f"a policy of shape {self.rewards.shape} is wanted, not {table.shape}")
        sums = table.sum(axis=1)
        if (table < 0).any() or not np.allclose(sums, 1.0, atol=1e-5):
            worst = int(np.abs(sums - 1.0).argmax())
            raise ValueError(
                f"each row of a policy must be probabilities that sum to 1; row {worst} sums to "
                f"{sums[worst]}, the smallest entry is {table.min()}"
            )
        return table


def enumerate_mdp(
    env: Any, *, examples: Sequence[int] | None = None, max_states: int = 100_000
) -> EnumeratedMDP:
    """Try every action in every context, by stepping the environment itself.

    Args:
        env: a (wrapped) TextGenerationEnv with box observations.
        examples: start at these examples with equal probability; None starts at the state the
            environment is in.
        max_states: give up beyond so many contexts.

    Returns:
        The MDP. Without `examples` the environment is left where it was found, with them at
        the last one's start.

    Raises:
        ValueError: when there are more states than `max_states`, or observations are dicts.
    """
    text_env: TextGenerationEnv = env.unwrapped
    if text_env.mdp.dict_observation:
        raise ValueError('enumerate_mdp needs an environment made with observation="box"')
    found = None
    if examples is None:
        found = text_env.get_state()
        roots = [found]
    else:
        roots = []
        for example in examples:
            text_env.reset(options={"example": example})
            roots.append(text_env.get_state())
    mdp = _explore(text_env, roots, max_states)
    if found is not None:
        text_env.set_state(found)
    return mdp


def _explore(
    env: TextGenerationEnv, roots: Sequence[dict[str, Any]], max_states: int
) -> EnumeratedMDP:
    num_actions = env.mdp.tokenizer.vocab_size
    states = list(roots)
    observations, successors, rewards = [], [], []
    for state in states:  # The list grows while it is walked: breadth first.
        observations.append(env.set_state(state)[0])
        after = np.full(num_actions, -1, dtype=np.int64)
        paid = np.zeros(num_actions)
        for action in range(num_actions):
            env.set_state(state)
            _, paid[action], terminated, _, _ = env.step(action)
            if not terminated:
                after[action] = len(states)
                states.append(env.get_state())
        if len(states) > max_states:
            raise ValueError(
                f"more than {max_states} contexts: enumerate a smaller vocabulary "
                f"({num_actions} here) or budget ({env.mdp.max_new_tokens} tokens here)"
            )
        successors.append(after)
        rewards.append(paid)
    start = np.zeros(len(states))
    start[: len(roots)] = 1.0 / len(roots)
    legal = np.repeat(env.mdp.legal[None], len(states), axis=0)
    return EnumeratedMDP(
        np.stack(observations), start, np.stack(successors), np.stack(rewards), legal
    )
