"""Tasks of several turns: replies in the context, endings, snapshots, and vectors of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import textgym  # noqa: F401
from textgym.envs import RewardError, TaskError
from textgym.rewards import load_reward
from textgym.tasks import Conversation, Example, MultiTurnTask, ProceduralTask, Reply

SECRETS = "abc"
TURNS = 3


class Guessing(Conversation):
    """Says "y" and ends if the secret letter is named, else repeats the turn and "n"."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._said: list[str] = []

    def reply(self, turn: str) -> Reply:
        self._said.append(turn)
        if self._secret in turn.split():
            return Reply("y =", done=True)
        done = len(self._said) == TURNS
        return Reply(" ".join([*turn.split(), "n ="]), done=done)

    def outcome(self) -> Mapping[str, float]:
        found = any(self._secret in turn.split() for turn in self._said)
        return {"found": float(found), "turns_taken": len(self._said) / TURNS}


class GuessTask(ProceduralTask, MultiTurnTask):
    """Find a letter; the replies repeat what was said."""

    name = "guess"
    levels: ClassVar[tuple[str, ...]] = ("easy",)
    default_level: ClassVar[str] = "easy"
    tokenizer = "symbols:a b c n y"
    max_prompt_tokens = 6
    max_new_tokens = 24

    def generate(self, rng: np.random.Generator) -> Example:
        prompt = " ".join(rng.choice(list(SECRETS), size=5))
        return Example(prompt + " =", (), {"secret": SECRETS[int(rng.integers(3))]})

    def converse(self, example: Example) -> Conversation:
        return Guessing(example.metadata["secret"])

    def expert(self, example: Example, turns: Sequence[tuple[str, str]] = ()) -> str:
        tried = {word for turn, _ in turns for word in turn.split()}
        return next(letter for letter in SECRETS if letter not in tried)


REWARD = {"outcome:found": 0.7, "outcome:turns_taken": 0.3}


def make(**kwargs: Any) -> gym.Env:
    return gym.make("textgym/Text-v0", **{**ARGUMENTS, **kwargs})


ARGUMENTS: dict[str, Any] = {
    "task": GuessTask(),
    "reward": REWARD,
    "max_prompt_tokens": None,
    "max_new_tokens": None,
}


def secret_of(env: gym.Env, example: int) -> str:
    return str(env.unwrapped.mdp.prompt(example).example.metadata["secret"])


def wrong_letter(env: gym.Env, example: int) -> str:
    return next(letter for letter in SECRETS if letter != secret_of(env, example))


def say(env: gym.Env, words: str, *, stop: bool = True) -> list[Any]:
    tokenizer = env.unwrapped.mdp.tokenizer
    tokens = tokenizer.encode(words) + ([tokenizer.eos_id] if stop else [])
    return [env.step(token) for token in tokens]


def test_the_reply_is_appended_to_the_context() -> None:
    env = make()
    before, _ = env.reset(seed=0, options={"example": 3})
    mdp = env.unwrapped.mdp
    wrong = wrong_letter(env, 3)
    first, last = say(env, wrong)
    assert "reply" not in first[-1]
    obs, reward, terminated, truncated, info = last
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert info["reply"] == f"{wrong} n ="
    shown = obs[obs != mdp.tokenizer.pad_id].tolist()
    prompt = before[before != mdp.tokenizer.pad_id].tolist()
    eos = mdp.tokenizer.eos_id
    assert shown == [
        *prompt,
        *mdp.tokenizer.encode(wrong),
        eos,
        *mdp.tokenizer.encode(f"{wrong} n ="),
    ]


def test_the_task_ends_the_episode_and_its_outcome_is_paid() -> None:
    env = make()
    env.reset(seed=0, options={"example": 3})
    wrong, secret = wrong_letter(env, 3), secret_of(env, 3)
    say(env, wrong)
    *_, (_, reward, terminated, _, info) = say(env, secret)
    assert terminated
    assert info["finish_reason"] == "task"
    assert info["reply"] == "y ="
    assert info["turns"] == ((wrong, f"{wrong} n ="), (secret, "y ="))
    assert info["text"] == f"{wrong}\n{wrong} n ={secret}\ny ="
    assert (info["found"], info["turns_taken"]) == (1.0, 2 / 3)
    assert reward == info["score"] == pytest.approx(0.7 + 0.2)


