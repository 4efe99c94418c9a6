"""After the search: the finalists and their comparisons on fresh seeds, and the test split."""

import numpy as np

from lexmove.app.execution import Progress
from lexmove.app.preparing import fidelity_plan, objective_of
from lexmove.app.stored import repetitions_dir, repetitions_name, study_dir_of
from lexmove.coordinator.coordinator import Coordinator
from lexmove.coordinator.repetitions import RepeatedConfig, RepetitionProposer
from lexmove.coordinator.stage import Stage, Work
from lexmove.job.spec import JobSpec
from lexmove.results.summary import DEFAULT_ARM, arm_name
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.protocols import TrialStore
from lexmove.study.scoring import Incumbent
from lexmove.study.study import Study, StudySpec

REPETITIONS = "repetitions"
"""The name of their stage."""

_SEED_RANGE = 2**31


def repetition_work(job: JobSpec) -> Work:
    """What the workers need: the scores of validation and test after the last epoch."""
    limit_s = job.budget.trial
    # A repetition is one segment, where the search has one for each rung.
    num_segments = len(fidelity_plan(job).rungs)
    return Work(
        objective=objective_of(
            job, study_dir_of(job), splits=("validation", "test"), is_final=True
        ),
        segment_limit_s=None if limit_s is None else limit_s * num_segments,
    )


def repetition_stage(
    store: TrialStore, job: JobSpec, study: Study, progress: Progress
) -> Stage | None:
    """Trains every finalist and comparison once per seed, and scores it on the test split, too.

    Before this no score on the test split is taken. The repetitions are a study of their own in the
    same store and are resumed like one. None where the job asks for none.
    """
    if not job.repetitions.top:
        return None
    name = repetitions_name(study)
    proposer = _proposer(job, study)
    if name not in store.names():
        store.create(_spec(study, name, proposer.num_trials))
    study_dir = repetitions_dir(study, study_dir_of(job))
    study_dir.create()
    return Stage(
        name=REPETITIONS,
        coordinator=Coordinator(
            store=store, name=name, proposer=proposer, max_failures=job.max_failures
        ),
        study_dir=study_dir,
        on_change=lambda repetitions: progress(REPETITIONS, repetitions),
        kept_best=proposer.num_trials,  # the comparison wants what all of them say
    )


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
    # The same however long the search became: who goes on with it does not draw the scores on the
    # test split of the same finalists again.
    seeds = np.random.default_rng([study.spec.seed, 1])
    return RepetitionProposer(
        configs=[*finalists, default, *comparisons],
        seeds=[int(seed) for seed in seeds.integers(_SEED_RANGE, size=job.repetitions.seeds)],
    )
