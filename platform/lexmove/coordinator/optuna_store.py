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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import count
from typing import Any, TypeVar

from optuna.exceptions import DuplicatedStudyError, OptunaError
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from lexmove.coordinator.optuna_events import (
    add_request,
    drop_requests,
    read_attribute,
    read_events,
    read_requests,
    replace_attribute,
)
from lexmove.coordinator.optuna_mirror import direction_of, show, shows
from lexmove.coordinator.optuna_tables import (
    OvertakenError,
    delete_study,
    stored_attribute,
)
from lexmove.coordinator.optuna_writing import KnownStudy, write_lines, write_rows
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
    extended,
    no_such_study,
    read_spec,
    requested,
    study_exists,
)
from lexmove.coordinator.store_server import PATIENCE_S, Listener, Outage, is_away
from lexmove.coordinator.store_url import locate_store
from lexmove.errors import StoreError, StudyNotFoundError
from lexmove.study.heartbeat import Heartbeat
from lexmove.study.starts import PlannedStart
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import Event

_T = TypeVar("_T")
_S = TypeVar("_S", bound=BaseStorage | None)


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
        self._known: dict[str, KnownStudy] = {}
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

    def request(self, name: str, start: PlannedStart) -> None:
        self._talk(
            f"write study {name!r} to", lambda: add_request(*self._place(name, write=True), start)
        )

    def requests(self, name: str) -> tuple[PlannedStart, ...]:
        found = self._talk(f"read study {name!r} from", lambda: read_requests(*self._place(name)))
        return tuple(found.values())

    def plan_requests(self, name: str) -> Study | None:
        return self._talk(f"write study {name!r} to", lambda: self._plan_requests(name))

    def heartbeat(self, name: str) -> Heartbeat | None:
        said = self._talk(
            f"read study {name!r} from", lambda: read_attribute(*self._place(name), HEARTBEAT)
        )
        return Heartbeat.from_json(said)

    def beat(
        self, name: str, heartbeat: Heartbeat | None, *, instead_of: Heartbeat | None = None
    ) -> bool:
        new, old = (None if said is None else said.to_json() for said in (heartbeat, instead_of))
        return self._talk(
            f"write study {name!r} to",
            lambda: replace_attribute(*self._place(name, write=True), HEARTBEAT, new, known=old),
        )

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
        self._known[spec.name] = KnownStudy(
            study_id=study_id, study=Study(spec=spec), optuna_ids=array("q")
        )

    def _append(self, name: str, events: tuple[Event, ...]) -> Study:
        known = self._known.get(name)
        if known is None or any(event.seq > known.study.num_events for event in events[:1]):
            known = self._read(name, is_writer=True)
        storage = self._writable()
        if not isinstance(storage, RDBStorage):
            write_lines(storage, known, events)
            return known.study
        try:
            write_rows(storage, known, events)
        except (OvertakenError, IntegrityError):
            # By another process, or by this one over a connection that broke in its commit.
            known = self._read(name, is_writer=True)
            write_rows(storage, known, events)
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

    def _plan_requests(self, name: str) -> Study | None:
        known = self._known.get(name) or self._read(name, is_writer=True)
        storage = self._writable()
        requests = read_requests(storage, known.study_id)
        if not requests:
            return None
        spec = requested(known.study, list(requests.values()))
        if spec is not None:
            self._write_spec(storage, known.study_id, spec)
            known.study = replace(known.study, spec=spec)
        # Last: should this process die before it, the next one finds that they are known.
        drop_requests(storage, known.study_id, requests)
        return None if spec is None else known.study

    def _place(self, name: str, *, write: bool = False) -> tuple[BaseStorage, int]:
        """Where a study is: the storage and its id there."""
        storage = self._writable() if write else self._readable()
        study_id, _ = self._find(storage, name)
        assert storage is not None, "a study was found in it"
        return storage, study_id

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

    def _read(self, name: str, *, is_writer: bool) -> KnownStudy:
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
        known = KnownStudy(
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
        self, storage: BaseStorage, known: KnownStudy, event: Event, *, is_writer: bool
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


def _names(storage: BaseStorage | None) -> tuple[str, ...]:
    if storage is None:
        return ()
    return tuple(
        study.study_name for study in storage.get_all_studies() if SPEC in study.user_attrs
    )
