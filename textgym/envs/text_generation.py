"""The text MDP as a Gymnasium environment: one action is one token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from textgym.envs.draws import fold_seed
from textgym.envs.mdp import Prompt, TextMDP
from textgym.envs.rendering import RENDER_MODES, Transcript, check_render_mode
from textgym.envs.shaping import Potential, begin_potential
from textgym.envs.turns import begin_turns


class TextGenerationEnv(gym.Env[Any, Any]):
    """Write an answer to a prompt, token by token, and be paid a metric of the text.

    The observation is the context: int64 ids [max_context], the prompt and then the answer,
    right-padded with ``metadata["pad_id"]``. An action is a token id. EOS, the token budget or an
    illegal token terminate; the last appends nothing, and what stands is scored.

    In a task of several turns (`textgym.tasks.MultiTurnTask`) EOS ends the agent's turn: the
    environment appends its reply, which ``info["reply"]`` shows, or ends the episode. Replies use
    up the budget as the agent's tokens do.

    Args:
        render_mode: "ansi" (a string), "human" (prints, coloured by reward) or "rgb_array".
        autoreset_mode: for the vector form; ignored here.
        **mdp: the arguments of `textgym.envs.mdp.TextMDP`: task, split, level, task_kwargs,
            tokenizer, reward, shaping, gamma, max_prompt_tokens, max_new_tokens,
            prompt_overflow, observation, mask_in_info, demonstrations.
    """

    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": 8}  # noqa: RUF012

    def __init__(
        self, *, render_mode: str | None = None, autoreset_mode: str = "NextStep", **mdp: Any
    ) -> None:
        del autoreset_mode
        check_render_mode(render_mode)
        self.mdp = TextMDP(**mdp)
        self.render_mode = render_mode
        self.metadata = self.mdp.metadata(type(self).metadata)
        self.action_space = self.mdp.action_space()
        self.observation_space = self.mdp.observation_space()
        self._seed: int | None = None
        self._episode = 0
        self._prompt: Prompt | None = None
        self._transcript: Transcript | None = None
        self._done = True

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Show the next prompt.

        Args:
            seed: fixes the sequence of examples from here on; None goes on with it.
            options: ``{"example": i}`` names the example to show.

        Returns:
            The observation, and info with the action mask.
        """
        super().reset(seed=seed)
        if seed is not None:
            self._seed, self._episode = fold_seed(seed), 0
        elif self._seed is None:
            self._seed, self._episode = int(self.np_random.integers(2**63)), 0
        else:
            self._episode += 1
        chosen = (options or {}).get("example")
        if chosen is None:
            index = self.mdp.example_index(self._seed, self._episode)
        else:
            index = self.mdp.check_index(chosen)
        self._begin(index)
        if self._transcript is not None and self.render_mode == "human":
            self._transcript.print_prompt()
        return self._observation(), self._info()

    def _begin(self, index: int) -> None:
        assert self._seed is not None
        self._prompt = prompt = self.mdp.prompt(index)
        self._actions: list[int] = []
        self._response: list[int] = []
        self._turn_start = 0
        self._turns = turns = begin_turns(self.mdp, prompt)
        self._done = False
        self._finish_reason: str | None = None
        self._transcript = None
        if self.render_mode is not None:
            self._transcript = Transcript(self.mdp.tokenizer, prompt.example.prompt)
        self._potential: Potential | None = None
        if self.mdp.dense:
            self._potential = begin_potential(self.mdp, prompt, turns)
        self._demonstration: NDArray[np.int64] | None = None
        self._demonstrate()

    def _demonstrate(self) -> None:
        """Show what an expert would say in the turn that begins."""
        if self.mdp.demonstrations and self._prompt is not None and self._seed is not None:
            said = () if self._turns is None else self._turns.said
            self._demonstration = self.mdp.demonstration(
                self._prompt, self._seed, self._episode, said
            )[: self.mdp.max_new_tokens - self._turn_start]

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Append a token.

        Args:
            action: a token id, 0 <= action < vocabulary size.

        Returns:
            Observation, reward (float), terminated, truncated (always False), info.

        Raises:
            ValueError: for an action outside the action space.
            ResetNeeded: when the episode is over, none has begun, or a step raised.
            RewardError, TaskError: when the reward or the task's conversation raises.
        """
        if self._prompt is None or self._done:
            raise ResetNeeded("the episode is over: call reset() before step()")
        token = self._token(action)
        self._done = True  # Until the end: where a reward raises, only a reset helps.
        info = self._append(token)
        if self._finish_reason is None:
            reward = 0.0 if self._potential is None else self._potential.append(token)
        else:
            info |= self._final_info(self._prompt, self._finish_reason)
            score = info["score"]
            reward = score if self._potential is None else self._potential.finish(score)
        self._done = self._finish_reason is not None
        if self._transcript is not None:
            self._transcript.add(token, reward, info.get("reply"), info.get("score"))
            if self.render_mode == "human":
                self._transcript.print_last()
        return self._observation(), float(reward), self._done, False, {**self._info(), **info}

    def _token(self, action: Any) -> int:
        vocab = self.mdp.tokenizer.vocab_size
        whole = np.ndim(action) == 0 and np.asarray(action).dtype.kind in "iu"
        if not whole or not 0 <= int(action) < vocab:
            raise ValueError(f"an action is a token id from 0 to {vocab - 1}, not {action!r}")
        return int(action)

    def _append(self, token: int) -> dict[str, Any]:
        """Append a token and, at a turn's end, the reply; the info of the reply."""
        self._finish_reason = None
        if not self.mdp.legal[token]:
            self._finish_reason = "illegal"
            return {}
        self._actions.append(token)
        self._response.append(token)
        info: dict[str, Any] = {}
        if token == self.mdp.tokenizer.eos_id:
            if self._turns is None:
                self._finish_reason = "stop"
            else:
                room = self.mdp.max_new_tokens - len(self._response)
                turn = self._response[self._turn_start :]
                appended, self._finish_reason = self._turns.end_turn(turn, room)
                self._response += appended
                self._turn_start = len(self._response)
                info["reply"] = self._turns.said[-1][1]
                if self._finish_reason is None:
                    self._demonstrate()
        if self._finish_reason is None and len(self._response) == self.mdp.max_new_tokens:
            self._finish_reason = "length"
        return info

    def _final_info(self, prompt: Prompt, reason: str) -> dict[str, Any]:
        info: dict[str, Any] = {}
        if self._turns is None:
            text, judged = self.mdp.tokenizer.decode(self._response), prompt
        else:
            text = self._turns.transcript(self._response[self._turn_start :])
            judged = self._turns.judged()
            info["turns"] = tuple(self._turns.said)
        total, components = self.mdp.score([text], [judged])
        return {
            "prompt": prompt.example.prompt,
            "text": text,
            "score": float(total[0]),
            **{name: float(values[0]) for name, values in components.items()},
            "references": prompt.example.references,
            "example": prompt.index,
            "finish_reason": reason,
            **info,
        }

    def _observation(self) -> Any:
        assert self._prompt is not None
        pad = self.mdp.tokenizer.pad_id
        ids = np.full(self.mdp.max_context, pad, dtype=np.int64)
        start = len(self._prompt.tokens)
        length = start + len(self._response)
        ids[:start] = self._prompt.tokens
        ids[start:length] = self._response
        if not self.mdp.dict_observation:
            return ids
        attention = np.arange(self.mdp.max_context) < length
        return {
            "input_ids": ids,
            "attention_mask": attention,
            "action_mask": self.action_masks(),
        }

    def _info(self) -> dict[str, Any]:
        info: dict[str, Any] = {}
        if self.mdp.mask_in_info:
            info["action_mask"] = self.mdp.legal.astype(np.int8)
        if self._demonstration is not None:
            info["expert_action"] = self._expert_action(self._demonstration)
        return info

    def _expert_action(self, demonstration: NDArray[np.int64]) -> int:
        turn = self._response[self._turn_start :]
        t = len(turn)
        off = self._done or t >= len(demonstration) or turn != demonstration[:t].tolist()
        return -1 if off else int(demonstration[t])

    def action_masks(self) -> NDArray[np.bool_]:
        """The legal actions, bool [vocabulary size]; the name that sb3-contrib calls."""
        return self.mdp.legal.copy()

    def get_state(self) -> dict[str, Any]:
        """A snapshot: plain numbers, from which `set_state` restores this very state."""
        if self._prompt is None:
            raise ResetNeeded("there is no state before the first reset()")
        return {
            "seed": self._seed,
            "episode": self._episode,
            "example": self._prompt.index,
            "actions": list(self._actions),
            "finish_reason": self._finish_reason,
            "np_random": self.np_random.bit_generator.state,
        }

    def set_state(self, state: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return to a snapshot of `get_state`, of this or an equally made environment.

        Returns:
            The observation and the info of that state, without the final info.
        """
        self._seed, self._episode = state["seed"], state["episode"]
        self._begin(state["example"])
        for token in state["actions"]:
            info = self._append(token)
            reward = 0.0 if self._potential is None else self._potential.append(token)
            if self._transcript is not None:
                self._transcript.add(token, reward, info.get("reply"), None)
        self._finish_reason = state["finish_reason"]
        self._done = self._finish_reason is not None
        self.np_random.bit_generator.state = state["np_random"]
        return self._observation(), self._info()

    def render(self) -> Any:
        """The prompt and the answer so far: a string, a picture uint8 [H, W, 3], or None."""
        if self._prompt is None:
            raise ResetNeeded("there is nothing to render before the first reset()")
        if self._transcript is None or self.render_mode == "human":
            return None
        ansi = self.render_mode == "ansi"
        return self._transcript.text() if ansi else self._transcript.picture()
