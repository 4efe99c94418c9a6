"""A study under a supervisor: a driver of its own process, started again until the study is over.

Its processes are found by their parents and titles, and killed by their ids.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psutil

from benchmarks.chaos.driver import STOPPED
from benchmarks.chaos.setting import NAME, Setting
from lexmove.coordinator.store import open_reader, open_store
from lexmove.errors import LexmoveError
from lexmove.study.study import Study
from lexmove.study.trial import Event, Measured, TrialStatus

Victim = Literal["driver", "desk", "lane", "raylet"]

_TITLES: Mapping[Victim, str] = {
    "desk": "ray::Desk",
    "lane": "ray::ImplicitFu",
    "raylet": "raylet",
}
"""How the processes of a Ray on this machine begin their names.

The kernel keeps 15 characters; that a lane is called by its trial it does not know.
"""

_LOOKS_S = 0.1
_MAX_DRIVERS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """A fault that was done: to whom, when in Unix time, and how many events were stored then."""

    victim: str
    at_s: float
    num_events: int


@dataclass(kw_only=True)
class Supervised:
    """Runs the study of a setting to its end, whatever befalls its processes.

    `environment` is added to that of the first driver alone. `looks_at` is the URL by which the
    study is looked at; "" for that of the setting. `strikes` are the faults done so far,
    `seen` the longest history that a reader found in the store, `causes` what drivers said that
    had to stop. `num_drivers` counts those started.
    """

    setting: Setting
    environment: Mapping[str, str] = field(default_factory=dict)
    looks_at: str = ""
    strikes: list[Strike] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)
    seen: tuple[Event, ...] = ()
    num_drivers: int = 0
    _driver: subprocess.Popen[str] | None = None
    _family: dict[int, psutil.Process] = field(default_factory=dict)

    def run(
        self,
        on_look: Callable[["Supervised", Study], object] = lambda *_: None,
        *,
        on_stop: Callable[["Supervised"], object] = lambda _: None,
        limit_s: float = 300.0,
    ) -> Study:
        """The study at its end. `on_look` is called some times a second, to do harm.

        `on_stop` is called when a driver had to stop, before the next one starts.

        Raises:
            RuntimeError: it does not come to its end in time, or driver after driver ends.
        """
        until_s = time.monotonic() + limit_s
        with tempfile.TemporaryDirectory(prefix="chaos", ignore_cleanup_errors=True) as ray_dir:
            try:
                while not self._driven(on_look, ray_dir, until_s):
                    on_stop(self)
            finally:
                self._end()
        return open_store(self.looks_at or self.setting.url).load(NAME)

    def _driven(
        self, on_look: Callable[["Supervised", Study], object], ray_dir: str, until_s: float
    ) -> bool:
        """Whether this driver, one more, saw the study to its end."""
        if self.num_drivers >= _MAX_DRIVERS:
            raise RuntimeError(f"{self.num_drivers} drivers ended; the last: {self.causes[-1:]}")
        log = Path(self.setting.folder) / f"driver_{self.num_drivers}.log"
        first = self.environment if self.num_drivers == 0 else {}
        self.num_drivers += 1
        with log.open("w") as file:
            driver = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.chaos.driver", self.setting.write()],
                env=os.environ | {"RAY_TMPDIR": ray_dir, "PYTHONPATH": _paths()} | first,
                stdout=file,
                stderr=file,
                text=True,
            )
        self._driver = driver
        while driver.poll() is None:
            study = self.look()
            if study is not None and driver.poll() is None:
                on_look(self, study)
            if time.monotonic() > until_s:
                raise RuntimeError(f"not over in time; {self.strikes}; {self.causes}")
            time.sleep(_LOOKS_S)
        if driver.returncode == 0:
            return True
        if driver.returncode == STOPPED:
            self.causes.append(log.read_text().strip().splitlines()[-1])
        elif driver.returncode > 0:
            self.causes.append("\n".join(log.read_text().strip().splitlines()[-5:]))
        return False

    def look(self) -> Study | None:
        """The study as it is in the store now; None before it is there."""
        try:
            study = open_reader(self.looks_at or self.setting.url).look(NAME)
        except LexmoveError:
            return None
        return study

    @property
    def pid(self) -> int:
        """That of the driver."""
        assert self._driver is not None, "it was started"
        return self._driver.pid

    def processes(self, victim: Victim) -> list[psutil.Process]:
        """The living ones of that kind, oldest first."""
        driver = psutil.Process(self.pid)
        if victim == "driver":
            return [driver]
        found = []
        for process in driver.children(recursive=True):
            self._family[process.pid] = process
            with suppress(psutil.NoSuchProcess):
                # A raylet stays in the table until its driver ends.
                is_dead = process.status() == psutil.STATUS_ZOMBIE
                if process.name().startswith(_TITLES[victim]) and not is_dead:
                    found.append(process)
        return sorted(found, key=lambda process: process.create_time())

    def kill(self, victim: Victim, study: Study, *, which: int = 0) -> bool:
        """Kills one by its process id; whether there was one."""
        try:
            found = self.processes(victim)
            if not found:
                return False
            found[which % len(found)].kill()
            self.seen = study.events
            self.strikes.append(
                Strike(victim=victim, at_s=time.time(), num_events=study.num_events)
            )
        except psutil.NoSuchProcess:
            return False
        return True

    def _end(self) -> None:
        """Ends what is left of all drivers."""
        assert self._driver is not None
        if self._driver.poll() is None:
            with suppress(psutil.NoSuchProcess):
                self.processes("lane")
            self._driver.kill()
            self._driver.wait()
        for process in self._family.values():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(list(self._family.values()), timeout=10)


def resumed_s(study: Study, strike: Strike) -> float | None:
    """Seconds from a fault until a trial that lost its worker by it has its next result.

    With the desk nobody loses one: until the next result of any. None where none followed.
    """
    lost: int | None = None
    for event in study.events[strike.num_events :]:
        if event.at_s < strike.at_s:
            continue
        if lost is None and getattr(event, "status", None) is TrialStatus.PREEMPTED:
            lost = event.trial_id
        elif isinstance(event, Measured) and (
            event.trial_id == lost or (lost is None and strike.victim == "desk")
        ):
            return event.at_s - strike.at_s
    return None


def _paths() -> str:
    """Where a driver and its workers find this benchmark, whoever started it."""
    tests = str(Path(__file__).parents[2])
    return os.pathsep.join(filter(None, (tests, os.environ.get("PYTHONPATH"))))
