"""The command line: ``textgym-agents train | evaluate | generate``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Union

import gymnasium as gym
import tyro

from textgym_agents.algorithms import ALGORITHMS, AlgorithmConfig
from textgym_agents.checkpoint import find_checkpoint, read_state
from textgym_agents.checks import require
from textgym_agents.distributed import is_first
from textgym_agents.evaluate import EvaluationResult, evaluate
from textgym_agents.policies import Episode, Policy, Sampling
from textgym_agents.policies.construction import (
    PolicyConfig,
    build_policy,
    check_fits,
    describe_policy,
    described_sampling,
    with_sampling,
)
from textgym_agents.policies.weights import load_policy
from textgym_agents.runs.atomic import refuse_folder, write_json
from textgym_agents.runs.config import TrainConfig
from textgym_agents.runs.devices import check_device, cpu_threads
from textgym_agents.runs.environments import VectorEnv, make_envs
from textgym_agents.train import train

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells give it."""

Loader = Callable[[VectorEnv], Policy]
"""Makes the policy that acts in an environment."""

USER_ERRORS = (ValueError, OSError, RuntimeError, ArithmeticError, ImportError, gym.error.Error)
"""What is answered with one line, but in Python's development mode; anything else is a defect."""


@dataclass(frozen=True, kw_only=True)
class TrainCommand:
    """Train a policy; the options are those of the run, of the policy and of the algorithm."""

    run: tyro.conf.OmitArgPrefixes[TrainConfig]
    algorithm: Any

    def __call__(self) -> int:
        """Train, and say where the results are."""
        algorithm: AlgorithmConfig = self.algorithm
        result = train(self.run, algorithm)
        status = INTERRUPTED if result.interrupted else 0
        if not is_first():
            return status
        ended = "interrupted" if result.interrupted else "finished"
        print(
            f"{ended} after {result.iteration} iterations, {result.steps} steps; "
            f"checkpoint: {result.checkpoint}"
        )
        if result.interrupted:
            print("continue with the same command and --resume")
        return status


