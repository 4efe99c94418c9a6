"""The door for Python: `lexmove.tune` and `lexmove.resume`, from a path or from objects."""

from pathlib import Path

from lexmove.app import running
from lexmove.app.progress import ProgressChoice, chosen
from lexmove.app.stored import Outcome
from lexmove.errors import UsageError
from lexmove.job.spec import JobSpec
from lexmove.space.loading import load_job_and_space
from lexmove.space.search_space import SearchSpace


def tune(
    job: str | Path | JobSpec,
    space: SearchSpace | None = None,
    *,
    store: str | None = None,
    address: str | None = None,
    progress: ProgressChoice = "auto",
) -> Outcome:
    """Runs a new study to its end.

    Args:
        job: the path of a job file, or a job.
        space: what may be tried; needed with a `JobSpec`, and instead of a file's own.
        store: URL of the study store; None for the job's own, `LEXMOVE_STORE`, or studies.db.
        address: of a Ray cluster; None runs on this machine.
        progress: told the phase in words and, while trials run, the study after each event.
            "auto" writes a line per phase and segment to stderr where that is a terminal or a
            notebook's; None is silent.

    Raises:
        UsageError: a `JobSpec` without a space, or a study of that name exists.
        InvalidFileError: mistakes in the files.
        LexmoveError: data, model, store or cluster cannot be used.
        NoSuccessfulTrialError: every trial failed.
    """
    if isinstance(job, JobSpec):
        if space is None:
            raise UsageError("a JobSpec needs its search space: tune(job, space)")
        return _tuned(job, space, store=store, address=address, progress=progress)
    spec, own = load_job_and_space(job)
    return _tuned(spec, space or own, store=store, address=address, progress=progress)


def _tuned(
    job: JobSpec,
    space: SearchSpace,
    *,
    store: str | None,
    address: str | None,
    progress: ProgressChoice,
) -> Outcome:
    return running.tune(job, space, store=store, address=address, progress=chosen(progress))


def resume(
    name: str,
    *,
    extra_trials: int = 0,
    store: str | None = None,
    address: str | None = None,
    progress: ProgressChoice = "auto",
) -> Outcome:
    """Goes on with a study, with `extra_trials` more in its budget. Idempotent.

    Args:
        name: the study's.
        extra_trials: how many trials more than its budget has.
        store: URL of the study store; None for `LEXMOVE_STORE`, or studies.db.
        address: of a Ray cluster; None runs on this machine.
        progress: as for `tune`.

    Raises:
        StudyNotFoundError: no study of that name.
        LexmoveError: as `tune`.
    """
    return running.resume(
        name,
        store=store,
        address=address,
        extra_trials=extra_trials,
        progress=chosen(progress),
    )
