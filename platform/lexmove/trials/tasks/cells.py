"""Cells: what the columns of a task hold in one row, or a sentence why they cannot be used."""

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from lexmove.trials.tasks.content import damage
from lexmove.trials.tasks.examples import Named
from lexmove.trials.tasks.rows import Row

_MIN_ENDINGS = 2
"""Endings that a choice is made between, at least."""

_MAX_SHOWN = 60
"""Characters of a value that a message shows."""

_MAX_DIGITS = 9
"""Digits of a position: Python refuses to read very long numbers."""

_BLANK_LINES = re.compile(r"\n\s*\n")
_WAY_OUT = "fill it or drop the row"


class BadRowError(ValueError):
    """A row that cannot be used; its text is the reason, without the row's place."""


class PastEndingsError(BadRowError):
    """A right ending whose number is theirs altogether: its position, counted from 1."""


def text_cell(row: Row, column: str) -> str:
    """A text of one or more characters that are no space; numbers and dates as they are written.

    Raises:
        BadRowError: no such field, empty, a list or an object, or damaged characters.
    """
    return _text(_value(row, column), column)


def document_cell(row: Row, column: str) -> str:
    """A text, or several paragraphs as one text.

    Raises:
        BadRowError: as `text_cell`, or a list of anything else than texts.
    """
    value = _value(row, column)
    if not isinstance(value, list):
        return _text(value, column)
    for number, paragraph in enumerate(value, start=1):
        if not isinstance(paragraph, str):
            raise BadRowError(
                f"column {column!r} holds {_kind(paragraph)} as paragraph {number}, not a text"
            )
    return _text(join_paragraphs(value), column)


def join_paragraphs(paragraphs: Sequence[str]) -> str:
    """One text; paragraphs are divided by blank lines, and hold none of their own."""
    inner = (_BLANK_LINES.sub("\n", paragraph.strip()) for paragraph in paragraphs)
    return "\n\n".join(filter(None, inner))


def label_cell(row: Row, column: str, separator: str | None) -> Named:
    """The name of a class, or of a list or a text with separators all labels, each once.

    Names that look the same are the same, whether é is written as one character or as two.

    Raises:
        BadRowError: as `text_cell`; an empty list is no fault, nor is nothing beside a separator.
    """
    value = _value(row, column)
    if isinstance(value, list):
        return tuple(dict.fromkeys(_name(item, column) for item in value))
    if separator is None:
        return _name(value, column)
    if _is_missing(value):
        return ()
    parts = str(_whole(value)).split(separator)
    return tuple(dict.fromkeys(_name(part, column) for part in parts if part.strip()))


def endings_cell(row: Row, columns: str | tuple[str, ...]) -> tuple[str, ...]:
    """The endings of a choice, from a column of lists or from several columns.

    Raises:
        BadRowError: no list, fewer than two endings, or an empty one.
    """
    if not isinstance(columns, str):
        return tuple(text_cell(row, column) for column in columns)
    value = _value(row, columns)
    if not isinstance(value, list):
        raise BadRowError(
            f"column {columns!r} holds {_kind(value)}, not a list of endings; where a file has no"
            " lists, name several columns in task.endings"
        )
    if len(value) < _MIN_ENDINGS:
        raise BadRowError(
            f"column {columns!r} holds a list of {len(value)}; a choice needs two endings or more"
        )
    return tuple(_text(item, columns, f" at position {at}") for at, item in enumerate(value))


def position_cell(row: Row, column: str, endings: tuple[str, ...]) -> str:
    """The position of the right ending, from 0: given as a number, as its text or by its letter.

    Raises:
        BadRowError: none of the endings, a text that two of them have, or what stands for one as
            its number or letter and for another as its text.
        PastEndingsError: no position, but it would be one if they were counted from 1.
    """
    value = _value(row, column)
    given = _name(value, column)
    spelled = {given, _composed(_text(value, column))}  # 2010 and 2010.0
    same = [at for at, ending in enumerate(endings) if _composed(ending) in spelled]
    position, last = _position(given), len(endings) - 1
    is_position = position is not None and position <= last
    if same in ([], [position]) and is_position:
        return str(position)
    if len(same) == 1 and not is_position:
        return str(same[0])
    what = f"column {column!r} holds {shown(given)}"
    if is_position:
        other = next(at for at in same if at != position)
        instead = "letter, from A" if given.isdecimal() else "position, from 0"
        raise BadRowError(
            f"{what}, which stands for position {position} and is the text of the ending at"
            f" position {other}, too; give the right one by its {instead}"
        )
    if same:
        raise BadRowError(
            f"{what}, which is the ending at positions {same[0]} and {same[1]}; give the position"
            " of the right one, from 0"
        )
    kind = PastEndingsError if given.isdecimal() and position == len(endings) else BadRowError
    raise kind(
        f"{what}, but the positions of the {len(endings)} endings are 0 to {last}; give one, or the"
        " text of the right ending"
    )


def _position(given: str) -> int | None:
    """What a number, or a letter from A, stands for if it is no text."""
    if not given.isascii():
        return None
    if given.isdecimal():
        return int(given) if len(given) <= _MAX_DIGITS else None
    return ord(given.upper()) - ord("A") if len(given) == 1 and given.isalpha() else None


def is_number_from_one(row: Row, column: str, position: str) -> bool:
    """Whether a cell gave this position of `position_cell` as a number, and none that is 0."""
    given = _name(_value(row, column), column)
    return given.isdecimal() and _position(given) == int(position) > 0


def class_name(value: object, names: Sequence[str]) -> object:
    """What a class number of a dataset with named classes stands for; lists item by item.

    Datasets write -1 where a label is kept secret: there is none.
    """
    if isinstance(value, list):
        return [class_name(item, names) for item in value]
    if isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    return None if value == -1 else value


def _value(row: Row, column: str) -> object:
    try:
        return row.values[column]
    except KeyError:
        raise BadRowError(
            f"column {column!r} is empty: the row has no such field; {_WAY_OUT}"
        ) from None


def _text(value: object, column: str, where: str = "") -> str:
    if isinstance(value, list | dict | bytes):
        raise BadRowError(f"column {column!r} holds {_kind(value)}{where}, not a text")
    if _is_missing(value):
        what = "NaN, a missing value" if isinstance(value, float) else "empty"
        raise BadRowError(f"column {column!r} is {what}{where}; {_WAY_OUT}")
    text = str(value).strip()
    if not text:
        raise BadRowError(f"column {column!r} is empty{where}; {_WAY_OUT}")
    if reason := damage(text, f"column {column!r}{where}"):
        raise BadRowError(reason)
    return text


def _name(value: object, column: str) -> str:
    return _composed(_text(_whole(value), column))


def _composed(text: str) -> str:
    """Equal for texts that look the same: macOS writes é as e and an accent."""
    return unicodedata.normalize("NFC", text)


def _whole(value: Any) -> Any:
    """Whole numbers without a fraction: a gap in a column makes data frames write 1 as 1.0."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _kind(value: object) -> str:
    kinds: dict[type, str] = {list: "a list", dict: "a dict", bytes: "bytes", str: "a text"}
    return "nothing" if value is None else kinds.get(type(value), f"a {type(value).__name__}")


def shown(value: str) -> str:
    """A value as messages show it, in quotes, cut off where it is long."""
    return repr(value if len(value) <= _MAX_SHOWN else f"{value[:_MAX_SHOWN]}…")
