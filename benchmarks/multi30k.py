"""Multi30k, English to German: likelihood first, then policy gradient, beside its controls.

    python benchmarks/multi30k.py --data ../shared/data/task_multi30k_en_de.jsonl.gz --jobs 2
    python benchmarks/multi30k.py --device cuda --layers 6 --heads 8 --width 512 --batch 256 \
        --num-envs 512 --steps 20000000 --jobs 2 --runs runs/multi30k_large

The data are JSON lines with the fields split, en and de, gzipped or not; they are no part of this
package. With the defaults a seed takes an hour on one core. A byte-level BPE is trained on the
training split; then, with each seed:

1. A decoder from scratch, by maximum likelihood at falling step sizes, each until the loss of the
   validation split has not fallen for so many intervals; the best checkpoint is the *start*. While
   a policy acts and evaluates, its dropout is off, or its log-probabilities would not be those of
   the rollout; what keeps it from overfitting is early stopping, weight decay and its size.
2. From the start: REINFORCE with leave-one-out baselines on sentence BLEU; the same on a random
   reward; REINFORCE on a constant reward, without a baseline, since any baseline would leave
   nothing of it; and further maximum likelihood for at least as many seconds as REINFORCE took, the
   best of its checkpoints by the loss of the validation split.
3. Corpus BLEU of test 2016 by sacreBLEU, greedy and sampled. Its intervals over the seeds say what
   another training would give on these sentences; those of differences, from a bootstrap that pairs
   sentences and seeds, what another test set would as well. The start is also sampled at the
   temperature that is best on the validation split, since colder samples of a likelihood model
   score higher for nothing.

What was cut off goes on where it was, and what is finished is not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import mean
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
from corpus_bleu import Bootstrap, Interval, bleu, length_ratio, signature, statistics
from multi30k_setting import (
    Settings,
    episodes_on,
    make_tokenizer,
    references,
    texts,
    validation_loss,
)
from resuming import check_same
from tables import RESULTS, publish
from task_learning import seconds_of

from textgym_agents.algorithms import AlgorithmConfig, MaximumLikelihoodConfig, ReinforceConfig
from textgym_agents.checkpoint import CHECKPOINTS, LATEST, load_checkpoint_policy
from textgym_agents.evaluate import Estimate
from textgym_agents.loggers import read_rows
from textgym_agents.policies import Policy, Sampling
from textgym_agents.policies.construction import PolicyConfig
from textgym_agents.runs.atomic import replacing, write_json
from textgym_agents.train import TrainConfig, train

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "task_multi30k_en_de.jsonl.gz"
RATES = (2e-3, 5e-4, 1e-4)
"""Step sizes of maximum likelihood, one after another; further likelihood has the last."""
WEIGHT_DECAY = 0.1
TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0)
START = "likelihood (start)"
GRADIENT, LIKELIHOOD = "policy gradient", "further likelihood"
REWARDS: dict[str, Any] = {
    GRADIENT: {"bleu": 1.0},
    "random reward": {"bleu": 0.0, "random": 1.0},
    "constant reward": {"bleu": 0.0, "constant": 1.0},
}
"""What the arms are paid; BLEU is logged of all."""


def reinforce(settings: Settings, arm: str) -> ReinforceConfig:
    """How an arm learns from its reward."""
    return ReinforceConfig(
        learning_rate=settings.learning_rate,
        schedule="linear",
        baseline="none" if arm == "constant reward" else "leave_one_out",
        group_size=settings.group_size,
    )


def run(settings: Settings, folder: Path, algorithm: AlgorithmConfig, **options: Any) -> Path:
    """Train, or go on; the last checkpoint."""
    config = TrainConfig(
        env_id="textgym:textgym/Text-v0",
        output=folder,
        resume=(folder / CHECKPOINTS / LATEST).is_file(),
        device=settings.device,
        keep_checkpoints=1,
        tensorboard=False,
        progress=False,
        threads=1,
        **options,
    )
    result = train(config, algorithm)
    if result.interrupted:
        raise SystemExit("interrupted: the same command goes on")
    return result.checkpoint


def losses_of(folder: Path) -> list[float]:
    """The loss of the validation split after each interval of maximum likelihood."""
    path = folder / "losses.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else []


def fit(
    settings: Settings,
    folder: Path,
    rate: float,
    init: Path | None,
    *,
    seed: int,
    seconds: float | None = None,
) -> Path:
    """Maximum likelihood in intervals; the best checkpoint by the loss of the validation split.

    It ends after so many seconds, or else when the loss has not fallen for some intervals.
    """
    algorithm = MaximumLikelihoodConfig(
        learning_rate=rate, weight_decay=WEIGHT_DECAY, dropout=settings.dropout
    )
    losses = losses_of(folder)
    while not losses or not enough(settings, folder, losses, seconds):
        checkpoint = run(
            settings,
            folder,
            algorithm,
            env_kwargs=settings.env(demonstrations=True, reward="constant"),
            total_steps=(len(losses) + 1) * settings.interval,
            num_envs=settings.batch,
            seed=seed,
            init=init,
            policy=settings.policy,
        )
        policy = load_checkpoint_policy(checkpoint, settings.device)
        losses.append(validation_loss(settings, policy))
        if losses[-1] == min(losses):
            with replacing(folder / "best") as copy:
                shutil.copytree(checkpoint, copy)
        write_json(folder / "losses.json", losses)
        print(f"{folder.name}, {len(losses)} intervals: {losses[-1]:.4f} nats a token", flush=True)
    return folder / "best"


def enough(
    settings: Settings, folder: Path, losses: Sequence[float], seconds: float | None
) -> bool:
    if seconds is not None:
        return seconds_of(folder) >= seconds
    since = len(losses) - 1 - int(np.argmin(losses))
    return since >= settings.patience or len(losses) >= settings.max_intervals


def stages(settings: Settings, seed: int) -> list[Path]:
    """The folders of the likelihood runs before a start, one a step size."""
    return [settings.folder(f"likelihood-{number}", seed) for number in range(len(RATES))]


def likelihood(settings: Settings, seed: int) -> Path:
    """The start of a seed: the best of all step sizes, each from the best one before."""
    best, least = None, float("inf")
    for folder, rate in zip(stages(settings, seed), RATES, strict=True):
        checkpoint = fit(settings, folder, rate, best, seed=seed)
        if min(losses_of(folder)) < least:
            best, least = checkpoint, min(losses_of(folder))
    assert best is not None
    return best


def translate(settings: Settings, policy: Policy, folders: Sequence[Path]) -> dict[str, Any]:
    """Test 2016 in German, greedy and sampled, and how long its runs were."""
    policy.sampling = Sampling()
    return {
        "greedy": texts(episodes_on(settings, policy, "test", greedy=True)),
        "sampled": texts(episodes_on(settings, policy, "test")),
        "loss": validation_loss(settings, policy),
        "seconds": sum(seconds_of(folder) for folder in folders),
        "steps": sum(read_rows(folder / "log.jsonl")[-1]["steps"] for folder in folders),
    }


def study_start(settings: Settings, seed: int, checkpoint: Path) -> dict[str, Any]:
    """A start's translations, and those at the temperature best on the validation split."""
    path = settings.folder("start", seed) / "translations.json"
    if not path.is_file():
        path.parent.mkdir(exist_ok=True)
        policy = load_checkpoint_policy(checkpoint, settings.device)
        found = translate(settings, policy, stages(settings, seed))
        answers = references(settings, "validation")
        scores = {}
        for temperature in TEMPERATURES:
            policy.sampling = Sampling(temperature=temperature)
            samples = texts(episodes_on(settings, policy, "validation"))
            scores[temperature] = bleu(statistics(samples, answers).sum(axis=0))
        found["temperature"] = best = max(scores, key=lambda t: scores[t])
        policy.sampling = Sampling(temperature=best)
        found["colder"] = texts(episodes_on(settings, policy, "test"))
        write_json(path, found)
    return dict(json.loads(path.read_text("utf-8")))


