"""Rungs, and ASHA's rule on cases worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexmove.space.domain import Float
from lexmove.space.search_space import Config, Hyperparameter, SearchSpace
from lexmove.study.fidelity import FidelityPlan, promotable
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import (
    Continued,
    Decision,
    Ended,
    Measured,
    Measurement,
    Started,
    TrialStatus,
)

SPACE = SearchSpace(hyperparameters=(Hyperparameter(name="lr", domain=Float(low=0, high=1)),))


@given(st.integers(1, 500), st.none() | st.integers(2, 5), st.none() | st.integers(1, 500))
def test_rungs_rise_to_the_maximum(maximum: int, eta: int | None, first: int | None) -> None:
    plan = FidelityPlan(maximum=maximum, eta=eta, first=first)
    assert list(plan.rungs) == sorted(set(plan.rungs))
    assert plan.rungs[-1] == maximum
    assert plan.next_rung(0) == plan.rungs[0]
    assert plan.next_rung(maximum) == maximum
    for low, high in zip(plan.rungs, plan.rungs[1:], strict=False):
        assert plan.next_rung(low) == high
        assert plan.next_rung(high - 1) == high


@pytest.mark.parametrize(
    ("plan", "rungs"),
    [
        (FidelityPlan(), (1,)),
        (FidelityPlan(maximum=8), (8,)),
        (FidelityPlan(maximum=8, eta=3), (1, 3, 8)),
        (FidelityPlan(maximum=9, eta=3), (1, 3, 9)),
        (FidelityPlan(maximum=52, eta=3), (4, 12, 36, 52)),
        (FidelityPlan(maximum=9, eta=2, first=3), (3, 6, 9)),
        (FidelityPlan(maximum=3, eta=2, first=7), (3,)),
    ],
)
def test_rungs_by_hand(plan: FidelityPlan, rungs: tuple[int, ...]) -> None:
    assert plan.rungs == rungs


def _paused(values: list[float], *, eta: int | None = 3, goal: str = "maximize") -> Study:
    """Trials 0, 1, … paused at rung 1 with these values, of rungs 1, 3 and 9."""
    plan = FidelityPlan(maximum=9, eta=eta, first=1)
    study = Study(spec=StudySpec(name="s", space=SPACE, goal=goal, fidelity=plan))
    for trial_id, value in enumerate(values):
        study = study.with_event(
            Started(
                seq=study.num_events,
                at_s=0.0,
                trial_id=trial_id,
                config=Config({"lr": 0.5}),
                until=1,
                seed=0,
                decision=Decision(proposer="random"),
            )
        )
        study = _reached(study, trial_id, 1, value)
    return study


def _reached(
    study: Study,
    trial_id: int,
    fidelity: int,
    value: float,
    status: TrialStatus = TrialStatus.PAUSED,
) -> Study:
    measurement = Measurement(fidelity=fidelity, metrics={"value": value})
    seq = study.num_events
    study = study.with_event(
        Measured(seq=seq, at_s=0.0, trial_id=trial_id, measurement=measurement)
    )
    return study.with_event(Ended(seq=seq + 1, at_s=0.0, trial_id=trial_id, status=status))


def _continue(study: Study, trial_id: int) -> Study:
    seq = study.num_events
    return study.with_event(Continued(seq=seq, at_s=0.0, trial_id=trial_id, until=3))


def test_the_best_third_leaves_a_rung_best_first() -> None:
    assert promotable(_paused([0.1, 0.2])) == ()
    assert promotable(_paused([0.1, 0.3, 0.2])) == (1,)
    assert promotable(_paused([0.1, 0.3, 0.2, 0.0, 0.6, 0.5])) == (4, 5)
    assert promotable(_paused([0.1, 0.3, 0.2], goal="minimize")) == (0,)


def test_ties_go_to_the_earlier_trial() -> None:
    assert promotable(_paused([0.5, 0.5, 0.5])) == (0,)


def test_without_eta_nothing_is_promoted() -> None:
    assert promotable(_paused([0.1, 0.3, 0.2], eta=None)) == ()


def test_who_left_a_rung_still_counts_there() -> None:
    study = _continue(_paused([0.1, 0.3, 0.2]), 1)
    assert promotable(study) == ()
    assert promotable(_reached(study, 1, 3, 0.9)) == ()


def test_higher_rungs_come_first() -> None:
    study = _paused([0.1 * index for index in range(12)])
    for trial_id in (9, 10, 11):
        study = _reached(_continue(study, trial_id), trial_id, 3, 1.0 - 0.1 * trial_id)
    assert promotable(study) == (9, 8)


def test_failed_trials_and_nan_count_at_no_rung() -> None:
    study = _paused([0.1, 0.3, 0.2])
    study = study.with_event(
        Ended(seq=study.num_events, at_s=0.0, trial_id=1, status=TrialStatus.FAILED)
    )
    assert promotable(study) == ()
    assert promotable(_paused([0.1, float("nan"), 0.2])) == ()
    assert promotable(_paused([0.1, float("nan"), 0.2, 0.0])) == (2,)


def test_stopped_trials_count_but_do_not_go_on() -> None:
    study = _paused([0.1, 0.3, 0.2])
    study = study.with_event(
        Ended(seq=study.num_events, at_s=0.0, trial_id=1, status=TrialStatus.STOPPED)
    )
    assert promotable(study) == ()
