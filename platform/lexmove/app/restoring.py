"""Brings a study back from its backup, where the store that had it is lost."""

from lexmove.app.claiming import check_own
from lexmove.app.stored import (
    absolute_storage,
    located,
    repetitions_dir,
    repetitions_of,
    store_url,
)
from lexmove.coordinator.backup import restore
from lexmove.coordinator.remote_storage import shown
from lexmove.coordinator.store import open_store
from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import StoreError, StudyNotFoundError
from lexmove.study.protocols import TrialStore
from lexmove.study.study import Study, StudySpec


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
        UsageError: its folder is that of a study in another store.
        StoreError: the store has it not, and its backup is damaged.
        LexmoveError: store or storage cannot be used.
    """
    url = store_url(None, store)
    opened = open_store(url)
    is_there, before = name in opened.names(), _num_events(opened, name)
    storage = absolute_storage(storage)
    study_dir = StudyDir.at(storage, name)
    check_own(study_dir, name, url)

    def as_now(spec: StudySpec) -> StudySpec:
        return located(Study(spec=spec), url, storage=storage).spec

    try:
        study = restore(opened, study_dir, as_now=as_now)
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
    repetitions = restore(opened, repetitions_dir(study, study_dir), as_now=as_now)
    restored = study.num_events + (0 if repetitions is None else repetitions.num_events)
    return restored > before


def _num_events(store: TrialStore, name: str) -> int:
    """Of a study and its repetitions, as far as they are in the store."""
    if name not in store.names():
        return 0
    study = store.load(name)
    repetitions = repetitions_of(store, study)
    return study.num_events + (0 if repetitions is None else repetitions.num_events)