def study(settings: Settings, arm: str, seed: int, start: Path) -> dict[str, Any]:
    """Train one arm from the start of a seed, and translate."""
    folder = settings.folder(arm, seed)
    path = folder / "translations.json"
    if not path.is_file():
        learn = further if arm == LIKELIHOOD else reinforced
        policy = load_checkpoint_policy(learn(settings, arm, seed, start), settings.device)
        write_json(path, translate(settings, policy, [folder]))
    return dict(json.loads(path.read_text("utf-8")))


def further(settings: Settings, arm: str, seed: int, start: Path) -> Path:
    """Go on with likelihood for as long as the policy gradient of the same seed took."""
    seconds = seconds_of(settings.folder(GRADIENT, seed))
    folder = settings.folder(arm, seed)
    return fit(settings, folder, RATES[-1], start, seed=1 + seed, seconds=seconds)


def reinforced(settings: Settings, arm: str, seed: int, start: Path) -> Path:
    """Learn from the arm's reward."""
    return run(
        settings,
        settings.folder(arm, seed),
        reinforce(settings, arm),
        env_kwargs=settings.env(reward=REWARDS[arm]),
        total_steps=settings.steps,
        num_envs=settings.num_envs,
        seed=1 + seed,
        init=start,
        policy=PolicyConfig(lora_rank=settings.lora_rank),
    )


