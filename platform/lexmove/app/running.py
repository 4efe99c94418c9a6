"""From a job to a finished study: `tune` a new one, `resume` one that is there.

Everything heavy (torch, ray, transformers) is imported where it is first needed, so that a wrong
job is refused at once.
"""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lexmove.app.checking import (
    check,
    check_room_here,
    check_same_data,
    check_still_there,
    within_room,
)
from lexmove.app.claiming import check_own, claim, record_place, take_over
from lexmove.app.execution import Progress, Stages, execute
from lexmove.app.inputs import bring_inputs, with_inputs
from lexmove.app.job_changes import changed_since
from lexmove.app.monitoring import monitored
from lexmove.app.outlets.tracking import tracked
from lexmove.app.preparing import (
    forget_data,
    objective_of,
    one_by_one,
    settled,
    study_spec,
    with_precision,
    write_reference,
)
from lexmove.app.remembering import Memory, recall
from lexmove.app.repeating import REPETITIONS, repetition_stage, repetition_work
from lexmove.app.restoring import restore_study
from lexmove.app.sizing import with_resources
from lexmove.app.stored import (
    SEARCHED,
    Outcome,
    check_there,
    is_asked_for_more,
    is_over,
    is_searched,
    is_timed_out,
    job_of,
    judgement_of,
    located,
    outcome_of,
    repetitions_of,
    store_option,
    store_url,
    study_dir_of,
)
from lexmove.cluster.connection import IN_PROCESS, check_address
from lexmove.coordinator.backup import backed_up
from lexmove.coordinator.coordinator import Coordinator
from lexmove.coordinator.driver_process import SUPERVISOR, resume_words
from lexmove.coordinator.heartbeats import Heart, beating
from lexmove.coordinator.stage import Stage, Work
from lexmove.coordinator.store import open_store
from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import ClusterError, NoSuccessfulTrialError, UsageError
from lexmove.job.own_code import is_own
from lexmove.job.spec import JobSpec
from lexmove.space.search_space import SearchSpace
from lexmove.study.protocols import TrialStore
from lexmove.study.study import Study

if TYPE_CHECKING:
    from lexmove.agent.serving import ServedProposer
    from lexmove.app.own_proposer import OwnProposer

SEARCH = "search"
"""The name of its stage."""

BEGAN = "LEXMOVE_BEGAN"
"""The variable that tells a supervised driver since when its wall clock counts, in Unix time."""


def tune(
    job: JobSpec,
    space: SearchSpace,
    *,
    store: str | None = None,
    address: str | None = None,
    dashboard: bool = False,
    progress: Progress,
) -> Outcome:
    """Runs a new study to its end.

    Args:
        job: what to do.
        space: what may be tried; the job's own or any other.
        store: URL of the study store; None for the job's (see `store_url`).
        address: of a Ray cluster; None runs on this machine; `in-process` without Ray.
        dashboard: whether a local Ray has its dashboard.
        progress: told what happens.

    Raises:
        UsageError: a study of that name exists, or the space holds what no trial understands.
        LexmoveError: data, model, store or cluster cannot be used; nothing was created then.
        NoSuccessfulTrialError: every trial failed.
        KeyboardInterrupt: interrupted; `resume` goes on.
    """
    opened = open_store(store_url(job, store))
    if job.name in opened.names():
        changed = changed_since(opened.look(job.name), job, space)
        raise UsageError(_taken(job, changed, store_option(store_url(job, store))))
    check_address(address)
    progress("checking the job", None)
    forget_data()
    for line in check(job, space):
        progress(line, None)
    if address in (None, IN_PROCESS):
        check_room_here(job)
    job = settled(job)
    study_dir = study_dir_of(job)
    place = claim(study_dir, job, store_url(job, store), progress)
    with study_dir.created():
        memory = _remembered(job, space, store, progress)
        opened.create(study_spec(job, space, starts=memory.starts, past=memory.past))
    record_place(study_dir, place)
    try:
        return _run(
            opened,
            job,
            url=store_url(job, store),
            address=address,
            dashboard=dashboard,
            progress=progress,
        )
    except ClusterError:
        if not opened.load(job.name).num_events:
            opened.delete(job.name)
            study_dir.remove()
        raise


def _taken(job: JobSpec, changed: str, option: str) -> str:
    """The message for a study that is there already, in words for where the job was handed in."""
    old, begun = "the old one" if changed else "it", f"study {job.name!r} exists already{changed}"
    if SUPERVISOR in os.environ:
        return (
            f"{begun}: `{resume_words(job.name)}` goes on with {old}; for a new one change `name` "
            "in the job"
        )
    return (
        f"{begun}: `{resume_words(job.name)}{option}` goes on with {old}; for a new one change "
        f"`name` in the job (`lexmove delete {job.name}{option}` takes the old one away)"
    )


