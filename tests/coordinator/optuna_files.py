"""Stores on disk for the tests, and Optuna's own view of them."""

from itertools import islice
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from coordinator.histories import scripted, spec
from lexmove.coordinator.store import open_store
from lexmove.study.study import Study

EVENTS = list(islice(scripted(), 36))


def store_url(kind: str, folder: Path) -> str:
    return f"sqlite:///{folder}/studies.db" if kind == "sqlite" else f"{folder}/studies.log"


def optuna_study(url: str, name: str = "contracts") -> optuna.Study:
    journal = None if "://" in url else JournalStorage(JournalFileBackend(url))
    return optuna.load_study(study_name=name, storage=journal or url)


def fill(url: str, events, **changes) -> Study:
    store = open_store(url)
    store.create(spec(**changes))
    for event in events:
        store.append("contracts", event)
    return store.load("contracts")


def assert_sentence(error: Exception) -> None:
    text = str(error)
    assert "\n" not in text
    for word in ("sqlalche", "sqlite3.", "Traceback", "exception is raised", "sqlalche.me"):
        assert word not in text