@dataclass(frozen=True, kw_only=True)
class ActingCommand:
    """What commands that let a policy act have in common."""

    # A run's output folder (its newest checkpoint), or one checkpoint's; None: a model is named.
    checkpoint: tyro.conf.Positional[Path | None] = None

    # Instead of a checkpoint, a language model that was not trained here, such as that from which
    # training starts: its name or folder for transformers, or "bundled". Needs an env_id.
    model: str | None = None

    # Gymnasium id; None: the one it was trained in.
    env_id: str | None = None

    # Keyword arguments of the environment, besides or instead of those of training (where the id
    # is left alone); JSON, as in '{"split": "test"}'.
    env_kwargs: dict[str, Any] = field(default_factory=dict)

    # Environments that run side by side. Higher: faster, more memory.
    num_envs: int = 16

    # Everything random follows from it; 0 or more.
    seed: int = 0

    # Take the most probable action at each step instead of sampling.
    deterministic: bool = False

    # Divides the logits; above 0; None: as trained. Lower: closer to the most probable action.
    temperature: float | None = None

    # Only the k most probable actions stay; 0: all; None: as trained.
    top_k: int | None = None

    # Only the most probable actions that reach this probability together stay; 1: all; None: as
    # trained.
    top_p: float | None = None

    # Only actions at least so many times as probable as the most probable one stay, 0 to 1; 0: all;
    # None: as trained.
    min_p: float | None = None

    # Probability of a legal action drawn uniformly instead; below 1; None: as trained.
    epsilon: float | None = None

    # Torch device of the policy.
    device: str = "cpu"

    # Torch's CPU threads; 0 leaves them.
    threads: int = 0

    def run(self, num_episodes: int, best_of: int = 1) -> EvaluationResult:
        """Load the policy and let it act for so many episodes."""
        require("num_episodes", num_episodes, least=1)
        require("best_of", best_of, least=1)
        check_device(self.device)
        env_id, kwargs, load = self._named() if self.model else self._trained()
        num_envs = min(self.num_envs, num_episodes * best_of)
        with cpu_threads(self.threads), closing(make_envs(env_id, num_envs, kwargs)) as envs:
            policy = load(envs)
            policy.check_observations(envs.single_observation_space)
            return evaluate(
                envs,
                policy.to(self.device),
                num_episodes=num_episodes,
                seed=self.seed,
                deterministic=self.deterministic,
                best_of=best_of,
            )

    def _trained(self) -> tuple[str, dict[str, Any], Loader]:
        """The environment of a checkpoint, its arguments, and what loads the policy for it."""
        if self.checkpoint is None:
            raise ValueError("name a checkpoint or a run's output folder, or a --model")
        checkpoint = find_checkpoint(self.checkpoint)
        state = read_state(checkpoint)
        description = with_sampling(state.policy, self._sampling(described_sampling(state.policy)))

        def load(envs: VectorEnv) -> Policy:
            check_fits(description, envs)
            return load_policy(description, checkpoint)

        env_id = self.env_id or state.train_config["env_id"]
        return env_id, {**self._trained_kwargs(state.train_config), **self.env_kwargs}, load

    def _named(self) -> tuple[str, dict[str, Any], Loader]:
        """The same of a model."""
        if self.checkpoint is not None:
            raise ValueError(
                f"the checkpoint {self.checkpoint} and the model {self.model} cannot both act: "
                "name one of them"
            )
        if self.env_id is None:
            raise ValueError(f"--model {self.model} needs an --env-id, in which it is to act")
        config = PolicyConfig(model=self.model, **asdict(self._sampling(Sampling())))
        return (
            self.env_id,
            self.env_kwargs,
            lambda envs: build_policy(describe_policy(config, envs, self.seed)),
        )

    def _trained_kwargs(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The environment arguments of training's evaluations, for the same environment."""
        if self.env_id not in (None, config["env_id"]):
            return {}
        return {**config["env_kwargs"], **config["eval_env_kwargs"]}

    def _sampling(self, usual: Sampling) -> Sampling:
        asked = {part.name: getattr(self, part.name) for part in fields(Sampling)}
        given = {name: value for name, value in asked.items() if value is not None}
        return replace(usual, **given)


@dataclass(frozen=True, kw_only=True)
class EvaluateCommand(ActingCommand):
    """Measure a policy: mean return (and scores) with 95% intervals."""

    # Episodes. Lower: faster. Higher: narrower intervals.
    num_episodes: int = 200

    # Tries from each start, of which the one with the highest return counts; divides num_envs.
    # Higher: what the reward alone can do for the policy, at as many times the cost.
    best_of: int = 1

    # A JSON file for the numbers; None: they are printed only.
    output: Path | None = None

    def __call__(self) -> int:
        """Print, and write, the estimates."""
        if self.output is not None:
            refuse_folder(self.output)
        result = self.run(self.num_episodes, self.best_of)
        own = {"return": result.returns, "episode_length": result.length}
        estimates = own | result.scores | own  # A score does not take the place of another number.
        for name, estimate in estimates.items():
            print(
                f"{name}: {estimate.mean:.4f}  95% [{estimate.low:.4f}, {estimate.high:.4f}]  "
                f"std {estimate.std:.4f}  n {estimate.count}"
            )
        if self.output is not None:
            write_json(self.output, {name: asdict(value) for name, value in estimates.items()})
        return 0


@dataclass(frozen=True, kw_only=True)
class GenerateCommand(ActingCommand):
    """Show episodes of a policy: the texts, where there are texts."""

    # Episodes to show.
    num_episodes: Annotated[int, tyro.conf.arg(aliases=("-n",))] = 5

    def __call__(self) -> int:
        """Print each episode's return and what its final info says in words."""
        for number, episode in enumerate(self.run(self.num_episodes).episodes, 1):
            print(f"--- {number}: return {episode.total_reward:.4f}, {episode.num_steps} steps")
            for name, words in shown(episode).items():
                print(f"{name}: {words}")
        return 0


def shown(episode: Episode) -> dict[str, str]:
    """The strings, and lists of strings, of an episode's final info, by name."""
    words = {}
    for name, value in episode.info.items():
        if isinstance(value, str):
            words[name] = value.strip()
        elif isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
            words[name] = " | ".join(item.strip() for item in value)
    return words


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: The arguments; None: those of the process.

    Returns:
        The exit status: 0; 1 after an error, which standard error names in a line; 130 after
        Ctrl-C. Wrong usage exits with 2.
    """
    command: Any = tyro.cli(
        commands(),
        prog="textgym-agents",
        description="Train, measure and try policies in any Gymnasium environment. Errors are one "
        "line; with PYTHONDEVMODE=1 they show where they come from.",
        args=argv,
        registry=_json_registry(),
        config=(tyro.conf.OmitSubcommandPrefixes,),
    )
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # For "module:name"; python -m has it there, too.
    try:
        status: int = command()
    except USER_ERRORS as error:
        if sys.flags.dev_mode:
            raise
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    return status


def commands() -> Any:
    """The type that tyro parses: one of the commands; training has one an algorithm."""
    union: Any = Union
    flat: Any = tyro.conf.OmitArgPrefixes
    algorithms = []
    for name, (_, config) in ALGORITHMS.items():
        made = make_dataclass(
            f"Train_{name}",
            [("algorithm", flat[config])],
            bases=(TrainCommand,),
            frozen=True,
            kw_only=True,
        )
        made.__doc__ = config.__doc__
        algorithms.append(Annotated[made, tyro.conf.subcommand(name=name)])
    described = tyro.conf.subcommand(name="train", description="Train a policy by an algorithm.")
    return union[
        Annotated[union[tuple(algorithms)], described],
        Annotated[EvaluateCommand, tyro.conf.subcommand(name="evaluate")],
        Annotated[GenerateCommand, tyro.conf.subcommand(name="generate")],
    ]


def _json_registry() -> tyro.constructors.ConstructorRegistry:
    """Reads a mapping from one JSON object."""
    registry = tyro.constructors.ConstructorRegistry()

    @registry.primitive_rule
    def json_object(
        info: tyro.constructors.PrimitiveTypeInfo,
    ) -> tyro.constructors.PrimitiveConstructorSpec[dict[str, Any]] | None:
        if info.type != dict[str, Any]:
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="JSON",
            instance_from_str=lambda args: parse_object(args[0]),
            is_instance=lambda instance: isinstance(instance, dict),
            str_from_instance=lambda instance: [json.dumps(instance)],
        )

    return registry


def parse_object(text: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ValueError: It is not JSON, or no object; says where.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"not JSON at character {error.pos} ({error.msg}): {text!r}; an example is "
            '{"reward": "bleu"}'
        ) from error
    if not isinstance(value, dict):
        raise ValueError(f'a JSON object is wanted, as {{"reward": "bleu"}}; got {text!r}')
    return value


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__
