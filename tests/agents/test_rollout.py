"""Episodes as the rollout cuts them out of a vector environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from textgym_agents.action_masks import action_masks
from textgym_agents.policies import Actions, Episode, Evaluation, MLPPolicy, Policy
from textgym_agents.rollout import collect, idle_actions

MODES = pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])


class Counter(gym.Env[Any, Any]):
    """An episode has as many steps as its start says, which the seed draws from 1 to 8.

    It is truncated at a start of 7, and terminated and truncated at once at 8.

    The observation is (start, step). Action 0 is illegal at odd starts; at starts divisible by 3
    it also is at every other step. The reward is ``10 * start + step``.
    """

    def __init__(self, masks: str = "info", expert: bool = False) -> None:
        box = gym.spaces.Box(0, 1000, (2,), np.float32)
        self.masks, self.expert = masks, expert
        self.observation_space = box
        if masks == "observation":
            mask = gym.spaces.Box(0, 1, (3,), np.bool_)
            self.observation_space = gym.spaces.Dict(obs=box, action_mask=mask)
        self.action_space = gym.spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.start, self.count = int(self.np_random.integers(1, 9)), 0
        return self._observation(), self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.masks == "none" or self._mask()[action]
        reward = float(10 * self.start + self.count)
        self.count += 1
        over = self.count == self.start
        info = self._info()
        if over:
            info |= {"text": f"from {self.start}", "score": 0.5, "parts": {"bleu": 0.25}}
        return self._observation(), reward, over and self.start != 7, over and self.start >= 7, info

    def _mask(self) -> NDArray[np.int8]:
        alternate = self.start % 3 == 0 and self.count % 2 == 1
        return np.array([self.start % 2 == 0 and not alternate, True, True], np.int8)

    def _observation(self) -> Any:
        values = np.array([self.start, self.count], np.float32)
        if self.masks == "observation":
            return {"obs": values, "action_mask": self._mask().astype(np.bool_)}
        return values

    def _info(self) -> dict[str, Any]:
        info: dict[str, Any] = {"action_mask": self._mask()} if self.masks == "info" else {}
        return info | ({"expert_action": 1 + self.count % 2} if self.expert else {})


def counters(num: int, mode: AutoresetMode, **kwargs: Any) -> SyncVectorEnv:
    return SyncVectorEnv([lambda: Counter(**kwargs)] * num, autoreset_mode=mode)


class Sum(Policy):
    """Uniform over the legal actions; the value is the observation's sum."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.calls: list[NDArray[np.bool_]] = []

    def act(self, observations: Any, *, action_masks: Any = None, **kwargs: Any) -> Actions:
        array = observations["obs"] if isinstance(observations, dict) else observations
        masks = np.ones((len(array), 3)) if action_masks is None else action_masks
        self.calls.append(kwargs["active"])
        draws = torch.rand((len(array), 3), generator=kwargs.get("generator")).numpy()
        log_probs = -np.log(np.maximum(masks.sum(1), 1))
        actions = (draws * masks).argmax(1)
        return Actions(actions, log_probs.astype(np.float32), array.sum(1).astype(np.float32))

    def evaluate(self, episodes: Sequence[Episode]) -> Evaluation:
        raise NotImplementedError


def rewards_of(start: int) -> list[float]:
    return [10.0 * start + step for step in range(start)]


@MODES
@pytest.mark.parametrize("masks", ["info", "observation", "none"])
def test_every_episode_is_whole_and_every_slot_fills_its_quota(
    mode: AutoresetMode, masks: str
) -> None:
    envs = counters(4, mode, masks=masks)
    episodes = collect(envs, Sum(), seeds=[3, 4, 5, 6], episodes_per_env=5)
    assert [episode.slot for episode in episodes] == [slot for slot in range(4) for _ in range(5)]
    for episode in episodes:
        start = int(episode.info["text"].removeprefix("from "))
        observations = episode.observations
        if masks == "observation":
            assert set(observations) == {"obs", "action_mask"}
            observations = observations["obs"]
        assert observations.tolist() == [[start, step] for step in range(start)]
        assert episode.rewards.tolist() == rewards_of(start)
        assert episode.total_reward == sum(rewards_of(start))
        assert episode.num_steps == len(episode.actions) == len(episode.log_probs) == start
        assert episode.values.tolist() == [start + step for step in range(start)]
        assert episode.terminated == (start != 7)
        assert episode.truncated == (start >= 7)
        assert episode.info["score"] == 0.5
        assert episode.info["parts"] == {"bleu": 0.25}
        assert episode.final_value == (2 * start if start == 7 else 0)


