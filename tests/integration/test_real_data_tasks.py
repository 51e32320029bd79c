"""Published data sets load as tasks, whole, with the templates that the documentation shows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from textgym.tasks import SPLITS, load_task
from textgym.tokenizers import load_tokenizer

DATA = Path(os.environ.get("TEXTGYM_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
CASES: dict[str, tuple[dict[str, Any], list[int], str, tuple[str, ...]]] = {
    "task_multi30k_en_de": (
        {"prompt": "en", "references": "de"},
        [29_000, 1_014, 2_461],
        "Two young, White males are outside near many bushes.\n",
        ("Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche.",),
    ),
    "task_e2e_dev_test": (
        {"prompt": "mr", "references": "refs"},
        [0, 547, 630],
        "name[Alimentum], area[city centre], familyFriendly[no]\n",
        ("There is a place in the city centre, Alimentum, that is not family-friendly.",),
    ),
    "task_commongen": (
        {"prompt": "{concepts}\n", "references": "refs"},
        [32_629, 993, 1_497],
        "ski, mountain, skier\n",
        ("Skier skis down the mountain", "A skier is skiing down a mountain."),
    ),
    "task_scitldr_abstract": (
        {"prompt": "{title}\n{source}\nTL;DR:", "references": "refs", "prompt_suffix": ""},
        [1_992, 619, 618],
        "Critical Points of Linear Neural Networks: Analytical Forms and Landscape Properties\n",
        (),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_data_set_loads_whole(name: str) -> None:
    path = DATA / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    options, sizes, prompt, references = CASES[name]
    task = load_task(path, **options)
    assert [task.num_examples(split) for split in SPLITS] == sizes
    first = task.example(0, "train" if sizes[0] else "validation")
    assert first.prompt.startswith(prompt)
    assert first.references[: len(references)] == references
    tokenizer = load_tokenizer()
    for split in SPLITS:
        for index in range(0, task.num_examples(split), 97):
            example = task.example(index, split)
            assert example.references
            for text in (example.prompt, *example.references):
                assert tokenizer.decode(tokenizer.encode(text)) == text
