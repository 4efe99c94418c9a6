"""Stops a study that runs on this machine, and finds what was written of one."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from lexmove.app.stored import job_of, look, look_all, store_url, study_dir_of
from lexmove.coordinator.driver_process import pid_here, shown
from lexmove.coordinator.heartbeats import runner_of
from lexmove.coordinator.store import open_reader
from lexmove.coordinator.study_dir import StudyDir
from lexmove.coordinator.trial_log import log_file
from lexmove.errors import StorageError, StudyFailedError, StudyNotFoundError, UsageError
from lexmove.study.protocols import TrialReader

_PATIENCE_S = 120.0
"""A driver leaves between two events; its workers may take their time."""

_POLL_S = 0.2


def stop_here(name: str, *, store: str | None) -> None:
    """Asks the process that runs a study to leave, and waits until it has.

    Raises:
        UsageError: no process of this machine runs it.
        StudyFailedError: it does not leave.
    """
    reader = open_reader(store_url(None, store))
    study_dir = study_dir_of(job_of(reader.look(name)))
    runner = _runner(reader, name, study_dir)
    pid = None if runner is None else pid_here(runner)
    if runner is not None and pid is None:
        raise UsageError(
            f"study {name!r} is run on another machine, by process {shown(runner)}: run "
            f"`lexmove stop` there; of a cluster, `lexmove stop {name} --address http://HOST:8265`"
        )
    if pid is None:
        raise UsageError(
            f"study {name!r} is not running on this machine; one that runs on a cluster is stopped "
            f"by `lexmove stop {name} --address http://HOST:8265`"
        )
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise UsageError(
            f"study {name!r} is run by process {pid}, which belongs to another user: ask them"
        ) from error
    until_s = time.monotonic() + _PATIENCE_S
    while _runner(reader, name, study_dir) is not None:
        if time.monotonic() > until_s:
            raise StudyFailedError(
                f"process {pid} has not left study {name!r} within {_PATIENCE_S:g} s; "
                f"`kill -9 {pid}` ends it, and nothing that was measured is lost"
            )
        time.sleep(_POLL_S)


def log_of(name: str | None, trial_id: int | None, *, store: str | None) -> Path:
    """The file that holds what a study's driver said, or one of its trials.

    Args:
        name: the study's; None for the last one of the store.
        trial_id: None for the driver.
        store: URL of the store.

    Raises:
        UsageError: there is none.
        StudyNotFoundError: no such study.
    """
    name = name or last_study(store)
    study_dir = _study_dir(name, store)
    path = study_dir.log if trial_id is None else log_file(study_dir.trial(trial_id))
    # It grows where the study runs.
    with suppress(StorageError):
        path = study_dir.kept(path, is_newest=not study_dir.is_locked())
    if path.exists():
        return path
    if trial_id is None:
        raise UsageError(f"nothing was kept of what the driver of study {name!r} said: no {path}")
    num = len(look(name, store=store).study.trials)
    known = f"its trials: 0 to {num - 1}" if num else "it has no trials yet"
    raise UsageError(f"trial {trial_id} of study {name!r} has left no log; {known}")


def is_running_here(name: str, *, store: str | None) -> bool:
    """Whether a process holds a study."""
    return _study_dir(name, store).is_locked()


def last_study(store: str | None) -> str:
    """The study that was begun last.

    Raises:
        StudyNotFoundError: there is none.
    """
    outcomes = look_all(store=store)
    if not outcomes:
        raise StudyNotFoundError("there is no study in the store yet")
    return outcomes[-1].study.spec.name


def _runner(reader: TrialReader, name: str, study_dir: StudyDir) -> str | None:
    """The process that runs a study, here or elsewhere; None where nobody does."""
    return study_dir.runner() if study_dir.is_locked() else runner_of(reader, name)


def _study_dir(name: str, store: str | None) -> StudyDir:
    return study_dir_of(job_of(look(name, store=store).study))
