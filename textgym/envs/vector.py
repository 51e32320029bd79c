"""The text MDP for many contexts at once, in arrays: what `gym.make_vec` makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from textgym.envs.checks import check_actions, check_reset_mask, check_step_limit
from textgym.envs.draws import fold_seed, seed_keys
from textgym.envs.mdp import Prompt, TextMDP
from textgym.envs.rendering import VECTOR_RENDER_MODES, Transcript, check_render_mode
from textgym.envs.shaping import PotentialStream
from textgym.envs.vector_info import FinalInfos, add_entries

Slots = NDArray[np.int64]

FINISH_CODES = np.array(["length", "stop", "illegal"], dtype=object)


class TextGenerationVectorEnv(VectorEnv[Any, Any, Any]):
    """`num_envs` text MDPs that step together, equal to as many single environments.

    Slot i given seed s shows the prompts that a single environment given seed s shows, so slots
    with the same seed walk through the same prompts: that is a group, for group baselines.

    Args:
        num_envs: the number of slots N.
        autoreset_mode: "NextStep", "SameStep" or "Disabled" (then reset with
            ``options={"reset_mask": bool [N]}``).
        max_episode_steps: truncate an episode after so many steps, as TimeLimit does.
        render_mode: "ansi" or "rgb_array", a frame a slot; "human" is for single environments.
        **mdp: the arguments of `textgym.envs.mdp.TextMDP`.
    """

    metadata: dict[str, Any] = {"render_modes": list(VECTOR_RENDER_MODES), "render_fps": 8}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int = 1,
        *,
        autoreset_mode: str | AutoresetMode = "NextStep",
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        **mdp: Any,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, not {num_envs}")
        check_render_mode(render_mode, VECTOR_RENDER_MODES)
        self.mdp = TextMDP(**mdp)
        self.num_envs = num_envs
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.max_episode_steps = check_step_limit(max_episode_steps)
        self.render_mode = render_mode
        self.metadata = {
            **self.mdp.metadata(type(self).metadata),
            "autoreset_mode": self.autoreset_mode,
        }
        self.single_action_space = self.mdp.action_space()
        self.single_observation_space = self.mdp.observation_space()
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._allocate()

    def _allocate(self) -> None:
        n, width = self.num_envs, self.mdp.max_context
        self._rows = np.arange(n)
        # The last entry takes what resetting slots write, so that every step is one scatter.
        self._flat = np.full(n * width + 1, self.mdp.tokenizer.pad_id, dtype=np.int64)
        self._tokens = self._view()  # The contexts [N, max_context].
        self._offsets = self._rows * width
        self._columns = np.arange(width)
        # Where in `_flat` each slot's next token goes, and where its budget ends.
        self._ends = np.zeros(n, dtype=np.int64)
        self._limits = np.zeros(n, dtype=np.int64)
        self._elapsed = np.zeros(n, dtype=np.int64)
        self._done = np.zeros(n, dtype=np.bool_)
        self._begun = False
        self._seeds = np.zeros(n, dtype=np.uint64)
        self._keys = np.zeros(n, dtype=np.uint64)
        self._episodes = np.zeros(n, dtype=np.uint64)
        self._prompts: list[Prompt] = cast("list[Prompt]", [None] * n)
        self._potentials: list[PotentialStream] = cast("list[PotentialStream]", [None] * n)
        self._transcripts: list[Transcript] = cast("list[Transcript]", [None] * n)
        self._demonstrations = np.full((n, self.mdp.max_new_tokens + 1), -1, dtype=np.int64)
        self._on_reference = np.zeros(n, dtype=np.bool_)
        self._followed = self.mdp.dense or self.mdp.demonstrations or self.render_mode is not None
        self._true = np.ones(n, dtype=np.bool_)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._tokens = self._view()  # A copy of the view would not follow `_flat`.

    def _view(self) -> NDArray[np.int64]:
        return self._flat[:-1].reshape(self.num_envs, -1)

    @property
    def _lengths(self) -> NDArray[np.int64]:
        """The number of tokens of each context, int64 [N]."""
        return self._ends - self._offsets

    @property
    def _answered(self) -> NDArray[np.int64]:
        """The number of tokens of each answer, int64 [N]."""
        return self._ends - self._limits + self.mdp.max_new_tokens

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Show the next prompt in every slot, or in those of a mask.

        Args:
            seed: an int (slot i gets seed + i), a list of N ints (None: go on), or None.
            options: "example", a number or N numbers; "reset_mask", bool [N] with some True.

        Returns:
            Observations [N, ...] and infos.
        """
        options = options or {}
        slots = self._reset_slots(options.get("reset_mask"))
        self._seed_slots(seed, slots)
        chosen = options.get("example")
        self._begin(slots, None if chosen is None else self._chosen(chosen, slots))
        self._begun = True
        return self._observations(), self._infos(self._mask_of(slots))

    def _reset_slots(self, mask: Any) -> Slots:
        if mask is None:
            return self._rows
        slots = check_reset_mask(mask, self.num_envs)
        if not self._begun and len(slots) < self.num_envs:
            raise ResetNeeded("the first reset() must reset every slot")
        return slots

    def _seed_slots(self, seed: int | Sequence[int | None] | None, slots: Slots) -> None:
        if isinstance(seed, (Sequence, np.ndarray)):
            seeds = list(seed)
        else:
            start = None if seed is None else fold_seed(seed)
            super().reset(seed=seed)
            seeds = [None if start is None else start + i for i in range(self.num_envs)]
        if len(seeds) != self.num_envs:
            raise ValueError(f"{len(seeds)} seeds were passed for num_envs={self.num_envs}")
        for slot in slots.tolist():
            given = seeds[slot]
            if given is None and self._begun:
                self._episodes[slot] += np.uint64(1)
                continue
            number = fold_seed(given) if given is not None else self.np_random.integers(2**63)
            self._seeds[slot], self._episodes[slot] = number, 0
        self._keys = seed_keys(self._seeds)

    def _chosen(self, chosen: Any, slots: Slots) -> list[int]:
        given = [chosen] * self.num_envs if np.ndim(chosen) == 0 else list(chosen)
        if len(given) != self.num_envs:
            raise ValueError(
                f'options["example"] has {len(given)} entries for num_envs={self.num_envs}'
            )
        return [self.mdp.check_index(given[slot]) for slot in slots.tolist()]

    def _begin(self, slots: Slots, indices: list[int] | None = None) -> None:
        """Start an episode in these slots: draw the example, lay the prompt, reset the counters."""
        if indices is None:
            indices = self.mdp.example_indices(self._keys[slots], self._episodes[slots])
        contexts = self._tokens
        contexts[slots] = self.mdp.tokenizer.pad_id
        prompts = list(map(self.mdp.prompt, indices))
        numbers = slots.tolist()
        for slot, prompt in zip(numbers, prompts, strict=True):
            self._prompts[slot] = prompt
            contexts[slot, : prompt.length] = prompt.tokens
        self._ends[slots] = self._offsets[slots] + [prompt.length for prompt in prompts]
        for slot, prompt in zip(numbers, prompts, strict=True) if self._followed else ():
            self._follow(slot, prompt)
        self._limits[slots] = self._ends[slots] + self.mdp.max_new_tokens
        self._elapsed[slots] = 0
        self._done[slots] = False

    def _follow(self, slot: int, prompt: Prompt) -> None:
        """Start what is kept a slot only where it is asked for."""
        if self.mdp.dense:
            self._potentials[slot] = PotentialStream(self.mdp, prompt)
        if self.mdp.demonstrations:
            self._demonstrate(slot, prompt)
        if self.render_mode is not None:
            self._transcripts[slot] = Transcript(self.mdp.tokenizer, prompt.example.prompt)

    def _demonstrate(self, slot: int, prompt: Prompt) -> None:
        seed, episode = int(self._seeds[slot]), int(self._episodes[slot])
        tokens = self.mdp.demonstration(prompt, seed, episode)
        self._demonstrations[slot] = -1
        self._demonstrations[slot, : len(tokens)] = tokens
        self._on_reference[slot] = True

    def step(
        self, actions: Any
    ) -> tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Append a token in every slot.

        Args:
            actions: token ids, integers [N]; those of slots that reset in this step are ignored.

        Returns:
            Observations, rewards float64 [N], terminations bool [N], truncations bool [N], infos.

        Raises:
            ValueError: for actions outside the action space.
            ResetNeeded: before the first reset, or, when autoreset is disabled, with slots done.
        """
        resetting = self._slots_to_reset()
        tokens = check_actions(actions, self.num_envs, self.mdp.tokenizer, resetting)
        legal = self.mdp.legal[tokens]
        ended = (tokens == self.mdp.tokenizer.eos_id) | ~legal
        self._append(tokens, legal, resetting)
        ended |= self._ends == self._limits
        truncated = self._time_is_up()
        if resetting.size:
            ended[resetting] = truncated[resetting] = False
        final = self._final_infos(ended.nonzero()[0], tokens) if ended.any() else None
        rewards = self._rewards(tokens, ended, resetting, final)
        if self.render_mode is not None:
            self._write(tokens, rewards, resetting, final)
        infos = self._advance(resetting, ended | truncated, final)
        return self._observations(), rewards, ended, truncated, infos

    def _slots_to_reset(self) -> Slots:
        if not self._begun:
            raise ResetNeeded("call reset() before step()")
        done = self._done.nonzero()[0]
        if done.size and self.autoreset_mode is AutoresetMode.DISABLED:
            raise ResetNeeded(
                f"the episodes of slots {done[:8].tolist()} are over: reset them with "
                'options={"reset_mask": ...} before step()'
            )
        return done

    def _append(
        self, tokens: NDArray[np.int64], legal: NDArray[np.bool_], resetting: Slots
    ) -> None:
        if self.mdp.demonstrations:
            self._on_reference &= tokens == self._demonstrations[self._rows, self._answered]
        self._ends[resetting] = -1
        self._flat[self._ends] = tokens
        self._ends += 1
        if not legal.all():
            illegal = (~legal).nonzero()[0]
            self._ends[illegal] -= 1
            self._flat[self._ends[illegal]] = self.mdp.tokenizer.pad_id

    def _time_is_up(self) -> NDArray[np.bool_]:
        if self.max_episode_steps is None:
            return np.zeros(self.num_envs, dtype=np.bool_)
        self._elapsed += 1
        return self._elapsed >= self.max_episode_steps

    def _rewards(
        self,
        tokens: NDArray[np.int64],
        ended: NDArray[np.bool_],
        resetting: Slots,
        final: FinalInfos | None,
    ) -> NDArray[np.float64]:
        rewards = np.zeros(self.num_envs)
        if final is not None:
            rewards[final.slots] = final.scores
        if self.mdp.dense:
            goes_on = ~ended
            goes_on[resetting] = False
            for slot in goes_on.nonzero()[0].tolist():
                rewards[slot] = self._potentials[slot].append(int(tokens[slot]))
            for slot in ended.nonzero()[0].tolist():
                rewards[slot] = self._potentials[slot].finish(float(rewards[slot]))
        return rewards

    def _final_infos(self, slots: Slots, tokens: NDArray[np.int64]) -> FinalInfos:
        ended = slots.tolist()
        prompts = [self._prompts[slot] for slot in ended]
        limits = self._limits[slots] - self.mdp.max_new_tokens
        starts, lengths = limits - self._offsets[slots], self._ends[slots] - limits
        answered = (self._columns - starts[:, None]).view(np.uint64) < lengths[:, None].view(
            np.uint64
        )
        answers = self._tokens[slots][answered]
        texts = self.mdp.tokenizer.decode_batch(answers, lengths.tolist())
        scores, components = self.mdp.score(texts, prompts)
        last = tokens[slots]
        codes = (last == self.mdp.tokenizer.eos_id) + 2 * ~self.mdp.legal[last]
        reasons = FINISH_CODES[codes].tolist()
        return FinalInfos(slots, prompts, texts, scores, components, reasons)

    def _advance(
        self, resetting: Slots, done: NDArray[np.bool_], final: FinalInfos | None
    ) -> dict[str, Any]:
        """Autoreset, and the infos of this step in Gymnasium's vector form."""
        infos: dict[str, Any] = {}
        if self.autoreset_mode is not AutoresetMode.SAME_STEP:
            if resetting.size:
                self._restart(resetting)
            self._done = done
            if final is not None:
                add_entries(infos, final.entries(), final.slots, self.num_envs)
        elif done.any():
            slots = np.flatnonzero(done)
            observations, inner = self._observations(), self._infos(done)
            if final is not None:
                add_entries(inner, final.entries(), final.slots, self.num_envs)
            infos["final_info"], infos["_final_info"] = inner, done.copy()
            infos["final_obs"] = np.full(self.num_envs, None, dtype=object)
            for slot in slots.tolist():
                infos["final_obs"][slot] = self._row(observations, slot)
            infos["_final_obs"] = done.copy()
            self._restart(slots)
        infos.update(self._infos(self._true))
        return infos

    def _restart(self, slots: Slots) -> None:
        self._episodes[slots] += np.uint64(1)
        self._begin(slots)

    def _row(self, observations: Any, slot: int) -> Any:
        if isinstance(observations, dict):
            return {key: values[slot].copy() for key, values in observations.items()}
        return observations[slot].copy()

    def _mask_of(self, slots: Slots) -> NDArray[np.bool_]:
        mask = np.zeros(self.num_envs, dtype=np.bool_)
        mask[slots] = True
        return mask

    def _observations(self) -> Any:
        ids = self._tokens.copy()
        if not self.mdp.dict_observation:
            return ids
        attention = np.arange(self.mdp.max_context) < self._lengths[:, None]
        masks = np.repeat(self.mdp.legal[None], self.num_envs, axis=0)
        return {"input_ids": ids, "attention_mask": attention, "action_mask": masks}

    def _infos(self, shown: NDArray[np.bool_]) -> dict[str, Any]:
        """The infos that are there at every step, for the slots `shown`, bool [N]."""
        infos: dict[str, Any] = {}
        if self.mdp.mask_in_info:
            masks = np.repeat(self.mdp.legal.astype(np.int8)[None], self.num_envs, axis=0)
            masks[~shown] = 0
            infos["action_mask"], infos["_action_mask"] = masks, shown.copy()
        if self.mdp.demonstrations:
            experts = self._demonstrations[self._rows, self._answered]
            experts = np.where(self._on_reference, experts, -1)
            infos["expert_action"] = np.where(shown, experts, 0)
            infos["_expert_action"] = shown.copy()
        return infos

    def _write(
        self,
        tokens: NDArray[np.int64],
        rewards: NDArray[np.float64],
        resetting: Slots,
        final: FinalInfos | None,
    ) -> None:
        skipped = set(resetting.tolist())
        ended = {} if final is None else dict(zip(final.slots.tolist(), final.scores, strict=True))
        for slot in self._rows.tolist():
            if slot not in skipped:
                self._transcripts[slot].add(int(tokens[slot]), rewards[slot], ended.get(slot))

    def render(self) -> tuple[Any, ...] | None:
        """A frame a slot: strings for "ansi", uint8 [H, W, 3] for "rgb_array", else None."""
        if not self._begun:
            raise ResetNeeded("there is nothing to render before the first reset()")
        if self.render_mode == "ansi":
            return tuple(transcript.text() for transcript in self._transcripts)
        if self.render_mode == "rgb_array":
            return tuple(transcript.picture() for transcript in self._transcripts)
        return None
