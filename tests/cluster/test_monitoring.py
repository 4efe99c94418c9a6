"""What a study says of itself in numbers, on studies told event by event."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexmove.app.monitoring import Room, Tally, gate_weights, headline, occurrences, standing
from lexmove.cluster.metrics import METRICS, Reading
from lexmove.results.profile import profile_of
from lexmove.study.trial import Event, TrialStatus
from told_study import ToldStudy

ROOM = Room(slots=2, gpus=0.5)
PAUSED, COMPLETED = TrialStatus.PAUSED, TrialStatus.COMPLETED
PREEMPTED, FAILED = TrialStatus.PREEMPTED, TrialStatus.FAILED


class Told(ToldStudy):
    """A study that grows, with a tally that hears of every event."""

    def __init__(self, room: Room = ROOM) -> None:
        super().__init__(metric="f1", num_trials=9)
        self.room = room
        self.tally = Tally(self.study, room)

    def add(self, kind: Any, at_s: float, trial_id: int, **fields: Any) -> Event:
        event = super().add(kind, at_s, trial_id, **fields)
        self.tally.take_in(self.study, event)
        return event

    def read(self, now_s) -> dict[str, float]:
        return {item.name: item.value for item in self.tally.readings(now_s)}

    def begun_again(self) -> None:
        """Another process takes the study over."""
        self.tally = Tally(self.study, self.room)


def test_a_study_without_trials_says_no_more_than_it_knows():
    told = Told()
    stood = standing(told.study)
    assert {item.labels["state"]: item.value for item in stood if item.labels} == dict.fromkeys(
        [status.value for status in TrialStatus], 0
    )
    assert [item for item in stood if not item.labels] == [Reading("lexmove_trials_left", 9)]
    assert told.read(100.0) == {"lexmove_gpu_hours": 0.0}


def test_trials_are_counted_where_they_stand_and_the_best_has_its_metric():
    told = Told()
    for trial_id, value in enumerate((0.5, 0.7, 0.6)):
        told.started(100, trial_id)
        told.measured(101, trial_id, value)
    told.ended(102, 0)
    told.ended(102, 1, COMPLETED)
    stood = standing(told.study)
    states = {item.labels["state"]: item.value for item in stood if "state" in item.labels}
    assert {state: num for state, num in states.items() if num} == {
        "PAUSED": 1,
        "COMPLETED": 1,
        "RUNNING": 1,
    }
    assert Reading("lexmove_incumbent_value", 0.7, {"metric": "f1"}) in stood
    assert Reading("lexmove_trials_left", 6) in stood


def test_a_metric_of_ones_own_has_its_name_without_the_folder():
    told = ToldStudy(metric="/home/me/work/costs.py:cost", num_trials=9)
    told.started(100, 0)
    told.measured(101, 0, 0.25)
    assert Reading("lexmove_incumbent_value", 0.25, {"metric": "costs.py:cost"}) in standing(
        told.study
    )
    assert headline("search", told.study)["incumbent"].startswith("costs.py:cost 0.2500, trial 0")


def test_busy_slots_and_gpu_hours_grow_with_the_time_too():
    told = Told()
    told.started(100, 0)
    told.started(110, 1)
    told.ended(200, 0)
    # Trial 0 took 100 s, trial 1 has taken 90 of 100 s in two slots of half a GPU.
    assert told.read(200)["lexmove_utilisation"] == pytest.approx(190 / 200)
    assert told.read(200)["lexmove_gpu_hours"] == pytest.approx(190 * 0.5 / 3600)
    assert told.read(300)["lexmove_utilisation"] == pytest.approx(290 / 400)
    assert told.read(300)["lexmove_gpu_hours"] == pytest.approx(290 * 0.5 / 3600)


def test_trials_per_hour_counts_each_new_trial_once():
    told = Told()
    for trial_id, begun_s in ((0, 0), (1, 0), (2, 100)):
        told.started(begun_s, trial_id)
        told.ended(begun_s + 90, trial_id, PREEMPTED if trial_id == 1 else PAUSED)
    told.continued(200, 0)
    told.ended(360, 0, COMPLETED)
    # Trial 0 and trial 2: the second segment of one is no new trial, a lost worker no ending.
    assert told.read(360)["lexmove_trials_per_hour"] == pytest.approx(2 * 3600 / 360)
    told.continued(400, 1)
    told.ended(720, 1, FAILED)
    assert told.read(720)["lexmove_trials_per_hour"] == pytest.approx(3 * 3600 / 720)


def test_trials_per_hour_forgets_what_is_an_hour_old():
    told = Told()
    told.started(0, 0)
    told.ended(10, 0)
    told.started(10, 1)
    told.ended(5000, 1)
    assert told.read(5000)["lexmove_trials_per_hour"] == pytest.approx(1)
    assert told.read(9000)["lexmove_trials_per_hour"] == 0


def test_there_is_no_rate_before_there_is_something_to_go_by():
    told = Told()
    told.started(0, 0)
    assert "lexmove_trials_per_hour" not in told.read(60)


def test_rewards_are_gains_over_the_incumbent_of_their_time():
    told = Told()
    told.started(0, 0)
    told.measured(1, 0, 0.5)
    told.ended(1, 0)
    assert "lexmove_reward" not in told.read(1), "there was nothing to gain on"
    told.started(2, 1)
    told.started(2, 2)
    told.measured(3, 1, 0.7)
    told.ended(3, 1)
    told.measured(4, 2, 0.6)
    told.ended(4, 2)  # better than what it was suggested against, though not the best any more
    told.started(5, 3)
    told.ended(6, 3, FAILED)
    read = told.read(6)
    assert read["lexmove_reward"] == pytest.approx(0.1)
    assert read["lexmove_reward_mean"] == pytest.approx(0.15)


def test_versions_of_the_policy_are_updates_and_its_surprises_its_entropy():
    told = Told()
    assert "lexmove_policy_updates" not in told.read(0)
    for trial_id, (version, surprise) in enumerate([("a", 1.0), ("a", 2.0), ("b", 3.0)]):
        told.started(trial_id, trial_id, policy_version=version, log_probability=-surprise)
    assert told.read(3)["lexmove_policy_updates"] == 1
    assert told.read(3)["lexmove_policy_entropy_nats"] == pytest.approx(2.0)
    told.begun_again()
    assert told.read(3)["lexmove_policy_updates"] == 1, "a resumed study knows its past"
    told.started(3, 3, log_probability=-1.0)
    assert "lexmove_policy_entropy_nats" not in told.read(4), "the policy was switched off"
    assert told.read(4)["lexmove_policy_updates"] == 1


def test_a_study_taken_over_keeps_its_gpu_hours_and_begins_its_rates_anew():
    told = Told()
    told.started(0, 0)
    told.measured(50, 0, 0.5, duration_s=50)
    told.ended(60, 0)
    before = told.read(60)["lexmove_gpu_hours"]
    told.begun_again()
    assert told.read(10_000) == {"lexmove_gpu_hours": pytest.approx(before)}
    told.continued(10_000, 0)
    assert told.read(10_100)["lexmove_gpu_hours"] == pytest.approx(before + 100 * 0.5 / 3600)
    assert told.read(10_100)["lexmove_utilisation"] == pytest.approx(0.5)


def test_what_is_lost_with_a_process_is_no_time_of_the_next():
    told = Told()
    told.started(0, 0)
    told.measured(50, 0, 0.5, duration_s=50)
    told.begun_again()  # the trial was running when its process died
    told.ended(7000, 0, PREEMPTED)
    assert told.read(7000)["lexmove_gpu_hours"] == pytest.approx(50 * 0.5 / 3600)


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(1, 500), st.sampled_from([PAUSED, COMPLETED])),
        min_size=1,
        max_size=12,
    )
)
def test_gpu_time_is_what_the_profile_says_was_taken(segments):
    """Of two slots with one segment after the other each, whoever holds the study."""
    told = Told(Room(slots=2, gpus=1.0))
    clocks = [0, 0]
    for trial_id, (slot, duration_s, status) in enumerate(segments):
        begun_s = clocks[slot]
        clocks[slot] = begun_s + duration_s
        told.started(begun_s, trial_id)
        told.ended(clocks[slot], trial_id, status)
    read = told.read(max(clocks))
    profile = profile_of(told.study)
    taken_s = sum(profile.phases_s.values()) + profile.handover_s
    assert read["lexmove_gpu_hours"] == pytest.approx(taken_s / 3600)
    assert read["lexmove_utilisation"] <= 1
    told.begun_again()
    assert told.read(max(clocks))["lexmove_gpu_hours"] == pytest.approx(taken_s / 3600)


def test_decisions_and_measurements_are_told_once_each():
    told = Told()
    events = [
        told.started(0, 0, decided_s=0.25),
        told.measured(1, 0, 0.5),
        told.ended(1, 0, PREEMPTED),
        told.continued(2, 0),  # without a decision: it was preempted
        told.measured(3, 0, 0.6),
        told.ended(3, 0),
    ]
    assert list(occurrences(events)) == [
        Reading("lexmove_suggestion_latency_seconds", 0.25),
        Reading("lexmove_results", 1.0),
        Reading("lexmove_results", 1.0),
    ]


def test_the_gate_shares_the_next_decision_between_policy_and_floor():
    weights = gate_weights(Told().study)
    assert [item.labels["expert"] for item in weights] == ["policy", "floor"]
    assert sum(item.value for item in weights) == pytest.approx(1.0)


def test_every_reading_is_of_a_metric_with_its_labels():
    told = Told()
    told.started(0, 0, policy_version="a", log_probability=-1.0)
    told.measured(1, 0, 0.5)
    told.ended(1, 0)
    last = told.started(1, 1, policy_version="a", log_probability=-1.0)
    also = told.measured(2, 1, 0.6)
    told.ended(2, 1)
    found = [
        *standing(told.study),
        *told.tally.readings(3),
        *gate_weights(told.study),
        *occurrences([last, also]),
    ]
    assert {item.name for item in found} == set(METRICS), (
        "a study with all there is leaves none out"
    )
    for item in found:
        assert set(item.labels) == set(METRICS[item.name].labels)
    bounds = METRICS["lexmove_suggestion_latency_seconds"].bounds
    assert all(low < high for low, high in pairwise(bounds))
