"""Brings a study back from its backup, where the store that had it is lost."""

from pathlib import Path

from lexmove.app.stored import repetitions_dir, repetitions_of, store_url
from lexmove.coordinator.backup import restore
from lexmove.coordinator.remote_storage import shown
from lexmove.coordinator.store import open_store
from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import StoreError, StudyNotFoundError
from lexmove.job.storage import is_remote
from lexmove.study.protocols import TrialStore


def restore_study(name: str, *, store: str | None, storage: str) -> bool:
    """Gives a store what it lacks of a study and its repetitions.

    Args:
        name: the study's.
        store: URL of the store.
        storage: what the study's job called so, a folder or a URI.

    Returns:
        Whether it lacked something.

    Raises:
        StudyNotFoundError: neither the store nor the storage has the study.
        StoreError: the store has it not, and its backup is damaged.
        LexmoveError: store or storage cannot be used.
    """
    opened = open_store(store_url(None, store))
    is_there, before = name in opened.names(), _num_events(opened, name)
    if not is_remote(storage):
        storage = str(Path(storage).expanduser().absolute())
    study_dir = StudyDir.at(storage, name)
    try:
        study = restore(opened, study_dir)
    except StoreError:
        if is_there:  # what is in the store needs no backup, and gets a new one
            return False
        raise
    if study is None and is_there:
        return False
    if study is None:
        raise StudyNotFoundError(
            f"no study {name!r} in the store, and no backup of it in {shown(storage)}: give the "
            "`storage` of its job"
        )
    repetitions = restore(opened, repetitions_dir(study, study_dir))
    restored = study.num_events + (0 if repetitions is None else repetitions.num_events)
    return restored > before


def _num_events(store: TrialStore, name: str) -> int:
    """Of a study and its repetitions, as far as they are in the store."""
    if name not in store.names():
        return 0
    study = store.load(name)
    repetitions = repetitions_of(store, study)
    return study.num_events + (0 if repetitions is None else repetitions.num_events)
