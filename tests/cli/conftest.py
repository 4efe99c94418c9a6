"""Runs the command line as its users do: in a process of its own, in an empty folder."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.studies import make_store

SOURCE = Path(__file__).parents[2] / "platform"

Lexmove = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environment() -> dict[str, str]:
    """The process's environment, without what would change the output."""
    unset = ("LEXMOVE_STORE", "LEXMOVE_DEBUG", "NO_COLOR", "FORCE_COLOR", "PYTHONWARNINGS")
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    return {**kept, "PYTHONPATH": str(SOURCE), "COLUMNS": "100", "PYTHONUTF8": "1"}


@pytest.fixture
def lexmove(tmp_path: Path, environment: dict[str, str]) -> Lexmove:
    """Runs `lexmove` with some words in an empty folder."""

    def run(*words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "lexmove", *words],
            cwd=tmp_path,
            env={**environment, **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a store with one study."""
    return make_store(tmp_path_factory.mktemp("store"))
