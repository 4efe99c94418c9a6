"""The coordinator as a state machine: what it hands out, what it records, what it refuses."""

import math
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexmove.coordinator.coordinator import Coordinator, kept_checkpoints
from lexmove.coordinator.store import MemoryStore
from lexmove.errors import StudyFailedError
from lexmove.space.domain import Float
from lexmove.space.search_space import Hyperparameter, SearchSpace
from lexmove.study.fidelity import FidelityPlan, promotable
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import Decision, Measurement, Suggestion, Trial, TrialStatus

SPACE = SearchSpace(
    hyperparameters=(Hyperparameter(name="lr", domain=Float(low=1e-6, high=1e-3, log=True)),)
)
SPEC = StudySpec(
    name="s", space=SPACE, num_trials=6, parallel=3, fidelity=FidelityPlan(maximum=4, eta=2)
)


class Asha:
    """Random starts and ASHA's promotions: the plainest proposer with pauses."""

    name = "asha"

    def propose(
        self, study: Study, rng: np.random.Generator, *, lane: int = 0
    ) -> Suggestion | None:
        plan = study.spec.fidelity
        decision = Decision(proposer=self.name, lane=lane)
        for trial_id in promotable(study)[:1]:
            trial = study.trials[trial_id]
            until = plan.next_rung(trial.fidelity)
            return Suggestion(
                config=trial.config, until=until, decision=decision, trial_id=trial_id
            )
        if not study.num_trials_left:
            return None
        return Suggestion(config=SPACE.sample(rng), until=plan.rungs[0], decision=decision)


class Stubborn(Asha):
    """Suggests whatever it is given."""

    def __init__(self, suggestion: Suggestion) -> None:
        self.suggestion = suggestion

    def propose(self, study, rng, *, lane=0):
        return self.suggestion


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1.0
        return self.now_s


def make(spec: StudySpec = SPEC, proposer=None, **options) -> tuple[Coordinator, MemoryStore]:
    store = MemoryStore()
    store.create(spec)
    coordinator = Coordinator(
        store=store, name=spec.name, proposer=proposer or Asha(), clock=Clock(), **options
    )
    return coordinator, store


def measure(value: float, fidelity: int = 1, checkpoint: str | None = None) -> Measurement:
    return Measurement(fidelity=fidelity, metrics={"value": value}, checkpoint=checkpoint)


def statuses(coordinator: Coordinator) -> list[TrialStatus]:
    return [trial.status for trial in coordinator.study.trials]


def test_everything_is_in_the_store_before_it_is_handed_out():
    coordinator, store = make()
    segment = coordinator.assign()
    assert store.load("s") == coordinator.study
    assert store.load("s").trials[segment.trial_id].segment == segment


def test_lanes_are_distinct_among_running_trials_and_reused():
    coordinator, _ = make()
    for _ in range(3):
        coordinator.assign()
    assert [trial.lane for trial in coordinator.study.trials] == [0, 1, 2]
    coordinator.failed(1, "x")
    coordinator.assign()
    assert coordinator.study.trials[3].lane == 1


def test_a_trial_is_paused_at_its_rung_and_completed_at_the_maximum():
    coordinator, _ = make(replace(SPEC, num_trials=2))
    for value in (0.1, 0.9):
        segment = coordinator.assign()
        coordinator.measured(segment.trial_id, measure(value, checkpoint=f"c{value}"))
        coordinator.segment_ended(segment.trial_id)
    assert statuses(coordinator) == [TrialStatus.PAUSED, TrialStatus.PAUSED]
    segment = coordinator.assign()
    assert (segment.trial_id, segment.after, segment.until) == (1, 1, 2)
    assert segment.resume_from == "c0.9"
    coordinator.measured(1, measure(0.95, fidelity=2))
    coordinator.segment_ended(1)
    assert coordinator.assign() is None
    coordinator.close()
    assert statuses(coordinator) == [TrialStatus.STOPPED, TrialStatus.STOPPED]


