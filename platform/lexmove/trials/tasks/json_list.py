"""A JSON list read item by item: only as much of the file is in memory as its longest item needs.

A parse that fails is tried again with more of the file, unless it failed too early for that to
help. The buffer doubles with each try, so that a long item is parsed a few times only.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from lexmove.errors import TaskError

_CHUNK = 2**20
"""Characters that are read at once, at least."""

_LONGEST_TOKEN = 16
"""A parse that failed this far from the buffer's end did not lack the rest of a token."""

_ENDS = (",", "]", " ", "\t", "\n", "\r")
"""What follows a whole item."""

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


def json_list(path: Path, file: TextIO, rule: str) -> Iterator[Any]:
    """The items of the list that a file holds; `rule` says what it must hold.

    Raises:
        TaskError: no valid JSON, with line and column; no list.
    """
    buffer = _Buffer(path=path, file=file)
    if buffer.next_character() != "[":
        hint = "; JSON lines go into a .jsonl file" if buffer.next_character() == "{" else ""
        raise TaskError(f"{path}: {rule}{hint}")
    buffer.at += 1
    if buffer.next_character() == "]":
        buffer.at += 1
    else:
        yield from _items(buffer)
    if buffer.next_character():
        raise buffer.error("Extra data after the list", buffer.at)


def _items(buffer: "_Buffer") -> Iterator[Any]:
    while True:
        buffer.next_character()
        yield buffer.item()
        end = buffer.next_character()
        if end not in (",", "]"):
            raise buffer.error("Expecting ',' delimiter", buffer.at)
        buffer.at += 1
        if end == "]":
            return


@dataclass(slots=True, kw_only=True)
class _Buffer:
    """A window of the file: what lies before `at` is read; `line` and `column` count to its start.

    Both count from 0.
    """

    path: Path
    file: TextIO
    text: str = ""
    at: int = 0
    line: int = 0
    column: int = 0
    is_last: bool = False

    def next_character(self) -> str:
        """The next one that is no space, "" at the end of the file; `at` moves there."""
        while True:
            space = _SPACE.match(self.text, self.at)
            assert space is not None
            self.at = space.end()
            if self.at < len(self.text) or self.is_last:
                return self.text[self.at : self.at + 1]
            self._read_on()

    def item(self) -> Any:
        """The value that begins at `at`."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                if self.is_last or self._is_final(error):
                    raise self.error(error.msg, error.pos) from None
            except (RecursionError, ValueError) as error:
                raise self.error(str(error), self.at) from None
            else:
                # A number may go on behind the window: of 1.5 only "1." may be there yet.
                if self.is_last or self.text[end : end + 1] in _ENDS:
                    self.at = end
                    return value
            self._read_on()

    def error(self, reason: str, at: int) -> TaskError:
        """What is wrong at a position of the window, by its place in the file."""
        line, column = self._place_after(self.text[:at])
        return TaskError(f"{self.path}:{line + 1}:{column + 1}: no valid JSON: {reason}")

    def _is_final(self, error: json.JSONDecodeError) -> bool:
        is_open_text = error.msg.startswith("Unterminated string")
        return not is_open_text and error.pos < len(self.text) - _LONGEST_TOKEN

    def _read_on(self) -> None:
        """Drops what was read, and takes at least as much again as is left."""
        self.line, self.column = self._place_after(self.text[: self.at])
        rest = self.text[self.at :]
        more = self.file.read(max(_CHUNK, len(rest)))
        self.is_last = not more
        self.text, self.at = rest + more, 0

    def _place_after(self, before: str) -> tuple[int, int]:
        """Line and column behind the first characters of the window."""
        lines = before.count("\n")
        column = len(before) - before.rfind("\n") - 1 if lines else self.column + len(before)
        return self.line + lines, column
