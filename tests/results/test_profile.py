"""Profiles: every second of every slot is in one place, and only once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexmove.results.profile import profile_of
from lexmove.space.domain import Float
from lexmove.space.search_space import Hyperparameter, SearchSpace
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

SPACE = SearchSpace(hyperparameters=(Hyperparameter(name="x", domain=Float(low=0.0, high=1.0)),))


class Told:
    """A study told event by event."""

    def __init__(self, parallel=2):
        self.events = []
        self.spec = StudySpec(name="s", space=SPACE, parallel=parallel)

    def _add(self, kind, at_s, trial_id, **fields):
        self.events.append(kind(seq=len(self.events), at_s=at_s, trial_id=trial_id, **fields))

    def started(self, at_s, trial_id, decided_s=0.0):
        decision = Decision(proposer="p", lane=0)
        self._add(
            Started,
            at_s,
            trial_id,
            config={"x": 0.5},
            until=4,
            seed=0,
            decision=decision,
            decided_s=decided_s,
        )

    def continued(self, at_s, trial_id):
        self._add(Continued, at_s, trial_id, until=4)

    def measured(self, at_s, trial_id, duration_s, **phases_s):
        epoch = 1 + sum(
            isinstance(event, Measured) and event.trial_id == trial_id for event in self.events
        )
        measurement = Measurement(
            fidelity=epoch, metrics={"value": 0.1}, duration_s=duration_s, phases_s=phases_s
        )
        self._add(Measured, at_s, trial_id, measurement=measurement)

    def ended(self, at_s, trial_id, status=TrialStatus.PAUSED):
        self._add(Ended, at_s, trial_id, status=status)

    def profile(self):
        return profile_of(Study.from_events(self.spec, self.events))


def test_phases_handover_and_idle_time_are_told_apart():
    told = Told()
    told.started(100, 0, decided_s=0.5)
    told.started(101, 1, decided_s=0.25)
    told.measured(106, 0, 5, train=3, evaluate=1)
    told.ended(106, 0)
    told.measured(109, 1, 7, train=6, load=1)
    told.ended(110, 1)
    profile = told.profile()
    assert (profile.slots, profile.wall_s, profile.decide_s) == (2, 10, 0.75)
    assert profile.phases_s == {
        "import": 0,
        "load": 1,
        "tokenise": 0,
        "train": 9,
        "evaluate": 1,
        "checkpoint": 0,
        "other": 1,
    }
    assert profile.handover_s == pytest.approx(1 + 2)
    assert profile.idle_s == pytest.approx(20 - 6 - 9)
    assert profile.utilisation == pytest.approx(12 / 20)


def test_an_interruption_is_no_part_of_the_time():
    """A process died at 105; the next one found that out an hour later."""
    told = Told(parallel=1)
    told.started(100, 0)
    told.measured(105, 0, 5, train=5)
    told.ended(3700, 0, TrialStatus.PREEMPTED)
    told.continued(3701, 0)
    told.measured(3711, 0, 10, train=10)
    told.ended(3711, 0)
    profile = told.profile()
    assert profile.wall_s == 15
    assert profile.utilisation == 1.0


def test_a_study_without_trials_has_no_utilisation():
    profile = Told().profile()
    assert profile.to_json()["utilisation"] is None


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0.1, 9), st.floats(0, 1)), max_size=12))
def test_everything_adds_up_to_the_slots_time(segments):
    told, at_s = Told(parallel=1), 0.0
    for trial_id, (gap_s, length_s, share) in enumerate(segments):
        at_s += gap_s
        told.started(at_s, trial_id)
        told.measured(at_s + length_s, trial_id, length_s * share, train=length_s * share / 2)
        at_s += length_s
        told.ended(at_s, trial_id)
    profile = told.profile()
    total = sum(profile.phases_s.values()) + profile.handover_s + profile.idle_s
    assert total == pytest.approx(profile.slots * profile.wall_s, abs=1e-6)
