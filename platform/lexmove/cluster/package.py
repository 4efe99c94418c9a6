"""The package of a submitted job: its files in a zip, and the job with their names in it.

What a job names by path travels with it if it lies here. What does not, or lies below a folder
that is shared with the cluster, is left for the cluster to find.
"""

import hashlib
import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from lexmove.errors import UsageError
from lexmove.job.loading import job_to_json
from lexmove.job.own_code import with_own_file
from lexmove.job.spec import JobSpec

JOB_NAME = "job.json"
"""The job itself; its paths are relative to where it lies."""

MAX_BYTES = 200 * 2**20
"""A package is kept in the memory of the cluster's head; Ray takes 500 MB at most."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Zip's first day: the same files make the same package."""

_MIB = 2**20


@dataclass(slots=True)
class _Contents:
    shared: tuple[Path, ...]
    files: dict[str, Path] = field(default_factory=dict)
    places: dict[Path, str] = field(default_factory=dict)

    def take(self, name: str, *, what: str, folder: str) -> str:
        """The name under which a file or folder travels; its own if it stays where it is.

        Raises:
            UsageError: it is nowhere.
        """
        path = Path(name).expanduser()
        if any(path.resolve().is_relative_to(root) for root in self.shared):
            return str(path.resolve())
        if not path.exists():
            if path.is_absolute():
                return str(path)  # the cluster may have it
            raise UsageError(
                f"{what} {name!r} is not here and cannot be sent: give the path of a file, or an "
                "absolute path that all nodes of the cluster have"
            )
        real = path.resolve()
        if real not in self.places:
            # By the job's name for it: a link's target need not end as such a file does.
            own = path.name if path.name.strip(".") else real.name
            place = self._free(f"{folder}/{own}")
            self.places[real] = place
            self.files |= dict(_walk(real, place, above=(real,)))
        return self.places[real]

    def _free(self, place: str) -> str:
        taken = set(self.places.values())
        found, number = place, 2
        while found in taken:
            path = PurePosixPath(place)
            found = str(path.with_name(f"{path.stem}_{number}{path.suffix}"))
            number += 1
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What travels: `files` by their names in it, beside the `job`, whose paths are these names."""

    job: JobSpec
    files: dict[str, Path]

    @property
    def num_bytes(self) -> int:
        """Of all files, as they lie here."""
        return sum(path.stat().st_size for path in self.files.values())

    def write(self, path: Path) -> None:
        """Writes the zip file.

        Raises:
            UsageError: it is too large to be sent.
        """
        _check_size(self)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr(zipfile.ZipInfo(JOB_NAME, _EPOCH), job_to_json(self.job))
            for name, file in sorted(self.files.items()):
                archive.writestr(_entry(name), file.read_bytes())


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def package_of(job: JobSpec, *, shared: Sequence[Path] = ()) -> Package:
    """What a job needs of the files here.

    Args:
        job: as `load_job` gives it.
        shared: folders that the cluster has under the same path; nothing below them travels.

    Raises:
        UsageError: a relative path leads nowhere.
    """
    contents = _Contents(shared=tuple(path.expanduser().resolve() for path in shared))
    changes: dict[str, Any] = {}
    if isinstance(job.space, str):
        changes["space"] = contents.take(job.space, what="space", folder="space")
    if job.task.files is not None:
        paths = {
            split: contents.take(path, what=f"task.files.{split}", folder="data")
            for split, path in job.task.files.model_dump(exclude_none=True).items()
        }
        files = job.task.files.model_copy(update=paths)
        changes["task"] = job.task.model_copy(update={"files": files})
    if job.task.hub is not None and Path(job.task.hub.id).exists():
        name = contents.take(job.task.hub.id, what="task.hub.id", folder="data")
        hub = job.task.hub.model_copy(update={"id": name})
        changes["task"] = job.task.model_copy(update={"hub": hub})
    if Path(job.model.name).is_dir():
        name = contents.take(job.model.name, what="model.name", folder="model")
        changes["model"] = job.model.model_copy(update={"name": name})
    take = partial(contents.take, what="metric.name", folder="metric")
    name = with_own_file(job.metric.name, take)
    changes["metric"] = job.metric.model_copy(update={"name": name})
    take = partial(contents.take, what="agent.proposer", folder="agent")
    agent = job.agent.model_copy(update={"proposer": with_own_file(job.agent.proposer, take)})
    if agent.weights is not None:
        name = contents.take(agent.weights, what="agent.weights", folder="agent")
        agent = agent.model_copy(update={"weights": name})
    changes["agent"] = agent
    return Package(job=job.model_copy(update=changes), files=contents.files)


def _walk(path: Path, name: str, *, above: tuple[Path, ...]) -> Iterator[tuple[str, Path]]:
    """A file, or all files of a folder, by their names in the package; links are followed."""
    if path.is_file():
        yield name, path
        return
    for child in sorted(path.iterdir()):
        if child.name == "__pycache__" or child.name.startswith("."):
            continue
        real = child.resolve()
        if child.is_file():
            yield f"{name}/{child.name}", child
        elif child.is_dir() and real not in above:  # a link may lead up again
            yield from _walk(child, f"{name}/{child.name}", above=(*above, real))


def _check_size(package: Package) -> None:
    if package.num_bytes <= MAX_BYTES:
        return
    sizes = sorted(((p.stat().st_size, p) for p in package.files.values()), reverse=True)
    size, largest = sizes[0]
    raise UsageError(
        f"the job's files are {package.num_bytes / _MIB:.0f} MiB, and {MAX_BYTES / _MIB:.0f} MiB "
        f"can be sent along; the largest is {largest} with {size / _MIB:.0f} MiB: put it on "
        "storage that all nodes mount and say --shared FOLDER, or name a dataset or model of the "
        "hub by its id"
    )


def placed(source: Path, root: Path, job: JobSpec) -> Path:
    """Copies an unpacked package to where it outlives its job; returns the job file there.

    The folder's name is its content: what is there already is left as it is.

    Args:
        source: where it was unpacked.
        root: the folder below which packages are kept.
        job: what is kept of the job, in place of the file in the package.

    Raises:
        OSError: it cannot be written.
    """
    contents = {name: (source / name).read_bytes() for name in _names(source)}
    contents[JOB_NAME] = job_to_json(job).encode()
    digest = hashlib.sha256()
    for name in sorted(contents):
        digest.update(f"{name}\0{len(contents[name])}\0".encode() + contents[name])
    target = root / digest.hexdigest()[:16]
    if not target.exists():
        aside = root / f".{target.name}.{os.getpid()}"
        for name, content in contents.items():
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            (aside / name).write_bytes(content)
        aside.rename(target)
    return target / JOB_NAME


def _names(source: Path) -> list[str]:
    """The files of an unpacked package."""
    found = (path for path in source.rglob("*") if path.is_file() and not path.is_symlink())
    return [path.relative_to(source).as_posix() for path in found]
