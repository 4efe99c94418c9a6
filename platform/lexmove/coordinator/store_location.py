"""The Optuna storage behind each store, and what its errors mean."""

import fcntl
import json
import logging
import os
import sqlite3
import threading
import uuid
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import optuna
from optuna.exceptions import OptunaError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from lexmove.coordinator.store_server import connect_server
from lexmove.coordinator.store_url import STORE_FORMS, StoreLocation, for_optuna
from lexmove.errors import LexmoveError, StoreError, UsageError

_LOCK_TIMEOUT_S = 30
"""How long SQLite waits for a reader or writer before it gives up."""

_STALE_LOCK_S = 3
"""A journal's lock older than this was left by a killed process: there is one writer only."""

_JOURNAL_START = b'{"op_code":'

_CHECK_FOLDER = "check that its folder exists and that you may write there, or choose another store"
_WAYS_OUT = {
    "unable to open database file": _CHECK_FOLDER,
    "readonly database": "make the file writable, or choose another store",
    "Permission denied": _CHECK_FOLDER,
    "Read-only file system": _CHECK_FOLDER,
    "Not a directory": _CHECK_FOLDER,
    "File exists": _CHECK_FOLDER,
    "not a database": "choose another file name for the store",
    "not a journal": "choose another file name for the store",
    "damaged": "restore it from a copy, or choose another store",
    "malformed": "restore it from a copy, or choose another store",
    "disk is full": "free some space, then resume",
    "disk I/O error": "free some space or mend the disk, then resume",
    "No space left": "free some space, then resume",
    "File too large": "raise the file size limit or free some space, then resume",
    "locked": "another process is writing to it: wait for it, or end it",
    "lock timeout": "another process is writing to it: wait for it, or end it",
    "wrote to it meanwhile": "end one of the two, then resume",
    "UNIQUE constraint": "another process is writing the study: end it, then resume",
    "unique constraint": "another process is writing the study: end it, then resume",
    "authentication failed": "check user and password in the URL",
    "no password supplied": "put it into ~/.pgpass, PGPASSWORD or the URL",
    "does not exist": "create it there, or name another one in the URL",
    "pg_hba.conf": "let the server's pg_hba.conf admit user and host, or check the URL",
    "permission denied": "grant the user of the URL the right to it, or name another user",
    "read-only transaction": "name the server that takes writes in the URL",
    "too many clients": "close other connections, or raise the server's max_connections",
    "connection slots": "close other connections, or raise the server's max_connections",
    "starting up": "try again when the server has started",
    "Connection refused": "start the server, or check host and port in the URL",
    "closed the connection": "start the server again, and look into its log",
    "timeout expired": "check the network, and host and port in the URL",
    "connect": "check host, port, user and password in the URL",
    "resolve host": "check the host in the URL",
    "in a timely manner": "look at what keeps the server busy",
}


def connect(location: StoreLocation) -> BaseStorage:
    """Opens the storage, creating file, folders and tables where they are missing."""
    if location.path is None:
        storage = connect_server(location, to_write=True)
        assert storage is not None, "it is made where it is missing"
        return storage
    location.path.parent.mkdir(parents=True, exist_ok=True)
    if not location.is_journal:
        return _connect_sqlite(location.path)
    _check_journal(location.path)
    return JournalStorage(JournalFileBackend(str(location.path), _journal_lock(location.path)))


def connect_if_there(location: StoreLocation) -> BaseStorage | None:
    """Opens the storage to read it; None where there is none, so that reading does not make one."""
    if location.path is None:
        return connect_server(location, to_write=False)
    return None if location.is_missing else connect(location)


def _connect_sqlite(path: Path) -> RDBStorage:
    """Opens or makes a SQLite file."""
    if not path.exists():
        _make_sqlite(path)
    url = f"sqlite:///{path}"
    is_writable = os.access(path.parent, os.W_OK, effective_ids=True)
    if not is_writable and not Path(f"{path}-wal").exists():
        # Nobody is writing, and SQLite would have to make a write-ahead log even to read.
        url = f"sqlite:///{path.as_uri()}?immutable=1&uri=true"
    storage = RDBStorage(
        for_optuna(url), engine_kwargs={"connect_args": {"timeout": _LOCK_TIMEOUT_S}}
    )
    # Closing the last connection folds the log into the file: a store at rest is one file.
    weakref.finalize(storage, storage.engine.dispose)
    return storage


