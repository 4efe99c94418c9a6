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

_RECOVERED = "the process that ran it ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Befallen:
    """What became of a study: its faults, what does not hold of it, and how fast it went on."""

    num_faults: int
    num_preempted: int
    num_results: int
    num_drivers: int
    broken: list[str]
    resumed_s: float

    @property
    def line(self) -> str:
        """In words."""
        held = "; ".join(self.broken) or "all held"
        return (
            f"{self.num_faults} faults, {self.num_drivers} drivers, "
            f"{self.num_preempted} preempted, {self.num_results} results, at most "
            f"{self.resumed_s:.1f} s until a lost trial had its next; {held}"
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
        resumed_s=max((wait for wait in waits if wait is not None), default=0.0),
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
    """A study in which something is killed every two to five seconds while trials run."""
    chance = random.Random(seed)
    supervised = Supervised(setting=file_setting(folder, seed=seed, **changes))
    next_s = time.monotonic() + chance.uniform(2, 5)

    def strike(at: Supervised, study: Study) -> None:
        nonlocal next_s
        if not study.running or time.monotonic() < next_s:
            return
        victim = chance.choices(list(_CHANCES), list(_CHANCES.values()))[0]
        # Where there is none, while a driver starts, this fault befalls nobody.
        at.kill(victim, study, which=chance.randrange(8))
        next_s = time.monotonic() + chance.uniform(2, 5)

    return befallen(supervised, supervised.run(strike, limit_s=900))


def _num_results(study: Study) -> int:
    return sum(isinstance(event, Measured) for event in study.events)
