"""From a job to a finished study, and back from the store.

Everything heavy (torch, ray, transformers) is imported where it is first needed, so that reading
verbs answer at once.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lexmove.coordinator.coordinator import Coordinator
from lexmove.coordinator.repetitions import RepeatedConfig, RepetitionProposer
from lexmove.coordinator.store import open_store
from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import NoSuccessfulTrialError, StudyNotFoundError, UsageError
from lexmove.job.loading import job_from_json, job_to_json
from lexmove.job.spec import JobSpec
from lexmove.results.summary import DEFAULT_ARM, Arm, arm_name, best_json, repeated_arms
from lexmove.space.search_space import SearchSpace
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.protocols import Objective, TrialStore
from lexmove.study.study import Study, StudySpec

if TYPE_CHECKING:
    from lexmove.trials.objective import FineTuningObjective

DEFAULT_STORE = "sqlite:///studies.db"
_DEFAULT_STORAGE = "studies"
_REPETITIONS = ".repetitions."
_SEED_RANGE = 2**31

Progress = Callable[[str, Study | None], None]
"""Called with the phase in words and, while trials run, the study after each event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A study with what was learned after its search."""

    study: Study
    state: str
    arms: tuple[Arm, ...]
    reference: Mapping[str, Any] | None

    def best_json(self) -> dict[str, Any]:
        """`best --json`."""
        return best_json(self.study, arms=self.arms, reference=self.reference)


def store_url(job: JobSpec | None = None, override: str | None = None) -> str:
    """The store to use: the override, the job's, `LEXMOVE_STORE`, or studies.db here."""
    return (
        override or (job.store if job else None) or os.environ.get("LEXMOVE_STORE") or DEFAULT_STORE
    )


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
        address: of a Ray cluster; None runs on this machine.
        dashboard: whether a local Ray has its dashboard.
        progress: told what happens.

    Raises:
        UsageError: a study of that name exists, or the space holds what no trial understands.
        LexmoveError: data, model, store or cluster cannot be used; nothing was created then.
        NoSuccessfulTrialError: every trial failed.
        KeyboardInterrupt: interrupted; `resume` goes on.
    """
    job = _settled(job)
    opened = open_store(store_url(job, store))
    if job.name in opened.names():
        raise UsageError(
            f"study {job.name!r} exists already: `lexmove resume {job.name}` goes on with it; "
            "for a new one change `name` in the job"
        )
    progress("checking the job", None)
    objective = _objective(job)
    _check(job, space)
    study_dir = _study_dir(job)
    study_dir.create()
    opened.create(_spec(job, space))
    return _run(
        opened,
        job,
        objective,
        address=address,
        dashboard=dashboard,
        progress=progress,
    )


def resume(
    name: str,
    *,
    store: str | None = None,
    address: str | None = None,
    dashboard: bool = False,
    extra_trials: int = 0,
    progress: Progress,
) -> Outcome:
    """Goes on with a study, with `extra_trials` more in its budget. Idempotent.

    Raises:
        StudyNotFoundError: no study of that name.
        LexmoveError: as `tune`.
    """
    opened = open_store(store_url(None, store))
    study = opened.load(name)
    job = _job_of(study)
    _study_dir(job).create()
    if extra_trials:
        opened.extend(name, study.spec.num_trials + extra_trials)
    return _run(
        opened,
        job,
        _objective(job),
        address=address,
        dashboard=dashboard,
        progress=progress,
    )


def load(name: str, *, store: str | None = None) -> Outcome:
    """Reads a study and what belongs to it; starts nothing.

    Raises:
        StudyNotFoundError: no study of that name.
    """
    opened = open_store(store_url(None, store))
    return _outcome(opened, opened.load(name))


def load_all(*, store: str | None = None) -> tuple[Outcome, ...]:
    """Every study of a store, oldest first; repetitions belong to their study."""
    opened = open_store(store_url(None, store))
    names = [name for name in opened.names() if _REPETITIONS not in name]
    return tuple(_outcome(opened, opened.load(name)) for name in names)


def _outcome(store: TrialStore, study: Study) -> Outcome:
    repetitions = _load_or_none(store, _repetitions_name(study))
    study_dir = _study_dir(_job_of(study)) if study.spec.job else None
    return Outcome(
        study=study,
        state=_state(study, study_dir),
        arms=repeated_arms(repetitions),
        reference=study_dir.read_json("reference") if study_dir else None,
    )


def _state(study: Study, study_dir: StudyDir | None) -> str:
    """`running` while a process holds it; `finished` when nothing is left; else `interrupted`."""
    if study_dir is not None and study_dir.is_locked():
        return "running"
    open_trials = any(not trial.status.is_final for trial in study.trials)
    return "interrupted" if open_trials or study.num_trials_left else "finished"


def _load_or_none(store: TrialStore, name: str) -> Study | None:
    try:
        return store.load(name)
    except StudyNotFoundError:
        return None


def _settled(job: JobSpec) -> JobSpec:
    """The job as it is recorded: the same from any folder, and one precision for all trials."""
    from lexmove.trials.model import resolve_precision

    storage = str(Path(job.storage or _DEFAULT_STORAGE).resolve())
    model = job.model.model_copy(update={"precision": resolve_precision(job.model.precision)})
    return job.model_copy(update={"storage": storage, "model": model})


def _study_dir(job: JobSpec) -> StudyDir:
    return StudyDir(Path(job.storage or _DEFAULT_STORAGE) / job.name)


def _job_of(study: Study) -> JobSpec:
    if not study.spec.job:
        raise UsageError(
            f"study {study.spec.name!r} has no job: it was not made by `lexmove tune` and cannot "
            "be resumed by lexmove"
        )
    return job_from_json(study.spec.job)


def _spec(job: JobSpec, space: SearchSpace) -> StudySpec:
    return StudySpec(
        name=job.name,
        space=space,
        metric=job.metric.name,
        goal=job.metric.goal,
        fidelity=FidelityPlan(
            maximum=job.fidelity.max_epochs,
            eta=job.fidelity.eta,
            first=job.fidelity.first_rung,
        ),
        num_trials=job.budget.trials,
        parallel=job.budget.parallel,
        seed=job.seed,
        job=job_to_json(job),
    )


def _objective(job: JobSpec, *, splits: tuple[str, ...] = ("validation",)) -> "FineTuningObjective":
    from lexmove.trials.objective import FineTuningObjective

    return FineTuningObjective(
        task=job.task,
        model=job.model,
        max_epochs=job.fidelity.max_epochs,
        metric=job.metric.name,
        evaluate_on=splits,
    )


def _check(job: JobSpec, space: SearchSpace) -> None:
    """Finds what would fail every trial, before anything is created."""
    from lexmove.trials.model import check_model
    from lexmove.trials.recipe import check_hyperparameters
    from lexmove.trials.tasks.task import load_task

    check_hyperparameters(space.names)
    load_task(job.task)
    check_model(job.model)
    for comparison in job.finalists.compare:
        space.complete({}) if not comparison.config else space.config(comparison.config)


def _run(
    store: TrialStore,
    job: JobSpec,
    objective: Objective,
    *,
    address: str | None,
    dashboard: bool,
    progress: Progress,
) -> Outcome:
    from lexmove.cluster.connection import connected

    study_dir = _study_dir(job)
    with study_dir.locked():
        study = store.load(job.name)
        _write_reference(job, study_dir, progress)
        progress("starting Ray", None)
        with connected(address, dashboard=dashboard):
            _search(store, job, objective, study_dir, progress)
            study = store.load(job.name)
            if study.incumbent is None:
                raise NoSuccessfulTrialError(_why_none(study))
            _repeat(store, job, study, progress)
    return _outcome(store, store.load(job.name))


def _write_reference(job: JobSpec, study_dir: StudyDir, progress: Progress) -> None:
    if study_dir.read_json("reference") is not None:
        return
    from lexmove.trials.tasks.reference import reference_scores
    from lexmove.trials.tasks.task import load_task

    progress("scoring the reference", None)
    metric = job.metric.name
    scores = reference_scores(load_task(job.task), metric=metric)
    study_dir.write_json(
        "reference",
        {
            "name": scores.name,
            "validation": scores.validation[metric],
            "test": scores.test[metric],
        },
    )


def _search(
    store: TrialStore,
    job: JobSpec,
    objective: Objective,
    study_dir: StudyDir,
    progress: Progress,
) -> None:
    from lexmove.agent.serving import ServedProposer

    served = ServedProposer(
        job.agent.proposer,
        study=store.load(job.name),
        weights_dir=study_dir.policy,
        learns=job.agent.online_learning,
    )
    wall_clock_s = job.budget.wall_clock
    coordinator = Coordinator(
        store=store,
        name=job.name,
        proposer=served.proposer,
        max_failures=job.max_failures,
        deadline_s=None if wall_clock_s is None else time.time() + wall_clock_s,
    )

    def on_change(study: Study) -> None:
        coordinator.proposer = served.after(study)
        progress("trials", study)

    try:
        _execute(coordinator, objective, job, study_dir, on_change)
    finally:
        served.close()


def _execute(
    coordinator: Coordinator,
    objective: Objective,
    job: JobSpec,
    study_dir: StudyDir,
    on_change: Callable[[Study], None],
) -> None:
    from lexmove.coordinator.tune import Slots, run_study

    coordinator.recover()
    finished = run_study(
        coordinator,
        objective,
        slots=Slots(
            parallel=job.budget.parallel,
            cpu=job.resources.cpu,
            gpu=job.resources.gpu,
            segment_limit_s=job.budget.trial,
        ),
        study_dir=study_dir,
        on_change=on_change,
    )
    if not finished:
        coordinator.recover()
        raise KeyboardInterrupt


def _why_none(study: Study) -> str:
    failed = [trial for trial in study.trials if trial.reason]
    first = f"; trial {failed[0].trial_id}: {failed[0].reason}" if failed else ""
    return f"study {study.spec.name!r}: none of its {len(study.trials)} trials succeeded{first}"


def _repetitions_name(study: Study) -> str:
    return f"{study.spec.name}{_REPETITIONS}{study.spec.num_trials}"


def _repeat(store: TrialStore, job: JobSpec, study: Study, progress: Progress) -> None:
    """Trains the finalists, and their comparisons, on fresh seeds; scores the test split."""
    if not job.finalists.top:
        return
    name = _repetitions_name(study)
    proposer = _repetition_proposer(job, study)
    if name not in store.names():
        store.create(_repetitions_spec(study, name, proposer.num_trials))
    study_dir = StudyDir(_study_dir(job).root / name.removeprefix(study.spec.name + "."))
    study_dir.create()
    coordinator = Coordinator(
        store=store, name=name, proposer=proposer, max_failures=job.max_failures
    )
    _execute(
        coordinator,
        _objective(job, splits=("validation", "test")),
        job,
        study_dir,
        lambda repetitions: progress("repetitions", repetitions),
    )


def _repetitions_spec(study: Study, name: str, num_trials: int) -> StudySpec:
    spec = study.spec
    return StudySpec(
        name=name,
        space=spec.space,
        metric=spec.metric,
        goal=spec.goal,
        fidelity=FidelityPlan(maximum=spec.fidelity.maximum),
        num_trials=num_trials,
        parallel=spec.parallel,
        seed=spec.seed,
        job=spec.job,
    )


def _repetition_proposer(job: JobSpec, study: Study) -> RepetitionProposer:
    maximum = study.spec.fidelity.maximum
    space = study.spec.space
    finalists = [
        RepeatedConfig(
            arm=arm_name(item.trial_id),
            config=study.trials[item.trial_id].config,
            until=item.fidelity,
        )
        for item in study.ranking[: job.finalists.top]
    ]
    compared = [RepeatedConfig(arm=DEFAULT_ARM, config=space.default, until=maximum)] + [
        RepeatedConfig(arm=item.name, config=space.config(item.config), until=maximum)
        for item in job.finalists.compare
    ]
    seeds = np.random.default_rng([study.spec.seed, study.spec.num_trials, 1])
    return RepetitionProposer(
        configs=[*finalists, *compared],
        seeds=[int(seed) for seed in seeds.integers(_SEED_RANGE, size=job.finalists.seeds)],
    )
