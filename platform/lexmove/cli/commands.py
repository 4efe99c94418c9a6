"""What each verb does: asks the app, and hands the answer to its view."""

import os
import shlex
import sys
from functools import cache
from pathlib import Path

import typer

from lexmove.app import stored
from lexmove.app.stored import Outcome, store_option, store_url
from lexmove.cli.conduct import INTERRUPTED, resumable, say_next
from lexmove.cli.console import SCHEMA_VERSION, say, write_json, write_sentence, write_table
from lexmove.cli.result_view import write_result
from lexmove.cli.study_view import repeated_winner, write_studies, write_study, write_trial
from lexmove.coordinator.store import open_reader
from lexmove.coordinator.store_rules import without_password
from lexmove.coordinator.store_url import locate_store
from lexmove.errors import LexmoveError, UsageError
from lexmove.job.spec import JobSpec
from lexmove.results.summary import list_json, show_json, trial_json
from lexmove.results.wording import say_count
from lexmove.space.loading import load_job_and_space
from lexmove.space.search_space import SearchSpace
from lexmove.study.study import Study

_DEFAULT_TASK = "license_category"


def run_init(
    *,
    task: str | None,
    data: Path | None,
    text: str | None,
    label: str | None,
    out: Path,
    force: bool,
) -> None:
    """`lexmove init`."""
    from lexmove.cli.guessing import find_files, pick_columns, with_splits
    from lexmove.cli.starter import assumptions, built_in_job, files_job, write_starter

    if task is not None and data is not None:
        raise UsageError("give either --task (a built-in task) or --data (your own file), not both")
    if task is not None and (text is not None or label is not None):
        raise UsageError("--text and --label name columns of --data, and --task has none")
    parallel = min(2, os.cpu_count() or 1)
    files = None
    if task is None:
        files = find_files(Path()) if data is None else with_splits(data)
    if files is None:
        if text is not None or label is not None:
            raise UsageError("--text and --label name columns of --data, which is missing")
        job = built_in_job(task or _DEFAULT_TASK, out=out, parallel=parallel)
        told = [] if task else ["no data here: a job on licence texts; --data FILE is for yours"]
    else:
        columns = pick_columns(files.train, text=text, label=label)
        job = files_job(files, columns, out=out, parallel=parallel)
        told = [f"assumed, of {files.train} (mend it in {out} where it is not so):"]
        told += [f"  {line}" for line in assumptions(files, columns)]
    # What is refused must not be preceded by what would have been assumed.
    written = write_starter(job, out=out, force=force)
    for line in told:
        say(line)
    for path in written:
        say(f"wrote {path}")
    say(f"next: lexmove plan {shlex.quote(str(out))}")


def run_plan(
    path: Path, *, offline: bool, address: str | None, store: str | None, as_json: bool
) -> None:
    """`lexmove plan`."""
    from lexmove.app.planning import plan_job
    from lexmove.cli.plan_view import plan_json, write_plan

    job, space = load_job_and_space(path)
    if not offline:
        say("loading the data and timing one small epoch of the default config…")
    plan = plan_job(job, space, offline=offline, address=address, store=store)
    if as_json:
        write_json(plan_json(plan))
        return
    write_plan(plan)
    file = shlex.quote(str(path))
    verb = f"tune {file}" if address is None else f"submit {file} --address {address}"
    url = store_url(job, store)
    if (there := _there(job.name, url)) is not None:
        from lexmove.app.job_changes import changed_since

        way = f"lexmove resume {job.name}{store_option(url)}"
        changed = changed_since(there, job, space)
        say(f"study {job.name!r} exists already{changed}: {way}, or change `name` in the job")
    else:
        say(f"next: lexmove {verb}{store_option(store)}")


def _there(name: str, url: str) -> Study | None:
    """The study of that name in a store; who wants to use the store hears of its faults."""
    try:
        return None if locate_store(url).is_missing else open_reader(url).look(name)
    except LexmoveError:
        return None


