"""Collects complete episodes from a vector environment.

A batch of episodes depends on the policy's parameters, the seeds and the generator's state
alone: `collect` resets every slot with its seed and runs it until the slot has its quota of
complete episodes. A fixed quota a slot keeps short episodes from crowding out long ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from textgym_agents.action_masks import MaskRecord, action_masks
from textgym_agents.ongoing import Ongoing
from textgym_agents.policies.actions import some_actions, to_environment
from textgym_agents.policies.base import Actions, Episode, Observations, ObservationStore, Policy

_BoolArray = NDArray[np.bool_]


def collect(
    envs: gym.vector.VectorEnv[Any, Any, Any],
    policy: Policy,
    *,
    seeds: Sequence[int],
    episodes_per_env: int = 1,
    steps_per_env: int = 0,
    generator: torch.Generator | None = None,
    deterministic: bool = False,
    follow_expert: bool = False,
    one_per_group: bool = False,
    options: Mapping[str, Any] | None = None,
    ongoing: Ongoing | None = None,
) -> list[Episode]:
    """Run every slot for a fixed number of complete episodes, or of steps.

    Args:
        envs: Any Gymnasium vector environment that resets itself (`AutoresetMode.NEXT_STEP` or
            `SAME_STEP`). Masks of legal actions are read from ``info["action_mask"]`` or from
            the observation's ``"action_mask"``, if there are any.
        policy: Chooses the actions.
        seeds: One a slot. Slots with the same seed belong to the same groups.
        episodes_per_env: Complete episodes a slot; without meaning if ``steps_per_env`` is given.
        steps_per_env: Steps a slot. An episode that has not ended by then is cut: it counts as
            truncated, and its ``final_value`` is the policy's. 0: complete episodes.
        generator: Source of randomness for the actions.
        deterministic: Take the most probable actions.
        follow_expert: Take ``info["expert_action"]``, an action as the environment takes it, and
            do not ask the policy; the episodes' ``log_probs`` and ``values`` are then 0.
        one_per_group: Run the first slot of those with the same seed alone; the others idle.
        options: What the environments are reset with, besides the seeds.
        ongoing: With ``steps_per_env``: where the environments go on from, if they are under way,
            and are afterwards. Steps that reset a slot then count, too, and each is a group.

    Returns:
        Episodes ordered by slot, then by time: complete ones, ``episodes_per_env`` of each slot
        that runs, or as many as the steps make.

    Raises:
        ValueError: If the number of seeds is not the number of slots, the environment does not
            reset itself or is to go on without ``steps_per_env``, a reward is not finite, or there
            is no expert action of the action space's shape to follow.
    """
    run = _Rollout(envs, policy, seeds, episodes_per_env, steps_per_env, options, ongoing)
    if one_per_group:
        run.leave_out_others()
    while run.remaining.any():
        active = run.active
        if follow_expert:
            chosen = run.expert_actions(active)
        else:
            chosen = policy.act(
                run.observations,
                action_masks=run.masks,
                active=active,
                generator=generator,
                deterministic=deterministic,
            )
        run.step(chosen, active, bootstrap=not follow_expert)
    return run.episodes()


class _Rollout:
    """The state of one call of `collect`."""

    def __init__(
        self,
        envs: gym.vector.VectorEnv[Any, Any, Any],
        policy: Policy,
        seeds: Sequence[int],
        episodes_per_env: int,
        steps_per_env: int = 0,
        options: Mapping[str, Any] | None = None,
        ongoing: Ongoing | None = None,
    ) -> None:
        num_envs = envs.num_envs
        if len(seeds) != num_envs:
            raise ValueError(f"got {len(seeds)} seeds for {num_envs} environments")
        if episodes_per_env < 1:
            raise ValueError(f"episodes_per_env must be at least 1, got {episodes_per_env}")
        if steps_per_env < 0:
            raise ValueError(f"steps_per_env must be 0 or more, got {steps_per_env}")
        if ongoing is not None and not steps_per_env:
            raise ValueError("environments go on from one rollout to the next with steps_per_env")
        self._envs, self._policy, self._ongoing = envs, policy, ongoing
        self._same_step = _autoreset_mode(envs) is AutoresetMode.SAME_STEP
        alike = np.asarray(seeds) if ongoing is None else np.arange(num_envs)
        self._groups = np.unique(alike, return_inverse=True)[1].ravel()
        self._quota = steps_per_env or episodes_per_env  # An episode has a step at least.
        self.remaining = np.full(num_envs, self._quota, np.int64)
        self._steps_left = np.full(num_envs, steps_per_env or np.iinfo(np.int64).max, np.int64)
        self._resetting = np.zeros(num_envs, np.bool_)
        self._earlier = [(0, 0.0)] * num_envs  # Of the episodes under way.
        policy.clear_cache()  # What it had would round otherwise than what is computed now.
        self._store: ObservationStore = policy.make_store(num_envs)
        self._history = _History(num_envs)
        self._masks = MaskRecord(num_envs)
        self._done: list[list[Episode]] = [[] for _ in range(num_envs)]
        self.steps: int = 0
        self.observations: Observations
        if ongoing is not None and ongoing.under_way:
            self.observations, self.infos = ongoing.observations, ongoing.infos
            self._resetting = ongoing.resetting
            self._earlier = list(zip(ongoing.steps.tolist(), ongoing.rewards.tolist(), strict=True))
        else:
            self._reset(seeds, options)
        self.masks = action_masks(self.observations, self.infos)

    def _reset(self, seeds: Sequence[int], options: Mapping[str, Any] | None) -> None:
        begin = None if options is None else dict(options)
        slot_seeds: Any = [int(seed) for seed in seeds]  # the base class's hint knows int alone
        try:
            self.observations, self.infos = self._envs.reset(seed=slot_seeds, options=begin)
        except gym.error.Error as error:
            if "Seed must be" not in str(error):
                raise
            raise ValueError(
                f"{self._envs} takes one seed for all its slots, where each is to have its own: "
                'make it with gymnasium.make_vec(..., vectorization_mode="sync")'
            ) from error
        if self._ongoing is not None:
            self._ongoing.begin(self._envs.num_envs, self.observations, self.infos)

    def leave_out_others(self) -> None:
        """Ask nothing of slots whose seed an earlier slot has."""
        first = np.unique(self._groups, return_index=True)[1]
        others = np.ones(len(self._groups), np.bool_)
        others[first] = False
        self.remaining[others] = 0

    @property
    def active(self) -> _BoolArray:
        """Slots whose next action counts: not complete, and not about to be reset."""
        active: _BoolArray = (self.remaining > 0) & ~self._resetting
        return active

    def expert_actions(self, active: _BoolArray) -> Actions:
        """What ``info["expert_action"]`` says; anything in an inactive slot."""
        expert = self.infos.get("expert_action")
        if expert is None:
            raise ValueError(
                'follow_expert needs info["expert_action"], which this environment does not '
                "give; textgym environments do with demonstrations=True"
            )
        space, present = self._envs.single_action_space, self.infos.get("_expert_action", active)
        actions = idle_actions(self._envs, None)
        for slot in np.flatnonzero(active & present):
            own = np.asarray(expert[slot])
            if own.shape != (space.shape or ()):
                raise ValueError(
                    f'info["expert_action"] in slot {slot} has shape {own.shape} at step '
                    f"{self.steps}, but the action space is {space}"
                )
            actions[slot] = own.reshape(actions[slot].shape)
        none = active & ~np.asarray(present, np.bool_)
        if isinstance(space, gym.spaces.Discrete):  # Text environments say -1.
            none |= active & (actions < space.start)
        if none.any():
            raise ValueError(f"slot {none.argmax()} has no expert action at step {self.steps}")
        zeros = np.zeros(len(active), np.float32)
        return Actions(actions, zeros, zeros)

    def step(self, chosen: Actions, active: _BoolArray, *, bootstrap: bool) -> None:
        """Store what the policy saw and chose, step the environments, close what ended."""
        self._store.add(self.observations, active)
        self._masks.add(self.masks, active)
        actions = chosen.actions
        if not active.all():
            actions = actions.copy()
            actions[~active] = idle_actions(self._envs, self.masks)[~active]
        taken = to_environment(self._envs.single_action_space, actions)
        result = self._envs.step(taken)
        self.observations, rewards, terminated, truncated, self.infos = result
        self.masks = action_masks(self.observations, self.infos)
        rewards = np.asarray(rewards, np.float64)
        if not np.isfinite(rewards[active]).all():
            slot = int(np.flatnonzero(active & ~np.isfinite(rewards))[0])
            raise ValueError(
                f"the environment gave the reward {rewards[slot]} in slot {slot} at step "
                f"{self.steps} of the rollout; rewards must be finite"
            )
        self._history.add(chosen, rewards, active)
        self.steps += 1
        done = np.asarray(terminated | truncated, np.bool_)
        self._steps_left -= active if self._ongoing is None else 1
        out_of_steps = self._steps_left == 0
        ended = active & (done | out_of_steps)
        if ended.any():
            truncated = np.asarray(truncated | (out_of_steps & ~done), np.bool_)
            cut = ended & truncated & ~terminated
            final_values = self._final_values(cut if bootstrap else np.zeros_like(cut), done)
            for index in np.flatnonzero(ended):
                self._close(int(index), terminated, truncated, final_values, done)
        self.remaining[out_of_steps] = 0
        if self._ongoing is not None:
            self._ongoing.step(self._envs, taken, result)
        if not self._same_step:
            self._resetting = done

    def _close(
        self,
        slot: int,
        terminated: _BoolArray,
        truncated: _BoolArray,
        final_values: NDArray[np.float32],
        done: _BoolArray,
    ) -> None:
        ordinal = len(self._done[slot])
        history: dict[str, Any] = self._history.finish(slot)
        replaced = self._same_step and bool(done[slot])
        infos = self.infos.get("final_info", {}) if replaced else self.infos
        earlier_steps, earlier_reward = self._earlier[slot]
        self._earlier[slot] = (0, 0.0)
        episode = Episode(
            slot=slot,
            group=int(self._groups[slot]) * self._quota + ordinal,
            observations=self._store.finish(slot),
            **history,
            action_masks=self._masks.finish(slot),
            terminated=bool(terminated[slot]),
            truncated=bool(truncated[slot]),
            out_of_steps=not done[slot],
            earlier_steps=earlier_steps,
            earlier_reward=earlier_reward,
            final_value=float(final_values[slot]),
            info=slot_info(infos, slot),
        )
        self._done[slot].append(episode)
        self.remaining[slot] -= 1

    def _final_values(self, cut: _BoolArray, done: _BoolArray) -> NDArray[np.float32]:
        """The policy's values of the last observations of the slots in ``cut``."""
        if not cut.any():
            return np.zeros(len(cut), np.float32)
        observations = self.observations
        if self._same_step and (cut & done).any():
            observations = _replace_rows(observations, self.infos["final_obs"], cut & done)
        values = self._policy.act(observations, active=cut, deterministic=True).values
        return np.where(cut, values, np.float32(0))

    def episodes(self) -> list[Episode]:
        """All complete episodes, ordered by slot, then by time."""
        return [episode for slot in self._done for episode in slot]


