"""Brings here what a verb makes on a cluster: sent line by line, there as a whole or not at all.

Ray's job API has one way back, a job's log: what was made goes through it as an archive in base64,
and is taken out of the log again when it has arrived.
"""

import base64
import gzip
import hashlib
import io
import json
import os
import shutil
import signal
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TextIO
from uuid import uuid4

from lexmove.app.appearing import MADE, appearing
from lexmove.app.asking import ANSWER, Answer, reading_job, unanswered
from lexmove.app.submitting import HOME
from lexmove.cluster.jobs import Jobs
from lexmove.errors import ClusterError, UsageError

PART = "lexmove-part "
"""What begins a line with a piece of the archive."""

MAX_BYTES = 500 * 2**20
"""What may be fetched: all of it lies in a log on the head's disk for a while."""

_PART_BYTES = 192 * 2**10
"""Makes a line of a quarter of a MiB: Ray's client takes messages of up to 4 MiB."""

_KEPT_S = 60.0
"""How long the log is kept for who fetches, where they do not end the job when all is there."""

_MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """The last line: what the verb said, where it wrote, and the archive's SHA-256."""

    answer: Answer
    place: str
    sha256: str


def fetch(jobs: Jobs, words: Sequence[str], *, target: Path) -> Answer:
    """Has a cluster run a verb that makes a file or a folder, which is `target` then, here.

    Args:
        jobs: of the cluster.
        words: the verb and its arguments, without its `--out`.
        target: where it is to appear; a file is replaced, a folder must be empty or not there.

    Returns:
        What the verb said, with `target` for the place where it wrote there.

    Raises:
        ClusterError: the cluster does not answer, or what came is not what was sent.
        UsageError: `target` cannot be written.
    """
    with appearing(target) as made:
        archive = made.with_name("archive")
        with archive.open("wb") as file, reading_job(jobs, ["send", "--", *words]) as job_id:
            sent = _received(jobs, job_id, file)
        if sent.answer.status == 0:
            _unpack(archive, sent, made.parent)
    said = sent.answer
    out, err = (text.replace(sent.place, str(target)) for text in (said.out, said.err))
    return Answer(status=said.status, out=out, err=err)


def _received(jobs: Jobs, job_id: str, file: BinaryIO) -> _Sent:
    """Writes the archive as it comes in; returns what the last line says."""
    for line in jobs.follow(job_id):
        if line.startswith(PART):
            file.write(base64.b64decode(line.removeprefix(PART)))
        elif line.startswith(ANSWER):
            found = json.loads(line.removeprefix(ANSWER))
            return _Sent(**found | {"answer": Answer(**found["answer"])})
    raise unanswered(jobs.look(job_id), jobs.log(job_id))


def _unpack(archive: Path, sent: _Sent, folder: Path) -> None:
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != sent.sha256:
        raise ClusterError(
            f"what came from the cluster ({archive.stat().st_size / _MIB:.1f} MiB) is not what was "
            "sent there, by its SHA-256: nothing was written here; try again"
        )
    with tarfile.open(archive, "r:gz") as opened:
        opened.extractall(folder, filter="data")


def send(make: Callable[[Path], Answer], *, to: TextIO) -> None:
    """On the cluster: sends what `make` writes to the path that it is given.

    What is too large to be sent is left on the head, and the answer says where.
    """
    with tempfile.TemporaryDirectory(prefix="lexmove") as folder, _log_emptied(to):
        made = Path(folder) / MADE
        answer, sha256 = make(made), ""
        if answer.status == 0 and (size := _num_bytes(made)) > MAX_BYTES:
            answer = _too_large(made, size)
        elif answer.status == 0:
            sha256 = _send_archive(made, to)
        sent = _Sent(answer=answer, place=str(made), sha256=sha256)
        to.write(f"\n{ANSWER}{json.dumps(asdict(sent))}\n")
        to.flush()


@contextmanager
def _log_emptied(log: TextIO) -> Iterator[None]:
    """Waits for who fetches to end this job, and leaves nothing in its log, which outlives it."""

    def leave(*_: object) -> NoReturn:
        raise SystemExit(0)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
        if _is_log(log):
            time.sleep(_KEPT_S)
    finally:
        signal.signal(signal.SIGTERM, before)
        if _is_log(log):
            with suppress(OSError):
                os.ftruncate(log.fileno(), 0)


def _is_log(stream: TextIO) -> bool:
    """Whether it is a file, as the output of a job is."""
    try:
        return Path(f"/proc/self/fd/{stream.fileno()}").resolve().is_file()
    except (OSError, ValueError):
        return False


def _num_bytes(path: Path) -> int:
    files = [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]
    return sum(item.stat().st_size for item in files)


def _too_large(made: Path, size: int) -> Answer:
    kept = Path(HOME).expanduser() / "exports" / uuid4().hex[:8]
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(made, kept)
    return Answer(
        status=UsageError.exit_code,
        out="",
        err=f"error: this takes {size / _MIB:.0f} MiB, and {MAX_BYTES / _MIB:.0f} MiB can be "
        f"fetched this way. It is in {HOME}/exports/{kept.name} on the cluster's head: copy it "
        f"with `ray rsync-down cluster.yaml {kept} .`, or with scp, and delete it there; or leave "
        "the examples out (--without-data)\n",
    )


class _Lines(io.RawIOBase):
    """Writes bytes as lines of a log, and knows their digest."""

    def __init__(self, to: TextIO) -> None:
        self._to = to
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self.digest.update(piece)
        self._to.write(f"\n{PART}{base64.b64encode(piece).decode()}\n")
        return len(piece)


def _send_archive(made: Path, to: TextIO) -> str:
    """The SHA-256 of what was sent."""
    lines = _Lines(to)
    with (
        io.BufferedWriter(lines, _PART_BYTES) as buffered,
        gzip.GzipFile(fileobj=buffered, mode="wb", compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|") as archive,
    ):
        archive.add(made, arcname=MADE)
    return lines.digest.hexdigest()
