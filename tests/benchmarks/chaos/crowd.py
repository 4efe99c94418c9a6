"""A crowd: many lanes on a cluster of three raylets, one of which is killed and one added."""

import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.chaos.invariants import violations
from benchmarks.chaos.setting import file_setting
from benchmarks.chaos.supervised import Supervised
from cluster.head import free_ports
from lexmove.study.study import Study
from lexmove.study.trial import Continued, Ended, Started

_PORTS = (
    "node-manager-port",
    "object-manager-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "runtime-env-agent-port",
    "metrics-export-port",
)
_MAX_RAYLETS = 4
_START_S = 90.0

_DIED = "its worker died"


@dataclass(frozen=True, slots=True, kw_only=True)
class Survived:
    """What became of a crowd.

    `busy` is the share of the remaining lanes' time that they were at work, from the moment of the
    loss until the new raylet is up, `busy_s` seconds. Afterwards `num_lanes_at_end` ran at once.
    """

    num_lost: int
    busy: float
    busy_s: float
    num_lanes_at_end: int
    broken: list[str]

    @property
    def line(self) -> str:
        """In words."""
        return (
            f"{self.num_lost} trials lost their worker; {self.busy:.3f} of the remaining lanes' "
            f"time at work in the {self.busy_s:.0f} s until a raylet was added, then up to "
            f"{self.num_lanes_at_end} lanes; {'; '.join(self.broken) or 'all held'}"
        )


class Raylets:
    """A cluster on this machine of raylets with made-up CPUs, each ended by its process id."""

    def __init__(self, folder: Path, *, num_cpus: int) -> None:
        self._folder = folder
        self._num_cpus = num_cpus
        # All at once: what a raylet has on another address is not seen to be taken.
        self._ports = free_ports(_MAX_RAYLETS * (len(_PORTS) + 1))
        self.processes: list[subprocess.Popen[bytes]] = []
        self.address = ""

    def add(self) -> None:
        """One more; the first is the head.

        Raises:
            RuntimeError: it does not start.
        """
        head = not self.processes
        ports = [self._ports.pop() for _ in (*_PORTS, "port")]
        words = [f"--{name}={port}" for name, port in zip(_PORTS, ports, strict=False)]
        if head:
            self.address = f"127.0.0.1:{ports[-1]}"
            words += ["--head", f"--port={ports[-1]}", "--include-dashboard=false"]
            words += [f"--temp-dir={self._folder / 'ray'}"]
        else:
            words += [f"--address={self.address}"]
        log = self._folder / f"raylet_{len(self.processes)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [
                    *(sys.executable, str(Path(sys.executable).parent / "ray"), "start", "--block"),
                    *(f"--num-cpus={self._num_cpus}", "--node-ip-address=127.0.0.1"),
                    *("--object-store-memory=80000000", "--disable-usage-stats", *words),
                ],
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self.processes.append(process)
        until_s = time.monotonic() + _START_S
        while "runtime started" not in log.read_text():
            if process.poll() is not None or time.monotonic() > until_s:
                raise RuntimeError(f"a raylet does not start: {log.read_text()[-500:]}")
            time.sleep(0.2)

    def kill(self, number: int) -> None:
        """Kills the raylet itself, by its process id."""
        for process in psutil.Process(self.processes[number].pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if process.name() == "raylet":
                    process.kill()

    def end(self) -> None:
        """Ends all with whatever came of them."""
        family: list[psutil.Process] = []
        for started in self.processes:
            with suppress(psutil.NoSuchProcess):
                root = psutil.Process(started.pid)
                family += [root, *root.children(recursive=True)]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=10)
        for started in self.processes:
            started.wait()


def survived(
    folder: Path, *, lanes: int = 32, num_trials: int = 400, epoch_s: float = 2.0
) -> Survived:
    """Two of three raylets survive, a third comes."""
    folder.mkdir(parents=True)
    raylets = Raylets(folder, num_cpus=-(-lanes // 3))
    lost_s: list[float] = []
    added_s: list[float] = []
    try:
        for _ in range(3):
            raylets.add()
        setting = file_setting(
            folder / "study",
            parallel=lanes,
            num_trials=num_trials,
            epoch_s=epoch_s,
            address=raylets.address,
        )
        supervised = Supervised(setting=setting)

        def harm(at: Supervised, study: Study) -> None:
            num_started = len(study.trials)
            if not lost_s and num_started > num_trials // 4 and len(study.running) >= lanes:
                at.seen = study.events
                lost_s.append(time.time())
                raylets.kill(2)
            if lost_s and not added_s and num_started > num_trials // 2:
                raylets.add()
                added_s.append(time.time())

        study = supervised.run(harm, limit_s=580)
    finally:
        raylets.end()
    remaining = 2 * -(-lanes // 3)  # the two raylets have room for so many
    return Survived(
        num_lost=sum(isinstance(event, Ended) and event.reason == _DIED for event in study.events),
        busy=_busy(study, lost_s[0], added_s[0], remaining),
        busy_s=added_s[0] - lost_s[0],
        num_lanes_at_end=_most_running(study, added_s[0]),
        broken=violations(setting, study, before=supervised.seen),
    )


def _busy(study: Study, since_s: float, until_s: float, lanes: int) -> float:
    """Share of the time of so many lanes that was spent in segments, between two times.

    What ran on the raylet that was lost does not count, be it thought to run for a while.
    """
    spent_s = 0.0
    for trial in study.trials:
        begun_s: float | None = None
        for event in trial.events:
            if isinstance(event, Started | Continued):
                begun_s = event.at_s
            elif isinstance(event, Ended) and begun_s is not None:
                is_lost = event.reason == _DIED
                end_s = since_s if is_lost else min(event.at_s, until_s)
                spent_s += max(0.0, end_s - max(begun_s, since_s))
                begun_s = None  # a paused trial ends once more when it is stopped
    return spent_s / (lanes * (until_s - since_s))


def _most_running(study: Study, since_s: float) -> int:
    """How many trials ran at once at most, after a time."""
    running: set[int] = set()
    most = 0
    for event in study.events:
        if isinstance(event, Started | Continued):
            running.add(event.trial_id)
        elif isinstance(event, Ended):
            running.discard(event.trial_id)
        if event.at_s >= since_s:
            most = max(most, len(running))
    return most