def test_the_budget_ends_what_the_task_has_not() -> None:
    env = make(max_new_tokens=9)
    env.reset(seed=0, options={"example": 3})
    wrong = wrong_letter(env, 3)
    *_, last = say(env, wrong)  # a letter, EOS, three tokens of reply: five of nine
    assert not last[2]
    *_, last = say(env, wrong)  # two more, and a reply of three does not fit
    assert last[2]
    assert last[-1]["finish_reason"] == "length"
    assert last[-1]["turns_taken"] == 2 / 3  # the turn was taken, though its reply is not shown


def test_a_turn_cut_by_the_budget_is_not_taken() -> None:
    env = make(max_new_tokens=4)
    env.reset(seed=0, options={"example": 3})
    *_, last = say(env, " ".join([secret_of(env, 3)] * 4), stop=False)
    assert last[-1]["finish_reason"] == "length"
    assert last[-1]["found"] == 0.0
    assert last[-1]["turns"] == ()


@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_dense_rewards_telescope_and_change_where_turns_end(gamma: float) -> None:
    env = make(shaping="dense", gamma=gamma)
    env.reset(seed=0, options={"example": 3})
    wrong = wrong_letter(env, 3)
    steps = [*say(env, f"{wrong} {wrong}"), *say(env, wrong), *say(env, secret_of(env, 3))]
    rewards = [step[1] for step in steps]
    score = steps[-1][-1]["score"]
    discounted = sum(gamma**t * reward for t, reward in enumerate(rewards))
    assert discounted == pytest.approx(gamma ** (len(rewards) - 1) * score, abs=1e-12)
    potentials = [0.0, 0.0, 0.1, 0.1, 0.2, 0.2]
    expected = [gamma * b - a for a, b in zip([0.0, *potentials], potentials, strict=False)]
    assert rewards[:-1] == pytest.approx(expected)


def test_demonstrations_play_the_expert_to_its_score() -> None:
    env = make(demonstrations=True)
    for seed in range(20):
        _, info = env.reset(seed=seed)
        done = False
        while not done:
            assert info["expert_action"] >= 0
            _, _, done, _, info = env.step(info["expert_action"])
        assert info["found"] == 1.0
        assert info["expert_action"] == -1


def test_a_new_turn_has_a_new_demonstration_after_a_wrong_one() -> None:
    env = make(demonstrations=True)
    env.reset(seed=0, options={"example": 3})
    wrong = wrong_letter(env, 3)
    _, second, last = say(env, f"{wrong} {wrong}")
    assert second[-1]["expert_action"] == -1
    assert last[-1]["expert_action"] >= 0


@pytest.mark.parametrize("shaping", ["terminal", "dense"])
def test_snapshots_restore_the_middle_of_a_conversation(shaping: str) -> None:
    env = make(shaping=shaping, render_mode="ansi", demonstrations=True)
    rng = np.random.default_rng(0)
    for seed in range(10):
        env.reset(seed=seed)
        tokens = rng.integers(6, size=12).tolist()
        done = False
        while tokens and not done:
            _, _, done, _, _ = env.step(tokens.pop())
            state, frame = env.unwrapped.get_state(), env.render()
            twin = make(shaping=shaping, render_mode="ansi", demonstrations=True)
            observation, info = twin.unwrapped.set_state(state)
            assert done or twin.unwrapped.render() == frame  # the score is not restored
            assert np.array_equal(observation, env.unwrapped._observation())
            assert data_equivalence(info, env.unwrapped._info())
            if not done and tokens:
                snapshot = env.unwrapped.get_state()
                first = env.step(tokens[-1])
                env.unwrapped.set_state(snapshot)
                assert data_equivalence(first, env.step(tokens[-1]), exact=True)
                done = first[2]
                tokens.pop()


def test_both_checkers_are_silent() -> None:
    check_env(make(render_mode="ansi").unwrapped)
    sb3_check_env(make(render_mode="rgb_array").unwrapped)


def test_an_outcome_that_is_not_there_is_named() -> None:
    reward = load_reward("outcome:solved")
    with pytest.raises(ValueError, match="is not of a conversation"):
        reward([""], [Example("p", ())])
    with pytest.raises(ValueError, match="found"):
        reward([""], [Example("p", (), {"outcome": {"found": 1.0}})])
    assert reward.signature == "outcome(solved)"


