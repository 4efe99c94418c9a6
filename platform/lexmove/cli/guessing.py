"""What a folder's data files are, and which of their columns is what, guessed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from lexmove.cli.guessing_columns import (
    MAX_CLASSES,
    Cells,
    Columns,
    cells_of,
    group_column,
    is_id,
    label_columns,
    pair_columns,
    reads_like_text,
    say_class,
    separator_of,
    single_valued,
    small_group_column,
    text_column,
    values_of,
)
from lexmove.cli.guessing_endings import (
    are_called_endings,
    are_constant,
    are_positions,
    count_endings,
    count_from_1,
    endings_by_letter,
    endings_by_name,
    endings_by_shape,
    how_labels_name,
    positions_in,
    reach_both_ends,
)
from lexmove.cli.guessing_refusals import (
    check_delimiter,
    check_encoding,
    check_header,
    recoding_in_full,
)
from lexmove.cli.guessing_remarks import remarks_on
from lexmove.cli.templates import SCHEMA_NAME
from lexmove.errors import TaskError, UsageError, did_you_mean
from lexmove.trials.tasks.cells import shown
from lexmove.trials.tasks.rows import READERS, Row, open_file

_LOOKED_AT = 5000
"""Rows that are looked at to tell the columns apart: files sorted by class are common."""

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

    All else that a task may have is guessed in any case. Groups are none where the files of other
    splits, beside it, share one.

    Raises:
        TaskError: the file cannot be read, is divided by another mark than its ending says, or is
            in another encoding than UTF-8; or one of other splits cannot be read.
        UsageError: a given column is not there, or given for both, none can be told to be the one,
            or the first line looks like a row; who names both columns has seen that it holds names.
    """
    with recoding_in_full(data):
        source = open_file(data)
        check_delimiter(data, source)
        rows = list(islice(source.read(source.columns), _LOOKED_AT))
        columns = tuple(dict.fromkeys(name for row in rows for name in row.values))
        _check_given(data, columns, text=text, label=label)
        cells = {name: cells_of(rows, name) for name in columns}
        if text is None or label is None:
            check_header(data, cells)
        sheet = _Sheet(cells=cells, rows=rows, text=text, label=label)
        picked = _pick(data, sheet)
        used = (picked.text, picked.label, picked.pair, *picked.endings, picked.group)
        check_encoding(source, rows, used)
    return _with_groups_apart(with_splits(data), picked)


