"""Continuing paused trials: what the score says, how curves are read, and that it pays."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.landscapes import finish, floats, new_study, newest, play, start
from lexmove.agent.continuation import (
    MAX_CONTINUED,
    Curve,
    choose_continuations,
    log_gain_per_epoch,
    read_curve,
)
from lexmove.agent.encoding import Encoding
from lexmove.agent.floor import FloorProposer
from lexmove.agent.history import read_history
from lexmove.agent.observation import observe
from lexmove.agent.proposer import PolicyProposer
from lexmove.agent.surrogate import Prediction, Surrogate
from lexmove.study.allowance import affordable, expected_epochs
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.study import Study, decision_rng
from lexmove.study.trial import Decision, Suggestion

PLAN = FidelityPlan(maximum=27, eta=2, promotion="gain_per_epoch")
MEANS = st.floats(-3, 3)
STDS = st.floats(0.01, 2)


def _gain(mean: float, std: float, epochs: float) -> float:
    both = np.full((2, 1), 1.0)
    prediction = Prediction(means=mean * both, stds=std * both, gains=both[0], gain_stds=both[0])
    return float(log_gain_per_epoch(prediction, np.zeros(2), np.array([epochs]))[0])


@given(MEANS, STDS, st.integers(1, 100), st.integers(1, 100))
def test_half_the_epochs_are_twice_the_gain_per_epoch(
    mean: float, std: float, epochs: int, factor: int
) -> None:
    difference = _gain(mean, std, epochs) - _gain(mean, std, factor * epochs)
    assert difference == pytest.approx(np.log(factor))


@given(MEANS, MEANS, STDS, STDS)
def test_a_better_or_less_certain_end_promises_more(
    one: float, other: float, std: float, larger: float
) -> None:
    low, high = sorted((one, other))
    assert _gain(high, std, 5) >= _gain(low, std, 5) - 1e-9
    narrow, wide = sorted((std, larger))
    assert _gain(low, wide, 5) >= _gain(low, narrow, 5) - 1e-9


def _study(values: list[list[float]]) -> Study:
    """Trials along a line, each paused after its last value; values are those at the rungs."""
    space = floats(1)
    study = new_study(space, fidelity=PLAN, num_trials=100)
    for trial_id, curve in enumerate(values):
        config = space.from_unit(np.array([(trial_id + 0.5) / len(values)]))
        for rung, value in zip(PLAN.rungs, curve, strict=False):
            is_first = rung == PLAN.rungs[0]
            suggestion = Suggestion(
                config=config,
                until=rung,
                decision=Decision(proposer="test"),
                trial_id=None if is_first else trial_id,
            )
            study = finish(start(study, suggestion), trial_id, value)
    return study


def _chosen(study: Study) -> list[int]:
    encoding = Encoding(study.spec.space)
    surrogate = Surrogate(read_history(study, encoding), encoding)
    return [item.trial.trial_id for item in choose_continuations(study, surrogate)]


def test_the_trial_with_the_better_curve_goes_on() -> None:
    assert _chosen(_study([[0.1], [0.2], [0.7], [0.15], [0.1], [0.05]]))[0] == 2


def _predicted_ends(study: Study) -> np.ndarray:
    encoding = Encoding(study.spec.space)
    surrogate = Surrogate(read_history(study, encoding), encoding)
    units = surrogate.history.tried
    return surrogate.predict(units, np.ones(len(units))).gains + study.incumbent.value


def test_a_trials_own_last_value_informs_what_is_predicted_of_its_end() -> None:
    curves = [[0.1, 0.2, 0.3], [0.2, 0.3], [0.7, 0.8, 0.9], [0.3, 0.45], [0.1], [0.05]]
    before = _predicted_ends(_study(curves))
    curves[3].append(0.75)
    after = _predicted_ends(_study(curves))
    assert np.argmax(after - before) == 3


def test_the_best_of_many_are_on_offer() -> None:
    values = np.linspace(0.0, 1.0, 3 * MAX_CONTINUED) ** 2
    offered = _chosen(_study([[float(value)] for value in values]))
    assert len(offered) == len(set(offered)) == MAX_CONTINUED
    assert int(np.argmax(values)) in offered


VALUES = st.lists(st.floats(-1, 1), min_size=1, max_size=4)


@settings(max_examples=15)
@given(st.lists(VALUES, min_size=1, max_size=12))
def test_every_continuation_on_offer_can_be_chosen_and_afforded(curves: list[list[float]]) -> None:
    study = _study(curves)
    observation = observe(study, decision_rng(study))
    payable = {trial.trial_id for trial in affordable(study)}
    offered = [c for c in observation.candidates if c.kind == "continue"]
    assert {candidate.trial_id for candidate in offered} == payable == set(range(len(curves)))
    for candidate in offered:
        trial = study.trials[candidate.trial_id]
        assert candidate.config == trial.config
        assert candidate.until == PLAN.next_rung(trial.fidelity)
    num_filled = len(observation.candidates)
    assert observation.mask[:num_filled].all()
    assert (np.diff(observation.prior_logits[:num_filled]) <= 0).all()
    assert np.isfinite(observation.features).all()


def test_the_untrained_policy_continues_as_the_floor_does() -> None:
    study = new_study(floats(2), fidelity=replace(PLAN, maximum=4), num_trials=10)
    floor, policy = FloorProposer(), PolicyProposer()
    num_continued = 0
    while (chosen := floor.propose(study, decision_rng(study))) is not None:
        same = policy.propose(study, decision_rng(study))
        assert (same.config, same.until, same.trial_id) == (
            chosen.config,
            chosen.until,
            chosen.trial_id,
        )
        num_continued += chosen.trial_id is not None
        study = start(study, chosen)
        study = finish(study, newest(study, chosen), float(chosen.config["x0"]) * chosen.until)
    assert num_continued > 3


def test_curves_are_read_at_their_end() -> None:
    study = _study([[0.1, 0.3, 0.7], [0.0, 0.2, 0.3], [0.5]])
    assert read_curve(study, None) == Curve()
    first, second, third = (read_curve(study, trial) for trial in study.trials)
    # Both are the only ones measured at 8 epochs; their values there lie .4 apart.
    assert first.last_rank == 1.0
    assert first.slope == pytest.approx(0.4 / 0.4)
    assert first.curvature == pytest.approx((0.4 - 0.2) / 0.4)
    assert second.last_rank == 0.5
    assert second.curvature == pytest.approx((0.1 - 0.2) / 0.4)
    assert third == Curve(last_rank=1.0)


@pytest.mark.parametrize("maximum", [4, 9])
def test_a_budget_in_trials_is_met_and_costs_what_was_planned(maximum: int) -> None:
    plan = replace(PLAN, maximum=maximum)
    study = new_study(floats(2), fidelity=plan, num_trials=12)
    study = play(study, FloorProposer(), lambda config: float(config["x0"]))
    assert len(study.trials) == 12
    spent = sum(trial.fidelity for trial in study.trials)
    assert 0.8 * expected_epochs(plan, 12) <= spent <= expected_epochs(plan, 12)
    assert affordable(study) == ()