@settings(deadline=None, max_examples=150)
@given(
    mode=st.sampled_from(list(AutoresetMode)),
    shaping=st.sampled_from(["terminal", "dense"]),
    demonstrations=st.booleans(),
    budget=st.integers(1, 24),
    limit=st.sampled_from([None, 3]),
    num_envs=st.integers(1, 4),
    seed=st.integers(0, 2**32),
)
def test_the_vector_form_equals_single_environments(
    mode: AutoresetMode,
    shaping: str,
    demonstrations: bool,
    budget: int,
    limit: int | None,
    num_envs: int,
    seed: int,
) -> None:
    kwargs: dict[str, Any] = {
        **ARGUMENTS,
        "shaping": shaping,
        "demonstrations": demonstrations,
        "max_new_tokens": budget,
    }
    steps = {} if limit is None else {"max_episode_steps": limit}
    native = gym.make_vec("textgym/Text-v0", num_envs, autoreset_mode=mode.value, **kwargs, **steps)
    singles = SyncVectorEnv(
        [lambda: gym.make("textgym/Text-v0", **kwargs, **steps)] * num_envs, autoreset_mode=mode
    )
    rng = np.random.default_rng(seed)
    assert data_equivalence(native.reset(seed=seed), singles.reset(seed=seed), exact=True)
    eos = native.metadata["eos_id"]
    for _ in range(40):
        actions = np.where(rng.random(num_envs) < 0.4, eos, rng.integers(7, size=num_envs))
        ours, theirs = native.step(actions), singles.step(actions)
        assert data_equivalence(ours, theirs, exact=True)
        done = ours[2] | ours[3]
        if mode is AutoresetMode.DISABLED and done.any():
            first, second = ({"reset_mask": done.copy()} for _ in range(2))
            again = native.reset(options=first)
            assert data_equivalence(again, singles.reset(options=second), exact=True)


def test_conversations_of_different_slots_never_mix() -> None:
    """Every slot's transcript is what its own turns lead to when they are said alone."""
    envs = gym.make_vec("textgym/Text-v0", 16, **ARGUMENTS)
    envs.reset(seed=0)
    rng = np.random.default_rng(0)
    task, seen = GuessTask(), 0
    for _ in range(200):
        tokens = np.where(rng.random(16) < 0.4, envs.metadata["eos_id"], rng.integers(5, size=16))
        *_, infos = envs.step(tokens)
        for slot in np.flatnonzero(infos.get("_turns", [])):
            conversation = task.converse(task.example(int(infos["example"][slot])))
            for turn, reply in infos["turns"][slot]:
                assert conversation.reply(turn).text == reply
                seen += 1
            assert conversation.outcome()["found"] == infos["found"][slot]
    assert seen > 100


class Failing(Guessing):
    """Its database is down in the second turn."""

    def reply(self, turn: str) -> Reply:
        if self._said:
            raise OSError("the database is down")
        return super().reply(turn)


class FailingTask(GuessTask):
    def converse(self, example: Example) -> Conversation:
        return Failing(example.metadata["secret"])


def test_a_conversation_that_raises_is_named_and_only_a_reset_helps() -> None:
    env = make(task=FailingTask())
    env.reset(seed=0, options={"example": 3})
    say(env, "n")
    with pytest.raises(TaskError, match=r"example 3 .*'guess'.*OSError.*agent's turn 2, 'n'"):
        say(env, "n")
    with pytest.raises(ResetNeeded):
        env.step(0)
    env.reset()
    say(env, "n")
    envs = gym.make_vec("textgym/Text-v0", 2, **{**ARGUMENTS, "task": FailingTask()})
    envs.reset(seed=0)
    eos = envs.metadata["eos_id"]
    envs.step([3, 0])
    envs.step([eos, 0])
    with pytest.raises(TaskError, match="database"):
        envs.step([eos, eos])
    with pytest.raises(ResetNeeded):
        envs.step([0, 0])
    envs.reset()
    envs.step([0, 0])


def test_a_reward_that_raises_leaves_nothing_half_done() -> None:
    def fails(text: str, example: Any) -> float:
        raise ValueError("no score")

    envs = gym.make_vec("textgym/Copy-v0", 2, reward=fails, max_new_tokens=2)
    envs.reset(seed=0)
    envs.step([0, 1])
    with pytest.raises(RewardError):
        envs.step([0, 1])
    with pytest.raises(ResetNeeded):
        envs.step([0, 1])
    envs.reset(seed=0)
    envs.step([0, 1])


@pytest.mark.parametrize("reward", ["outcome:turns", {"outcome:turns": 1.0}])
def test_an_outcome_with_a_taken_name_is_refused_at_once(reward: Any) -> None:
    with pytest.raises(ValueError, match="'turns': info uses that key"):
        make(reward=reward)
