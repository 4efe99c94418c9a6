"""Parquet cells that Python cannot hold: a fault of their row, and none where nobody asks."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexmove.errors import TaskError
from lexmove.job.spec import HubSpec, TaskSpec
from lexmove.trials.tasks.rows import open_file, read_rows
from lexmove.trials.tasks.task import load_task
from trials.data_files import spec

NUM_ROWS = 40
BAD = 3
"""The position of the row with the cell that cannot be read."""

NO_TEXT = "byte 0xe9 in column 'odd' is no UTF-8 text; write the file again from texts in UTF-8"
NO_TIME = "column 'odd' holds a value of type timestamp[ms] that cannot be read: "


def broken_texts() -> pa.Array:
    texts = [b"caf\xe9" if i == BAD else f"note {i}".encode() for i in range(NUM_ROWS)]
    return pa.array(texts, pa.binary()).view(pa.string())


def far_times() -> pa.Array:
    """One of them is millions of years ahead."""
    return pa.array([10**17 if i == BAD else i for i in range(NUM_ROWS)]).cast(pa.timestamp("ms"))


ODD = {"texts": (broken_texts, NO_TEXT), "times": (far_times, NO_TIME)}


def write_odd(path: Path, kind: str) -> str:
    table = {
        "text": [f"Clause {i}." for i in range(NUM_ROWS)],
        "label": ["ab"[i % 2] for i in range(NUM_ROWS)],
        "odd": ODD[kind][0](),
    }
    pq.write_table(pa.table(table), path)
    return str(path)


@pytest.mark.parametrize("kind", ODD)
def test_a_cell_that_cannot_be_read_does_no_harm_where_nobody_asks(tmp_path, kind):
    task = load_task(spec(write_odd(tmp_path / "a.parquet", kind)))
    assert len(task.train) + len(task.validation) + len(task.test) == NUM_ROWS


@pytest.mark.parametrize("kind", ODD)
def test_a_cell_that_cannot_be_read_is_named_or_its_row_left_out(tmp_path, kind):
    path, said = write_odd(tmp_path / "a.parquet", kind), ODD[kind][1]
    with pytest.raises(TaskError) as caught:
        load_task(spec(path, text="odd"))
    assert str(caught.value).startswith(f"{path}:{BAD + 1}: {said}")
    task = load_task(spec(path, text="odd", on_bad_rows="skip"))
    assert len(task.train) + len(task.validation) + len(task.test) == NUM_ROWS - 1
    (skipped,) = task.skipped
    assert skipped.startswith(f"{path}:{BAD + 1}: {said}")


@pytest.mark.parametrize("kind", ODD)
def test_the_other_cells_of_its_row_are_read(tmp_path, kind):
    path = Path(write_odd(tmp_path / "a.parquet", kind))
    source = open_file(path)
    rows = list(source.read(source.columns))
    assert [row.number for row in rows if row.fault] == [BAD + 1]
    assert rows[BAD].values == {"text": f"Clause {BAD}.", "label": "ab"[BAD % 2]}
    assert all(len(row.values) == 3 for row in rows if row.fault is None)
    with pytest.raises(TaskError, match=rf"a\.parquet:{BAD + 1}: .*column 'odd'"):
        read_rows(path)


def test_a_cell_of_a_hub_dataset_that_cannot_be_read_is_a_bad_row_too(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "hub").mkdir()
    write_odd(tmp_path / "hub" / "train.parquet", "times")
    hub = HubSpec(id=str(tmp_path / "hub"), validation=None, test=None)
    assert not load_task(TaskSpec(hub=hub)).skipped
    task = load_task(TaskSpec(hub=hub, text="odd", on_bad_rows="skip"))
    (skipped,) = task.skipped
    assert f"train:{BAD + 1}: {NO_TIME}" in skipped


def test_a_parquet_without_rows_is_refused(tmp_path):
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "a.parquet")
    with pytest.raises(TaskError, match=r"a\.parquet: holds no rows, only the names of columns"):
        open_file(tmp_path / "a.parquet")
