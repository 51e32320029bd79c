"""Train the bundled byte-level BPE on the text of the bundled tasks.

    python scripts/train_tokenizer.py [--vocab-size 1536] [--output textgym/data/bpe.json]

The same text gives the same file.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from textgym.tasks import load_task

ROOT = Path(__file__).resolve().parents[1]
EOS_TOKEN, PAD_TOKEN = "<|endoftext|>", "<|pad|>"
LEVELS = ("easy", "medium", "hard")
EXAMPLES_PER_LEVEL = 5_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vocab-size", type=int, default=1536, help="entries, specials included")
    parser.add_argument("--output", type=Path, default=ROOT / "textgym" / "data" / "bpe.json")
    arguments = parser.parse_args()
    tokenizer = train(task_texts(), arguments.vocab_size)
    unfinished = arguments.output.with_suffix(".tmp")
    unfinished.write_text(tokenizer.to_str(pretty=False), encoding="utf-8")
    unfinished.replace(arguments.output)
    print(f"{arguments.output}: {tokenizer.get_vocab_size()} entries")


def train(texts: Iterator[str], vocab_size: int) -> Tokenizer:
    """Return a byte-level BPE: two special tokens, all 256 bytes, then merges."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[EOS_TOKEN, PAD_TOKEN],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def task_texts() -> Iterator[str]:
    """Yield prompts and references of the training splits."""
    pairs = load_task("pairs")
    for index in range(pairs.num_examples("train")):
        example = pairs.example(index)
        # A hundred pairs, repeated: they weigh about as much as one level of Translation.
        yield from (example.prompt, *example.references) * 50
    for level in LEVELS:
        task = load_task("translation", level=level)
        for index in range(EXAMPLES_PER_LEVEL):
            example = task.example(index)
            yield from (example.prompt, *example.references[:2])


if __name__ == "__main__":
    main()
