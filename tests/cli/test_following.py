"""`watch`, `logs` and `stop` on this machine; on a cluster: tests/cluster/test_submit.py."""

import io
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from cli.conftest import Lexmove
from cli.studies import NAME, START_S, make_store
from lexmove.app import asking
from lexmove.cli.progress import KeptProgress, PlainProgress
from lexmove.coordinator.driver_process import pid_here
from lexmove.coordinator.store import open_store
from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import StoreError
from lexmove_process import begun

HOLDER = """
import signal, sys, time
from pathlib import Path
from lexmove.coordinator.driver_process import pid_here
from lexmove.coordinator.store import open_store
from lexmove.coordinator.study_dir import StudyDir
from lexmove.study.trial import Continued, Ended, Measured, Measurement, TrialStatus

folder, name, how = sys.argv[1:]
told = []
signal.signal(signal.SIGTERM, lambda *_: told.append("term"))
store = open_store(f"sqlite:///{folder}/studies.db")

def write(kind, **fields):
    seq = store.load(name).num_events
    store.append(name, kind(seq=seq, at_s=time.time(), trial_id=2, **fields))

with StudyDir(Path(folder) / "studies" / name).locked():
    print("locked", flush=True)
    if how == "waits":
        while not told:
            time.sleep(0.05)
    else:
        sys.stdin.readline()
        write(Continued, until=4)
        for epoch in (3, 4):
            metrics = {"f1_macro": 0.6 + epoch / 100}
            measurement = Measurement(fidelity=epoch, metrics=metrics, duration_s=1.0)
            write(Measured, measurement=measurement)
        write(Ended, status=TrialStatus.COMPLETED)
        sys.stdin.readline()
print(*told)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_store(tmp_path)
    return tmp_path


@contextmanager
def holder(folder: Path, how: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process that runs the study, in its way."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), NAME, how],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        try:
            yield process
        finally:
            process.kill()


def store_of(folder: Path) -> str:
    return f"sqlite:///{folder}/studies.db"


def test_a_study_is_watched_until_nobody_runs_it(
    folder: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    words = ("watch", NAME, "--store", store_of(folder))
    with holder(folder, "writes", environment) as process:
        assert process.stdin is not None
        with begun(tmp_path, *words, environment=environment) as watcher:
            assert watcher.stderr is not None
            assert watcher.stderr.readline() == "[0:00] running the trials\n"
            assert "] repeating the finalists" in watcher.stderr.readline(), "of an earlier run"
            process.stdin.write("go\n")
            process.stdin.flush()
            assert "] running the trials" in watcher.stderr.readline()
            line = watcher.stderr.readline()
            assert "trial 2 completed at epoch 4: f1_macro 0.6400" in line
            assert "best 0.6400 (trial 2)" in line
            assert watcher.poll() is None, "it is still being run"
            process.stdin.write("leave\n")
            process.stdin.flush()
            rest = watcher.stderr.read()
    assert "study clauses is interrupted: best 0.6400 (trial 2)" in rest
    assert f"to go on: lexmove resume clauses --store {store_of(folder)}" in rest
    assert watcher.returncode == 1


def _rest(terminal: int) -> bytes:
    """What is still written, until the other end is closed or is silent for long."""
    seen = b""
    with suppress(OSError):  # the other end is closed
        while select.select([terminal], [], [], 20.0)[0]:
            seen += os.read(terminal, 65536)
            assert len(seen) < 10**6, "it goes on drawing"
    return seen


def test_on_a_terminal_the_table_is_drawn(
    folder: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """By a thread of its own, which reads the study that another one opened."""
    ours, theirs = pty.openpty()
    words = ("watch", NAME, "--store", store_of(folder))
    more = {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
    seen = b""
    with (
        holder(folder, "waits", environment),
        begun(tmp_path, *words, environment=environment | more, stdout=theirs, stderr=theirs) as it,
    ):
        os.close(theirs)
        until_s = time.monotonic() + START_S
        while b"trial" not in seen or b"running the trials" not in seen:
            assert time.monotonic() < until_s, seen
            seen += os.read(ours, 65536)
        it.send_signal(signal.SIGINT)
        seen += _rest(ours)
        assert it.wait(timeout=20) == 130, seen
    os.close(ours)
    assert b"Traceback" not in seen
    assert b"f1_macro" in seen
    assert b"left it running" in seen


def test_ctrl_c_leaves_a_watched_study_running(
    folder: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    words = ("watch", NAME, "--store", store_of(folder))
    with (
        holder(folder, "waits", environment) as process,
        begun(tmp_path, *words, environment=environment) as watcher,
    ):
        assert watcher.stderr is not None
        assert watcher.stderr.readline() == "[0:00] running the trials\n"
        watcher.send_signal(signal.SIGINT)
        rest = watcher.stderr.read()
        assert watcher.wait(timeout=20) == 130
        assert "left it running" in rest
        assert process.poll() is None


def test_a_running_study_is_asked_to_leave_once(
    lexmove: Lexmove, folder: Path, environment: dict[str, str]
) -> None:
    with holder(folder, "waits", environment) as process:
        done = lexmove("stop", NAME, "--store", store_of(folder))
        assert done.exit_code == 0, done.stderr
        assert "study clauses has stopped" in done.stderr
        assert process.communicate(timeout=20)[0] == "term\n"
        assert process.returncode == 0


def test_a_supervisor_is_asked_in_its_drivers_place(
    lexmove: Lexmove, folder: Path, environment: dict[str, str]
) -> None:
    script = "import sys; sys.stdin.readline()"
    with (
        subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as supervisor,
        holder(folder, "writes", environment | {"LEXMOVE_SUPERVISOR": str(supervisor.pid)}) as held,
    ):
        os.kill(held.pid, signal.SIGSTOP)  # it stays where it is
        pid = pid_here(StudyDir(folder / "studies" / NAME).runner())
        os.kill(held.pid, signal.SIGCONT)
        assert pid == supervisor.pid
        supervisor.kill()
    assert lexmove("stop", NAME, "--store", store_of(folder)).exit_code == 2


def test_what_does_not_run_is_not_stopped(lexmove: Lexmove, folder: Path) -> None:
    done = lexmove("stop", NAME, "--store", store_of(folder))
    assert done.exit_code == 2
    assert "is not running on this machine" in done.stderr


def test_logs_are_found_by_study_and_trial(lexmove: Lexmove, folder: Path) -> None:
    study_dir = folder / "studies" / NAME
    (study_dir / "log.txt").write_text("[0:00] checking the job\n")
    trial_dir = study_dir / "trials" / "trial_0002"
    trial_dir.mkdir(parents=True)
    (trial_dir / "log.txt").write_text("-- epoch 1\nloss 0.5\n")
    store = store_of(folder)
    assert lexmove("logs", NAME, "--store", store).stdout == "[0:00] checking the job\n"
    assert lexmove("logs", "--store", store).stdout == "[0:00] checking the job\n"
    assert lexmove("logs", NAME, "2", "--store", store).stdout == "-- epoch 1\nloss 0.5\n"
    absent = lexmove("logs", NAME, "1", "--store", store)
    assert absent.exit_code == 2
    assert "trial 1 of study 'clauses' has left no log; its trials: 0 to 3" in absent.stderr
    unknown = lexmove("logs", "clause", "--store", store)
    assert unknown.exit_code == 2
    assert "did you mean 'clauses'?" in unknown.stderr


def test_progress_is_kept_from_when_the_study_is_held(tmp_path: Path) -> None:
    log = tmp_path / "study" / "log.txt"
    shown = PlainProgress(Console(file=io.StringIO()))
    with KeptProgress(shown, lambda: log) as progress:
        progress("checking the job", None)
        assert not log.parent.exists(), "what is not begun leaves nothing behind"
        log.parent.mkdir()
        (log.parent / "lock").touch()
        progress("starting Ray", None)
        progress("running the trials", None)
    lines = log.read_text().splitlines()
    assert lines[0].endswith(f"process {os.getpid()}")
    assert lines[1:] == [
        "[0:00] checking the job",
        "[0:00] starting Ray",
        "[0:00] running the trials",
        "done",
    ]


def test_how_a_run_ended_is_kept_and_no_log_is_no_trouble(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    (tmp_path / "lock").touch()
    shown = PlainProgress(Console(file=io.StringIO()))
    failed = pytest.raises(StoreError)
    with failed, KeptProgress(shown, lambda: log):
        raise StoreError("the disk is full")
    assert log.read_text().splitlines()[1:] == ["ended by StoreError: the disk is full"]
    log.unlink()
    log.mkdir()
    with KeptProgress(shown, lambda: log) as progress:
        progress("checking the job", None)


def test_what_is_sent_line_by_line_is_the_study(folder: Path) -> None:
    """The two ends of a stream, without the cluster between them."""
    study = open_store(store_of(folder)).load(NAME)
    sent = io.StringIO()
    asking._send_events(study, {}, sent)
    received = asking._Received(NAME)
    assert received.sight() is None
    for line in sent.getvalue().splitlines():
        assert not received.take(asking.read_news(line))
    assert received.take({"state": "running"})
    sight = received.sight()
    assert sight is not None
    assert sight.state == "running"
    assert sight.study.spec == study.spec
    assert len(sight.study.events) == len(study.events)
    assert sight.study.events[0].at_s == START_S
    assert sight.study.incumbent == study.incumbent


def test_whoever_watches_learns_of_a_budget_that_grew(folder: Path) -> None:
    study = open_store(store_of(folder)).load(NAME)
    sent, told = io.StringIO(), {}
    asking._send_events(study, told, sent)
    more = replace(study, spec=replace(study.spec, num_trials=study.spec.num_trials + 1))
    asking._send_events(more, told, sent)
    asking._send_events(more, told, sent)
    received = asking._Received(NAME)
    lines = sent.getvalue().splitlines()
    for line in lines:
        received.take(asking.read_news(line))
    sight = received.sight()
    assert sight is not None
    assert sight.study.spec == more.spec
    assert len(sight.study.events) == study.num_events == len(lines) - 2