def rows_of(found: dict[str, list[dict[str, Any]]], answers: Sequence[str]) -> list[dict[str, Any]]:
    """The table: greedy and sampled BLEU, and the paired differences of greedy BLEU."""

    def stats(name: str, how: str) -> Any:
        return np.stack([statistics(one[how], answers) for one in found[name]])

    greedy = {name: stats(name, "greedy") for name in found}
    chosen = Bootstrap(greedy)
    colder = (
        f"start at temperature {', '.join(sorted({str(s['temperature']) for s in found[START]}))}"
    )
    drawn = Bootstrap(
        {name: stats(name, "sampled") for name in found} | {colder: stats(START, "colder")}
    )
    rows = []
    for name, seeds in found.items():
        before, after = (
            str(chosen.difference(a, b)) if a != b else ""
            for a, b in ((name, START), (GRADIENT, name))
        )
        rows.append(
            {
                "policy": name,
                "BLEU, greedy, over seeds": str(over_seeds(chosen.seeds[name])),
                "over sentences and seeds": str(chosen.interval(name)),
                "more than the start": before,
                "policy gradient's lead": after,
                "each seed": ", ".join(f"{score:.2f}" for score in chosen.seeds[name]),
                "BLEU, sampled, over seeds": str(over_seeds(drawn.seeds[name])),
                "length / reference": f"{length_ratio(greedy[name]):.3f}",
                "validation nats a token": f"{mean(one['loss'] for one in seeds):.3f}",
                "seconds a run": f"{mean(one['seconds'] for one in seeds):.0f}",
                "tokens a run": f"{mean(one['steps'] for one in seeds):,.0f}",
            }
        )
    row = dict.fromkeys(rows[0], "") | {"policy": colder}
    rows.insert(1, row | {"BLEU, sampled, over seeds": str(over_seeds(drawn.seeds[colder]))})
    return rows


def over_seeds(scores: Sequence[float]) -> Interval:
    """The mean over the seeds, with Student's interval."""
    estimate = Estimate.of(scores)
    return Interval(estimate.mean, estimate.low, estimate.high)


