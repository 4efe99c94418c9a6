"""The supervisor, over drivers that are real processes: what it repeats, and whom it tells."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from lexmove.cluster.supervisor import Patience, supervise

QUICK = Patience(retries=3, delay_s=0.01)


class Drivers:
    """Drivers that do one thing after another, and a study that grows as they are told."""

    def __init__(self, *codes: str, progress: Sequence[int] = ()) -> None:
        self.codes = codes
        self.progress = iter(progress)
        self.num_events = 0
        self.num_started = 0
        self.said: list[str] = []

    def command(self) -> list[str]:
        code = self.codes[min(self.num_started, len(self.codes) - 1)]
        self.num_started += 1
        return [sys.executable, "-c", code]

    def seen(self) -> int:
        self.num_events += next(self.progress, 0)
        return self.num_events

    def run(self, patience: Patience = QUICK) -> int:
        return supervise(self.command, self.seen, say=self.said.append, patience=patience)


def exits(status: int) -> str:
    return f"raise SystemExit({status})"


KILLED = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


@pytest.mark.parametrize("status", [0, 2, 3, 130])
def test_an_outcome_that_would_repeat_is_final(status: int) -> None:
    drivers = Drivers(exits(status))
    assert drivers.run() == status
    assert (drivers.num_started, drivers.said) == (1, [])


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (KILLED, "the driver was ended by SIGKILL"),
        (exits(1), "the driver ended with exit status 1"),
        (exits(4), "the driver ended with exit status 4"),
    ],
)
def test_a_death_is_followed_by_another_driver(code: str, told: str) -> None:
    drivers = Drivers(code, exits(0))
    assert drivers.run() == 0
    assert drivers.num_started == 2
    assert told in drivers.said[0]


def test_it_gives_up_after_deaths_without_progress() -> None:
    drivers = Drivers(exits(4))
    assert drivers.run() == 4
    assert drivers.num_started == 1 + QUICK.retries
    assert "giving up" in drivers.said[-1]
    killed = Drivers(KILLED)
    assert killed.run() == 1, "a signal's number is no exit status of ours"


def test_progress_gives_it_new_patience() -> None:
    # Looked at before the first driver and after each: the second and the fifth made progress.
    drivers = Drivers(exits(1), progress=[5, 0, 1, 0, 0, 1, 0, 0, 0])
    assert drivers.run() == 1
    assert drivers.num_started == 5 + QUICK.retries
    waits = [line.partition("(")[2].partition(" ")[2] for line in drivers.said[:-1]]
    numbers = [int(wait.split()[0]) for wait in waits]
    assert numbers == [1, 1, 2, 3, 1, 2, 3]


def test_it_waits_twice_as_long_each_time_within_a_limit() -> None:
    patience = Patience(delay_s=2.0, longest_s=10.0)
    assert [patience.before(retry) for retry in (1, 2, 3, 4, 50)] == [2, 4, 8, 10, 10]


SUPERVISED = """
import sys
from lexmove.cluster.supervisor import Patience, supervise
words = [sys.executable, "-c", sys.argv[1]]
sys.exit(supervise(lambda: words, lambda: 0, say=print, patience=Patience(delay_s=60)))
"""

DRIVER = """
import os, signal, sys, time
told = []
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, frame: told.append(number))
print("pid", os.getpid(), flush=True)
while not told:
    time.sleep(0.05)
time.sleep(1)
print("told", *map(int, told), flush=True)
sys.exit(130)
"""


def supervised(code: str) -> tuple[subprocess.Popen[str], int]:
    """A supervisor in a process of its own, and its driver's pid."""
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISED, textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "platform")},
    )
    assert process.stdout is not None
    word, pid = process.stdout.readline().split()
    assert word == "pid"
    return process, int(pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_driver_hears_once_that_it_is_to_leave_and_is_waited_for(number: int) -> None:
    process, pid = supervised(DRIVER)
    process.send_signal(number)
    if number == signal.SIGTERM:
        os.kill(pid, signal.SIGTERM)  # as Ray does with every process of a job that is stopped
    out, _ = process.communicate(timeout=30)
    assert out == f"told {int(signal.SIGINT)}\n"
    assert process.returncode == 130


def test_who_is_asked_to_leave_between_two_drivers_leaves_at_once() -> None:
    process, _ = supervised("import os, sys; print('pid', os.getpid(), flush=True); sys.exit(1)")
    assert process.stdout is not None
    assert "going on in 60 s" in process.stdout.readline()
    began_s = time.monotonic()
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert time.monotonic() - began_s < 10


def test_a_driver_does_not_outlive_its_supervisor() -> None:
    process, pid = supervised(DRIVER)
    driver = psutil.Process(pid)
    process.kill()
    process.communicate(timeout=10)
    gone, _ = psutil.wait_procs([driver], timeout=10)
    assert gone or driver.status() == psutil.STATUS_ZOMBIE
