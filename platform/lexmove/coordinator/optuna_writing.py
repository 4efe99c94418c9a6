"""Writes events to an Optuna study: to a database all or none, to a journal file one by one."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

from optuna.storages import BaseStorage, RDBStorage

from lexmove.coordinator.optuna_mirror import mirrored, show, trial_of
from lexmove.coordinator.optuna_tables import TableWriter
from lexmove.coordinator.store_rules import event_key, is_new
from lexmove.study.digest import digest_of
from lexmove.study.study import Study
from lexmove.study.trial import Event, Started, event_to_json


@dataclass(slots=True, kw_only=True)
class KnownStudy:
    """What this process knows of a study: `optuna_ids` are the ids of its trials in Optuna.

    `newest` are id and number of the last of them; `digest` is what a database says that the
    study comes to.
    """

    study_id: int
    study: Study
    optuna_ids: "array[int]"
    newest: tuple[int, int] = (-1, -1)
    digest: str | None = None


def write_rows(storage: RDBStorage, known: KnownStudy, events: Iterable[Event]) -> None:
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


def write_lines(storage: BaseStorage, known: KnownStudy, events: Iterable[Event]) -> None:
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
