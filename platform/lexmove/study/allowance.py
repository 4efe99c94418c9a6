"""The allowance: how many epochs a study with rungs may spend, and who may go on within it."""

from lexmove.study.fidelity import Fidelity, FidelityPlan
from lexmove.study.study import Study
from lexmove.study.trial import Trial, TrialStatus

_LOST = (TrialStatus.FAILED, TrialStatus.INFEASIBLE)

ASHA_FACTOR = 1.8
"""By ASHA's rule a study takes up to this often what halving takes (measured: agent/README.md)."""


def expected_epochs(plan: FidelityPlan, num_trials: int) -> Fidelity:
    """Epochs that so many trials take in all, if of each rung the best 1/eta go on.

    Asynchronous halving promotes more than this where trials get better on the way
    (`most_epochs`).
    """
    total, before, left = 0, 0, num_trials
    for rung in plan.rungs:
        total += left * (rung - before)
        before = rung
        left = left // plan.eta if plan.eta else left
    return total


def most_epochs(plan: FidelityPlan, num_trials: int, *, num_pilots: int = 1) -> Fidelity:
    """The most epochs that so many trials can be expected to take.

    With rungs and ASHA's rule that is `ASHA_FACTOR` times `expected_epochs`, and what the pilots
    take from the first rung to the end, at most full trainings; otherwise `expected_epochs`.
    """
    expected = expected_epochs(plan, num_trials)
    if plan.eta is None or plan.promotion != "asha":
        return expected
    pilots = num_pilots * (plan.maximum - plan.rungs[0])
    return min(round(ASHA_FACTOR * expected) + pilots, num_trials * plan.maximum)


def epochs_ahead(study: Study) -> int:
    """What is left of the epochs that a study's trials are expected to take; never below 0.

    Trials that failed count with neither what was expected of them nor what they took; running
    ones with what they have measured.
    """
    num_lost = sum(study.counts.get(status, 0) for status in _LOST)
    expected = expected_epochs(study.spec.fidelity, study.spec.num_trials - num_lost)
    return max(0, expected - study.num_epochs)


def affordable(study: Study) -> tuple[Trial, ...]:
    """The paused trials that the study can afford to continue to their next rung, by id.

    A study with rungs spends at most what successive halving would spend on as many trials
    (`expected_epochs`); of that, the first rung of every trial still to be started is kept
    back. So a budget in trials bounds the compute whatever decides who goes on, every trial of
    it gets its start, and the study ends when the rest pays for no further rung.
    """
    plan = study.spec.fidelity
    if plan.eta is None:
        return ()
    open_statuses = (TrialStatus.RUNNING, TrialStatus.PREEMPTED)
    asked = sum(t.until - t.fidelity for t in study.with_status(*open_statuses))
    spare = epochs_ahead(study) - asked - study.num_trials_left * plan.rungs[0]
    paused = study.with_status(TrialStatus.PAUSED)
    rungs = {trial.fidelity for trial in paused}
    within = {fidelity for fidelity in rungs if plan.next_rung(fidelity) - fidelity <= spare}
    return tuple(trial for trial in paused if trial.fidelity in within)