def run_tune(
    path: Path, *, store: str | None, address: str | None, dashboard: bool, profile: bool
) -> None:
    """`lexmove tune`."""
    job, space = load_job_and_space(path)
    tune_job(job, space, store=store, address=address, dashboard=dashboard, profile=profile)


def tune_job(
    job: JobSpec,
    space: SearchSpace,
    *,
    store: str | None = None,
    address: str | None = None,
    dashboard: bool = False,
    profile: bool = False,
) -> None:
    """Runs a study with its progress and prints its result."""
    from lexmove.app import running
    from lexmove.cli.progress import KeptProgress, progress_display

    url = store_url(job, store)
    log = stored.study_dir_of(job).log
    with (
        resumable(job.name, store=url),
        KeptProgress(progress_display(), lambda: log) as progress,
    ):
        outcome = running.tune(
            job, space, store=url, address=address, dashboard=dashboard, progress=progress
        )
    _finish(outcome, store=url, profile=profile)


def run_resume(
    name: str,
    *,
    extra_trials: int = 0,
    storage: str | None = None,
    store: str | None = None,
    address: str | None = None,
    dashboard: bool = False,
    profile: bool = False,
) -> None:
    """`lexmove resume`."""
    from lexmove.app import running
    from lexmove.cli.progress import KeptProgress, progress_display

    url = store_url(None, store)

    @cache
    def log() -> Path:
        return stored.study_dir_of(stored.job_of(stored.look(name, store=url).study)).log

    with resumable(name, store=url), KeptProgress(progress_display(), log) as progress:
        outcome = running.resume(
            name,
            store=url,
            address=address,
            dashboard=dashboard,
            extra_trials=extra_trials,
            storage=storage,
            progress=progress,
        )
    _finish(outcome, store=url, profile=profile)


def _finish(outcome: Outcome, *, store: str, profile: bool) -> None:
    write_result(outcome, store=store)
    if profile:
        _show_profiles(outcome.study.spec.name, store=store, as_json=False)
    spec = outcome.study.spec
    say_next(spec.name, store=store, is_timed=spec.wall_clock_s is not None)


def run_ls(*, store: str | None, as_json: bool) -> None:
    """`lexmove ls`."""
    outcomes = stored.look_all(store=store)
    if as_json:
        write_json(
            list_json([(item.study, item.state, repeated_winner(item)) for item in outcomes])
        )
    elif outcomes:
        write_studies(outcomes)
    else:
        _say_nothing_there(store_url(None, store))


def _say_nothing_there(url: str) -> None:
    """A store that is empty, or not there at all, which a mistyped one is."""
    location = None if url == "memory://" else locate_store(url)
    if location is None or not location.is_missing:
        say(f"no study in {without_password(url)} yet; `lexmove init` begins one")
        return
    say(
        f"no store at {location.path}: the first study makes it (`lexmove init` begins one); "
        "if there should be studies, check --store"
    )


def _show_profiles(name: str, *, store: str | None, as_json: bool) -> None:
    from lexmove.app.profiling import profiles
    from lexmove.cli.profile_view import write_profiles

    parts = profiles(name, store=store)
    if not as_json:
        write_profiles(parts)
        return
    found = {part: profile.to_json() for part, profile in parts.items()}
    write_json({"schema_version": SCHEMA_VERSION, "study": name, "profile": found})


def run_show(
    name: str, trial_id: int | None, *, store: str | None, as_json: bool, profile: bool
) -> None:
    """`lexmove show`."""
    if profile:
        if trial_id is not None:
            raise UsageError("--profile is about a whole study: leave the trial's number out")
        _show_profiles(name, store=store, as_json=as_json)
        return
    is_list = trial_id is None and not as_json
    outcome = (stored.look if is_list else stored.load)(name, store=store)
    study = outcome.study
    if trial_id is None:
        if as_json:
            write_json(show_json(study, outcome.state))
        else:
            write_study(outcome)
        return
    if not 0 <= trial_id < len(study.trials):
        known = f"0 to {len(study.trials) - 1}" if study.trials else "none"
        raise UsageError(f"study {name!r} has no trial {trial_id}; its trials: {known}")
    trial = study.trials[trial_id]
    if as_json:
        found = trial_json(study, trial)
        write_json({"schema_version": SCHEMA_VERSION, "study": name, **found})
    else:
        write_trial(study, trial)


