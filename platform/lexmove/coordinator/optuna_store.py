"""A study as an Optuna study: every event a trial attribute, mirrored into Optuna's own fields.

Written by one process at a time. The events are the truth; what Optuna's tools read is derived
from them. In a database events and mirror are one transaction; it fails where somebody else has
written to the study. A server that goes away is waited for; then the study is read anew, and what
it lacks is written. In a journal file an event is one line and its mirror follows in others;
whoever opens a study after a crash between the two shows the last event again.
"""

import json
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, TypeVar

from optuna.exceptions import DuplicatedStudyError, OptunaError
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from lexmove.coordinator.optuna_events import read_attribute, read_events
from lexmove.coordinator.optuna_mirror import direction_of, mirrored, show, shows, trial_of
from lexmove.coordinator.optuna_tables import (
    OvertakenError,
    TableWriter,
    delete_study,
    stored_attribute,
)
from lexmove.coordinator.store_location import (
    connect,
    connect_if_there,
    mend_torn_end,
    talking_to,
)
from lexmove.coordinator.store_rules import (
    DIGEST,
    HEARTBEAT,
    JOB,
    SPEC,
    event_key,
    extended,
    is_new,
    no_such_study,
    read_spec,
    study_exists,
)
from lexmove.coordinator.store_server import PATIENCE_S, Listener, Outage, is_away
from lexmove.coordinator.store_url import locate_store
from lexmove.errors import StoreError, StudyNotFoundError
from lexmove.study.digest import digest_of
from lexmove.study.heartbeat import Heartbeat
from lexmove.study.starts import PlannedStart
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import Event, Started, event_to_json

_T = TypeVar("_T")
_S = TypeVar("_S", bound=BaseStorage | None)


@dataclass(slots=True, kw_only=True)
class _Known:
    """What this process knows of a study: `optuna_ids` are the ids of its trials in Optuna.

    `newest` are id and number of the last of them; `digest` is what a database says that the
    study comes to.
    """

    study_id: int
    study: Study
    optuna_ids: "array[int]"
    newest: tuple[int, int] = (-1, -1)
    digest: str | None = None


