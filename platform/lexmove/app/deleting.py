"""Deletes a study: first its folder, then what the store holds, so that it can be done again."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from lexmove.app.claiming import is_folder_of
from lexmove.app.stored import job_of, located, repetitions_before, store_url, study_dir_of
from lexmove.coordinator.driver_process import being_run
from lexmove.coordinator.heartbeats import runner_of
from lexmove.coordinator.store import open_reader, open_store
from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import UsageError
from lexmove.study.study import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Doomed:
    """What `delete` would take away.

    `place` is the study's folder, or where in a remote storage that is, and None where it has none;
    `size_bytes` is what lies there on this machine. `is_kept` says that it is another store's
    study's by now, and stays.
    """

    study: Study
    place: str | None
    size_bytes: int = 0
    is_kept: bool = False


def about_to_delete(name: str, *, store: str | None = None) -> Doomed:
    """What belongs to a study; changes nothing.

    Raises:
        StudyNotFoundError: no study of that name.
    """
    url = store_url(None, store)
    study = located(open_reader(url).look(name), url)
    if not study.spec.job:
        return Doomed(study=study, place=None)
    study_dir = study_dir_of(job_of(study))
    return Doomed(
        study=study,
        place=study_dir.place,
        size_bytes=_size(study_dir.root),
        is_kept=not is_folder_of(study_dir, url),
    )


def delete(name: str, *, store: str | None = None) -> None:
    """Deletes a study with its repetitions, checkpoints, logs and model.

    Whoever learned from it keeps what was learned. May be called again where it was cut short.

    Raises:
        StudyNotFoundError: no study of that name.
        UsageError: somebody runs it.
        StoreError: the store or the folder cannot be written.
        StorageError: the remote storage cannot.
    """
    url = store_url(None, store)
    opened = open_store(url)
    study = located(opened.load(name), url)
    study_dir = _study_dir(study, url)
    if runner := runner_of(opened, name):
        raise UsageError(being_run(name, runner))
    is_here = study_dir is not None and study_dir.root.exists()
    with study_dir.locked() if study_dir is not None and is_here else nullcontext():
        if study_dir is not None:
            study_dir.remove()
        for item in (*repetitions_before(study, opened.names()).values(), name):
            opened.delete(item)


def _study_dir(study: Study, url: str) -> StudyDir | None:
    """The folder of a study; None where it has none, or where that is another store's by now."""
    if not study.spec.job:
        return None
    study_dir = study_dir_of(job_of(study))
    return study_dir if is_folder_of(study_dir, url) else None


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
