"""A study as an Optuna study: every event a trial attribute, mirrored into Optuna's own fields.

Written by one process at a time. The events are the truth; what Optuna's tools read is derived
from them. In a database events and mirror are one transaction. In a journal file an event is one
line and its mirror follows in others; whoever opens a study after a crash between the two shows
the last event again.
"""

import gc
import json
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from optuna.exceptions import DuplicatedStudyError, OptunaError
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.exc import SQLAlchemyError

from lexmove.coordinator.optuna_mirror import direction_of, mirrored, show, shows, trial_of
from lexmove.coordinator.optuna_tables import StoredEvent, TableWriter, stored_events
from lexmove.coordinator.store_location import connect, mend_torn_end, talking_to
from lexmove.coordinator.store_rules import (
    EVENT,
    JOB,
    SPEC,
    event_key,
    is_new,
    no_such_study,
    read_event,
    read_spec,
    study_exists,
    with_budget,
)
from lexmove.coordinator.store_url import locate_store
from lexmove.errors import StoreError, StudyNotFoundError
from lexmove.study.digest import digest_of
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import Event, Started, event_to_json


@dataclass(slots=True, kw_only=True)
class _Known:
    """What this process knows of a study: `optuna_ids` are the ids of its trials in Optuna.

    `newest` are id and number of the last of them.
    """

    study_id: int
    study: Study
    optuna_ids: "array[int]"
    newest: tuple[int, int] = (-1, -1)


class OptunaStore:
    """A `TrialStore` in SQLite, PostgreSQL or an Optuna journal file.

    Args:
        url: see `open_store`.

    Raises:
        UsageError: not a URL of a store.
    """

    def __init__(self, url: str) -> None:
        self._location = locate_store(url)
        self._storage: BaseStorage | None = None
        self._is_mended = False
        self._known: dict[str, _Known] = {}

    def create(self, spec: StudySpec) -> None:
        with self._talking(f"create study {spec.name!r} in"):
            storage = self._writable()
            study_id = self._create_empty(storage, spec)
            storage.set_study_user_attr(study_id, JOB, spec.job)
            self._write_spec(storage, study_id, spec)  # last: it makes the study one of ours
            self._known[spec.name] = _Known(
                study_id=study_id, study=Study(spec=spec), optuna_ids=array("q")
            )

    def append(self, name: str, *events: Event) -> Study:
        with self._talking(f"write study {name!r} to"):
            known = self._known.get(name)
            if known is None or any(event.seq > known.study.num_events for event in events[:1]):
                known = self._read(name, is_writer=True)
            storage = self._writable()
            if isinstance(storage, RDBStorage):
                _write_rows(storage, known, events)
            else:
                _write_lines(storage, known, events)
            return known.study

    def load(self, name: str) -> Study:
        with self._talking(f"read study {name!r} from"):
            return self._read(name, is_writer=False).study

    def look(self, name: str) -> Study:
        return self.load(name)

    def names(self) -> tuple[str, ...]:
        with self._talking("read"):
            storage = self._readable()
            return () if storage is None else _names(storage)

    def extend(self, name: str, num_trials: int) -> None:
        with self._talking(f"write study {name!r} to"):
            known = self._read(name, is_writer=True)
            spec = with_budget(known.study.spec, num_trials)
            self._write_spec(self._writable(), known.study_id, spec)
            known.study = replace(known.study, spec=spec)

    @contextmanager
    def _talking(self, doing: str) -> Iterator[None]:
        """Errors become sentences; what was known before one is looked up again after it."""
        try:
            with talking_to(self._location, doing):
                yield
        except BaseException:
            self._known.clear()
            self._storage, self._is_mended = None, False
            raise

    def _readable(self) -> BaseStorage | None:
        """The storage; None where there is no file yet, so that reading does not make one."""
        if self._storage is None and self._location.exists:
            self._storage = connect(self._location)
        return self._storage

    def _writable(self) -> BaseStorage:
        self._mend()
        if self._storage is None:
            self._storage = connect(self._location)
        return self._storage

    def _mend(self) -> None:
        if not self._is_mended:
            mend_torn_end(self._location)
            self._is_mended = True

    def _create_empty(self, storage: BaseStorage, spec: StudySpec) -> int:
        """Creates the Optuna study, or takes up one whose creation was cut short."""
        try:
            return storage.create_new_study([direction_of(spec)], spec.name)
        except DuplicatedStudyError:
            study_id = storage.get_study_id_from_name(spec.name)
            attributes = storage.get_study_user_attrs(study_id)
            is_begun = (
                set(attributes) <= {JOB}
                and storage.get_study_directions(study_id) == [direction_of(spec)]
                and not storage.get_n_trials(study_id)
            )
            if is_begun:
                return study_id
            place = str(self._location)
            if SPEC in attributes:
                raise StoreError(study_exists(spec.name, place)) from None
            raise StoreError(
                f"{place} holds an Optuna study {spec.name!r} that lexmove did not write: "
                "give the new study another name"
            ) from None

    @staticmethod
    def _write_spec(storage: BaseStorage, study_id: int, spec: StudySpec) -> None:
        text = json.dumps(replace(spec, job="").to_json())
        storage.set_study_user_attr(study_id, SPEC, text)

    def _read(self, name: str, *, is_writer: bool) -> _Known:
        storage = self._writable() if is_writer and self._location.exists else self._readable()
        study_id, attributes = self._find(storage, name)
        assert storage is not None, "a study was found in it"
        spec = read_spec(name, spec=attributes[SPEC], job=attributes.get(JOB, ""))
        with _gc_paused():
            events, optuna_ids, newest = _read_events(name, _stored(storage, study_id))
        whole: list[Event] = []
        while len(whole) in events:
            whole.append(events[len(whole)])
        # A reader may have seen an event whose predecessor was written while it read.
        is_whole = len(whole) == len(events)
        if is_writer and not is_whole:
            raise StoreError(
                f"study {name!r} lacks event {len(whole)}, so it can be read but not continued; "
                "restore the store from a copy, or start a study of another name"
            )
        study = Study.from_events(spec, whole)
        known = _Known(study_id=study_id, study=study, optuna_ids=optuna_ids, newest=newest)
        is_shown = not whole or self._show_again(storage, known, whole[-1], is_writer=is_writer)
        if is_whole and is_shown:
            self._known[name] = known
        return known

    def _find(self, storage: BaseStorage | None, name: str) -> tuple[int, dict[str, Any]]:
        if storage is not None:
            try:
                study_id = storage.get_study_id_from_name(name)
            except KeyError:
                pass
            else:
                attributes = storage.get_study_user_attrs(study_id)
                if SPEC in attributes:
                    return study_id, attributes
        known = () if storage is None else _names(storage)
        raise StudyNotFoundError(no_such_study(name, known, str(self._location)))

    def _show_again(
        self, storage: BaseStorage, known: _Known, event: Event, *, is_writer: bool
    ) -> bool:
        """Shows the last event if a crash prevented that; whether it is shown now.

        A reader that may not write leaves it as it is.
        """
        optuna_id = known.optuna_ids[event.trial_id]
        if not is_writer and shows(storage.get_trial(optuna_id), event, known.study.spec.metric):
            return True
        try:
            self._mend()
            show(storage, optuna_id, event, known.study)
        except (OSError, OptunaError, SQLAlchemyError):
            if is_writer:
                raise
            return False
        return True


