"""Multiple choices: which columns hold the endings, and whether another one counts them."""

import re
from collections.abc import Collection, Sequence
from string import ascii_uppercase
from typing import Any

from lexmove.cli.guessing_columns import (
    NEARLY_FULL,
    Cells,
    by_name,
    is_called_label,
    is_called_text,
    plain,
    values_of,
)
from lexmove.trials.tasks.cells import BadRowError, endings_cell, position_cell
from lexmove.trials.tasks.rows import Row

_ENDING = re.compile(r"(?:ending|option|choice|answer|holding|candidate)_?(\d|[a-e])$")
_LETTERS = ascii_uppercase
_LIST_NAMES = ("endings", "options", "choices", "answers")


def endings_by_name(cells: Cells) -> tuple[str, ...]:
    """Columns of endings, in the order of their numbers; or one column of lists of them."""
    several = {name: match[1] for name in cells if (match := _ENDING.search(plain(name)))}
    if len(several) > 1:
        return tuple(sorted(several, key=lambda name: several[name]))
    listed = {
        name: values
        for name, values in cells.items()
        if values and all(isinstance(value, list) and len(value) > 1 for value in values)
    }
    name = by_name(listed, _LIST_NAMES)
    return () if name is None else (name,)


def endings_by_letter(cells: Cells) -> tuple[str, ...]:
    """Columns that are called A, B and on, but not of 0 and 1: such are classes."""
    spelled = {name.upper(): name for name in cells}
    num = next((at for at, letter in enumerate(_LETTERS) if letter not in spelled), len(_LETTERS))
    found = tuple(spelled[letter] for letter in _LETTERS[:num])
    are_classes = any(values_of(cells[name]) <= {"0", "1"} for name in found)
    return () if num < 2 or are_classes else found


def endings_by_shape(cells: Cells, *, num_rows: int) -> tuple[str, ...]:
    """The only column with lists of texts, whatever it is called: two or more, as many in each row.

    Lists of paragraphs or labels, as their column is called, are none of endings.
    """
    listed = [
        name
        for name, values in cells.items()
        if values
        and all(isinstance(value, list) for value in values)
        and all(isinstance(item, str) for value in values for item in value)
        and not (is_called_text(name) or is_called_label(name))
    ]
    if len(listed) != 1:
        return ()
    sizes = {len(value) for value in cells[listed[0]]}
    is_full = len(cells[listed[0]]) >= NEARLY_FULL * num_rows
    return tuple(listed) if is_full and len(sizes) == 1 and min(sizes) > 1 else ()


def count_endings(cells: Cells, endings: Sequence[str]) -> int:
    """From how many endings one is chosen; 0 without any."""
    if len(endings) == 1:
        return max(map(len, cells[endings[0]]))
    return len(endings)


def are_positions(labels: Sequence[Any], num: int) -> bool:
    """Whether labels count endings from 0."""
    return values_of(labels) <= set(map(str, range(num)))


def count_from_1(labels: Sequence[Any], num: int) -> bool:
    """Whether labels count endings from 1, up to the last one."""
    values = values_of(labels)
    return str(num) in values and values <= set(map(str, range(1, num + 1)))


def positions_in(rows: Sequence[Row], label: str, endings: Sequence[str]) -> frozenset[str]:
    """Positions that a column gives the right ending by: number, letter, or the ending's text.

    Empty where loading could not read them. Rows that lack an ending or a label say nothing.
    """
    columns = endings[0] if len(endings) == 1 else tuple(endings)
    found: set[str] = set()
    num_read = num_bad = 0
    for row in rows:
        try:
            choice = endings_cell(row, columns)
        except BadRowError:
            continue
        value = row.values.get(label)
        if value is None or not str(value).strip():
            continue
        num_read += 1
        try:
            found.add(position_cell(row, label, choice))
        except BadRowError:
            num_bad += 1
            if num_bad > (1 - NEARLY_FULL) * len(rows):
                return frozenset()
    return frozenset(found if num_bad <= (1 - NEARLY_FULL) * num_read else ())


def are_constant(cells: Cells, endings: Sequence[str]) -> bool:
    """Whether every row has the same endings: these are rather the names of all classes."""
    return all(len(set(map(str, cells[name]))) == 1 for name in endings)


def are_called_endings(endings: Sequence[str]) -> bool:
    """Whether columns are called like endings, and were not told by their values alone."""
    return len(endings) > 1 or any(plain(name) in _LIST_NAMES for name in endings)


def reach_both_ends(positions: Collection[str], num: int) -> bool:
    """Whether the first and the last ending is right somewhere: two classes hardly count five."""
    return {"0", str(num - 1)} <= set(positions)


def how_labels_name(labels: Sequence[Any], num: int) -> str | None:
    """How a column names the right ending, in words; None where it does by the position from 0."""
    values = values_of(labels)
    if count_from_1(labels, num):
        return (
            f"holds 1 to {num}, and so counts from 1: loading counts from 0 and refuses {num};"
            " subtract 1 from all of them in the data"
        )
    if all(value.isdecimal() for value in values):
        return None
    if values <= {*_LETTERS[:num], *_LETTERS[:num].lower()}:
        return f"holds letters: A is position 0, {_LETTERS[num - 1]} is position {num - 1}"
    return "holds the text of the right ending: loading finds its position"
