"""Folders in an object store (s3://, gs://) or below any other URI that pyarrow knows.

A folder is its files under a fresh version, and then the manifest that names them: whoever reads
it sees all of one version or nothing. Credentials come from the environment, never from the URI.
"""

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

from lexmove.errors import DamagedStorageError, StorageError, UsageError

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
    "Not a directory": "name another place in `storage`: a file is in the way",
}
"""Signs of errors that no new try mends, and the way out of each."""


def shown(uri: str) -> str:
    """The URI without user, password and options: for messages."""
    scheme, _, rest = uri.partition("://")
    place = rest.partition("?")[0]
    return f"{scheme}://{place.rpartition('@')[2] if ':' in place.partition('@')[0] else place}"


def cache_of(uri: str) -> Path:
    """The folder on this node's disk for what belongs below a URI."""
    named = os.environ.get("LEXMOVE_CACHE")
    root = Path(named) if named else Path.home() / ".cache" / "lexmove"
    return root.absolute() / "storage" / hashlib.sha256(uri.encode()).hexdigest()[:16]


def _join(*names: str) -> str:
    return "/".join(name for name in names if name)


def _take_away(folder: Path) -> None:
    """Deletes a folder that was there, and nothing of one that comes to its place meanwhile."""
    gone = folder.with_name(f".{folder.name}.{uuid4().hex}")
    with suppress(FileNotFoundError):
        folder.replace(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _put(aside: Path, folder: Path) -> None:
    """Renames a folder, unless there is one of that name by now."""
    try:
        aside.replace(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


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
        from pyarrow.fs import AwsStandardS3RetryStrategy, FileSystem, S3FileSystem

        try:
            file_system, path = FileSystem.from_uri(self.uri)
            if isinstance(file_system, S3FileSystem):
                # Its own way of trying again waits for 6 s where nothing listens, and `_try` asks
                # again in any case.
                options = dict(parse_qsl(urlsplit(self.uri).query))
                file_system = S3FileSystem(
                    **{"region": file_system.region, **options},
                    retry_strategy=AwsStandardS3RetryStrategy(max_attempts=1),
                )
        except (OSError, ValueError, NotImplementedError, TypeError) as error:
            raise UsageError(
                f"storage {shown(self.uri)} is no URI that can be used "
                f"({type(error).__name__}): write s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, or a path"
            ) from error
        return file_system, path.rstrip("/")

    def push(
        self, folder: Path, name: str, files: Sequence[Path] | None = None, *, plain: bool = False
    ) -> None:
        """Writes a folder, in place of an older one.

        Args:
            folder: here.
            name: there.
            files: of those below the folder, only these.
            plain: for other programs to read as it is, without a version between; who reads it
                while it is replaced may see some of both.
        """
        if files is None:
            files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        version = "" if plain else uuid4().hex
        sizes: dict[str, int] = {}
        for path in files:
            relative = path.relative_to(folder).as_posix()
            sizes[relative] = path.stat().st_size
            self._upload(path, _join(name, version, relative))
        before = None if plain else self._manifest(name)
        self._write_manifest(name, version, sizes)
        # No other one: somebody else may be about to name it.
        if before is not None and before["version"]:
            self._delete(f"{name}/{before['version']}")

    def fetch(self, name: str, folder: Path, only: Collection[str] | None = None) -> bool:
        """Makes `folder` what was pushed last; False, and nothing done, where nothing was.

        Of `only` these files, as far as they were pushed. Where another process brought them
        meanwhile, its folder stays.
        """
        aside = folder.with_name(f".{folder.name}.{uuid4().hex}")
        is_replaced = folder.exists()
        try:
            if not self._fetch_whole(name, aside, only):
                return False
            if is_replaced:
                _take_away(folder)
            _put(aside, folder)
        except OSError as error:
            raise StorageError(
                f"cannot write {folder}: {error.strerror}; free some space, or set LEXMOVE_CACHE"
            ) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return True

    def _fetch_whole(self, name: str, folder: Path, only: Collection[str] | None) -> bool:
        """Brings what one manifest names, whatever is pushed meanwhile; False without one."""
        manifest = self._manifest(name)
        while manifest is not None:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            lacking = next(self._lacking(name, manifest, folder, only), None)
            if lacking is None:
                return True
            named, manifest = manifest, self._manifest(name)
            if manifest == named:
                raise DamagedStorageError(
                    f"{shown(self.uri)}/{name} is damaged: {lacking} is not what was written; "
                    "restore it from a copy, or start a new study"
                )
        return False

    def _lacking(
        self, name: str, manifest: Any, folder: Path, only: Collection[str] | None
    ) -> Iterator[str]:
        """Downloads file by file; those that are not what the manifest says."""
        for relative, size in manifest["files"].items():
            if only is not None and relative not in only:
                continue
            path = folder / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            found = self._download(_join(name, manifest["version"], relative), path)
            if not found or path.stat().st_size != size:
                yield relative

    def prune(self, name: str, files: Collection[str]) -> None:
        """Deletes these files of a folder, if it is there and has them."""
        manifest = self._manifest(name)
        if manifest is None:
            return
        kept = {file: size for file, size in manifest["files"].items() if file not in files}
        if len(kept) == len(manifest["files"]):
            return
        self._write_manifest(name, manifest["version"], kept)
        for file in manifest["files"].keys() - kept.keys():
            self._delete_file(_join(name, manifest["version"], file))

    def has(self, name: str) -> bool:
        """Whether all of a folder is there."""
        return self._manifest(name) is not None

    def delete(self, name: str) -> None:
        """Deletes a folder; first what says that it is complete."""
        self._delete_file(f"{name}/{_MANIFEST}")
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

    def _write_manifest(self, name: str, version: str, sizes: Mapping[str, int]) -> None:
        from pyarrow.fs import LocalFileSystem

        file_system, root = self._opened
        path = f"{root}/{name}/{_MANIFEST}"
        content = json.dumps({"version": version, "files": dict(sizes)}).encode()
        # An object is there or not; half of a file may be read.
        is_local = isinstance(file_system, LocalFileSystem)
        aside = f"{path}.{uuid4().hex}" if is_local else path

        def write() -> None:
            self._make_room_for(path)
            with file_system.open_output_stream(aside) as stream:
                stream.write(content)
            if is_local:
                file_system.move(aside, path)

        self._try(f"write {name} to", write)

    def _upload(self, source: Path, name: str) -> None:
        from pyarrow.fs import LocalFileSystem, copy_files

        file_system, root = self._opened

        def upload() -> None:
            self._make_room_for(f"{root}/{name}")
            copy_files(
                str(source),
                f"{root}/{name}",
                source_filesystem=LocalFileSystem(),
                destination_filesystem=file_system,
            )

        self._try(f"write {name} to", upload)

    def _download(self, name: str, target: Path) -> bool:
        """Whether the file is there."""
        from pyarrow.fs import LocalFileSystem, copy_files

        file_system, root = self._opened

        def download() -> bool:
            try:
                copy_files(
                    f"{root}/{name}",
                    str(target),
                    source_filesystem=file_system,
                    destination_filesystem=LocalFileSystem(),
                )
            except FileNotFoundError:
                return False
            return True

        return self._try(f"read {name} from", download)

    def _make_room_for(self, path: str) -> None:
        """Folders exist in an object store as soon as something is in them, and not before."""
        file_system, _ = self._opened
        if file_system.type_name == "local":
            file_system.create_dir(path.rpartition("/")[0])

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

    def _delete_file(self, name: str) -> None:
        file_system, root = self._opened

        def delete() -> None:
            with suppress(FileNotFoundError):
                file_system.delete_file(f"{root}/{name}")

        self._try(f"delete {name} in", delete)

    def _delete(self, name: str) -> None:
        file_system, root = self._opened

        def delete() -> None:
            with suppress(FileNotFoundError):
                file_system.delete_dir(f"{root}/{name}")

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
