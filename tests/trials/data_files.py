"""Data files of every format from rows, and jobs' tasks that read them."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lexmove.job.spec import FilesSpec, TaskSpec


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    """Writes rows in the format of the path's ending; returns the path as a job has it."""
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


def spec(
    train: str, validation: str | None = None, test: str | None = None, **fields: Any
) -> TaskSpec:
    """The task of these files, with other fields of `TaskSpec` by name."""
    return TaskSpec(files=FilesSpec(train=train, validation=validation, test=test), **fields)