def run_best(name: str, *, store: str | None, as_json: bool) -> None:
    """`lexmove best`."""
    outcome = stored.look(name, store=store)
    if as_json:
        write_json(outcome.best_json())
    else:
        write_result(outcome, store=store_url(None, store))


def run_delete(name: str, *, is_sure: bool, store: str | None) -> None:
    """`lexmove delete`."""
    from lexmove.app.deleting import about_to_delete, delete

    doomed = about_to_delete(name, store=store)
    url = without_password(store_url(None, store))
    what = f"study {name}, {say_count(len(doomed.study.trials), 'trial')}, in {url}"
    if doomed.place is not None and not doomed.is_kept:
        what += f", and {doomed.place} ({doomed.size_bytes / 1e6:.0f} MB here)"
    if not is_sure:
        if not sys.stdin.isatty():
            raise UsageError(f"this deletes {what}; --yes says that it is meant")
        try:
            is_sure = typer.confirm(f"delete {what}?", err=True)
        except typer.Abort:
            raise KeyboardInterrupt from None
    if not is_sure:
        say("nothing was deleted")
        raise typer.Exit(1)
    delete(name, store=store)
    say(f"deleted {what}")
    if doomed.is_kept:
        say(f"{doomed.place} stays: it is that of a study in another store")


def run_doctor(
    job: Path | None, *, store: str | None, address: str | None, network: bool, as_json: bool
) -> None:
    """`lexmove doctor`."""
    from lexmove.app.diagnosis import diagnose

    checks = diagnose(store=store, network=network, job=job, address=address)
    if as_json:
        found = [
            {"name": item.name, "health": item.health, "detail": item.detail, "fix": item.fix}
            for item in checks
        ]
        write_json({"schema_version": SCHEMA_VERSION, "checks": found})
    else:
        write_table(
            ("health", "what", "found"), [[item.health, item.name, item.detail] for item in checks]
        )
        for item in checks:
            if item.health != "ok":
                style = "red" if item.health == "fail" else "yellow"
                write_sentence(f"{item.name}: {item.fix}", style=style)
    if any(item.health == "fail" for item in checks):
        raise typer.Exit(1)


def run_pretrain(
    out: Path,
    *,
    steps: int | None,
    seed: int | None,
    workers: int | None,
    resume: bool,
    from_studies: str | None,
) -> None:
    """`lexmove pretrain`."""
    from lexmove.app import pretraining_job
    from lexmove.cli.pretrain_view import say_progress, write_pretraining

    options = {"steps": steps, "seed": seed, "workers": workers, "from-studies": from_studies}
    given = [f"--{name}" for name, value in options.items() if value is not None]
    if resume and given:
        left_out = ", ".join(given)
        raise UsageError(f"--resume goes on with what was asked first: leave out {left_out}")
    if resume:
        request = pretraining_job.request_of(out)
    else:
        request = pretraining_job.PretrainingRequest(
            steps=pretraining_job.DEFAULT_DECISIONS if steps is None else steps,
            seed=seed or 0,
            workers=1 if workers is None else workers,
            from_studies=from_studies,
        )
        pretraining_job.begin(out, request)
    try:
        result = pretraining_job.run(out, request, resume=resume, on_progress=say_progress)
    except KeyboardInterrupt:
        way = f"lexmove pretrain --out {shlex.quote(str(out))} --resume"
        say(f"interrupted; to go on: {way}", style="yellow")
        raise typer.Exit(INTERRUPTED) from None
    write_pretraining(result, out / pretraining_job.WEIGHTS_NAME)
