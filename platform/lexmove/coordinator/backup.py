"""The backup of a study: its spec and its events in its own folder, should the store be lost.

The folder outlives the machine that has the store wherever a job says so (`storage`). A study is
backed up while it runs, beside it, so that what is lost with a store is some seconds of it.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from lexmove.coordinator.stage import Stage
from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import LexmoveError, StoreError
from lexmove.study.protocols import TrialStore
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import Event, event_from_json, event_to_json

_INTERVAL_S = 5.0
_SHARE = 0.01
"""Of the time that writing may take: a large study is written less often."""

_BATCH = 1000
"""Events that a store is given at once."""

Say = Callable[[str], object]


@contextmanager
def backed_up(stage: Stage, say: Say, *, interval_s: float = _INTERVAL_S) -> Iterator[Stage]:
    """The stage, backed up in the body and once more at its end.

    A backup that cannot be written ends no study: `say` is told of it once.
    """
    backup = _Backup(stage.study_dir, say, interval_s)

    def on_change(study: Study) -> None:
        stage.on_change(study)
        backup.of(study)

    try:
        yield replace(stage, on_change=on_change)
    finally:
        backup.close()


class _Backup:
    """Writes what is new, on a thread of its own: a remote storage may take its time."""

    def __init__(self, study_dir: StudyDir, say: Say, interval_s: float) -> None:
        self._study_dir = study_dir
        self._path = backup_file(study_dir)
        self._say: Say | None = say
        self._interval_s = interval_s
        self._study: Study | None = None
        self._lock = threading.Lock()
        self._taken: list[Event] = []
        self._num_taken = 0
        self._begins = True
        self._is_waiting = False
        self._due_s = 0.0
        self._is_closing = threading.Event()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="backup")

    def of(self, study: Study) -> None:
        """Takes what is new of a study, to be written once the last time was long ago.

        Also where nothing happens for hours after it: then, too, it must not be lost.
        """
        with self._lock:
            if self._study is not None and study.spec is not self._study.spec:
                self._taken, self._num_taken, self._begins = [], 0, True  # its first line, too
            # Read here: a study's index is no matter for two threads.
            self._taken += study.events_since(self._num_taken)
            self._study, self._num_taken = study, study.num_events
            if self._taken and not self._is_waiting:
                self._is_waiting = True
                self._writer.submit(self._write_when_due)

    def _write_when_due(self) -> None:
        self._is_closing.wait(max(0.0, self._due_s - time.monotonic()))
        with self._lock:
            self._is_waiting = False
            if self._study is None or not self._taken:
                return
            spec, events, begins = self._study.spec, self._taken, self._begins
            self._taken, self._begins = [], False
        self._write(spec, events, begins)

    def _write(self, spec: StudySpec, events: Sequence[Event], begins: bool) -> None:
        begun_s = time.monotonic()
        try:
            lines = "".join(f"{event_to_json(event)}\n" for event in events)
            if begins:
                aside = self._path.with_suffix(".new")
                aside.write_text(f"{json.dumps(spec.to_json())}\n{lines}", encoding="utf-8")
                aside.replace(self._path)
            else:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(lines)
            self._study_dir.keep(self._path)
            self._study_dir.keep(self._study_dir.log)
        except (OSError, LexmoveError) as error:
            with self._lock:  # all of it, the next time
                self._taken, self._num_taken, self._begins = [], 0, True
            self._complain(error)
        took_s = time.monotonic() - begun_s
        self._due_s = begun_s + max(self._interval_s, took_s / _SHARE)

    def _complain(self, error: Exception) -> None:
        if self._say is not None:
            self._say(f"the study goes on, but its backup cannot be written: {error}")
            self._say = None

    def close(self) -> None:
        """Writes what is not written yet."""
        self._is_closing.set()
        self._writer.submit(lambda: None).result()
        if self._study is not None:
            self.of(self._study)  # where it could not be written: once more
        self._writer.shutdown()


def backup_file(study_dir: StudyDir) -> Path:
    """A line with the spec, then one for each event."""
    return study_dir.root / "study.jsonl"


def is_backup_of(study_dir: StudyDir, study: Study) -> bool:
    """Whether a folder on this machine holds the backup of this very study, however old.

    Wherever its project was when it was begun or written: two runs of one job, each in a folder of
    its own, differ in when their first trial began.
    """
    try:
        with backup_file(study_dir).open(encoding="utf-8") as file:
            spec, first = StudySpec.from_json(json.loads(file.readline())), file.readline()
        return _is_same(study, spec, event_from_json(first) if first else None)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _is_same(study: Study, spec: StudySpec, first: Event | None = None) -> bool:
    """Whether a backup with this spec and this first event is of a study, as far as both go."""
    there = replace(
        study.spec, num_trials=spec.num_trials, starts=spec.starts, job=_without_places(study.spec)
    )
    has_same_job = there == replace(spec, job=_without_places(spec))
    return has_same_job and (first is None or not study.trials or study.trials[0].started == first)


def _without_places(spec: StudySpec) -> str:
    """The job of a study but for where it has its files: a project may be moved."""

    def bare(value: Any) -> Any:
        if isinstance(value, str):
            return Path(value).name if value.startswith("/") else value
        if isinstance(value, dict):
            return {key: bare(item) for key, item in value.items() if key != "storage"}
        return [bare(item) for item in value] if isinstance(value, list) else value

    return json.dumps(bare(json.loads(spec.job)), sort_keys=True) if spec.job else ""


def restore(
    store: TrialStore,
    study_dir: StudyDir,
    *,
    as_now: Callable[[StudySpec], StudySpec] = lambda spec: spec,
) -> Study | None:
    """Gives a store what it lacks of a study, all of it or some; None where there is no backup.

    `as_now` gives a spec the places that its files have by now.

    Raises:
        StorageError: the remote storage cannot be read.
        StoreError: the backup is damaged or another study's, or the store cannot be written.
    """
    if study_dir.storage is not None:  # a copy of it is to come
        study_dir.root.mkdir(parents=True, exist_ok=True)
    path = study_dir.kept(backup_file(study_dir), is_newest=True)
    if not path.exists():
        return None
    spec, events = _read(path)
    if spec.name not in store.names():
        store.create(as_now(spec))
    else:
        study = store.load(spec.name)
        there = study.spec
        if not _is_same(study, spec):  # of events that differ the store says so itself
            raise StoreError(
                f"the backup {path} is of another study {spec.name!r} than the one in the store: "
                "move it away, and resume without it"
            )
        if spec.num_trials > there.num_trials:
            # An older copy: it lacks the trials that were bought since, and what was asked for.
            store.extend(spec.name, spec.num_trials, spec.starts[len(there.starts) :])
    for first in range(0, len(events), _BATCH):
        store.append(spec.name, *events[first : first + _BATCH])
    return store.load(spec.name)


def _read(path: Path) -> tuple[StudySpec, list[Event]]:
    try:
        # A line without its end was being written when the machine went. Not by `splitlines`,
        # which would also cut at what Unicode calls an end of a line within a text.
        whole = path.read_bytes().decode().split("\n")[:-1]
        spec = StudySpec.from_json(json.loads(whole[0]))
        return spec, [event_from_json(line) for line in whole[1:]]
    except (IndexError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"the backup {path} is damaged or was written by another version of lexmove "
            f"({type(error).__name__}); use that version, or start a study of another name"
        ) from error
