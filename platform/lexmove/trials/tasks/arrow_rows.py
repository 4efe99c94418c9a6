"""Rows of Arrow tables as Python objects; a cell that has none is a fault of its row alone.

Arrow keeps what Python cannot hold: texts that are no UTF-8, and times beyond Python's calendar.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_UNFIT = (ValueError, OverflowError)
"""What Arrow raises for a value that has no like in Python."""


def python_rows(table: "pa.RecordBatch | pa.Table") -> Iterator[tuple[dict[str, Any], str | None]]:
    """The cells of every row that can be read, by column, and why others cannot, if so."""
    try:
        rows = table.to_pylist()
    except _UNFIT:
        yield from (_cells(table, at) for at in range(table.num_rows))
    else:
        yield from ((values, None) for values in rows)


def _cells(table: "pa.RecordBatch | pa.Table", at: int) -> tuple[dict[str, Any], str | None]:
    values: dict[str, Any] = {}
    fault = None
    for name, column in zip(table.schema.names, table.columns, strict=True):
        try:
            values[name] = column[at].as_py()
        except _UNFIT as error:
            fault = fault or _fault(name, str(column.type), error)
    return values, fault


def _fault(column: str, kind: str, error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        byte = error.object[error.start]
        return (
            f"byte 0x{byte:02x} in column {column!r} is no UTF-8 text; write the file again from"
            " texts in UTF-8, or drop the row"
        )
    reason = str(error).partition("\n")[0].rstrip(".")
    return (
        f"column {column!r} holds a value of type {kind} that cannot be read: {reason}; mend it,"
        " or drop the row"
    )
