"""The user's own files: texts and labels by column, splits given or made, all checked by row."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lexmove.errors import TaskError, did_you_mean
from lexmove.job.spec import TaskSpec
from lexmove.trials.tasks.examples import (
    Examples,
    Named,
    Splits,
    coded_labels,
    label_names,
)
from lexmove.trials.tasks.near_duplicates import split_clusters
from lexmove.trials.tasks.rows import Row, read_rows

_RATIOS = (0.6, 0.2, 0.2)
"""Train, validation and test where only one file is given."""

_MIN_PER_CLASS = 3
"""Examples that a class needs to be split in three."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Labelled:
    """One row that passed the checks; `label` names its class, or all its labels."""

    path: Path
    number: int
    text: str
    label: Named
    group: str

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of its labels, also of a single one."""
        return (self.label,) if isinstance(self.label, str) else self.label


def load_files(spec: TaskSpec) -> Splits:
    """The user's data as splits; what is not given is split off `train`.

    By `spec.group`, values of that column stay together; else the split is stratified by class.
    The same files and seed give the same splits. Labels are multi-label where a separator is
    named, or where the column holds lists.

    Raises:
        TaskError: a file, column, row or class that cannot be used, with its place.
    """
    assert spec.files is not None
    given = {
        name: _read(Path(path).expanduser(), spec)
        for name in ("train", "validation", "test")
        if (path := getattr(spec.files, name)) is not None
    }
    _check_kind([row for rows in given.values() for row in rows], spec.label)
    names = label_names([row.label for row in given["train"]])
    if len(names) < 2:
        raise TaskError(
            f"{spec.files.train}: all labels are {'empty' if not names else repr(names[0])};"
            " a classifier needs two classes"
        )
    parts = _completed(given, names, spec)
    for part in ("validation", "test"):
        _check_seen(parts[part], names)
    train, validation, test = (
        _examples(parts[part], names) for part in ("train", "validation", "test")
    )
    _check_classes(train, names, spec)
    return Splits(labels=names, train=train, validation=validation, test=test)


def _read(path: Path, spec: TaskSpec) -> list[_Labelled]:
    rows = read_rows(path)
    columns = tuple(dict.fromkeys(name for row in rows[:100] for name in row.values))
    wanted = {"text": spec.text, "label": spec.label, "group": spec.group}
    for role, column in wanted.items():
        if column is not None and column not in columns:
            raise TaskError(
                f"{path}: no column {column!r} for the {role}{did_you_mean(column, columns)}"
                f" (columns: {', '.join(columns)}); name it in the job's task.{role}"
            )
    return [
        _Labelled(
            path=path,
            number=row.number,
            text=_cell(path, row, spec.text),
            label=_label(path, row, spec),
            group="" if spec.group is None else _cell(path, row, spec.group),
        )
        for row in rows
    ]


def _cell(path: Path, row: Row, column: str) -> str:
    return _cell_text(path, row, column, row.values.get(column))


def _cell_text(path: Path, row: Row, column: str, value: object) -> str:
    if isinstance(value, list | dict):
        raise TaskError(
            f"{path}:{row.number}: column {column!r} holds a {type(value).__name__}, not a text"
        )
    text = "" if value is None else str(value).strip()
    if not text:
        raise TaskError(f"{path}:{row.number}: column {column!r} is empty; fill it or drop the row")
    return text


def _label(path: Path, row: Row, spec: TaskSpec) -> Named:
    value = row.values.get(spec.label)
    if isinstance(value, list):
        return tuple(dict.fromkeys(_cell_text(path, row, spec.label, item) for item in value))
    if spec.label_separator is None:
        return _cell(path, row, spec.label)
    parts = ("" if value is None else str(value)).split(spec.label_separator)
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _check_kind(rows: Sequence[_Labelled], column: str) -> None:
    """Refuses lists and single names in one column: the rarer kind is a slip."""
    single = [row for row in rows if isinstance(row.label, str)]
    listed = [row for row in rows if not isinstance(row.label, str)]
    if single and listed:
        odd, has, others = (
            (listed[0], "a list", "single labels")
            if len(listed) < len(single)
            else (single[0], f"the single label {single[0].label!r}", "lists")
        )
        raise TaskError(
            f"{odd.path}:{odd.number}: column {column!r} holds {has}, but other rows {others};"
            " write a list in every row, or in none"
        )


def _completed(
    given: dict[str, list[_Labelled]], names: Sequence[str], spec: TaskSpec
) -> dict[str, list[_Labelled]]:
    """All three splits; the missing ones are split off train, in the usual proportions."""
    ratios = {
        name: ratio
        for name, ratio in zip(("train", "validation", "test"), _RATIOS, strict=True)
        if name == "train" or name not in given
    }
    if len(ratios) == 1:
        return given
    rows = given["train"]
    side = _sides(rows, names, ratios=tuple(ratios.values()), spec=spec)
    made = {
        name: [row for row, at in zip(rows, side, strict=True) if at == number]
        for number, name in enumerate(ratios)
    }
    for name, part in made.items():
        if not part:
            raise TaskError(
                f"{rows[0].path}: too few {'groups' if spec.group else 'rows'} to split off"
                f" a {name} split; give one as task.files.{name}"
            )
    return given | made


def _sides(
    rows: list[_Labelled], names: Sequence[str], *, ratios: tuple[float, ...], spec: TaskSpec
) -> NDArray[np.int64]:
    examples = _examples(rows, names)
    labels = examples.labels
    shares = tuple(ratio / sum(ratios) for ratio in ratios)
    if spec.group is not None:
        groups = np.unique([row.group for row in rows], return_inverse=True)[1].reshape(-1)
        # No bound on a group's size: a few contracts or cases may well be all there is.
        return split_clusters(groups, labels, ratios=shares, seed=spec.seed, max_cluster_ratio=1.0)
    counts = examples.counts(len(names))
    for name, count in zip(names, counts, strict=True):
        if count < max(_MIN_PER_CLASS, len(ratios)):
            raise TaskError(
                f"{rows[0].path}: class {name!r} has {count} "
                f"example{'s' if count > 1 else ''}, too few to split; a class needs"
                f" {_MIN_PER_CLASS}, better 30: add some, merge classes, or give the splits"
            )
    if examples.is_multi_label:
        each = np.arange(len(rows))
        return split_clusters(each, labels, ratios=shares, seed=spec.seed, max_cluster_ratio=1.0)
    return _stratified_sides(labels, shares, np.random.default_rng(spec.seed))


def _stratified_sides(
    labels: NDArray[np.int64], shares: tuple[float, ...], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Side of every example; every class on every side, in proportion."""
    side = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        sizes = [max(1, round(share * len(members))) for share in shares[1:]]
        taken = np.cumsum([0, *sizes])
        for number, (first, last) in enumerate(pairwise(taken), start=1):
            side[members[first:last]] = number
    return side


def _check_seen(rows: list[_Labelled], names: Sequence[str]) -> None:
    for row in rows:
        for name in row.labels:
            if name not in names:
                raise TaskError(
                    f"{row.path}:{row.number}: class {name!r} is not among the classes of the"
                    f" training data{did_you_mean(name, names)}"
                )


def _check_classes(train: Examples, names: Sequence[str], spec: TaskSpec) -> None:
    """After a grouped split a class may have lost all of its training examples."""
    for name, count in zip(names, train.counts(len(names)), strict=True):
        if count == 0:
            raise TaskError(
                f"class {name!r} is empty: no training example is left after the split by"
                f" {spec.group!r}; add groups that hold it, or give the splits"
            )


def _examples(rows: list[_Labelled], names: Sequence[str]) -> Examples:
    labels = coded_labels([row.label for row in rows], names)
    return Examples(texts=tuple(row.text for row in rows), labels=labels)
