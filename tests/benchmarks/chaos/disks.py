"""Disks: full in mid-study, and a store that may only be read; each ends with the cause."""

import os
import resource
import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil

from benchmarks.chaos.setting import file_setting
from benchmarks.chaos.stopped import Stopped
from benchmarks.chaos.supervised import Supervised
from lexmove.study.study import Study
from lexmove.study.trial import Measured

_FREE_BYTES = 8192
"""How much more the store's file may grow before the disk is full."""


class _Protected:
    """A folder that can be made read-only: by its rights, for root by a mount of itself."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_on = False

    def protect(self) -> None:
        self._is_on = True
        if os.geteuid() == 0:  # whom rights do not stop
            subprocess.run(["mount", "--bind", self._folder, self._folder], check=True)
            subprocess.run(["mount", "-o", "remount,ro,bind", self._folder], check=True)
        else:
            for path in (self._folder, *self._folder.glob("studies.db*")):
                path.chmod(path.stat().st_mode & ~0o222)

    def release(self) -> None:
        if not self._is_on:
            return
        self._is_on = False
        if os.geteuid() == 0:
            subprocess.run(["umount", "--lazy", self._folder], check=True)
        else:
            for path in (self._folder, *self._folder.glob("studies.db*")):
                path.chmod(path.stat().st_mode | 0o200)


def full(folder: Path, *, marks: tuple[int, ...], **changes: object) -> Stopped:
    """A study whose store cannot grow any more, each time a number of results is there.

    The system refuses the driver's writes; the next driver has room again.
    """
    supervised = Supervised(setting=file_setting(folder, **changes))
    filled: set[int] = set()

    def fill(at: Supervised, study: Study) -> None:
        num_results = sum(isinstance(event, Measured) for event in study.events)
        due = len(filled)
        if due < len(marks) and num_results >= marks[due]:
            size = (folder / "studies.db").stat().st_size + _FREE_BYTES
            with suppress(psutil.NoSuchProcess):
                psutil.Process(at.pid).rlimit(resource.RLIMIT_FSIZE, (size, size))
                at.seen = study.events
                filled.add(marks[due])

    study = supervised.run(fill)
    return Stopped.of(supervised, study)


def read_only(folder: Path, *, mark: int, **changes: object) -> Stopped:
    """A study whose driver is killed, and whose store cannot be written when the next comes."""
    (folder / "store").mkdir(parents=True)
    setting = file_setting(folder, **changes)
    setting = replace(setting, url=f"sqlite:///{folder}/store/studies.db")
    supervised = Supervised(setting=setting)
    disk = _Protected(folder / "store")

    def kill(at: Supervised, study: Study) -> None:
        num_results = sum(isinstance(event, Measured) for event in study.events)
        if not at.strikes and num_results >= mark:
            at.kill("driver", study)

    def turn(at: Supervised) -> None:
        if at.num_drivers == 1:
            disk.protect()
        else:
            disk.release()

    try:
        study = supervised.run(kill, on_stop=turn)
    finally:
        disk.release()
    return Stopped.of(supervised, study)
