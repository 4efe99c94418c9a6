"""The user's own files: splits, and every kind of broken input by its place."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexmove.errors import TaskError
from lexmove.job.spec import FilesSpec, TaskSpec
from lexmove.trials.tasks.task import load_task

ROWS = [
    {"text": f'Clause {i}, with "quotes" and\na second line.', "label": "ab"[i % 2], "case": i // 4}
    for i in range(40)
]


def write(path, rows):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with path.open("w", newline="") as file:
            delimiter = "\t" if path.suffix == ".tsv" else ","
            writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
    return str(path)


def spec(train, validation=None, test=None, **fields):
    return TaskSpec(files=FilesSpec(train=train, validation=validation, test=test), **fields)


def all_texts(task):
    return [*task.train.texts, *task.validation.texts, *task.test.texts]


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_every_format_gives_the_same_stratified_split(tmp_path, ending):
    task = load_task(spec(write(tmp_path / f"clauses.{ending}", ROWS)))
    assert task.name == "clauses"
    assert task.labels == ("a", "b")
    assert sorted(all_texts(task)) == sorted(row["text"] for row in ROWS)
    for split, size in ((task.train, 24), (task.validation, 8), (task.test, 8)):
        assert np.bincount(split.labels).tolist() == [size // 2, size // 2]
    reference = load_task(spec(write(tmp_path / "again.json", ROWS)))
    assert task.fingerprint == reference.fingerprint


def test_given_splits_are_kept_and_missing_ones_split_off(tmp_path):
    train, test = write(tmp_path / "a.csv", ROWS[:30]), write(tmp_path / "b.csv", ROWS[30:])
    task = load_task(spec(train, test=test))
    assert task.test.texts == tuple(row["text"] for row in ROWS[30:])
    assert len(task.train) + len(task.validation) == 30
    assert 6 <= len(task.validation) <= 9
    full = load_task(spec(train, validation=test, test=test))
    assert len(full.train) == 30


def test_a_group_never_falls_on_both_sides(tmp_path):
    task = load_task(spec(write(tmp_path / "a.csv", ROWS), group="case"))
    case = {row["text"]: row["case"] for row in ROWS}
    cases = [{case[text] for text in split.texts} for split in (task.train, task.validation)]
    assert cases[0].isdisjoint(cases[1])
    assert len(task.train) == 24


def test_a_split_depends_on_the_seed_only(tmp_path):
    path = write(tmp_path / "a.csv", ROWS)
    once, again, other = (load_task(spec(path, seed=seed)) for seed in (3, 3, 4))
    assert once.fingerprint == again.fingerprint != other.fingerprint


def test_other_columns_can_be_named(tmp_path):
    rows = [{"clause": row["text"], "type": i % 2} for i, row in enumerate(ROWS)]
    task = load_task(spec(write(tmp_path / "a.json", rows), text="clause", label="type"))
    assert task.labels == ("0", "1")


def changed(index, **values):
    return [row | (values if i == index else {}) for i, row in enumerate(ROWS)]


@pytest.mark.parametrize(
    ("rows", "fields", "message"),
    [
        (ROWS, {"text": "txt"}, r"a\.jsonl: no column 'txt' for the text; did you mean 'text'\?"),
        (ROWS, {"group": "matter"}, r"no column 'matter' .*\(columns: text, label, case\)"),
        (changed(6, text="  "), {}, r"a\.jsonl:7: column 'text' is empty"),
        (changed(3, label=None), {}, r"a\.jsonl:4: column 'label' is empty"),
        (changed(3, label=["a"]), {}, r"a\.jsonl:4: column 'label' holds a list"),
        (ROWS[::2], {}, r"all labels are 'a'; a classifier needs two classes"),
        (changed(0, label="rare"), {}, r"class 'rare' has 1 example, too few to split"),
        (ROWS[:4], {"group": "case"}, r"too few groups to split off a validation split"),
        ([], {}, r"a\.jsonl: holds no rows"),
    ],
)
def test_unfit_rows_are_named_with_their_place(tmp_path, rows, fields, message):
    path = write(tmp_path / "a.jsonl", rows)
    with pytest.raises(TaskError, match=message):
        load_task(spec(path, **fields))


def test_a_class_without_training_examples_after_a_grouped_split_is_refused(tmp_path):
    rows = [
        {"text": f"t{i}", "label": "rare" if i // 4 == 9 else "ab"[i % 2], "case": i // 4}
        for i in range(40)
    ]
    for seed in range(20):
        try:
            task = load_task(spec(write(tmp_path / "a.csv", rows), group="case", seed=seed))
        except TaskError as error:
            assert "class 'rare' is empty" in str(error)  # noqa: PT017 - either outcome is right
        else:
            assert 2 in task.train.labels


def test_a_class_unseen_in_training_is_refused(tmp_path):
    train = write(tmp_path / "a.csv", ROWS)
    test = write(tmp_path / "b.jsonl", [{"text": "t", "label": "a"}, {"text": "t", "label": "c"}])
    with pytest.raises(TaskError, match=r"b\.jsonl:2: class 'c' is not among the classes"):
        load_task(spec(train, test=test))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            "text,label\nfine,a\nB\xfcrgschaft,b\n".encode("latin-1"),
            r"a\.csv:3: byte 0xfc",
        ),
        ("a.csv", b'text,label\n"open,a\n', r"a\.csv:\d: no valid csv"),
        ("a.csv", b"text,label\none, two,a\n", r"a\.csv:2: more fields than the header"),
        ("a.csv", b"text,label\nalone\n", r"a\.csv:2: column 'label' is empty"),
        ("a.jsonl", b'{"text": 1}\n{"text": \n', r"a\.jsonl:2:\d+: no valid JSON"),
        ("a.jsonl", b"[1]\n", r"a\.jsonl:1: a line must be an object"),
        ("a.json", b'{"text": "t"}', r"a\.json: must hold a list of objects"),
        ("a.json", b"[{]", r"a\.json:1:3: no valid JSON"),
        ("a.parquet", b"not parquet", r"a\.parquet: no valid parquet"),
        ("a.xlsx", b"", r"unknown file type; known: \.csv"),
    ],
)
def test_unreadable_files_say_why(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(TaskError, match=message):
        load_task(spec(str(path)))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TaskError, match=r"nowhere\.csv: no such file"):
        load_task(spec(str(tmp_path / "nowhere.csv")))