def draw(settings: Settings, seeds: int, path: Path) -> None:
    """The validation loss of likelihood, and the BLEU of sampled training texts after it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = FigureCanvasAgg(figure).figure.subplots(1, 2)
    for seed in range(seeds):
        begun = 0
        for color, (folder, rate) in enumerate(zip(stages(settings, seed), RATES, strict=True)):
            losses = losses_of(folder)
            tokens = [(begun + i + 1) * settings.interval / 1e6 for i in range(len(losses))]
            label = None if seed else f"step size {rate:g}"
            left.plot(tokens, losses, f"C{color}", linewidth=1, label=label)
            begun += int(np.argmin(losses)) + 1
    left.set(xlabel="million tokens", ylabel="nats a token, validation", title="maximum likelihood")
    for color, arm in enumerate(REWARDS):
        for seed in range(seeds):
            rows = read_rows(settings.folder(arm, seed) / "log.jsonl")
            window = max(1, len(rows) // 30)
            smooth = np.convolve(
                [row["bleu"] for row in rows], np.full(window, 1 / window), "valid"
            )
            steps = [row["steps"] / 1e6 for row in rows[window - 1 :]]
            right.plot(steps, 100 * smooth, f"C{color}", label=None if seed else arm, linewidth=1)
    right.set(
        xlabel="million tokens", ylabel="sentence BLEU of samples, training", title="then REINFORCE"
    )
    for axes in (left, right):
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="JSON lines: split, en, de")
    parser.add_argument("--vocab-size", type=int, default=4000, help="entries of the BPE")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--dropout", type=float, default=0.0, help="in maximum likelihood")
    parser.add_argument("--batch", type=int, default=64, help="sentences a step of likelihood")
    parser.add_argument("--interval", type=int, default=250_000, help="tokens between validations")
    parser.add_argument("--patience", type=int, default=2, help="intervals without improvement")
    parser.add_argument("--max-intervals", type=int, default=30, help="at most, a step size")
    parser.add_argument("--steps", type=int, default=800_000, help="tokens of a REINFORCE run")
    parser.add_argument("--num-envs", type=int, default=128, help="texts a step of REINFORCE")
    parser.add_argument("--group-size", type=int, default=8, help="texts a prompt")
    parser.add_argument("--learning-rate", type=float, default=1e-4, help="of REINFORCE")
    parser.add_argument("--lora-rank", type=int, default=0, help="of REINFORCE; 0: all weights")
    parser.add_argument("--sentences", type=int, default=1014, help="at most, of a test set")
    parser.add_argument("--seeds", type=int, default=5, help="each with a start of its own")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, a core each")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--runs", type=Path, default=Path("runs/multi30k"))
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the table")
    args = parser.parse_args()
    if not args.data.is_file():
        parser.error(f"there are no data at {args.data.absolute()}: name the file with --data")
    return args


def main() -> None:
    args = arguments()
    names = Settings.__dataclass_fields__
    settings = Settings(**{name: value for name, value in vars(args).items() if name in names})
    depended_on = {k: v for k, v in vars(settings).items() if k not in ("runs", "device")}
    check_same(settings.runs, depended_on)
    make_tokenizer(settings)
    seeds = range(args.seeds)
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        trained = [pool.submit(likelihood, settings, seed) for seed in seeds]
        begun: dict[tuple[str, int], Future[dict[str, Any]]] = {}
        for seed in seeds:
            start = trained[seed].result()
            begun[START, seed] = pool.submit(study_start, settings, seed, start)
            begun[GRADIENT, seed] = pool.submit(study, settings, GRADIENT, seed, start)
        for seed in seeds:
            begun[GRADIENT, seed].result()  # How long it took is what likelihood gets.
            for arm in (LIKELIHOOD, *REWARDS):
                if arm != GRADIENT:
                    start = trained[seed].result()
                    begun[arm, seed] = pool.submit(study, settings, arm, seed, start)
        found = {
            name: [begun[name, seed].result() for seed in seeds]
            for name in (START, *REWARDS, LIKELIHOOD)
        }
    rows = rows_of(found, references(settings, "test"))
    command = f"python benchmarks/multi30k.py {' '.join(sys.argv[1:])}".rstrip()
    title = (
        f"Multi30k English-German, test 2016: a decoder of {args.layers} x {args.width} by "
        f"likelihood, then each arm for {args.steps:,} tokens"
        + (f", rewards by LoRA of rank {args.lora_rank}" if args.lora_rank else "")
        + f", with {args.seeds} seeds; "
        f"{signature()}; 95% intervals"
    )
    publish("multi30k", title, command, rows, args.output)
    draw(settings, args.seeds, args.output / "multi30k.png")


if __name__ == "__main__":
    main()