@MODES
def test_steps_cut_the_last_episode_of_every_slot(mode: AutoresetMode) -> None:
    """The same steps as whole episodes have, up to the cut, which bootstraps."""
    seeds = [3, 4, 5, 6]
    whole = collect(counters(4, mode), Sum(), seeds=seeds, episodes_per_env=12)
    for limit in (1, 6, 11):
        parts = collect(counters(4, mode), Sum(), seeds=seeds, steps_per_env=limit)
        for slot in range(4):
            mine = [episode for episode in parts if episode.slot == slot]
            assert sum(episode.num_steps for episode in mine) == limit
            complete = [episode for episode in whole if episode.slot == slot]
            for ordinal, (part, full) in enumerate(zip(mine, complete, strict=False)):
                steps = part.num_steps
                assert part.observations.tolist() == full.observations[:steps].tolist()
                assert part.rewards.tolist() == full.rewards[:steps].tolist()
                assert part.group == mine[0].group + ordinal
                if steps == full.num_steps:
                    assert part.info == full.info
                    assert (part.terminated, part.truncated) == (full.terminated, full.truncated)
                    assert part.final_value == full.final_value
                else:
                    assert ordinal == len(mine) - 1
                    start = int(full.observations[0, 0])
                    assert (part.terminated, part.truncated) == (False, True)
                    assert part.final_value == start + steps
    with pytest.raises(ValueError, match="steps_per_env must be 0 or more, got -1"):
        collect(counters(4, mode), Sum(), seeds=seeds, steps_per_env=-1)


@MODES
@pytest.mark.parametrize("masks", ["info", "observation"])
def test_masks_are_stored_once_if_constant_and_by_step_if_not(
    mode: AutoresetMode, masks: str
) -> None:
    episodes = collect(
        counters(4, mode, masks=masks), Sum(), seeds=[3, 4, 5, 6], episodes_per_env=8
    )
    shapes = set()
    for episode in episodes:
        start = episode.num_steps
        steps = np.arange(start)
        first = (start % 2 == 0) & ~((start % 3 == 0) & (steps % 2 == 1))
        expected = np.stack([first, np.ones(start), np.ones(start)], 1)
        assert episode.action_masks is not None and episode.action_masks.dtype == np.bool_
        varies = start == 6
        assert episode.action_masks.shape == ((start, 3) if varies else (3,))
        np.testing.assert_array_equal(
            np.broadcast_to(episode.action_masks, (start, 3)), expected.astype(bool)
        )
        shapes.add(episode.action_masks.ndim)
    assert shapes == {1, 2}


def test_an_environment_without_masks_stores_none() -> None:
    episodes = collect(counters(2, AutoresetMode.NEXT_STEP, masks="none"), Sum(), seeds=[0, 1])
    assert [episode.action_masks for episode in episodes] == [None, None]


@MODES
def test_the_same_seeds_give_the_same_groups(mode: AutoresetMode) -> None:
    envs = counters(5, mode)
    episodes = collect(envs, Sum(), seeds=[9, 7, 9, 7, 2], episodes_per_env=3)
    starts: dict[int, set[int]] = {}
    for episode in episodes:
        starts.setdefault(episode.group, set()).add(episode.num_steps)
    assert sorted(starts) == list(range(9))
    assert all(len(start) == 1 for start in starts.values())
    members = [episode.group for episode in episodes if episode.slot in (0, 2)]
    assert members[:3] == members[3:]
    assert not set(members) & {episode.group for episode in episodes if episode.slot == 1}


@MODES
def test_one_slot_of_a_group_runs_alone(mode: AutoresetMode) -> None:
    policy, seeds = Sum(), [9, 7, 9, 7, 2]
    whole = collect(counters(5, mode), Sum(), seeds=seeds, episodes_per_env=3)
    episodes = collect(
        counters(5, mode), policy, seeds=seeds, episodes_per_env=3, one_per_group=True
    )
    expected = [episode for episode in whole if episode.slot in (0, 1, 4)]
    assert len(episodes) == len(expected) == 9
    for one, other in zip(episodes, expected, strict=True):
        assert (one.slot, one.group) == (other.slot, other.group)
        assert one.rewards.tolist() == other.rewards.tolist()
    assert not any(call[2] or call[3] for call in policy.calls)


