"""What a training run is: its configuration, and which of it a resumed run may change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from textgym_agents.checks import require
from textgym_agents.policies.construction import PolicyConfig


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training run: environment, length, seed, and where it is recorded."""

    # Gymnasium id; "module:Name-v0" imports the module first, as in
    # textgym:textgym/Translation-v0.
    env_id: str

    # Folder for the log, the checkpoints and the results of this run.
    output: Path

    # Keyword arguments of the environment; on the command line a JSON object,
    # as in '{"reward": "bleu"}'.
    env_kwargs: dict[str, Any] = field(default_factory=dict)

    # Environment steps (tokens, for text) to train for; the batch that reaches it is the last.
    # Higher: longer.
    total_steps: int = 100_000

    # Environments that run side by side, in all processes together. Lower: noisier steps. Higher:
    # better batches, slower ones.
    num_envs: int = 16

    # Iterations between resets of the environments, with an algorithm's steps_per_env: in between,
    # an episode that these steps cut goes on in the next batch, so that late states of long
    # episodes are seen (a2c, ppo, nlpo and trpo). 1: every batch begins with new episodes. Higher:
    # as many batches in a row; a checkpoint then keeps their actions, which a resumed run takes
    # again. An episode that a reset ends has no part in return_mean.
    resets_every: int = 1

    # Everything random in the run follows from it; 0 or more.
    seed: int = 0

    # Stop once the mean return (of evaluations, where eval_interval is on) reaches this. Needs
    # evaluations where batches do not show the policy's own whole episodes: with mle, and with
    # steps_per_env.
    target_return: float | None = None

    # Stop after the iteration in which so many seconds are over, counted anew in a resumed run;
    # None: no limit. A run stopped by it is as long as the machine is fast.
    max_seconds: float | None = None

    # Iterations between evaluations; before and after training, too. 0: none. Lower: a finer
    # curve, more time.
    eval_interval: int = 0

    # Episodes an evaluation. Lower: faster. Higher: narrower intervals.
    eval_episodes: int = 64

    # Keyword arguments that evaluation environments have besides, or instead; JSON,
    # as in '{"split": "validation"}'.
    eval_env_kwargs: dict[str, Any] = field(default_factory=dict)

    # Iterations between checkpoints; at the beginning, at the end and at Ctrl-C there is always
    # one. Lower: less is lost. Higher: less time spent.
    checkpoint_interval: int = 100

    # The newest checkpoints that stay; 1 or more.
    keep_checkpoints: int = 3

    # A run or checkpoint whose policy training starts from (a warm start). The network is then
    # that policy's; the sampling options still hold, and so do a language model's critic, adapter
    # (one that the checkpoint has is merged into its model) and precision.
    init: Path | None = None

    # Continue the run in the output folder from its last checkpoint, bit for bit on a CPU with as
    # many threads.
    resume: bool = False

    # The policy.
    policy: PolicyConfig = field(default_factory=PolicyConfig)

    # Torch device of the policy: cpu, cuda, cuda:1, ...; of several processes on cuda each gets its
    # own.
    device: str = "cpu"

    # Let each of several processes keep Adam's moments of a share of the weights. Off: a step has
    # less to exchange. On: the moments take as much less memory as there are processes.
    shard_optimizer: bool = False

    # Let each of several processes keep a share of the weights, of their gradients and of Adam's
    # moments (PyTorch's fully_shard), whether shard_optimizer is on or not. Off: a pass has less to
    # exchange. On: all of it takes as much less memory as there are processes, but that layers are
    # whole while they compute (in bf16 until the backward pass is over, unless they are computed
    # again by gradient_checkpointing), embeddings and heads while an update does, and all weights
    # during a rollout, an evaluation and a checkpoint (twice where a reference begins or is saved);
    # nlpo's masking policy stays whole. Not for trpo, which computes with whole vectors.
    shard_weights: bool = False

    # Torch's CPU threads; 0 leaves them. More than there are free cores slows down a lot.
    threads: int = 0

    # Write events for TensorBoard.
    tensorboard: bool = True

    # Show progress on the terminal.
    progress: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "output", Path(self.output))
        object.__setattr__(self, "seed", int(self.seed))
        if self.init is not None:
            object.__setattr__(self, "init", Path(self.init))
        require("total_steps", self.total_steps, least=1)
        require("num_envs", self.num_envs, least=1)
        require("resets_every", self.resets_every, least=1)
        require("seed", self.seed, least=0)
        if self.target_return is not None:
            require("target_return", self.target_return)
        if self.max_seconds is not None:
            require("max_seconds", self.max_seconds, above=0)
        require("eval_interval", self.eval_interval, least=0)
        require("eval_episodes", self.eval_episodes, least=1)
        require("checkpoint_interval", self.checkpoint_interval, least=1)
        require("keep_checkpoints", self.keep_checkpoints, least=1)
        require("threads", self.threads, least=0)


MAY_CHANGE = frozenset(
    {
        "output",
        "total_steps",
        "env_kwargs.prompt_overflow",
        "target_return",
        "max_seconds",
        "eval_interval",
        "eval_episodes",
        "eval_env_kwargs",
        "checkpoint_interval",
        "keep_checkpoints",
        "init",
        "resume",
        "device",
        "threads",
        "tensorboard",
        "progress",
    }
)
"""Fields of `TrainConfig` that a resumed run may have otherwise.

How a prompt that is too long is cut among them: without it a run that met one could not go on.
"""


def check_same_run(asked: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    """Check that a resumed run is asked for as it was begun.

    Args:
        asked: Fields by name, as JSON.
        saved: The checkpoint's.

    Raises:
        ValueError: A field that may not change differs; names it and both values.
    """
    wanted, known = (dict(_leaves(fields)) for fields in (asked, saved))
    for name in sorted(set(wanted) | set(known)):
        values = [fields.get(name, _NOTHING) for fields in (known, wanted)]
        if name not in MAY_CHANGE and values[0] != values[1]:
            raise ValueError(
                f"the run to resume has {name} = {values[0]!r}, asked for is {values[1]!r}; ask "
                "for the same, or start a new run in another output folder (with init to start "
                "from this one's policy)"
            )


class _Nothing:
    """What a configuration has that does not name a field."""

    def __repr__(self) -> str:
        return "nothing"


_NOTHING = _Nothing()


def _leaves(fields: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """A configuration's values by name, OBJECT.NAME within an object.

    An object that is empty has none, but within another it is a value itself.
    """
    for name, value in fields.items():
        place = within + name
        whole = not isinstance(value, Mapping) or (within and not value)
        if place in MAY_CHANGE or whole:
            yield place, value
        else:
            yield from _leaves(value, f"{place}.")
