"""Optuna's tables in a database: events with all that they mirror there, in one transaction.

Statements against the tables of Optuna 5, which its migrations keep; its own storage would take a
transaction for every field and a session that grows with the study.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import Connection, Engine, Table, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from lexmove.coordinator.optuna_mirror import Mirrored, distribution_of, readable
from lexmove.coordinator.store_rules import DIGEST, EVENT, REQUEST
from lexmove.space.search_space import SearchSpace
from lexmove.study.trial import Started

_TRIALS: Table = models.TrialModel.__table__
_PARAMS: Table = models.TrialParamModel.__table__
_ATTRIBUTES: Table = models.TrialUserAttributeModel.__table__
_STEPS: Table = models.TrialIntermediateValueModel.__table__
_VALUES: Table = models.TrialValueModel.__table__
_STUDY_ATTRIBUTES: Table = models.StudySystemAttributeModel.__table__

_INSERT_TRIAL, _INSERT_PARAMS = insert(_TRIALS), insert(_PARAMS)
_COUNT_BEFORE = (
    select(func.count())
    .select_from(_TRIALS)
    .where(_TRIALS.c.study_id == bindparam("of_study"), _TRIALS.c.trial_id < bindparam("before"))
)
_SET_NUMBER = (
    update(_TRIALS)
    .where(_TRIALS.c.trial_id == bindparam("of_trial"))
    .values(number=bindparam("right"))
)
_ATTRIBUTE_OF_STUDY = (
    _STUDY_ATTRIBUTES.c.study_id == bindparam("of_study"),
    _STUDY_ATTRIBUTES.c.key == bindparam("called"),
)
_ATTRIBUTE = select(_STUDY_ATTRIBUTES.c.value_json).where(*_ATTRIBUTE_OF_STUDY)
_REQUESTS = (
    select(_STUDY_ATTRIBUTES.c.key, _STUDY_ATTRIBUTES.c.value_json)
    .where(
        _STUDY_ATTRIBUTES.c.study_id == bindparam("of_study"),
        _STUDY_ATTRIBUTES.c.key.startswith(REQUEST, autoescape=True),
    )
    .order_by(_STUDY_ATTRIBUTES.c.key)
)
_REPLACE_ATTRIBUTE = (
    update(_STUDY_ATTRIBUTES)
    .where(*_ATTRIBUTE_OF_STUDY, _STUDY_ATTRIBUTES.c.value_json == bindparam("known"))
    .values(value_json=bindparam("new"))
)
_END_TRIAL = (
    update(_TRIALS)
    .where(_TRIALS.c.trial_id == bindparam("of_trial"))
    .values(state=bindparam("new_state"), datetime_complete=bindparam("completed"))
)
_EVENTS = (
    select(_TRIALS.c.trial_id, _TRIALS.c.number, _ATTRIBUTES.c.key, _ATTRIBUTES.c.value_json)
    .join_from(_TRIALS, _ATTRIBUTES, _ATTRIBUTES.c.trial_id == _TRIALS.c.trial_id)
    .where(
        _TRIALS.c.study_id == bindparam("of_study"),
        _ATTRIBUTES.c.key.startswith(EVENT, autoescape=True),
    )
    .order_by(_TRIALS.c.trial_id, _ATTRIBUTES.c.trial_user_attribute_id)
)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event as it is stored: where, under which key, its text."""

    optuna_id: int
    number: int
    key: str
    text: str


class OvertakenError(RuntimeError):
    """The study is not as this process knows it: somebody else has written to it."""

    def __init__(self) -> None:
        super().__init__("another process wrote to it meanwhile")