class _History:
    """What an `Episode` has a number of for each step, of all slots, one row a step."""

    def __init__(self, num_envs: int, capacity: int = 128) -> None:
        self._arrays: dict[str, NDArray[Any]] = {}
        self._capacity = capacity
        self._lengths = np.zeros(num_envs, np.int64)
        self._slots = np.arange(num_envs)

    def add(self, chosen: Actions, rewards: NDArray[np.float64], active: _BoolArray) -> None:
        new = {
            "actions": chosen.actions,
            "log_probs": np.asarray(chosen.log_probs, np.float32),
            "values": np.asarray(chosen.values, np.float32),
            "rewards": rewards,
        }
        for name in ("kept", "choices"):
            if (told := getattr(chosen, name)) is not None:
                new[name] = told
        if self._lengths.max() == self._capacity:
            self._capacity *= 2
            for name, array in self._arrays.items():
                self._arrays[name] = np.concatenate([array, np.zeros_like(array)])
        for name, row in new.items():
            if name not in self._arrays:
                self._arrays[name] = np.zeros((self._capacity, *row.shape), row.dtype)
            # Inactive slots write where their next step will overwrite it.
            self._arrays[name][self._lengths, self._slots] = row
        self._lengths += active

    def finish(self, slot: int) -> dict[str, NDArray[Any]]:
        """The slot's arrays ``[T]`` (actions ``[T, *action]``) by name; it starts afresh."""
        length = int(self._lengths[slot])
        self._lengths[slot] = 0
        return {name: array[:length, slot].copy() for name, array in self._arrays.items()}