def test_full_fidelity_trials_complete():
    coordinator, _ = make(replace(SPEC, fidelity=FidelityPlan(maximum=2)))
    coordinator.assign()
    coordinator.measured(0, measure(0.1))
    coordinator.measured(0, measure(0.2, fidelity=2))
    coordinator.segment_ended(0)
    assert statuses(coordinator) == [TrialStatus.COMPLETED]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_objective_that_is_not_finite_fails_the_trial(value: float):
    coordinator, _ = make()
    coordinator.assign()
    coordinator.measured(0, measure(value))
    assert statuses(coordinator) == [TrialStatus.FAILED]
    assert coordinator.study.trials[0].reason == f"value is {value} at fidelity 1"
    assert coordinator.study.incumbent is None


def test_a_measurement_without_the_objective_fails_the_trial_and_names_what_there_is():
    coordinator, _ = make()
    coordinator.assign()
    coordinator.measured(0, Measurement(fidelity=1, metrics={"accuracy": 0.5}))
    assert coordinator.study.trials[0].reason == (
        "the objective reports no metric 'value', only accuracy"
    )


def test_reports_that_are_repeated_or_late_change_nothing():
    coordinator, _ = make()
    coordinator.assign()
    coordinator.measured(0, measure(0.5))
    coordinator.measured(0, measure(0.7))
    coordinator.failed(0, "broken")
    before = coordinator.study
    coordinator.measured(0, measure(0.9, fidelity=2))
    coordinator.segment_ended(0)
    coordinator.infeasible(0, "late")
    coordinator.preempted(0, "late")
    assert coordinator.study == before
    assert [item.metrics["value"] for item in before.trials[0].measurements] == [0.5]


def test_a_segment_that_ends_short_of_its_fidelity_has_failed():
    coordinator, _ = make()
    coordinator.assign()
    coordinator.segment_ended(0)
    assert coordinator.study.trials[0].reason == "ended at fidelity 0 of 1 without a reason"


def test_a_preempted_trial_is_run_again_from_its_checkpoint_before_anything_new():
    coordinator, _ = make(replace(SPEC, fidelity=FidelityPlan(maximum=4)))
    coordinator.assign()
    coordinator.assign()
    coordinator.measured(0, measure(0.5, checkpoint="epoch_1"))
    coordinator.preempted(0, "its worker died")
    segment = coordinator.assign()
    assert (segment.trial_id, segment.after, segment.resume_from) == (0, 1, "epoch_1")
    assert len(coordinator.study.trials) == 2


def test_a_trial_that_keeps_losing_its_worker_fails_but_a_lost_driver_does_not_count():
    coordinator, _ = make(max_failures=1)
    coordinator.assign()
    for _ in range(5):
        assert coordinator.recover() == 1
        coordinator.assign()
    coordinator.preempted(0, "its worker died")
    assert statuses(coordinator) == [TrialStatus.PREEMPTED]
    coordinator.assign()
    coordinator.preempted(0, "its worker died")
    assert statuses(coordinator) == [TrialStatus.FAILED]
    assert coordinator.study.trials[0].reason == "its worker died, 2 times (max_failures)"


def test_nothing_starts_after_the_deadline():
    coordinator, _ = make(deadline_s=3.0)
    assert coordinator.assign() is not None
    assert coordinator.assign() is None
    assert not coordinator.is_idle


def test_a_proposer_may_not_overspend_or_continue_what_is_not_paused():
    suggestion = Suggestion(config=SPACE.default, until=1, decision=Decision(proposer="x"))
    coordinator, _ = make(replace(SPEC, num_trials=1), Stubborn(suggestion))
    coordinator.assign()
    with pytest.raises(StudyFailedError, match="beyond the budget of 1"):
        coordinator.assign()
    coordinator.proposer = Stubborn(replace(suggestion, trial_id=0))
    with pytest.raises(StudyFailedError, match="which is RUNNING, not PAUSED"):
        coordinator.assign()


def test_seeds_differ_between_trials_and_agree_between_runs():
    seeds = []
    for _ in range(2):
        coordinator, _ = make()
        seeds.append([coordinator.assign().seed for _ in range(6)])
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0])) == 6


