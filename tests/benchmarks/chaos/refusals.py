"""Clusters that cannot be used: another token or none, nobody there, another version."""

import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster.answering import OWN, answering
from cluster.head import clean_environment, free_ports, running_head
from lexmove.errors import ClusterError
from lexmove_process import begun

_LIMIT_S = 60

_OLD_RAY = {"/api/version": {"ray_version": "2.1.0"}}
_OLD_PYTHON = {
    "/api/version": OWN,
    "/api/v0/cluster_metadata": {"data": {"pythonVersion": "3.9.1"}},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What a command said, and after how many seconds, that could not use a cluster."""

    what: str
    status: int
    said: str
    took_s: float

    @property
    def is_helpful(self) -> bool:
        """Whether it ended with the status of clusters, a line with the cause and one to help."""
        return self.status == ClusterError.exit_code and len(self.said.splitlines()) == 2

    @property
    def line(self) -> str:
        """In words."""
        verdict = "" if self.is_helpful else f", not as it should: {self.said!r}"
        return f"{self.what}: exit {self.status} in {self.took_s:.1f} s{verdict}"


def refusals(folder: Path) -> Iterator[Refusal]:
    """Submits a job to each, as from a machine that has an address and a token of its own."""
    _done(folder, ("init",))
    with running_head(token=secrets.token_hex(32)) as head:
        yield _submitted(folder, "another token", head.address, {"RAY_AUTH_TOKEN": "f" * 64})
        yield _submitted(folder, "no token", head.address, {"HOME": str(folder)})
    nobody = f"127.0.0.1:{free_ports(1)[0]}"
    yield _submitted(folder, "nobody there", f"http://{nobody}")
    yield _refused(folder, "nobody there, by tune", ("tune", "job.yaml", "--address", nobody))
    with _silent() as address:
        yield _submitted(folder, "somebody who never answers", address)
    for what, answers in (("another Ray", _OLD_RAY), ("an old Python", _OLD_PYTHON)):
        with answering(answers) as address:
            yield _submitted(folder, what, address)


def _submitted(
    folder: Path, what: str, address: str, environment: Mapping[str, str] | None = None
) -> Refusal:
    return _refused(folder, what, ("submit", "job.yaml", "--address", address), environment)


def _refused(
    folder: Path, what: str, words: tuple[str, ...], environment: Mapping[str, str] | None = None
) -> Refusal:
    began_s = time.monotonic()
    done = _done(folder, words, environment)
    took_s = time.monotonic() - began_s
    return Refusal(what=what, status=done.returncode, said=done.stderr, took_s=took_s)


def _done(
    folder: Path, words: tuple[str, ...], environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    paths = {"PYTHONPATH": os.environ["PYTHONPATH"]}
    process = begun(folder, *words, environment=clean_environment() | paths | (environment or {}))
    out, err = process.communicate(timeout=_LIMIT_S)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


@contextmanager
def _silent() -> Iterator[str]:
    """The address of somebody who takes connections and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
