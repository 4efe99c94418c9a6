"""Data files that `init` refuses as loading would, or for their first line, and the ways out."""

import re
import shlex
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lexmove.errors import TaskError, UsageError
from lexmove.trials.tasks.content import damage
from lexmove.trials.tasks.rows import Row, RowSource

_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars", ",": "commas"}
_DELIMITED = {".csv": ",", ".tsv": "\t"}
"""Files whose first line holds the names, and what divides them."""

_MAX_NAME = 60
"""Characters above which a column's name looks like a text."""

_RECODING = re.compile(r" \(for example: (iconv -f \S+ -t utf-8)\)")
"""How messages about another encoding say what to do, whatever the file is called."""


@contextmanager
def recoding_in_full(data: Path) -> Iterator[None]:
    """Lets messages about the encoding of a file end with commands that can be pasted.

    Raises:
        TaskError: what its body raises.
    """
    target = data.with_name(f"{data.stem}-utf8{data.suffix}")
    files = f"{shlex.quote(str(data))} > {shlex.quote(str(target))}"
    try:
        yield
    except TaskError as error:
        # A function, since a path may hold backslashes.
        said = _RECODING.sub(
            lambda found: f", for example so: {found[1]} {files} && {_go_on(target)}", str(error)
        )
        raise TaskError(said) from None


def _go_on(data: Path) -> str:
    """The command for a new file: beside the old one, `init` alone would not know which to take."""
    return f"lexmove init --data {shlex.quote(str(data))}"


def check_delimiter(data: Path, source: RowSource) -> None:
    """Raises: TaskError: a file that is divided by another mark than its ending says."""
    if data.suffix.lower() not in _DELIMITED or len(source.columns) > 1:
        return
    mark = next((mark for mark in _DELIMITERS if mark in source.columns[0]), None)
    if mark is None:
        return
    suffix = next((suffix for suffix, own in _DELIMITED.items() if own == mark), None)
    way_out = f"call it {data.with_suffix(suffix).name}" if suffix else _with_commas(data, mark)
    raise TaskError(
        f"{data}: the header looks as if the file were divided by {_DELIMITERS[mark]}: a csv is "
        f"divided by commas, a tsv by tabs; {way_out}"
    )


def _with_commas(data: Path, mark: str) -> str:
    """How to save it with commas; as texts: pandas would make 1.0 of 1, and nothing of NA."""
    how = f"sep={mark!r}, dtype=str, keep_default_na=False{_encoding(data)}"
    read = f"pandas.read_csv({str(data)!r}, {how})"
    target = data.with_name(f"{data.stem}-commas.csv")
    save = f'python -c "import pandas; {read}.to_csv({str(target)!r}, index=False)"'
    return f"save it so: {save} && {_go_on(target)}"


def _encoding(data: Path) -> str:
    """An argument of pandas where the file is no UTF-8: semicolons are from European offices."""
    try:
        with data.open(encoding="utf-8") as file:
            deque(file, maxlen=0)
    except UnicodeDecodeError:
        return ", encoding='cp1252'"
    return ""


def check_header(data: Path, cells: Mapping[str, list[Any]]) -> None:
    """A row as the first line would be lost, and the names of the columns odd.

    Raises:
        UsageError: a first line that should hold names, and looks like a row.
    """
    if data.suffix.lower() not in _DELIMITED:
        return
    for name, values in cells.items():
        is_below = any(isinstance(value, str) and value.strip() == name for value in values)
        if len(name) <= _MAX_NAME and not is_below:
            continue
        shown = repr(name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}…")
        why = "is a value further down in its column" if is_below else f"has {len(name)} characters"
        raise UsageError(
            f"{data}:1: must hold the names of the columns, but looks like a row: {shown} {why}. "
            "Put a line of names above it; if these are the names, give both --text and --label"
        )


def check_encoding(source: RowSource, rows: Sequence[Row], names: Sequence[str | None]) -> None:
    """Raises: TaskError: characters that are none in one of the columns `names`."""
    for row in rows:
        for name in names:
            value = None if name is None else row.values.get(name)
            for item in value if isinstance(value, list) else [value]:
                if reason := damage(str(item), f"column {name!r}"):
                    raise TaskError(f"{source.place}:{row.number}: {reason}")
