"""Stores for the tests, and Optuna's own view of them."""

from itertools import islice
from pathlib import Path

import optuna
import pytest
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages._rdb.models import BaseModel
from optuna.storages.journal import JournalFileBackend
from sqlalchemy import NullPool, create_engine

from coordinator.histories import scripted, spec
from lexmove.coordinator.store import open_store
from lexmove.study.study import Study

EVENTS = list(islice(scripted(), 36))
KINDS = ("sqlite", "postgresql", "journal")


def new_store(kind: str, folder: Path, request: pytest.FixtureRequest) -> str:
    """The URL of a store of its own; the server is started when the first one is asked for."""
    if kind == "postgresql":
        server = request.getfixturevalue("postgres")
        return server.url(server.new_user())
    return store_url(kind, folder)


def store_url(kind: str, folder: Path) -> str:
    return f"sqlite:///{folder}/studies.db" if kind == "sqlite" else f"{folder}/studies.log"


def optuna_study(url: str, name: str = "contracts") -> optuna.Study:
    return optuna.load_study(study_name=name, storage=optuna_storage(url))


def optuna_storage(url: str) -> BaseStorage:
    """A storage of Optuna's own that keeps no connection open."""
    if "://" not in url:
        return JournalStorage(JournalFileBackend(url))
    return RDBStorage(url, engine_kwargs={"poolclass": NullPool})


def all_rows(url: str) -> dict[str, list[tuple[object, ...]]]:
    """All that is in a database, by table."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(table.select())), key=repr)
            for table in BaseModel.metadata.sorted_tables
        }


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
