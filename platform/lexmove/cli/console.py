"""The two consoles: stdout is data, stderr is what happens meanwhile.

On a terminal rich draws tables; in a pipe the same rows are plain aligned lines, never cut. rich
is loaded by the first word that is said, so that `--help` need not wait for it.
"""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

SCHEMA_VERSION = 1
"""Of every JSON value that the command line writes."""

_GAP = "  "


def stdout() -> "Console":
    """Where data goes."""
    return _console(sys.stdout)


def stderr() -> "Console":
    """Where progress and messages go."""
    return _console(sys.stderr)


def _console(file: TextIO) -> "Console":
    from rich.console import Console

    return Console(file=file, highlight=False, soft_wrap=True)


def say(text: str = "", *, style: str | None = None) -> None:
    """One message to people, on stderr."""
    _print(stderr(), text, style=style)


def write(text: str = "", *, style: str | None = None) -> None:
    """One line of data, on stdout."""
    _print(stdout(), text, style=style)


def write_sentence(text: str, *, style: str | None = None) -> None:
    """A sentence for people on stdout: broken between words on a terminal, a line in a pipe."""
    from rich.text import Text

    console = stdout()
    if not console.is_terminal:
        write(text)
        return
    console.print(Text(text, style=style or ""), soft_wrap=False)


def _print(console: "Console", text: str, *, style: str | None) -> None:
    from rich.text import Text

    console.print(Text(text, style=style or ""))


def write_json(data: Any) -> None:
    """JSON on stdout; every value that JSON cannot hold is a mistake of ours."""
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[str] = (),
    bold: int | None = None,
) -> None:
    """A table on stdout: drawn on a terminal, aligned lines in a pipe.

    Args:
        headers: names of the columns; all empty for a table without a header.
        rows: the cells, one string per column.
        right: the columns whose cells end at the same place, as numbers do.
        bold: index of the row to stress on a terminal.
    """
    console = stdout()
    if console.is_terminal:
        console.print(drawn_table(headers, rows, right=right, bold=bold), soft_wrap=False)
        return
    for line in plain_table(headers, rows, right=right):
        write(line)


def drawn_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[str] = (),
    bold: int | None = None,
) -> "Table":
    """The rows as rich draws them."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=any(headers), header_style="dim", padding=(0, 2, 0, 0))
    for header in headers:
        is_number = header in right
        table.add_column(
            header, justify="right" if is_number else "left", no_wrap=is_number, overflow="fold"
        )
    for index, row in enumerate(rows):
        table.add_row(*map(Text, row), style="bold" if index == bold else None)
    return table


def plain_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()
) -> list[str]:
    """The rows as aligned lines without trailing blanks."""
    lines = [*([list(headers)] if any(headers) else []), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headers))]
    return [
        _GAP.join(
            cell.rjust(width) if header in right else cell.ljust(width)
            for header, cell, width in zip(headers, line, widths, strict=True)
        ).rstrip()
        for line in lines
    ]
