"""Train the bundled byte-level BPE on the text of the bundled tasks.

    python scripts/train_tokenizer.py [--vocab-size 1984] [--output textgym/data/bpe.json]

The same text gives the same file.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from textgym.tasks import Example, MultiTurnTask, Task, load_task
from textgym.tasks.mixture import TEXT_TASKS

ROOT = Path(__file__).resolve().parents[1]
EOS_TOKEN, PAD_TOKEN = "<|endoftext|>", "<|pad|>"
LEVELS = ("easy", "medium", "hard")
CHARACTERS_PER_LEVEL = 300_000
SHARES = {"translation": 3}  # Two languages, and by far the most words.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vocab-size", type=int, default=1984, help="entries, specials included")
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
    """Yield prompts, answers and replies of the training splits, by the tasks' shares."""
    pairs = load_task("pairs")
    for index in range(pairs.num_examples("train")):
        example = pairs.example(index)
        # A hundred pairs, repeated: they weigh about as much as one level of a task.
        yield from (example.prompt, *example.references) * 20
    for name in TEXT_TASKS:
        for level in LEVELS:
            task = load_task(name, level=level)
            written = index = 0
            while written < CHARACTERS_PER_LEVEL * SHARES.get(name, 1):
                for text in texts_of(task, task.example(index)):
                    written += len(text)
                    yield text
                index += 1
    german = load_task("translation", direction="de-en")
    for index in range(2_000):  # Its prompts are the answers of the other direction.
        yield from german.example(index).references[:2]


def texts_of(task: Task, example: Example) -> Iterator[str]:
    """Yield what an environment encodes in an episode of an example, replies apart."""
    yield example.prompt
    if not isinstance(task, MultiTurnTask):
        yield from example.references[:2]
        return
    conversation, done = task.converse(example), False
    said: list[tuple[str, str]] = []
    while not done:
        turn = task.expert(example, said)
        reply = conversation.reply(turn)
        said.append((turn, reply.text))
        done = reply.done
        yield from (turn, reply.text)


if __name__ == "__main__":
    main()
