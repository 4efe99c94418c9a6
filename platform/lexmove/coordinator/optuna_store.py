"""A study as an Optuna study: every event a trial attribute, mirrored into Optuna's own fields.

Written by one process at a time. The events are the truth; what Optuna's tools read is derived
from them. An event is one transaction, its mirror follows in others, and whoever opens the study
after a crash between the two shows the last event again.
"""

import gc
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from optuna.exceptions import DuplicatedStudyError, OptunaError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from lexmove.coordinator.optuna_mirror import direction_of, show, shows, trial_of
from lexmove.coordinator.store_location import connect, locate_store, mend_torn_end, talking_to
from lexmove.coordinator.store_rules import is_new, no_such_study, study_exists, with_budget
from lexmove.errors import StoreError, StudyNotFoundError
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import Event, Started, event_from_json, event_to_json

_SPEC, _JOB, _EVENT = "lexmove_spec", "job", "event_"


@dataclass(slots=True, kw_only=True)
class _Known:
    """What this process knows of a study: `numbers` maps trial ids to Optuna's trial numbers."""

    study_id: int
    study: Study
    numbers: dict[int, int]
    optuna_ids: dict[int, int]


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
            storage.set_study_user_attr(study_id, _JOB, spec.job)
            self._write_spec(storage, study_id, spec)  # last: it makes the study one of ours
            self._known[spec.name] = _Known(
                study_id=study_id, study=Study(spec=spec), numbers={}, optuna_ids={}
            )

    def append(self, name: str, event: Event) -> None:
        with self._talking(f"write study {name!r} to"):
            known = self._known.get(name)
            if known is None or event.seq > known.study.num_events:
                known = self._read(name, is_writer=True)
            if is_new(known.study, event):
                self._write(self._writable(), known, event)

    def load(self, name: str) -> Study:
        with self._talking(f"read study {name!r} from"):
            return self._read(name, is_writer=False).study

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
                set(attributes) <= {_JOB}
                and storage.get_study_directions(study_id) == [direction_of(spec)]
                and not storage.get_n_trials(study_id)
            )
            if is_begun:
                return study_id
            place = str(self._location)
            if _SPEC in attributes:
                raise StoreError(study_exists(spec.name, place)) from None
            raise StoreError(
                f"{place} holds an Optuna study {spec.name!r} that lexmove did not write: "
                "give the new study another name"
            ) from None

    @staticmethod
    def _write_spec(storage: BaseStorage, study_id: int, spec: StudySpec) -> None:
        text = json.dumps(replace(spec, job="").to_json())
        storage.set_study_user_attr(study_id, _SPEC, text)

    def _read(self, name: str, *, is_writer: bool) -> _Known:
        storage = self._writable() if is_writer and self._location.exists else self._readable()
        study_id, attributes = self._find(storage, name)
        assert storage is not None, "a study was found in it"
        spec = _read_spec(name, attributes)
        with _gc_paused():
            trials = storage.get_all_trials(study_id, deepcopy=False)
            events, numbers = _read_events(name, trials)
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
        known = _Known(study_id=study_id, study=study, numbers=numbers, optuna_ids={})
        is_shown = not whole or self._show_again(
            storage, known, whole[-1], trials[numbers[whole[-1].trial_id]], is_writer=is_writer
        )
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
                if _SPEC in attributes:
                    return study_id, attributes
        known = () if storage is None else _names(storage)
        raise StudyNotFoundError(no_such_study(name, known, str(self._location)))

    def _show_again(
        self,
        storage: BaseStorage,
        known: _Known,
        event: Event,
        trial: FrozenTrial,
        *,
        is_writer: bool,
    ) -> bool:
        """Shows the last event if a crash prevented that; whether it is shown now.

        A reader that may not write leaves it as it is.
        """
        if not is_writer and shows(trial, event, known.study.spec.metric):
            return True
        try:
            self._mend()
            optuna_id = self._optuna_id(storage, known, event.trial_id)
            show(storage, optuna_id, event, known.study)
        except (OSError, OptunaError, SQLAlchemyError):
            if is_writer:
                raise
            return False
        return True

    def _write(self, storage: BaseStorage, known: _Known, event: Event) -> None:
        key, text = f"{_EVENT}{event.seq:06d}", event_to_json(event)
        if isinstance(event, Started):
            template = trial_of(known.study.spec.space, event, {key: text})
            optuna_id = storage.create_new_trial(known.study_id, template)
            known.optuna_ids[event.trial_id] = optuna_id
        else:
            optuna_id = self._optuna_id(storage, known, event.trial_id)
            storage.set_trial_user_attr(optuna_id, key, text)
        known.study = known.study.with_event(event)
        show(storage, optuna_id, event, known.study)

    @staticmethod
    def _optuna_id(storage: BaseStorage, known: _Known, trial_id: int) -> int:
        if trial_id not in known.optuna_ids:
            known.optuna_ids[trial_id] = storage.get_trial_id_from_study_id_trial_number(
                known.study_id, known.numbers[trial_id]
            )
        return known.optuna_ids[trial_id]


def _names(storage: BaseStorage) -> tuple[str, ...]:
    return tuple(
        study.study_name for study in storage.get_all_studies() if _SPEC in study.user_attrs
    )


def _read_spec(name: str, attributes: Mapping[str, Any]) -> StudySpec:
    try:
        return StudySpec.from_json({**json.loads(attributes[_SPEC]), "job": attributes[_JOB]})
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"study {name!r} cannot be read: its spec was damaged or written by another version "
            "of lexmove; use that version, or start a study of another name"
        ) from error


def _read_events(
    name: str, trials: Sequence[FrozenTrial]
) -> tuple[dict[int, Event], dict[int, int]]:
    """All events by `seq`, and each trial's number in Optuna; trials of others are passed over."""
    events: dict[int, Event] = {}
    numbers: dict[int, int] = {}
    for trial in trials:
        for key, text in trial.user_attrs.items():
            if not key.startswith(_EVENT):
                continue
            try:
                event = event_from_json(text)
            except ValueError as error:
                raise StoreError(
                    f"study {name!r} cannot be read: {key} of trial {trial.number} was damaged or "
                    "written by another version of lexmove; use that version, or start a study of "
                    "another name"
                ) from error
            events[event.seq] = event
            numbers[event.trial_id] = trial.number
    return events, numbers


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
