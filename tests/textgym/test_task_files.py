"""Tasks out of files and data sets: what is read, how it is split, and what errors name."""

from __future__ import annotations

import builtins
import copy
import csv
import gzip
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from textgym.tasks import SPLITS, Example, Task, load_task
from textgym.tasks.base import split_of

ROWS = [
    {"prompt": f"translate {word} now", "references": f"übersetze\n„{word}“, jetzt", "id": number}
    for number, word in enumerate(["house", "tree", "car", "dog", "sun", "moon"] * 20)
]
for _row in ROWS:
    _row["prompt"] += f" {_row['id']}"


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_jsonl_gz(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_bytes(gzip.compress("\n\n".join(map(json.dumps, rows)).encode()))


def write_json(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps(rows), encoding="utf-8")


def write_csv(path: Path, rows: list[dict[str, Any]], delimiter: str = ",") -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def write_tsv_gz(path: Path, rows: list[dict[str, Any]]) -> None:
    plain = path.with_suffix("")
    write_csv(plain, rows, "\t")
    path.write_bytes(gzip.compress(plain.read_bytes()))


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows), path)


WRITERS: dict[str, Callable[[Path, list[dict[str, Any]]], None]] = {
    "pairs.jsonl": write_jsonl,
    "pairs.jsonl.gz": write_jsonl_gz,
    "pairs.json": write_json,
    "pairs.csv": write_csv,
    "pairs.tsv.gz": write_tsv_gz,
    "pairs.parquet": write_parquet,
}


def examples(task: Task, split: str) -> list[Example]:
    return [task.example(i, split) for i in range(task.num_examples(split))]


def everything(task: Task) -> list[Example]:
    return [example for split in SPLITS for example in examples(task, split)]


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file_gives_the_same_task(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name, ROWS)
    task = load_task(str(tmp_path / name))
    plain = load_task(ROWS)
    assert task.name == name
    for split in SPLITS:
        assert [(e.prompt, e.references) for e in examples(task, split)] == [
            (e.prompt, e.references) for e in examples(plain, split)
        ]
        assert [int(e.metadata["id"]) for e in examples(task, split)] == [
            e.metadata["id"] for e in examples(plain, split)
        ]
    assert len(everything(task)) == len(ROWS)


def test_split_by_hash_is_that_of_procedural_tasks() -> None:
    task = load_task(ROWS)
    for split in SPLITS:
        assert task.num_examples(split) > 0
        assert all(split_of(example.prompt) == split for example in examples(task, split))


def test_split_by_field_knows_the_usual_names() -> None:
    names = ["train", "valid", "val", "dev", "Validation", "test_2016_flickr", "test"]
    rows = [{"prompt": name, "reference": "x", "split": name} for name in names]
    task = load_task(rows)
    assert [e.prompt for e in examples(task, "train")] == ["train\n"]
    assert [e.prompt for e in examples(task, "validation")] == [f"{n}\n" for n in names[1:5]]
    assert [e.prompt for e in examples(task, "test")] == ["test_2016_flickr\n", "test\n"]
    assert examples(task, "validation")[0].metadata == {"split": "valid"}
    ignored = load_task(rows, split_field=None)
    assert all(split_of(e.prompt) == s for s in SPLITS for e in examples(ignored, s))


def test_a_mapping_names_the_split_of_each_file(tmp_path: Path) -> None:
    for name, rows in {"a.csv": ROWS[:5], "b.jsonl": ROWS[5:7]}.items():
        WRITERS["pairs" + Path(name).suffix](tmp_path / name, rows)
    task = load_task({"train": tmp_path / "a.csv", "dev": str(tmp_path / "b.jsonl")})
    assert [task.num_examples(split) for split in SPLITS] == [5, 2, 0]


def test_all_rows_have_the_split_field_or_none() -> None:
    without = {"prompt": "a", "reference": "b"}
    rows = [without, {**without, "split": "test"}]
    with pytest.raises(ValueError, match="row 1: there is the field 'split', which the first row"):
        load_task(rows)
    with pytest.raises(ValueError, match="row 1: there is no field 'split'; fields are prompt"):
        load_task(rows[::-1])
    assert len(everything(load_task(rows, split_field=None))) == 2
    assert load_task({"test": rows}).num_examples("test") == 2


