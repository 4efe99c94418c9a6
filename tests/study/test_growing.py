"""A study that grows: packed or not, asked at every event or once, it says the same."""

import json
import pickle
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexmove.study import study as study_module
from lexmove.study.digest import digest_of, study_of
from lexmove.study.fidelity import promotable
from lexmove.study.packing import dictionary_of
from lexmove.study.study import Study
from lexmove.study.trial import Decision, Ended, Event, Started, Trial, TrialStatus, event_to_json
from strategies import studies

_FAILED = TrialStatus.FAILED


@pytest.fixture(autouse=True, scope="module", params=[512, 1], ids=["unpacked", "packed"])
def num_unpacked(request):
    """How many of the latest trials stay unpacked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_module, "_NUM_UNPACKED", request.param)
        yield


def lines(events: Iterable[Event]) -> list[str]:
    """As text, for NaN equals nothing."""
    return [event_to_json(event) for event in events]


def said(study: Study) -> tuple[object, ...]:
    """Whatever a study says of itself."""
    return (
        study.ranking,
        study.incumbent,
        study.leaders(2),
        study.trajectory,
        study.counts,
        study.top_moves,
        study.num_epochs,
        study.num_started_at_best,
        [study.scored_at(rung)[:] for rung in study.spec.fidelity.rungs[:-1]],
        promotable(study),
        [[trial.trial_id for trial in study.with_status(status)] for status in TrialStatus],
        [study.realised_gain(trial) for trial in study.trials],
        [(trial.status, trial.fidelity, trial.trial_id, trial.lane) for trial in study.trials],
        lines(study.events),
        [trial.trial_id for trial in study.latest_trials(3)],
    )


@settings(max_examples=60)
@given(studies)
def test_what_is_asked_at_every_event_is_what_is_asked_once(study: Study) -> None:
    grown = Study(spec=study.spec)
    for event in study.events:
        said(grown)
        grown = grown.with_event(event)
    assert said(grown) == said(Study.from_events(study.spec, study.events))


@given(studies, st.data())
def test_an_older_study_still_knows_what_it_knew(study: Study, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, study.num_events))
    older = Study(spec=study.spec)
    for event in study.events[:at]:
        older = older.with_event(event)
    before = said(older)
    newer = older
    for event in study.events[at:]:
        newer = newer.with_event(event)
        said(newer)
    assert said(older) == before == said(study.prefix(at))


@given(studies, st.integers(0, 40))
def test_events_since_are_the_last_ones(study: Study, seq: int) -> None:
    assert lines(study.events_since(seq)) == lines(study.events[seq:])


@given(studies)
def test_the_latest_trials_are_those_of_the_last_events(study: Study) -> None:
    by_time = sorted(study.trials, key=lambda trial: trial.events[-1].seq, reverse=True)
    latest = [trial.trial_id for trial in study.latest_trials(4)]
    assert latest == [trial.trial_id for trial in by_time[:4]]


@given(studies)
def test_what_is_pickled_comes_back_equal(study: Study) -> None:
    said(study)
    again = pickle.loads(pickle.dumps(study))
    assert said(again) == said(study)


@given(studies)
def test_a_packed_trial_is_the_same_in_less_room(study: Study) -> None:
    for trial in study.trials:
        packed = trial.packed(dictionary_of(tuple(study.trials[0].events)))
        assert packed.is_packed
        assert not trial.is_packed or trial == packed
        assert lines(packed.events) == lines(trial.events)
        assert packed.events[-1].seq == trial.events[-1].seq
        assert packed.events[1:] == tuple(packed.events)[1:]
        facts = ("trial_id", "status", "fidelity", "until", "config", "decision", "reason")
        for name in facts:
            assert getattr(packed, name) == getattr(trial, name)
        assert packed.derive("key", lambda: 1) == 1
        assert not packed.derived


def test_packed_and_unpacked_are_equal() -> None:
    started = Started(
        seq=0, at_s=1.0, trial_id=0, config={"lr": 0.5}, until=1, seed=0,
        decision=Decision(proposer="random"),
    )  # fmt: skip
    trial = Trial(events=(started,))
    packed, other = trial.packed(b""), trial.packed(b"of another study")
    assert packed == other == trial == packed
    assert packed != trial.followed_by(Ended(seq=1, at_s=1.0, trial_id=0, status=_FAILED))


@given(studies)
def test_a_digest_says_what_the_study_says(study: Study) -> None:
    seen = study_of(study.spec, json.loads(digest_of(study)), study.trials)
    assert said(seen) == said(study)
