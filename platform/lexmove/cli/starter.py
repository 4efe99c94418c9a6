"""Writes the files a first study needs: a commented job, its schema and its search space."""

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lexmove.cli import templates
from lexmove.cli.guessing import Files
from lexmove.cli.guessing_columns import Columns
from lexmove.errors import UsageError, did_you_mean
from lexmove.job.schema import job_schema
from lexmove.trials.tasks.task import BUILT_IN


def built_in_job(task: str, *, out: Path, parallel: int) -> str:
    """The text of a job on a built-in task.

    Raises:
        UsageError: no such task.
    """
    if task not in BUILT_IN:
        raise UsageError(f"unknown task {task!r}{did_you_mean(task, tuple(BUILT_IN))}")
    section = templates.BUILT_IN_TASK.format(task=task)
    return _job(task.replace("_", "-"), section, out=out, parallel=parallel)


def files_job(files: Files, columns: Columns, *, out: Path, parallel: int) -> str:
    """The text of a job on the user's own files."""
    given = {"validation": files.validation, "test": files.test}
    paths = {split: path and _path_from(out, path) for split, path in given.items()}
    endings = list(columns.endings) if len(columns.endings) > 1 else columns.endings[:1]
    section = templates.FILES_TASK.format(
        train=_quoted(_path_from(out, files.train)),
        validation=_line("validation", paths["validation"], instead="more.csv"),
        test=_line("test", paths["test"], instead="last.csv"),
        text=_quoted(columns.text),
        label=_quoted(columns.label),
        separator=_line("label_separator", columns.label_separator, instead=";"),
        pair=_line("pair", columns.pair, instead="second_text"),
        endings=_line(
            "endings",
            endings[0] if len(endings) == 1 else endings or None,
            instead=["a", "b", "c"],
        ),
        group=_line("group", columns.group, instead="contract"),
    )
    stem = re.sub(r"^(train|training)$", files.train.resolve().parent.name, files.train.stem)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._") or "study"
    return _job(name[:100], section, out=out, parallel=parallel)


def assumptions(files: Files, columns: Columns) -> list[str]:
    """What was taken for what, a sentence each."""
    label = f"the {'labels (lists)' if columns.has_lists else 'class'} in {columns.label!r}"
    if columns.labels:
        shown = ", ".join(columns.labels[:5]) + (", …" if len(columns.labels) > 5 else "")
        label += f" ({shown})"
    pair = "" if columns.pair is None else f", judged together with {columns.pair!r}"
    told = [f"the text is in column {columns.text!r}{pair}, {label}"]
    if columns.endings:
        how = "counts them from 0" if columns.counts_from_0 else "says which one is right"
        told = [
            f"a multiple choice: {columns.text!r} goes on with one of "
            f"{', '.join(map(repr, columns.endings))}; {columns.label!r} {how}"
        ]
    if columns.runner_up is not None:
        told[0] += f"; or {columns.runner_up!r}? --label names it"
    if columns.label_separator is not None:
        told.append(f"several labels of a text are divided by {columns.label_separator!r}")
    if columns.group is not None:
        told.append(f"rows of one {columns.group!r} stay on one side of a split")
    told += columns.remarks
    given = {"validation": files.validation, "test": files.test}
    named = [f"{split} is {path.name}" for split, path in given.items() if path is not None]
    absent = [split for split, path in given.items() if path is None]
    if absent:
        named.append(f"{' and '.join(absent)} {'are' if absent[1:] else 'is'} split off it")
    told.append(f"train is {files.train.name}, {', '.join(named)}")
    return told


def _line(key: str, value: Any, *, instead: Any) -> str:
    """A line of the job; where there is no value, a comment that shows one."""
    return f"# {key}: {_quoted(instead)}" if value is None else f"{key}: {_quoted(value)}"


def _quoted(value: Any) -> str:
    """A text or list as YAML spells it whatever it holds: JSON is YAML."""
    return json.dumps(value, ensure_ascii=False)


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
    if force or not space.is_file():
        wanted[space] = templates.SPACE
    _check_no_folder(wanted, out)
    in_the_way = [path for path, text in wanted.items() if not force and _differs(path, text)]
    if in_the_way:
        names = ", ".join(map(str, in_the_way))
        raise UsageError(f"{names} would be overwritten: use --force, or another --out")
    _write_all(wanted)
    return list(wanted)


def _check_no_folder(wanted: Iterable[Path], out: Path) -> None:
    for path in wanted:
        if path.is_dir():
            way_out = f"say --out {path / 'job.yaml'}" if path == out else "choose another --out"
            raise UsageError(f"cannot write {path}: it is a folder, not a file; {way_out}")


def _differs(path: Path, text: str) -> bool:
    """Whether something else is there, which may be no text, or cannot be read."""
    try:
        return path.exists() and path.read_bytes() != text.encode()
    except OSError:
        return True


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
