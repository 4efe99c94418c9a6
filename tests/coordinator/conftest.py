"""A store of each kind on disk."""

import pytest

from coordinator.optuna_files import store_url


@pytest.fixture(params=["sqlite", "journal"])
def url(request, tmp_path) -> str:
    return store_url(request.param, tmp_path)