def _write_rows(storage: RDBStorage, known: _Known, events: Iterable[Event]) -> None:
    """Writes events to a database, all or none."""
    study, optuna_ids = known.study, array("q", known.optuna_ids[:0])
    first = len(known.optuna_ids)
    with storage.engine.begin() as connection:
        writer = TableWriter(connection, known.study_id, known.newest)
        for event in events:
            if not is_new(study, event):
                continue
            study = study.with_event(event)
            key, text = event_key(event.seq), event_to_json(event)
            if isinstance(event, Started):
                optuna_ids.append(writer.start(event, study.spec.space, key, text))
                continue
            new = event.trial_id - first
            optuna_id = optuna_ids[new] if new >= 0 else known.optuna_ids[event.trial_id]
            writer.add(optuna_id, key, text, mirrored(event, study))
        if study is not known.study:
            writer.finish(digest_of(study))
    known.study, known.newest = study, writer.newest
    known.optuna_ids.extend(optuna_ids)


def _write_lines(storage: BaseStorage, known: _Known, events: Iterable[Event]) -> None:
    """Writes events to a journal file, one after the other."""
    for event in events:
        if not is_new(known.study, event):
            continue
        key, text = event_key(event.seq), event_to_json(event)
        if isinstance(event, Started):
            template = trial_of(known.study.spec.space, event, {key: text})
            known.optuna_ids.append(storage.create_new_trial(known.study_id, template))
        else:
            storage.set_trial_user_attr(known.optuna_ids[event.trial_id], key, text)
        known.study = known.study.with_event(event)
        show(storage, known.optuna_ids[event.trial_id], event, known.study)


def _names(storage: BaseStorage) -> tuple[str, ...]:
    return tuple(
        study.study_name for study in storage.get_all_studies() if SPEC in study.user_attrs
    )


def _stored(storage: BaseStorage, study_id: int) -> Iterator[StoredEvent]:
    """All events of a study, by trial; trials of others have none."""
    if isinstance(storage, RDBStorage):
        yield from stored_events(storage, study_id)
        return
    for trial in storage.get_all_trials(study_id, deepcopy=False):
        for key, text in trial.user_attrs.items():
            if key.startswith(EVENT):
                yield StoredEvent(trial._trial_id, trial.number, key, text)


def _read_events(
    name: str, stored: Iterable[StoredEvent]
) -> tuple[dict[int, Event], "array[int]", tuple[int, int]]:
    """All events by `seq`, the ids of the trials in Optuna, and id and number of the newest."""
    events: dict[int, Event] = {}
    ids: dict[int, int] = {}
    newest = (-1, -1)
    for item in stored:
        event = read_event(name, item.key, item.number, item.text)
        events[event.seq] = event
        ids[event.trial_id] = item.optuna_id
        newest = max(newest, (item.optuna_id, item.number))
    return events, array("q", [ids[trial_id] for trial_id in sorted(ids)]), newest


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