@MODES
def test_the_batch_depends_on_seeds_and_generator_alone(mode: AutoresetMode) -> None:
    envs = counters(3, mode)
    batches = []
    for _ in range(2):
        generator = torch.Generator().manual_seed(1)
        batches.append(
            collect(envs, Sum(), seeds=[1, 2, 3], episodes_per_env=2, generator=generator)
        )
    for first, second in zip(*batches, strict=True):
        assert first.actions.tolist() == second.actions.tolist()
        assert first.info == second.info


def test_slots_that_reset_or_are_done_are_inactive() -> None:
    policy = Sum()
    envs = counters(3, AutoresetMode.NEXT_STEP)
    episodes = collect(envs, policy, seeds=[3, 4, 5], episodes_per_env=2)
    active = np.sum(policy.calls, axis=0)
    for slot in range(3):
        own = [episode for episode in episodes if episode.slot == slot]
        cut = sum(episode.truncated and not episode.terminated for episode in own)
        assert active[slot] == sum(episode.num_steps for episode in own) + cut
    assert not any(call.all() for call in policy.calls[-1:])


@MODES
def test_long_episodes_outgrow_the_first_arrays(mode: AutoresetMode) -> None:
    envs = gym.make_vec(
        "CartPole-v1",
        2,
        vectorization_mode="sync",
        max_episode_steps=300,
        vector_kwargs={"autoreset_mode": mode},
    )
    torch.manual_seed(0)
    policy = MLPPolicy.from_env(envs)

    def balance(observations: Any, **kwargs: Any) -> Actions:
        push = (observations[:, 2] + 0.3 * observations[:, 3] > 0).astype(np.int64)
        values = observations.sum(1).astype(np.float32)
        return Actions(push, np.zeros(2, np.float32), values)

    policy.act = balance  # type: ignore[method-assign]
    episodes = collect(envs, policy, seeds=[0, 1])
    assert [episode.num_steps for episode in episodes] == [300, 300]
    for episode in episodes:
        assert episode.truncated and not episode.terminated
        np.testing.assert_allclose(episode.values, episode.observations.sum(1), atol=1e-6)
        assert abs(episode.final_value - episode.values[-1]) < 0.5
        assert episode.final_value != episode.values[-1]


@MODES
def test_the_expert_is_followed_without_the_policy(mode: AutoresetMode) -> None:
    policy = Sum()
    episodes = collect(counters(3, mode, expert=True), policy, seeds=[3, 4, 5], follow_expert=True)
    assert not policy.calls
    for episode in episodes:
        assert episode.actions.tolist() == [1 + step % 2 for step in range(episode.num_steps)]
        assert not episode.log_probs.any() and episode.final_value == 0


class Shown(gym.Env[Any, Any]):
    """An expert shows the same action three times; of several environments the last may not."""

    def __init__(self, space: gym.Space[Any], expert: Any) -> None:
        self.observation_space = gym.spaces.Box(0, 1, (1,), np.float32)
        self.action_space, self.expert = space, expert

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.taken: list[Any] = []
        return np.zeros(1, np.float32), self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.taken.append(action)
        return np.zeros(1, np.float32), 0.0, len(self.taken) == 3, False, self._info()

    def _info(self) -> dict[str, Any]:
        return {} if self.expert is None else {"expert_action": self.expert}


@pytest.mark.parametrize(
    ("space", "expert", "kept"),
    [
        (gym.spaces.Discrete(3, start=-1), -1, -1),
        (gym.spaces.Box(-1, 1, (1,)), np.array([0.5]), [0.5]),
        (gym.spaces.Box(-1, 1, (2, 2)), np.array([[-0.5, 1], [0, 0.25]]), [-0.5, 1, 0, 0.25]),
        (gym.spaces.MultiDiscrete([3, 4], start=[0, -2]), np.array([2, -1]), [2, -1]),
        (gym.spaces.MultiBinary(3), np.array([1, 0, 1], np.int8), [1, 0, 1]),
    ],
)
def test_the_expert_is_followed_in_any_action_space(
    space: gym.Space[Any], expert: Any, kept: Any
) -> None:
    envs = SyncVectorEnv([lambda: Shown(space, expert)] * 4)
    policy = MLPPolicy.from_env(envs)
    episodes = collect(envs, policy, seeds=range(4), follow_expert=True)
    assert [episode.actions.tolist() for episode in episodes] == [[kept] * 3] * 4
    for env in envs.envs:
        np.testing.assert_array_equal(env.unwrapped.taken, [expert] * 3)
    assert torch.isfinite(policy.evaluate(episodes).log_probs).all()


