"""Studies: the incumbent, prefixes, trajectories and what does not change them."""

import json
import math
import pickle
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexmove.space.domain import Float
from lexmove.space.search_space import Config, Hyperparameter, SearchSpace
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.study import Goal, Incumbent, Study, StudySpec, decision_rng
from lexmove.study.trial import (
    Continued,
    Decision,
    Ended,
    Event,
    Measured,
    Measurement,
    Started,
    TrialStatus,
    event_to_json,
)
from strategies import journals, search_spaces, studies

SPACE = SearchSpace(hyperparameters=(Hyperparameter(name="lr", domain=Float(low=0, high=1)),))


def _study(*happened: tuple[object, ...], goal: Goal = "maximize") -> Study:
    """A study in shorthand: ("start",), (trial, fidelity, value) or (trial, status)."""
    study = Study(spec=StudySpec(name="s", space=SPACE, goal=goal, num_trials=5))
    for seq, what in enumerate(happened):
        study = study.with_event(_event(study, seq, what))
    return study


def _event(study: Study, seq: int, what: tuple[object, ...]) -> Event:
    match what:
        case ("start",):
            return Started(
                seq=seq,
                at_s=float(seq),
                trial_id=len(study.trials),
                config=Config({"lr": 0.5}),
                until=9,
                seed=0,
                decision=Decision(proposer="random"),
            )
        case (int(trial_id), int(fidelity), float(value)):
            measurement = Measurement(fidelity=fidelity, metrics={"value": value, "loss": 1.0})
            return Measured(seq=seq, at_s=float(seq), trial_id=trial_id, measurement=measurement)
        case (int(trial_id), TrialStatus() as status):
            return Ended(seq=seq, at_s=float(seq), trial_id=trial_id, status=status)
    raise AssertionError(what)


def _lines(study: Study) -> list[str]:
    return [event_to_json(event) for event in study.events]


@given(journals(), st.randoms(use_true_random=False))
def test_events_make_the_same_study_in_any_order(
    journal: tuple[StudySpec, tuple[Event, ...]], shuffle: random.Random
) -> None:
    spec, events = journal
    shuffled = [*events, *events[:3]]
    shuffle.shuffle(shuffled)
    assert _lines(Study.from_events(spec, shuffled)) == [event_to_json(e) for e in events]


@given(journals())
def test_the_prefix_of_a_journal_is_the_study_at_that_time(
    journal: tuple[StudySpec, tuple[Event, ...]],
) -> None:
    spec, events = journal
    whole = Study.from_events(spec, events)
    study = Study(spec=spec)
    for count, event in enumerate(events):
        assert _lines(study) == _lines(whole.prefix(count))
        assert study.num_events == whole.prefix(count).num_events == count
        assert study.incumbent == whole.prefix(count).incumbent
        study = study.with_event(event)
    assert _lines(study) == _lines(whole)
    assert whole.prefix(10_000).num_events == whole.num_events


@given(journals())
def test_replaying_a_prefix_changes_nothing(
    journal: tuple[StudySpec, tuple[Event, ...]],
) -> None:
    study = Study.from_events(*journal)
    for event in journal[1]:
        assert study.with_event(event) is study


@given(studies)
def test_a_study_leaves_its_past_as_it_was(study: Study) -> None:
    before = _lines(study)
    started = _event(study, study.num_events, ("start",))
    after = study.with_event(started)
    assert _lines(study) == before
    assert len(after.trials) == len(study.trials) + 1


def _best_by_hand(study: Study) -> Incumbent | None:
    sign = 1 if study.spec.goal == "maximize" else -1
    counted = [
        (-sign * m.metrics["value"], trial.trial_id, m.fidelity, m.metrics["value"])
        for trial in study.trials
        if trial.status not in (TrialStatus.FAILED, TrialStatus.INFEASIBLE)
        for m in trial.measurements
        if math.isfinite(m.metrics["value"])
    ]
    if not counted:
        return None
    _, trial_id, fidelity, value = min(counted)
    return Incumbent(trial_id=trial_id, fidelity=fidelity, value=value)


