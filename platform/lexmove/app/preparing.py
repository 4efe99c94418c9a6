"""What a study needs before its first trial: a settled job, checks, an objective, the reference."""

from pathlib import Path
from typing import TYPE_CHECKING

from lexmove.app.stored import DEFAULT_STORAGE
from lexmove.coordinator.study_dir import StudyDir
from lexmove.job.loading import job_to_json
from lexmove.job.spec import JobSpec
from lexmove.space.search_space import SearchSpace
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.study import StudySpec

if TYPE_CHECKING:
    from lexmove.trials.objective import FineTuningObjective


def settled(job: JobSpec) -> JobSpec:
    """The job as it is recorded: the same from any folder, and one precision for all trials."""
    from lexmove.trials.model import resolve_precision

    storage = str(Path(job.storage or DEFAULT_STORAGE).resolve())
    model = job.model.model_copy(update={"precision": resolve_precision(job.model.precision)})
    return job.model_copy(update={"storage": storage, "model": model})


def check(job: JobSpec, space: SearchSpace) -> None:
    """Finds what would fail every trial, before anything is created.

    Raises:
        LexmoveError: an unknown hyperparameter or proposer, unfit data, an unusable model, or a
            comparison outside the space.
    """
    from lexmove.agent.baselines import check_proposer
    from lexmove.trials.model import check_model
    from lexmove.trials.recipe import check_hyperparameters
    from lexmove.trials.tasks.task import load_task

    check_hyperparameters(space.names)
    check_proposer(job.agent.proposer)
    for comparison in job.finalists.compare:
        space.config(comparison.config)
    load_task(job.task)
    check_model(job.model)


def study_spec(job: JobSpec, space: SearchSpace) -> StudySpec:
    """The study that a job asks for."""
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


def objective_of(
    job: JobSpec, *, splits: tuple[str, ...] = ("validation",)
) -> "FineTuningObjective":
    """What evaluates a job's configs, on these splits."""
    from lexmove.trials.objective import FineTuningObjective

    return FineTuningObjective(
        task=job.task,
        model=job.model,
        max_epochs=job.fidelity.max_epochs,
        metric=job.metric.name,
        evaluate_on=splits,
    )


def write_reference(job: JobSpec, study_dir: StudyDir) -> None:
    """Scores the classifier that needs no tuning, on the job's own splits."""
    from lexmove.trials.tasks.reference import reference_scores
    from lexmove.trials.tasks.task import load_task

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
