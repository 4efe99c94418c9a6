"""Hands a study over to a cluster: a job with its files, where what it writes outlives it.

The store and the studies' folders are on the cluster: what the job says by an absolute path or a
server's URL, else below ~/lexmove on the head.
"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lexmove import __version__
from lexmove.app.checking import check_words
from lexmove.app.stored import DEFAULT_STORE
from lexmove.cluster.dashboard import Dashboard, find_dashboard
from lexmove.cluster.jobs import STORAGE, STORE, STUDY, VERSION, Job, Jobs
from lexmove.cluster.package import JOB_NAME, Package, package_of
from lexmove.coordinator.store_rules import without_password
from lexmove.coordinator.store_url import locate_store
from lexmove.errors import UsageError
from lexmove.job.spec import JobSpec
from lexmove.job.storage import is_remote
from lexmove.space.loading import load_job_and_space

HOME = "~/lexmove"
"""Where a cluster's head keeps what the job places nowhere else."""

HEAD_STORE = f"sqlite:///{HOME}/studies.db"
HEAD_STORAGE = f"{HOME}/studies"


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A study that was handed over: its job there, and where it keeps what it finds."""

    study: str
    job_id: str
    address: str
    store: str
    storage: str | None
    package: Package | None

    @property
    def is_on_head(self) -> bool:
        """Whether the store is a file, which nobody but the head may be able to read."""
        return locate_store(self.store).path is not None


def submit(
    path: Path,
    *,
    address: str | None = None,
    store: str | None = None,
    shared: Sequence[Path] = (),
    insecure: bool = False,
) -> Submission:
    """Hands in a job for a new study.

    Args:
        path: the job file.
        address: of the cluster, see `find_dashboard`.
        store: URL of the store, as the cluster reaches it; None for the job's.
        shared: folders that the cluster has under the same path.
        insecure: whether a cluster without a token may be anywhere.

    Raises:
        LexmoveError: the job, its files or the cluster cannot be used as asked; nothing was sent.
    """
    job, space = load_job_and_space(path)
    check_words(job, space, is_sent=True)
    url = _head_store(store or job.store)
    package = package_of(_placed(job, url), shared=shared)
    with tempfile.TemporaryDirectory(prefix="lexmove") as folder:
        archive = Path(folder) / "package.zip"
        package.write(archive)
        dashboard = find_dashboard(address, insecure=insecure)
        check_storage(job, dashboard)
        jobs = Jobs(dashboard)
        _check_free(jobs, job.name)
        storage = package.job.storage
        job_id = jobs.submit(
            ["supervise", "--job", JOB_NAME, "--store", url],
            title=f"lexmove-{job.name}",
            metadata={
                STUDY: job.name,
                STORE: url,
                STORAGE: str(storage),
                VERSION: __version__,
            },
            package=archive,
        )
    return Submission(
        study=job.name,
        job_id=job_id,
        address=dashboard.url,
        store=url,
        storage=storage,
        package=package,
    )


def submit_resume(
    name: str,
    *,
    address: str | None = None,
    store: str | None = None,
    extra_trials: int = 0,
    storage: str | None = None,
    insecure: bool = False,
) -> Submission:
    """Hands in a job that goes on with a study, whatever has become of its first one.

    `storage` is that of its job, where its store may be lost; the cluster's jobs know it, too.

    Raises:
        LexmoveError: the cluster cannot be used as asked; nothing was sent.
    """
    dashboard = find_dashboard(address, insecure=insecure)
    jobs = Jobs(dashboard)
    _check_free(jobs, name)
    known = jobs.of_study(name)
    url = store_of(known) if store is None else _head_store(store)
    storage = storage or _storage_of(known)
    words = ["supervise", "--resume", name, "--trials", str(extra_trials), "--store", url]
    job_id = jobs.submit(
        [*words, *(["--storage", storage] if storage else [])],
        title=f"lexmove-{name}",
        metadata={
            STUDY: name,
            STORE: url,
            VERSION: __version__,
            **({STORAGE: storage} if storage else {}),
        },
    )
    return Submission(
        study=name, job_id=job_id, address=dashboard.url, store=url, storage=storage, package=None
    )


def store_of(jobs: Sequence[Job]) -> str:
    """The store that the last of these jobs writes which has not failed, or failed as they all did.

    One that failed may have been sent to a store that lacks the study. Where none is known:
    LEXMOVE_STORE if that is a server, else the head's own.

    Raises:
        UsageError: LEXMOVE_STORE has a password.
    """
    named = [job for job in jobs if STORE in job.metadata]
    kept = [job for job in named if job.status != "FAILED"] or named
    return kept[-1].metadata[STORE] if kept else _head_store(None)


def _storage_of(jobs: Sequence[Job]) -> str | None:
    """Where the last of these jobs that says so keeps its studies."""
    storages = [job.metadata[STORAGE] for job in jobs if STORAGE in job.metadata]
    return storages[-1] if storages else None


def check_sendable(url: str) -> None:
    """Refuses to send a store's URL to a cluster with a password in it.

    Raises:
        UsageError: it has one, or is no store's URL.
    """
    location = locate_store(url)
    if without_password(url) != url:
        raise UsageError(
            f"the store {location} has a password in its URL, and whoever sees the dashboard would "
            "read it: leave it out there, and put it into ~/.pgpass of the cluster's head (mode "
            "600), or into PGPASSWORD where `ray start` runs"
        )


def _head_store(url: str | None) -> str:
    """A store's URL as the cluster can use it.

    Raises:
        UsageError: it has a password, or is none.
    """
    if url is None:
        own = os.environ.get("LEXMOVE_STORE")
        url = own if own and locate_store(own).path is None else DEFAULT_STORE
    check_sendable(url)
    location = locate_store(url)
    if location.path is None:
        return url
    scheme = "journal" if location.is_journal else "sqlite"
    named = url.partition("://")[2].removeprefix("/") if "://" in url else url
    if named.startswith(("/", "~")):
        return f"{scheme}:///{named}"
    return f"{scheme}:///{HOME}/{Path(named).name}"


def _placed(job: JobSpec, store: str) -> JobSpec:
    """The job with its store and its storage where they outlive it."""
    storage = job.storage or ""
    is_placed = storage.startswith(("/", "~")) or is_remote(storage)
    return job.model_copy(
        update={"store": store, "storage": storage if is_placed else HEAD_STORAGE}
    )


def check_storage(job: JobSpec, dashboard: Dashboard) -> None:
    """Refuses a folder on the head's own disk where trials run on other nodes.

    Raises:
        UsageError: the job has no other.
        ClusterError: the cluster does not say what nodes it has.
    """
    if (job.storage or "").startswith(("/", "~")) or is_remote(job.storage or ""):
        return  # the job says where; whether all nodes have it is for its author to know
    nodes = dashboard.nodes()
    others = [node for node in nodes if not node.is_head and (node.num_cpus or node.num_gpus)]
    heads = [node for node in nodes if node.is_head]
    has_trials_elsewhere = bool(others) or any(not head.num_cpus for head in heads)
    if has_trials_elsewhere:
        raise UsageError(
            "trials run on other nodes than the head, which hand their checkpoints on: set "
            "`storage` in the job to a folder that all nodes mount (storage: /mnt/shared/studies), "
            "or to an object store (storage: s3://BUCKET/studies)"
        )


def _check_free(jobs: Jobs, name: str) -> None:
    """Refuses a study that a job of the cluster is running."""
    running = [job for job in jobs.of_study(name) if not job.is_over]
    if running:
        raise UsageError(
            f"study {name!r} is being run by job {running[-1].job_id}: `lexmove watch {name} "
            f"--address {jobs.url}` follows it, `lexmove stop {name} --address {jobs.url}` ends it"
        )
