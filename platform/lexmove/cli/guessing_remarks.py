"""What `init` says of data that no job can use as they are, and of columns that it passes over."""

import ast
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lexmove.cli.guessing_columns import (
    Cells,
    Columns,
    are_written_lists,
    holds_sentences,
    is_called_label,
    is_called_text,
    is_id,
    reads_like_text,
    values_of,
)
from lexmove.cli.guessing_endings import count_endings, how_labels_name
from lexmove.trials.tasks.cells import shown

_MIN_ONE_HOT = 3
"""Columns of 0 and 1 below which they are rather facts beside a class."""

_MAX_NAMES = 5
"""Columns that a sentence lists."""

_YES = ("1", "1.0", "true")
_NO = ("0", "0.0", "false")
_NUMPY_LIST = re.compile(r"'\s+'|\"\s+\"")
"""Lists as numpy writes them, without commas: read again, their parts would become one."""

_READERS = {
    ".csv": "pandas.read_csv({data!r}, dtype=str, keep_default_na=False).rename(columns=str.strip)",
    ".tsv": "pandas.read_csv({data!r}, sep='\\t', dtype=str, keep_default_na=False)"
    ".rename(columns=str.strip)",
    ".jsonl": "pandas.read_json({data!r}, lines=True, dtype=False, convert_dates=False)",
    ".json": "pandas.read_json({data!r}, dtype=False, convert_dates=False)",
    ".parquet": "pandas.read_parquet({data!r})",
}
"""How pandas reads each kind of file without making numbers of texts, or nothing of NA."""


def remarks_on(
    data: Path,
    cells: Cells,
    picked: Columns,
    *,
    endings: Sequence[str],
    small_group: str | None,
    is_given: bool,
) -> Iterator[str]:
    """A sentence on all that the picked columns leave out, or cannot be used for.

    Args:
        data: The file, for commands that make another one of it.
        cells: Its columns.
        picked: What was taken for what.
        endings: Columns that are called like endings, whether or not they were taken for such.
        small_group: A column called like a group, of too few values to split by.
        is_given: Whether the class was named by the user, who knows what it holds.
    """
    if endings:
        yield from _choice(cells, picked, endings)
    if not picked.endings:
        yield from _written_lists(data, picked.label, cells[picked.label])
        yield from _commas(picked, cells[picked.label])
    one_hot = () if is_given or picked.endings else _one_hot(cells, picked)
    if one_hot:
        yield _one_column_each(data, cells, one_hot)
    if small_group is not None:
        num = len(values_of(cells[small_group]))
        yield (
            f"{small_group!r} holds {num} values, too few to split by: rows of one may stand on"
            " both sides of a split; `group` in the job keeps them apart all the same"
        )
    used = {picked.text, picked.label, picked.pair, picked.group, picked.runner_up, small_group}
    unused = _unused_texts(cells, {*used, *endings, *one_hot})
    if unused:
        yield f"further columns of texts are not used: {_listed(unused)}"


def _choice(cells: Cells, picked: Columns, endings: Sequence[str]) -> Iterator[str]:
    """How the right ending is named where not by its position from 0, or that none is."""
    if not picked.endings:
        yield (
            f"no column says which of {_listed(endings)} is right, so they were not taken for the"
            " endings of a multiple choice"
        )
    elif how := how_labels_name(cells[picked.label], count_endings(cells, endings)):
        yield f"{picked.label!r} {how}"


def _unused_texts(cells: Cells, used: set[str | None]) -> list[str]:
    return [
        name
        for name, values in cells.items()
        if name not in used
        and values
        and not is_id(name, values)
        and (holds_sentences(values) or (is_called_text(name) and reads_like_text(name, values)))
    ]


def _written_lists(data: Path, label: str, labels: Sequence[Any]) -> Iterator[str]:
    """Lists that a csv holds as texts: loading takes each for the name of one class."""
    if not are_written_lists(labels):
        return
    example = max(map(str, labels), key=lambda value: value.count(","))
    said = (
        f"column {label!r} holds lists that were written as texts, such as {shown(example)}, and"
        " each would be a class of its own: lists are read from jsonl and parquet alone; "
    )
    target = _target(data)
    if not all(_can_be_read(str(value)) for value in labels):
        yield f"{said}save the data as one of these where the lists come from"
        return
    code = (
        f"import ast, pandas; d = {_read(data)}; "
        f"d[{label!r}] = [ast.literal_eval(s.strip() or '[]') for s in d[{label!r}]]; "
        f"{_save('d', target)}"
    )
    yield f"{said}save the data so: {_command(code, target)}"


def _can_be_read(value: str) -> bool:
    if _NUMPY_LIST.search(value):
        return False
    try:
        return isinstance(ast.literal_eval(value.strip()), list)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False


def _commas(picked: Columns, labels: Sequence[Any]) -> Iterator[str]:
    """Classes that share a part before or behind a comma, and may be several labels."""
    if picked.label_separator is not None or picked.has_lists or are_written_lists(labels):
        return
    names = [name for name in sorted(values_of(labels)) if "," in name]
    parts = [part for name in names for part in {part.strip() for part in name.split(",")}]
    if len(set(parts)) < len(parts):
        yield (
            f"classes such as {shown(names[0])} were taken for one each; if the commas divide"
            " several labels, set label_separator: ',' in the job"
        )


def _one_hot(cells: Cells, picked: Columns) -> tuple[str, ...]:
    """Columns of 0 and 1 alone, with the class among them; none where that is called a class."""
    known = {*_YES, *_NO}
    found = tuple(
        name
        for name, values in cells.items()
        if values and {value.lower() for value in values_of(values)} <= known
    )
    is_one = picked.label in found and not is_called_label(picked.label)
    return found if is_one and len(found) >= _MIN_ONE_HOT else ()


def _one_column_each(data: Path, cells: Cells, names: Sequence[str]) -> str:
    labels = "labels" if "labels" not in cells else "all_labels"
    target = _target(data)
    code = (
        f"import pandas; d = {_read(data)}; n = {list(names)!r}; "
        f"d[{labels!r}] = [[c for c in n if str(r[c]).strip().lower() in {_YES!r}] "
        "for r in d[n].to_dict('records')]; "
        f"{_save('d.drop(columns=n)', target)}"
    )
    return (
        f"{_listed(names)} hold 0 and 1 alone, like one column per class, and one of them is taken"
        " above: several classes of a text must stand in one column, as a list or as names with a"
        f" separator; if they are classes, save the data so: {_command(code, target)}"
    )


def _target(data: Path) -> Path:
    return data.with_name(f"{data.stem}-labels.jsonl")


def _read(data: Path) -> str:
    return _READERS[data.suffix.lower()].format(data=str(data))


def _save(frame: str, target: Path) -> str:
    how = "orient='records', lines=True, force_ascii=False"
    return f"{frame}.to_json({str(target)!r}, {how})"


def _command(code: str, target: Path) -> str:
    """What to paste into a shell: double quotes where nothing in them would be replaced.

    With --force, since `init` has just written a job for the data as they are.
    """
    quoted = shlex.quote(code) if set(code) & set('"$`\\!') else f'"{code}"'
    return f"python -c {quoted} && lexmove init --force --data {shlex.quote(str(target))}"


def _listed(names: Sequence[str]) -> str:
    left = len(names) - _MAX_NAMES
    listed = ", ".join(map(shown, names[:_MAX_NAMES]))
    return f"{listed} and {left} more" if left > 0 else listed
