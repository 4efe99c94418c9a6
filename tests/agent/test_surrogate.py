"""The Gaussian processes against textbook formulas, and how a study becomes their data."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import check_grad

from agent.landscapes import (
    FOUR,
    MIXED,
    config_of,
    finish,
    floats,
    new_study,
    random_study,
    rungs,
    start,
)
from lexmove.agent.acquisition import floor_scores, log_expected_improvement
from lexmove.agent.encoding import Encoding
from lexmove.agent.gaussian_process import (
    GaussianProcess,
    Hyper,
    fit,
    forget_fits,
    negative_log_posterior,
    pairs,
)
from lexmove.agent.history import read_history
from lexmove.agent.surrogate import MAX_ROWS, Surrogate, num_fitted, yeo_johnson
from lexmove.space.search_space import Config, SearchSpace
from lexmove.study.study import Study
from lexmove.study.trial import Decision, Suggestion, TrialStatus
from strategies import search_spaces

GROUPS = np.array([0, 1, 1, 2])


def _data(num_points: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.random((num_points, 4)), rng.standard_normal(num_points)


def _started(study: Study, config: Config, until: int = 1) -> Study:
    decision = Decision(proposer="test")
    return start(study, Suggestion(config=config, until=until, decision=decision))


def test_posterior_equals_the_textbook_formula() -> None:
    Z, y = _data()
    hyper = Hyper(log_lengths=np.log([0.4, 0.9, 2.0]), log_signal=0.3, log_noise=-3.0)
    scale = np.exp(-hyper.log_lengths)[GROUPS]

    def k(one: np.ndarray, other: np.ndarray) -> float:
        r = np.linalg.norm((one - other) * scale)
        return np.exp(0.3) * (1 + 5**0.5 * r + 5 * r * r / 3) * np.exp(-(5**0.5) * r)

    new = np.random.default_rng(4).random((5, 4))
    K = np.array([[k(a, b) for b in Z] for a in Z]) + np.exp(-3.0) * np.eye(len(Z))
    k_new = np.array([[k(a, b) for b in Z] for a in new])
    mean, std = GaussianProcess(Z, y, groups_E=GROUPS, hyper=hyper).predict(new)
    assert mean == pytest.approx(k_new @ np.linalg.inv(K) @ y, abs=1e-6)
    variance = np.exp(0.3) - np.einsum("mn,nk,mk->m", k_new, np.linalg.inv(K), k_new)
    assert std == pytest.approx(np.sqrt(variance), abs=1e-6)


def test_leave_one_out_equals_refitting_without_the_point() -> None:
    Z, y = _data()
    hyper = Hyper(log_lengths=np.log([0.4, 0.9, 2.0]), log_signal=0.0, log_noise=-2.0)
    means = GaussianProcess(Z, y, groups_E=GROUPS, hyper=hyper).leave_one_out()
    for i in range(len(y)):
        rest = np.arange(len(y)) != i
        one = GaussianProcess(Z[rest], y[rest], groups_E=GROUPS, hyper=hyper)
        assert means[i] == pytest.approx(one.predict(Z[i : i + 1])[0][0], abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_gradient_of_the_log_posterior(seed: int) -> None:
    Z, y = _data()
    every = pairs(Z, GROUPS)
    theta = np.random.default_rng(seed).normal(-0.5, 0.7, size=5)
    gap = check_grad(
        lambda t: negative_log_posterior(t, every, y)[0],
        lambda t: negative_log_posterior(t, every, y)[1],
        theta,
    )
    assert gap < 1e-4


def test_fit_finds_the_dimension_that_matters() -> None:
    rng = np.random.default_rng(0)
    Z = rng.random((40, 3))
    y = np.sin(6 * Z[:, 1])
    lengths = fit(Z, (y - y.mean()) / y.std(), np.arange(3)).log_lengths
    assert lengths[1] < min(lengths[0], lengths[2]) - 1.0


def test_fit_thins_a_long_history() -> None:
    rng = np.random.default_rng(0)
    Z = rng.random((200, 2))
    y = Z[:, 0] - 0.5
    mean, _ = GaussianProcess(Z, y, groups_E=np.arange(2), hyper=fit(Z, y, np.arange(2))).predict(
        np.array([[0.2, 0.5], [0.8, 0.5]])
    )
    assert mean == pytest.approx([-0.3, 0.3], abs=0.05)


def test_predictions_do_not_depend_on_how_many_are_made_at_once() -> None:
    Z, y = _data(num_points=200)
    process = GaussianProcess(Z, y, groups_E=GROUPS, hyper=fit(Z, y, GROUPS))
    new = np.random.default_rng(4).random((500, 4))
    one_by_one = [process.predict(point[None]) for point in new]
    means, stds = process.predict(new)
    assert means == pytest.approx(np.concatenate([mean for mean, _ in one_by_one]))
    assert stds == pytest.approx(np.concatenate([std for _, std in one_by_one]))


def test_yeo_johnson_straightens_a_skewed_history_and_keeps_the_order() -> None:
    values = np.random.default_rng(0).exponential(size=60)
    values = (values - values.mean()) / values.std()
    warped = yeo_johnson(values)
    assert np.array_equal(np.argsort(warped), np.argsort(values))

    def skew(x: np.ndarray) -> float:
        return abs(float(np.mean(((x - x.mean()) / x.std()) ** 3)))

    assert skew(warped) < 0.4 * skew(values)


def test_log_expected_improvement_matches_sampling_and_stays_finite() -> None:
    draws = np.random.default_rng(0).normal(0.2, 0.7, size=400_000)
    expected = np.log(np.maximum(draws - 0.5, 0).mean())
    assert log_expected_improvement(np.array([0.2]), np.array([0.7]), 0.5)[0] == pytest.approx(
        expected, abs=0.01
    )
    far = log_expected_improvement(np.array([-100.0, -101.0]), np.ones(2), 0.0)
    assert np.all(np.isfinite(far))
    assert far[0] > far[1]
    edge = log_expected_improvement(np.array([-5.999, -6.001]), np.ones(2), 0.0)
    assert edge[0] == pytest.approx(edge[1], abs=0.03)


def test_an_inactive_dimension_is_told_from_one_active_at_its_default() -> None:
    encoding = Encoding(MIXED)
    off = MIXED.to_unit(MIXED.config({"use_lora": False}))
    on = MIXED.to_unit(MIXED.config({"use_lora": True}))
    Z = encoding.embed(np.stack([off, on]))
    differing = encoding.groups[np.abs(Z[0] - Z[1]) > 0]
    names = [item.name for item in MIXED.searched]
    assert {names[i] for i in differing} == {"use_lora", "rank"}


def test_two_values_of_a_categorical_are_one_apart() -> None:
    encoding = Encoding(FOUR)
    assert encoding.enumerated is not None
    Z = encoding.embed(encoding.enumerated)
    gaps = pairs(Z, encoding.groups).distances
    assert set(np.round(gaps.ravel(), 12)) == {0.0, 1.0}


def test_snapping_agrees_with_the_space() -> None:
    encoding = Encoding(MIXED)
    points = encoding.snap(np.random.default_rng(0).random((200, encoding.num_dims)))
    for units in points:
        config = MIXED.from_unit(units)
        assert MIXED.to_unit(config) == pytest.approx(units, abs=1e-12)
    forbidden = [MIXED.is_forbidden(MIXED.from_unit(units)) for units in points]
    assert encoding.forbidden(points).tolist() == forbidden
    assert any(forbidden)


@given(space=search_spaces(), seed=st.integers(0, 99))
def test_what_is_active_and_forbidden_agrees_with_the_space(space: SearchSpace, seed: int) -> None:
    """Also where constants are a part of some configs only, and from stored, rounded points."""
    assume(space.searched)
    encoding = Encoding(space)
    points = encoding.snap(np.random.default_rng(seed).random((20, encoding.num_dims)))
    configs = [space.from_unit(units) for units in points]
    active = [[item.name in config for item in space.searched] for config in configs]
    assert encoding.active(points).tolist() == active
    assert encoding.active(_rounded(encoding, points)).tolist() == active
    assert encoding.forbidden(points).tolist() == [space.is_forbidden(item) for item in configs]
    for units in points:
        moved = encoding.config(units, origin=configs[0])
        assert space.complete(moved) == moved
        assert space.to_unit(moved) == pytest.approx(units)


def _rounded(encoding: Encoding, points: np.ndarray) -> np.ndarray:
    """As memory keeps them: to four digits, which may be too few for hundreds of levels."""
    return np.where(encoding.levels <= 200, points.round(4), points)


def test_units_of_many_configs_are_those_of_the_space() -> None:
    configs = [MIXED.default, *(config_of(MIXED, seed) for seed in range(30))]
    units = Encoding(MIXED).units(configs)
    assert units == pytest.approx(np.stack([MIXED.to_unit(config) for config in configs]))


def test_the_encoding_of_a_space_is_made_once() -> None:
    space = floats(3)
    assert Encoding.of(space) is Encoding.of(space)
    assert Encoding.of(floats(3)) is not Encoding.of(space)


def test_failures_count_as_the_worst_and_running_trials_are_pending() -> None:
    study = random_study(floats(2), num_trials=12)
    history = read_history(study, Encoding(study.spec.space))
    assert history.failed.sum() == 3
    assert np.all(history.scores[history.failed] == history.scores.min())
    assert len(history.pending) == 1
    assert len(history.scores) == 11


def test_pending_trials_lower_the_uncertainty_around_them_and_not_the_mean() -> None:
    study = random_study(floats(2), num_trials=12)
    encoding = Encoding(study.spec.space)
    running = study.trials[-1]
    point = study.spec.space.to_unit(running.config)[None]
    without = Surrogate(read_history(study.prefix(running.events[0].seq), encoding), encoding)
    pending = Surrogate(read_history(study, encoding), encoding)
    before, after = without.predict(point, np.ones(1)), pending.predict(point, np.ones(1))
    assert np.all(after.stds < 0.7 * before.stds)
    assert after.means == pytest.approx(before.means, abs=1e-3)


def test_trials_stopped_early_inform_the_end() -> None:
    """Curves rise by 0.5 on the way: a good start beats, at the end, a worse finished trial."""
    study = new_study(floats(1), fidelity=rungs(maximum=9), num_trials=20)
    for x in np.linspace(0, 1, 8):
        trial_id = len(study.trials)
        study = finish(_started(study, Config({"x0": float(x)})), trial_id, float(x), fidelity=1)
    for trial_id in (0, 3):
        # The worst and a middling trial go on to the end.
        x = float(study.trials[trial_id].config["x0"])
        resumed = Suggestion(
            config=study.trials[trial_id].config,
            until=9,
            decision=Decision(proposer="test"),
            trial_id=trial_id,
        )
        study = finish(start(study, resumed), trial_id, x + 0.5, fidelity=9)
    encoding = Encoding(study.spec.space)
    surrogate = Surrogate(read_history(study, encoding), encoding)
    prediction = surrogate.predict(np.array([[0.05], [0.95]]), np.ones(2))
    assert prediction.means[0, 1] > prediction.means[0, 0] + 1.0
    # The incumbent is at 1.0 after the first rung; a config at 0.95 will reach about 1.45.
    assert prediction.gains[1] == pytest.approx(0.45, abs=0.15)
    assert (
        floor_scores(prediction, surrogate.best, rule="EI")[1]
        > floor_scores(prediction, surrogate.best, rule="EI")[0]
    )


def test_the_processes_see_the_best_and_the_latest_of_a_long_history() -> None:
    study = random_study(
        floats(1), num_trials=MAX_ROWS + 150, landscape=lambda config: float(config["x0"])
    )
    encoding = Encoding(study.spec.space)
    history = read_history(study, encoding)
    assert len(history.scores) == MAX_ROWS + 149
    assert study.incumbent is not None
    assert history.scores.max() == study.incumbent.value
    surrogate = Surrogate(history, encoding)
    # Failures are among the rows, and have no target.
    assert surrogate.targets.shape[1] < MAX_ROWS < history.num_scored
    point = history.tried[[study.incumbent.trial_id]]
    raw_mean = surrogate.predict(point, np.ones(1)).means[0, 0]
    assert raw_mean > np.median(surrogate.targets[0])


def test_what_was_measured_is_seen_before_failures() -> None:
    """Failures count as the worst score, which here all have."""
    study = new_study(floats(2), num_trials=2 * MAX_ROWS)
    for index in range(MAX_ROWS + 20):
        study = _started(study, config_of(study.spec.space, index))
        study = finish(study, index, 0.5 if index % 10 == 9 else None)
    encoding = Encoding(study.spec.space)
    surrogate = Surrogate(read_history(study, encoding), encoding)
    assert len(surrogate.scored) == study.counts[TrialStatus.COMPLETED]


@pytest.mark.parametrize("scale", [1e-13, 1e13])
def test_the_scale_of_the_objective_is_none_of_its_business(scale: float) -> None:
    def targets(factor: float) -> list[list[float]]:
        study = random_study(
            floats(2), num_trials=12, landscape=lambda config: factor * float(config["x0"])
        )
        encoding = Encoding(study.spec.space)
        told: list[list[float]] = Surrogate(
            read_history(study, encoding), encoding
        ).targets.tolist()
        return told

    assert targets(scale) == targets(1.0)


def test_rows_come_in_the_order_in_which_they_were_known() -> None:
    """What a trial reached stands behind what later trials had reached before it."""
    study = _study_of(MIXED, num_trials=3)
    for trial_id, value in ((2, 0.3), (0, 0.1)):
        study = finish(study, trial_id, value)
    history = read_history(study, Encoding(MIXED))
    assert history.trial_ids.tolist() == [2, 0]
    assert history.scores.tolist() == [0.3, 0.1]


def _study_of(space: SearchSpace, *, num_trials: int) -> Study:
    study = new_study(space, parallel=num_trials)
    for seed in range(num_trials):
        study = _started(study, config_of(space, seed))
    return study


def test_length_scales_are_fitted_on_a_geometric_schedule() -> None:
    lengths = [num_fitted(num_rows) for num_rows in range(400)]
    assert lengths[:11] == list(range(11))
    assert all(fitted <= num_rows for num_rows, fitted in enumerate(lengths))
    later = sorted(set(lengths[10:]))
    assert all(after <= 1.25 * before + 1 for before, after in pairwise(later))
    assert len(later) < 20


def test_a_process_that_saw_the_study_grow_predicts_as_one_that_did_not() -> None:
    study = random_study(floats(3), num_trials=30)
    encoding = Encoding(study.spec.space)
    points = np.random.default_rng(0).random((5, 3))

    def means(num_events: int) -> list[list[float]]:
        history = read_history(study.prefix(num_events), encoding)
        return Surrogate(history, encoding).predict(points, np.ones(5)).means.tolist()

    grown = [means(num_events) for num_events in range(1, study.num_events + 1)]
    forget_fits()
    assert means(study.num_events) == grown[-1]
    assert means(20) == grown[19]
