"""What a folder's data files are, and which of their columns is what: guessed, and said."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from lexmove.cli.templates import SCHEMA_NAME
from lexmove.errors import TaskError, UsageError, did_you_mean
from lexmove.trials.tasks.rows import READERS, Row, open_file

_LOOKED_AT = 5000
"""Rows that are looked at to tell the columns apart: files sorted by class are common."""

_MAX_CLASSES = 50
_TEXT_NAMES: tuple[str, ...] = ("text", "clause", "content", "body", "sentence", "document")
_TEXT_NAMES += ("paragraph", "facts", "context", "question", "description", "comment")
_LABEL_NAMES: tuple[str, ...] = ("label", "labels", "class", "category", "type")
_LABEL_NAMES += ("target", "topic", "tag", "tags")
_GROUP_NAMES: tuple[str, ...] = ("group", "contract", "contract_id", "case", "case_id")
_GROUP_NAMES += ("company", "doc_id", "document_id", "file", "author")
_PAIRS = (
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("clause", "hypothesis"),
    ("text", "hypothesis"),
    ("text", "pair"),
    ("text", "second_text"),
)
"""Columns of first and second texts, as data sets call them."""

_ENDING = re.compile(r"(?:ending|option|choice|answer)_?(\d|[a-e])$")
_SEPARATORS = (";", "|")
_MIN_GROUPS = 10
"""Groups below which a split by them would be a lottery."""

_SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
"""What the names of files call the splits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Data files by split, the way a job names them; without one, it is split off `train`."""

    train: Path
    validation: Path | None = None
    test: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which columns of a file are what.

    `pair` holds second texts, `endings` what a multiple choice chooses from. `label_separator`
    divides labels where a text has several; `group` keeps contracts, cases or companies apart.
    None, or empty, where there is no such thing. `labels` are the classes that were seen, and
    `has_lists` tells whether they stand in lists.
    """

    text: str
    label: str
    pair: str | None = None
    endings: tuple[str, ...] = ()
    label_separator: str | None = None
    group: str | None = None
    labels: tuple[str, ...] = field(default=(), compare=False)
    has_lists: bool = field(default=False, compare=False)


def find_files(folder: Path) -> Files | None:
    """The data in a folder; None where it holds none.

    Raises:
        UsageError: there are several files, and their names do not say which is for training.
    """
    found = sorted(path for path in folder.iterdir() if _may_be_data(path))
    if not found:
        return None
    trains = [path for path in found if _split_of(path) == "train"]
    chosen = found if len(found) == 1 else trains
    if len(chosen) != 1:
        names = ", ".join(path.name for path in found)
        raise UsageError(
            f"{len(found)} data files are in {folder.resolve()}, and their names do not say which "
            f"is for training: {names}; say --data FILE"
        )
    return with_splits(chosen[0])


def _may_be_data(path: Path) -> bool:
    is_hidden = path.name.startswith(".") or path.name == SCHEMA_NAME
    if is_hidden or path.suffix.lower() not in READERS or not path.is_file():
        return False
    if path.suffix.lower() != ".json":
        return True
    try:
        open_file(path)
    except TaskError:  # JSON is many other things, too
        return False
    return True


def with_splits(train: Path) -> Files:
    """The file with those beside it that are called like it, but for the name of the split."""
    beside = [path for path in train.parent.iterdir() if path.suffix == train.suffix]
    stem = _without_split(train)
    like = {_split_of(path): path for path in sorted(beside) if _without_split(path) == stem}
    if _split_of(train) != "train":
        return Files(train=train)
    return Files(train=train, validation=like.get("validation"), test=like.get("test"))


def _words(path: Path) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", path.stem.lower()) if word]


def _split_of(path: Path) -> str | None:
    words = _words(path)
    return next((split for split, names in _SPLITS.items() if set(names) & set(words)), None)


def _without_split(path: Path) -> list[str]:
    known = {name for names in _SPLITS.values() for name in names}
    return [word for word in _words(path) if word not in known]


