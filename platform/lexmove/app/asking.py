"""Asks a cluster what its studies have come to, where the store is a file that only it can read.

A reading verb runs there as a job of its own, and its answer is the last line of that job's log;
whoever watches a study has its events sent line by line.
"""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, TextIO

from lexmove.app.stored import look, repetitions_name, repetitions_of
from lexmove.app.submitting import HEAD_STORE, check_sendable, store_of
from lexmove.cluster.dashboard import find_dashboard
from lexmove.cluster.jobs import PURPOSE, STORE, STUDY, Job, Jobs
from lexmove.coordinator.store import open_reader
from lexmove.errors import ClusterError, StudyNotFoundError
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import event_from_json, event_to_json

ANSWER = "lexmove-answer "
NEWS = "lexmove-news "
"""What begins a line that is meant for this process on the other side."""

_PATIENCE_S = 180.0
"""An answer takes some seconds, most of which go into starting a process on the head."""

_STREAM_S = 900.0

_LEAVE_S = 10.0

_SEEN_S = 1.5

_READER = "lexmove-reader"

_LOOK_S = 1.0
"""Between two looks at a study that is watched; a line is sent each time, news or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a verb said elsewhere."""

    status: int
    out: str
    err: str


def connected_jobs(address: str | None) -> Jobs:
    """The jobs of the cluster at an address.

    Raises:
        ClusterError: it cannot be reached or refuses the token.
    """
    return Jobs(find_dashboard(address))


def store_there(jobs: Jobs, name: str | None, store: str | None) -> str:
    """The store that the cluster is asked for: the one given, else where the study's job writes.

    Raises:
        UsageError: the one given has a password.
    """
    if store is not None:
        check_sendable(store)
    known = jobs.all() if name is None else jobs.of_study(name)
    return store or store_of(known)


def stores_there(jobs: Jobs, store: str | None) -> list[str]:
    """All stores that the cluster's jobs name, the last one first, and the head's own; or the one.

    Raises:
        UsageError: the one given has a password.
    """
    if store is not None:
        return [store_there(jobs, None, store)]
    named = [job.metadata[STORE] for job in reversed(jobs.all()) if STORE in job.metadata]
    return list(dict.fromkeys([*named, HEAD_STORE]))


def ask(jobs: Jobs, words: Sequence[str]) -> Answer:
    """Has the cluster run a reading verb.

    Raises:
        ClusterError: it does not answer.
    """
    with reading_job(jobs, ["answer", "--", *words]) as job_id:
        job = jobs.wait(job_id, patience_s=_PATIENCE_S)
        log = jobs.log(job_id)
    lines = [line for line in log.splitlines() if line.startswith(ANSWER)]
    if not lines:
        raise unanswered(job, log)
    return Answer(**json.loads(lines[-1].removeprefix(ANSWER)))


def say_answer(answer: Answer, stream: TextIO) -> None:
    """On the cluster: says it so that `ask` finds it."""
    found = {"status": answer.status, "out": answer.out, "err": answer.err}
    stream.write(f"\n{ANSWER}{json.dumps(found)}\n")


@contextmanager
def reading_job(jobs: Jobs, words: Sequence[str]) -> Iterator[str]:
    """The id of a job that reads for this process, and is taken off the cluster's list after it."""
    job_id = jobs.submit(words, title=_READER, metadata={PURPOSE: "reader"})
    try:
        yield job_id
    finally:
        with suppress(ClusterError):
            jobs.stop(job_id)
            jobs.wait(job_id, patience_s=_LEAVE_S)
            jobs.delete(job_id)
            time.sleep(_SEEN_S)
            _sweep(jobs)


def _sweep(jobs: Jobs) -> None:
    """Takes away what Ray has put back on its list.

    It looks after a job once a second, and writes one off as failed that was deleted before it has
    seen its end; such a row knows nothing of what the job was for.
    """
    for job in jobs.all():
        if job.job_id.startswith(_READER) and job.is_over and PURPOSE not in job.metadata:
            jobs.delete(job.job_id)


