"""Prepared data: a task's tokens and labels, made once per node and mapped into every process.

One process reads and tokenises the task and keeps the arrays on disk; all others, and later
studies, map the same pages of memory. A folder that cannot be written costs time, never the result.
"""

import fcntl
import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from lexmove.errors import TaskError
from lexmove.job.spec import TaskSpec
from lexmove.trials.recipe import Encoding, Recipe
from lexmove.trials.stopwatch import Stopwatch
from lexmove.trials.tasks.cache import default_cache_dir
from lexmove.trials.tasks.task import TaskData, load_task
from lexmove.trials.tokens import Tokens, tokenized

_RECIPE = 2
"""Part of the name: raise it whenever the same data would give other arrays."""

_SPLITS = ("train", "validation", "test")

_ABOUT = "about.json"

_KEPT_S = 14 * 24 * 3600.0
"""Tokens that nobody has mapped for so long are deleted."""

_MAX_IN_MEMORY = 4
"""Preparations that a process keeps open: studies may search the length of texts."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """What is to be prepared: a task, tokenised for a model.

    `data` is the fingerprint that the task must have; empty takes what is there.
    """

    task: TaskSpec
    data: str = ""
    model_name: str
    max_length: int
    max_segments: int | None = None
    encoding: Encoding = "joint"

    @classmethod
    def of(cls, recipe: Recipe, *, task: TaskSpec, data: str, model_name: str) -> "Preparation":
        """What a trial of this recipe needs."""
        return cls(
            task=task,
            data=data,
            model_name=model_name,
            max_length=recipe.max_length,
            max_segments=recipe.max_segments,
            encoding=recipe.encoding,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """All that training and scoring need of a task: class names, and the tokens of every split."""

    labels: tuple[str, ...]
    no_label_column: bool
    fingerprint: str
    splits: Mapping[str, Tokens]

    @property
    def is_multi_label(self) -> bool:
        """Whether a text has any number of labels, and not just one."""
        return self.splits["train"].is_multi_label


_prepared: dict[Preparation, Prepared] = {}
_tasks: dict[TaskSpec, TaskData] = {}


def prepare(wanted: Preparation, clock: Stopwatch | None = None) -> Prepared:
    """The prepared data; read, mapped or made, once per process.

    Raises:
        TaskError: the task cannot be loaded, or is not the one of that fingerprint.
        ModelError: the tokenizer cannot be loaded.
    """
    if wanted not in _prepared:
        while len(_prepared) >= _MAX_IN_MEMORY:
            del _prepared[next(iter(_prepared))]
        _prepared[wanted] = _mapped_or_made(wanted, clock or Stopwatch())
    return _prepared[wanted]


def task_of(spec: TaskSpec) -> TaskData:
    """The texts of a task, read once per process; those of one task at a time.

    Raises:
        TaskError: the task cannot be loaded.
    """
    if spec not in _tasks:
        _tasks.clear()
        _tasks[spec] = load_task(spec)
    return _tasks[spec]


def forget_data() -> None:
    """Reads data anew from here on: files may have changed."""
    _prepared.clear()
    _tasks.clear()


def _mapped_or_made(wanted: Preparation, clock: Stopwatch) -> Prepared:
    from lexmove.trials.model import load_tokenizer

    with clock.phase("load"):
        tokenizer = load_tokenizer(wanted.model_name)
        fingerprint = wanted.data or task_of(wanted.task).fingerprint
        name = _name(wanted, fingerprint, tokenizer)
        folder = None if name is None else default_cache_dir() / "tokens" / name
        found = None if folder is None else _read(folder)
    if found is not None:
        return found
    with clock.phase("tokenise"), _alone(folder):
        found = None if folder is None else _read(folder)  # another process may have been first
        if found is None:
            with clock.phase("load"):
                task = task_of(wanted.task)
            found = _made(wanted, task, tokenizer)
            found = found if folder is None else _kept(folder, found)
    return found


def _made(wanted: Preparation, task: TaskData, tokenizer: Any) -> Prepared:
    if wanted.data not in ("", task.fingerprint):
        raise TaskError(
            f"the data of task {task.name!r} on this machine are not those that the study began"
            " with: texts, labels or splits differ; give every node the same files"
        )
    splits = {
        name: tokenized(
            task.split(name),
            tokenizer,
            max_length=wanted.max_length,
            max_segments=wanted.max_segments,
            encoding=wanted.encoding,
        )
        for name in _SPLITS
    }
    return Prepared(
        labels=task.labels,
        no_label_column=task.no_label_column,
        fingerprint=task.fingerprint,
        splits=splits,
    )


def _name(wanted: Preparation, fingerprint: str, tokenizer: Any) -> str | None:
    """The folder's name, of all that its content depends on; None where that cannot be told."""
    if not getattr(tokenizer, "is_fast", False):
        return None
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    for last_used in ("truncation", "padding"):
        rules.pop(last_used, None)
    said = [
        _RECIPE,
        fingerprint,
        # Whether there is a column of no label: the task's name or the job says it, not the data.
        wanted.task.name,
        wanted.task.no_label_column,
        rules,
        # What a tokenizer adds to its rules when it is called.
        tokenizer.model_input_names,
        tokenizer.truncation_side,
        tokenizer.split_special_tokens,
        tokenizer.pad_token_id,
        wanted.max_length,
        wanted.max_segments,
        wanted.encoding,
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]