@given(studies)
def test_the_incumbent_is_the_best_finite_measurement_of_trials_that_count(study: Study) -> None:
    assert study.incumbent == _best_by_hand(study)


@given(studies)
def test_the_ranking_has_every_trial_that_counts_once_best_first(study: Study) -> None:
    ids = [item.trial_id for item in study.ranking]
    scores = [study.sign * item.value for item in study.ranking]
    assert sorted(set(ids)) == sorted(ids)
    assert scores == sorted(scores, reverse=True)
    scored = {trial.trial_id for trial in study.trials if study.best_score(trial) is not None}
    assert set(ids) == scored


@given(studies)
def test_the_incumbent_ignores_the_order_of_arrival(study: Study) -> None:
    """The same trials, their measurements coming one trial after the other, last trial first."""
    started = [event for event in study.events if isinstance(event, Started)]
    others = [event for event in reversed(study.trials) for event in event.events[1:]]
    again = Study(spec=study.spec)
    for seq, event in enumerate([*started, *others]):
        again = again.with_event(type(event)(**{**_fields(event), "seq": seq}))
    assert again.incumbent == study.incumbent
    assert again.ranking == study.ranking


@given(studies)
def test_a_study_that_grows_knows_what_one_read_whole_knows(study: Study) -> None:
    grown = Study(spec=study.spec)
    for event in study.events:
        # Whatever was asked is carried on from event to event.
        _ = grown.ranking, grown.decisions, list(map(grown.realised_gain, grown.trials))
        grown = grown.with_event(event)
    whole = Study.from_events(study.spec, study.events)
    assert grown.ranking == whole.ranking
    assert grown.decisions == whole.decisions
    for one, other in zip(grown.trials, whole.trials, strict=True):
        assert grown.realised_gain(one) == whole.realised_gain(other)


@given(studies)
def test_the_best_was_reached_at_the_end_of_the_trajectory(study: Study) -> None:
    if _measured_once(study):
        started = study.trajectory[-1][0] if study.trajectory else 0
        assert study.num_started_at_best == started


def test_a_trial_travels_without_what_was_derived_from_it() -> None:
    trial = _study(("start",), (0, 1, 0.5)).trials[0]
    assert trial.derive("key", lambda: 3) == trial.derive("key", lambda: 4) == 3
    again = pickle.loads(pickle.dumps(trial))
    assert again == trial
    assert not again.derived


def _fields(event: Event) -> dict[str, object]:
    return {name: getattr(event, name) for name in type(event).__dataclass_fields__}


@given(studies)
def test_the_trajectory_rises_to_the_incumbent(study: Study) -> None:
    values = [study.sign * value for _, value in study.trajectory]
    assert values == sorted(set(values))
    counts = [count for count, _ in study.trajectory]
    assert counts == sorted(counts)
    assert all(1 <= count <= len(study.trials) for count in counts)
    if study.incumbent is None:
        assert values == []
    elif _measured_once(study):
        assert values[-1] == study.sign * study.incumbent.value


def _measured_once(study: Study) -> bool:
    return all(
        sum(isinstance(event, Measured) for event in trial.events) == len(trial.measurements)
        for trial in study.trials
    )


@given(studies)
def test_the_realised_gain_is_over_the_incumbent_when_the_trial_started(study: Study) -> None:
    for trial in study.trials:
        before = study.prefix(trial.events[0].seq).incumbent
        reached = study.best_score(trial)
        gain = study.realised_gain(trial)
        if before is None or reached is None:
            assert gain is None
        else:
            assert gain == pytest.approx(reached - study.sign * before.value)


@given(studies)
def test_statuses_are_those_of_the_events(study: Study) -> None:
    assert sum(len(study.with_status(status)) for status in TrialStatus) == len(study.trials)
    assert study.running == study.with_status(TrialStatus.RUNNING)
    for trial in study.trials:
        ended = [event for event in trial.events if isinstance(event, Ended | Continued)]
        last = ended[-1] if ended else None
        assert trial.status == (last.status if isinstance(last, Ended) else TrialStatus.RUNNING)


