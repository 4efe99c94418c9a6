"""The jobs of a cluster, by the dashboard: submit, list, follow, stop.

A study's job carries metadata by which any client finds it; they are readable to whoever may look
at the dashboard, and hold no secret.
"""

import asyncio
import contextlib
import re
import shlex
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from lexmove.cluster.dashboard import Dashboard, without_ray_addresses
from lexmove.errors import ClusterError, JobLostError

ENDED = "lexmove: exit status "
"""The line with which a study's job ends; the number follows."""

STUDY, STORE, STORAGE, VERSION, PURPOSE = (
    "lexmove_study",
    "lexmove_store",
    "lexmove_storage",
    "lexmove_version",
    "lexmove_purpose",
)
"""Keys of a job's metadata."""

STOPPED_STATUS = 130
"""The exit status of a job that was stopped, as shells have it for Ctrl-C."""

_LEAVE_S = 120
"""How long a job that is stopped may take to leave; Ray's own three seconds are too few."""

_ARRIVAL = "python -m lexmove.cluster.arrival"

_HEAD = {"node:__internal_head__": 0.001}
"""Puts a driver on the head, where the store is, and hides the GPUs from it: trials get them."""

_TALKATIVE = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
"""Loggers of Ray's client that set their own level."""

_PACKAGE = Path(__file__).parents[1]

_POLL_S = 0.2
_KNOWN_STATUSES = (0, 1, 2, 3, 4, STOPPED_STATUS)
_MAX_ERROR_LINES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as the cluster knows it; `status` is Ray's: PENDING, RUNNING, STOPPED and so on.

    `exit_status` is its entry point's, None where that is not known. `started_ms` is Unix time.
    """

    job_id: str
    status: str
    metadata: Mapping[str, str]
    exit_status: int | None = None
    message: str = ""
    started_ms: int = 0

    @property
    def is_over(self) -> bool:
        """Whether it has ended in any way."""
        return self.status in ("STOPPED", "SUCCEEDED", "FAILED")


class Jobs:
    """The jobs of one cluster.

    Raises:
        ClusterError: from every method, where the cluster does not answer any more.
    """

    def __init__(self, dashboard: Dashboard) -> None:
        from ray.job_submission import JobSubmissionClient

        token = dashboard.token
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self.url = dashboard.url
        with _talking(self.url), without_ray_addresses():
            self._client = JobSubmissionClient(dashboard.url, headers=headers)

    def submit(
        self,
        words: Sequence[str],
        *,
        title: str,
        metadata: Mapping[str, str],
        package: Path | None = None,
    ) -> str:
        """Hands in a job that runs `lexmove WORDS` on the head; returns its id.

        lexmove itself travels along: whatever the cluster has installed, this version runs.

        Args:
            words: the verb and its arguments; everybody on the head can read them.
            title: what its id begins with, and its name in the dashboard.
            metadata: what is known of it afterwards; everybody with the token can read it.
            package: a zip file that is unpacked where the job runs.
        """
        runtime_env: dict[str, Any] = {
            "py_modules": [str(_PACKAGE)],
            "excludes": ["**/__pycache__/"],
            "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(_LEAVE_S), "PYTHONUTF8": "1"},
        }
        if package is not None:
            runtime_env["working_dir"] = str(package)
        with _talking(self.url):
            return self._client.submit_job(
                entrypoint=f"exec {_ARRIVAL} {shlex.join(words)}",
                submission_id=f"{title}-{uuid4().hex[:6]}",
                runtime_env=runtime_env,
                metadata={"job_name": title, **metadata},
                entrypoint_resources=_HEAD,
            )

    def all(self) -> tuple[Job, ...]:
        """All submitted jobs that the cluster still knows, oldest first."""
        with _talking(self.url):
            known = self._client.list_jobs()
        jobs = [_job(details) for details in known if details.submission_id]
        return tuple(sorted(jobs, key=lambda job: job.started_ms))

    def of_study(self, name: str) -> tuple[Job, ...]:
        """The jobs that ran a study, oldest first."""
        return tuple(
            job
            for job in self.all()
            if job.metadata.get(STUDY) == name and PURPOSE not in job.metadata
        )

    def look(self, job_id: str) -> Job:
        """One job."""
        with _talking(self.url):
            return _job(self._client.get_job_info(job_id))

    def stop(self, job_id: str) -> bool:
        """Asks a job to leave; False where it had ended."""
        with _talking(self.url):
            return bool(self._client.stop_job(job_id))

    def delete(self, job_id: str) -> None:
        """Takes a job that is over off the cluster's list."""
        with _talking(self.url):
            self._client.delete_job(job_id)

    def log(self, job_id: str) -> str:
        """What a job has printed."""
        with _talking(self.url):
            return str(self._client.get_job_logs(job_id) or "")

    def follow(self, job_id: str) -> Iterator[str]:
        """The lines that a job prints, as they come, until it ends."""
        chunks = cast("AsyncGenerator[str]", self._client.tail_job_logs(job_id))
        rest = ""
        with contextlib.closing(asyncio.new_event_loop()) as loop, _talking(self.url):
            try:
                while (chunk := _next(loop, chunks)) is not None:
                    *whole, rest = (rest + chunk).split("\n")
                    yield from whole
                if rest:
                    yield rest
            finally:
                loop.run_until_complete(chunks.aclose())

    def wait(self, job_id: str, *, patience_s: float | None = None) -> Job:
        """The job when it is over, or as it stands after `patience_s` seconds."""
        until_s = time.monotonic() + (patience_s if patience_s is not None else float("inf"))
        while True:
            job = self.look(job_id)
            if job.is_over or time.monotonic() > until_s:
                return job
            time.sleep(_POLL_S)

    def status_of(self, job: Job) -> int:
        """The exit status of a job that is over: its study's, which Ray's own tools flatten to 1.

        From what Ray kept of its entry point, else from the last line of its log.

        Raises:
            JobLostError: it ended without a word.
        """
        if job.status == "STOPPED":
            return STOPPED_STATUS
        if job.exit_status is not None:
            return _mapped(job.exit_status)
        found = _ended(self.log(job.job_id))
        if found is not None:
            return found
        lines = job.message.strip().splitlines() or ["no cause is known"]
        raise JobLostError(
            f"job {job.job_id} was lost: {lines[0]}\n"
            f"{_resume_words(job)} goes on with the study when the cluster is up again"
        )

    def complaint(self, job: Job) -> str:
        """The end of a failed job's log, for whoever wants to know why."""
        lines = self.log(job.job_id).strip().splitlines()
        return "\n".join(lines[-_MAX_ERROR_LINES:])