def pick_columns(data: Path, *, text: str | None = None, label: str | None = None) -> Columns:
    """The columns of a data file that hold the text and the class, guessed where not given.

    All else that a task may have is guessed in any case.

    Raises:
        TaskError: the file cannot be read.
        UsageError: a given column is not there, or none can be told to be the one.
    """
    source = open_file(data)
    rows = list(islice(source.read(source.columns), _LOOKED_AT))
    columns = tuple(dict.fromkeys(name for row in rows for name in row.values))
    for option, name in (("--text", text), ("--label", label)):
        if name is not None and name not in columns:
            raise UsageError(
                f"{data} has no column {name!r} ({option}){did_you_mean(name, columns)}"
            )
    cells = {name: _cells(rows, name) for name in columns}
    endings = _endings(cells)
    pair = _pair({name: values for name, values in cells.items() if name != label}, text)
    taken = (text, *endings, *(pair or ()))
    rest = {name: values for name, values in cells.items() if name not in taken}
    label = label or _label_column(rest)
    rest = {name: values for name, values in rest.items() if name != label}
    text = text or (pair[0] if pair else None) or _text_column(rest)
    if text is None or label is None:
        raise UsageError(_untold(data, cells, lacks_label=label is None))
    second = pair[1] if pair else None
    others = {name: values for name, values in rest.items() if name not in (text, second)}
    is_choice = bool(endings) and _counts_up(cells[label], _num_endings(cells, endings))
    return Columns(
        text=text,
        label=label,
        pair=None if is_choice else second,
        endings=endings if is_choice else (),
        label_separator=None if is_choice else _separator(cells[label]),
        group=_group_column(others),
        labels=tuple(sorted(_values(cells[label]))),
        has_lists=any(isinstance(value, list) for value in cells[label]),
    )


def _untold(data: Path, cells: Mapping[str, list[Any]], *, lacks_label: bool) -> str:
    """What to say where a column cannot be told: all of them, with what speaks against each."""
    seen = "; ".join(f"{name} ({_looks(values)})" for name, values in cells.items())
    if lacks_label:
        return (
            f"no column of {data} looks like a class: one has 2 to {_MAX_CLASSES} values that come "
            f"again. Give --label COLUMN, or add one. Its columns: {seen}"
        )
    return f"no column of {data} looks like a text: give --text COLUMN. Its columns: {seen}"


def _looks(values: Sequence[Any]) -> str:
    if not values:
        return "empty"
    num = len(_values(values))
    return "one value" if num == 1 else f"{num} values in {len(values)} rows"


def _values(cells: Sequence[Any]) -> set[str]:
    return {str(item) for cell in cells for item in (cell if isinstance(cell, list) else [cell])}


def _separator(labels: Sequence[Any]) -> str | None:
    """What divides several labels of a text: in a tenth of the cells, and the parts come again."""
    if any(isinstance(label, list) for label in labels):
        return None
    for separator in _SEPARATORS:
        parts = [part.strip() for label in labels for part in str(label).split(separator)]
        num_divided = sum(separator in str(label) for label in labels)
        if num_divided >= len(labels) / 10 and len(set(parts)) <= len(parts) / 2:
            return separator
    return None


def _group_column(cells: Mapping[str, list[Any]]) -> str | None:
    """By name, where values come again and there are enough of them to split."""
    repeated = {
        name: values
        for name, values in cells.items()
        if _MIN_GROUPS <= len(set(map(str, values))) < len(values)
    }
    return _by_name(repeated, _GROUP_NAMES)


def _cells(rows: Sequence[Row], name: str) -> list[Any]:
    return [row.values[name] for row in rows if row.values.get(name) not in (None, "")]


def _text_column(cells: Mapping[str, list[Any]]) -> str | None:
    """By name, else the column of words with the longest texts."""
    lengths = {name: _length(values) for name, values in cells.items() if _are_texts(values)}
    named = _by_name(lengths, _TEXT_NAMES)
    return named or max(lengths, key=lambda name: lengths[name], default=None)


