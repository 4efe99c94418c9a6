"""Rows of a user's file, csv, tsv, jsonl, json or parquet, each with its place for messages.

Files are read as streams: no format is held in memory as a whole. Bytes that are no UTF-8 stay in
their cells as lone surrogates, so that whoever looks at a cell can name its row and column.
"""

import csv
import json
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any

from lexmove.errors import TaskError
from lexmove.trials.tasks.arrow_rows import python_rows
from lexmove.trials.tasks.content import check_content, damage
from lexmove.trials.tasks.json_list import json_list

_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars", ",": "commas"}

_HEAD = 100
"""Rows that are read ahead to learn the columns of a file that does not list them."""

_BATCH = 1024
"""Rows of a parquet file that are decoded at once."""

_BUFFER = 2**20
"""Bytes of a parquet column that are loaded at once."""

_BOM = "\ufeff"
"""The mark with which some programs begin a UTF-8 text, or each part of what they join to one."""

_LIST_EXPECTED = "must hold a list of objects: [{column: value, …}, …]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row by column name; `number` is its line in a text file (from 1), else its row.

    `fault` says why nothing of it, or not all, could be read, if so.
    """

    number: int
    values: dict[str, Any]
    fault: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSource:
    """Where rows come from: `place` names it in messages, `read` streams the columns asked for.

    `columns` is empty where no row could be read to learn them from.
    """

    place: str
    columns: tuple[str, ...]
    read: Callable[[Collection[str]], Iterator[Row]]


def read_rows(path: Path) -> list[Row]:
    """All rows of a file with all their columns, its format by its ending.

    Raises:
        TaskError: as `open_file`, or a row that cannot be read.
    """
    source = open_file(path)
    rows = list(source.read(source.columns))
    for row in rows:
        if row.fault is not None:
            raise TaskError(f"{source.place}:{row.number}: {row.fault}")
    return rows


def open_file(path: Path) -> RowSource:
    """The rows of a file, to be read one by one, its format by its ending.

    Raises:
        TaskError: no such file, an unknown ending, content of another kind, another encoding than
            UTF-8, no valid csv, JSON or parquet, or no rows. Reading the rows raises it, too.
    """
    if path.is_dir():
        raise TaskError(f"{path}: is a folder, not a file; a folder of data goes into task.hub.id")
    if not path.is_file():
        raise TaskError(f"{path}: no such file; paths are relative to where lexmove runs")
    opener = READERS.get(path.suffix.lower())
    if opener is None:
        way_out = _WAYS_OUT.get(path.suffix.lower(), "")
        raise TaskError(f"{path}: unknown file type; known: {', '.join(READERS)}{way_out}")
    with _explained(path):
        if opener is not _open_parquet:
            check_content(path)
        source = opener(path)
        if next(source.read(()), None) is None:
            raise TaskError(f"{path}: holds no rows, only the names of columns")
    return RowSource(
        place=source.place, columns=source.columns, read=partial(_read_explained, path, source)
    )


def check_distinct(place: str, columns: Collection[str]) -> None:
    """Raises: TaskError: two columns of one name."""
    name, times = Counter(columns).most_common(1)[0]
    if times > 1:
        raise TaskError(
            f"{place}: column {name!r} stands {times} times in the header; give every column a name"
            " of its own"
        )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TaskError(f"{path}: cannot be read: {error.strerror or error}") from None


def _read_explained(path: Path, source: RowSource, wanted: Collection[str]) -> Iterator[Row]:
    with _explained(path):
        yield from source.read(wanted)


def _opened(path: Path, *, newline: str | None = None) -> TextIOWrapper:
    """The text of a file behind its mark of UTF-8, or several of them."""
    file, mark = path.open("rb"), _BOM.encode()
    while file.peek(len(mark)).startswith(mark):
        file.read(len(mark))
    return TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline=newline)


def _open_delimited(delimiter: str, path: Path) -> RowSource:
    header = next(_fields(path, delimiter), (1, []))[1]
    names = [name.replace(_BOM, "").strip() for name in header]
    for name in names:
        if reason := damage(name, "the header"):
            raise TaskError(f"{path}:1: {reason}")
    # Spreadsheets and data frames write columns without a name; nobody can ask for them.
    columns = tuple(name for name in names if name)
    if not columns:
        raise TaskError(f"{path}:1: no column has a name; the first line must hold the names")
    check_distinct(f"{path}:1", columns)
    return RowSource(
        place=str(path), columns=columns, read=partial(_delimited_rows, path, delimiter, names)
    )


def _delimited_rows(
    path: Path, delimiter: str, names: list[str], wanted: Collection[str]
) -> Iterator[Row]:
    places = [(at, name) for at, name in enumerate(names) if name in wanted and name]
    for number, fields in islice(_fields(path, delimiter), 1, None):
        if len(fields) > len(names):
            fault = (
                f"more fields than the header has columns ({len(fields)}, not {len(names)});"
                " put texts that hold the delimiter in double quotes"
            )
            yield Row(number=number, values={}, fault=fault)
        elif fields:
            values = {name: fields[at] for at, name in places if at < len(fields)}
            yield Row(number=number, values=values)


def _fields(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The fields of every record, and the line on which it begins."""
    csv.field_size_limit(sys.maxsize)  # the default refuses texts over 128 KiB
    with _opened(path, newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        begins, header = 1, [""]
        try:
            for fields in reader:
                header = fields if begins == 1 else header
                yield begins, fields
                begins = reader.line_num + 1
        except csv.Error as error:
            kind = "csv" if delimiter == "," else "tsv"
            hint = (
                "; look for a double quote that is not closed, or not doubled within a quoted text"
            )
            raise TaskError(
                f"{path}:{begins}: no valid {kind}: {error}{other_delimiter(header) or hint}"
            ) from None


def other_delimiter(columns: Sequence[str]) -> str:
    """A hint at what divides a file whose header has a single column; empty without one."""
    found = [name for mark, name in _DELIMITERS.items() if mark in columns[0]]
    if len(columns) > 1 or not found:
        return ""
    return (
        f"; the header looks as if the file were divided by {found[0]}: a csv is divided by commas,"
        " a tsv by tabs"
    )


def _open_objects(
    read: Callable[[Path, Collection[str] | None], Iterator[Row]], path: Path
) -> RowSource:
    """A file whose rows name their columns themselves."""
    head = list(islice(read(path, None), _HEAD))
    if not head:
        raise TaskError(f"{path}: holds no rows")
    columns = tuple(dict.fromkeys(name for row in head for name in row.values))
    return RowSource(place=str(path), columns=columns, read=partial(read, path))


def _jsonl_rows(path: Path, wanted: Collection[str] | None) -> Iterator[Row]:
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _jsonl_row(number, line, wanted)


def _jsonl_row(number: int, line: str, wanted: Collection[str] | None) -> Row:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        hint = "; a list goes into a .json file" if line.strip() == "[" else ""
        fault = f"no valid JSON at character {error.colno} of the line: {error.msg}{hint}"
        return Row(number=number, values={}, fault=fault)
    except (RecursionError, ValueError) as error:
        return Row(number=number, values={}, fault=f"no valid JSON: {error}")
    return _row(number, value, "a line must be an object: {column: value, …}", wanted)


def _json_rows(path: Path, wanted: Collection[str] | None) -> Iterator[Row]:
    with _opened(path) as file:
        for number, value in enumerate(json_list(path, file, _LIST_EXPECTED), start=1):
            yield _row(number, value, _LIST_EXPECTED, wanted)


def _row(number: int, value: object, rule: str, wanted: Collection[str] | None) -> Row:
    if not isinstance(value, dict):
        fault = f"{rule}; this one is of type {type(value).__name__}"
        return Row(number=number, values={}, fault=fault)
    if wanted is not None:
        value = {name: value[name] for name in wanted if name in value}
    return Row(number=number, values=value)


def _open_parquet(path: Path) -> RowSource:
    import pyarrow.parquet as pq

    with _valid_parquet(path), pq.ParquetFile(path) as file:
        columns = tuple(file.schema_arrow.names)
    check_distinct(str(path), columns)
    return RowSource(place=str(path), columns=columns, read=partial(_parquet_rows, path))


def _parquet_rows(path: Path, wanted: Collection[str]) -> Iterator[Row]:
    import pyarrow.parquet as pq

    number = 0
    # By default, whole columns of a row group are loaded ahead.
    how = {"pre_buffer": False, "buffer_size": _BUFFER}
    with _valid_parquet(path), pq.ParquetFile(path, **how) as file:
        for batch in file.iter_batches(_BATCH, columns=list(wanted), use_threads=False):
            for values, fault in python_rows(batch):
                number += 1
                yield Row(number=number, values=values, fault=fault)


@contextmanager
def _valid_parquet(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = str(error).partition("\n")[0].rstrip(".")
        raise TaskError(
            f"{path}: no valid parquet: {reason}; it may be cut off: make or copy it again"
        ) from None


READERS: dict[str, Callable[[Path], RowSource]] = {
    ".csv": partial(_open_delimited, ","),
    ".tsv": partial(_open_delimited, "\t"),
    ".jsonl": partial(_open_objects, _jsonl_rows),
    ".json": partial(_open_objects, _json_rows),
    ".parquet": _open_parquet,
}
"""File formats by ending."""

_WAYS_OUT = {
    ".xlsx": "; save the sheet as csv (UTF-8)",
    ".xls": "; save the sheet as csv (UTF-8)",
    ".ods": "; save the sheet as csv (UTF-8)",
    ".gz": "; unpack the file first (gunzip)",
    ".zip": "; unpack the file first (unzip)",
    ".bz2": "; unpack the file first (bunzip2)",
    ".xz": "; unpack the file first (unxz)",
    ".zst": "; unpack the file first (unzstd)",
    ".ndjson": "; call JSON lines .jsonl",
}
"""What to do about files of other kinds."""