def idle_actions(
    envs: gym.vector.VectorEnv[Any, Any, Any], masks: _BoolArray | None
) -> NDArray[Any]:
    """What slots do that have their quota, ``[N, *action]`` as a policy would give it.

    A legal action that is not known to end the episode: a text environment names its EOS and its
    padding in ``metadata``, and ending text after text would score them all for nothing.
    """
    space = envs.single_action_space
    if not isinstance(space, gym.spaces.Discrete):
        return some_actions(space, masks, envs.num_envs)
    start = int(space.start)
    ending = {envs.metadata.get("eos_id"), envs.metadata.get("pad_id")}
    order = sorted(range(min(int(space.n), 8)), key=lambda index: start + index in ending)
    if masks is None:
        return np.full(envs.num_envs, start + order[0], np.int64)
    idle: NDArray[np.int64] = masks.argmax(axis=1)
    for index in reversed(order):
        idle[masks[:, index]] = index
    return idle + start


def _autoreset_mode(envs: gym.vector.VectorEnv[Any, Any, Any]) -> AutoresetMode:
    mode = AutoresetMode(envs.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP))
    if mode is AutoresetMode.DISABLED:
        raise ValueError("collect needs an environment that resets itself: NEXT_STEP or SAME_STEP")
    return mode


def _replace_rows(observations: Any, final: Sequence[Any], rows: _BoolArray) -> Any:
    """The observations with those of ``rows`` taken from Gymnasium's ``info["final_obs"]``."""

    def part(key: Any) -> Any:
        last = [one[key] if row else None for one, row in zip(final, rows, strict=True)]
        return _replace_rows(observations[key], last, rows)

    if isinstance(observations, Mapping):
        return {key: part(key) for key in observations}
    if isinstance(observations, tuple):
        return tuple(part(index) for index in range(len(observations)))
    array = np.array(observations)
    for slot in np.flatnonzero(rows):
        array[slot] = final[int(slot)]
    return array


def slot_info(infos: Mapping[str, Any], slot: int) -> dict[str, Any]:
    """One slot's part of infos in Gymnasium's vector form.

    Args:
        infos: Arrays by key, each with a mask ``"_key"`` of the slots that have it; mappings of
            such arrays inside. The action mask is left out.
        slot: Which slot.

    Returns:
        The slot's values; NumPy scalars become Python's.
    """
    info: dict[str, Any] = {}
    for key, value in infos.items():
        present = infos.get(f"_{key}")
        if key == "action_mask" or key.startswith("_"):
            continue
        if present is not None and not present[slot]:
            continue
        if isinstance(value, Mapping):
            info[key] = slot_info(value, slot)
        else:
            item = value[slot]
            info[key] = item.item() if isinstance(item, np.generic) else copy(item)
    return info
