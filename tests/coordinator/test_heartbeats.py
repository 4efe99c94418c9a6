"""Who runs a study on another machine is known from the store: real processes, stopped and killed.

That they are elsewhere is the one thing that is pretended.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from coordinator.optuna_files import EVENTS, all_rows, fill, new_store, store_url
from lexmove.coordinator import heartbeats
from lexmove.coordinator.heartbeats import beating, runner_of
from lexmove.coordinator.store import open_store
from lexmove.errors import UsageError
from lexmove.study.heartbeat import Heartbeat
from postgres_fixture import PostgresServer

SCRIPT = Path(__file__).with_name("beat_elsewhere.py")
ELSEWHERE = "node-7 pid:[4026531836]"
PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "PERIOD_S", 0.1)
    monkeypatch.setattr(heartbeats, "SILENCE_S", 3.0)
    monkeypatch.setattr(heartbeats, "_POLL_S", 0.1)


@pytest.fixture(params=["postgresql", "journal"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store that a team shares, with a study in it."""
    made = new_store(request.param, tmp_path, request)
    fill(made, EVENTS[:5])
    return made


@contextmanager
def running(
    url: str, machine: str = ELSEWHERE, period_s: float = 0.1
) -> Iterator["subprocess.Popen[str]"]:
    """A process that runs the study, once the store knows of it."""
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), url, machine, str(period_s), "3"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            wait_until(lambda: runner_of(open_store(url), "contracts") is not None)
            yield process
        finally:
            process.kill()


def wait_until(is_so) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < until_s
        time.sleep(0.05)


def heard(url: str) -> Heartbeat | None:
    return open_store(url).heartbeat("contracts")


def test_a_study_that_runs_elsewhere_is_known_and_refused_until_it_is_left(url: str) -> None:
    store = open_store(url)
    with running(url) as process:
        assert runner_of(store, "contracts") == f"{process.pid} of {ELSEWHERE}"
        refusal = rf"'contracts' is being run by process {process.pid} of node-7; wait for it"
        with pytest.raises(UsageError, match=refusal), beating(store, url, "contracts", print):
            pass
        assert process.poll() is None
        process.communicate("enough\n", timeout=PATIENCE_S)
        assert process.returncode == 0
        assert runner_of(store, "contracts") is None
        with beating(store, url, "contracts", print):
            wait_until(lambda: heard(url) is not None)
    assert heard(url) is None


def test_who_was_killed_elsewhere_is_waited_for_and_then_gone(url: str) -> None:
    store, said = open_store(url), []
    with running(url) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert runner_of(store, "contracts") is not None
        began_s = time.monotonic()
        with beating(store, url, "contracts", said.append) as heart:
            assert time.monotonic() - began_s > 1
            heart.check()
            assert runner_of(store, "contracts") is None
    assert len(said) == 1
    assert said[0].startswith(f"process {process.pid} of node-7 ran this study ")


def test_who_slept_and_was_taken_for_gone_leaves(url: str) -> None:
    """As a laptop does that was closed: of two drivers the one that was resumed last has it."""
    store = open_store(url)
    with running(url) as process:
        process.send_signal(signal.SIGSTOP)
        with beating(store, url, "contracts", print) as heart:
            wait_until(lambda: "node-7" not in (heard(url) or Heartbeat(runner="", at_s=0)).runner)
            process.send_signal(signal.SIGCONT)
            process.wait(PATIENCE_S)
            heart.check()
        assert process.stdout is not None
        said = process.stdout.read()
    assert f"process {os.getpid()} of " in said
    assert "has taken up study 'contracts'" in said


def test_who_was_killed_on_this_machine_is_gone_at_once(url: str) -> None:
    store = open_store(url)
    with running(url, "here") as process:
        assert runner_of(store, "contracts").startswith(f"{process.pid} of ")
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert heard(url) is not None
        assert runner_of(store, "contracts") is None


@pytest.mark.parametrize("ahead_s", [-80.0, 80.0])
def test_clocks_may_differ_by_more_than_a_minute(
    url: str, ahead_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    store = open_store(url)
    runner = f"17 of {ELSEWHERE}"
    store.beat("contracts", Heartbeat(runner=runner, at_s=time.time() + ahead_s))
    assert runner_of(store, "contracts") == runner
    store.beat("contracts", Heartbeat(runner=runner, at_s=time.time() + 2 * ahead_s))
    assert runner_of(store, "contracts") is None


def test_a_file_that_is_this_machines_is_not_written_to(tmp_path: Path) -> None:
    url = store_url("sqlite", tmp_path)
    fill(url, EVENTS[:5])
    before = all_rows(url)
    with beating(open_store(url), url, "contracts", print):
        time.sleep(0.3)
        assert all_rows(url) == before


def test_a_study_goes_on_saying_so_after_its_server_was_away(mortal: PostgresServer) -> None:
    url = mortal.url(mortal.new_user())
    fill(url, EVENTS[:5])
    with beating(open_store(url), url, "contracts", print) as heart:
        wait_until(lambda: heard(url) is not None)
        mortal.kill()
        time.sleep(0.5)
        mortal.start()
        before = heard(url)
        wait_until(lambda: heard(url) != before)
        heart.check()


def test_a_server_that_is_gone_does_not_hold_up_the_end(mortal: PostgresServer) -> None:
    url = mortal.url(mortal.new_user())
    fill(url, EVENTS[:5])
    with beating(open_store(url), url, "contracts", print):
        wait_until(lambda: heard(url) is not None)
        mortal.kill()
        began_s = time.monotonic()
    assert time.monotonic() - began_s < 20
    mortal.start()
