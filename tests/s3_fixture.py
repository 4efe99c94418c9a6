"""A real S3 server on the loopback for the tests of remote storage, one a test process.

It is moto's, which keeps all it is given in its memory and speaks S3 over HTTP.
"""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from postgres_fixture import _end_with_parent, free_port

_START_S = 60


@dataclass(frozen=True)
class S3Server:
    """A server at a port, and what a client's environment needs."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "not-a-secret",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def uri(self, path: str) -> str:
        """Of a place in this server, as a job's `storage` gives it."""
        return f"s3://{path}?endpoint_override=127.0.0.1%3A{self.port}&scheme=http&region=us-east-1"

    def make_bucket(self, name: str) -> None:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{name}", method="PUT")
        with urllib.request.urlopen(request, timeout=10):
            pass

    def wait(self) -> None:
        """Until it answers."""
        until_s = time.monotonic() + _START_S
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/moto-api/", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                if self.process.poll() is not None or time.monotonic() > until_s:
                    raise RuntimeError("the S3 server did not start") from None
                time.sleep(0.1)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def start_s3() -> S3Server:
    """A server that its caller ends."""
    port = free_port()
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(
        words,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=_end_with_parent,  # noqa: PLW1509 - it calls nothing but prctl
    )
    server = S3Server(port, process)
    server.wait()
    return server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A server with a bucket `lex`, this process's environment set for it."""
    server = start_s3()
    try:
        os.environ.update(server.environment)
        server.make_bucket("lex")
        yield server
    finally:
        server.close()
