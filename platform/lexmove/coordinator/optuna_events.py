"""What an Optuna study holds of ours: all events of its trials, and one attribute of its own."""

import gc
import json
from array import array
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any

from optuna.storages import BaseStorage, RDBStorage

from lexmove.coordinator.optuna_tables import StoredEvent, stored_attribute, stored_events
from lexmove.coordinator.store_rules import EVENT, read_event
from lexmove.study.trial import Event


def read_events(
    name: str, storage: BaseStorage, study_id: int
) -> tuple[dict[int, Event], "array[int]", tuple[int, int]]:
    """All events by `seq`, the ids of the trials in Optuna, and id and number of the newest.

    Raises:
        StoreError: one cannot be read.
    """
    events: dict[int, Event] = {}
    ids: dict[int, int] = {}
    newest = (-1, -1)
    # Closed even where an event cannot be read: the error would otherwise hold the connection.
    with _gc_paused(), closing(_stored(storage, study_id)) as stored:
        for item in stored:
            event = read_event(name, item.key, item.number, item.text)
            events[event.seq] = event
            ids[event.trial_id] = item.optuna_id
            newest = max(newest, (item.optuna_id, item.number))
    return events, array("q", [ids[trial_id] for trial_id in sorted(ids)]), newest


def read_attribute(storage: BaseStorage, study_id: int, key: str) -> Any:
    """A system attribute of a study; None where it has none."""
    if not isinstance(storage, RDBStorage):
        return storage.get_study_system_attrs(study_id).get(key)
    found = stored_attribute(storage, study_id, key)
    return None if found is None else json.loads(found)


def _stored(storage: BaseStorage, study_id: int) -> Generator[StoredEvent]:
    """All events of a study, by trial; trials of others have none."""
    if isinstance(storage, RDBStorage):
        yield from stored_events(storage, study_id)
        return
    for trial in storage.get_all_trials(study_id, deepcopy=False):
        for key, text in trial.user_attrs.items():
            if key.startswith(EVENT):
                yield StoredEvent(trial._trial_id, trial.number, key, text)


@contextmanager
def _gc_paused() -> Iterator[None]:
    """Without the cyclic garbage collector, which doubles the time of reading 10,000 trials."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
