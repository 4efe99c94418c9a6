"""Multiple choices: which columns hold the endings, and whether another one counts them."""

import re
from collections.abc import Sequence
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

_ENDING = re.compile(r"(?:ending|option|choice|answer)_?(\d|[a-e])$")
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


def reach_both_ends(labels: Sequence[Any], num: int) -> bool:
    """Whether the first and the last ending is right somewhere: two classes hardly count five."""
    return {"0", str(num - 1)} <= values_of(labels)