def unanswered(job: Job, log: str) -> ClusterError:
    """What to say where a job that reads has ended without an answer."""
    lines = [line for line in log.strip().splitlines() if line.strip()]
    tail = "\n".join(["", *lines[-4:]]) if lines else ""
    if "python: not found" in log or "python: command not found" in log:
        tail = "\nits head has no `python` on the PATH: start Ray from an activated environment"
    return ClusterError(f"the cluster did not answer ({job.status}): {job.message[:200]}{tail}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What one look at a study shows; `repetitions` is None before they began."""

    study: Study
    state: str
    repetitions: Study | None = None


def see(name: str, *, store: str) -> Sight | None:
    """A study as it stands in a store that can be read here; None where it is not there yet."""
    try:
        outcome = look(name, store=store)
    except StudyNotFoundError:
        return None
    repetitions = repetitions_of(open_reader(store), outcome.study)
    return Sight(study=outcome.study, state=outcome.state, repetitions=repetitions)


def stream(name: str, *, store: str, to: TextIO) -> None:
    """On the cluster: sends a study event by event, until it is finished.

    At most for a quarter of an hour: who still listens then asks again, and nobody here would
    notice that they have gone.
    """
    told: dict[str, Study] = {}
    state = ""
    until_s = time.monotonic() + _STREAM_S
    while state != "finished" and time.monotonic() < until_s:
        sight = see(name, store=store)
        if sight is not None:
            for study in (sight.study, sight.repetitions):
                if study is not None:
                    _send_events(study, told, to)
            state = sight.state
        to.write(f"{NEWS}{json.dumps({'state': state})}\n")
        to.flush()
        if state != "finished":
            time.sleep(_LOOK_S)


def _send_events(study: Study, told: dict[str, Study], to: TextIO) -> None:
    name = study.spec.name
    before = told.get(name)
    if before is None or before.spec != study.spec:  # a budget may grow
        to.write(f"{NEWS}{json.dumps({'spec': study.spec.to_json()})}\n")
    for event in study.events_since(0 if before is None else before.num_events):
        found = {"study": name, "event": event_to_json(event)}
        to.write(f"{NEWS}{json.dumps(found)}\n")
    told[name] = study


def watch(jobs: Jobs, name: str, *, store: str) -> Iterator[Sight | None]:
    """A study on a cluster, each time that it was looked at; ends when it is finished.

    None as long as it is not in the store.

    Raises:
        ClusterError: the cluster does not answer any more.
    """
    received = _Received(name)
    words = ["stream", name, "--store", store]
    while received.state != "finished":
        with reading_job(jobs, words) as job_id:
            for line in jobs.follow(job_id):
                if line.startswith(NEWS) and received.take(read_news(line)):
                    yield received.sight()
            job = jobs.look(job_id)
            if received.state != "finished" and job.status != "SUCCEEDED":
                raise unanswered(job, jobs.log(job_id))


def read_news(line: str) -> dict[str, Any]:
    """What a line says that begins with `NEWS`."""
    found: dict[str, Any] = json.loads(line.removeprefix(NEWS))
    return found


class _Received:
    """The studies that come in line by line."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._studies: dict[str, Study] = {}
        self.state = ""

    def take(self, news: dict[str, Any]) -> bool:
        """Learns of one line; whether a look is complete with it."""
        if "spec" in news:
            spec = StudySpec.from_json(news["spec"])
            known = self._studies.get(spec.name, Study(spec=spec))
            self._studies[spec.name] = replace(known, spec=spec)
        elif "event" in news:
            study = self._studies[news["study"]]
            self._studies[news["study"]] = study.with_event(event_from_json(news["event"]))
        else:
            self.state = news["state"]
            return True
        return False

    def sight(self) -> Sight | None:
        study = self._studies.get(self._name)
        if study is None:
            return None
        repetitions = self._studies.get(repetitions_name(study))
        return Sight(study=study, state=self.state, repetitions=repetitions)


def job_of_study(jobs: Jobs, name: str) -> Job:
    """The last job that ran a study.

    Raises:
        StudyNotFoundError: the cluster knows of none.
    """
    known = jobs.of_study(name)
    if not known:
        studies = sorted({job.metadata[STUDY] for job in jobs.all() if STUDY in job.metadata})
        there = f"; it knows {', '.join(studies)}" if studies else ""
        raise StudyNotFoundError(
            f"the cluster at {jobs.url} knows of no job for study {name!r}{there}. A head that "
            f"was started anew forgets them: `lexmove submit --resume {name}` goes on"
        )
    return known[-1]