def test_what_decided_the_splits_is_told() -> None:
    row = {"prompt": "a", "reference": "b"}
    home = split_of("a\n")
    sizes = ", ".join(f"{split} {int(split == home)}" for split in SPLITS)
    empty = next(split for split in SPLITS if split != home)
    cases: list[tuple[Any, dict[str, Any], str]] = [
        ([row], {}, "; a hash of the prompt decided; a field 'split' in every row would choose"),
        ([row], {"split_field": "fold"}, "decided; a field 'fold' in every row would choose"),
        ([row], {"split_field": None}, "decided; a split_field in every row would choose"),
        ([{**row, "split": home}], {}, ""),
        ({home: [row]}, {}, ""),
    ]
    for source, options, decided in cases:
        task = load_task(source, **options)
        told = task.describe_splits()
        assert told.startswith(sizes) and told.endswith(decided)
        assert ("hash" in told) == bool(decided)
        with pytest.raises(IndexError, match=f"so many examples: {told}. Asked for was '{empty}'"):
            task.example(0, empty)


def test_a_mapping_of_other_things_than_splits_says_what_helps() -> None:
    rows = [{"prompt": "a", "reference": "b"}]
    for part in (rows, [], iter(rows), "rows.jsonl", Path("rows.jsonl")):
        with pytest.raises(ValueError, match=r"'unsupervised'; .* Leave that split out of the map"):
            load_task({"train": rows, "unsupervised": part})
    columns: list[dict[str, Any]] = [
        {"prompt": ["a"], "reference": ["b"]},
        {"prompt": {0: "a"}, "reference": {0: "b"}},  # as pandas' to_dict() has it
    ]
    for source in columns:
        with pytest.raises(ValueError, match=r"'prompt' is a column, not a split; .*from_dict\("):
            load_task(source)


def test_what_pandas_has_no_value_for_is_no_text() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"prompt": ["a", "b"], "reference": ["c", None]})
    with pytest.raises(ValueError, match=r"row 1, field 'reference': expected text .*not 'nan' \("):
        load_task(frame.to_dict("records"))
    assert len(everything(load_task(frame.dropna().to_dict("records")))) == 1


def test_datasets_objects() -> None:
    datasets = pytest.importorskip("datasets")
    dataset = datasets.Dataset.from_list(ROWS)
    assert everything(load_task(dataset)) == everything(load_task(ROWS))
    both = datasets.DatasetDict({"train": dataset, "validation": dataset.select([3, 1])})
    task = load_task(both)
    assert task.num_examples("train") == len(ROWS)
    assert [e.metadata["id"] for e in examples(task, "validation")] == [3, 1]


def test_fields_and_templates() -> None:
    rows = [{"en": "a dog", "de": ["ein Hund", "der Hund"], "tags": ["x", "y"], "year": 1999}]
    options: list[tuple[dict[str, Any], Example]] = [
        (
            {"prompt": "en", "references": "de"},
            Example("a dog\n", ("ein Hund", "der Hund"), {"tags": ["x", "y"], "year": 1999}),
        ),
        (
            {"prompt": "{{{tags}}} {year}: {en} ->", "references": ("{en}!", "de")},
            Example("{x, y} 1999: a dog ->\n", ("a dog!", "ein Hund", "der Hund"), {}),
        ),
        (
            {"prompt": "{en}\n", "references": (), "prompt_suffix": " =>"},
            Example("a dog\n =>", (), {k: rows[0][k] for k in ("de", "tags", "year")}),
        ),
        (
            {"prompt": "en", "references": ["en"], "prompt_suffix": "dog"},
            Example("a dog", ("a dog",), {k: rows[0][k] for k in ("de", "tags", "year")}),
        ),
    ]
    for arguments, expected in options:
        assert everything(load_task(rows, **arguments)) == [expected]


def test_pairs_is_bundled_and_has_every_split() -> None:
    task = load_task("pairs")
    assert len(everything(task)) == 100
    assert all(task.num_examples(split) for split in SPLITS)
    prompts = [example.prompt for example in everything(task)]
    assert len(set(prompts)) == 100 and all(prompt.endswith("\n") for prompt in prompts)


