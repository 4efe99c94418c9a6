"""Predictions: probabilities, decisions, and what is calibrated on validation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lexmove.trials.prediction import (
    DecisionRule,
    expected_calibration_error,
    fitted_temperature,
    negative_log_likelihood,
)

LOGITS = arrays(
    np.float64, st.tuples(st.integers(1, 30), st.integers(2, 6)), elements=st.floats(-9, 9)
)


@given(logits=LOGITS, temperature=st.floats(0.1, 10))
def test_probabilities_of_classes_add_up_and_keep_their_order(logits, temperature):
    rule = DecisionRule(is_multi_label=False, temperature=temperature)
    probabilities = rule.probabilities(logits)
    assert probabilities.sum(axis=1) == pytest.approx(1)
    best = logits[np.arange(len(logits)), rule.decide(probabilities)]
    assert best == pytest.approx(logits.max(axis=1), abs=1e-9)


@given(logits=LOGITS, threshold=st.floats(0.05, 0.95), seed=st.integers(0, 2**32))
def test_a_temperature_changes_no_decision_on_labels(logits, threshold, seed):
    labels = np.random.default_rng(seed).integers(0, 2, logits.shape)
    raw = DecisionRule(is_multi_label=True, threshold=threshold)
    fitted = raw.with_temperature(logits, labels)
    far = np.abs(raw.probabilities(logits) - threshold) > 1e-6
    before = raw.decide(raw.probabilities(logits))
    after = fitted.decide(fitted.probabilities(logits))
    assert (before == after)[far].all()


@pytest.mark.parametrize("several", [False, True])
def test_few_examples_that_are_told_apart_perfectly_do_not_call_for_certainty(several):
    logits = np.array([[4.0, -4.0], [-4.0, 4.0]] * 20)
    labels = (logits > 0).astype(np.int64) if several else np.array([0, 1] * 20)
    rule = DecisionRule(is_multi_label=several).with_temperature(logits, labels)
    # One more wrong answer among 42 is thought possible.
    assert rule.probabilities(logits).max() == pytest.approx(1 - 0.5 / 42, abs=2e-3)


def test_a_threshold_stays_below_one_however_cold_it_gets():
    rule = DecisionRule(is_multi_label=True, threshold=0.9)
    logits = np.array([[2.5, -2.5]] * 5000)
    fitted = rule.with_temperature(logits, np.array([[1, 0]] * 5000))
    # Measured .27.
    assert fitted.temperature < 0.5
    assert 0.99 < fitted.threshold < 1
    assert fitted.decide(fitted.probabilities(logits)).tolist() == [[1, 0]] * 5000


@pytest.mark.parametrize("several", [False, True])
def test_the_temperature_undoes_overconfidence(several):
    """Logits five times too large: 5 makes them honest again."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 4)) * 1.5
    rule = DecisionRule(is_multi_label=several)
    honest = rule.probabilities(logits)
    if several:
        labels = (rng.random(honest.shape) < honest).astype(np.int64)
    else:
        labels = (honest.cumsum(axis=1) < rng.random((4000, 1))).sum(axis=1)
    temperature = fitted_temperature(5 * logits, labels)
    # Measured 4.85 and 4.91.
    assert temperature == pytest.approx(5, rel=0.1)
    before = expected_calibration_error(rule.probabilities(5 * logits), labels)
    after = expected_calibration_error(rule.probabilities(5 * logits / temperature), labels)
    # Measured .277 to .019 and .195 to .006.
    assert after < 0.04 < 0.15 < before
    assert negative_log_likelihood(logits, labels) < negative_log_likelihood(5 * logits, labels)


def test_calibration_error_of_a_case_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    labels = np.array([0, 1, 0, 0])
    # At .9 half are right, at .6 all.
    assert expected_calibration_error(probabilities, labels) == pytest.approx((0.4 + 0.4) / 2)


def test_the_threshold_is_the_one_that_scores_most_and_the_nearest_to_half_of_ties():
    logits = np.log(
        np.array([[0.3], [0.25], [0.1], [0.05]]) / (1 - np.array([[0.3], [0.25], [0.1], [0.05]]))
    )
    labels = np.array([[1], [1], [0], [0]])
    rule = DecisionRule(is_multi_label=True)
    fitted = rule.with_threshold(logits, lambda predicted: float((predicted == labels).mean()))
    assert fitted.threshold == pytest.approx(0.24)
    assert (fitted.decide(fitted.probabilities(logits)) == labels).all()
    same = rule.with_threshold(logits, lambda predicted: 0.0)
    assert same.threshold == pytest.approx(0.5)


@given(logits=LOGITS)
def test_a_fitted_threshold_is_never_worse_than_half(logits):
    labels = (logits > 1).astype(np.int64)
    rule = DecisionRule(is_multi_label=True)

    def score(predicted):
        return float((predicted == labels).mean())

    half = score(rule.decide(rule.probabilities(logits)))
    fitted = rule.with_threshold(logits, score)
    assert score(fitted.decide(fitted.probabilities(logits))) >= half
