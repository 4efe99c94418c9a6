"""A cluster that asks for a token, shared by the tests of a module."""

import secrets
from collections.abc import Iterator

import pytest

from cluster.head import Head, running_head


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with running_head(token=secrets.token_hex(32)) as found:
        yield found