def _remembered(job: JobSpec, space: SearchSpace, store: str | None, progress: Progress) -> Memory:
    """What to begin with, from past studies; told once, for it is then part of the study."""
    for line in (memory := recall(job, space, store=store)).lines:
        progress(line, None)
    return memory


def resume(
    name: str,
    *,
    store: str | None = None,
    address: str | None = None,
    dashboard: bool = False,
    extra_trials: int = 0,
    storage: str | None = None,
    progress: Progress,
) -> Outcome:
    """Goes on with a study, with `extra_trials` more in its budget. Idempotent.

    Where the store has lost it, it is restored from its backup in `storage`, wherever that is now.

    Raises:
        StudyNotFoundError: no study of that name.
        UsageError: its folder is gone, or that of a study in another store.
        LexmoveError: as `tune`.
    """
    if storage is not None and restore_study(name, store=store, storage=storage):
        progress("restored the study from its backup", None)
    opened = open_store(url := store_url(None, store))
    study = located(opened.load(name), url, storage=storage)
    job = bring_inputs(job_of(study))
    study_dir = study_dir_of(job)
    check_own(study_dir, name, url)
    forget_data()
    is_requested = bool(opened.requests(name))
    if not (extra_trials or is_requested) and _is_done(opened, job, study, study_dir):
        progress("nothing was left to do; --trials +N gives it more trials", None)
        return outcome_of(opened, study, url)
    check_there(study, study_dir, url)
    check_still_there(job)
    take_over(study_dir, url)
    return _run(
        opened,
        job,
        url=url,
        address=address,
        dashboard=dashboard,
        extra_trials=extra_trials,
        progress=progress,
    )


def _is_done(store: TrialStore, job: JobSpec, study: Study, study_dir: StudyDir) -> bool:
    """Whether the search, the repetitions and the judgement on them have nothing left."""
    repetitions = repetitions_of(store, study)
    was_ended = _was_ended_by_time(job, study, repetitions, study_dir)
    if study.incumbent is None or not (is_searched(study) or was_ended):
        return False
    is_judged = judgement_of(study, repetitions, study_dir) is not None
    return is_over(study, repetitions, job, is_judged=is_judged, has_timed_out=was_ended)


def _was_ended_by_time(
    job: JobSpec, study: Study, repetitions: Study | None, study_dir: StudyDir
) -> bool:
    """Whether the search is over for its clock, and nothing was asked for since."""
    if job.budget.limit != "time" or is_asked_for_more(study):
        return False
    return repetitions is not None or is_timed_out(study, study_dir)


def _run(
    store: TrialStore,
    job: JobSpec,
    *,
    url: str,
    address: str | None,
    dashboard: bool,
    extra_trials: int = 0,
    progress: Progress,
) -> Outcome:
    from lexmove.cluster.connection import connected

    study_dir = study_dir_of(job)
    with (
        study_dir.locked(),
        beating(store, url, job.name, _said(progress)) as heart,
        tracked(job, store, study_dir, _checking(heart, progress)) as progress,
    ):
        # A new study has its own: an older one of that name may have left another's here.
        is_new = not store.load(job.name).trials
        check_same_data(job, study_dir, is_new=is_new)
        if address == IN_PROCESS:
            job = one_by_one(job)
        else:
            progress("starting Ray", None)
        with connected(address, dashboard=dashboard) as connection:
            if connection.dashboard_url is not None:
                progress(f"dashboard at {connection.dashboard_url}", None)
            room = {"num_cpus": connection.num_cpus, "num_gpus": connection.num_gpus}
            space = store.load(job.name).spec.space
            job = with_resources(job, space, study_dir, **room)
            job = with_precision(job, study_dir)
            if address is None:
                asked = job.budget.parallel
                job = within_room(job, **room)
                if job.budget.parallel < asked:
                    progress(f"there is room for {job.budget.parallel} of {asked} at once", None)
            works = {SEARCH: _search_work(job, space, study_dir), REPETITIONS: repetition_work(job)}
            works = {name: with_inputs(work, job) for name, work in works.items()}
            if extra_trials:  # now that nothing stands in the way, or each vain call would buy them
                store.extend(job.name, store.load(job.name).spec.num_trials + extra_trials)
                job = _with_bought(job, store)
            stages = _stages(store, job, study_dir, progress, is_extended=bool(extra_trials))
            execute(stages, works, job, study_dir, on_ray=address != IN_PROCESS)
        _judge(store, job, study_dir, progress)
    return outcome_of(store, located(store.load(job.name), url, storage=job.storage), url)


