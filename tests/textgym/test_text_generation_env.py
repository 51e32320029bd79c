"""The contract of the single environment: rewards, endings, errors, seeding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded

import textgym  # noqa: F401
from textgym.envs import RewardError
from textgym.rewards import FunctionReward, Reward, load_reward
from textgym.tasks import Example, ProceduralTask


def write(env: gym.Env, text: str, *, stop: bool = True, example: int = 0) -> list[Any]:
    """Step through `text` token by token and return every step's answer."""
    env.reset(seed=0, options={"example": example})
    mdp = env.unwrapped.mdp
    tokens = mdp.tokenizer.encode(text) + ([mdp.tokenizer.eos_id] if stop else [])
    return [env.step(token) for token in tokens]


def test_a_reference_is_paid_its_score_at_the_end() -> None:
    env = gym.make("textgym/Text-v0")
    example = env.unwrapped.mdp.task.example(0, "train")
    *before, last = write(env, example.references[0])
    assert all(step[1] == 0.0 and not step[2] for step in before)
    _, reward, terminated, truncated, info = last
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert info["text"] == example.references[0]
    assert info["score"] == info["bleu"] == 1.0
    assert info["references"] == example.references
    assert info["finish_reason"] == "stop"
    assert info["example"] == 0


@pytest.mark.parametrize("gamma", [1.0, 0.9])
@pytest.mark.parametrize("reward", ["bleu", "rouge_l", {"chrf": 0.7, "rouge_1": 0.3}])
def test_dense_return_is_the_terminal_one_less_the_first_potential(
    reward: Any, gamma: float
) -> None:
    env = gym.make("textgym/Translation-v0", reward=reward, shaping="dense", gamma=gamma)
    example = env.unwrapped.mdp.task.example(3, "train")
    text = example.references[0][: len(example.references[0]) * 2 // 3] + " ein Häuschen"
    steps = write(env, text, example=3)
    total = sum(gamma**t * step[1] for t, step in enumerate(steps))
    score = load_reward(reward)([text], [example])[0]
    start = load_reward(reward)([""], [example])[0]
    assert total == pytest.approx(gamma ** (len(steps) - 1) * score - start, abs=1e-12)
    assert len({step[1] for step in steps}) > 3


def test_the_budget_terminates_and_pays() -> None:
    env = gym.make("textgym/Copy-v0", max_new_tokens=2)
    example = env.unwrapped.mdp.task.example(0, "train")
    first, second = example.references[0].split()[:2]
    steps = write(env, f"{first} {second}", stop=False)
    assert [step[2] for step in steps] == [False, True]
    assert not steps[-1][3]
    assert steps[-1][4]["finish_reason"] == "length"
    assert steps[-1][1] == pytest.approx(2 / 3)


def test_an_illegal_token_appends_nothing_and_ends() -> None:
    env = gym.make("textgym/Copy-v0")
    observation, info = env.reset(seed=0)
    illegal = int(np.flatnonzero(info["action_mask"] == 0)[0])
    after, reward, terminated, _, info = env.step(illegal)
    assert np.array_equal(after, observation)
    assert terminated
    assert info["finish_reason"] == "illegal"
    assert reward == info["score"] == 0.0
    with pytest.raises(ResetNeeded, match="episode is over"):
        env.step(0)


def test_observations_grow_by_one_entry() -> None:
    env = gym.make("textgym/Text-v0", observation="dict")
    before, _ = env.reset(seed=1)
    after, *_ = env.step(5)
    changed = np.flatnonzero(before["input_ids"] != after["input_ids"])
    assert changed.tolist() == [int(before["attention_mask"].sum())]
    assert after["attention_mask"].sum() == before["attention_mask"].sum() + 1
    assert after["action_mask"].sum() == env.unwrapped.action_masks().sum()
    pad = env.metadata["pad_id"]
    assert (after["input_ids"][~after["attention_mask"]] == pad).all()


def test_masks_agree_at_their_three_doors() -> None:
    env = gym.make("textgym/Text-v0", observation="dict")
    observation, info = env.reset(seed=1)
    masks = env.unwrapped.action_masks()
    assert masks.dtype == np.bool_
    assert info["action_mask"].dtype == np.int8
    assert np.array_equal(masks, info["action_mask"].astype(bool))
    assert np.array_equal(masks, observation["action_mask"])
    assert "action_mask" not in gym.make("textgym/Text-v0", mask_in_info=False).reset()[1]
    for _ in range(50):
        assert masks[env.action_space.sample(info["action_mask"])]


@pytest.mark.parametrize("shown", [True, "expert"])
def test_demonstrations_lead_to_a_perfect_score(shown: bool | str) -> None:
    env = gym.make("textgym/Translation-v0", demonstrations=shown)
    seen = set()
    _, info = env.reset(seed=2)
    for _ in range(20):
        done = False
        while not done:
            assert info["expert_action"] >= 0
            _, _, done, _, info = env.step(info["expert_action"])
        assert info["score"] == pytest.approx(1.0)
        assert info["expert_action"] == -1
        seen.add(info["references"].index(info["text"]))
        _, info = env.reset()
    if shown == "expert":
        assert seen == {0}, "the expert says the first reference"
    else:
        assert len(seen) > 1, "every reference should be shown now and then"


def test_off_the_reference_there_is_no_expert() -> None:
    env = gym.make("textgym/Copy-v0", demonstrations=True)
    _, info = env.reset(seed=2)
    _, _, _, _, info = env.step((info["expert_action"] + 1) % 8)
    assert info["expert_action"] == -1


def test_named_example() -> None:
    env = gym.make("textgym/Text-v0")
    env.reset(seed=0, options={"example": 17})
    assert env.step(env.metadata["eos_id"])[4]["example"] == 17
    with pytest.raises(ValueError, match="has examples 0 to 79"):
        env.reset(options={"example": 80})
    with pytest.raises(ValueError, match="must be an integer, not 'x'"):
        env.reset(options={"example": "x"})


@pytest.mark.parametrize("action", [-1, 10**6, 1.5, "a", np.int64(-3), np.array([1, 2]), None])
def test_actions_out_of_the_space_are_named(action: Any) -> None:
    env = gym.make("textgym/Copy-v0", disable_env_checker=True)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"token id from 0 to \d+, not "):
        env.step(action)


