"""What the verbs do that are about studies elsewhere, and what runs there for them."""

import io
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NoReturn

import typer

from lexmove.app import asking, stopping
from lexmove.app.asking import Sight
from lexmove.app.progress import REPETITIONS
from lexmove.app.stored import store_option, store_url
from lexmove.cli.conduct import INTERRUPTED
from lexmove.cli.console import say
from lexmove.cli.progress import progress_display
from lexmove.cli.remote_reading import read_remotely
from lexmove.cluster.jobs import ENDED, Jobs
from lexmove.coordinator.remote_storage import shown
from lexmove.errors import LexmoveError, NoSuccessfulTrialError, UsageError
from lexmove.job.storage import is_remote

_LOOK_S = 1.0
_MIB = 2**20


def run_submit(
    job: Path | None,
    *,
    address: str | None,
    store: str | None,
    wait: bool,
    resume: str | None,
    extra_trials: int,
    storage: str | None,
    shared: Sequence[Path],
    insecure: bool,
) -> None:
    """`lexmove submit`."""
    from lexmove.app import submitting

    if (job is None) == (resume is None):
        raise UsageError("give either a job file, or --resume with the name of a study")
    if extra_trials and resume is None:
        raise UsageError("--trials is for --resume: a new study has the budget of its job")
    if storage is not None and resume is None:
        raise UsageError("--storage is for --resume: a new study has the `storage` of its job")
    if job is not None:
        done = submitting.submit(
            job, address=address, store=store, shared=shared, insecure=insecure
        )
    else:
        assert resume is not None, "one of the two is given"
        done = submitting.submit_resume(
            resume,
            address=address,
            store=store,
            extra_trials=extra_trials,
            storage=storage,
            insecure=insecure,
        )
    say(f"submitted study {done.study} as job {done.job_id}", style="bold")
    if done.package is not None:
        num, size = len(done.package.files), done.package.num_bytes / _MIB
        say(f"  sent       the job and {num} files, {size:.1f} MiB")
    if done.storage is not None:
        say(f"  studies    {_place(done.storage)}")
    say(f"  store      {done.store}{' on the head' if done.is_on_head else ''}")
    say(f"  dashboard  {done.address}/#/jobs/{done.job_id}")
    _say_follow_up(done.study, done.address)
    if wait:
        _wait(asking.connected_jobs(done.address), done.job_id, done.study)


def _place(storage: str) -> str:
    if is_remote(storage):
        return shown(storage)
    where = "the cluster's head" if storage.startswith("~") else "the cluster"
    return f"{storage} on {where}"


def _say_follow_up(name: str, address: str) -> None:
    there = f"--address {address}"
    commands = {
        f"lexmove watch {name} {there}": "follow it",
        f"lexmove logs {name} {there} --follow": "what its driver says",
        f"lexmove best {name} {there} --json": "the best config so far",
        f"lexmove report {name} {there}": "all of it with pictures, as a file here",
        f"lexmove stop {name} {there}": "ask it to leave",
        f"lexmove submit --resume {name} {there}": "go on, after anything that died",
    }
    width = max(map(len, commands))
    say("next:")
    for command, what in commands.items():
        say(f"  {command.ljust(width)}  # {what}")


def _wait(jobs: Jobs, job_id: str, name: str) -> NoReturn:
    """Says what the driver says until it ends, and exits as the study does."""
    try:
        for line in jobs.follow(job_id):
            if not _is_ray_speaking(line) and not line.startswith(ENDED):
                say(line)
        job = jobs.wait(job_id)
    except KeyboardInterrupt:
        _detached(name, jobs.url)
    status = jobs.status_of(job)
    say(f"study {name} ended with exit status {status}")
    raise typer.Exit(status)


def _is_ray_speaking(line: str) -> bool:
    return line.startswith("Running entrypoint for job ") or " INFO job_manager.py:" in line


def _detached(name: str, address: str) -> NoReturn:
    say(
        f"left it running: `lexmove watch {name} --address {address}` follows it again",
        style="yellow",
    )
    raise typer.Exit(INTERRUPTED)


def run_watch(name: str, *, store: str | None, address: str | None) -> None:
    """`lexmove watch`."""
    if address is None:
        _watch_here(name, store=store)
        return
    jobs = asking.connected_jobs(address)
    _watch_there(jobs, name, store=asking.store_there(jobs, name, store))


def _watch_here(name: str, *, store: str | None) -> None:
    url = store_url(None, store)
    if asking.see(name, store=url) is None:
        stopping.log_of(name, None, store=url)  # says that there is no such study
    option = store_option(url)
    try:
        last = _shown(_looks_here(name, url))
    except KeyboardInterrupt:
        say(f"left it running: `lexmove watch {name}{option}` follows it again", style="yellow")
        raise typer.Exit(INTERRUPTED) from None
    _say_end(last, f"lexmove resume {name}{option}")


def _looks_here(name: str, url: str) -> Iterator[Sight | None]:
    """A study each time that it was looked at, until no process runs it."""
    while True:
        sight = asking.see(name, store=url)
        yield sight
        if sight is not None and sight.state != "running":
            return
        time.sleep(_LOOK_S)