class CountingStore(MemoryStore):
    """Knows what came in one go."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: list[int] = []

    def append(self, name, *events) -> Study:
        self.groups.append(len(events))
        return super().append(name, *events)


def counting(**changes) -> tuple[Coordinator, CountingStore]:
    store = CountingStore()
    store.create(replace(SPEC, **changes))
    return Coordinator(store=store, name=SPEC.name, proposer=Asha(), clock=Clock()), store


def test_what_arrives_together_is_written_in_one_go():
    coordinator, store = counting(fidelity=FidelityPlan(maximum=1))
    one, other = coordinator.assign(), coordinator.assign()
    before = coordinator.study
    with coordinator.together():
        for segment in (one, other):
            coordinator.measured(segment.trial_id, measure(0.5))
            coordinator.segment_ended(segment.trial_id)
            coordinator.segment_ended(segment.trial_id)
        assert coordinator.study is before
    assert store.groups == [1, 1, 4]
    assert statuses(coordinator) == [TrialStatus.COMPLETED] * 2
    assert store.load("s") == coordinator.study


def test_nothing_is_written_of_what_went_wrong_together():
    coordinator, store = counting()
    coordinator.assign()
    with suppress(ZeroDivisionError), coordinator.together():
        coordinator.measured(0, measure(0.5))
        raise ZeroDivisionError
    assert (store.groups, statuses(coordinator)) == ([1], [TrialStatus.RUNNING])
    coordinator.measured(0, measure(0.7))
    assert coordinator.study.trials[0].measurements[0].metrics == {"value": 0.7}


def test_a_failure_is_written_with_its_measurement_and_an_end_with_all_its_trials():
    coordinator, store = counting()
    for _ in range(3):
        coordinator.assign()
    coordinator.measured(0, measure(math.nan))
    assert store.groups == [1, 1, 1, 2]
    coordinator.recover()
    coordinator.close()
    assert store.groups == [1, 1, 1, 2, 2, 2]


def let_it_end(coordinator: Coordinator, trial: Trial) -> None:
    for fidelity in range(trial.segment.after + 1, trial.until + 1):
        checkpoint = f"{trial.trial_id}/{fidelity}"
        value = (trial.segment.seed % 97) / 97 + fidelity / 10
        coordinator.measured(trial.trial_id, measure(value, fidelity, checkpoint))
    coordinator.segment_ended(trial.trial_id)


FATES = {
    "ends": let_it_end,
    "fails": lambda coordinator, trial: coordinator.failed(trial.trial_id, "x"),
    "oom": lambda coordinator, trial: coordinator.infeasible(trial.trial_id, "out of memory"),
    "dies": lambda coordinator, trial: coordinator.preempted(trial.trial_id, "worker died"),
    "all die": lambda coordinator, trial: coordinator.recover(),
}


def assert_that_what_goes_on_keeps_its_checkpoint(study: Study) -> None:
    kept = kept_checkpoints(study, best=2)
    going_on = study.with_status(TrialStatus.RUNNING, TrialStatus.PAUSED, TrialStatus.PREEMPTED)
    needed = {trial.segment.resume_from for trial in going_on} - {None}
    assert needed <= set(kept)
    assert len(kept) <= len(going_on) + 2


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(sorted(FATES)), st.integers(0, 2)), max_size=30))
def test_whatever_happens_the_budget_is_met_exactly_and_every_trial_ends(fates):
    coordinator, store = make(max_failures=1)
    fates = [*fates, *[("ends", 0)] * 100]
    for fate, index in fates:
        while len(coordinator.study.running) < SPEC.parallel:
            if coordinator.assign() is None:
                break
        if coordinator.is_idle:
            break
        running = coordinator.study.running
        FATES[fate](coordinator, running[index % len(running)])
        assert_that_what_goes_on_keeps_its_checkpoint(coordinator.study)
    assert coordinator.is_idle
    coordinator.close()
    assert len(coordinator.study.trials) == SPEC.num_trials
    assert all(trial.status.is_final for trial in coordinator.study.trials)
    assert store.load("s") == coordinator.study
