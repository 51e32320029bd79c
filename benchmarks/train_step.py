"""A training step of GRPO beside TRL's `GRPOTrainer`: seconds, tokens a second, and memory.

Both contenders train the same model (GPT-2 as transformers configures it, random weights) on the
same prompts with the same loss, group size, clipping, AdamW and reward, in the same precision with
as many threads. A step is a rollout, its reward, one forward and backward pass, and one optimizer
step. TRL has no reference model and no gradient checkpointing here, logs and saves nothing, and is
asked for no second pass.

How long texts get is the model's doing: its head has a bias on the logit of EOS, so that each token
ends its text with the same probability in both contenders, none (fixed lengths, the limit) or four
over the limit (geometric lengths, the mean about a quarter of the limit).

Each contender has a process of its own, in which it first rehearses on a tiny model: what it
imports late is then no part of what it takes for a step. Memory is the peak of the resident set
from the loaded model on (Linux only). The processes take turns step by step, so that both meet the
same machine; times are medians over the steps after the warm-up, ratios medians of a turn's.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import multiprocessing
import os
import re
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

from tables import RESULTS, publish
from train_step_setting import SIZES, Case, language_model, prompts, reward, tokenizer


@dataclass(frozen=True)
class Step:
    """What one training step took."""

    tokens: int
    rollout: float
    seconds: float

    @property
    def update(self) -> float:
        """Seconds of all but the rollout."""
        return self.seconds - self.rollout


class Turn:
    """A contender's side of the line: it waits for its turn and says what a step took."""

    def __init__(self, connection: Connection | None) -> None:
        self.connection = connection
        self.start = 0.0

    def begin(self) -> None:
        """Wait; then a step begins."""
        if self.connection is not None:
            self.connection.recv()
        self.start = time.perf_counter()

    def end(self, tokens: int, rollout: float) -> None:
        """A step is over, of so many useful tokens and seconds of rollout."""
        seconds = time.perf_counter() - self.start
        if self.connection is not None:
            self.connection.send(Step(tokens, rollout, seconds))


def train_ours(case: Case, turn: Turn, baseline: Callable[[], None]) -> None:
    """Steps of this package: `collect`, then `GRPO.update`."""
    import gymnasium as gym
    import numpy as np
    import torch

    from textgym_agents.algorithms import GRPO, GRPOConfig
    from textgym_agents.policies import CausalLMPolicy
    from textgym_agents.rollout import collect

    envs = gym.make_vec(
        "textgym:textgym/Text-v0",
        case.texts,
        task=[{"prompt": text, "reference": text} for text in prompts(case)],
        tokenizer=tokenizer(case),
        reward=reward,
        max_prompt_tokens=case.prompt_tokens,
        max_new_tokens=case.new_tokens,
    )
    model = language_model(case)
    baseline()
    policy = CausalLMPolicy.from_env(envs, model, precision=case.precision)
    config = GRPOConfig(group_size=case.group, learning_rate=1e-6, max_grad_norm=1.0)
    learner = GRPO(policy, config)
    for step in range(case.steps):
        rng = np.random.default_rng(step)
        seeds = np.repeat(rng.integers(2**31, size=case.prompts), case.group).tolist()
        turn.begin()
        generator = torch.Generator().manual_seed(step)
        episodes = collect(envs, learner.behaviour, seeds=seeds, generator=generator)
        rollout = time.perf_counter() - turn.start
        learner.update(episodes, rng=rng)
        turn.end(sum(episode.num_steps for episode in episodes), rollout)


