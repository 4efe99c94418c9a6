"""Looks at this machine: versions, Ray's auth, GPU, CPUs, memory and disk; each with its fix."""

import os
import platform
import shutil
import stat
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from lexmove.cluster.dashboard import MIN_PYTHON
from lexmove.errors import ClusterError, InvalidFileError

Health = Literal["ok", "warn", "fail"]

_PACKAGES = ("lexmove", "torch", "ray", "transformers", "accelerate", "datasets", "optuna")
_MIN_SHM_BYTES = 512 * 2**20
_MIN_DISK_BYTES = 2 * 2**30
_NO_DISK_BYTES = 200 * 2**20
"""A checkpoint of a small encoder with its optimizer does not fit into less."""

_GIB = 2**30

_HUB = "https://huggingface.co"
_HUB_TIMEOUT_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at; `fix` says what to do where it is not ok."""

    name: str
    health: Health
    detail: str
    fix: str | None = None


def check_machine(*, folder: Path, network: bool) -> tuple[Check, ...]:
    """Everything about the machine that a study depends on.

    Args:
        folder: where studies would be written.
        network: whether to ask the model hub for an answer; else nothing is sent.
    """
    return (
        _check_python(),
        *map(_check_package, _PACKAGES),
        _check_auth(),
        _check_gpu(),
        _check_cpus(),
        _check_shared_memory(),
        _check_disk(folder),
        _check_hub(network=network),
    )


def guarded(name: str, look: Callable[[], str], *, fix: str) -> Check:
    """A check that is ok with what `look` returns, and fails with what it raises."""
    try:
        return Check(name=name, health="ok", detail=look())
    except Exception as error:  # noqa: BLE001 - a broken library may raise anything; it is the news
        first_line, *more = str(error).splitlines() or [type(error).__name__]
        if isinstance(error, InvalidFileError):
            first_line = "; ".join(map(str, error.mistakes))
        elif isinstance(error, ClusterError) and more:
            fix = " ".join(more)  # its message ends with the way out
        return Check(name=name, health="fail", detail=first_line, fix=fix)


def _check_python() -> Check:
    found = platform.python_version()
    if sys.version_info >= MIN_PYTHON:
        return Check(name="python", health="ok", detail=found)
    needed = ".".join(map(str, MIN_PYTHON))
    fix = f"make setup PYTHON=/path/to/python{needed}"
    return Check(name="python", health="fail", detail=f"{found} is too old: {needed}", fix=fix)


def _check_package(name: str) -> Check:
    try:
        return Check(name=name, health="ok", detail=version(name))
    except PackageNotFoundError:
        is_own = name == "lexmove"
        return Check(
            name=name,
            health="warn" if is_own else "fail",
            detail="runs from its source folder" if is_own else "not installed",
            fix="make setup" if is_own else f"make setup, or pip install {name}",
        )


def _check_auth() -> Check:
    mode = os.environ.get("RAY_AUTH_MODE")
    if os.environ.get("RAY_AUTH_TOKEN"):
        detail = f"RAY_AUTH_MODE={mode or 'unset'}, the token from RAY_AUTH_TOKEN"
        return Check(name="ray auth", health="ok", detail=detail)
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if not path.exists():
        detail = "no token: studies on this machine get a throw-away one"
        return Check(name="ray auth", health="ok", detail=detail)
    mode_bits = stat.S_IMODE(path.stat().st_mode)
    if mode_bits & 0o077:
        return Check(
            name="ray auth",
            health="warn",
            detail=f"others may read the token {path} (mode {mode_bits:o})",
            fix=f"chmod 600 {path}",
        )
    return Check(name="ray auth", health="ok", detail=f"the token {path}, mode {mode_bits:o}")


def _check_gpu() -> Check:
    def look() -> str:
        import torch

        if not torch.cuda.is_available():
            return f"none; torch {torch.__version__} trains on the CPU"
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return f"{len(names)}: {', '.join(names)}"

    return guarded("gpu", look, fix="install the torch build that fits your driver")


def check_gpu_for(asked: float, *, is_auto: bool = False) -> Check:
    """Whether this machine has the GPUs that a job's trials ask for; `auto` asks for none."""
    import torch

    if is_auto or not asked or torch.cuda.is_available():
        detail = "one is there" if torch.cuda.is_available() else "none is asked for"
        return Check(name="gpu for trials", health="ok", detail=detail)
    fix = "; or set resources: {gpu: 0} in the job, or run it on a cluster (--address)"
    if torch.version.cuda is None and getattr(torch.version, "hip", None) is None:
        detail = f"a trial asks for {asked:g}, and torch {torch.__version__} is built without CUDA"
        fix = f"install torch's CUDA build into this environment{fix}"
    else:
        detail = f"a trial asks for {asked:g}, and torch {torch.__version__} sees none"
        fix = f"look at nvidia-smi, the driver and CUDA_VISIBLE_DEVICES{fix}"
    return Check(name="gpu for trials", health="fail", detail=detail, fix=fix)


def _check_cpus() -> Check:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = os.environ.get("OMP_NUM_THREADS", "unset")
    return Check(name="cpus", health="ok", detail=f"{usable} usable, OMP_NUM_THREADS {threads}")


def _check_shared_memory() -> Check:
    path = Path("/dev/shm")  # noqa: S108 - looked at, not written: Ray's object store lives there
    if not path.exists():
        return Check(name="shared memory", health="ok", detail="no /dev/shm on this system")
    free = shutil.disk_usage(path).free
    detail = f"{free / _GIB:.2f} GiB free in /dev/shm"
    if free >= _MIN_SHM_BYTES:
        return Check(name="shared memory", health="ok", detail=detail)
    fix = "give it more (docker run --shm-size=2g): Ray falls back to slow files without it"
    return Check(name="shared memory", health="warn", detail=detail, fix=fix)


def _check_disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    detail = f"{free / _GIB:.2f} GiB free in {folder}"
    if free >= _MIN_DISK_BYTES:
        return Check(name="disk", health="ok", detail=detail)
    fix = (
        "free some, or set `storage` in the job to another disk: every running or paused trial "
        "keeps a checkpoint of the model"
    )
    health: Health = "fail" if free < _NO_DISK_BYTES else "warn"
    return Check(name="disk", health=health, detail=detail, fix=fix)


def _check_hub(*, network: bool) -> Check:
    home = os.environ.get("HF_HOME", "its default folder")
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        detail = f"offline (HF_HUB_OFFLINE=1), models from {home}"
        return Check(name="model hub", health="ok", detail=detail)
    if not network:
        detail = f"not asked, models are kept in {home}; --network asks"
        return Check(name="model hub", health="ok", detail=detail)
    try:
        urllib.request.urlopen(_HUB, timeout=_HUB_TIMEOUT_S).close()
    except OSError as error:
        fix = "built-in models and folders work without; HF_HUB_OFFLINE=1 saves the wait"
        return Check(name="model hub", health="warn", detail=f"no answer: {error}", fix=fix)
    return Check(name="model hub", health="ok", detail=f"answers, models are kept in {home}")
