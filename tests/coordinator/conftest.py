"""A store of each kind."""

import pytest

from coordinator.optuna_files import KINDS, new_store


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


@pytest.fixture
def url(request, kind, tmp_path) -> str:
    return new_store(kind, tmp_path, request)
