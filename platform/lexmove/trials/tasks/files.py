"""The user's own data, files or a dataset of the hub: checked row by row, splits given or made."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lexmove.errors import TaskError
from lexmove.job.spec import TaskSpec
from lexmove.trials.tasks.arrow_rows import python_rows
from lexmove.trials.tasks.bad_rows import BadRows
from lexmove.trials.tasks.cells import class_name, shown
from lexmove.trials.tasks.checked_rows import (
    CheckedRow,
    Rows,
    alike,
    as_examples,
    of_known_classes,
    read_checked,
)
from lexmove.trials.tasks.examples import Splits, label_names
from lexmove.trials.tasks.hub import hub_dataset
from lexmove.trials.tasks.rows import Row, RowSource, check_distinct, open_file
from lexmove.trials.tasks.split_card import SPLITS
from lexmove.trials.tasks.splitting import completed

if TYPE_CHECKING:
    from datasets import Dataset

_BATCH = 1024
"""Rows of a hub dataset that are turned into Python objects at once."""


def load_files(spec: TaskSpec) -> Splits:
    """The user's files as splits; what is not given is split off `train`.

    By `spec.group`, values of that column stay together; else the split is stratified by class.
    The same files and seed give the same splits. Labels are multi-label where a separator is
    named, or where the column holds lists.

    Raises:
        TaskError: a file, column, row or class that cannot be used, with its place.
    """
    assert spec.files is not None
    paths = {role: getattr(spec.files, role) for role in SPLITS}
    return _splits(
        {
            role: open_file(Path(path).expanduser())
            for role, path in paths.items()
            if path is not None
        },
        spec,
    )


def load_hub(spec: TaskSpec) -> Splits:
    """A dataset of the hub as splits, as `load_files` makes them of files.

    Class numbers of columns whose classes have names are turned into these; in a multiple choice
    they are positions.

    Raises:
        TaskError: a dataset that cannot be loaded, or a column, row or class that cannot be used.
    """
    assert spec.hub is not None
    called = spec.hub.id if spec.hub.config is None else f"{spec.hub.id} ({spec.hub.config})"
    return _splits(
        {
            role: _hub_source(f"{called}, {getattr(spec.hub, role)}", data, spec)
            for role, data in hub_dataset(spec.hub).items()
        },
        spec,
    )


def _hub_source(place: str, data: "Dataset", spec: TaskSpec) -> RowSource:
    names: Sequence[str] = ()
    if spec.label in data.features and spec.endings is None:
        feature = data.features[spec.label]
        names = getattr(getattr(feature, "feature", feature), "names", None) or ()
    check_distinct(place, data.column_names)
    return RowSource(
        place=place,
        columns=tuple(data.column_names),
        read=partial(_hub_rows, data, spec.label, names),
    )


def _hub_rows(
    data: "Dataset", label: str, names: Sequence[str], wanted: Collection[str]
) -> Iterator[Row]:
    number = 0
    for batch in data.select_columns(list(wanted)).with_format("arrow").iter(_BATCH):
        for values, fault in python_rows(batch):
            number += 1
            if names and fault is None:
                values[label] = class_name(values[label], names)
            yield Row(number=number, values=values, fault=fault)


def _splits(sources: Mapping[str, RowSource], spec: TaskSpec) -> Splits:
    """All checks in turn: rows by themselves, rows beside one another, classes, groups."""
    places = {role: source.place for role, source in sources.items()}
    bad = BadRows(places, skip=spec.on_bad_rows == "skip")
    rows = alike(read_checked(sources, spec, bad), spec, bad)
    names = _class_names(rows["train"], places["train"], spec)
    rows = of_known_classes(rows, names, spec, bad)
    if spec.group is not None:
        _check_groups_apart(rows, places, spec.group)
    groups = [row.group for row in rows["train"] if row.group is not None]
    given = {role: as_examples(rows.pop(role), names) for role in places}
    parts = completed(given, spec, groups=groups or None, names=names, place=places["train"])
    train, validation, test = (parts[role] for role in SPLITS)
    return Splits(labels=names, train=train, validation=validation, test=test, skipped=bad.listed)


def _class_names(rows: Sequence[CheckedRow], place: str, spec: TaskSpec) -> tuple[str, ...]:
    """Those of the training data; of a multiple choice its positions."""
    if spec.endings is not None:
        return tuple(str(position) for position in range(len(rows[0].endings or ())))
    names = label_names([row.label for row in rows])
    if len(names) < 2:
        raise TaskError(
            f"{place}: all labels are {'empty' if not names else shown(names[0])};"
            " a classifier needs two classes"
        )
    return names


def _check_groups_apart(rows: Rows, places: Mapping[str, str], column: str) -> None:
    """Refuses given splits that share a group: made ones never do."""
    seen: dict[str | None, str] = {}
    for role, part in rows.items():
        for row in part:
            if seen.setdefault(row.group, role) != role:
                raise TaskError(
                    f"{places[role]}:{row.number}: column {column!r} holds"
                    f" {shown(row.group or '')}, which stands in {places[seen[row.group]]}, too;"
                    " move its rows into one split, or leave task.group out"
                )
