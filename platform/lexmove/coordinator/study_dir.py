"""The folder of a study: one owner of every path below it, and of who may write there."""

import fcntl
import json
import logging
import shutil
import socket
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any
from uuid import uuid4

from lexmove.coordinator.driver_process import being_run, this_process
from lexmove.coordinator.remote_storage import RemoteStorage, cache_of, shown
from lexmove.errors import StorageError, StoreError, UsageError
from lexmove.job.storage import is_remote

_KEPT = "kept"
"""Where a remote storage has a study's small files."""

_BEGUN = "begun"
"""What is written there first, to see that it can be."""

_MARK = ".study"
"""The file beside the trials' folders that tells this study's folder from one of the same path on
another node."""

_MARK_S = 20.0
"""How long a shared file system may take to show it to another node."""

_LOG = logging.getLogger(__name__)


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
        """Where that is on this node; what lay in this folder before it was moved lies in it now.

        Any other absolute path is itself.
        """
        if self.storage is not None:
            return cache_of(self.storage) / name
        _, is_moved, rest = name.rpartition(f"/{self.root.name}/")
        if not is_moved or not name.startswith("/") or Path(name).is_relative_to(self.root):
            return Path(name)
        return self.root / rest

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

    @contextmanager
    def lent(self, name: str, only: Collection[str]) -> Iterator[Path]:
        """For the body: a folder of that name with at least these files, as far as they exist.

        Raises:
            StorageError: it cannot be read where it is.
        """
        path = self.here(name)
        if self.storage is None or path.exists():
            yield path
            return
        copy = path.with_name(f".{path.name}.{uuid4().hex}")
        try:
            RemoteStorage(self.storage).fetch(name, copy, only)
            yield copy
        finally:
            shutil.rmtree(copy, ignore_errors=True)

    def prune(self, name: str, files: Collection[str]) -> None:
        """Deletes these files of a folder, wherever it is.

        Raises:
            StorageError: not there.
        """
        for file in files:
            (self.here(name) / file).unlink(missing_ok=True)
        if self.storage is not None:
            RemoteStorage(self.storage).prune(name, files)

    def publish(self, folder: Path) -> str:
        """Lets everybody have a folder, as it is; returns where they find it.

        Raises:
            StorageError: it cannot be written there.
        """
        if self.storage is None:
            return str(folder)
        RemoteStorage(self.storage).push(folder, self.named(folder), plain=True)
        return f"{shown(self.storage)}/{self.named(folder)}"

    def keep(self, path: Path) -> None:
        """Puts a small file into the remote storage, too, for `kept` to find on another node.

        Raises:
            StorageError: it cannot be written there.
        """
        if self.storage is not None and path.exists():
            RemoteStorage(self.storage).push(path.parent, self._name_of_kept(path), [path])

    def kept(self, path: Path, *, is_newest: bool = False) -> Path:
        """The path of a small file, which was brought here if only the remote storage had it.

        Args:
            path: below this folder.
            is_newest: of both, the one in the remote storage.

        Raises:
            StorageError: it cannot be read there.
        """
        if self.storage is None or (path.exists() and not is_newest):
            return path
        copy = path.with_name(f".{path.name}.{uuid4().hex}")
        try:
            if RemoteStorage(self.storage).fetch(self._name_of_kept(path), copy):
                (copy / path.name).replace(path)
        finally:
            shutil.rmtree(copy, ignore_errors=True)
        return path

    def _name_of_kept(self, path: Path) -> str:
        # Not in the folder itself, beside which other files and folders are.
        return f"{self.named(path.parent)}/{_KEPT}/{path.name}"

    def has(self, name: str) -> bool:
        """Whether a folder of that name is there, for every node.

        Raises:
            StorageError: the remote storage cannot be asked.
        """
        if self.storage is None:  # workers know a path, and not whence the folder was moved
            return self.here(name) == Path(name) and Path(name).exists()
        return RemoteStorage(self.storage).has(name)

    def delete(self, name: str) -> None:
        """Deletes a folder, here and in the storage."""
        shutil.rmtree(self.here(name), ignore_errors=True)
        if self.storage is not None:
            with suppress(StorageError):  # what stays costs room, and no study should end of that
                RemoteStorage(self.storage).delete(name)

    @property
    def place(self) -> str:
        """Where all of it is, for people."""
        return str(self.root) if self.storage is None else f"{shown(self.storage)}/{self.root.name}"

    def remove(self) -> None:
        """Deletes all of it, here and in the storage.

        Raises:
            StorageError: not there.
            StoreError: not here.
        """
        if self.storage is not None:
            RemoteStorage(self.storage).delete(self.named(self.root))
        try:
            shutil.rmtree(self.root)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StoreError(
                f"cannot delete {error.filename}: {error.strerror}; delete {self.root} by hand, "
                "then try again"
            ) from error

    def create(self) -> None:
        """Makes the folder.

        Raises:
            StoreError: it cannot be made or written.
            StorageError: the remote storage cannot be reached, or refuses to be written.
        """
        try:
            self.trials.mkdir(parents=True, exist_ok=True)
            self.policy.mkdir(exist_ok=True)
            with suppress(FileExistsError), (self.trials / _MARK).open("x") as file:
                file.write(uuid4().hex)
            if self.storage is not None:
                name = f"{self.named(self.root)}/{_BEGUN}"
                RemoteStorage(self.storage).push(self.root, name, files=[])
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
            with suppress(OSError):
                (self.trials / _MARK).unlink()
            for folder in (self.trials, self.policy, self.root, self.root.parent):
                with suppress(OSError):
                    folder.rmdir()
            raise

    def set_aside(self) -> Path:
        """Renames the folder, for another study of its name to have one; returns where it is.

        Raises:
            StoreError: it cannot be renamed.
        """
        names = (f"{self.root.name}.earlier{number}" for number in chain([""], count(2)))
        aside = next(path for path in map(self.root.with_name, names) if not path.exists())
        with self._writing(self.root):
            self.root.rename(aside)
        return aside

    @property
    def trials(self) -> Path:
        """Where the trials keep their checkpoints."""
        return self.root / "trials"

    def trial(self, trial_id: int) -> Path:
        """What one trial may write below."""
        return self.trials / f"trial_{trial_id:04d}"

    @property
    def mark(self) -> str | None:
        """What all nodes find beside the trials; None where each has a place of its own."""
        return None if self.storage is not None else _mark_in(self.trials)

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
        """Writes `name`.json aside, then renames it; keeps it.

        Raises:
            StoreError: it cannot be written.
            StorageError: nor in the remote storage.
        """
        path = self.root / f"{name}.json"
        aside = path.with_suffix(".json.new")
        with self._writing(path):
            aside.write_text(json.dumps(data, indent=2))
            aside.replace(path)
        self.keep(path)

    def read_json(self, name: str, *, is_newest: bool = False) -> Any:
        """What `write_json` wrote under this name; None if nothing was. As `kept`, by `is_newest`.

        Raises:
            StorageError: it may be in the remote storage, which cannot be read.
        """
        path = self.kept(self.root / f"{name}.json", is_newest=is_newest)
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

    def runner(self) -> str:
        """Which process of which machine runs the study, or ran it last."""
        return (self.root / "lock").read_text().strip()

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
            except OSError:  # a file system without locks
                return False
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
                raise UsageError(being_run(self.root.name, lock.read().strip())) from None
            except OSError as error:
                # A database says so itself where two processes write one study.
                _LOG.warning("%s: %s; run this study once at a time", path, error.strerror)
            lock.truncate(0)
            lock.write(this_process())
            lock.flush()
            yield


def check_shared(trial_dir: Path, mark: str | None) -> None:
    """Sees on a trial's node that its folder is where the driver has it, and not another disk's.

    Args:
        trial_dir: of the trial.
        mark: `StudyDir.mark` as the driver reads it.

    Raises:
        StorageError: it is not.
    """
    until_s = time.monotonic() + _MARK_S
    while mark is not None and _mark_in(trial_dir.parent) != mark:
        if time.monotonic() > until_s:
            raise StorageError(
                f"node {socket.gethostname()} does not share the study's folder "
                f"{trial_dir.parent.parent} with the driver: mount the same file system there on "
                "every node, or set `storage` in the job to an object store"
            )
        time.sleep(_MARK_S / 40)


def _mark_in(trials: Path) -> str | None:
    try:
        return (trials / _MARK).read_text()
    except OSError:
        return None
