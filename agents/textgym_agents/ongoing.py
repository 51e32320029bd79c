"""Environments that go on from one rollout to the next.

Of most environments the state cannot be saved. What was done since their reset can, and brings
them where they were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from textgym_agents.policies.base import Observations


class Ongoing:
    """Where vector environments are between two calls of `collect`, and what brought them there.

    Attributes:
        observations: What they gave last.
        infos: Likewise.
        resetting: bool ``[N]``, slots that the next step resets (`AutoresetMode.NEXT_STEP`).
        steps: int64 ``[N]``, steps so far of the episodes under way.
        rewards: float64 ``[N]``, the sums of their rewards so far.
    """

    observations: Observations
    infos: dict[str, Any]
    resetting: NDArray[np.bool_]
    steps: NDArray[np.int64]
    rewards: NDArray[np.float64]

    def __init__(self) -> None:
        self._actions: list[NDArray[Any]] = []
        self._sums = np.zeros(0)
        self.under_way = False

    def end(self) -> None:
        """Forget where they are: the next rollout resets them."""
        self._actions.clear()
        self.under_way = False

    def begin(self, num_envs: int, observations: Observations, infos: dict[str, Any]) -> None:
        """Note what a reset gave."""
        self.under_way = True
        self._actions.clear()
        self._sums = np.zeros(num_envs)
        self.observations, self.infos = observations, infos
        self.resetting = np.zeros(num_envs, np.bool_)
        self.steps, self.rewards = np.zeros(num_envs, np.int64), np.zeros(num_envs)

    def step(
        self,
        envs: gym.vector.VectorEnv[Any, Any, Any],
        actions: NDArray[Any],
        result: tuple[Any, Any, Any, Any, dict[str, Any]],
    ) -> None:
        """Note a step.

        Args:
            envs: The environments.
            actions: ``[N, *action]``, as they took them.
            result: What they gave.
        """
        self.observations, rewards, terminated, truncated, self.infos = result
        self._actions.append(np.array(actions))
        counted = np.where(self.resetting, 0.0, np.asarray(rewards, np.float64))
        self._sums += counted
        self.rewards += counted
        self.steps += ~self.resetting
        done = np.asarray(terminated | truncated, np.bool_)
        self.steps[done] = 0
        self.rewards[done] = 0.0
        mode = AutoresetMode(envs.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP))
        if mode is AutoresetMode.NEXT_STEP:
            self.resetting = done

    def state(self) -> dict[str, torch.Tensor]:
        """What `replay` takes; nothing where the next rollout resets them.

        Returns:
            ``actions`` ``[T, N, *action]`` and ``rewards``, float64 ``[N]``, since the reset.
        """
        if not self.under_way or not self._actions:
            return {}
        actions = torch.from_numpy(np.stack(self._actions))
        return {"actions": actions, "rewards": torch.from_numpy(self._sums.copy())}

    def replay(
        self,
        envs: gym.vector.VectorEnv[Any, Any, Any],
        seeds: Sequence[int],
        state: Mapping[str, torch.Tensor],
    ) -> None:
        """Bring environments where others were.

        Args:
            envs: Of the same kind.
            seeds: What those were reset with.
            state: What `state` said of them.

        Raises:
            ValueError: They are of another number, or the same actions had other rewards.
        """
        actions, expected = state["actions"].numpy(), state["rewards"].numpy()
        if actions.shape[1] != envs.num_envs:
            raise ValueError(f"the actions are of {actions.shape[1]} slots, not {envs.num_envs}")
        slot_seeds: Any = [int(seed) for seed in seeds]
        self.begin(envs.num_envs, *envs.reset(seed=slot_seeds))
        for row in actions:
            self.step(envs, row, envs.step(row))
        differ = np.flatnonzero(self._sums != expected)
        if differ.size:
            slot = int(differ[0])
            raise ValueError(
                f"the environment in slot {slot} gave rewards of {self._sums[slot]} in all where "
                f"the run to resume had {expected[slot]} for the same seed and actions: its "
                "episodes do not follow from its seed, so resets_every must be 1"
            )
