"""PostgreSQL as a team's store: how to connect to a server, and how to wait for one that is away.

A peer that goes silent is given up after about half a minute on either side, so that neither a
writer hangs for ever nor the locks of one that is gone stay behind.
"""

import logging
import os
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from optuna.storages import RDBStorage
from sqlalchemy import URL, Engine, create_engine, event, func, inspect, make_url, select
from sqlalchemy.exc import DBAPIError, OperationalError

from lexmove.coordinator.store_url import StoreLocation, for_optuna
from lexmove.errors import StoreError, UsageError

PATIENCE_S = 60.0
"""How long a server that was there is waited for."""

_PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Between one try and the next; the last one again and again."""

_SETTINGS: dict[str, object] = {
    "application_name": "lexmove",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
    "options": " ".join(
        f"-c {name}={value}"
        for name, value in {
            "tcp_keepalives_idle": 10,
            "tcp_keepalives_interval": 5,
            "tcp_keepalives_count": 4,
            "tcp_user_timeout": 30_000,
            "idle_in_transaction_session_timeout": 30_000,
            "lock_timeout": 30_000,
        }.items()
    ),
}
"""Of every connection, unless the URL says otherwise; the server's own are in `options`."""

_MAKING_TABLES = 0x6C65786D6F7665
"""The advisory lock of who makes the tables: "lexmove" in ASCII."""

_MADE_LAST = "alembic_version"
"""The last table that Optuna makes: with it all are there."""

_TRANSIENT = ("08", "40", "53300", "57P01", "57P02", "57P03")
"""How the codes of errors begin that pass: of connections, of transactions that were in each
other's way, too many connections, a server that shuts down, crashes or starts up."""

_REFUSALS = (
    "authentication failed",
    "does not exist",
    "no password supplied",
    "pg_hba.conf",
    "support SSL",
    "certificate",
)
"""What is said, without a code, to whom a server does not let in; waiting does not help."""

_log = logging.getLogger(__name__)


def connect_server(location: StoreLocation, *, to_write: bool) -> RDBStorage | None:
    """Opens the storage in a database of a server; None where there is none to read yet.

    Its tables are made by the first who wants to write, while others who do wait.
    """
    url = _checked(location)
    arguments = {name: value for name, value in _SETTINGS.items() if name not in url.query}
    engine = create_engine(url, connect_args=arguments, pool_pre_ping=True)
    try:
        with engine.connect() as connection:
            is_made = inspect(connection).has_table(_MADE_LAST)
            if is_made or not to_write:
                return _storage(engine, makes_tables=False) if is_made else None
            # Optuna makes them in several steps, in which two of its processes fail each other.
            connection.execute(select(func.pg_advisory_xact_lock(_MAKING_TABLES)))
            return _storage(engine, makes_tables=True)
    finally:
        engine.dispose()


def _checked(location: StoreLocation) -> URL:
    """The URL as read by the database driver."""
    rule = "write the special characters of user and password as %XX, @ as %40"
    try:
        url = make_url(location.url)
    except ValueError:  # it would say what stands in the place of the port
        raise UsageError(f"store {str(location)!r} has a port that is no number: {rule}") from None
    if "@" in (url.host or ""):  # the rest of a password
        raise UsageError(f"store {str(location)!r} has more than one @: {rule}")
    return url


def _storage(engine: Engine, *, makes_tables: bool) -> RDBStorage:
    """A storage of Optuna's that connects as an engine does."""
    pool = engine.pool.recreate()
    try:
        storage = RDBStorage(
            for_optuna(engine.url.render_as_string(hide_password=False)),
            engine_kwargs={"pool": pool},
            skip_table_creation=not makes_tables,
        )
    except BaseException:
        pool.dispose()
        raise
    storage.remove_session()
    weakref.finalize(storage, storage.engine.dispose)
    return storage


def is_away(error: BaseException | None) -> bool:
    """Whether an error of a server's store may be gone in a while, by itself or by an admin."""
    while error is not None:
        if isinstance(error, DBAPIError):
            code: str | None = getattr(error.orig, "sqlstate", None)
            if error.connection_invalidated or code is not None:
                return error.connection_invalidated or str(code).startswith(_TRANSIENT)
            is_refused = any(sign in str(error.orig) for sign in _REFUSALS)
            return isinstance(error, OperationalError) and not is_refused
        error = error.__cause__
    return False


class Outage:
    """One absence of a server: waits longer each time, says so once, and gives up in the end.

    Args:
        patience_s: how long to wait in all.
        since_s: since when, on the monotonic clock.
    """

    def __init__(self, location: StoreLocation, patience_s: float, since_s: float) -> None:
        self._place = str(location)
        self._patience_s = patience_s
        self._since_s = since_s
        self._pauses_s = iter(_PAUSES_S)
        self._is_told = False

    def wait(self, error: StoreError) -> None:
        """Waits before the next try.

        Raises:
            StoreError: it was waited long enough.
        """
        left_s = self._since_s + self._patience_s - time.monotonic()
        if left_s <= 0:
            raise StoreError(
                f"{error}; it was waited for {self._patience_s:.0f} s, what was stored is kept, "
                "and `lexmove resume` goes on from there"
            ) from error
        if not self._is_told:
            _log.warning("%s; waiting up to %.0f s for it", error, self._patience_s)
            self._is_told = True
        time.sleep(min(next(self._pauses_s, _PAUSES_S[-1]), left_s))

    def end(self) -> None:
        """The server is there again."""
        if self._is_told:
            lasted_s = time.monotonic() - self._since_s
            _log.warning("%s is there again after %.0f s", self._place, lasted_s)


class Listener:
    """Hangs up on a server that keeps a connection but says nothing any more.

    TCP notices a peer that is gone, but not one that is stuck, nor a proxy with nothing behind.

    Args:
        silence_s: how long one write may take.
    """

    def __init__(self, silence_s: float) -> None:
        self._silence_s = silence_s
        self._connections: weakref.WeakSet[Any] = weakref.WeakSet()

    def attach(self, engine: Engine) -> None:
        """Listens to the connections that an engine makes from now on."""
        event.listen(engine, "connect", lambda connection, _: self._connections.add(connection))
        engine.dispose()  # those that it has were not seen

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While the server is to do a write."""
        timer = threading.Timer(self._silence_s, self._hang_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _hang_up(self) -> None:
        for connection in list(self._connections):
            # Not by the driver, which would wait for its own statement. It may be closed by now.
            with suppress(Exception), socket.socket(fileno=os.dup(connection.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)
