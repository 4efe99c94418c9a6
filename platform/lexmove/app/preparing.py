"""What a study needs before its first trial: a settled job, checks, an objective, the reference."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexmove.app.stored import DEFAULT_STORAGE
from lexmove.coordinator.store_rules import without_password
from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import UsageError
from lexmove.job.loading import job_to_json
from lexmove.job.spec import JobSpec
from lexmove.space.search_space import SearchSpace
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.starts import PlannedStart
from lexmove.study.study import StudySpec

if TYPE_CHECKING:
    from lexmove.trials.objective import FineTuningObjective
    from lexmove.trials.tasks.task import TaskData


def settled(job: JobSpec) -> JobSpec:
    """The job as it is recorded: the same from any folder, without secrets, one precision."""
    from lexmove.trials.metrics import settled_metric
    from lexmove.trials.model import resolve_precision

    storage = str(Path(job.storage or DEFAULT_STORAGE).resolve())
    metric = job.metric.model_copy(update={"name": settled_metric(job.metric.name)})
    model = job.model.model_copy(update={"precision": resolve_precision(job.model.precision)})
    if model.name != "minilm":
        model = model.model_copy(update={"name": _from_anywhere(model.name)})
    changes: dict[str, Any] = {"storage": storage, "model": model, "metric": metric}
    if job.agent.weights is not None:
        weights = str(Path(job.agent.weights).resolve())
        changes["agent"] = job.agent.model_copy(update={"weights": weights})
    if job.store is not None:
        changes["store"] = without_password(job.store)
    if job.task.hub is not None:
        hub = job.task.hub.model_copy(update={"id": _from_anywhere(job.task.hub.id)})
        changes["task"] = job.task.model_copy(update={"hub": hub})
    if job.task.files is not None:
        paths = {
            split: _from_anywhere(path)
            for split, path in job.task.files.model_dump(exclude_none=True).items()
        }
        files = job.task.files.model_copy(update=paths)
        changes["task"] = job.task.model_copy(update={"files": files})
    return job.model_copy(update=changes)


def _from_anywhere(name: str) -> str:
    """The absolute path of what lies there; any other name (of a model, say) as it is."""
    path = Path(name)
    return str(path.resolve()) if path.exists() else name


def check(job: JobSpec, space: SearchSpace) -> None:
    """Finds what would fail every trial, before anything is created.

    Raises:
        LexmoveError: an unknown hyperparameter or proposer, policy weights that cannot be read,
            unfit data, an unusable model, or a comparison outside the space.
    """
    from lexmove.agent.baselines import check_proposer
    from lexmove.trials.metrics import check_metric
    from lexmove.trials.model import check_model
    from lexmove.trials.recipe import check_hyperparameters, check_labelling
    from lexmove.trials.tasks.task import load_task

    check_hyperparameters(space.names)
    check_proposer(job.agent.proposer)
    if job.agent.weights is not None:
        from lexmove.agent.policy import load_weights

        load_weights(Path(job.agent.weights))
    for comparison in job.finalists.compare:
        space.config(comparison.config)
    task = load_task(job.task)
    check_labelling(
        space.names,
        is_multi_label=task.is_multi_label,
        is_multiple_choice=task.is_multiple_choice,
    )
    _check_decisions(job, space, task)
    check_metric(job.metric.name, num_labels=len(task.labels), is_multi_label=task.is_multi_label)
    check_model(job.model)


def _check_decisions(job: JobSpec, space: SearchSpace, task: "TaskData") -> None:
    """Refuses settings that would be without effect on a task's kind."""
    if job.decide.threshold == "fitted" and not task.is_multi_label:
        raise UsageError(
            "decide.threshold: fitted is for tasks of several labels per text, and this one has one"
            " class each: leave it out"
        )
    if job.decide.threshold == "fitted" and "model.threshold" in space.names:
        raise UsageError(
            "decide.threshold: fitted leaves model.threshold nothing to decide: take one out"
        )
    if job.model.max_segments is not None and (task.is_multiple_choice or task.train.pairs):
        raise UsageError(
            "model.max_segments reads long texts, and this task has pairs or endings: leave it out"
        )


