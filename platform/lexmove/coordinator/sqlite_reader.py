"""Reads a SQLite store by its digests: a study of ten thousand trials opens like one of ten.

With Python's own driver and a few statements on Optuna's tables, since Optuna takes longer to load
than a command may last. Whatever is out of the ordinary is left to the whole store.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import overload

from lexmove.coordinator.store_rules import (
    DIGEST,
    EVENT,
    HEARTBEAT,
    JOB,
    REQUEST,
    SPEC,
    event_key,
    no_such_study,
    read_event,
    read_spec,
)
from lexmove.coordinator.store_url import StoreLocation
from lexmove.errors import StudyNotFoundError
from lexmove.study.digest import study_of
from lexmove.study.heartbeat import Heartbeat
from lexmove.study.protocols import TrialReader
from lexmove.study.starts import PlannedStart
from lexmove.study.study import Study
from lexmove.study.trial import Event, Trial

_NAMES = """
    SELECT study_name FROM studies JOIN study_user_attributes USING (study_id)
    WHERE key = ? ORDER BY study_id
"""
_STUDY = "SELECT study_id FROM studies WHERE study_name = ?"
_ATTRIBUTES = """
    SELECT key, value_json FROM study_user_attributes WHERE study_id = :study
    UNION ALL SELECT key, value_json FROM study_system_attributes WHERE study_id = :study
"""
_ATTRIBUTE = """
    SELECT value_json FROM studies JOIN study_system_attributes USING (study_id)
    WHERE study_name = ? AND key = ?
"""
_REQUESTS = """
    SELECT value_json FROM studies JOIN study_system_attributes USING (study_id)
    WHERE study_name = :study AND key >= :request AND key < :request || '~' ORDER BY key
"""
_TRIALS = "SELECT trial_id FROM trials WHERE study_id = ? ORDER BY trial_id"
_HAS_EVENT = """
    SELECT 1 FROM trials JOIN trial_user_attributes USING (trial_id)
    WHERE study_id = ? AND key = ? LIMIT 1
"""
_EVENTS = """
    SELECT trial_id, number, key, value_json FROM trials JOIN trial_user_attributes
    USING (trial_id) WHERE trial_id BETWEEN :first AND :last
    AND study_id = (SELECT study_id FROM trials WHERE trial_id = :first)
    AND key >= :event AND key < :event || '~'
    ORDER BY trial_id, trial_user_attribute_id
"""


class SqliteReader:
    """A `TrialReader` of one file.

    Args:
        location: of the file.
        whole: the store, asked where there is no digest or where something is wrong.
    """

    def __init__(self, location: StoreLocation, *, whole: Callable[[], TrialReader]) -> None:
        assert location.path is not None, "SQLite is in a file"
        self._location, self._path = location, location.path
        self._whole = whole

    def names(self) -> tuple[str, ...]:
        try:
            with closing(_connect(self._path)) as connection:
                return tuple(name for (name,) in connection.execute(_NAMES, [SPEC]))
        except sqlite3.Error:
            return self._whole().names()

    def look(self, name: str) -> Study:
        try:
            with closing(_connect(self._path)) as connection:
                found = self._look(connection, name)
        except sqlite3.Error:
            found = None
        return self._whole().look(name) if found is None else found

    def heartbeat(self, name: str) -> Heartbeat | None:
        try:
            with closing(_connect(self._path)) as connection:
                found = connection.execute(_ATTRIBUTE, [name, HEARTBEAT]).fetchone()
        except sqlite3.Error:
            return self._whole().heartbeat(name)
        return None if found is None else Heartbeat.from_json(json.loads(found[0]))

    def requests(self, name: str) -> tuple[PlannedStart, ...]:
        asked = {"study": name, "request": REQUEST}
        try:
            with closing(_connect(self._path)) as connection:
                found = connection.execute(_REQUESTS, asked).fetchall()
        except sqlite3.Error:
            return self._whole().requests(name)
        return tuple(PlannedStart.from_json(json.loads(text)) for (text,) in found)

    def _look(self, connection: sqlite3.Connection, name: str) -> Study | None:
        """The study of a digest; None where there is none, or it is not up to date."""
        connection.execute("BEGIN")  # all that follows sees the same moment
        study_id = connection.execute(_STUDY, [name]).fetchone() or (-1,)
        attributes = dict(connection.execute(_ATTRIBUTES, {"study": study_id[0]}))
        if SPEC not in attributes:
            known = tuple(name for (name,) in connection.execute(_NAMES, [SPEC]))
            raise StudyNotFoundError(no_such_study(name, known, str(self._location)))
        if not {JOB, DIGEST} <= set(attributes):
            return None
        stored = {key: json.loads(attributes[key]) for key in (SPEC, JOB, DIGEST)}
        digest = stored[DIGEST]
        ids = [trial_id for (trial_id,) in connection.execute(_TRIALS, study_id)]
        following = event_key(digest["num_events"])
        is_behind = connection.execute(_HAS_EVENT, [*study_id, following]).fetchone()
        if is_behind or len(ids) != digest["num_trials"]:
            return None
        spec = read_spec(name, spec=stored[SPEC], job=stored[JOB])
        trials = StoredTrials(self._path, name, ids, num_events=digest["num_events"])
        return study_of(spec, digest, trials)


class StoredTrials(Sequence[Trial]):
    """The trials of a study in a file, each read when it is looked at.

    They are as they were after the first `num_events` events of the study; `ids` are theirs in
    Optuna.
    """

    def __init__(self, path: Path, name: str, ids: Sequence[int], *, num_events: int) -> None:
        self._connection = _connect(path)
        self._name = name
        self._ids = ids
        self._num_events = num_events
        self._read: dict[int, Trial] = {}

    def __del__(self) -> None:
        self._connection.close()

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, index: int) -> Trial: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Trial, ...]: ...
    def __getitem__(self, index: int | slice) -> Trial | tuple[Trial, ...]:
        if isinstance(index, slice):
            return tuple(self[place] for place in range(*index.indices(len(self))))
        optuna_id = self._ids[index]
        if optuna_id not in self._read:
            self._read[optuna_id] = self._trial(self._rows(optuna_id, optuna_id))
        return self._read[optuna_id]

    def __iter__(self) -> Iterator[Trial]:
        if not self._ids:
            return
        for _, group in groupby(self._rows(self._ids[0], self._ids[-1]), key=itemgetter(0)):
            yield self._trial(group)

    def _rows(self, first: int, last: int) -> Iterable[tuple[int, int, str, str]]:
        """The events of the trials from one id of Optuna to another, trial by trial."""
        return self._connection.execute(_EVENTS, {"first": first, "last": last, "event": EVENT})

    def _trial(self, rows: Iterable[tuple[int, int, str, str]]) -> Trial:
        events: list[Event] = []
        for _, number, key, text in rows:
            event = read_event(self._name, key, number, json.loads(text))
            if event.seq < self._num_events:
                events.append(event)
        return Trial(events=tuple(events))


def _connect(path: Path) -> sqlite3.Connection:
    """Opens a file that is there; the last one to close it folds its log into it."""
    # A study that is read on demand may be asked by the thread that draws it; SQLite itself lets
    # one in at a time.
    return sqlite3.connect(
        f"{path.as_uri()}?mode=rw",
        uri=True,
        isolation_level=None,
        timeout=30,
        check_same_thread=False,
    )