def train_trl(case: Case, turn: Turn, baseline: Callable[[], None]) -> None:
    """Steps of TRL's trainer, as its own loop takes them."""
    from datasets import Dataset
    from transformers import PrinterCallback, TrainerCallback
    from trl.trainer.grpo_trainer import GRPOTrainer

    class Turns(TrainerCallback):
        """Holds each step until its turn."""

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            turn.begin()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            turn.end(*rollout)

    rollout = (0, 0.0)

    class Timed(GRPOTrainer):
        """Times the rollout with its rewards, and counts its tokens."""

        def _generate_and_score_completions(self, inputs: Any) -> Any:
            nonlocal rollout
            start = time.perf_counter()
            batch = super()._generate_and_score_completions(inputs)
            seconds = time.perf_counter() - start
            rollout = int(batch["completion_mask"].sum()), seconds
            return batch

    def rewards(completions: list[str], **_: Any) -> list[float | None]:
        return [reward(text) for text in completions]

    model = language_model(case)
    baseline()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Timed(
            model=model,
            reward_funcs=rewards,
            args=trl_config(case, folder),
            train_dataset=Dataset.from_dict({"prompt": prompts(case)}),
            processing_class=tokenizer(case),
            callbacks=[Turns()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()


def trl_config(case: Case, folder: str) -> Any:
    """The same work as ours, and nothing besides."""
    from trl.trainer.grpo_config import GRPOConfig

    return GRPOConfig(
        output_dir=folder,
        per_device_train_batch_size=case.texts,
        num_generations=case.group,
        max_completion_length=case.new_tokens,
        loss_type="grpo",
        beta=0.0,
        num_iterations=1,
        learning_rate=1e-6,
        lr_scheduler_type="constant",
        max_grad_norm=1.0,
        max_steps=case.steps,
        gradient_checkpointing=False,
        use_cpu=True,
        bf16=case.precision == "bf16",
        report_to=[],
        logging_strategy="no",
        save_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )


CONTENDERS: dict[str, Callable[[Case, Turn, Callable[[], None]], None]] = {
    "ours": train_ours,
    "TRL": train_trl,
}


def work(contender: str, case: Case, connection: Connection) -> None:
    """A process: rehearse, load the model, take the steps, and send the MiB they added."""
    import torch
    from transformers.utils import logging

    warnings.simplefilter("ignore")  # Of TRL's own settings, as what transformers logs.
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    torch.set_num_threads(case.threads)
    before = 0.0

    def note() -> None:
        nonlocal before
        before = settle()

    train = CONTENDERS[contender]
    rehearsal = replace(SIZES["tiny"], precision=case.precision, steps=2, threads=case.threads)
    train(rehearsal, Turn(None), lambda: None)
    train(case, Turn(connection), note)
    connection.send(memory("VmHWM") - before)


def settle() -> float:
    """Give back what is free, let the peak begin anew, and return the MiB held."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def memory(name: str) -> float:
    """A number of /proc/self/status, in MiB."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def measure(case: Case, warmup: int) -> dict[str, Any]:
    """Let the contenders take turns; one row of the table."""
    context = multiprocessing.get_context("spawn")
    lines: dict[str, Connection] = {}
    processes = []
    for name in CONTENDERS:
        here, there = context.Pipe()
        lines[name] = here
        processes.append(context.Process(target=work, args=(name, case, there)))
        processes[-1].start()
        there.close()  # Its end alone keeps the line open, so that its death is noticed.
    steps: dict[str, list[Step]] = {name: [] for name in CONTENDERS}
    for _ in range(case.steps):
        for name, line in lines.items():
            line.send("step")
            steps[name].append(line.recv())
    added = {name: line.recv() for name, line in lines.items()}
    for process in processes:
        process.join()
    measured = {name: taken[warmup:] for name, taken in steps.items()}
    return row(case, measured["ours"], measured["TRL"], added)


def row(case: Case, ours: list[Step], trl: list[Step], added: dict[str, float]) -> dict[str, Any]:
    """The numbers of a case."""

    def ratio(part: str) -> float:
        pairs = zip(ours, trl, strict=True)
        return float(median(getattr(b, part) / getattr(a, part) for a, b in pairs))

    def seconds(steps: list[Step], part: str) -> float:
        return float(median(getattr(step, part) for step in steps))

    def rate(steps: list[Step], part: str) -> float:
        return float(median(step.tokens / getattr(step, part) for step in steps))

    return {
        "model": case.size,
        "lengths": case.lengths,
        "precision": case.precision,
        "tokens a step": median(step.tokens for step in ours),
        "TRL's tokens a step": median(step.tokens for step in trl),
        "seconds a step": seconds(ours, "seconds"),
        "TRL's": seconds(trl, "seconds"),
        "TRL / ours": ratio("seconds"),
        "rollout, TRL / ours": ratio("rollout"),
        "update, TRL / ours": ratio("update"),
        "rollout tokens/s": rate(ours, "rollout"),
        "TRL's rollout tokens/s": rate(trl, "rollout"),
        "update tokens/s": rate(ours, "update"),
        "TRL's update tokens/s": rate(trl, "update"),
        "MiB added": added["ours"],
        "TRL's MiB added": added["TRL"],
        "memory, ours / TRL": added["ours"] / added["TRL"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["small", "gpt2"])
    parser.add_argument("--lengths", nargs="+", default=["fixed", "geometric"])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--rounds", type=int, default=7, help="steps of each that count")
    parser.add_argument("--warmup", type=int, default=2, help="steps of each that do not")
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the table")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    rows = []
    for size in arguments.sizes:
        for precision in arguments.precisions:
            for lengths in arguments.lengths:
                case = replace(
                    SIZES[size],
                    lengths=lengths,
                    precision=precision,
                    steps=arguments.warmup + arguments.rounds,
                    threads=arguments.threads,
                )
                rows.append(measure(case, arguments.warmup))
    publish(
        "train_step",
        "A training step of GRPO beside TRL's GRPOTrainer",
        f"python benchmarks/train_step.py --sizes {' '.join(arguments.sizes)} "
        f"--precisions {' '.join(arguments.precisions)} --lengths {' '.join(arguments.lengths)} "
        f"--rounds {arguments.rounds} --warmup {arguments.warmup} --threads {arguments.threads}",
        rows,
        arguments.output,
    )


if __name__ == "__main__":
    main()