def check_room(job: JobSpec, *, num_cpus: float, num_gpus: float) -> None:
    """Finds trials that would wait for ever, on a machine that gets no more than it has.

    Raises:
        UsageError: a single trial asks for more than these CPUs and GPUs.
    """
    asked = job.resources
    if asked.cpu > num_cpus or asked.gpu > num_gpus:
        raise UsageError(
            f"a trial asks for {asked.cpu:g} CPUs and {asked.gpu:g} GPUs, but this machine has "
            f"{num_cpus:g} and {num_gpus:g}: lower `resources` in the job, or run it on a cluster "
            "with --address"
        )


def within_room(job: JobSpec, *, num_cpus: float, num_gpus: float) -> JobSpec:
    """The job with no more trials at once than have room, on a machine that gets no more.

    What is started beyond that would wait, decided without what the trials before it found.

    Raises:
        UsageError: not even one trial has room.
    """
    check_room(job, num_cpus=num_cpus, num_gpus=num_gpus)
    room = num_cpus // job.resources.cpu
    if job.resources.gpu:
        room = min(room, num_gpus // job.resources.gpu)
    parallel = min(job.budget.parallel, int(room))
    return job.model_copy(update={"budget": job.budget.model_copy(update={"parallel": parallel})})


def one_by_one(job: JobSpec) -> JobSpec:
    """The job without slots of its own: a trial at a time, and nothing learned on the side."""
    return job.model_copy(
        update={
            "budget": job.budget.model_copy(update={"parallel": 1}),
            "agent": job.agent.model_copy(update={"online_learning": False}),
        }
    )


def check_room_here(job: JobSpec) -> None:
    """`check_room` before Ray runs, which may find less than this if a container is limited.

    Raises:
        UsageError: as `check_room`.
    """
    import torch

    check_room(job, num_cpus=os.cpu_count() or 1, num_gpus=torch.cuda.device_count())


def study_spec(
    job: JobSpec, space: SearchSpace, *, starts: tuple[PlannedStart, ...] = ()
) -> StudySpec:
    """The study that a job asks for, with what it begins with after the default."""
    return StudySpec(
        name=job.name,
        space=space,
        metric=job.metric.name,
        goal=job.metric.goal,
        fidelity=FidelityPlan(
            maximum=job.fidelity.max_epochs,
            eta=job.fidelity.eta,
            first=job.fidelity.first_rung,
            promotion=job.fidelity.promotion,
        ),
        num_trials=job.num_search_trials,
        parallel=job.budget.parallel,
        seed=job.seed,
        job=job_to_json(job),
        starts=starts,
    )


def objective_of(
    job: JobSpec, *, splits: tuple[str, ...] = ("validation",), every_epoch: bool = True
) -> "FineTuningObjective":
    """What evaluates a job's configs, on these splits, at every epoch or at the last alone."""
    from lexmove.trials.objective import FineTuningObjective

    return FineTuningObjective(
        task=job.task,
        model=job.model,
        max_epochs=job.fidelity.max_epochs,
        metric=job.metric.name,
        goal=job.metric.goal,
        evaluate_on=splits,
        every_epoch=every_epoch,
        fits_threshold=job.decide.threshold == "fitted",
    )


def write_reference(job: JobSpec, study_dir: StudyDir) -> None:
    """Scores the classifier that needs no tuning; the test split waits for the end."""
    from lexmove.trials.reference import fit_reference
    from lexmove.trials.tasks.task import load_task

    fitted = fit_reference(load_task(job.task), metric=job.metric.name, goal=job.metric.goal)
    validation = fitted.validation[job.metric.name]
    study_dir.write_json("reference", {"name": fitted.name, "validation": validation})
