"""What a submitted job does on the head: brings its files to safety, and supervises the driver."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from lexmove.app.inputs import keep_inputs
from lexmove.app.restoring import restore_study
from lexmove.app.running import BEGAN
from lexmove.app.stored import repetitions_of, settled_storage, store_url
from lexmove.cluster.package import JOB_NAME
from lexmove.cluster.supervisor import supervise
from lexmove.coordinator.driver_process import SUPERVISOR
from lexmove.coordinator.store import open_reader
from lexmove.errors import StoreError, StudyNotFoundError
from lexmove.job.loading import job_from_json

Say = Callable[[str], None]


def run_job(job_path: Path, *, store: str, say: Say) -> int:
    """A new study, driven to its end; returns the exit status.

    Raises:
        LexmoveError: it cannot begin.
    """
    folder = job_path.resolve().parent
    job = job_from_json(job_path.read_text(encoding="utf-8"))
    storage = settled_storage(job)
    kept = keep_inputs(folder, job.model_copy(update={"storage": storage}), storage)
    os.chdir(kept.parent)  # what the job names is beside it
    is_taken = progress_of(store, job.name) >= 0

    def words() -> Sequence[str]:
        # A driver that died before it made the study begins anew.
        if not is_taken and progress_of(store, job.name) >= 0:
            return _driver("resume", job.name, store=store)
        return _driver("tune", JOB_NAME, store=store)

    return _supervised(words, job.name, store=store, say=say)


def run_resume(
    name: str, *, store: str, extra_trials: int, storage: str | None = None, say: Say
) -> int:
    """A study that is there, driven to its end, `extra_trials` further; returns the exit status.

    Where the store has lost it, it is restored from its backup in `storage` first.

    Raises:
        StudyNotFoundError: it is not there.
    """
    if storage is not None and restore_study(name, store=store, storage=storage):
        say(f"restored study {name} from its backup")
    wanted = open_reader(store_url(None, store)).look(name).spec.num_trials + extra_trials

    def words() -> Sequence[str]:
        missing = 0
        with suppress(StoreError):  # the driver will say it
            missing = wanted - open_reader(store).look(name).spec.num_trials
        extra = ["--trials", str(missing)] if missing > 0 else []  # once, whoever dies
        return [*_driver("resume", name, store=store), *extra]

    return _supervised(words, name, store=store, say=say)


def _supervised(words: Callable[[], Sequence[str]], name: str, *, store: str, say: Say) -> int:
    os.environ[SUPERVISOR] = str(os.getpid())
    os.environ[BEGAN] = str(time.time())
    return supervise(words, lambda: progress_of(store, name), say=say)


def _driver(verb: str, what: str, *, store: str) -> list[str]:
    address = os.environ.get("RAY_ADDRESS", "auto")  # Ray tells its jobs where they are
    return [sys.executable, "-m", "lexmove", verb, what, "--store", store, "--address", address]


def progress_of(store: str, name: str) -> int:
    """What was measured and has ended of a study and its repetitions; -1 without a study.

    Other events are no progress: a driver that dies at once has preempted and continued what was
    running. Nor does a store show any that cannot be read just now.
    """
    try:
        reader = open_reader(store)
        study = reader.look(name)
        repetitions = repetitions_of(reader, study)
    except (StudyNotFoundError, StoreError):
        return -1
    trials = [*study.trials, *(() if repetitions is None else repetitions.trials)]
    return sum(len(trial.measurements) + trial.status.is_final for trial in trials)
