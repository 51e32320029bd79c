"""The text MDP for many contexts at once, in arrays: what `gym.make_vec` makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from textgym.envs.checks import check_actions, check_examples, check_reset_mask, check_step_limit
from textgym.envs.draws import fold_seed
from textgym.envs.mdp import Prompt, TextMDP
from textgym.envs.prompts import PromptTable
from textgym.envs.rendering import VECTOR_RENDER_MODES, Transcript, check_render_mode
from textgym.envs.shaping import Potential, begin_potential
from textgym.envs.slot_seeds import SlotSeeds
from textgym.envs.vector_info import Entries, FinalInfos, add_entries, mask_of, row_of
from textgym.envs.vector_turns import TurnTable
from textgym.tasks import MultiTurnTask

Slots = NDArray[np.int64]

FINISH_CODES = np.array(["length", "stop", "illegal", "task"], dtype=object)


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
        own = {"autoreset_mode": self.autoreset_mode, "num_examples": self.mdp.num_examples}
        self.metadata = self.mdp.metadata(type(self).metadata) | own
        self.single_action_space = self.mdp.action_space()
        self.single_observation_space = self.mdp.observation_space()
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._allocate()

    def _allocate(self) -> None:
        n, width = self.num_envs, self.mdp.max_context
        self._rows = np.arange(n)
        # The last entry takes what resetting slots write, so that every step is one scatter; 32
        # bits, since a step's time goes into moving memory.
        self._flat = np.full(n * width + 1, self.mdp.tokenizer.pad_id, dtype=np.int32)
        self._tokens = self._view()
        self._offsets = self._rows * width
        # Where in `_flat` each slot's next token goes, and where its budget ends.
        self._ends = np.zeros(n, dtype=np.int64)
        self._limits = np.zeros(n, dtype=np.int64)
        self._elapsed = np.zeros(n, dtype=np.int64)
        self._done = np.zeros(n, dtype=np.bool_)
        self._begun = False
        self._seeds = SlotSeeds(n)
        self._table = PromptTable(self.mdp, n)
        self._shown = np.zeros(n, dtype=np.int64)  # The row of each slot's prompt in the table.
        self._turns: TurnTable | None = None
        if isinstance(self.mdp.task, MultiTurnTask):
            self._turns = TurnTable(self.mdp, n)
        self._potentials: list[Potential] = cast("list[Potential]", [None] * n)
        self._transcripts: list[Transcript] = cast("list[Transcript]", [None] * n)
        self._demonstrations = np.full((n, self.mdp.max_new_tokens + 1), -1, dtype=np.int64)
        self._on_reference = np.zeros(n, dtype=np.bool_)
        kept = (self.mdp.dense, self.mdp.demonstrations, self.render_mode, self._turns)
        self._followed = any(part not in (None, False) for part in kept)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._tokens = self._view()  # A copy of the view would not follow `_flat`.

    def _view(self) -> NDArray[np.int32]:
        return self._flat[:-1].reshape(self.num_envs, -1)

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
            options: "example", a number or N of them, or N lists, for the slot's next episodes;
                "reset_mask", bool [N] with some True.

        Returns:
            Observations [N, ...] and infos.
        """
        options = options or {}
        slots = self._reset_slots(options.get("reset_mask"))
        if not isinstance(seed, (Sequence, np.ndarray)):
            super().reset(seed=None if seed is None else fold_seed(seed))
        draw = None if self._begun else lambda: int(self.np_random.integers(2**63))
        self._seeds.assign(seed, slots, draw)
        chosen = check_examples(options.get("example"), slots, self.mdp, self.num_envs)
        self._seeds.choose(slots, chosen, keep="reset_mask" in options)
        self._begin(slots)
        self._begun = True
        return self._observations(), self._infos(mask_of(slots, self.num_envs))

    def _reset_slots(self, mask: Any) -> Slots:
        if mask is None:
            return self._rows
        slots = check_reset_mask(mask, self.num_envs)
        if not self._begun and len(slots) < self.num_envs:
            raise ResetNeeded("the first reset() must reset every slot")
        return slots

    def _begin(self, slots: Slots) -> None:
        """Start an episode in these slots: draw the example, lay the prompt, reset the counters."""
        indices = self._seeds.examples(slots, self.mdp.num_examples)
        rows = self._shown[slots] = self._table.find(indices, self._shown)
        self._tokens[slots] = self._table.contexts[rows]
        self._ends[slots] = self._offsets[slots] + self._table.lengths[rows]
        self._limits[slots] = self._ends[slots] + self.mdp.max_new_tokens
        if self._followed:
            prompts = self._table.prompts[rows].tolist()
            for slot, prompt in zip(slots.tolist(), prompts, strict=True):
                self._follow(slot, prompt)
        self._elapsed[slots] = 0
        self._done[slots] = False

    def _follow(self, slot: int, prompt: Prompt) -> None:
        """Start what is kept a slot only where it is asked for."""
        if self._turns is not None:
            self._turns.begin(slot, prompt, int(self._ends[slot]))
        if self.mdp.dense:
            turns = None if self._turns is None else self._turns.turns[slot]
            self._potentials[slot] = begin_potential(self.mdp, prompt, turns)
        if self.mdp.demonstrations:
            self._demonstrate(slot, prompt)
        if self.render_mode is not None:
            self._transcripts[slot] = Transcript(self.mdp.tokenizer, prompt.example.prompt)

    def _demonstrate(self, slot: int, prompt: Prompt) -> None:
        """Lay out what an expert would say in the slot's turn that begins."""
        seed, episode = int(self._seeds.seeds[slot]), int(self._seeds.episodes[slot])
        said = () if self._turns is None else self._turns.turns[slot].said
        start = int(self._answered[slot])
        room = self.mdp.max_new_tokens - start
        tokens = self.mdp.demonstration(prompt, seed, episode, said)[:room]
        self._demonstrations[slot] = -1
        self._demonstrations[slot, start : start + len(tokens)] = tokens
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
            ResetNeeded: before a reset, after a step that raised, or with slots done in "Disabled".
        """
        resetting = self._slots_to_reset()
        tokens = check_actions(actions, self.num_envs, self.mdp.tokenizer, resetting)
        self._begun = False  # Until the end: where a reward raises, only a reset helps.
        legal = self.mdp.legal[tokens]
        stopped = tokens == self.mdp.tokenizer.eos_id
        self._append(tokens, legal, resetting)
        replies: Entries | None = None
        if self._turns is not None:
            stopped, replies = self._reply(self._turns, stopped, resetting)
        ended = stopped | ~legal
        ended |= self._ends == self._limits
        truncated = self._time_is_up()
        if resetting.size:
            ended[resetting] = truncated[resetting] = False
        final = self._final_infos(ended.nonzero()[0], tokens) if ended.any() else None
        rewards = self._rewards(tokens, ended, resetting, final)
        if self.render_mode is not None:
            self._write(tokens, rewards, resetting, replies, final)
        infos = self._advance(resetting, ended | truncated, replies, final)
        self._begun = True
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

    def _reply(
        self, turns: TurnTable, stopped: NDArray[np.bool_], resetting: Slots
    ) -> tuple[NDArray[np.bool_], Entries | None]:
        """Append the replies to the turns that `stopped`; which episodes that ends, bool [N]."""
        stopped[resetting] = False
        slots = stopped.nonzero()[0]
        if not slots.size:
            return stopped, None
        texts, over = turns.end_turns(slots, self._flat, self._ends, self._limits)
        stopped[slots] = over
        if self.mdp.demonstrations:
            for slot in slots[~over].tolist():
                self._demonstrate(slot, self._table.prompts[self._shown[slot]])
        return stopped, Entries(slots, {"reply": np.array(texts, dtype=object)})

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
        rows, last = self._shown[slots], tokens[slots]
        stopped = last == self.mdp.tokenizer.eos_id
        extra: dict[str, NDArray[Any]] = {}
        if self._turns is None:
            texts, prompts = self._texts(slots), self._table.prompts[rows].tolist()
        else:
            texts, prompts, said = self._turns.finished(slots, self._flat, self._ends)
            stopped, extra = 3 * self._turns.over[slots], {"turns": said}
        scores, components = self.mdp.score(texts, prompts)
        entries = {
            "prompt": self._table.texts[rows],
            "text": np.array(texts, dtype=object),
            "score": scores,
            **components,
            "references": self._table.references[rows],
            "example": self._table.indices[rows],
            "finish_reason": FINISH_CODES[stopped + 2 * ~self.mdp.legal[last]],
            **extra,
        }
        return FinalInfos(slots, entries, scores)

    def _texts(self, slots: Slots) -> list[str]:
        """The answers of some slots."""
        ends = self._ends[slots]
        starts = self._limits[slots] - self.mdp.max_new_tokens
        spans = zip(starts.tolist(), ends.tolist(), strict=True)
        answers = np.concatenate([self._flat[start:end] for start, end in spans], dtype=np.int64)
        return self.mdp.tokenizer.decode_batch(answers, (ends - starts).tolist())

    def _advance(
        self,
        resetting: Slots,
        done: NDArray[np.bool_],
        replies: Entries | None,
        final: FinalInfos | None,
    ) -> dict[str, Any]:
        """Autoreset, and the infos of this step in Gymnasium's vector form."""
        infos: dict[str, Any] = {}
        same_step = self.autoreset_mode is AutoresetMode.SAME_STEP
        if replies is not None:
            add_entries(infos, replies.where(~done) if same_step else replies, self.num_envs)
        if not same_step:
            if resetting.size:
                self._restart(resetting)
            self._done = done
            if final is not None:
                add_entries(infos, final, self.num_envs)
        elif done.any():
            slots = np.flatnonzero(done)
            observations, inner = self._observations(), self._infos(done)
            if replies is not None:
                add_entries(inner, replies.where(done), self.num_envs)
            if final is not None:
                add_entries(inner, final, self.num_envs)
            infos["final_info"], infos["_final_info"] = inner, done.copy()
            infos["final_obs"] = np.full(self.num_envs, None, dtype=object)
            for slot in slots.tolist():
                infos["final_obs"][slot] = row_of(observations, slot)
            infos["_final_obs"] = done.copy()
            self._restart(slots)
        infos.update(self._infos(np.ones(self.num_envs, dtype=np.bool_)))
        return infos

    def _restart(self, slots: Slots) -> None:
        self._seeds.episodes[slots] += np.uint64(1)
        self._begin(slots)

    def _observations(self) -> Any:
        ids = self._tokens.astype(np.int64)
        if not self.mdp.dict_observation:
            return ids
        attention = np.arange(self.mdp.max_context) < (self._ends - self._offsets)[:, None]
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
        replies: Entries | None,
        final: FinalInfos | None,
    ) -> None:
        skipped = set(resetting.tolist())
        ended = {} if final is None else dict(zip(final.slots.tolist(), final.scores, strict=True))
        said = {} if replies is None else replies.by_slot("reply")
        for slot in self._rows.tolist():
            if slot not in skipped:
                self._transcripts[slot].add(
                    int(tokens[slot]), rewards[slot], said.get(slot), ended.get(slot)
                )

    def render(self) -> tuple[Any, ...] | None:
        """A frame a slot: strings for "ansi", uint8 [H, W, 3] for "rgb_array", else None."""
        if not self._begun:
            raise ResetNeeded("there is nothing to render before the first reset()")
        if self.render_mode == "ansi":
            return tuple(transcript.text() for transcript in self._transcripts)
        if self.render_mode == "rgb_array":
            return tuple(transcript.picture() for transcript in self._transcripts)
        return None
