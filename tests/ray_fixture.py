"""A private Ray of two CPUs for the tests that need one, shared by the whole run."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """Ray is running. The token is the one that conftest.py put into the environment."""
    if ray.is_initialized():
        yield
        return
    # Workers unpickle what tests define from the modules that define it.
    known = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(Path(__file__).parent), known)))
    # Short: Unix socket paths end at 107 characters.
    temp_dir = tempfile.mkdtemp(prefix="lexmove")
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=128 * 2**20,
        _temp_dir=temp_dir,
    )
    yield
    ray.shutdown()
    shutil.rmtree(temp_dir, ignore_errors=True)