def _make_sqlite(path: Path) -> None:
    """Makes the file with all its tables, aside first: whoever sees it sees a whole store.

    It uses write-ahead logging: a commit is on the disk when it returns, as with SQLite's
    default, but takes one flush instead of six (measured: 2 ms instead of 12), and readers do not
    hold the writer up.
    """
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with closing(sqlite3.connect(aside)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        storage = RDBStorage(for_optuna(f"sqlite:///{aside}"))
        storage.remove_session()
        storage.engine.dispose()
        with _alone_in(path.parent):
            if not path.exists():
                _set_log_aside(path)
                path.hardlink_to(aside)
    finally:
        for leftover in (aside, Path(f"{aside}-wal"), Path(f"{aside}-shm")):
            leftover.unlink(missing_ok=True)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Holds a folder against others who make a store in it; as far as its file system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _set_log_aside(path: Path) -> None:
    """Takes away the log of a store that was deleted without it, as after a crash.

    SQLite would put its events into the new store of that name.
    """
    log = Path(f"{path}-wal")
    if log.exists():
        log.replace(f"{log}.earlier")
    Path(f"{path}-shm").unlink(missing_ok=True)


def mend_torn_end(location: StoreLocation) -> None:
    """Cuts off the last line of a journal file if the write of it was interrupted.

    Readers pass over such a line, but the next one written behind it would be lost with it.
    """
    if not location.is_journal or location.path is None or not location.path.exists():
        return
    _check_journal(location.path)
    lock = _journal_lock(location.path)
    lock.acquire()
    try:
        with location.path.open("rb+") as file:
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)
    finally:
        lock.release()


def _journal_lock(path: Path) -> JournalFileSymlinkLock:
    return JournalFileSymlinkLock(str(path), grace_period=_STALE_LOCK_S)


def _check_journal(path: Path) -> None:
    """Refuses a file that holds something else, which appending would spoil."""
    if path.exists():
        with path.open("rb") as file:
            start = file.read(len(_JOURNAL_START))
        if not _JOURNAL_START.startswith(start):
            raise OSError("file is not a journal")


@contextmanager
def talking_to(location: StoreLocation, doing: str) -> Iterator[None]:
    """Keeps Optuna quiet in the body and turns what goes wrong there into a `StoreError`."""
    try:
        with _quiet_optuna:
            yield
    except LexmoveError:
        raise
    except ImportError as error:
        raise StoreError(
            f"cannot {doing} {location}: its database driver is not installed; "
            "run: pip install 'lexmove[postgresql]'"
        ) from error
    except ArgumentError as error:
        raise UsageError(
            f"store {str(location)!r} is no store's URL: write {STORE_FORMS}"
        ) from error
    except (
        OSError,
        sqlite3.Error,
        OptunaError,
        SQLAlchemyError,
        LookupError,
        ValueError,
        RuntimeError,
    ) as error:
        raise StoreError(_say(location, doing, error)) from error


class _QuietOptuna:
    """While anybody is in it, in any thread, Optuna says errors only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._num_inside = 0
        self._verbosity = 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._num_inside:
                self._verbosity = optuna.logging.get_verbosity()
                optuna.logging.set_verbosity(logging.ERROR)
            self._num_inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._num_inside -= 1
            if not self._num_inside:
                optuna.logging.set_verbosity(self._verbosity)


_quiet_optuna = _QuietOptuna()


def _say(location: StoreLocation, doing: str, error: BaseException) -> str:
    cause = _root(error)
    text = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    if isinstance(cause, json.JSONDecodeError):
        text = "file is damaged"
    first_line = (text.strip().splitlines() or [type(cause).__name__])[0]
    way_out = next((way for sign, way in _WAYS_OUT.items() if sign in text), None)
    return f"cannot {doing} {location}: {first_line}; {way_out or 'choose another store'}"


def _root(error: BaseException) -> BaseException:
    """What the database or the system itself said."""
    while True:
        inner = getattr(error, "orig", None) or error.__cause__
        if inner is None:
            return error
        error = inner
