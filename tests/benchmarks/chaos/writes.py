"""The writer of the store is killed between any two writes: without Ray, so that all are tried."""

import multiprocessing
import random
import signal
from collections.abc import Iterable
from pathlib import Path

from benchmarks.chaos.driver import MortalStore, begun
from benchmarks.chaos.invariants import violations
from benchmarks.chaos.setting import NAME, Setting, file_setting
from lexmove.coordinator.in_process import run_in_process
from lexmove.coordinator.store import open_store
from lexmove.study.study import Study

_FORK = multiprocessing.get_context("fork")
"""A process that has all its modules already."""


def swept(folder: Path, *, step: int = 1, **changes: object) -> tuple[int, list[str]]:
    """One study for each of its writes, or for each `step`-th, killed there and then resumed.

    Returns how many, and what does not hold of them.
    """
    broken: list[str] = []
    number = 1
    while True:
        setting = file_setting(folder / f"after_{number}", epoch_s=0.0, **changes)
        if _ran(setting, number):
            return (number - 1 + step - 1) // step, broken
        seen = open_store(setting.url).load(NAME).events
        assert _ran(setting, None), "it goes on"
        broken += _broken(setting, seen, f"after write {number}")
        number += step


def chained(folder: Path, *, seed: int, **changes: object) -> tuple[int, list[str]]:
    """One study each of whose drivers is killed after three to six writes.

    Returns how many drivers, and what does not hold of it.
    """
    chance = random.Random(seed)
    setting = file_setting(folder, epoch_s=0.0, seed=seed, **changes)
    num_drivers = 1
    while not _ran(setting, chance.randint(3, 6)):
        num_drivers += 1
    return num_drivers, _broken(setting, (), f"chain {seed}")


def _ran(setting: Setting, num_writes: int | None) -> bool:
    """Whether a driver came to the study's end, and was not killed before."""
    process = _FORK.Process(target=_run, args=(setting, num_writes))
    process.start()
    process.join(120)
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode == 0


def _run(setting: Setting, num_writes: int | None) -> None:
    store = open_store(setting.url)
    study_dir = setting.study_dir
    study_dir.create()
    with study_dir.locked():
        mortal = store if num_writes is None else MortalStore(store, num_writes)
        run_in_process(begun(setting, mortal), setting.objective)


def _broken(setting: Setting, seen: Iterable[object], where: str) -> list[str]:
    study: Study = open_store(setting.url).load(NAME)
    found = violations(setting, study, before=tuple(seen), keeps_all=True)
    return [f"{where}: {what}" for what in found]