def _watch_there(jobs: Jobs, name: str, *, store: str) -> None:
    """Follows a study on a cluster until it is finished or its job is over."""
    job = asking.job_of_study(jobs, name)

    def looks() -> Iterator[Sight | None]:
        nonlocal job
        for number, sight in enumerate(asking.watch(jobs, name, store=store)):
            yield sight
            # Its driver may be between two tries: the job knows.
            if number % 3 == 0 and job.is_over:
                return
            if number % 3 == 2:
                job = jobs.look(job.job_id)

    try:
        last = _shown(looks())
    except KeyboardInterrupt:
        _detached(name, jobs.url)
    if last is not None and last.state == "finished":
        _say_end(last, "")
        return
    job = jobs.wait(job.job_id)
    status = jobs.status_of(job)
    if status:
        say(jobs.complaint(job))
    say(f"study {name} ended with exit status {status}")
    raise typer.Exit(status)


def _shown(looks: Iterator[Sight | None]) -> Sight | None:
    """Shows a study as it grows; returns how it was seen last."""
    last = None
    with progress_display() as progress:
        for sight in looks:
            if sight is None:
                progress("waiting for the study to begin", None)
                continue
            is_search_on = last is None or sight.study.num_events > last.study.num_events
            if is_search_on or sight.repetitions is None:
                progress("trials", sight.study)
            if sight.repetitions is not None and (not is_search_on or sight.state == "finished"):
                progress(REPETITIONS, sight.repetitions)
            last = sight
    return last


def _say_end(last: Sight | None, resume: str) -> None:
    if last is None:
        return
    name, incumbent = last.study.spec.name, last.study.incumbent
    best = "" if incumbent is None else f": best {incumbent.value:.4f} (trial {incumbent.trial_id})"
    say(f"study {name} is {last.state}{best}")
    if last.state == "finished" and incumbent is None:
        say("none of its trials succeeded: `lexmove show` has the reasons")
        raise typer.Exit(NoSuccessfulTrialError.exit_code)
    if last.state != "finished" and resume:
        say(f"to go on: {resume}")
        raise typer.Exit(1)


def run_logs(
    name: str | None, trial_id: int | None, *, store: str | None, address: str | None, follow: bool
) -> None:
    """`lexmove logs`."""
    if trial_id is not None and follow:
        raise UsageError("--follow is about a whole study: leave the trial's number out")
    if address is None:
        _logs_here(name, trial_id, store=store, follow=follow)
        return
    jobs = asking.connected_jobs(address)
    if trial_id is not None or name is None:
        words = ["logs", *([] if name is None else [name])]
        words += [] if trial_id is None else [str(trial_id)]
        read_remotely(words, address=address, store=store, study=name)
    known = jobs.of_study(name)
    if not known:  # a head that was started anew: the study's folder has it still
        read_remotely(["logs", name], address=address, store=store, study=name)
    for job in known[:-1]:
        sys.stdout.write(jobs.log(job.job_id))
    try:
        if follow:
            for line in jobs.follow(known[-1].job_id):
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()
        else:
            sys.stdout.write(jobs.log(known[-1].job_id))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def _logs_here(name: str | None, trial_id: int | None, *, store: str | None, follow: bool) -> None:
    name = name or stopping.last_study(store)
    path = stopping.log_of(name, trial_id, store=store)
    with path.open(encoding="utf-8", errors="replace") as file:
        while True:
            is_running = follow and stopping.is_running_here(name, store=store)
            sys.stdout.write(file.read())
            sys.stdout.flush()
            if not is_running:
                return
            time.sleep(_LOOK_S)


def run_stop(name: str, *, store: str | None, address: str | None) -> None:
    """`lexmove stop`."""
    if address is None:
        stopping.stop_here(name, store=store)
        say(f"study {name} has stopped; to go on: lexmove resume {name}")
        return
    jobs = asking.connected_jobs(address)
    job = asking.job_of_study(jobs, name)
    if not jobs.stop(job.job_id):
        raise UsageError(f"study {name!r} is not running: job {job.job_id} is {job.status}")
    say(f"asked job {job.job_id} to leave…")
    job = jobs.wait(job.job_id, patience_s=150.0)
    way_on = f"lexmove submit --resume {name} --address {address}"
    say(f"study {name} has stopped; to go on: {way_on}" if job.is_over else "it is still leaving")


def run_supervise(
    job: Path | None, *, resume: str | None, extra_trials: int, store: str, storage: str | None
) -> None:
    """`lexmove supervise`: the last line says how it ended, whatever becomes of the exit code."""
    from lexmove.app import supervised

    def tell(text: str) -> None:
        say(f"supervisor: {text}", style="yellow")

    try:
        if resume is not None:
            status = supervised.run_resume(
                resume, store=store, extra_trials=extra_trials, storage=storage, say=tell
            )
        else:
            assert job is not None, "its submitter gave one of the two"
            status = supervised.run_job(job, store=store, say=tell)
    except LexmoveError as error:
        say(f"error: {error}", style="red")
        status = error.exit_code
    say(f"{ENDED}{status}")
    raise typer.Exit(status)


Verb = Callable[[Sequence[str]], int | None]
"""Runs `lexmove` with these words in this process; its exit status, None for 0."""


def run_answer(words: Sequence[str], verb: Verb) -> None:
    """`lexmove answer`: a verb with what it says caught, and said so that it can be told apart."""
    asking.say_answer(_caught(words, verb), sys.stdout)


def run_send(words: Sequence[str], verb: Verb) -> None:
    """`lexmove send`: a verb that makes something, which is sent with what it says."""
    from lexmove.app.fetching import send

    send(lambda made: _caught([*words, "--out", str(made)], verb), to=sys.stdout)


def _caught(words: Sequence[str], verb: Verb) -> asking.Answer:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = verb(words)
    return asking.Answer(status=int(status or 0), out=out.getvalue(), err=err.getvalue())


def run_stream(name: str, *, store: str) -> None:
    """`lexmove stream`."""
    asking.stream(name, store=store, to=sys.stdout)
