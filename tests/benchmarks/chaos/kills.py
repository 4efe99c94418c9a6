"""Kills: one process after the other, and any of them at random for the length of a study."""

import random
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.chaos.driver import NUM_WRITES
from benchmarks.chaos.invariants import violations
from benchmarks.chaos.setting import file_setting
from benchmarks.chaos.supervised import Strike, Supervised, Victim, resumed_s
from lexmove.study.study import Study
from lexmove.study.trial import Ended, Measured, TrialStatus

_CHANCES: dict[Victim, float] = {"lane": 0.45, "desk": 0.25, "driver": 0.18, "raylet": 0.12}

_IMPATIENT = 0.25
"""How many faults are followed by another one, whether or not the study has gone on."""

_RECOVERED = "the process that ran it ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Befallen:
    """What became of a study: its faults, what does not hold of it, and how fast it went on.

    `waits_s` are the seconds until a result of what a fault interrupted, if it interrupted any.
    """

    num_faults: int
    num_preempted: int
    num_results: int
    num_drivers: int
    broken: list[str]
    waits_s: list[float]

    @property
    def resumed_s(self) -> float:
        """The longest of these waits."""
        return max(self.waits_s, default=0.0)

    @property
    def line(self) -> str:
        """In words."""
        held = "; ".join(self.broken) or "all held"
        waits = ", ".join(f"{wait_s:.1f}" for wait_s in self.waits_s) or "0"
        return (
            f"{self.num_faults} faults, {self.num_drivers} drivers, "
            f"{self.num_preempted} preempted, {self.num_results} results, {waits} s until what was "
            f"interrupted had its next; {held}"
        )


def befallen(supervised: Supervised, study: Study) -> Befallen:
    """The account of a study that is over."""
    waits = [resumed_s(study, strike) for strike in supervised.strikes]
    return Befallen(
        num_faults=len(supervised.strikes),
        num_preempted=sum(
            isinstance(event, Ended) and event.status is TrialStatus.PREEMPTED
            for event in study.events
        ),
        num_results=sum(isinstance(event, Measured) for event in study.events),
        num_drivers=supervised.num_drivers,
        broken=violations(supervised.setting, study, before=supervised.seen),
        waits_s=[wait_s for wait_s in waits if wait_s is not None],
    )


def killed(folder: Path, victim: Victim, *, marks: tuple[int, ...], **changes: object) -> Befallen:
    """A study in which a process of one kind is killed whenever a number of results is there."""
    supervised = Supervised(setting=file_setting(folder, **changes))

    def strike(at: Supervised, study: Study) -> None:
        due = len(at.strikes)
        if due < len(marks) and _num_results(study) >= marks[due]:
            at.kill(victim, study, which=due)

    return befallen(supervised, supervised.run(strike))


def killed_at_a_write(folder: Path, number: int, **changes: object) -> Befallen:
    """A study whose driver kills itself after so many writes to the store."""
    supervised = Supervised(
        setting=file_setting(folder, **changes), environment={NUM_WRITES: str(number)}
    )
    study = supervised.run()
    for event in study.events[1:]:
        if isinstance(event, Ended) and event.reason == _RECOVERED and not supervised.strikes:
            last = study.events[event.seq - 1]
            supervised.strikes.append(Strike(victim="driver", at_s=last.at_s, num_events=event.seq))
    return befallen(supervised, study)


def killed_at_random(folder: Path, seed: int, **changes: object) -> Befallen:
    """A study in which something is killed every two to five seconds while results come in.

    One fault of four is followed by another one as soon, be there results by then or not: it may
    befall a driver that starts. The others wait for a result first: on a busy machine Ray takes
    longer to start than the next fault to come, and no study would ever go on.
    """
    supervised = Supervised(setting=file_setting(folder, seed=seed, **changes))
    return befallen(supervised, supervised.run(_Fate(seed).strike, limit_s=900))


class _Fate:
    """Strikes at random, the next time some seconds after the last or after what came since."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._pause_s = self._chance.uniform(2, 5)
        self._waits_for_result = True
        self._num_known = 0
        self._due_s: float | None = None

    def strike(self, at: Supervised, study: Study) -> None:
        """Kills something if it is time for it."""
        now_s, num_results = time.monotonic(), _num_results(study)
        if self._due_s is None and (num_results > self._num_known or not self._waits_for_result):
            self._due_s = now_s + self._pause_s
        if self._due_s is None or now_s < self._due_s or not study.running:
            return
        victim = self._chance.choices(list(_CHANCES), list(_CHANCES.values()))[0]
        # Where there is none, while a driver starts, this fault befalls nobody.
        at.kill(victim, study, which=self._chance.randrange(8))
        self._pause_s = self._chance.uniform(2, 5)
        self._waits_for_result = self._chance.random() > _IMPATIENT
        self._num_known, self._due_s = num_results, None


def _num_results(study: Study) -> int:
    return sum(isinstance(event, Measured) for event in study.events)
