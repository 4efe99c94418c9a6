"""Results are kept: one record per study played, appended while running, compacted afterwards.

A running process appends to a file of its own, which it holds locked; `compact` merges the files
of processes that have ended into `records.jsonl.gz`, where the studies of one arm on one task are
one line. The folder itself is the lock of all that renames or removes: several processes may play
at once, and a kill at any moment loses at most the study in play.
"""

import fcntl
import gzip
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, Self

FOLDER = Path(__file__).parent / "measured"

_COMPACTED = "records.jsonl.gz"
_PLAYING = ".playing"


class Key(NamedTuple):
    """What makes a study; a later record of the same study replaces an earlier one."""

    arm: str
    setting: str
    task: str
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is kept of one study.

    `regrets` is normalised regret by checkpoint, 4 digits. `cpu_s` is the processor time of
    playing the study in seconds, `decision_ms` the median of one decision and `decision_p99_ms`
    its 99th percentile. `surprises` counts the predicted gains that could be checked, those within
    the predicted 80 % interval, and those within the 95 % interval.
    """

    arm: str
    arm_version: str
    setting: str
    task: str
    task_version: str
    seed: int
    regrets: Mapping[float, float]
    cpu_s: float
    decision_ms: float
    decision_p99_ms: float
    num_crashed: int
    surprises: tuple[int, int, int] = (0, 0, 0)

    @property
    def key(self) -> Key:
        return Key(self.arm, self.setting, self.task, self.seed)

    def to_line(self) -> bytes:
        """One line of JSON."""
        regrets = [[at, regret] for at, regret in self.regrets.items()]
        return json.dumps({**asdict(self), "regrets": regrets}).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Reads what `to_line` wrote."""
        data = json.loads(line)
        return cls(
            **{**data, "regrets": dict(data["regrets"]), "surprises": tuple(data["surprises"])}
        )


def load(folder: Path) -> dict[Key, Record]:
    """All records of a folder, those being written included; empty if there is no folder."""
    if not folder.is_dir():
        return {}
    with _locked(folder, fcntl.LOCK_SH):
        return _by_key(folder, _playing_files(folder))


def compact(folder: Path) -> None:
    """Merges what ended processes have written into one file; that of a running one stays."""
    if not folder.is_dir():
        return
    with _locked(folder, fcntl.LOCK_EX):
        left = [path for path in _playing_files(folder) if not _is_held(path)]
        if not left:
            return
        aside = folder / f"{_COMPACTED}.{os.getpid()}{_PLAYING}-aside"
        lines = "".join(f"{line}\n" for line in _group_lines(_by_key(folder, left).values()))
        # No time in the header: equal records make equal files.
        aside.write_bytes(gzip.compress(lines.encode(), mtime=0))
        aside.rename(folder / _COMPACTED)
        for path in left:
            path.unlink()


class Journal:
    """The file to which one process appends; a context manager, compacting when it ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = -1

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        # Under the folder's lock, so that nobody takes the new file for that of a dead process.
        with _locked(self._folder, fcntl.LOCK_EX):
            path = self._folder / f"{time.time_ns()}-{os.getpid()}{_PLAYING}"
            self._file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY)
            fcntl.flock(self._file, fcntl.LOCK_EX)
        return self

    def append(self, record: Record) -> None:
        """Durable when it returns; one system call, so that no signal comes between."""
        os.write(self._file, record.to_line())
        os.fsync(self._file)

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
        compact(self._folder)


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _is_held(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _playing_files(folder: Path) -> list[Path]:
    """In the order in which their processes started."""
    return sorted(folder.glob(f"*{_PLAYING}"))


def _by_key(folder: Path, playing: Iterable[Path]) -> dict[Key, Record]:
    records: dict[Key, Record] = {}
    compacted = folder / _COMPACTED
    if compacted.exists():
        for line in gzip.decompress(compacted.read_bytes()).splitlines():
            records.update((record.key, record) for record in _from_group(json.loads(line)))
    for path in playing:
        # A line without its end is one that a kill tore.
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                record = Record.from_line(line)
                records[record.key] = record
    return records


def _group(record: Record) -> tuple[str, ...]:
    checkpoints = json.dumps(list(record.regrets))
    versions = (record.arm_version, record.task_version)
    return (record.arm, record.setting, record.task, *versions, checkpoints)


def _group_lines(records: Iterable[Record]) -> Iterator[str]:
    """One line per arm, setting, task, versions and checkpoints; in it one row per seed."""
    ordered = sorted(records, key=lambda record: (_group(record), record.seed))
    for (arm, setting, task, *versions, checkpoints), group in groupby(ordered, key=_group):
        head = {"arm": arm, "setting": setting, "task": task, "versions": versions}
        rows = [_row(record) for record in group]
        yield json.dumps(
            {**head, "checkpoints": json.loads(checkpoints), "rows": rows}, separators=(",", ":")
        )


def _row(record: Record) -> list[float]:
    times = (record.cpu_s, record.decision_ms, record.decision_p99_ms)
    return [record.seed, *record.regrets.values(), *times, record.num_crashed, *record.surprises]


def _from_group(group: Mapping[str, Any]) -> Iterator[Record]:
    num = len(group["checkpoints"])
    arm_version, task_version = group["versions"]
    for seed, *row in group["rows"]:
        cpu_s, decision_ms, decision_p99_ms, num_crashed, *surprises = row[num:]
        yield Record(
            arm=group["arm"],
            arm_version=arm_version,
            setting=group["setting"],
            task=group["task"],
            task_version=task_version,
            seed=seed,
            regrets=dict(zip(group["checkpoints"], row[:num], strict=True)),
            cpu_s=cpu_s,
            decision_ms=decision_ms,
            decision_p99_ms=decision_p99_ms,
            num_crashed=num_crashed,
            surprises=tuple(surprises),
        )