def _next(loop: asyncio.AbstractEventLoop, chunks: AsyncGenerator[str]) -> str | None:
    """The next chunk, None after the last; Ctrl-C lets go of the connection first."""

    async def wait() -> str | None:
        return await anext(chunks, None)

    task = loop.create_task(wait())
    try:
        return loop.run_until_complete(task)
    finally:
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                loop.run_until_complete(task)


def _resume_words(job: Job) -> str:
    return f"`lexmove submit --resume {job.metadata.get(STUDY, 'STUDY')}`"


def _mapped(status: int) -> int:
    return status if status in _KNOWN_STATUSES else 1


def _ended(log: str) -> int | None:
    """What the last line with an exit status says."""
    found = re.findall(rf"^{ENDED}(\d+)$", log, flags=re.MULTILINE)
    return _mapped(int(found[-1])) if found else None


def _job(details: Any) -> Job:
    return Job(
        job_id=str(details.submission_id),
        status=str(getattr(details.status, "value", details.status)),
        metadata=dict(details.metadata or {}),
        exit_status=details.driver_exit_code,
        message=str(details.message or ""),
        started_ms=int(details.start_time or 0),
    )


@contextlib.contextmanager
def _talking(url: str) -> Iterator[None]:
    """Turns what goes wrong on the way there into a sentence, and keeps Ray's client quiet."""
    import logging

    import aiohttp
    import requests
    from ray.exceptions import AuthenticationError

    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    except (
        requests.exceptions.RequestException,
        aiohttp.ClientError,
        AuthenticationError,
        ConnectionError,
        RuntimeError,
    ) as error:
        first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ClusterError(
            f"the cluster at {url} does not do as asked: {first_line}\n"
            "is it still up? Jobs go on without this command, and "
            f"`lexmove ls --address {url}` finds their studies"
        ) from error
