"""Profiles: every second of every slot is in one place, and only once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexmove.results.profile import profile_of
from lexmove.study.trial import TrialStatus
from told_study import ToldStudy


def test_phases_handover_and_idle_time_are_told_apart():
    told = ToldStudy(parallel=2)
    told.started(100, 0, decided_s=0.5)
    told.started(101, 1, decided_s=0.25)
    told.measured(106, 0, duration_s=5, train=3, evaluate=1)
    told.ended(106, 0)
    told.measured(109, 1, duration_s=7, train=6, load=1)
    told.ended(110, 1)
    profile = profile_of(told.study)
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
    told = ToldStudy(parallel=1)
    told.started(100, 0)
    told.measured(105, 0, duration_s=5, train=5)
    told.ended(3700, 0, TrialStatus.PREEMPTED)
    told.continued(3701, 0)
    told.measured(3711, 0, duration_s=10, train=10)
    told.ended(3711, 0)
    profile = profile_of(told.study)
    assert profile.wall_s == 15
    assert profile.utilisation == 1.0


def test_a_study_without_trials_has_no_utilisation():
    profile = profile_of(ToldStudy().study)
    assert profile.to_json()["utilisation"] is None


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0.1, 9), st.floats(0, 1)), max_size=12))
def test_everything_adds_up_to_the_slots_time(segments):
    told, at_s = ToldStudy(parallel=1), 0.0
    for trial_id, (gap_s, length_s, share) in enumerate(segments):
        at_s += gap_s
        told.started(at_s, trial_id)
        busy_s = length_s * share
        told.measured(at_s + length_s, trial_id, duration_s=busy_s, train=busy_s / 2)
        at_s += length_s
        told.ended(at_s, trial_id)
    profile = profile_of(told.study)
    total = sum(profile.phases_s.values()) + profile.handover_s + profile.idle_s
    assert total == pytest.approx(profile.slots * profile.wall_s, abs=1e-6)
