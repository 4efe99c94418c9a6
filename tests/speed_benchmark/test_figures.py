"""What the figures are made of: scores in time, epochs of a budget, and where slot-time goes."""

import math
from dataclasses import replace

import pytest

from benchmarks.speed.played import Played, Score, played_of
from benchmarks.speed.setting import FULL, QUICK
from benchmarks.speed.slots import slot_time
from benchmarks.speed.spaces import space_with
from benchmarks.speed.time_to_best import Race, equal_trials
from benchmarks.speed.trials_per_hour import Pair
from lexmove.study.fidelity import FidelityPlan
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


def played(*scores, wall_s=100.0):
    return Played(
        wall_s=wall_s,
        scores=tuple(Score(trial=trial, at_s=at_s, value=value) for trial, at_s, value in scores),
    )


OURS = played((0, 10.0, 0.3), (1, 20.0, 0.5), wall_s=50.0)
THEIRS = played((0, 40.0, 0.1), (0, 50.0, 0.4), (1, 80.0, 0.2))


def test_scores_are_counted_by_trial_and_by_time():
    assert (THEIRS.best, THEIRS.mean, THEIRS.num_trials) == (0.4, pytest.approx(0.3), 2)
    assert THEIRS.trials_per_hour == 72
    assert [THEIRS.reached_s(value) for value in (0.1, 0.2, 0.4, 0.5)] == [40, 50, 50, math.inf]


def test_ratios_of_two_arms():
    assert Pair(ours=OURS, documented=THEIRS).ratio == 2
    race = Race(head="stock", ours=OURS, documented=THEIRS)
    assert (race.reached_s, race.ratio, race.ratio_to_whole) == (20, 0.4, 0.2)
    never = Race(head="stock", ours=THEIRS, documented=OURS)
    assert never.ratio == never.ratio_to_whole == math.inf


def test_a_study_with_rungs_has_the_epochs_of_random_search():
    assert equal_trials(replace(FULL, num_random=16, max_epochs=4)) == 32
    assert equal_trials(replace(QUICK, num_random=4, max_epochs=2)) == 5


def study():
    """Two slots: trial 0 goes on after a rung, trial 1 is paused there until the study ends."""
    decision = Decision(proposer="made up")
    config = dict(space_with("stock").default)

    def start(seq, at_s, trial_id):
        return Started(
            seq=seq,
            at_s=at_s,
            trial_id=trial_id,
            config=config,
            until=1,
            seed=0,
            decision=decision,
        )

    def measured(seq, at_s, trial_id, fidelity, duration_s):
        measurement = Measurement(
            fidelity=fidelity, metrics={"f1_macro": fidelity / 10}, duration_s=duration_s
        )
        return Measured(seq=seq, at_s=at_s, trial_id=trial_id, measurement=measurement)

    def end(seq, at_s, trial_id, status):
        return Ended(seq=seq, at_s=at_s, trial_id=trial_id, status=status)

    events = [
        start(0, 100.0, 0),
        start(1, 101.0, 1),
        measured(2, 108.0, 0, 1, 6.0),
        end(3, 109.0, 0, TrialStatus.PAUSED),
        Continued(seq=4, at_s=110.0, trial_id=0, until=2, decision=decision),
        measured(5, 112.0, 1, 1, 8.0),
        end(6, 112.5, 1, TrialStatus.PAUSED),
        measured(7, 118.0, 0, 2, 7.5),
        end(8, 120.0, 0, TrialStatus.COMPLETED),
        end(9, 150.0, 1, TrialStatus.STOPPED),
    ]
    spec = StudySpec(
        name="made-up",
        space=space_with("stock"),
        metric="f1_macro",
        fidelity=FidelityPlan(maximum=2, eta=2),
        num_trials=2,
    )
    return Study.from_events(spec, events)


def test_slot_time_is_told_apart():
    found = slot_time(study(), 2)
    assert (found.total_s, found.num_segments) == (40, 3)
    assert found.inside_s == 6 + 8 + 7.5
    assert found.utilisation == 21.5 / 40
    assert (found.first_start_s, found.starting_s) == (2 + 3, 2 + 3 + 0.5)
    assert found.ending_s == 1 + 0.5 + 2
    # Slot 0 waits from 109 to 110, slot 1 until 101 and from 112.5 on.
    assert found.between_s == 1 + 1 + 7.5


def test_a_study_becomes_scores_since_its_call():
    found = played_of(study(), called_at_s=90.0, ended_at_s=160.0)
    assert found.wall_s == 70
    assert [(item.trial, item.at_s, item.value) for item in found.scores] == [
        (0, 18.0, 0.1),
        (1, 22.0, 0.1),
        (0, 28.0, 0.2),
    ]