def _are_texts(values: Sequence[Any]) -> bool:
    """Whether they are words, or lists of paragraphs, and no numbers."""
    kinds = {type(value) for value in values}
    if kinds == {list}:
        return all(isinstance(item, str) for value in values for item in value)
    return kinds == {str} and not all(_is_number(value) for value in values)


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _length(values: Sequence[Any]) -> float:
    texts = [value if isinstance(value, str) else "".join(value) for value in values]
    return sum(map(len, texts)) / len(texts)


def _label_column(cells: Mapping[str, list[Any]]) -> str | None:
    """By name, else the column with the fewest values, each of them several times."""
    num_values = {
        name: len(_values(values))
        for name, values in cells.items()
        if values and 2 <= len(_values(values)) <= min(_MAX_CLASSES, max(2, len(values) // 2))
    }
    named = _by_name(num_values, _LABEL_NAMES)
    return named or min(num_values, key=lambda name: num_values[name], default=None)


def _pair(cells: Mapping[str, list[Any]], text: str | None) -> tuple[str, str] | None:
    """First and second texts, where the columns are called so."""
    texts = {name: values for name, values in cells.items() if values and _are_texts(values)}
    for first, second in _PAIRS:
        found = (_by_name(texts, (first,)), _by_name(texts, (second,)))
        if found[0] is not None and found[1] is not None and text in (None, found[0]):
            return found[0], found[1]
    return None


def _endings(cells: Mapping[str, list[Any]]) -> tuple[str, ...]:
    """Columns of endings, in the order of their numbers; or one column of lists of them."""
    several = {name: match[1] for name in cells if (match := _ENDING.search(_plain(name)))}
    if len(several) > 1:
        return tuple(sorted(several, key=lambda name: several[name]))
    listed = {
        name: values
        for name, values in cells.items()
        if values and all(isinstance(value, list) and len(value) > 1 for value in values)
    }
    name = _by_name(listed, ("endings", "options", "choices", "answers"))
    return () if name is None else (name,)


def _num_endings(cells: Mapping[str, list[Any]], endings: tuple[str, ...]) -> int:
    return len(endings) if len(endings) > 1 else max(map(len, cells[endings[0]]))


def _counts_up(labels: Sequence[Any], num: int) -> bool:
    return _values(labels) <= set(map(str, range(num)))


def _by_name(columns: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    plain = {_plain(column): column for column in columns}
    return next((plain[name] for name in names if name in plain), None)


def _plain(name: str) -> str:
    """A column's name as the lists here spell it."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def assumptions(files: Files, columns: Columns) -> list[str]:
    """What was taken for what, a sentence each."""
    label = f"the {'labels (lists)' if columns.has_lists else 'class'} in {columns.label!r}"
    if columns.labels:
        shown = ", ".join(columns.labels[:5]) + (", …" if len(columns.labels) > 5 else "")
        label += f" ({shown})"
    pair = "" if columns.pair is None else f", judged together with {columns.pair!r}"
    told = [f"the text is in column {columns.text!r}{pair}, {label}"]
    if columns.endings:
        told = [
            f"a multiple choice: {columns.text!r} goes on with one of "
            f"{', '.join(map(repr, columns.endings))}; {columns.label!r} counts them from 0"
        ]
    if columns.label_separator is not None:
        told.append(f"several labels of a text are divided by {columns.label_separator!r}")
    if columns.group is not None:
        told.append(f"rows of one {columns.group!r} stay on one side of a split")
    given = {"validation": files.validation, "test": files.test}
    named = [f"{split} is {path.name}" for split, path in given.items() if path is not None]
    absent = [split for split, path in given.items() if path is None]
    if absent:
        named.append(f"{' and '.join(absent)} {'are' if absent[1:] else 'is'} split off it")
    told.append(f"train is {files.train.name}, {', '.join(named)}")
    return told