@dataclass(slots=True)
class _Rows:
    """What a transaction still has to write, by table."""

    attributes: list[dict[str, Any]] = field(default_factory=list)
    changed_attributes: list[dict[str, Any]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    values: list[dict[str, Any]] = field(default_factory=list)
    ended: list[dict[str, Any]] = field(default_factory=list)

    def add(self, optuna_id: int, key: str, text: str, shown: Mirrored) -> None:
        """One event and its mirror."""
        self.attributes.append(_attribute(optuna_id, key, text))
        for name, value in shown.attributes.items():
            self.changed_attributes.append(_attribute(optuna_id, name, value))
        if shown.step is not None:
            self.steps.append(_step(optuna_id, *shown.step))
        if shown.value is not None and shown.state is not None:
            self.values.append(_value(optuna_id, shown.value))
        if shown.state is not None:
            completed = datetime.now(UTC).replace(tzinfo=None)
            self.ended.append(
                {"of_trial": optuna_id, "new_state": shown.state, "completed": completed}
            )


class TableWriter:
    """Writes to one study, in the transaction of a connection.

    `newest` is the newest trial known to be in the database: its id there and its number.
    """

    def __init__(self, connection: Connection, study_id: int, newest: tuple[int, int]) -> None:
        self._connection = connection
        self._study_id = study_id
        self._rows = _Rows()
        self.newest = newest

    def start(self, event: Started, space: SearchSpace, key: str, text: str) -> int:
        """Makes the trial of a start; returns its id in Optuna."""
        last_id, last_number = self.newest
        started = datetime.fromtimestamp(event.at_s, tz=UTC).replace(tzinfo=None)
        trial = {"state": TrialState.RUNNING, "datetime_start": started, "number": last_number + 1}
        made = self._connection.execute(_INSERT_TRIAL, {"study_id": self._study_id, **trial})
        (optuna_id,) = made.inserted_primary_key or (0,)
        is_next = optuna_id == last_id + 1
        self.newest = optuna_id, last_number + 1 if is_next else self._renumber(optuna_id)
        self._connection.execute(_INSERT_PARAMS, list(_params(optuna_id, event, space)))
        for name, value in {key: text, **readable(event)}.items():
            self._rows.attributes.append(_attribute(optuna_id, name, value))
        return int(optuna_id)

    def _renumber(self, optuna_id: int) -> int:
        """Numbers a trial as Optuna does, from 0: others may have added some of theirs."""
        counted = self._connection.execute(
            _COUNT_BEFORE, {"of_study": self._study_id, "before": optuna_id}
        )
        number = int(counted.scalar_one())
        self._connection.execute(_SET_NUMBER, {"of_trial": optuna_id, "right": number})
        return number

    def add(self, optuna_id: int, key: str, text: str, shown: Mirrored) -> None:
        """Another event of a trial, and its mirror."""
        self._rows.add(optuna_id, key, text, shown)

    def finish(self, digest: str, *, known: str | None) -> None:
        """Writes what was added, and what the study comes to now.

        Raises:
            OvertakenError: what it came to before is not what was `known`.
        """
        rows, engine = self._rows, self._connection.engine
        kept, kind = "intermediate_value", "intermediate_value_type"
        statements = (
            (insert(_ATTRIBUTES), rows.attributes),
            # The last checkpoint, the last reason; a fidelity measured again to the same end.
            (_upsert(engine, _ATTRIBUTES, "key", "value_json"), rows.changed_attributes),
            (_upsert(engine, _STEPS, "step", kept, kind), rows.steps),
            (insert(_VALUES), rows.values),
            (_END_TRIAL, rows.ended),
        )
        for statement, items in statements:
            if items:
                self._connection.execute(statement, items)
        self._set_digest(digest, known)

    def _set_digest(self, digest: str, known: str | None) -> None:
        """Of two who write at the same time, one waits here for the other, and then finds out."""
        value = {"of_study": self._study_id, "called": DIGEST, "new": digest, "known": known}
        if known is None:
            self._connection.execute(
                insert(_STUDY_ATTRIBUTES),
                {"study_id": self._study_id, "key": DIGEST, "value_json": digest},
            )
        elif not self._connection.execute(_REPLACE_ATTRIBUTE, value).rowcount:
            raise OvertakenError


def stored_attribute(storage: RDBStorage, study_id: int, key: str) -> str | None:
    """A system attribute of a study, as JSON; None where it has none.

    Optuna's own way reads all of them, of which the digest is large.
    """
    of_study = {"of_study": study_id, "called": key}
    with storage.engine.connect() as connection:
        found: str | None = connection.execute(_ATTRIBUTE, of_study).scalar()
    return found


def exchange_attribute(
    storage: RDBStorage, study_id: int, key: str, value: str, *, known: str
) -> bool:
    """Replaces a system attribute, as JSON, if it is what is `known`; whether it was.

    Without a transaction, which would keep a row locked for as long as this process sleeps in it.
    """
    changed = {"of_study": study_id, "called": key, "new": value, "known": known}
    engine = storage.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        return bool(connection.execute(_REPLACE_ATTRIBUTE, changed).rowcount)


def stored_requests(storage: RDBStorage, study_id: int) -> dict[str, str]:
    """What was requested of a study, by key, as JSON; oldest first."""
    with storage.engine.connect() as connection:
        rows = connection.execute(_REQUESTS, {"of_study": study_id})
        return {row.key: row.value_json for row in rows}


def add_attribute(storage: RDBStorage, study_id: int, key: str, value: str) -> None:
    """A new system attribute of a study; one statement, whoever else writes to the study."""
    row = {"study_id": study_id, "key": key, "value_json": value}
    with storage.engine.begin() as connection:
        connection.execute(insert(_STUDY_ATTRIBUTES), row)


def delete_attributes(storage: RDBStorage, study_id: int, keys: Iterable[str]) -> None:
    """Deletes system attributes of a study."""
    of_study = _STUDY_ATTRIBUTES.c.study_id == study_id
    with storage.engine.begin() as connection:
        connection.execute(
            delete(_STUDY_ATTRIBUTES).where(of_study, _STUDY_ATTRIBUTES.c.key.in_(list(keys)))
        )


def stored_events(storage: RDBStorage, study_id: int) -> Iterator[StoredEvent]:
    """All events of a study, by trial."""
    with storage.engine.connect() as connection:
        for optuna_id, number, key, value in connection.execute(_EVENTS, {"of_study": study_id}):
            yield StoredEvent(optuna_id, number, key, json.loads(value))


def delete_study(storage: RDBStorage, study_id: int) -> None:
    """Deletes all rows of a study, or none.

    Optuna's own way deletes object after object: ten seconds for a thousand trials.
    """
    trials = select(_TRIALS.c.trial_id).where(_TRIALS.c.study_id == study_id)
    with storage.engine.begin() as connection:
        for table in reversed(models.BaseModel.metadata.sorted_tables):
            if "study_id" in table.c:
                connection.execute(delete(table).where(table.c.study_id == study_id))
            elif "trial_id" in table.c:
                connection.execute(delete(table).where(table.c.trial_id.in_(trials)))


def _attribute(optuna_id: int, key: str, value: object) -> dict[str, Any]:
    return {"trial_id": optuna_id, "key": key, "value_json": json.dumps(value)}


def _params(optuna_id: int, event: Started, space: SearchSpace) -> Iterator[dict[str, Any]]:
    for name, value in event.config.items():
        distribution = distribution_of(space[name].domain)
        yield {
            "trial_id": optuna_id,
            "param_name": name,
            "param_value": distribution.to_internal_repr(value),
            "distribution_json": distribution_to_json(distribution),
        }


def _step(optuna_id: int, step: int, value: float) -> dict[str, Any]:
    kept, kind = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(value)
    return {
        "trial_id": optuna_id,
        "step": step,
        "intermediate_value": kept,
        "intermediate_value_type": kind,
    }


def _value(optuna_id: int, value: float) -> dict[str, Any]:
    kept, kind = models.TrialValueModel.value_to_stored_repr(value)
    return {"trial_id": optuna_id, "objective": 0, "value": kept, "value_type": kind}


def _upsert(engine: Engine, table: Table, key: str, *changed: str) -> Any:
    """Sets what a trial has under a key, whether it had it before or not."""
    dialect = postgresql if engine.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    new = {name: statement.excluded[name] for name in changed}
    return statement.on_conflict_do_update(index_elements=["trial_id", key], set_=new)
