"""The way to a dashboard: those that no cluster here can be are played by a server on this machine.

A real one is asked in test_submit.py.
"""

import os
import socket
import time
from contextlib import closing
from importlib.metadata import version

import pytest
import requests

from cluster.answering import FITTING, OWN, answering
from lexmove.cluster import dashboard as way
from lexmove.cluster.dashboard import Dashboard, find_dashboard
from lexmove.errors import ClusterError, ClusterOpenError, ClusterVersionError


def refused(address: str, kind: type[ClusterError], **options: bool) -> str:
    """The words in which an address is refused, within ten seconds, with a second line of help."""
    began_s = time.monotonic()
    with pytest.raises(kind) as caught:
        find_dashboard(address, **options)
    assert time.monotonic() - began_s < 10
    assert caught.value.exit_code == 4
    assert len(str(caught.value).splitlines()) == 2
    return str(caught.value)


def test_one_that_fits_is_found() -> None:
    with answering(FITTING) as address:
        assert find_dashboard(address) == Dashboard(url=address, session="session_1")


def test_no_proxy_is_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would know another machine by that name, and be told the token."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "intranet")
    with answering({}) as proxy, answering(FITTING) as address:
        monkeypatch.setenv("http_proxy", proxy)
        assert find_dashboard(address) == Dashboard(url=address, session="session_1")
        assert requests.get(f"{address}/api/version", timeout=5).json() == OWN, "as Ray asks"
    assert os.environ["no_proxy"] == "intranet,127.0.0.1"


def test_another_ray_is_refused() -> None:
    with answering({"/api/version": {"ray_version": "2.1.0"}}) as address:
        said = refused(address, ClusterVersionError)
    assert f"runs Ray 2.1.0, and lexmove here runs {version('ray')}" in said
    assert f"install ray=={version('ray')}" in said


def test_an_old_python_is_refused() -> None:
    metadata = {"data": {"pythonVersion": "3.9.1"}}
    with answering({"/api/version": OWN, "/api/v0/cluster_metadata": metadata}) as address:
        said = refused(address, ClusterVersionError)
    assert "runs Python 3.9.1, and lexmove needs 3.11" in said


def test_something_else_that_listens_is_told_apart() -> None:
    with answering({}) as address:
        assert "is no Ray dashboard" in refused(address, ClusterError)
    with answering({"/api/version": {"name": "another service"}}) as address:
        assert "is no Ray dashboard" in refused(address, ClusterError)


def test_a_port_where_nothing_listens_is_told_at_once() -> None:
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{unused.getsockname()[1]}"
    for address in (f"http://{place}", place):
        assert f"no Ray cluster answers at http://{place}" in refused(address, ClusterError)


def test_one_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(way, "_PATIENCE_S", 0.5)
    with closing(socket.socket()) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert "no Ray cluster answers" in refused(address, ClusterError)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_this_machine_is_told_by_its_address(host: str) -> None:
    assert way._is_here(f"http://{host}:8265")


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "head.example.org", "128.0.0.1"])
def test_others_are_too(host: str) -> None:
    assert not way._is_here(f"http://{host}:8265")


def test_an_open_cluster_is_refused_unless_it_is_here_or_asked_for() -> None:
    with answering(FITTING) as address:
        assert find_dashboard(address, insecure=False).token is None
        # Linux leads there, too, by an address that is not this machine's alone.
        elsewhere = address.replace("127.0.0.1", "0.0.0.0")
        said = refused(elsewhere, ClusterOpenError, insecure=False)
        assert find_dashboard(elsewhere, insecure=True).url == elsewhere
    assert "asks for no token" in said
    assert "--insecure" in said
