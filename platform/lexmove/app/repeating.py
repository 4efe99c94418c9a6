"""After the search: the finalists and their comparisons on fresh seeds, and the test split."""

from collections.abc import Sequence

import numpy as np

from lexmove.app.execution import Progress
from lexmove.app.preparing import fidelity_plan, objective_of
from lexmove.app.stored import (
    repetitions_before,
    repetitions_dir,
    repetitions_name,
    study_dir_of,
)
from lexmove.coordinator.coordinator import Coordinator
from lexmove.coordinator.repetitions import RepeatedConfig, RepetitionProposer
from lexmove.coordinator.stage import Stage, Work
from lexmove.job.spec import JobSpec
from lexmove.results.summary import DEFAULT_ARM, arm_name, repeated_arms
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.protocols import TrialStore
from lexmove.study.scoring import Incumbent
from lexmove.study.study import Study, StudySpec

REPETITIONS = "repetitions"
"""The name of their stage."""

_SEED_RANGE = 2**31

_SEEDS = (1, 1)
"""The stream of the repetitions' seeds. Each decision of the search has one of a single number, and
repetitions are to be seeds that no trial of it had."""


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
    names = store.names()
    begun = store.look(name) if name in names else None
    proposer = _proposer(job, study, begun, _winner_before(store, names, study))
    if begun is not None and begun.spec.num_trials != proposer.num_trials:
        proposer = _proposer(job, study, begun, None)  # by a version that did not keep the winner
    if begun is None:
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


def _winner_before(store: TrialStore, names: Sequence[str], study: Study) -> str | None:
    """The trial that repeated best when the study had fewer; None where it had not ended.

    Comparisons cannot win, and the default is repeated in any case, which wins where it is level.
    """
    known = repetitions_before(study, names)
    before = max((length for length in known if length < len(study.trials)), default=None)
    if before is None:
        return None
    finalists = {arm_name(trial.trial_id) for trial in study.trials} | {DEFAULT_ARM}
    found = {
        arm.name: (study.sign * arm.validation.mean, arm.name == DEFAULT_ARM)
        for arm in repeated_arms(store.look(known[before]))
        if arm.validation is not None and arm.name in finalists
    }
    return max(found, key=lambda name: found[name], default=None)


def _finalists(job: JobSpec, study: Study, winner_before: str | None) -> list[Incumbent]:
    """The best of the search, and who has won repetitions before it was extended.

    The default config is repeated in any case, and not twice.
    """
    default = study.spec.space.default
    others = [item for item in study.ranking if study.trials[item.trial_id].config != default]
    chosen = others[: job.repetitions.top]
    # One lucky score in the search must not push out what has repeated well.
    return chosen + [
        item for item in others[job.repetitions.top :] if arm_name(item.trial_id) == winner_before
    ]


def _proposer(
    job: JobSpec, study: Study, begun: Study | None, winner_before: str | None
) -> RepetitionProposer:
    """What is repeated, by which seeds; `begun` are the repetitions of before an interruption."""
    maximum = study.spec.fidelity.maximum
    space = study.spec.space
    finalists = [
        RepeatedConfig(
            arm=arm_name(item.trial_id),
            config=study.trials[item.trial_id].config,
            until=item.fidelity,
        )
        for item in _finalists(job, study, winner_before)
    ]
    comparisons = [
        RepeatedConfig(arm=item.name, config=space.config(item.config), until=maximum)
        for item in job.finalists.compare
    ]
    default = RepeatedConfig(arm=DEFAULT_ARM, config=space.default, until=maximum)
    # The same however long the search became: who goes on with it does not draw the scores on the
    # test split of the same finalists again.
    drawn = np.random.default_rng([study.spec.seed, *_SEEDS])
    seeds = [int(seed) for seed in drawn.integers(_SEED_RANGE, size=job.repetitions.seeds)]
    if begun is not None:  # perhaps by a version that drew others: its configs share them all
        earlier = dict.fromkeys(trial.segment.seed for trial in begun.trials)
        seeds = [*earlier, *(seed for seed in seeds if seed not in earlier)][: len(seeds)]
    return RepetitionProposer(configs=[*finalists, default, *comparisons], seeds=seeds)
