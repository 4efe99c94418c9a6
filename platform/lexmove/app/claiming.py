"""The folder of a study: nobody else's, and of a new one nothing in it of an earlier one."""

from contextlib import suppress
from pathlib import Path

from lexmove.app.execution import Progress
from lexmove.coordinator.backup import backup_file
from lexmove.coordinator.store import open_store
from lexmove.coordinator.store_url import locate_store
from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import LexmoveError, UsageError
from lexmove.job.loading import job_from_json
from lexmove.job.spec import JobSpec

_STORE = "store"
"""The file in a study's folder that says which store the study is in."""


def claim(study_dir: StudyDir, job: JobSpec, url: str, progress: Progress) -> str:
    """Sees that the study of a job may have its folder, and makes way for it.

    Returns:
        Where its store is, for `record_place`.

    Raises:
        UsageError: it is the folder of a study that another store holds, or may hold, or that is
            running.
        LexmoveError: the folder or the storage cannot be used.
    """
    place = _place_of(url)
    _check_no_backup(job, study_dir)
    _check_no_other(job, study_dir, place)
    _make_way(job, study_dir, progress)
    return place


def record_place(study_dir: StudyDir, place: str) -> None:
    """Writes down in the folder which store holds its study."""
    study_dir.write_json(_STORE, {"url": place})


def is_folder_of(study_dir: StudyDir, url: str) -> bool:
    """Whether a folder is, as far as it knows, that of a study in the store at a URL."""
    left = study_dir.read_json(_STORE)
    return left is None or _place_of(left["url"]) == _place_of(url)


def check_own(study_dir: StudyDir, name: str, url: str) -> None:
    """Refuses to go on in the folder of a study that another store holds: both would write there.

    Databases that a server keeps may have several URLs, and are taken at their word.

    Raises:
        UsageError: a study of that name is in a store at another place, and this is its folder.
    """
    file = store_file(url)
    if study_dir.storage is not None or file is None or is_folder_of(study_dir, url):
        return
    other = study_dir.read_json(_STORE)["url"]
    if not _has_folder(other, name, study_dir.root, file):
        return
    raise UsageError(
        f"{study_dir.root} is the folder of study {name!r} in another store, {other}, and would be "
        f"mixed with that: go on with that one (`lexmove resume {name} --store {other}`), or with "
        f"a copy of the folder: `lexmove resume {name} --storage FOLDER`, where it is FOLDER/{name}"
    )


def _has_folder(other: str, name: str, root: Path, file: Path) -> bool:
    """Whether another store than the one in this file holds a study whose folder is this."""
    there = store_file(other)
    with suppress(OSError):
        if there is not None and there.samefile(file):  # by another way there
            return False
    try:
        spec = open_store(other).look(name).spec
        storage = job_from_json(spec.job).storage if spec.job else None
    except LexmoveError:  # that store or its study is gone, or nobody's to ask
        return False
    if storage is None:
        return False
    recorded = Path(storage, name)
    beside = recorded if there is None else there.parent / recorded.parent.name / name
    return root.resolve() in (recorded.resolve(), beside.resolve())


def take_over(study_dir: StudyDir, url: str) -> None:
    """Makes the folder of a study that goes on; one that says another store's is this one's now.

    Raises:
        LexmoveError: it cannot be written.
    """
    study_dir.create()
    is_ours = study_dir.storage is None and store_file(url) is not None
    if is_ours and not is_folder_of(study_dir, url):
        record_place(study_dir, _place_of(url))


def store_file(url: str) -> Path | None:
    """The file that a store is in; None where a server or this process keeps it."""
    return None if url.startswith("memory:") else locate_store(url).path


def _place_of(url: str) -> str:
    """A store's URL that is the same from any folder and by any way there, without a password."""
    if url.startswith("memory:"):
        return url
    location = locate_store(url)
    if location.path is None:
        return str(location)
    return f"{'journal' if location.is_journal else 'sqlite'}:///{location.path.resolve()}"


def _check_no_other(job: JobSpec, study_dir: StudyDir, place: str) -> None:
    """Refuses to write over the folder of a study that another store still holds."""
    left = study_dir.read_json(_STORE)
    other = place if left is None else left["url"]
    if _place_of(other) == place:
        return
    try:
        is_there = job.name in open_store(other).names()
    except LexmoveError:  # that store is gone, or nobody's to ask
        return
    if is_there:
        raise UsageError(
            f"{study_dir.root} belongs to study {job.name!r} of {other}, whose model and results "
            "would be lost: change `name` or `storage` in the job, or go on with that one "
            f"(`lexmove resume {job.name} --store {other}`)"
        )


def _check_no_backup(job: JobSpec, study_dir: StudyDir) -> None:
    """Refuses to write over a study in a remote storage, of which another store knows."""
    if study_dir.storage is not None and study_dir.kept(backup_file(study_dir)).exists():
        raise UsageError(
            f"storage {study_dir.storage} holds a study {job.name!r} that is not in this store: "
            f"`lexmove resume {job.name} --storage {study_dir.storage}` restores it and goes on; "
            "for a new one change `name` in the job"
        )


def _make_way(job: JobSpec, study_dir: StudyDir, progress: Progress) -> None:
    """Sets the folder of an earlier study aside, whose store is gone: it would be mixed with this.

    Its backup would be taken for this one's, and its judgement.
    """
    if study_dir.storage is not None or not backup_file(study_dir).exists():
        return
    if study_dir.is_locked():
        raise UsageError(
            f"another process writes {study_dir.root}: change `name` or `storage` in the job"
        )
    aside = study_dir.set_aside()
    progress(f"an earlier study {job.name!r}, which is not in this store, is now in {aside}", None)
