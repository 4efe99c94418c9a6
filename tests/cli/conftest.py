"""Runs the command line in an empty folder."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.studies import make_store
from lexmove.cli.verbs import app

UNSET = ("LEXMOVE_STORE", "LEXMOVE_DEBUG", "NO_COLOR", "FORCE_COLOR", "PYTHONWARNINGS")
"""What would change the output."""

SOURCE = Path(__file__).parents[2] / "platform"

Lexmove = Callable[..., Result]


@pytest.fixture
def environment() -> dict[str, str]:
    """The process's environment, without what would change the output."""
    kept = {name: value for name, value in os.environ.items() if name not in UNSET}
    return {**kept, "PYTHONPATH": str(SOURCE), "COLUMNS": "100", "PYTHONUTF8": "1"}


@pytest.fixture
def lexmove(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lexmove:
    """Runs `lexmove` with some words in an empty folder, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)

    def run(*words: str, **variables: str) -> Result:
        return CliRunner().invoke(app, words, prog_name="lexmove", env=variables)

    return run


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a store with one study."""
    return make_store(tmp_path_factory.mktemp("store"))
