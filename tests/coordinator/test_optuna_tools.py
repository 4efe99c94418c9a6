"""optuna-dashboard and the optuna command on a store that a study is being written to."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from architecture.readme_commands import shown
from coordinator.histories import scripted, spec
from lexmove.coordinator.store import open_store
from postgres_fixture import free_port
from report.chromium import MISSING, Tab, chromium_tab, find_chromium

pytest.importorskip("optuna_dashboard", reason="pip install optuna-dashboard")

BIN = Path(sys.executable).parent
CHROMIUM = find_chromium()
NAME = "contracts"
PATIENCE_S = 60.0
FEW, MORE = 40, 40
"""Events that are there at first, and that are written between two looks."""


class Writer:
    """Goes on with the study, its store open all the while."""

    def __init__(self, url: str) -> None:
        self._store, self._events = open_store(url), scripted()
        self._store.create(spec())

    def write(self, num_events: int) -> int:
        """How many trials there are after so many more."""
        return len(self._store.append(NAME, *islice(self._events, num_events)).trials)


def folder_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///")).parent


def environment() -> dict[str, str]:
    return {"PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/studies.db"


@pytest.fixture(scope="module")
def writer(url: str) -> Writer:
    made = Writer(url)
    made.write(FEW)
    return made


@pytest.fixture(scope="module")
def dashboard(url: str, writer: Writer) -> Iterator[str]:
    """The address of a dashboard on the store."""
    port = free_port()
    words = [*shown("optuna-dashboard sqlite:///studies.db"), "--port", str(port)]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        [BIN / "optuna-dashboard", *words, "--host", "127.0.0.1"],
        cwd=folder_of(url),
        stdout=quiet,
        stderr=quiet,
        env=environment(),
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, process)
        yield address
    finally:
        process.terminate()
        process.wait()


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    patience_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            urllib.request.urlopen(f"{address}/api/studies", timeout=PATIENCE_S).close()
        except OSError:
            assert process.poll() is None, "optuna-dashboard ended before it listened"
            assert time.monotonic() < patience_s, "optuna-dashboard does not listen"
            time.sleep(0.1)
        else:
            return


def words_on(tab: Tab, *wanted: str) -> str:
    """What the page says, once all that is wanted is on it."""
    patience_s = time.monotonic() + PATIENCE_S
    while True:
        said: str = tab.evaluate("document.body.innerText")
        if all(word in said for word in wanted):
            return said
        assert time.monotonic() < patience_s, f"{wanted} not all in {said!r}"
        time.sleep(0.1)


@pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
def test_the_dashboard_shows_a_study_while_it_grows(
    dashboard: str, writer: Writer, tmp_path: Path
) -> None:
    assert CHROMIUM is not None
    with chromium_tab(CHROMIUM, tmp_path / "profile") as tab:
        tab.visit(f"{dashboard}/dashboard")
        words_on(tab, NAME)
        last = writer.write(MORE) - 1
        tab.visit(f"{dashboard}/dashboard/studies/1/trials?numbers={last}")
        words_on(tab, NAME, "Trial 0", f"Trial {last}", "learning_rate")
        tab.visit(f"{dashboard}/dashboard/studies/1")
        words_on(tab, "History", spec().metric)
        assert [item for item in tab.complaints if "favicon" not in item] == []


def optuna(url: str, words: list[str]) -> list[dict[str, object]]:
    """What the command says, run where the store is."""
    done = subprocess.run(
        [BIN / "optuna", *words, "-f", "json"],
        cwd=folder_of(url),
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


def test_the_optuna_command_lists_the_study_and_its_trials(url: str, writer: Writer) -> None:
    (study,) = optuna(url, shown("optuna studies --storage sqlite:///studies.db"))
    assert study["name"] == NAME
    trials = optuna(
        url, shown("optuna trials --storage sqlite:///studies.db --study-name contracts")
    )
    assert len(trials) == writer.write(0)
    assert trials[0]["params"]
    assert "COMPLETE" in {trial["state"] for trial in trials}
