"""Train the model that the agents start from, by maximum likelihood on the bundled tasks.

    python scripts/train_bundled_model.py --output runs/bundled

A mixture of the training splits of all tasks in natural language, the experts' answers as
demonstrations, one core for under an hour. `--resume` goes on after an interruption. It writes the
model to agents/textgym_agents/data/bundled in half precision; `benchmarks/score_scales.py` then
measures what it scores and writes the model card.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from safetensors.torch import load_file, save_file

from textgym.tasks.mixture import TEXT_TASKS
from textgym.tokenizers import load_tokenizer
from textgym_agents.algorithms.mle import MaximumLikelihoodConfig
from textgym_agents.policies.construction import PolicyConfig
from textgym_agents.train import TrainConfig, train

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "agents" / "textgym_agents" / "data" / "bundled"
LEVELS = {"easy": 0.2, "medium": 0.7, "hard": 0.1}
"""How much of the mixture is of each level."""


def members() -> list[dict[str, object]]:
    """The members of the mixture: each task at each level, and translation both ways."""
    made: list[dict[str, object]] = [
        {"task": task, "level": level, "weight": weight}
        for task in TEXT_TASKS
        for level, weight in LEVELS.items()
    ]
    german = {"task": "translation", "direction": "de-en", "level": "medium", "weight": 0.3}
    return [*made, german]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("runs/bundled"))
    parser.add_argument("--total-steps", type=int, default=7_000_000, help="answer tokens")
    parser.add_argument("--target", type=Path, default=TARGET, help="folder of the model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--export", type=Path, metavar="CHECKPOINT", help="only write its model")
    args = parser.parse_args()
    if args.export is not None:
        export(args.export, args.target)
        return
    config = TrainConfig(
        env_id="textgym:textgym/Text-v0",
        env_kwargs={
            "task": "mixture",
            "task_kwargs": {"tasks": members()},
            "max_prompt_tokens": None,
            "max_new_tokens": None,
            "demonstrations": True,
            "mask_in_info": False,
            "reward": "constant",  # Likelihood needs no score.
        },
        total_steps=args.total_steps,
        num_envs=32,
        seed=0,
        output=args.output,
        policy=PolicyConfig(layers=4, heads=4, width=160),
        checkpoint_interval=250,
        threads=args.threads,
        resume=args.resume,
        tensorboard=False,
    )
    algorithm = MaximumLikelihoodConfig(learning_rate=3e-3, schedule="cosine", warmup=0.02)
    result = train(config, algorithm)
    if result.interrupted:
        raise SystemExit("interrupted: nothing was written; --resume goes on")
    export(result.checkpoint, args.target)


def export(checkpoint: Path, target: Path) -> None:
    """Write a checkpoint's model in half precision and its tokenizer, each moved into place."""
    (source,) = checkpoint.rglob("model.safetensors")
    target.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.half() for name, tensor in load_file(source).items()}
    unfinished = target / "unfinished.tmp"
    save_file(tensors, unfinished, metadata={"format": "pt"})
    unfinished.replace(target / "model.safetensors")
    config = json.loads((source.parent / "config.json").read_text("utf-8"))
    config["textgym_tokenizer"] = load_tokenizer().signature
    texts = {
        "config.json": json.dumps(config, indent=2) + "\n",
        "tokenizer.json": (ROOT / "textgym" / "data" / "bpe.json").read_text("utf-8"),
    }
    for name, text in texts.items():
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(target / name)
    print(f"{target}: {sum(t.numel() for t in tensors.values()):,} parameters")


if __name__ == "__main__":
    main()
