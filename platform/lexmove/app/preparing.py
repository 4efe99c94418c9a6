"""What a study needs before its first trial: a settled job, data, an objective, the reference."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexmove.app.stored import settled_storage
from lexmove.coordinator.store_rules import without_password
from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import TaskError
from lexmove.job.loading import job_to_json
from lexmove.job.spec import JobSpec, TaskSpec
from lexmove.space.search_space import SearchSpace
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.past import PastResults
from lexmove.study.starts import PlannedStart, asked_for
from lexmove.study.study import StudySpec

if TYPE_CHECKING:
    from lexmove.trials.objective import FineTuningObjective
    from lexmove.trials.tasks.task import TaskData


def settled(job: JobSpec) -> JobSpec:
    """The job as it is recorded: the same from any folder, without secrets, one precision.

    Where GPUs are asked for and this machine has none, precision stays open: see `with_precision`.
    """
    import torch

    from lexmove.trials.model import resolve_precision
    from lexmove.trials.own_code_loading import settled_name

    metric = job.metric.model_copy(update={"name": settled_name(job.metric.name)})
    agent = job.agent.model_copy(update={"proposer": settled_name(job.agent.proposer)})
    model = job.model
    on_gpu = job.resources.gpu > 0 or job.resources.auto
    if not on_gpu or torch.cuda.is_available():  # else those who have the GPUs are asked
        precision = resolve_precision(model.precision, on_gpu=on_gpu)
        model = model.model_copy(update={"precision": precision})
    if model.name != "minilm":
        model = model.model_copy(update={"name": _from_anywhere(model.name)})
    if agent.weights is not None:
        agent = agent.model_copy(update={"weights": str(Path(agent.weights).resolve())})
    changes: dict[str, Any] = {"model": model, "metric": metric, "agent": agent}
    changes["storage"] = settled_storage(job)
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


def with_precision(job: JobSpec, study_dir: StudyDir) -> JobSpec:
    """The job with the precision of the machine that runs trials, asked once; Ray must run."""
    if job.model.precision != "auto":
        return job
    precision = study_dir.read_json("precision")
    if precision is None:
        precision = _asked_precision(job)
        study_dir.write_json("precision", precision)
    return job.model_copy(update={"model": job.model.model_copy(update={"precision": precision})})


def _asked_precision(job: JobSpec) -> str:
    import ray

    from lexmove.trials.model import resolve_precision

    if not ray.is_initialized():
        return resolve_precision("auto")
    ask = ray.remote(num_cpus=job.resources.cpu, num_gpus=job.resources.gpu)(resolve_precision)
    answer: str = ray.get(ask.remote("auto"))
    return answer


def task_of(spec: TaskSpec) -> "TaskData":
    """The data of a task, read once per run: see `forget_data`.

    Raises:
        TaskError: they cannot be read.
    """
    from lexmove.trials import prepared

    check_files(spec)
    return prepared.task_of(spec)


def check_files(spec: TaskSpec) -> None:
    """Finds files that are gone; that paths are relative to this folder helps with those alone.

    Raises:
        TaskError: an absolute path at which nothing is.
    """
    given = {} if spec.files is None else spec.files.model_dump(exclude_none=True)
    for path in map(Path, given.values()):
        if path.is_absolute() and not path.exists():
            raise TaskError(f"{path}: no such file; if it was moved, move it back there")


def forget_data() -> None:
    """Reads data anew from here on: files may have changed since the last run of this process."""
    from lexmove.trials import objective, prepared

    prepared.forget_data()
    objective.close_paused()


def one_by_one(job: JobSpec) -> JobSpec:
    """The job without slots of its own: a trial at a time, and nothing learned on the side."""
    return job.model_copy(
        update={
            "budget": job.budget.model_copy(update={"parallel": 1}),
            "agent": job.agent.model_copy(update={"online_learning": False}),
        }
    )


def study_spec(
    job: JobSpec,
    space: SearchSpace,
    *,
    starts: tuple[PlannedStart, ...] = (),
    past: tuple[PastResults, ...] = (),
) -> StudySpec:
    """The study that a job asks for; after its own starts it begins with these.

    `past` is what earlier studies have found.
    """
    own = (asked_for(space.config(config), by="the job") for config in job.agent.starts)
    return StudySpec(
        name=job.name,
        space=space,
        metric=job.metric.name,
        goal=job.metric.goal,
        fidelity=fidelity_plan(job),
        num_trials=job.num_search_trials,
        parallel=job.budget.parallel,
        seed=job.seed,
        job=job_to_json(job),
        wall_clock_s=job.budget.wall_clock if job.budget.limit == "time" else None,
        starts=(*own, *starts),
        past=past,
    )


def fidelity_plan(job: JobSpec) -> FidelityPlan:
    """How far the job's trials may train and where they are paused."""
    return FidelityPlan(
        maximum=job.fidelity.max_epochs,
        eta=job.fidelity.eta,
        first=job.fidelity.first_rung,
        promotion=job.fidelity.promotion,
    )


def objective_of(
    job: JobSpec,
    study_dir: StudyDir,
    *,
    splits: tuple[str, ...] = ("validation",),
    is_final: bool = False,
) -> "FineTuningObjective":
    """What evaluates a job's configs on these splits; `is_final` where a trial is one segment."""
    from lexmove.trials.objective import FineTuningObjective

    return FineTuningObjective(
        task=job.task,
        data=study_dir.read_json("data") or "",
        model=job.model,
        max_epochs=job.fidelity.max_epochs,
        metric=job.metric.name,
        goal=job.metric.goal,
        evaluate_on=splits,
        every_epoch=job.fidelity.evaluate == "epochs" and not is_final,
        is_final=is_final,
        fits_threshold=job.decide.threshold == "fitted",
    )


def write_reference(job: JobSpec, study_dir: StudyDir) -> None:
    """Scores the classifier that needs no tuning; the test split waits for the end."""
    from lexmove.trials.reference import fit_reference

    fitted = fit_reference(task_of(job.task), metric=job.metric.name, goal=job.metric.goal)
    validation = fitted.validation[job.metric.name]
    known = {"name": fitted.name, "validation": validation, "strength": fitted.strength}
    study_dir.write_json("reference", known)
