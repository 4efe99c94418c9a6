"""Files that a submitted job brought along, on every node that reads them.

With a storage that all nodes mount they are there already. From a remote one each node copies them
into its cache, below the path by which the driver's job names them. Files of a project that was
moved are found by the folder of its studies.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lexmove.cluster.package import placed
from lexmove.coordinator.remote_storage import RemoteStorage
from lexmove.coordinator.stage import Work
from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import StorageError, StoreError
from lexmove.job.loading import job_from_json, job_to_json
from lexmove.job.own_code import own_file
from lexmove.job.spec import JobSpec
from lexmove.job.storage import is_remote
from lexmove.study.protocols import Objective, Report
from lexmove.study.trial import Segment

_INPUTS = "inputs"
"""Beside the studies' folders: what their jobs brought along, by its content."""


def keep_inputs(unpacked: Path, job: JobSpec, storage: str) -> Path:
    """Brings an unpacked package to the storage, where it outlives its job.

    Returns:
        The job file in it, on this machine.

    Raises:
        StoreError: the storage is no folder that can be written.
        StorageError: it is a remote one that cannot be written.
    """
    place = StudyDir.at(storage)
    root = place.root / _INPUTS
    try:
        root.mkdir(parents=True, exist_ok=True)
        kept = placed(unpacked, root, job)
    except OSError as error:
        raise StoreError(
            f"cannot keep the job's files in {root}: {error.strerror}; set `storage` in the job to "
            "a folder that the cluster may write"
        ) from error
    if place.storage is not None and not place.has(place.named(kept.parent)):
        RemoteStorage(place.storage).push(kept.parent, place.named(kept.parent))
    return kept


def bring_inputs(job: JobSpec) -> JobSpec:
    """Copies what a job brought along to this machine, if it is in a remote storage.

    Returns:
        The job with the paths that these files have here.

    Raises:
        StorageError: it cannot be read there.
    """
    if job.storage is None or not is_remote(job.storage):
        return job
    here, mark = str(StudyDir.at(job.storage).root / _INPUTS), _mark(job.storage)

    def moved(text: str) -> str:
        _, is_below, rest = text.partition(mark)
        return f"{here}/{rest}" if is_below else text

    job = _with_texts(job, moved)
    for bring in _bringers(job):
        bring()
    return job


def with_storage(job: JobSpec, storage: str) -> JobSpec:
    """The job of a project that was moved, with the folder where its studies are by now.

    What was beside the old folder and is gone from there is looked for beside this one: data, a
    model, code of the user's own.
    """
    assert job.storage is not None, "a job is recorded with a storage"
    old, new = f"{Path(job.storage).parent}/", f"{Path(storage).parent}/"

    def moved(text: str) -> str:
        if not text.startswith(old) or Path(own_file(text) or text).exists():
            return text
        found = new + text.removeprefix(old)
        return found if Path(own_file(found) or found).exists() else text

    return _with_texts(job, moved).model_copy(update={"storage": storage})


def _with_texts(job: JobSpec, changed: Callable[[str], str]) -> JobSpec:
    """The job with every text in it changed so."""

    def mapped(value: Any) -> Any:
        if isinstance(value, str):
            return changed(value)
        if isinstance(value, dict):
            return {key: mapped(item) for key, item in value.items()}
        return [mapped(item) for item in value] if isinstance(value, list) else value

    return job_from_json(json.dumps(mapped(json.loads(job_to_json(job)))))


def with_inputs(work: Work, job: JobSpec) -> Work:
    """What the workers need, after the job's files are where it names them."""
    bringers = tuple(_bringers(job))
    if not bringers:
        return work
    warm_up = work.warm_up

    def warm_up_with_inputs() -> None:
        for bring in bringers:
            bring()
        if warm_up is not None:
            warm_up()

    objective = _WithInputs(objective=work.objective, bringers=bringers)
    return replace(work, objective=objective, warm_up=warm_up_with_inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class _WithInputs:
    """An objective that reads the job's files: every process that runs it may be on a new node."""

    objective: Objective
    bringers: tuple[Callable[[], None], ...]

    def __call__(self, segment: Segment, *, trial_dir: Path, report: Report) -> None:
        for bring in self.bringers:
            bring()
        self.objective(segment, trial_dir=trial_dir, report=report)


@dataclass(frozen=True, slots=True)
class _Bringer:
    """Brings one package: `path` is where the job says that it is."""

    storage: str
    name: str
    path: str

    def __call__(self) -> None:
        place = StudyDir.at(self.storage)
        if str(place.here(self.name)) != self.path:
            raise StorageError(
                f"the job's files are in {self.path}, and this node would keep them in "
                f"{place.here(self.name)}: set LEXMOVE_CACHE to the same folder on all nodes"
            )
        if not place.fetched(self.name).exists():
            raise StorageError(
                f"the job's files are gone: there is no {self.name} in its storage any more; "
                "submit it anew under another name"
            )


def _mark(storage: str) -> str:
    """In the path of what a job brought along, wherever a machine has its cache."""
    return f"/storage/{StudyDir.at(storage).root.name}/{_INPUTS}/"


def _bringers(job: JobSpec) -> Iterator[_Bringer]:
    """One for each package below which a path of the job is."""
    if job.storage is None or not is_remote(job.storage):
        return
    mark = _mark(job.storage)
    found = {
        before + mark + after.partition("/")[0]
        for text in _texts(json.loads(job_to_json(job)))
        for before, is_below, after in [text.partition(mark)]
        if is_below
    }
    for path in sorted(found):
        yield _Bringer(job.storage, f"{_INPUTS}/{Path(path).name}", path)


def _texts(value: Any) -> Iterator[str]:
    """All strings in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
