"""The job page of Ray's dashboard: what a study has found, in the metadata of its submitted job."""

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

Show = Callable[[Mapping[str, str]], None]
"""Sets entries of the metadata; others stay."""

_ID = "job_submission_id"


def open_job_page() -> Show | None:
    """The way to the page of the job that this process belongs to; None if it belongs to none.

    Ray can set a job's metadata when it is submitted, and not afterwards: they are changed where it
    keeps them. While an entry point runs nobody else writes there.
    """
    job_id = _submission_id()
    if job_id is None:
        return None
    from ray._private.ray_constants import KV_NAMESPACE_JOB
    from ray.dashboard.modules.job.common import JobInfoStorageClient
    from ray.experimental.internal_kv import _internal_kv_get, _internal_kv_put

    key = JobInfoStorageClient.JOB_DATA_KEY.format(job_id=job_id).encode()

    def show(entries: Mapping[str, str]) -> None:
        text = _internal_kv_get(key, namespace=KV_NAMESPACE_JOB)
        job: dict[str, Any] = json.loads(text or b"{}")
        if job.get("status") != "RUNNING":
            return
        job["metadata"] = {**(job.get("metadata") or {}), **entries}
        _internal_kv_put(key, json.dumps(job).encode(), overwrite=True, namespace=KV_NAMESPACE_JOB)

    return show


def _submission_id() -> str | None:
    """What Ray tells the entry point of a submitted job, and with it our supervisor's drivers."""
    try:
        told = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))
        job_id = told.get("metadata", {}).get(_ID)
    except (ValueError, AttributeError):
        return None
    return job_id if isinstance(job_id, str) else None
