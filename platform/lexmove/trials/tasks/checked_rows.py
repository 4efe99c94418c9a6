"""Checked rows: what a task needs of every row, and what is wrong with those that it cannot use.

A row is checked as it is read, so that nothing else of it stays in memory.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from lexmove.errors import TaskError, did_you_mean
from lexmove.job.spec import TaskSpec
from lexmove.trials.tasks.bad_rows import BadRows
from lexmove.trials.tasks.cells import (
    BadRowError,
    PastEndingsError,
    document_cell,
    endings_cell,
    is_number_from_one,
    label_cell,
    position_cell,
    shown,
    text_cell,
)
from lexmove.trials.tasks.examples import Examples, Named, coded_labels
from lexmove.trials.tasks.rows import Row, RowSource, other_delimiter

_MAX_NAMES = 20
"""Columns, or classes, that a message lists."""

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRow:
    """One row that passed; `label` names its class, all its labels, or the right position."""

    number: int
    text: str
    label: Named
    pair: str | None
    endings: tuple[str, ...] | None
    group: str | None

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of its labels, also of a single one."""
        return (self.label,) if isinstance(self.label, str) else self.label


Rows = dict[str, list[CheckedRow]]
"""The rows of every source by its role: train, validation or test."""


class _Shared(dict[_Value, _Value]):
    """Equal values as one object: a class or a group must not be in memory once a row."""

    def __missing__(self, value: _Value) -> _Value:
        self[value] = value
        return value


def read_checked(sources: Mapping[str, RowSource], spec: TaskSpec, bad: BadRows) -> Rows:
    """The good rows of every source; the others are noted in `bad`.

    Raises:
        TaskError: a missing column, a source that cannot be read, or what `bad` does not let pass.
    """
    for source in sources.values():
        _check_columns(source, spec)
    labels, others = _Shared[Named](), _Shared[str]()
    rows: Rows = {}
    for role, source in sources.items():
        rows[role] = []
        past: Row | None = None
        is_from_one = spec.endings is not None
        for row in source.read(task_columns(spec)):
            try:
                checked = _checked(row, spec, labels, others)
                position = str(checked.label)
                is_from_one = is_from_one and is_number_from_one(row, spec.label, position)
                rows[role].append(checked)
            except BadRowError as error:
                bad.add(role, row.number, str(error))
                past = past or (row if isinstance(error, PastEndingsError) else None)
        if past is not None and is_from_one:
            raise _counted_from_one(source.place, past, spec.label)
        bad.count(role, good=len(rows[role]))
    bad.settle()
    return rows


def alike(rows: Rows, spec: TaskSpec, bad: BadRows) -> Rows:
    """Rows of one kind: lists or single labels, and the same number of endings in all.

    Raises:
        TaskError: what `bad` does not let pass.
    """
    kinds = Counter(isinstance(row.label, str) for part in rows.values() for row in part)
    sizes = Counter(len(row.endings or ()) for part in rows.values() for row in part)
    if len(kinds) == 1 and len(sizes) == 1:
        return rows
    is_single, num_endings = kinds.most_common(1)[0][0], sizes.most_common(1)[0][0]

    def fault(row: CheckedRow) -> str | None:
        if len(row.endings or ()) != num_endings:
            return (
                f"column {spec.endings!r} holds {len(row.endings or ())} endings, but most rows"
                f" {num_endings}; every row needs the same number"
            )
        if isinstance(row.label, str) == is_single:
            return None
        has = f"the single label {shown(row.label)}" if isinstance(row.label, str) else "a list"
        others = "single labels" if is_single else "lists"
        return (
            f"column {spec.label!r} holds {has}, but other rows {others}; write a list in every"
            " row, or in none"
        )

    return _without(rows, bad, fault)


def of_known_classes(rows: Rows, names: Sequence[str], spec: TaskSpec, bad: BadRows) -> Rows:
    """Rows whose labels are all among `names`, the classes of the training data.

    Raises:
        TaskError: what `bad` does not let pass.
    """
    known = set(names)
    hints: dict[str, str] = {}

    def fault(row: CheckedRow) -> str | None:
        unknown = next((name for name in row.labels if name not in known), None)
        if unknown is None:
            return None
        if unknown not in hints:
            hints[unknown] = _hint(unknown, names)
        return (
            f"class {shown(unknown)} is not among the classes of the training data in column"
            f" {spec.label!r}{hints[unknown]}"
        )

    return _without(rows, bad, fault)


