"""Cost: how long configs train is learned, and weighs where time is the limit and only there."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr

from agent.landscapes import finish, floats, new_study, rungs, start
from lexmove.agent.baselines import RandomProposer, make_proposer
from lexmove.agent.cost import Cost
from lexmove.agent.encoding import Encoding
from lexmove.agent.history import read_history
from lexmove.agent.observation import observe
from lexmove.space.domain import Value
from lexmove.space.search_space import SearchSpace
from lexmove.study.study import Study, StudySpec, decision_rng
from lexmove.study.trial import Event, Measured, Started

Array = NDArray[np.float64]

HOUR_S = 3600.0


def _cost(units: Array, paces: Array) -> Cost:
    encoding = Encoding.of(floats(units.shape[1]))
    return Cost(encoding, units, paces, num_fitted=len(units))


def _points(num: int, num_dims: int = 2) -> Array:
    return np.random.default_rng(0).random((num, num_dims))


@pytest.mark.parametrize(
    "paces",
    [
        np.full(8, np.nan),
        np.array([3.0, 9.0, *[np.nan] * 6]),
        np.full(8, 4.0),
    ],
    ids=["none known", "two known", "all alike"],
)
def test_without_anything_to_tell_configs_apart_none_costs_more(paces):
    units = _points(8)
    assert _cost(units, paces)(units).tolist() == [0.0] * 8


def test_no_trials_cost_nothing():
    assert _cost(np.empty((0, 2)), np.empty(0))(_points(3)).tolist() == [0.0] * 3


def test_the_pace_of_configs_is_learned_with_its_scale():
    units = _points(30)
    paces = 20.0 * 100.0 ** units[:, 0] * np.random.default_rng(1).lognormal(0.0, 0.1, 30)
    paces[::5] = np.nan
    across = np.stack([np.linspace(0, 1, 11), np.full(11, 0.5)], axis=1)
    said = _cost(units, paces)(across)
    assert spearmanr(said, across[:, 0])[0] > 0.99
    # A factor of 100 in truth; the ends of the range are extrapolated.
    assert 50 < np.exp(said[-1] - said[0]) < 150


def test_without_a_limit_of_time_nothing_is_weighed():
    """The same trials, of 1 s to 4 min each, with and without."""
    study, floor = _paused_at_two_paces(None), make_proposer("floor")
    slow = Study.from_events(study.spec, _ten_times_slower(study))
    assert np.isnan(read_history(slow, Encoding.of(study.spec.space)).paces).all()
    assert floor.propose(study, decision_rng(study)) == floor.propose(slow, decision_rng(slow))


def _ten_times_slower(study: Study) -> list[Event]:
    return [
        replace(
            event,
            measurement=replace(event.measurement, duration_s=10 * event.measurement.duration_s**2),
        )
        if isinstance(event, Measured)
        else event
        for event in study.events_since(0)
    ]


def _paused_at_two_paces(wall_clock_s: float | None) -> Study:
    """Six trials at the first rung, in pairs alike but for their time and the third dimension."""
    space = floats(3)
    study = new_study(
        space,
        num_trials=60,
        wall_clock_s=wall_clock_s,
        fidelity=replace(rungs(), promotion="gain_per_epoch"),
    )
    suggestion = RandomProposer().propose(study, np.random.default_rng(0))
    assert suggestion is not None
    for index, x in enumerate([0.2, 0.2, 0.5, 0.5, 0.8, 0.8]):
        slow = float(index % 2)
        config = space.config({"x0": x, "x1": 0.5, "x2": slow})
        study = start(study, replace(suggestion, config=config))
        study = finish(study, index, x, duration_s=100.0 if slow else 10.0)
    return study


def test_a_longer_budget_leaves_earlier_decisions_as_they_were():
    study = _after(StudySpec(name="s", space=_space(), num_trials=30, wall_clock_s=900.0), 900.0)
    longer, floor = replace(study.spec, num_trials=60), make_proposer("floor")
    events = study.events_since(0)
    starts = [event for event in events if isinstance(event, Started)]
    assert len(starts) > 10
    for start_event in starts:
        before = Study.from_events(longer, [item for item in events if item.seq < start_event.seq])
        suggestion = floor.propose(before, decision_rng(before))
        assert suggestion is not None
        assert suggestion.config == start_event.config
        assert suggestion.decision == start_event.decision


def test_the_move_log_says_that_seconds_were_weighed():
    study = _after(StudySpec(name="s", space=_space(), num_trials=30, wall_clock_s=900.0), 900.0)
    experts = {trial.decision.expert for trial in study.trials}
    assert "floor:EI_per_second" in experts
    assert not experts & {"floor:EI", "floor:UCB"}


def test_the_quicker_of_two_equal_trials_goes_on_where_time_is_the_limit():
    observation = observe(_paused_at_two_paces(HOUR_S / 2), np.random.default_rng(0))
    logits = {
        candidate.trial_id: logit
        for candidate, logit in zip(
            observation.candidates, observation.prior_logits.tolist(), strict=False
        )
        if candidate.trial_id is not None
    }
    assert logits[4] > logits[5]
    assert logits[2] >= logits[3]


def _value(config: Mapping[str, Value]) -> float:
    return -((float(config["x0"]) - 0.7) ** 2 + (float(config["x1"]) - 0.3) ** 2)


def _seconds(config: Mapping[str, Value]) -> float:
    """From a tenth of a minute to ten minutes, by what does nothing for the value."""
    return 6.0 * 100.0 ** float(config["x2"])


def _after(spec: StudySpec, limit_s: float) -> Study:
    """A study that the floor has played until so much time, or its trials, were spent."""
    study, spent_s, floor = Study(spec=spec), 0.0, make_proposer("floor")
    while spent_s < limit_s:
        suggestion = floor.propose(study, decision_rng(study))
        if suggestion is None:
            break
        took_s = _seconds(suggestion.config)
        study = start(study, suggestion)
        spent_s += took_s
        if spent_s <= limit_s:
            study = finish(
                study, len(study.trials) - 1, _value(suggestion.config), duration_s=took_s
            )
    return study


def _space() -> SearchSpace:
    return floats(3)


def test_within_the_same_time_more_is_tried_and_the_best_is_better():
    """Measured: 8 of 8 seeds end better, with 9 to 22 times as many trials."""
    better = []
    for seed in range(4):
        blind = StudySpec(name="s", space=_space(), num_trials=200, seed=seed)
        told = replace(blind, wall_clock_s=HOUR_S / 2)
        studies = [_after(spec, HOUR_S / 2) for spec in (blind, told)]
        best = [study.incumbent.value for study in studies if study.incumbent]
        better.append(best[1] > best[0])
        assert len(studies[1].trials) > 3 * len(studies[0].trials)
    assert sum(better) >= 3
