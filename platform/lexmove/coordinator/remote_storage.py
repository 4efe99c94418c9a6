"""Folders in an object store (s3://, gs://) or below any other URI that pyarrow knows.

A folder is its files under a fresh version, and then the manifest that names them: whoever reads
it sees all of one version or nothing. Credentials come from the environment, never from the URI.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

from lexmove.errors import StorageError, UsageError

Result = TypeVar("Result")

_MANIFEST = "manifest.json"
_WAITS_S = (0.2, 1.0, 4.0)
"""How long to wait before each new try."""

_FINAL = {
    "NO_SUCH_BUCKET": "make the bucket, or name another one in `storage`",
    "ACCESS_DENIED": "check the credentials of this machine and what they may do there",
    "INVALID_ACCESS_KEY_ID": "check the credentials of this machine",
    "SIGNATURE_DOES_NOT_MATCH": "check the credentials of this machine",
    "Permission denied": "make the folder writable for this user",
}
"""Signs of errors that no new try mends, and the way out of each."""


def is_remote(storage: str) -> bool:
    """Whether a job's `storage` is a URI and not a path."""
    return "://" in storage


def shown(uri: str) -> str:
    """The URI without user, password and options: for messages."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def cache_of(uri: str) -> Path:
    """The folder on this node's disk for what belongs below a URI."""
    named = os.environ.get("LEXMOVE_CACHE")
    root = Path(named) if named else Path.home() / ".cache" / "lexmove"
    return root.absolute() / "storage" / hashlib.sha256(uri.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class RemoteStorage:
    """The folders below a URI, by names such as `study/trials/trial_0003/epoch_2`.

    Options behind a `?` are passed to pyarrow (`endpoint_override`, `region`, `scheme`).

    Raises:
        UsageError: the URI names no file system, or holds a password.
        StorageError: (by every method) it cannot be reached, or refuses what was asked.
    """

    uri: str

    def __post_init__(self) -> None:
        if urlsplit(self.uri).password is not None:
            raise UsageError(
                f"storage {shown(self.uri)} holds a password, and a job is recorded: take it out, "
                "and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY on every node"
            )

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        from pyarrow.fs import FileSystem

        try:
            file_system, path = FileSystem.from_uri(self.uri)
        except (OSError, ValueError, NotImplementedError) as error:
            raise UsageError(
                f"storage {shown(self.uri)} is no URI that can be used "
                f"({type(error).__name__}): write s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, or a path"
            ) from error
        return file_system, path.rstrip("/")

    def push(self, folder: Path, name: str, files: Sequence[Path] | None = None) -> None:
        """Writes a folder, in place of an older one; of `files` below it, only those."""
        if files is None:
            files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        version = uuid4().hex
        sizes: dict[str, int] = {}
        for path in files:
            content = path.read_bytes()
            relative = path.relative_to(folder).as_posix()
            sizes[relative] = len(content)
            self._write(f"{name}/{version}/{relative}", content)
        manifest = {"version": version, "files": sizes}
        self._write(f"{name}/{_MANIFEST}", json.dumps(manifest).encode())
        for older in self._children(name):
            if older not in (version, _MANIFEST):
                self._delete(f"{name}/{older}")

    def fetch(self, name: str, folder: Path) -> bool:
        """Makes `folder` what was pushed last; False, and nothing done, where nothing was."""
        manifest = self._manifest(name)
        if manifest is None:
            return False
        aside = folder.with_name(f".{folder.name}.{uuid4().hex}")
        try:
            aside.mkdir(parents=True)
            for relative, size in manifest["files"].items():
                content = self._read(f"{name}/{manifest['version']}/{relative}")
                if content is None or len(content) != size:
                    raise StorageError(
                        f"{shown(self.uri)}/{name} is damaged: {relative} is not what was written; "
                        "restore it from a copy, or start a new study"
                    )
                path = aside / relative
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            shutil.rmtree(folder, ignore_errors=True)
            aside.replace(folder)
        except OSError as error:
            raise StorageError(
                f"cannot write {folder}: {error.strerror}; free some space, or set LEXMOVE_CACHE"
            ) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return True

    def has(self, name: str) -> bool:
        """Whether all of a folder is there."""
        return self._manifest(name) is not None

    def delete(self, name: str) -> None:
        """Deletes a folder; first what says that it is complete."""
        file_system, root = self._opened

        def delete_manifest() -> None:
            try:
                file_system.delete_file(f"{root}/{name}/{_MANIFEST}")
            except FileNotFoundError:
                return

        self._try(f"delete {name} in", delete_manifest)
        self._delete(name)

    def names(self, below: str = "") -> tuple[str, ...]:
        """All complete folders whose name begins with `below` and a slash."""
        from pyarrow.fs import FileSelector

        file_system, root = self._opened
        where = f"{root}/{below}".rstrip("/")
        selector = FileSelector(where, recursive=True, allow_not_found=True)
        found = self._try("list", lambda: file_system.get_file_info(selector))
        end = f"/{_MANIFEST}"
        return tuple(
            sorted(
                item.path.removeprefix(f"{root}/").removesuffix(end)
                for item in found
                if item.path.endswith(end)
            )
        )

    def _manifest(self, name: str) -> Any:
        content = self._read(f"{name}/{_MANIFEST}")
        try:
            return None if content is None else json.loads(content)
        except ValueError:  # cut off where it is no object store: written anew by the next push
            return None

    def _write(self, name: str, content: bytes) -> None:
        file_system, root = self._opened
        path = f"{root}/{name}"

        def write() -> None:
            if file_system.type_name == "local":
                file_system.create_dir(path.rpartition("/")[0])
            with file_system.open_output_stream(path) as stream:
                stream.write(content)

        self._try(f"write {name} to", write)

    def _read(self, name: str) -> bytes | None:
        file_system, root = self._opened

        def read() -> bytes | None:
            try:
                with file_system.open_input_stream(f"{root}/{name}") as stream:
                    content: bytes = stream.read()
                    return content
            except FileNotFoundError:
                return None

        return self._try(f"read {name} from", read)

    def _children(self, name: str) -> list[str]:
        from pyarrow.fs import FileSelector

        file_system, root = self._opened
        selector = FileSelector(f"{root}/{name}", allow_not_found=True)
        found = self._try(f"list {name} in", lambda: file_system.get_file_info(selector))
        return [item.base_name for item in found]

    def _delete(self, name: str) -> None:
        file_system, root = self._opened

        def delete() -> None:
            try:
                file_system.delete_dir(f"{root}/{name}")
            except FileNotFoundError:
                return

        self._try(f"delete {name} in", delete)

    def _try(self, doing: str, ask: Callable[[], Result]) -> Result:
        """Asks again after a while, unless the error is one that stays."""
        for wait_s in (*_WAITS_S, None):
            try:
                return ask()
            except OSError as error:
                sign = next((sign for sign in _FINAL if sign in str(error)), None)
                if sign is None and wait_s is not None:
                    time.sleep(wait_s)
                    continue
                # What the service says may hold a key or a signed address: its own name does not.
                why = sign or type(error).__name__
                raise StorageError(
                    f"cannot {doing} storage {shown(self.uri)}: {why}; "
                    f"{_FINAL.get(why, 'check that it can be reached from here')}"
                ) from None
        raise AssertionError("the last try returns or raises")
