"""Writes the page about a stored study, or about several side by side."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lexmove.app.stored import Outcome, job_of, outcome_of, repetitions_of, store_url, study_dir_of
from lexmove.coordinator.store import open_store
from lexmove.errors import StorageError, UsageError
from lexmove.job.spec import JobSpec
from lexmove.report.chronicle import chronicle_of
from lexmove.report.comparison import comparison_page
from lexmove.report.page import render
from lexmove.report.study_page import study_page
from lexmove.report.subject import Subject
from lexmove.results.profile import profile_of
from lexmove.study.protocols import TrialStore

_PACKAGES = ("lexmove", "ray", "torch", "transformers", "optuna", "numpy", "scikit-learn")


def write_report(names: Sequence[str], path: Path, *, store: str | None = None) -> None:
    """The page about one study; of several, what they have in common and what sets them apart.

    Raises:
        StudyNotFoundError: no study of one of the names.
        UsageError: a name twice, or a file that cannot be written.
    """
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise UsageError(f"study {twice[0]!r} is named twice: name each study once")
    url = store_url(None, store)
    opened = open_store(url)
    subjects = [_subject(opened, name, url) for name in names]
    page = study_page(subjects[0]) if len(subjects) == 1 else comparison_page(subjects)
    _write(path, render(page))


def _subject(store: TrialStore, name: str, url: str) -> Subject:
    outcome = outcome_of(store, store.load(name), url)
    study = outcome.study
    repetitions = repetitions_of(store, study)
    profiles = {"search": profile_of(study)}
    repeated_s = 0.0
    if repetitions is not None:
        profiles["repetitions"] = profile_of(repetitions)
        repeated_s = sum(
            item.duration_s for trial in repetitions.trials for item in trial.measurements
        )
    job = job_of(study) if study.spec.job else None
    return Subject(
        chronicle=chronicle_of(study),
        state=outcome.state,
        job=job,
        arms=outcome.arms,
        winner=outcome.winner,
        judgement=outcome.judgement,
        reference=outcome.reference,
        published=_published(outcome),
        profiles=profiles,
        repeated_s=repeated_s,
        software=_software(),
        data=None if job is None else _data(job),
    )


def _published(outcome: Outcome) -> dict[str, float]:
    """Test scores from the literature by model, where they are of the study's metric."""
    metric = outcome.study.spec.metric
    if metric not in ("f1_micro", "f1_macro"):
        return {}
    found = {item.model: getattr(item, metric) for item in outcome.published}
    return {model: score for model, score in found.items() if score is not None}


def _software() -> dict[str, str]:
    found = {"Python": platform.python_version(), "system": platform.platform(terse=True)}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _data(job: JobSpec) -> str | None:
    """The fingerprint of the data; None where it was not written, or is out of reach."""
    try:
        found = study_dir_of(job).read_json("data")
    except StorageError:
        return None
    return None if found is None else str(found)


def _write(path: Path, text: str) -> None:
    """Aside first, so that no half page is ever there."""
    if path.is_dir():
        raise UsageError(
            f"cannot write {path}: it is a folder, and the page is a file; say --output"
            f" {path / 'report.html'}"
        )
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise UsageError(
            f"cannot write {path} ({error.strerror}): give another place with --output"
        ) from None