def _with_bought(job: JobSpec, store: TrialStore) -> JobSpec:
    """The job with the trials that were bought since: of more trials more is repeated, too."""
    bought = job_of(store.load(job.name)).budget.trials
    return job.model_copy(update={"budget": job.budget.model_copy(update={"trials": bought})})


def _judge(store: TrialStore, job: JobSpec, study_dir: StudyDir, progress: Progress) -> None:
    """Compares the finalists, unless that was done for just these repetitions."""
    study = store.load(job.name)
    repetitions = repetitions_of(store, study)
    if repetitions is None:
        return
    from lexmove.app.judging import discard, judge

    if judgement_of(study, repetitions, study_dir) is not None:
        discard(repetitions, study_dir)  # should the process have died just before it
        return
    progress("comparing the finalists on validation and test", None)
    judge(job, study, repetitions, study_dir)


def _stages(
    store: TrialStore, job: JobSpec, study_dir: StudyDir, progress: Progress, *, is_extended: bool
) -> Stages:
    """The search, then the repetitions of what it found; first, while workers start, the reference.

    The reference of an older study of that name may be there still.
    """
    if not store.load(job.name).trials or study_dir.read_json("reference") is None:
        progress("scoring the reference", None)
        write_reference(job, study_dir)
    study = store.plan_requests(job.name) or store.load(job.name)
    repeated = repetitions_of(store, study)
    if is_extended or not _was_ended_by_time(job, study, repeated, study_dir):
        yield from _search(store, job, study_dir, progress)
        study, job = store.load(job.name), _with_bought(job, store)
        if job.budget.limit == "time" and study.incumbent is not None:
            # The trials alone do not tell that the clock has ended it.
            study_dir.write_json(SEARCHED, {"num_trials": len(study.trials)})
    if study.incumbent is None:
        raise NoSuccessfulTrialError(_why_none(study))
    repetitions = repetition_stage(store, job, study, progress)
    if repetitions is not None:
        with monitored(repetitions, job) as watched, backed_up(watched, _said(progress)) as safe:
            yield safe


def _search_work(job: JobSpec, space: SearchSpace, study_dir: StudyDir) -> Work:
    objective = objective_of(job, study_dir)
    return Work(
        objective=objective,
        segment_limit_s=job.budget.trial,
        warm_up=partial(objective.warm_up, space.default),
    )


def _served(job: JobSpec, study: Study, study_dir: StudyDir) -> "ServedProposer | OwnProposer":
    from lexmove.agent.serving import ServedProposer, served_weights
    from lexmove.app.own_proposer import load_own_proposer

    if is_own(job.agent.proposer):
        return load_own_proposer(job.agent.proposer)
    for path in served_weights(study, study_dir.policy):
        study_dir.kept(path)  # of a study that began on another machine
    return ServedProposer(
        job.agent.proposer,
        study=study,
        weights_dir=study_dir.policy,
        weights=None if job.agent.weights is None else Path(job.agent.weights),
        learns=job.agent.online_learning,
    )


def _search(store: TrialStore, job: JobSpec, study_dir: StudyDir, progress: Progress) -> Stages:
    served = _served(job, store.load(job.name), study_dir)
    wall_clock_s = job.budget.wall_clock
    # Drivers of one supervisor have one budget.
    began_s = float(os.environ.get(BEGAN) or time.time())
    coordinator = Coordinator(
        store=store,
        name=job.name,
        proposer=served.proposer,
        max_failures=job.max_failures,
        deadline_s=None if wall_clock_s is None else began_s + wall_clock_s,
    )

    kept: set[Path] = set()

    def keep_weights() -> None:
        for path in set(served.weights) - kept:
            study_dir.keep(path)  # before they decide anything
            kept.add(path)

    def on_change(study: Study) -> None:
        proposer = served.after(study)
        keep_weights()
        coordinator.proposer = proposer
        progress("trials", study)

    keep_weights()
    stage = Stage(name=SEARCH, coordinator=coordinator, study_dir=study_dir, on_change=on_change)
    try:
        with monitored(stage, job) as watched, backed_up(watched, _said(progress)) as safe:
            yield safe
    finally:
        served.close()


def _checking(heart: Heart, progress: Progress) -> Progress:
    """Tells on, while the study is this process's."""

    def tell(words: str, study: Study | None) -> None:
        heart.check()
        progress(words, study)

    return tell


def _said(progress: Progress) -> Callable[[str], None]:
    return lambda words: progress(words, None)


def _why_none(study: Study) -> str:
    failed = [trial for trial in study.trials if trial.reason]
    first = f"; trial {failed[0].trial_id}: {failed[0].reason}" if failed else ""
    return f"study {study.spec.name!r}: none of its {len(study.trials)} trials succeeded{first}"
