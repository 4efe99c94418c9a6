"""A real cluster of one node on this machine: `ray start --head`, a process of its own."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

_START_S = 90
_RAY = Path(sys.executable).parent / "ray"
_PORTS = ("port", "node-manager-port", "object-manager-port", "dashboard-port")
_MORE_PORTS = (
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "runtime-env-agent-port",
    "metrics-export-port",
    "ray-client-server-port",
)
_HIDDEN = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS")
_HIDDEN += ("RAY_API_SERVER_ADDRESS", "LEXMOVE_STORE", "PYTHONPATH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A cluster that runs; `home` is the home folder of whoever started it.

    `address` is its dashboard's, `gcs` what a driver connects to.
    """

    address: str
    gcs: str
    token: str | None
    home: Path
    pid: int

    @property
    def environment(self) -> dict[str, str]:
        """That of a client with the cluster's token."""
        return clean_environment() | ({"RAY_AUTH_TOKEN": self.token} if self.token else {})

    @property
    def store(self) -> str:
        """Where studies are kept that name no store."""
        return f"sqlite:///{self.home}/lexmove/studies.db"


def clean_environment() -> dict[str, str]:
    """The process's, without what names a cluster."""
    kept = {name: value for name, value in os.environ.items() if name not in _HIDDEN}
    return kept | {"OMP_NUM_THREADS": "1", "COLUMNS": "100", "PYTHONUTF8": "1"}


def free_ports(number: int) -> list[int]:
    """Ports that nobody has, outside 10002-19999, where Ray puts its workers."""
    with contextlib.ExitStack() as taken:
        found: list[int] = []
        # Apart from those of a process beside this one, which has the next number.
        for port in range(20_000 + os.getpid() * 16 % 11_000, 32_000):
            probe = taken.enter_context(socket.socket())
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
            if len(found) == number:
                return found
    raise AssertionError("no free ports")


@contextlib.contextmanager
def running_head(
    *, token: str | None = None, num_cpus: int = 2, home: Path | None = None
) -> Iterator[Head]:
    """A head that answers, without token auth if `token` is None; ended by its pids.

    With the `home` of an earlier one it is that one, started anew.
    """
    folder = Path(tempfile.mkdtemp(prefix="lexmove"))  # short: socket paths end at 107 characters
    home = home or folder / "home"
    home.mkdir(exist_ok=True)
    names = (*_PORTS, *_MORE_PORTS)
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    words = [f"--{name}={port}" for name, port in ports.items()]
    auth = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token} if token else {}
    out = (folder / "out").open("wb")
    process = subprocess.Popen(
        [
            *(sys.executable, str(_RAY), "start", "--head", "--block", f"--num-cpus={num_cpus}"),
            *("--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", "--num-gpus=0"),
            *(f"--temp-dir={folder / 'ray'}", "--object-store-memory=80000000", *words),
            "--disable-usage-stats",
        ],
        env=clean_environment()
        | {"HOME": str(home), "PATH": f"{_RAY.parent}:{os.environ['PATH']}"}
        | ({} if token else {"RAY_AUTH_MODE": "disabled"})
        | auth,
        cwd=folder,
        stdout=out,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{ports['dashboard-port']}"
    try:
        _wait(process, address, token, folder / "out")
        gcs = f"127.0.0.1:{ports['port']}"
        yield Head(address=address, gcs=gcs, token=token, home=home, pid=process.pid)
    finally:
        _end(process.pid)
        process.wait()
        out.close()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], address: str, token: str | None, out: Path) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"{address}/api/jobs/", headers=headers)
    until_s = time.monotonic() + _START_S
    while True:
        assert process.poll() is None, out.read_text()
        try:
            urllib.request.urlopen(request, timeout=5).close()
        except OSError:
            assert time.monotonic() < until_s, out.read_text()
            time.sleep(0.2)
        else:
            return


def _end(pid: int) -> None:
    """Ends a process with all that came of it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
        for process in reversed(family):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(family, timeout=10)