def as_examples(rows: Sequence[CheckedRow], names: Sequence[str]) -> Examples:
    """The rows as examples of the classes `names`."""
    pairs = tuple(row.pair for row in rows if row.pair is not None)
    endings = tuple(row.endings for row in rows if row.endings is not None)
    return Examples(
        texts=tuple(row.text for row in rows),
        labels=coded_labels([row.label for row in rows], names),
        pairs=pairs or None,
        endings=endings or None,
    )


def task_columns(spec: TaskSpec) -> tuple[str, ...]:
    """The columns that a task reads, each once."""
    return tuple(dict.fromkeys(column for _, column in _roles(spec)))


def _roles(spec: TaskSpec) -> list[tuple[str, str]]:
    """Every column that is read with the setting that names it."""
    endings = (spec.endings,) if isinstance(spec.endings, str) else spec.endings or ()
    optional = (("pair", spec.pair), ("group", spec.group))
    return [
        ("text", spec.text),
        *(("endings", column) for column in endings),
        ("label", spec.label),
        *((role, column) for role, column in optional if column is not None),
    ]


def _check_columns(source: RowSource, spec: TaskSpec) -> None:
    _check_roles(spec)
    if not source.columns:
        return
    for role, column in _roles(spec):
        if column not in source.columns:
            raise TaskError(
                f"{source.place}: no column {column!r} for the {role}"
                f"{_hint(column, source.columns)} (columns: {_listed(source.columns)})"
                f"{other_delimiter(source.columns)}; name it in the job's task.{role}"
            )


def _check_roles(spec: TaskSpec) -> None:
    taken: dict[str, str] = {}
    for role, column in _roles(spec):
        if column in taken and role != "group":
            raise TaskError(
                f"task.{taken[column]} and task.{role} both name the column {column!r}; each needs"
                " a column of its own"
            )
        taken[column] = role


def _listed(columns: Sequence[str]) -> str:
    more = len(columns) - _MAX_NAMES
    listed = ", ".join(columns[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
    return listed.encode(errors="backslashreplace").decode()


def _hint(name: str, known: Sequence[str]) -> str:
    hint = did_you_mean(name, known)
    return hint if hint.startswith("; did") or len(known) <= _MAX_NAMES else ""


def _checked(row: Row, spec: TaskSpec, labels: _Shared[Named], others: _Shared[str]) -> CheckedRow:
    if row.fault is not None:
        raise BadRowError(row.fault)
    text = document_cell(row, spec.text)
    endings = None if spec.endings is None else endings_cell(row, spec.endings)
    label: Named
    if endings is None:
        label = label_cell(row, spec.label, spec.label_separator)
    else:
        label = position_cell(row, spec.label, endings)
    return CheckedRow(
        number=row.number,
        text=text,
        label=labels[label],
        pair=None if spec.pair is None else others[document_cell(row, spec.pair)],
        endings=endings,
        group=None if spec.group is None else others[text_cell(row, spec.group)],
    )


def _counted_from_one(place: str, past: Row, column: str) -> TaskError:
    """Were such rows left out, all others would stand for the ending after the right one."""
    return TaskError(
        f"{place}:{past.number}: column {column!r} seems to count the endings from 1: it holds"
        f" {past.values[column]}, one more than the last position, and nowhere a 0; subtract 1 from"
        " every row, or give letters or the endings' texts"
    )


def _without(rows: Rows, bad: BadRows, fault: Callable[[CheckedRow], str | None]) -> Rows:
    """The rows in which nothing is wrong; the others are noted."""
    kept: Rows = {role: [] for role in rows}
    for role, part in rows.items():
        for row in part:
            reason = fault(row)
            if reason is None:
                kept[role].append(row)
            else:
                bad.add(role, row.number, reason)
    bad.settle()
    return kept
