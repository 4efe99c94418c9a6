"""The folder of a study: one owner of every path below it, and of who may write there."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lexmove.coordinator.remote_storage import RemoteStorage, cache_of, is_remote
from lexmove.errors import StoreError, UsageError

SUPERVISOR = "LEXMOVE_SUPERVISOR"
"""The variable by which a supervisor tells its driver who is asked to leave in its place."""


@dataclass(frozen=True, slots=True)
class StudyDir:
    """Below `root`: trials/trial_0003/epoch_2, policy/HASH.safetensors, model, tune and *.json.

    With a `storage` that is a URI, `root` is in this node's cache and nothing but a copy:
    checkpoints are known by their names below the storage, which mean the same on every node.
    """

    root: Path
    storage: str | None = None

    @classmethod
    def at(cls, storage: str | None, *names: str) -> "StudyDir":
        """What is called so below a job's storage, a path or a URI."""
        if storage is None or not is_remote(storage):
            return cls(Path(storage or "", *names))
        return cls(cache_of(storage).joinpath(*names), storage)

    def below(self, name: str) -> "StudyDir":
        """The folder of a study that belongs to this one."""
        return StudyDir(self.root / name, self.storage)

    def named(self, path: Path) -> str:
        """What the store and other nodes call a path below the storage."""
        return str(path) if self.storage is None else str(path.relative_to(cache_of(self.storage)))

    def here(self, name: str) -> Path:
        """Where that is on this node; an absolute path is itself."""
        return Path(name) if self.storage is None else cache_of(self.storage) / name

    def hand_over(self, folder: Path) -> str:
        """Moves a folder into a remote storage, for any node to fetch; returns its name.

        Raises:
            StorageError: it cannot be written there.
        """
        if self.storage is not None:
            RemoteStorage(self.storage).push(folder, self.named(folder))
            shutil.rmtree(folder, ignore_errors=True)
        return self.named(folder)

    def fetched(self, name: str) -> Path:
        """The folder of that name on this node, brought here if it is elsewhere and exists.

        Raises:
            StorageError: it cannot be read there.
        """
        path = self.here(name)
        if self.storage is not None and not path.exists():
            RemoteStorage(self.storage).fetch(name, path)
        return path

    def has(self, name: str) -> bool:
        """Whether a folder of that name is there, on this node or in the storage."""
        is_here = self.here(name).exists()
        return is_here or (self.storage is not None and RemoteStorage(self.storage).has(name))

    def delete(self, name: str) -> None:
        """Deletes a folder, here and in the storage."""
        shutil.rmtree(self.here(name), ignore_errors=True)
        if self.storage is not None:
            RemoteStorage(self.storage).delete(name)

    def create(self) -> None:
        """Makes the folder.

        Raises:
            StoreError: it cannot be made or written.
        """
        try:
            self.trials.mkdir(parents=True, exist_ok=True)
            self.policy.mkdir(exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot write the study's folder {self.root}: {error.strerror}; "
                "set `storage` in the job to a folder that you may write"
            ) from error

    @contextmanager
    def created(self) -> Iterator[None]:
        """Makes the folder, and takes an empty one away again if the body fails."""
        self.create()
        try:
            yield
        except BaseException:
            for folder in (self.trials, self.policy, self.root, self.root.parent):
                with suppress(OSError):
                    folder.rmdir()
            raise

    @property
    def trials(self) -> Path:
        """Where the trials keep their checkpoints."""
        return self.root / "trials"

    def trial(self, trial_id: int) -> Path:
        """What one trial may write below."""
        return self.trials / f"trial_{trial_id:04d}"

    @property
    def policy(self) -> Path:
        """Policy weights, one file per version."""
        return self.root / "policy"

    @property
    def model(self) -> Path:
        """The winner's fine-tuned classifier."""
        return self.root / "model"

    def ensemble(self, number: int) -> Path:
        """One of the winner's classifiers, where several decide together."""
        return self.root / "ensemble" / f"model_{number}"

    @property
    def tune(self) -> Path:
        """Where Ray Tune keeps its own logs."""
        return self.root / "tune"

    def write_json(self, name: str, data: Any) -> None:
        """Writes `name`.json aside, then renames it.

        Raises:
            StoreError: it cannot be written.
        """
        path = self.root / f"{name}.json"
        aside = path.with_suffix(".json.new")
        with self._writing(path):
            aside.write_text(json.dumps(data, indent=2))
            aside.replace(path)

    def read_json(self, name: str) -> Any:
        """What `write_json` wrote under this name; None if nothing was."""
        path = self.root / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else None

    @contextmanager
    def _writing(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"cannot write {path}: {error.strerror}; free some space, or make the study's "
                "folder writable"
            ) from error

    @property
    def log(self) -> Path:
        """What the processes that ran the study said of it."""
        return self.root / "log.txt"

    def holder(self) -> int | None:
        """The process of this machine that is asked to leave when the study is stopped.

        None where nobody runs it.
        """
        if not self.is_locked():
            return None
        text = (self.root / "lock").read_text().strip()
        return int(text) if text.isdecimal() else None

    def is_locked(self) -> bool:
        """Whether a living process runs the study."""
        path = self.root / "lock"
        if not path.exists():
            return False
        with path.open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the study for this process; the system lets go when the process dies.

        Raises:
            UsageError: another process has it.
            StoreError: the folder cannot be written.
        """
        path = self.root / "lock"
        with self._writing(path):
            opened = path.open("a+")
        with opened as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise UsageError(
                    f"study {self.root.name!r} is being run by process {lock.read().strip()}; "
                    "wait for it, or end it and resume"
                ) from None
            lock.truncate(0)
            lock.write(os.environ.get(SUPERVISOR) or str(os.getpid()))
            lock.flush()
            yield