@pytest.mark.parametrize(
    ("shown", "message"),
    [
        ([np.array([2, 1]), None], "slot 1 has no expert action at step 0"),
        ([np.array([2, 1, 0])] * 2, r"slot 0 has shape \(3,\) at step 0.* MultiDiscrete"),
    ],
)
def test_an_expert_that_is_silent_or_shows_another_shape_is_named(
    shown: list[Any], message: str
) -> None:
    space = gym.spaces.MultiDiscrete([3, 4])
    envs = SyncVectorEnv([lambda expert=expert: Shown(space, expert) for expert in shown])
    with pytest.raises(ValueError, match=message):
        collect(envs, MLPPolicy.from_env(envs), seeds=[0, 1], follow_expert=True)


@MODES
def test_what_the_rollout_cut_is_told_from_what_ended(mode: AutoresetMode) -> None:
    episodes = collect(counters(4, mode), Sum(), seeds=[3, 4, 5, 6], steps_per_env=11)
    for episode in episodes:
        over = episode.num_steps == episode.observations[0][0]
        assert episode.out_of_steps == (not over)
    assert 0 < sum(episode.out_of_steps for episode in episodes) < len(episodes)
    assert not any(e.out_of_steps for e in collect(counters(2, mode), Sum(), seeds=[3, 4]))


@MODES
def test_evaluate_agrees_with_what_was_collected(mode: AutoresetMode) -> None:
    torch.manual_seed(0)
    envs = counters(3, mode)
    policy = MLPPolicy.from_env(envs)
    episodes = collect(envs, policy, seeds=[3, 4, 5], episodes_per_env=4)
    evaluation = policy.evaluate(episodes)
    collected = np.concatenate([episode.log_probs for episode in episodes])
    np.testing.assert_allclose(evaluation.log_probs.detach().numpy(), collected, atol=1e-6)


class Broken(Counter):
    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, _, *rest = super().step(action)
        return observation, float("nan"), *rest  # type: ignore[return-value]


def test_errors_name_what_is_wrong() -> None:
    envs = counters(2, AutoresetMode.NEXT_STEP)
    with pytest.raises(ValueError, match="3 seeds for 2 environments"):
        collect(envs, Sum(), seeds=[1, 2, 3])
    with pytest.raises(ValueError, match="at least 1"):
        collect(envs, Sum(), seeds=[1, 2], episodes_per_env=0)
    with pytest.raises(ValueError, match="demonstrations=True"):
        collect(envs, Sum(), seeds=[1, 2], follow_expert=True)
    with pytest.raises(ValueError, match="NEXT_STEP or SAME_STEP"):
        collect(counters(2, AutoresetMode.DISABLED), Sum(), seeds=[1, 2])
    with pytest.raises(ValueError, match="reward nan in slot 0 at step 0"):
        collect(SyncVectorEnv([Broken] * 2), Sum(), seeds=[1, 2])
    with pytest.raises(ValueError, match="shape"):
        policy = MLPPolicy(gym.spaces.Box(0, 1, (5,)), gym.spaces.Discrete(3))
        collect(envs, policy, seeds=[1, 2])


def test_idle_slots_avoid_what_ends_an_episode() -> None:
    envs = gym.make_vec("textgym:textgym/Copy-v0", num_envs=2)
    legal = np.zeros((2, envs.single_action_space.n), np.bool_)
    legal[0, [3, envs.metadata["eos_id"]]] = True
    legal[1, envs.metadata["eos_id"]] = True
    assert idle_actions(envs, legal).tolist() == [3, envs.metadata["eos_id"]]
    assert idle_actions(envs, None).tolist() == [0, 0]
    bundled = gym.make_vec("textgym:textgym/Text-v0", num_envs=1)
    assert bundled.metadata["eos_id"] == 0
    assert bundled.metadata["pad_id"] == 1
    assert idle_actions(bundled, None).tolist() == [2]