def _kept(folder: Path, made: Prepared) -> Prepared:
    """Writes the arrays aside and renames them into place; returns them mapped."""
    aside = folder.with_name(f".{folder.name}.{uuid4().hex}")
    try:
        aside.mkdir(parents=True)
        about: dict[str, Any] = {
            "labels": made.labels,
            "no_label_column": made.no_label_column,
            "fingerprint": made.fingerprint,
            "splits": {name: _write(aside, name, split) for name, split in made.splits.items()},
        }
        (aside / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
        aside.replace(folder)
        _delete_old(folder.parent)
    except OSError as error:
        _log.warning("cannot keep the tokens in %s (%s): every process makes them", folder, error)
        return made
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return _read(folder) or made


def _write(folder: Path, name: str, tokens: Tokens) -> dict[str, Any]:
    """Arrays go to files of their own; what is not one is returned."""
    rest = {}
    for item in fields(Tokens):
        value = getattr(tokens, item.name)
        if isinstance(value, np.ndarray):
            np.save(folder / f"{name}.{item.name}.npy", value)
        else:
            rest[item.name] = value
    return rest


def _read(folder: Path) -> Prepared | None:
    """What is kept in a folder, mapped; None where nothing whole is."""
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        splits = {
            name: Tokens(**{**_arrays(folder, name), **rest})
            for name, rest in about["splits"].items()
        }
        (folder / _ABOUT).touch()
        return Prepared(
            labels=tuple(about["labels"]),
            no_label_column=about["no_label_column"],
            fingerprint=about["fingerprint"],
            splits=splits,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _arrays(folder: Path, name: str) -> dict[str, NDArray[Any]]:
    return {
        # A plain view: indexing a memmap costs ten times as much.
        path.name.split(".")[1]: np.asarray(np.load(path, mmap_mode="r"))
        for path in folder.glob(f"{name}.*.npy")
    }


def _delete_old(parent: Path) -> None:
    """Deletes what nobody has used for long; those who have it open keep their pages."""
    for about in parent.glob(f"*/{_ABOUT}"):
        if time.time() - about.stat().st_mtime > _KEPT_S:
            shutil.rmtree(about.parent, ignore_errors=True)


@contextmanager
def _alone(folder: Path | None) -> Iterator[None]:
    """Holds other processes of this node back while one prepares tokens; a death lets go."""
    if folder is None:
        yield
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        file = (folder.parent / ".lock").open("w")
    except OSError:
        yield
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:  # some network file systems have no locks
            _log.info("no lock in %s: %s", folder.parent, error)
        yield