@given(studies)
def test_decisions_are_those_of_starts_and_of_deliberate_continuations(study: Study) -> None:
    carried = [event for event, _ in study.decisions]
    assert [event.seq for event in carried] == sorted(event.seq for event in carried)
    assert sum(isinstance(event, Started) for event in carried) == len(study.trials)
    assert all(decision is event.decision for event, decision in study.decisions)


@given(
    search_spaces(),
    st.sampled_from(["maximize", "minimize"]),
    st.none() | st.integers(2, 4),
    st.none() | st.floats(1.0, 1e7),
)
def test_a_spec_comes_back_from_json(
    space: SearchSpace, goal: Goal, eta: int | None, wall_clock_s: float | None
) -> None:
    plan = FidelityPlan(maximum=27, eta=eta, first=3)
    spec = StudySpec(
        name="s",
        space=space,
        goal=goal,
        fidelity=plan,
        job='{"a": 1}',
        seed=3,
        wall_clock_s=wall_clock_s,
    )
    assert StudySpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_failed_infeasible_and_nan_never_win() -> None:
    study = _study(
        *[("start",)] * 4,
        (0, 1, 0.9),
        (0, TrialStatus.FAILED),
        (1, 1, 0.8),
        (1, TrialStatus.INFEASIBLE),
        (2, 1, math.nan),
        (2, 2, math.inf),
        (3, 1, 0.1),
        (3, TrialStatus.STOPPED),
    )
    assert study.incumbent == Incumbent(trial_id=3, fidelity=1, value=0.1)
    assert [study.score_at(trial, 1) for trial in study.trials] == [None, None, None, 0.1]


def test_ties_go_to_the_earlier_trial_and_the_lower_fidelity() -> None:
    study = _study(("start",), ("start",), (1, 1, 0.5), (0, 3, 0.5), (0, 2, 0.5))
    assert study.incumbent == Incumbent(trial_id=0, fidelity=2, value=0.5)


def test_where_less_is_better_the_lowest_wins() -> None:
    study = _study(("start",), (0, 1, 0.5), ("start",), (1, 1, 0.2), (1, 2, 0.3), goal="minimize")
    assert study.incumbent == Incumbent(trial_id=1, fidelity=1, value=0.2)
    assert study.trajectory == ((1, 0.5), (2, 0.2))
    assert study.realised_gain(study.trials[1]) == pytest.approx(0.3)
    assert study.realised_gain(study.trials[0]) is None
    assert study.score_at(study.trials[1], 2) == -0.3
    assert study.score_at(study.trials[1], 9) is None


def test_a_metric_that_was_not_measured_is_no_score() -> None:
    spec = StudySpec(name="s", space=SPACE, metric="f1_macro")
    study = Study.from_events(spec, _study(("start",), (0, 1, 0.5)).events)
    assert study.incumbent is None
    assert study.score_at(study.trials[0], 1) is None


def test_the_budget_counts_trials_started() -> None:
    assert _study().num_trials_left == 5
    assert _study(*[("start",)] * 4).num_trials_left == 1
    assert _study(*[("start",)] * 6).num_trials_left == 0


def test_a_gain_counts_what_led_then_though_it_failed_later() -> None:
    study = _study(
        ("start",),
        (0, 1, 0.4),
        ("start",),
        (1, 1, 0.7),
        ("start",),
        (1, TrialStatus.FAILED),
        ("start",),
        (2, 1, 0.8),
        (3, 1, 0.8),
    )
    assert study.realised_gain(study.trials[1]) is None
    assert study.realised_gain(study.trials[2]) == pytest.approx(0.1)
    assert study.realised_gain(study.trials[3]) == pytest.approx(0.4)


def test_the_generator_is_a_function_of_seed_and_history() -> None:
    one, other = _study(("start",)), _study(("start",), (0, 1, 0.5))
    assert decision_rng(one).random() == decision_rng(_study(("start",))).random()
    assert decision_rng(one).random() != decision_rng(other).random()
