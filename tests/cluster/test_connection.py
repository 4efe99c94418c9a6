"""The way to Ray: what goes wrong there is said in a sentence."""

import os
import socket
import subprocess
import sys

import pytest
import ray

from lexmove.cluster.connection import connected
from lexmove.errors import ClusterError

CONNECT = """
import sys
from lexmove.cluster.connection import connected
from lexmove.errors import ClusterError
try:
    with connected(sys.argv[1]) as connection:
        print(f"{connection.num_cpus:g} CPUs")
except ClusterError as error:
    print(error)
"""


def connect(address: str, token: str) -> str:
    """What another process hears that connects with this token."""
    done = subprocess.run(
        [sys.executable, "-c", CONNECT, address],
        env=os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout


def test_a_port_where_nothing_listens_is_told_at_once():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    refused = pytest.raises(ClusterError, match=rf"no Ray cluster answers at {address}")
    with refused, connected(address):
        pass


@pytest.mark.slow
def test_only_the_clusters_own_token_is_let_in(ray_session: None):
    address = ray.get_runtime_context().gcs_address
    assert connect(address, os.environ["RAY_AUTH_TOKEN"]) == "2 CPUs\n"
    said = connect(address, "f" * 32)
    assert f"the cluster at {address} does not let this process in" in said
    assert "RAY_AUTH_TOKEN" in said
