"""After the search: the finalists and their comparisons on fresh seeds, and the test split."""

import numpy as np

from lexmove.app.execution import Progress, execute
from lexmove.app.preparing import objective_of
from lexmove.app.stored import repetitions_name, study_dir_of
from lexmove.coordinator.coordinator import Coordinator
from lexmove.coordinator.repetitions import RepeatedConfig, RepetitionProposer
from lexmove.coordinator.study_dir import StudyDir
from lexmove.job.spec import JobSpec
from lexmove.results.summary import DEFAULT_ARM, arm_name
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.protocols import TrialStore
from lexmove.study.scoring import Incumbent
from lexmove.study.study import Study, StudySpec

_SEED_RANGE = 2**31


def repeat(store: TrialStore, job: JobSpec, study: Study, progress: Progress) -> None:
    """Trains every finalist and comparison once per seed, and scores it on the test split, too.

    Before this no score on the test split is taken. The repetitions are a study of their own in the
    same store and are resumed like one.
    """
    if not job.repetitions.top:
        return
    name = repetitions_name(study)
    proposer = _proposer(job, study)
    if name not in store.names():
        store.create(_spec(study, name, proposer.num_trials))
    of_study = study_dir_of(job)
    study_dir = StudyDir(of_study.root / name.removeprefix(study.spec.name + "."))
    study_dir.create()
    coordinator = Coordinator(
        store=store, name=name, proposer=proposer, max_failures=job.max_failures
    )
    execute(
        coordinator,
        objective_of(job, of_study, splits=("validation", "test"), every_epoch=False),
        _with_time_for_all(job, study),
        study_dir,
        lambda repetitions: progress("repetitions", repetitions),
        kept_best=proposer.num_trials,  # the comparison wants what all of them say
    )


def _with_time_for_all(job: JobSpec, study: Study) -> JobSpec:
    """A repetition is one segment, where the search had one for each rung."""
    if job.budget.trial is None:
        return job
    limit_s = job.budget.trial * len(study.spec.fidelity.rungs)
    return job.model_copy(update={"budget": job.budget.model_copy(update={"trial": limit_s})})


def _spec(study: Study, name: str, num_trials: int) -> StudySpec:
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


def _finalists(job: JobSpec, study: Study) -> list[Incumbent]:
    """The best of the search; the default config is repeated in any case, and not twice."""
    default = study.spec.space.default
    others = [item for item in study.ranking if study.trials[item.trial_id].config != default]
    return others[: job.repetitions.top]


def _proposer(job: JobSpec, study: Study) -> RepetitionProposer:
    maximum = study.spec.fidelity.maximum
    space = study.spec.space
    finalists = [
        RepeatedConfig(
            arm=arm_name(item.trial_id),
            config=study.trials[item.trial_id].config,
            until=item.fidelity,
        )
        for item in _finalists(job, study)
    ]
    comparisons = [
        RepeatedConfig(arm=item.name, config=space.config(item.config), until=maximum)
        for item in job.finalists.compare
    ]
    default = RepeatedConfig(arm=DEFAULT_ARM, config=space.default, until=maximum)
    seeds = np.random.default_rng([study.spec.seed, len(study.trials), 1])
    return RepetitionProposer(
        configs=[*finalists, default, *comparisons],
        seeds=[int(seed) for seed in seeds.integers(_SEED_RANGE, size=job.repetitions.seeds)],
    )
