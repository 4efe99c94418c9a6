"""Settings of the whole suite: property tests, golden files, a Ray token, whose coverage counts."""

import gc
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Ray refuses to start without a token once this is set; a fixed one would be a secret in git.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", os.urandom(16).hex())
# Ray's workers stand behind all else by default, here behind the tests of the other process: those
# that wait for a worker take several times as long.
os.environ.setdefault("RAY_worker_niceness", "0")

# Where transformers puts the code of saved models; it reads this when it is imported.
_MODULES = tempfile.TemporaryDirectory(prefix="lexmove-modules")
os.environ["HF_MODULES_CACHE"] = _MODULES.name

# No deadline: a loaded machine is no mistake of the code under test.
settings.register_profile(
    "suite",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("suite")

pytest_plugins = ["ray_fixture", "postgres_fixture", "s3_fixture"]

GOLDEN = Path(__file__).parent / "golden"

COVERING = ("job", "results", "space", "study")
"""The folders whose tests must cover their layers by themselves. Measuring the others, too, makes
them take twice as long, and counts as covered what they merely pass by."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite the files in tests/golden with what the code gives now",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves the tests of other layers out of the measured coverage."""
    covering = tuple(Path(__file__).parent / name for name in COVERING)
    for item in items:
        if not any(item.path.is_relative_to(folder) for folder in covering):
            item.add_marker("no_cover")


def pytest_collection_finish() -> None:
    """Thousands of tests and their modules stay: to look through them costs at every collection."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compares a text with tests/golden/NAME; `--update-golden` writes it instead."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{path.name} is missing: run pytest --update-golden once"
        assert text == path.read_text(encoding="utf-8")

    return check
