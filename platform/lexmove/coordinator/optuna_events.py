"""What an Optuna study holds of ours: all events of its trials, its own attributes and requests."""

import gc
import json
from array import array
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from optuna.storages import BaseStorage, RDBStorage

from lexmove.coordinator.optuna_tables import (
    StoredEvent,
    add_attribute,
    delete_attributes,
    exchange_attribute,
    stored_attribute,
    stored_events,
    stored_requests,
)
from lexmove.coordinator.store_rules import EVENT, REQUEST, read_event, request_key
from lexmove.study.starts import PlannedStart
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


def replace_attribute(
    storage: BaseStorage, study_id: int, key: str, value: Any, *, known: Any = None
) -> bool:
    """Sets a system attribute of a study; with `known` only if it is that; whether it was set.

    In a database by one statement, whatever befalls this process in the midst of it; a journal
    file is read just before.
    """
    if known is not None:
        if isinstance(storage, RDBStorage):
            return exchange_attribute(
                storage, study_id, key, json.dumps(value), known=json.dumps(known)
            )
        if read_attribute(storage, study_id, key) != known:
            return False
    storage.set_study_system_attr(study_id, key, value)
    return True


def read_requests(storage: BaseStorage, study_id: int) -> dict[str, PlannedStart]:
    """The starts that were requested of a study, by key, oldest first."""
    if isinstance(storage, RDBStorage):
        found = stored_requests(storage, study_id)
    else:
        attributes = storage.get_study_system_attrs(study_id)
        # What was taken out of a journal is there without a value.
        keys = [key for key in sorted(attributes) if key.startswith(REQUEST) and attributes[key]]
        found = {key: attributes[key] for key in keys}
    return {key: PlannedStart.from_json(json.loads(text)) for key, text in found.items()}


def add_request(storage: BaseStorage, study_id: int, start: PlannedStart) -> None:
    """Leaves a start with a study, whoever else writes to it."""
    key, text = request_key(), json.dumps(start.to_json())
    if isinstance(storage, RDBStorage):
        add_attribute(storage, study_id, key, text)
    else:
        storage.set_study_system_attr(study_id, key, text)


def drop_requests(storage: BaseStorage, study_id: int, keys: Iterable[str]) -> None:
    """Takes requests away from a study."""
    if isinstance(storage, RDBStorage):
        delete_attributes(storage, study_id, keys)
        return
    for key in keys:
        storage.set_study_system_attr(study_id, key, None)


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