def test_idle_slots_act_within_a_space_that_does_not_start_at_0() -> None:
    envs = counters(2, AutoresetMode.NEXT_STEP)
    envs.single_action_space = gym.spaces.Discrete(3, start=5)
    assert idle_actions(envs, None).tolist() == [5, 5]
    envs.metadata = {**envs.metadata, "eos_id": 5}
    assert idle_actions(envs, None).tolist() == [6, 6]
    legal = np.array([[True, False, True], [True, False, False]])
    assert idle_actions(envs, legal).tolist() == [7, 5]


class Switches(gym.Env[Any, Any]):
    """Several choices, with Gymnasium's own form of their masks, which not every step gives."""

    observation_space = gym.spaces.Box(0, 1, (1,), np.float32)
    action_space = gym.spaces.MultiDiscrete([2, 3])

    def __init__(self, masked: bool) -> None:
        self.masked = masked

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(1, np.float32), self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert not self.masked or tuple(action) in {(1, 0), (1, 2)}
        self.count += 1
        return np.zeros(1, np.float32), 1.0, self.count == 5, False, self._info()

    def _info(self) -> dict[str, Any]:
        masks = (np.array([0, 1], np.int8), np.array([1, 0, 1], np.int8))
        assert not self.masked or self.action_space.sample(masks)[0] == 1
        return {"action_mask": masks} if self.masked else {}


@pytest.mark.parametrize("masked", [(True, True), (True, False)])
def test_masks_of_several_choices_and_slots_without_one(masked: tuple[bool, bool]) -> None:
    envs = SyncVectorEnv([lambda one=one: Switches(one) for one in masked])
    policy = MLPPolicy.from_env(envs, hidden_sizes=(4,))
    generator = torch.Generator().manual_seed(0)
    episodes = collect(envs, policy, seeds=[0, 1], episodes_per_env=4, generator=generator)
    for episode in episodes:
        mask = np.broadcast_to(episode.action_masks, (5, 5))
        expected = [0, 1, 1, 0, 1] if masked[episode.slot] else [1] * 5
        assert (mask == np.array(expected, np.bool_)).all()
    others = {tuple(a) for e in episodes if not masked[e.slot] for a in e.actions.tolist()}
    assert masked[1] or len(others) > 2


class UnmaskedEnd(Counter):
    """Says nothing of legal actions once it is over, when there are none."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        *rest, info = super().step(action)
        if self.count == self.start:
            del info["action_mask"]
        return *rest, info  # type: ignore[return-value]


@MODES
def test_masks_may_be_missing_where_an_episode_is_over(mode: AutoresetMode) -> None:
    """Also where all slots are over at once."""
    for seeds in ([3, 4, 5], [3, 3, 3]):
        episodes = collect(
            SyncVectorEnv([UnmaskedEnd] * 3, autoreset_mode=mode),
            Sum(),
            seeds=seeds,
            episodes_per_env=3,
        )
        whole = collect(counters(3, mode), Sum(), seeds=seeds, episodes_per_env=3)
        for episode, other in zip(episodes, whole, strict=True):
            np.testing.assert_array_equal(episode.action_masks, other.action_masks)


def test_masks_of_actions_of_several_dimensions_are_joined() -> None:
    """As Gymnasium's own sample takes them: nested like the space."""
    space = gym.spaces.MultiDiscrete([[2, 3], [4, 1]])
    rows = [[1, 0, 0, 1, 1, 1, 1, 0, 1, 1], [0, 1, 1, 0, 0, 0, 0, 1, 0, 1]]
    nested = np.empty(2, object)
    for slot, row in enumerate(np.array(rows, np.int8)):
        nested[slot] = ((row[:2], row[2:5]), (row[5:9], row[9:]))
        space.sample(mask=nested[slot])  # Gymnasium takes it.
    masks = action_masks(np.zeros((2, 1)), {"action_mask": nested})
    np.testing.assert_array_equal(masks, np.array(rows, np.bool_))


def test_an_environment_of_one_seed_is_refused() -> None:
    envs = gym.make_vec("CartPole-v1", num_envs=2, vectorization_mode="vector_entry_point")
    policy = MLPPolicy.from_env(envs)
    with pytest.raises(ValueError, match=r'takes one seed for all.*vectorization_mode="sync"'):
        collect(envs, policy, seeds=[0, 1])
