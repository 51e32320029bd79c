"""What one text MDP is made of, shared by the single and the vector environment."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from textgym.envs.draws import draw_one
from textgym.envs.scales import find_scale
from textgym.rewards import Reward, Stream, load_reward
from textgym.rewards.checked import check_finite, checked_scores, raised
from textgym.tasks import Example, MultiTurnTask, Task, load_task
from textgym.tasks.files import FileTask
from textgym.tokenizers import Tokenizer, load_tokenizer
from textgym.tokenizers.frames import Frame, frame_of

FINAL_KEYS = ("prompt", "text", "score", "references", "example", "finish_reason", "turns")
TAKEN_KEYS = (
    *FINAL_KEYS,
    "reply",
    "normalized_score",
    "action_mask",
    "expert_action",
    "episode",
    "final_info",
    "final_obs",
)
"""Keys of info that no component of a reward may have; Gymnasium's own among them."""
CACHED_PROMPTS = 4096
CHECKED_PROMPTS = 50_000
"""Of a file of so many examples at most the prompts are looked through before any is shown."""


class TaskError(RuntimeError):
    """The conversation of a task raised, or said what the tokenizer cannot encode."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """An example as the environment shows it.

    Attributes:
        index: the example's number in its split.
        example: prompt text, references and metadata.
        tokens: int64 ids of the prompt, shape [length].
        length: the number of tokens, at most max_prompt_tokens.
    """

    index: int
    example: Example
    tokens: NDArray[np.int64]
    length: int


class TextMDP:
    """The five-tuple of text generation: contexts, tokens, append, a metric, and gamma.

    Args:
        task: a task's name, the path of a file of pairs, a dataset object, or a Task.
        split: "train", "validation" or "test".
        level: the difficulty, for tasks that have levels.
        task_kwargs: further arguments of the task, for example the fields of a file.
        tokenizer: a name or path, a tokenizer object, or None for the task's own
            (the bundled byte-level BPE where the task names none).
        reward: a reward's name, a mapping of names to weights, a function
            ``f(text, example) -> float`` (or "package.module:NAME" for it), or a Reward.
        shaping: "terminal" pays the score at the end; "dense" pays
            ``gamma * Phi(s') - Phi(s)`` with Phi the score of the text so far, and
            ``score - Phi(s)`` at the end (Ng, Harada and Russell 1999, theorem 1), so that
            the return is the terminal one less Phi of the empty text.
        gamma: the discount of the shaping, in (0, 1].
        max_prompt_tokens: the longest prompt, in tokens; None for the task's own limit.
        max_new_tokens: the budget of the answer in tokens, EOS included; None likewise.
        prompt_overflow: "error", or "truncate", which keeps a long prompt's last tokens.
        observation: "box" or "dict".
        mask_in_info: whether ``info["action_mask"]`` is there.
        demonstrations: of what ``info["expert_action"]`` shows the next token: False, nothing;
            True, a reference, drawn anew each episode; "expert", what the task's expert says, on
            the bundled tasks the plainest reference. In tasks of several turns it is the expert's
            turn either way.

    A tokenizer's `frame`, if it has one, stands around each prompt and each reply.

    Raises:
        ValueError: for an argument out of its range or an empty split. A prompt that is too long
            raises one when it is to be shown; of a file, in the vector form, before any is.
    """

    def __init__(
        self,
        *,
        task: Any = "pairs",
        split: str = "train",
        level: str | None = None,
        task_kwargs: Mapping[str, Any] | None = None,
        tokenizer: Any = None,
        reward: Any = "bleu",
        shaping: str = "terminal",
        gamma: float = 1.0,
        max_prompt_tokens: int | None = None,
        max_new_tokens: int | None = None,
        prompt_overflow: str = "error",
        observation: str = "box",
        mask_in_info: bool = True,
        demonstrations: bool | str = False,
    ) -> None:
        _one_of("shaping", shaping, ("terminal", "dense"))
        _one_of("prompt_overflow", prompt_overflow, ("error", "truncate"))
        _one_of("observation", observation, ("box", "dict"))
        _one_of("demonstrations", demonstrations, (False, True, "expert"))
        self.gamma = _discount(gamma)
        self.task: Task = load_task(task, level=level, **dict(task_kwargs or {}))
        self.split = split
        self.num_examples = self.task.num_examples(split)
        if self.num_examples < 1:
            raise ValueError(
                f"task {self.task.name!r} has no example in split {split!r}: it has "
                f"{self.task.describe_splits()}"
            )
        self.tokenizer: Tokenizer = load_tokenizer(
            self.task.tokenizer if tokenizer is None else tokenizer
        )
        self.frame: Frame = frame_of(self.tokenizer)
        self.reward: Reward = load_reward(reward)
        for name in (self.reward.name, *getattr(self.reward, "parts", ())):
            _check_name(name)
        self.dense = shaping == "dense"
        self.max_prompt_tokens = _limit("max_prompt_tokens", max_prompt_tokens, self.task)
        self.max_new_tokens = _limit("max_new_tokens", max_new_tokens, self.task)
        self.prompt_overflow = prompt_overflow
        self.dict_observation = observation == "dict"
        self.mask_in_info = mask_in_info
        self.demonstrations = demonstrations
        self.legal = _legal_actions(self.tokenizer)
        self.scale = find_scale(self.task, self.reward, self.tokenizer.name, self.max_new_tokens)
        self._prompts: dict[int, Prompt] = {}

    @property
    def max_context(self) -> int:
        """The width of an observation, in tokens."""
        return self.max_prompt_tokens + self.max_new_tokens

    def action_space(self) -> spaces.Discrete:
        """One action a token id of the vocabulary."""
        return spaces.Discrete(self.tokenizer.vocab_size)

    def observation_space(self) -> spaces.Space[Any]:
        """Token ids, int64 [max_context]; with "dict" also the two masks, as bool boxes."""
        vocab, pad = self.tokenizer.vocab_size, self.tokenizer.pad_id
        ids = spaces.Box(0, max(vocab - 1, pad), (self.max_context,), np.int64)
        if not self.dict_observation:
            return ids
        return spaces.Dict(
            {
                "input_ids": ids,
                "attention_mask": spaces.Box(0, 1, (self.max_context,), np.bool_),
                "action_mask": spaces.Box(0, 1, (vocab,), np.bool_),
            }
        )

    def metadata(self, base: Mapping[str, Any]) -> dict[str, Any]:
        """An environment's metadata: `base`, and what a learner must know of the tokens."""
        return {
            **base,
            "pad_id": self.tokenizer.pad_id,
            "eos_id": self.tokenizer.eos_id,
            "tokenizer": getattr(self.tokenizer, "signature", self.tokenizer.name),
        }

    def example_index(self, seed: int, episode: int) -> int:
        """The example that a slot with this seed shows in this episode."""
        return draw_one(seed, episode, 0) % self.num_examples

    def prompt(self, index: int) -> Prompt:
        """The example `index`, its prompt as tokens."""
        cached = self._prompts.get(index)
        if cached is None:
            if len(self._prompts) >= CACHED_PROMPTS:
                self._prompts.clear()
            cached = self._prompts[index] = self._encode_prompt(index)
        return cached

    def _encode_prompt(self, index: int) -> Prompt:
        example = self.task.example(index, self.split)
        limit = self.max_prompt_tokens
        tokens = whole = self.frame.prompt(example.prompt)
        if len(whole) > limit and self.prompt_overflow == "truncate":
            tokens = self.frame.cut(example.prompt, limit)
        if len(tokens) > limit:
            raise ValueError(
                f"the prompt of example {index} ({self.task.name!r}, split {self.split!r}) has "
                f"{len(whole)} tokens, max_prompt_tokens is {limit}: raise it, or pass "
                'prompt_overflow="truncate"'
            )
        return Prompt(index, example, np.array(tokens, dtype=np.int64), len(tokens))

    def check_prompts(self) -> None:
        """Check that all prompts of a file fit, where there are few enough to look through.

        Raises:
            ValueError: names one that does not, unless long ones are truncated.
        """
        few = isinstance(self.task, FileTask) and self.num_examples <= CHECKED_PROMPTS
        if few and self.prompt_overflow == "error":
            for index in range(self.num_examples):
                self.prompt(index)  # Which keeps those of a small file.

    def check_index(self, index: Any) -> int:
        """A chosen example number, or a ValueError that names the range."""
        if isinstance(index, bool) or not isinstance(index, (int, np.integer)):
            raise ValueError(f'options["example"] must be an integer, not {index!r}')
        if not 0 <= index < self.num_examples:
            raise ValueError(
                f'options["example"] is {index}, but split {self.split!r} of task '
                f"{self.task.name!r} has examples 0 to {self.num_examples - 1}"
            )
        return int(index)

    def demonstration(
        self, prompt: Prompt, seed: int, episode: int, said: Sequence[tuple[str, str]] = ()
    ) -> NDArray[np.int64]:
        """A good answer as tokens, EOS at its end, cut at the budget; int64 [T].

        It is a reference, drawn from the slot's seed and the episode's number; the expert's where
        it was asked for or there is no reference, and in a task of several turns, for the turn
        after those that were `said`.
        """
        references, expert = prompt.example.references, self.demonstrations == "expert"
        if expert or isinstance(self.task, MultiTurnTask) or not references:
            text = self.task.expert(prompt.example, said)
        else:
            text = references[draw_one(seed, episode, 1) % len(references)]
        tokens = [*self.tokenizer.encode(text), self.tokenizer.eos_id]
        if len(tokens) > self.max_new_tokens and not isinstance(self.task, MultiTurnTask):
            warnings.warn(
                f"demonstrations are cut at max_new_tokens, {self.max_new_tokens}: what learns "
                "from them learns not to end; raise it above the longest answer",
                stacklevel=2,
            )
        shown = np.asarray(tokens[: self.max_new_tokens], dtype=np.int64)
        if not self.legal[shown].all():
            illegal = int(shown[~self.legal[shown]][0])
            raise ValueError(
                f"demonstration {text!r} of example {prompt.index} (task {self.task.name!r}, split "
                f"{self.split!r}) contains token {illegal} of tokenizer {self.tokenizer.name!r}, "
                "which is not a legal action (an unknown word?): it cannot be demonstrated"
            )
        return shown

    def score(
        self, texts: Sequence[str], prompts: Sequence[Prompt]
    ) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
        """Scores and components of finished texts, float64 [n] each.

        On the bundled tasks the components also hold "normalized_score"; see `Scale.normalize`.

        Raises:
            RewardError: when the reward raises or gives anything but n finite numbers.
        """
        total, components = checked_scores(
            self.reward,
            texts,
            [prompt.example for prompt in prompts],
            lambda number: self._place(texts[number], prompts[number]),
        )
        for name in components:
            _check_name(name)
        if self.scale is not None:
            components["normalized_score"] = self.scale.normalize(total)
        return total, components

    def stream(self, prompt: Prompt) -> Stream:
        """A fresh incremental score for one answer."""
        try:
            return self.reward.stream(prompt.example)
        except Exception as error:
            raise raised(self.reward, error, self._place("", prompt)) from error

    def potential(self, stream: Stream, added: str, text: str, prompt: Prompt) -> float:
        """Phi after `added` was appended: the score of `text`, all that is final so far."""
        try:
            if added:
                stream.append(added)
            phi = float(stream.score())
        except Exception as error:
            raise raised(self.reward, error, self._place(text, prompt)) from error
        if not np.isfinite(phi):
            name, values = self.reward.name, np.array([phi])
            check_finite(self.reward, name, values, lambda _: self._place(text, prompt), 1)
        return phi

    def _place(self, text: str, prompt: Prompt) -> str:
        """What messages call a text."""
        return (
            f"example {prompt.index} of task {self.task.name!r}, split {self.split!r}, "
            f"text {text[:200]!r}"
        )


def _one_of(name: str, value: Any, allowed: tuple[bool | str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}")


def _discount(gamma: Any) -> float:
    if not isinstance(gamma, Real) or not 0.0 < float(gamma) <= 1.0:
        raise ValueError(f"gamma must be in (0, 1], not {gamma!r}")
    return float(gamma)


def _check_name(name: str) -> None:
    if name in TAKEN_KEYS or name.startswith("_"):
        raise ValueError(
            f"a reward or an outcome may not be called {name!r}: info uses that key; name it "
            'otherwise, a function by textgym.rewards.FunctionReward(function, name="...")'
        )


def _limit(name: str, value: int | None, task: Task) -> int:
    if value is None:
        value = getattr(task, name, 64)
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} must be a positive whole number of tokens, not {value!r}")
    return int(value)


def _legal_actions(tokenizer: Tokenizer) -> NDArray[np.bool_]:
    legal = np.ones(tokenizer.vocab_size, dtype=np.bool_)
    illegal = [i for i in (*tokenizer.illegal_ids, tokenizer.pad_id) if i < tokenizer.vocab_size]
    legal[illegal] = False
    if not legal[tokenizer.eos_id]:
        raise ValueError(
            f"tokenizer {tokenizer.name!r} has EOS id {tokenizer.eos_id} among its padding or "
            "special ids: an answer could never end"
        )
    return legal