def test_copies_are_equal() -> None:
    task = load_task(ROWS)
    for other in (copy.deepcopy(task), pickle.loads(pickle.dumps(task))):
        assert everything(other) == everything(task)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.jsonl", '{"prompt": "a", "reference": "b"}\n{"prompt": \n', r"x\.jsonl, line 2: malf"),
        ("x.jsonl", '{"prompt": "a"}', r"x\.jsonl, line 1: .* no field 'references'; .* prompt$"),
        ("x.jsonl", '{"text": "a"}', r"x\.jsonl, line 1: there is no field 'prompt'; .* text$"),
        ("x.jsonl", "[1]", r"x\.jsonl, line 1: expected an object with fields, not list"),
        ("x.jsonl", '{"prompt": "a", "references": []}', r"line 1, field 'references': there are"),
        ("x.jsonl", '{"prompt": "a", "references": " "}', r"line 1, field 'references': a ref"),
        ("x.jsonl", '{"prompt": null, "references": "b"}', r"line 1, field 'prompt': .*NoneType"),
        ("x.jsonl", '{"prompt": "a", "references": [true]}', r"'references': .*\(bool\)"),
        ("x.jsonl", '{"prompt": "\\ud800", "references": "b"}', r"'prompt': half a surrogate"),
        ("x.jsonl", '{"prompt": "a", "references": "b", "split": "both"}', r"unknown split 'both'"),
        ("x.jsonl", '{"prompt": NaN, "references": "b"}', r"'prompt': .*not 'nan' \(float\)"),
        ("x.jsonl", '{"prompt": "a", "references": [Infinity]}', r"'references': .*not 'inf' \(fl"),
        ("x.jsonl", "\n", r"'x\.jsonl' has no rows"),
        ("x.json", '{"a": 1}', r"x\.json: expected a list of objects, not dict"),
        ("x.json", '[\n{"prompt": }]', r"x\.json: malformed JSON at line 2"),
        ("x.json", '[{"prompt": "a", "reference": "b"}, 3]', r"x\.json, row 2: expected an obj"),
        ("x.csv", "prompt,reference\na,b\n\nc\n", r"x\.csv, line 4: the number of cells"),
        ("x.csv", "prompt,reference\na,b,c\n", r"x\.csv, line 2: the number of cells"),
        ("x.csv", 'prompt,reference\na,"b\n', r"x\.csv, line 2: malformed"),
        ("x.csv", "prompt,reference,prompt\na,b,c\n", r"x\.csv, line 1: the column 'prompt' is th"),
        ("x.tsv", "prompt\treference\tid\tid\na\tb\t1\t2\n", r"x\.tsv, line 1: the column 'id'"),
        ("x.parquet", "PAR", r"x\.parquet: cannot be read as Parquet"),
        ("x.csv.gz", "PAR", r"x\.csv\.gz: damaged gzip"),
        ("x.txt", "a", r"unknown kind '\.txt'; known are \.jsonl"),
        ("x.parquet.gz", "a", r"unknown kind '\.parquet\.gz'"),
        ("x.jsonl", b'{"prompt": "\xff"}', r"x\.jsonl: not UTF-8 text"),
        pytest.param(
            "x.jsonl.gz",
            gzip.compress(b'{"prompt": "a", "reference": "b"}\n' * 99)[:-9],
            r"gz: damaged gzip",
            id="x.jsonl.gz cut short",  # its bytes tell the time, and so would an id made of them
        ),
    ],
)
def test_errors_name_file_line_and_field(
    name: str, content: str | bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message):
        load_task(path)


def test_missing_files_are_named_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path}/no\.jsonl does not exist"):
        load_task("no.jsonl")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(FileNotFoundError, match=r"folder\.json is a folder"):
        load_task("folder.json")


def test_a_damaged_parquet_page_is_an_error_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write_parquet(path, ROWS)
    data = bytearray(path.read_bytes())
    data[4:200] = b"\xff" * 196
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"x\.parquet: cannot be read as Parquet"):
        load_task(path)


def test_parquet_without_pyarrow_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parquet(tmp_path / "x.parquet", ROWS)
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'pip install "textgym\[data\]"'):
        load_task(tmp_path / "x.parquet")


def test_bad_arguments() -> None:
    task = load_task(ROWS)
    with pytest.raises(IndexError, match=r"splits have so many examples: train \d+, validation"):
        task.example(task.num_examples("test"), "test")
    with pytest.raises(IndexError):
        task.example(-1)
    with pytest.raises(ValueError, match="no split 'dev'; splits are train, validation, test"):
        task.num_examples("dev")
    with pytest.raises(ValueError, match=r"malformed template '\{en'"):
        load_task(ROWS, prompt="{en")
    with pytest.raises(ValueError, match=r"'\{id:03\}': only \{field\} .* the format :03 off \{id"):
        load_task(ROWS, prompt="{id:03}")
    with pytest.raises(ValueError, match=r"'\{id!r\}': only \{field\} .* conversion !r off \{id\}"):
        load_task(ROWS, references="{id!r}")
    with pytest.raises(ValueError, match=r"dataset, row 0: there is no field ''"):
        load_task(ROWS, prompt="{}")
    with pytest.raises(ValueError, match=r"row 0: expected a mapping of fields, not str"):
        load_task(["prompt"])
    with pytest.raises(TypeError, match="a task is a name, a path, a dataset or a Task"):
        load_task(3)
    with pytest.raises(TypeError, match="expected a path or rows"):
        load_task({"train": 3})
    with pytest.raises(ValueError, match="unknown split 'both'"):
        load_task({"both": ROWS})
    with pytest.raises(ValueError, match="made already"):
        load_task(task, prompt="x")
    with pytest.raises(ValueError, match="has no levels"):
        load_task(ROWS, level="easy")