class OptunaStore:
    """A `TrialStore` in SQLite, PostgreSQL or an Optuna journal file.

    Args:
        url: see `open_store`.
        patience_s: how long a server is waited for that was there and went away.

    Raises:
        UsageError: not a URL of a store.
    """

    def __init__(self, url: str, *, patience_s: float = PATIENCE_S) -> None:
        self._location = locate_store(url)
        self._patience_s = patience_s
        self._storage: BaseStorage | None = None
        self._is_mended = False
        self._known: dict[str, _Known] = {}
        self._was_there = False
        # Half of it is left for other connections then.
        self._listener = Listener(patience_s / 2) if self._location.path is None else None

    def create(self, spec: StudySpec) -> None:
        tries = count()
        self._talk(
            f"create study {spec.name!r} in",
            lambda: self._create(spec, is_again=next(tries) > 0),
        )

    def append(self, name: str, *events: Event) -> Study:
        return self._talk(
            f"write study {name!r} to", lambda: self._append(name, events), is_short=True
        )

    def load(self, name: str) -> Study:
        return self._talk(
            f"read study {name!r} from", lambda: self._read(name, is_writer=False).study
        )

    def look(self, name: str) -> Study:
        return self.load(name)

    def names(self) -> tuple[str, ...]:
        return self._talk("read", lambda: _names(self._readable()))

    def extend(self, name: str, num_trials: int, starts: Sequence[PlannedStart] = ()) -> None:
        self._talk(f"write study {name!r} to", lambda: self._extend(name, num_trials, starts))

    def delete(self, name: str) -> None:
        self._talk(f"delete study {name!r} in", lambda: self._delete(name))

    def heartbeat(self, name: str) -> Heartbeat | None:
        return self._talk(f"read study {name!r} from", lambda: self._heartbeat(name))

    def beat(self, name: str, heartbeat: Heartbeat | None) -> None:
        self._talk(f"write study {name!r} to", lambda: self._beat(name, heartbeat))

    def _talk(self, doing: str, act: Callable[[], _T], *, is_short: bool = False) -> _T:
        """Does something with the store; again where a server was away.

        A server that was never there is an error at once: its URL may be wrong. One that takes
        too long over what `is_short` is hung up on.
        """
        began_s = time.monotonic()
        outage: Outage | None = None
        while True:
            listener = self._listener if is_short else None
            listening = listener.listening() if listener else nullcontext()
            try:
                with self._talking(doing), listening:
                    done = act()
            except StoreError as error:
                is_server = self._location.path is None
                if not (is_server and self._was_there and is_away(error.__cause__)):
                    raise
                outage = outage or Outage(self._location, self._patience_s, began_s)
                outage.wait(error)
            else:
                self._was_there = True
                if outage is not None:
                    outage.end()
                return done

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

    def _create(self, spec: StudySpec, *, is_again: bool) -> None:
        storage = self._writable()
        study_id = self._create_empty(storage, spec, is_again=is_again)
        # As `optuna.Study.set_metric_names` does: dashboards then call the objective by its name.
        storage.set_study_system_attr(study_id, "study:metric_names", [spec.metric])
        storage.set_study_user_attr(study_id, JOB, spec.job)
        self._write_spec(storage, study_id, spec)  # last: it makes the study one of ours
        self._known[spec.name] = _Known(
            study_id=study_id, study=Study(spec=spec), optuna_ids=array("q")
        )

    def _append(self, name: str, events: tuple[Event, ...]) -> Study:
        known = self._known.get(name)
        if known is None or any(event.seq > known.study.num_events for event in events[:1]):
            known = self._read(name, is_writer=True)
        storage = self._writable()
        if not isinstance(storage, RDBStorage):
            _write_lines(storage, known, events)
            return known.study
        try:
            _write_rows(storage, known, events)
        except (OvertakenError, IntegrityError):
            # By another process, or by this one over a connection that broke in its commit.
            known = self._read(name, is_writer=True)
            _write_rows(storage, known, events)
        return known.study

    def _extend(self, name: str, num_trials: int, starts: Sequence[PlannedStart]) -> None:
        known = self._read(name, is_writer=True)
        spec = extended(known.study.spec, num_trials, starts)
        self._write_spec(self._writable(), known.study_id, spec)
        known.study = replace(known.study, spec=spec)

    def _delete(self, name: str) -> None:
        storage = self._writable()
        study_id, _ = self._find(storage, name)
        if isinstance(storage, RDBStorage):
            delete_study(storage, study_id)
        else:
            storage.delete_study(study_id)
        self._known.pop(name, None)

    def _heartbeat(self, name: str) -> Heartbeat | None:
        storage = self._readable()
        study_id, _ = self._find(storage, name)
        assert storage is not None, "a study was found in it"
        return Heartbeat.from_json(read_attribute(storage, study_id, HEARTBEAT))

    def _beat(self, name: str, heartbeat: Heartbeat | None) -> None:
        storage = self._writable()
        study_id, _ = self._find(storage, name)
        value = None if heartbeat is None else heartbeat.to_json()
        storage.set_study_system_attr(study_id, HEARTBEAT, value)

    def _readable(self) -> BaseStorage | None:
        """The storage; None where there is none yet, so that reading does not make one."""
        if self._storage is None:
            self._storage = self._listened_to(connect_if_there(self._location))
        return self._storage

    def _writable(self) -> BaseStorage:
        self._mend()
        if self._storage is None:
            self._storage = self._listened_to(connect(self._location))
        return self._storage

    def _listened_to(self, storage: _S) -> _S:
        if self._listener is not None and isinstance(storage, RDBStorage):
            self._listener.attach(storage.engine)
        return storage

    def _mend(self) -> None:
        if not self._is_mended:
            mend_torn_end(self._location)
            self._is_mended = True

    def _create_empty(self, storage: BaseStorage, spec: StudySpec, *, is_again: bool) -> int:
        """Creates the Optuna study, or takes up one whose creation was cut short.

        `is_again`: by a server that went away; all may be done then, but for the answer.
        """
        try:
            return storage.create_new_study([direction_of(spec)], spec.name)
        except DuplicatedStudyError:
            study_id = storage.get_study_id_from_name(spec.name)
            attributes = storage.get_study_user_attrs(study_id)
            is_begun = (
                set(attributes) <= ({JOB, SPEC} if is_again else {JOB})
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
        if is_writer:
            self._mend()
        storage = self._readable()
        study_id, attributes = self._find(storage, name)
        assert storage is not None, "a study was found in it"
        # Read first: it may be behind the events then, and never ahead of them.
        digest = (
            stored_attribute(storage, study_id, DIGEST) if isinstance(storage, RDBStorage) else None
        )
        spec = read_spec(name, spec=attributes[SPEC], job=attributes.get(JOB, ""))
        events, optuna_ids, newest = read_events(name, storage, study_id)
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
        known = _Known(
            study_id=study_id, study=study, optuna_ids=optuna_ids, newest=newest, digest=digest
        )
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
        known = None if self._location.is_missing else _names(storage)
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
    study, digest, optuna_ids = known.study, known.digest, array("q")
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
            digest = digest_of(study)
            writer.finish(digest, known=known.digest)
    known.study, known.newest, known.digest = study, writer.newest, digest
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


def _names(storage: BaseStorage | None) -> tuple[str, ...]:
    if storage is None:
        return ()
    return tuple(
        study.study_name for study in storage.get_all_studies() if SPEC in study.user_attrs
    )
