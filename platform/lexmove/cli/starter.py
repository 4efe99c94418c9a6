"""Writes the files a first study needs: a commented job, its schema and its search space."""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lexmove.cli import templates
from lexmove.errors import UsageError, did_you_mean
from lexmove.job.schema import job_schema
from lexmove.trials.tasks.rows import Row, read_rows
from lexmove.trials.tasks.task import BUILT_IN

_LOOKED_AT = 500
"""Rows that are looked at to tell the columns apart."""

_MAX_CLASSES = 50
_TEXT_NAMES = ("text", "clause", "content", "body", "sentence", "document", "paragraph")
_LABEL_NAMES = ("label", "labels", "class", "category", "type", "target", "topic")
_GROUP_NAMES = ("group", "contract", "contract_id", "case", "case_id", "company", "doc_id", "file")
_SEPARATORS = (";", "|")
_MIN_GROUPS = 10
"""Groups below which a split by them would be a lottery."""


def built_in_job(task: str, *, out: Path, parallel: int) -> str:
    """The text of a job on a built-in task.

    Raises:
        UsageError: no such task.
    """
    if task not in BUILT_IN:
        raise UsageError(f"unknown task {task!r}{did_you_mean(task, tuple(BUILT_IN))}")
    section = templates.BUILT_IN_TASK.format(task=task)
    return _job(task.replace("_", "-"), section, out=out, parallel=parallel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which columns of a file are what.

    `label_separator` divides labels where a text has several; `group` keeps contracts, cases or
    companies apart. None where there is no such thing.
    """

    text: str
    label: str
    label_separator: str | None = None
    group: str | None = None


def files_job(data: Path, columns: Columns, *, out: Path, parallel: int) -> str:
    """The text of a job on the user's own file."""
    separator, group = columns.label_separator, columns.group
    section = templates.FILES_TASK.format(
        train=_quoted(_path_from(out, data)),
        text=_quoted(columns.text),
        label=_quoted(columns.label),
        separator=_line("label_separator", separator, instead=";"),
        group=_line("group", group, instead="contract"),
    )
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", data.stem).strip("-._") or "study"
    return _job(name[:100], section, out=out, parallel=parallel)


def _line(key: str, value: str | None, *, instead: str) -> str:
    """A line of the job; where there is no value, a comment that shows one."""
    return f"# {key}: {_quoted(instead)}" if value is None else f"{key}: {_quoted(value)}"


def _quoted(text: str) -> str:
    """A text as YAML spells it whatever it holds: JSON is YAML."""
    return json.dumps(text, ensure_ascii=False)


def _path_from(out: Path, data: Path) -> str:
    """The data's path as the job file may name it: from its own folder, else in full."""
    data, folder = data.resolve(), out.resolve().parent
    return str(data.relative_to(folder) if data.is_relative_to(folder) else data)


def _job(name: str, task: str, *, out: Path, parallel: int) -> str:
    return templates.JOB.format(
        name=name, task=task, file=out.name, space=templates.SPACE_NAME, parallel=parallel
    )


def write_starter(job: str, *, out: Path, force: bool) -> list[Path]:
    """Writes the job and what it names; a search space that is there already is kept.

    Returns:
        The files that were written.

    Raises:
        UsageError: a file is in the way, or the folder cannot be written.
    """
    wanted = {
        out: job,
        out.parent / templates.SCHEMA_NAME: json.dumps(job_schema(), indent=2) + "\n",
    }
    space = out.parent / templates.SPACE_NAME
    if force or not space.exists():
        wanted[space] = templates.SPACE
    in_the_way = [path for path, text in wanted.items() if not force and _differs(path, text)]
    if in_the_way:
        names = ", ".join(map(str, in_the_way))
        raise UsageError(f"{names} would be overwritten: use --force, or another --out")
    _write_all(wanted)
    return list(wanted)


def _differs(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") != text


def _write_all(wanted: Mapping[Path, str]) -> None:
    """Writes all files aside, then renames them: a full disk leaves none of them behind."""
    asides = {path: path.with_name(f".{path.name}.new") for path in wanted}
    path = next(iter(wanted))
    try:
        for path, text in wanted.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            asides[path].write_text(text, encoding="utf-8")
        for path, aside in asides.items():
            aside.replace(path)
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror}; choose another folder with --out"
        ) from None
    finally:
        for aside in asides.values():
            with suppress(OSError):
                aside.unlink(missing_ok=True)


def pick_columns(data: Path, *, text: str | None, label: str | None) -> Columns:
    """The columns of a data file that hold the text and the class, guessed where not given.

    Whether labels are several, and what belongs together, is guessed in any case.

    Raises:
        TaskError: the file cannot be read.
        UsageError: a given column is not there, or none can be told to be the one.
    """
    rows = read_rows(data)[:_LOOKED_AT]
    columns = tuple(dict.fromkeys(name for row in rows for name in row.values))
    for option, name in (("--text", text), ("--label", label)):
        if name is not None and name not in columns:
            raise UsageError(
                f"{data} has no column {name!r} ({option}){did_you_mean(name, columns)}"
            )
    cells = {name: _cells(rows, name) for name in columns}
    label = label or _label_column({name: cells[name] for name in columns if name != text})
    text = text or _text_column({name: cells[name] for name in columns if name != label})
    if text is None or label is None:
        missing = "--text" if text is None else "--label"
        raise UsageError(
            f"cannot tell which column of {data} to use: give {missing}; "
            f"columns: {', '.join(columns)}"
        )
    others = {name: cells[name] for name in columns if name not in (text, label)}
    return Columns(
        text=text,
        label=label,
        label_separator=_separator(cells[label]),
        group=_group_column(others),
    )


def _separator(labels: Sequence[Any]) -> str | None:
    """What divides several labels of a text: in a tenth of the cells, and the parts come again."""
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
    lengths = {
        name: sum(map(len, values)) / len(values)
        for name, values in cells.items()
        if values and all(isinstance(value, str) for value in values)
    }
    named = _by_name(lengths, _TEXT_NAMES)
    return named or max(lengths, key=lambda name: lengths[name], default=None)


def _label_column(cells: Mapping[str, list[Any]]) -> str | None:
    """By name, else the column with the fewest values, each of them several times."""
    num_values = {
        name: len(set(map(str, values)))
        for name, values in cells.items()
        if values and 2 <= len(set(map(str, values))) <= min(_MAX_CLASSES, len(values) // 2)
    }
    named = _by_name(num_values, _LABEL_NAMES)
    return named or min(num_values, key=lambda name: num_values[name], default=None)


def _by_name(columns: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    lowered = {column.lower(): column for column in columns}
    return next((lowered[name] for name in names if name in lowered), None)
