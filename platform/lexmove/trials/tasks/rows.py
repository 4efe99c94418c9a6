"""Rows of a user's file, csv, tsv, jsonl, json or parquet, each with its place for messages."""

import csv
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lexmove.errors import TaskError


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row by column name; `number` is its line in a text file (from 1), else its row."""

    number: int
    values: dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """All rows of a file, its format by its ending.

    Raises:
        TaskError: no such file, an unknown ending, another encoding than UTF-8, no valid csv,
            JSON or parquet, or no rows.
    """
    if not path.is_file():
        raise TaskError(f"{path}: no such file; paths are relative to where lexmove runs")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise TaskError(f"{path}: unknown file type; known: {', '.join(READERS)}")
    try:
        rows = list(reader(path))
    except UnicodeDecodeError as error:
        raise TaskError(_broken_encoding(path, error)) from None
    except OSError as error:
        raise TaskError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not rows:
        raise TaskError(f"{path}: holds no rows")
    return rows


def _broken_encoding(path: Path, error: UnicodeDecodeError) -> str:
    data = path.read_bytes()
    # The decoder counts from the start of its own buffer: look for the bytes in the whole file.
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as whole:
        error = whole
    line = data.count(b"\n", 0, error.start) + 1
    return (
        f"{path}:{line}: byte 0x{data[error.start]:02x} is no UTF-8 text; save the file as UTF-8"
        " (for example: iconv -f cp1252 -t utf-8)"
    )


def _read_delimited(path: Path, delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)  # the default refuses texts over 128 KiB
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=delimiter, strict=True)
        before = 1
        try:
            for values in reader:
                if None in values:
                    raise TaskError(
                        f"{path}:{reader.line_num}: more fields than the header has columns;"
                        " put texts that hold the delimiter in double quotes"
                    )
                yield Row(number=before + 1, values=values)
                before = reader.line_num
        except csv.Error as error:
            raise TaskError(f"{path}:{reader.line_num}: no valid csv: {error}") from None


def _read_csv(path: Path) -> Iterator[Row]:
    return _read_delimited(path, ",")


def _read_tsv(path: Path) -> Iterator[Row]:
    return _read_delimited(path, "\t")


def _read_jsonl(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield Row(number=number, values=_object(path, number, line))


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise TaskError(f"{path}:{number}:{error.colno}: no valid JSON: {error.msg}") from None
    if not isinstance(value, dict):
        raise TaskError(f"{path}:{number}: a line must be an object: {{column: value, …}}")
    return value


def _read_json(path: Path) -> Iterator[Row]:
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise TaskError(
            f"{path}:{error.lineno}:{error.colno}: no valid JSON: {error.msg}"
        ) from None
    if not isinstance(data, list) or not all(isinstance(value, dict) for value in data):
        raise TaskError(f"{path}: must hold a list of objects: [{{column: value, …}}, …]")
    return (Row(number=number, values=value) for number, value in enumerate(data, start=1))


def _read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        data = pq.read_table(path).to_pylist()
    except pa.ArrowException as error:
        raise TaskError(f"{path}: no valid parquet: {error}") from None
    return (Row(number=number, values=value) for number, value in enumerate(data, start=1))


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".parquet": _read_parquet,
}
"""File formats by ending."""