def nan_reward(text: str, example: Any) -> float:
    return float("nan")


def raising_reward(text: str, example: Any) -> float:
    raise KeyError("no such thing")


@pytest.mark.parametrize("shaping", ["terminal", "dense"])
@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (nan_reward, "'nan_reward' gave 'nan_reward' = nan for example 4 .*a finite number"),
        (raising_reward, "'raising_reward' raised KeyError: 'no such thing' .*example 4"),
    ],
)
def test_bad_rewards_are_named(reward: Any, message: str, shaping: str) -> None:
    single = gym.make("textgym/Text-v0", reward=reward, shaping=shaping)
    many = gym.make_vec("textgym/Text-v0", 2, reward=reward, shaping=shaping)
    eos = many.metadata["eos_id"]
    with pytest.raises(RewardError, match=message):
        single.reset(options={"example": 4})
        single.step(eos)
    with pytest.raises(RewardError, match=message):
        many.reset(options={"example": 4})
        many.step(np.array([eos, eos]))


def no_quotes(text: str, example: Any) -> float:
    if "'" in example.prompt:
        raise KeyError("a quote")
    return 1.0


def test_of_texts_that_end_together_the_one_that_a_reward_cannot_score_is_named() -> None:
    rows = [{"prompt": prompt, "reference": "x"} for prompt in ("a", "it's", "b")]
    envs = gym.make_vec("textgym/Text-v0", 3, task=rows, reward=no_quotes)
    envs.reset(options={"example": [0, 1, 2]})
    with pytest.raises(RewardError, match=r"'no_quotes' raised KeyError: .*\(example 1 of task"):
        envs.step(np.full(3, envs.metadata["eos_id"]))


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"reward": "blue"}, ValueError, "blue.*bleu"),
        ({"shaping": "sparse"}, ValueError, "'terminal', 'dense', not 'sparse'"),
        ({"demonstrations": "best"}, ValueError, "False, True, 'expert', not 'best'"),
        ({"gamma": 0.0}, ValueError, r"gamma must be in \(0, 1\], not 0.0"),
        ({"split": "dev"}, ValueError, "dev"),
        ({"task": "missing.jsonl"}, FileNotFoundError, "missing.jsonl"),
        ({"task": "no such task"}, ValueError, "no such task"),
        ({"gamma": None}, ValueError, r"gamma must be in \(0, 1\], not None"),
        (
            {"task": [{"prompt": "a", "reference": "b"}], "split": "test"},
            ValueError,
            "no example in split 'test': it has train 1, .*a hash of the prompt decided",
        ),
        ({"max_new_tokens": 0}, ValueError, "max_new_tokens must be a positive whole number"),
        ({"observation": "text"}, ValueError, "'box', 'dict', not 'text'"),
        ({"render_mode": "video"}, (ValueError, gym.error.Error), "video"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*render_mode")
def test_bad_arguments_are_named(kwargs: dict[str, Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        gym.make("textgym/Text-v0", **kwargs)
    if "render_mode" not in kwargs:
        with pytest.raises(error, match=message):
            gym.make_vec("textgym/Text-v0", 2, **kwargs)


def test_a_prompt_too_long_is_named_or_cut(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_text(
        '{"prompt": "one two three four five six", "references": ["x"], "split": "train"}'
    )
    env = gym.make("textgym/Text-v0", task=str(path), max_prompt_tokens=3)
    with pytest.raises(ValueError, match=r"example 0 .* has \d+ tokens, max_prompt_tokens is 3"):
        env.reset(seed=0)
    with pytest.raises(ValueError, match=r"example 0 .* tokens, max_prompt_tokens is 3"):
        gym.make_vec("textgym/Text-v0", 2, task=str(path), max_prompt_tokens=3)  # At once.
    cut = gym.make(
        "textgym/Text-v0", task=str(path), max_prompt_tokens=3, prompt_overflow="truncate"
    )
    observation, _ = cut.reset(seed=0)
    whole = cut.unwrapped.mdp.tokenizer.encode("one two three four five six\n")
    assert observation[:3].tolist() == whole[-3:]


class Wide(ProceduralTask):
    """Has limits of its own."""

    name, levels, default_level = "wide", ("only",), "only"
    max_prompt_tokens, max_new_tokens = 90, 7

    def generate(self, rng: np.random.Generator) -> Example:
        return Example(f"{rng.integers(10**8, 10**9)} " * 9, ("x",))


def test_a_tasks_own_limits_hold_unless_others_are_given() -> None:
    env = gym.make("textgym/Text-v0", task=Wide())
    assert env.observation_space.shape == (97,)
    env.reset(seed=0)
    env = gym.make("textgym/Text-v0", task=Wide(), max_prompt_tokens=100, max_new_tokens=5)
    assert env.observation_space.shape == (105,)
    assert gym.make("textgym/Text-v0").observation_space.shape == (128,)


def test_human_rendering_prints_tokens_and_score(capsys: pytest.CaptureFixture[str]) -> None:
    env = gym.make("textgym/Text-v0", render_mode="human", shaping="dense")
    example = env.unwrapped.mdp.task.example(0, "train")
    write(env, example.references[0])
    out = capsys.readouterr().out
    assert "\x1b[32m" in out
    assert "score 1.000" in out
    assert env.render() is None


def test_time_limit_truncates_without_a_score() -> None:
    env = gym.make("textgym/Copy-v0", max_episode_steps=1)
    env.reset(seed=0)
    _, reward, terminated, truncated, info = env.step(0)
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert "score" not in info


@pytest.mark.parametrize("name", ["text", "action_mask", "episode", "_score"])
def test_reward_names_that_info_uses_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"may not be called '{name}'"):
        gym.make("textgym/Text-v0", reward=FunctionReward(lambda text, example: 0.5, name=name))


class WholeNumbers(Reward):
    """A reward of one's own that returns integers."""

    name = "whole"
    signature = "whole"

    def __call__(self, texts: Any, examples: Any) -> Any:
        return [len(text) for text in texts]


def test_scores_are_floats_whatever_a_reward_returns() -> None:
    envs = gym.make_vec("textgym/Text-v0", 2, reward=WholeNumbers())
    envs.reset(seed=0)
    infos = envs.step(np.full(2, envs.metadata["eos_id"]))[-1]
    assert infos["score"].dtype == infos["whole"].dtype == np.float64


def test_what_no_action_can_write_is_not_demonstrated() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"[UNK]": 0, "</s>": 1, "yes": 2}, unk_token="[UNK]"))
    words.add_special_tokens(["[UNK]", "</s>"])
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    rows = [{"prompt": "yes", "references": ["yes no"], "split": "train"}]
    env = gym.make("textgym/Text-v0", task=rows, tokenizer=words, demonstrations=True)
    with pytest.raises(ValueError, match=r"'yes no' of example 0 .* cannot be demonstrated"):
        env.reset(seed=0)


@pytest.mark.parametrize("make", [gym.make, gym.make_vec])
def test_a_demonstration_that_is_cut_is_told(make: Any) -> None:
    rows = [{"prompt": "Count.", "references": ["one two three four five"], "split": "train"}]
    env = make("textgym/Text-v0", task=rows, max_new_tokens=3, demonstrations=True)
    with pytest.warns(UserWarning, match="demonstrations are cut at max_new_tokens, 3"):
        env.reset(seed=0)


def test_a_tokenizer_that_lacks_a_member_is_told_which() -> None:
    class Half:
        name, vocab_size, eos_id, pad_id, illegal_ids = "half", 3, 0, 3, frozenset()

        def encode(self, text: str) -> list[int]:
            return [1]

        def decode(self, ids: Any) -> str:
            return "x"

        def stream(self) -> None:
            return None

    with pytest.raises(TypeError, match="Half lacks decode_batch"):
        gym.make("textgym/Text-v0", tokenizer=Half())