def _check_given(
    data: Path, columns: Sequence[str], *, text: str | None, label: str | None
) -> None:
    for option, name in (("--text", text), ("--label", label)):
        if name is not None and name not in columns:
            raise UsageError(
                f"{data} has no column {name!r} ({option}){did_you_mean(name, columns)}"
            )
    if text is not None and text == label:
        raise UsageError(
            f"--text and --label both name the column {text!r}; each needs a column of its own"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sheet:
    """The values of a file's columns, also row by row, and which of them were given."""

    cells: Cells
    rows: Sequence[Row]
    text: str | None
    label: str | None

    def without(self, *names: str | None) -> Cells:
        """The other columns."""
        return {name: values for name, values in self.cells.items() if name not in names}

    def pair(self) -> tuple[str, str] | None:
        """Columns of first and second texts."""
        return pair_columns(self.without(self.label), self.text)

    def labels(self, endings: Sequence[str]) -> list[str]:
        """The given class, else columns that may be it, or count the endings, likeliest first."""
        if self.label is not None:
            return [self.label]
        rest = self.without(self.text, *endings, *(self.pair() or ()))
        return label_columns(
            rest,
            num_rows=len(self.rows),
            counts_endings=lambda name: self._counts(name, endings),
        )

    def first_text(self, label: str | None, endings: Sequence[str]) -> str | None:
        """The column of texts, or of first ones."""
        pair = self.pair()
        if self.text is not None or pair is not None:
            return self.text or (pair and pair[0])
        return text_column(self.without(label, *endings))

    def endings(self) -> tuple[str, ...]:
        """Columns of endings, if only by name, or where another column counts them."""
        cells = self.without(self.text, self.label)
        if named := endings_by_name(cells):
            return named
        shaped = () if self.pair() else endings_by_shape(cells, num_rows=len(self.rows))
        found = (endings_by_letter(cells), shaped)
        return next((endings for endings in found if self._is_choice(endings)), ())

    def _is_choice(self, endings: tuple[str, ...]) -> bool:
        """Whether the likeliest class counts endings of any name, and there is what they end."""
        if not endings:
            return False
        label = next(iter(self.labels(endings)), None)
        text = self.first_text(label, endings)
        if label is None or text is None:
            return False
        has_words = self.text is not None or reads_like_text(text, self.cells[text])
        return has_words and self._counts(label, endings)

    def _counts(self, name: str, endings: Sequence[str]) -> bool:
        """Whether a column says which ending is right, and the first or last one now and then."""
        num = count_endings(self.cells, endings)
        if num == 0:
            return False
        if self._count_from_1(name, endings):
            return True
        return reach_both_ends(self._positions(name, endings), num)

    def _positions(self, name: str, endings: Sequence[str]) -> frozenset[str]:
        values = self.cells[name]
        if are_positions(values, count_endings(self.cells, endings)):
            return frozenset(values_of(values))
        is_list_of_classes = not are_called_endings(endings) and are_constant(self.cells, endings)
        return frozenset() if is_list_of_classes else positions_in(self.rows, name, endings)

    def _count_from_1(self, name: str, endings: Sequence[str]) -> bool:
        num = count_endings(self.cells, endings)
        return are_called_endings(endings) and count_from_1(self.cells[name], num)

    def says_which(self, label: str, endings: Sequence[str]) -> bool:
        """Whether a class says which ending is right, if only ever the first one."""
        return bool(endings) and (
            self._count_from_1(label, endings) or bool(self._positions(label, endings))
        )


def _pick(data: Path, sheet: _Sheet) -> Columns:
    """What the columns are, without a look at other files."""
    cells, endings = sheet.cells, sheet.endings()
    ranked = sheet.labels(endings)
    label = next(iter(ranked), None)
    text = sheet.first_text(label, endings)
    if text is None or label is None:
        raise UsageError(_untold(data, cells, lacks_label=label is None))
    pair = sheet.pair()
    second = pair[1] if pair else None
    others = sheet.without(label, text, second, *endings)
    group = group_column(others)
    is_choice, num_endings = sheet.says_which(label, endings), count_endings(cells, endings)
    one = None if sheet.label or is_choice else single_valued(others, label)
    small = small_group_column(others) if group is None else None
    others_like_it = (name for name in ranked[1:] if name in others and name not in (group, small))
    picked = Columns(
        text=text,
        label=label,
        pair=None if is_choice else second,
        endings=endings if is_choice else (),
        counts_from_0=is_choice and how_labels_name(cells[label], num_endings) is None,
        label_separator=None if is_choice else separator_of(cells[label]),
        group=group,
        labels=tuple(map(say_class, sorted(values_of(cells[label])))),
        has_lists=any(isinstance(value, list) for value in cells[label]),
        runner_up=next(others_like_it, None),
        remarks=() if one is None else (f"{one}, so {label!r} was taken for the class",),
    )
    remarks = remarks_on(
        data, cells, picked, endings=endings, small_group=small, is_given=sheet.label is not None
    )
    return replace(picked, remarks=(*picked.remarks, *remarks))


def _with_groups_apart(files: Files, columns: Columns) -> Columns:
    """Groups only where no split holds one of another: loading the data refuses such."""
    why = None if columns.group is None else _why_not_apart(files, columns.group)
    if why is None:
        return columns
    remark = f"rows of one {columns.group!r} are not kept on one side of a split: {why}"
    return replace(columns, group=None, remarks=(*columns.remarks, remark))


def _why_not_apart(files: Files, group: str) -> str | None:
    """Which value of a column stands in two files, or which file lacks it; None where neither."""
    given = [path for path in (files.train, files.validation, files.test) if path is not None]
    seen: dict[str, str] = {}
    for path in given if len(given) > 1 else []:
        source = open_file(path)
        if group not in source.columns:
            return f"{path.name} has no such column"
        for row in source.read((group,)):
            for value in cells_of([row], group):
                first = seen.setdefault(str(value).strip(), path.name)
                if first != path.name:
                    return f"{shown(str(value).strip())} stands in {first} and in {path.name}"
    return None


def _untold(data: Path, cells: Cells, *, lacks_label: bool) -> str:
    """What to say where a column cannot be told: all of them, with what speaks against each."""
    seen = "; ".join(f"{name} ({_looks(name, values)})" for name, values in cells.items())
    if lacks_label:
        one = single_valued(cells, None)
        return (
            f"no column of {data} looks like a class{f' ({one})' if one else ''}: one has 2 to "
            f"{MAX_CLASSES} values that come again. Give --label COLUMN, or add one. Its columns: "
            f"{seen}"
        )
    return f"no column of {data} looks like a text: give --text COLUMN. Its columns: {seen}"


def _looks(name: str, values: Sequence[Any]) -> str:
    if not values:
        return "empty"
    num = len(values_of(values))
    an_id = "an id: " if is_id(name, values) else ""
    return "one value" if num == 1 else f"{an_id}{num} values in {len(values)} rows"
