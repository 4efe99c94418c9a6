"""Where trials fail: learned from the failures alone, and kept away from."""

from collections.abc import Mapping

import numpy as np
import pytest

from agent.landscapes import config_of, finish, floats, new_study, play, start
from lexmove.agent.encoding import Array, Encoding
from lexmove.agent.feasibility import Feasibility
from lexmove.agent.features import FEATURE_NAMES
from lexmove.agent.floor import FloorProposer
from lexmove.agent.history import read_history
from lexmove.agent.observation import observe
from lexmove.agent.surrogate import Surrogate
from lexmove.space.domain import Value
from lexmove.study.study import Study, decision_rng
from lexmove.study.trial import Decision, Suggestion, TrialStatus

SQUARE = floats(2)


def _feasibility(units: Array, failed: Array) -> Feasibility:
    every = np.arange(len(units))
    return Feasibility(Encoding(SQUARE), units, failed, kept=every, num_fitted=len(units))


def test_without_a_failure_every_config_is_feasible() -> None:
    units = np.random.default_rng(0).random((10, 2))
    assert _feasibility(units, np.zeros(10, dtype=bool))(units).tolist() == [1.0] * 10
    nothing = _feasibility(np.empty((0, 2)), np.zeros(0, dtype=bool))
    assert nothing(units).tolist() == [1.0] * 10


def test_a_boundary_along_one_hyperparameter_is_found() -> None:
    units = np.random.default_rng(0).random((40, 2))
    feasibility = _feasibility(units, units[:, 0] > 0.7)
    across = np.linspace(0.0, 1.0, 6)
    for x, low, high in ((0.3, 0.95, 1.0), (0.9, 0.0, 0.05)):
        probabilities = feasibility(np.stack([np.full(6, x), across], axis=1))
        assert np.all((low <= probabilities) & (probabilities <= high)), (x, probabilities)


def test_failures_without_a_cause_shut_nothing_out() -> None:
    rng = np.random.default_rng(3)
    units = rng.random((60, 2))
    feasibility = _feasibility(units, rng.random(60) < 0.15)
    assert feasibility(rng.random((200, 2))).min() > 0.5


def test_where_everything_failed_what_is_far_away_is_likelier_to_hold() -> None:
    feasibility = _feasibility(np.array([[0.1, 0.1], [0.2, 0.1]]), np.ones(2, dtype=bool))
    near, far = feasibility(np.array([[0.15, 0.1], [0.9, 0.9]]))
    assert near < 0.1 < far


def _ended(study: Study, seed: int, value: float | None) -> Study:
    suggestion = Suggestion(
        config=config_of(SQUARE, seed), until=1, decision=Decision(proposer="test")
    )
    study = start(study, suggestion)
    return finish(study, len(study.trials) - 1, value)


def test_a_failure_changes_no_predicted_score_and_leaves_less_to_find_out() -> None:
    study = new_study(SQUARE)
    for seed in range(8):
        study = _ended(study, seed, float(config_of(SQUARE, seed)["x0"]))
    failed = _ended(study, 99, None)
    encoding = Encoding(SQUARE)
    before, after = (Surrogate(read_history(each, encoding), encoding) for each in (study, failed))
    there = SQUARE.to_unit(config_of(SQUARE, 99))[None]
    points = np.concatenate([there, np.random.default_rng(1).random((20, 2))])
    one, other = before.predict(points, np.ones(21)), after.predict(points, np.ones(21))
    assert other.means == pytest.approx(one.means, abs=1e-6)
    assert np.all(other.stds[:, 0] < 0.7 * one.stds[:, 0])
    assert after.feasibility(there)[0] < 0.1


def test_candidates_amid_failures_come_last() -> None:
    """Scores rise up to the failures, and would be the best among them."""
    study = new_study(SQUARE)
    for seed in range(24):
        x = float(config_of(SQUARE, seed)["x0"])
        study = _ended(study, seed, None if x > 0.6 else x)
    observation = observe(study, decision_rng(study))
    places = observation.units[:, 0]
    assert np.any(places > 0.8)
    assert places[:4].max() < 0.7
    crash = observation.features[: len(places), FEATURE_NAMES.index("crash_probability")]
    assert crash[places > 0.8].min() > crash[:4].max()


@pytest.mark.parametrize("seed", range(3))
def test_the_floor_finds_an_optimum_beside_a_cliff(seed: int) -> None:
    """Four in ten configs fail, and the best one lies .02 from them."""

    def landscape(config: Mapping[str, Value]) -> float | None:
        x, y = float(config["x0"]), float(config["x1"])
        return None if x > 0.6 else -((x - 0.58) ** 2) - (y - 0.3) ** 2

    study = play(new_study(SQUARE, num_trials=30, seed=seed), FloorProposer(), landscape)
    assert study.incumbent is not None
    assert study.incumbent.value > -1e-3
    # Chance would fail twelve times.
    assert 0 < len(study.with_status(TrialStatus.FAILED)) < 12
