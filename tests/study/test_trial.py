"""Trials: a status follows from events, and events survive JSON."""

import math
import pickle

import pytest
from hypothesis import given

from lexmove.space.search_space import Config
from lexmove.study.study import Study
from lexmove.study.trial import (
    Continued,
    Decision,
    Ended,
    Event,
    Measured,
    Measurement,
    Segment,
    Started,
    Trial,
    TrialStatus,
    event_from_json,
    event_to_json,
)
from strategies import studies

START = Started(
    seq=0,
    at_s=10.0,
    trial_id=0,
    config=Config({"lr": 1e-3, "use": True}),
    until=2,
    seed=7,
    decision=Decision(proposer="random", lane=1),
)


def _measured(seq: int, fidelity: int, value: float, checkpoint: str | None = None) -> Measured:
    measurement = Measurement(fidelity=fidelity, metrics={"value": value}, checkpoint=checkpoint)
    return Measured(seq=seq, at_s=10.0 + seq, trial_id=0, measurement=measurement)


def _ended(seq: int, status: TrialStatus, reason: str | None = None, blames: bool = False) -> Ended:
    return Ended(
        seq=seq, at_s=10.0 + seq, trial_id=0, status=status, reason=reason, blames_trial=blames
    )


def _continued(seq: int, until: int, decision: Decision | None = None) -> Continued:
    return Continued(seq=seq, at_s=10.0 + seq, trial_id=0, until=until, decision=decision)


def _trial(*events: Event) -> Trial:
    return Trial(events=(START, *events))


@given(studies)
def test_events_come_back_from_json(study: Study) -> None:
    for event in study.events:
        again = event_from_json(event_to_json(event))
        assert repr(again) == repr(event).replace(_config_repr(event), _config_repr(again))
        assert event_to_json(again) == event_to_json(event)


def _config_repr(event: Event) -> str:
    """A config reads back as a dict, which is equal to it."""
    return repr(event.config) if isinstance(event, Started) else ""


@given(studies)
def test_a_study_survives_pickling(study: Study) -> None:
    again = pickle.loads(pickle.dumps(study))
    assert [event_to_json(event) for event in again.events] == [
        event_to_json(event) for event in study.events
    ]
    assert again.incumbent == study.incumbent


@pytest.mark.parametrize("text", ["", "{}", '{"kind": "born"}', '{"kind": "ended", "seq": 0}'])
def test_what_is_no_event(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        event_from_json(text)


def test_nan_and_infinity_survive_json() -> None:
    for value in (math.nan, math.inf, -math.inf):
        again = event_from_json(event_to_json(_measured(1, 1, value)))
        assert isinstance(again, Measured)
        assert again.measurement.metrics["value"] == pytest.approx(value, nan_ok=True)


def test_a_config_is_equal_after_json() -> None:
    again = event_from_json(event_to_json(START))
    assert again == START
    assert Trial(events=(again,)).config == START.config
    assert Trial(events=(again,)).config["use"] is True


def test_status_follows_the_last_event_that_says_so() -> None:
    paused = (_measured(1, 2, 0.5), _ended(2, TrialStatus.PAUSED))
    assert _trial().status is TrialStatus.RUNNING
    assert _trial(_measured(1, 2, 0.5)).status is TrialStatus.RUNNING
    assert _trial(*paused).status is TrialStatus.PAUSED
    assert _trial(*paused).is_paused
    assert _trial(*paused, _continued(3, 4)).status is TrialStatus.RUNNING
    assert _trial(*paused, _continued(3, 4), _measured(4, 4, 1.0)).status is TrialStatus.RUNNING


@pytest.mark.parametrize("status", list(TrialStatus))
def test_only_what_is_final_has_an_end(status: TrialStatus) -> None:
    trial = _trial(_ended(5, status, "why"))
    assert trial.ended_s == (15.0 if status.is_final else None)
    assert trial.started_s == 10.0
    assert trial.reason == "why"
    final = {"COMPLETED", "STOPPED", "FAILED", "INFEASIBLE"}
    assert status.is_final == (status.value in final)


def test_of_a_fidelity_measured_twice_the_first_counts() -> None:
    trial = _trial(_measured(1, 2, 0.2), _measured(2, 1, 0.1), _measured(3, 2, 0.9))
    assert [(m.fidelity, m.metrics["value"]) for m in trial.measurements] == [(1, 0.1), (2, 0.2)]
    assert trial.fidelity == 2
    assert _trial().fidelity == 0


def test_a_segment_goes_on_from_the_last_checkpoint() -> None:
    trial = _trial(
        _measured(1, 1, 0.2, "a"),
        _measured(2, 2, 0.3),
        _ended(3, TrialStatus.PREEMPTED, "node lost"),
        _continued(4, 4),
    )
    assert trial.segment == Segment(
        trial_id=0, config=START.config, seed=7, until=4, after=1, resume_from="a"
    )
    assert _trial().segment == Segment(trial_id=0, config=START.config, seed=7, until=2)


def test_lane_and_decision_are_those_on_record() -> None:
    again = _continued(2, 4, Decision(proposer="policy", lane=3))
    assert _trial().lane == 1
    assert _trial(_ended(1, TrialStatus.PAUSED), again).lane == 3
    assert _trial(_ended(1, TrialStatus.PREEMPTED), _continued(2, 4)).lane == 1
    assert _trial(again).decision == START.decision


def test_lost_workers_are_counted_where_the_trial_is_to_blame() -> None:
    lost = _ended(1, TrialStatus.PREEMPTED, blames=True)
    moved = _ended(3, TrialStatus.PREEMPTED)
    assert _trial(lost, _continued(2, 2), moved).num_lost_workers == 1


def test_probability_is_that_of_the_chosen_candidate() -> None:
    assert Decision(proposer="p", log_probability=math.log(0.25)).probability == pytest.approx(0.25)
    assert Decision(proposer="p").probability is None
