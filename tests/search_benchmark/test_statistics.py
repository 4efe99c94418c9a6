"""The benchmark's statistics: hand-made figures, and properties that must hold for any scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import trim_mean

from benchmarks.search.statistics import (
    NUM_RESAMPLES,
    _tasks_and_seeds,
    _within_tasks,
    average_ranks,
    interquartile_mean,
    iqm,
    iqm_difference,
    mean_difference,
    probability_of_improvement,
    shared,
)

# Each example draws thousands of resamples.
few = settings(max_examples=12)

regrets = st.floats(0.0, 2.0).map(lambda value: round(value, 4))


@st.composite
def arms(draw: st.DrawFn, num_arms: int) -> list[dict[tuple[str, int], float]]:
    """Scores of arms on the same pairs, with as many seeds per task as it happens."""
    counts = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    pairs = [(f"task {t}", seed) for t, count in enumerate(counts) for seed in range(count)]
    return [{pair: draw(regrets) for pair in pairs} for _ in range(num_arms)]


def scores(**rows: list[float]) -> dict[tuple[str, int], float]:
    return {(task, seed): value for task, row in rows.items() for seed, value in enumerate(row)}


def test_the_interquartile_mean_by_hand():
    assert interquartile_mean(np.array([9.0, 1, 2, 3])) == 2.5
    assert interquartile_mean(np.array([5.0, 1, 3])) == 3.0
    assert interquartile_mean(np.array([100.0, 0, 1, 2, 3, 4, 5, -100])) == 2.5
    assert interquartile_mean(np.array([[1.0, 2, 3, 9], [4, 4, 4, 4]])).tolist() == [2.5, 4.0]


@given(st.lists(regrets, min_size=1, max_size=40))
def test_the_interquartile_mean_is_scipys_trimmed_mean(values):
    assert interquartile_mean(np.array(values)) == pytest.approx(trim_mean(values, 0.25))


def test_ranks_by_hand():
    ranks = average_ranks(
        {
            "a": scores(x=[0.1, 0.5], y=[0.2]),
            "b": scores(x=[0.2, 0.5], y=[0.1]),
            "c": scores(x=[0.3, 0.9], y=[0.3, 0.0]),
        }
    )
    assert ranks == pytest.approx({"a": 4.5 / 3, "b": 4.5 / 3, "c": 3.0})
    assert average_ranks({}) == {}
    assert average_ranks({"a": scores(x=[0.1]), "b": scores(y=[0.1])}) == {}


@given(arms(3))
def test_ranks_sum_to_those_of_an_order(rows):
    ranks = average_ranks(dict(zip("abc", rows, strict=True)))
    assert sum(ranks.values()) == pytest.approx(6.0)


def test_the_probability_of_improvement_by_hand():
    ours, theirs = scores(x=[0.1, 0.3], y=[0.5]), scores(x=[0.2, 0.3], y=[0.4])
    # x: .1 beats both, .3 loses to .2 and ties with .3; y: lost.
    assert probability_of_improvement(ours, theirs).value == pytest.approx((2.5 / 4 + 0.0) / 2)


@few
@given(arms(2))
def test_the_probabilities_of_both_directions_sum_to_one(rows):
    ours, theirs = rows
    there = probability_of_improvement(ours, theirs)
    back = probability_of_improvement(theirs, ours)
    assert there.value + back.value == pytest.approx(1.0)
    assert 0.0 <= there.low <= there.high <= 1.0


def test_only_the_pairs_of_both_arms_count():
    ours, theirs = scores(x=[0.1, 0.2, 0.9], y=[0.3]), scores(x=[0.2, 0.4], z=[0.0])
    assert shared(ours, theirs) == (("x", 0), ("x", 1))
    difference = mean_difference(ours, theirs)
    assert difference.value == pytest.approx(-0.15)
    assert difference.num_pairs == 2
    assert iqm_difference(ours, theirs).num_pairs == 2


@few
@given(arms(1), st.floats(-0.5, 0.5))
def test_a_constant_gap_is_known_exactly(rows, gap):
    (ours,) = rows
    theirs = {pair: value + gap for pair, value in ours.items()}
    for difference in (iqm_difference(ours, theirs), mean_difference(ours, theirs)):
        assert (difference.value, difference.low, difference.high) == pytest.approx((-gap,) * 3)


@few
@given(arms(2))
def test_a_difference_turns_its_sign_with_its_arms(rows):
    ours, theirs = rows
    for compare in (iqm_difference, mean_difference):
        there, back = compare(ours, theirs), compare(theirs, ours)
        assert there.value == pytest.approx(-back.value)
        assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


@few
@given(arms(1))
def test_intervals_stay_within_the_scores_and_repeat(rows):
    (ours,) = rows
    estimate = iqm(ours, shared(ours))
    assert min(ours.values()) - 1e-9 <= estimate.low <= estimate.high <= max(ours.values()) + 1e-9
    assert iqm(ours, shared(ours)) == estimate


def test_the_interval_of_one_task_is_the_textbooks():
    """For many seeds of one task the bootstrap of a mean is the normal interval."""
    rng = np.random.default_rng(0)
    ours = {("x", seed): float(value) for seed, value in enumerate(rng.normal(0, 1, 400))}
    zeros = dict.fromkeys(ours, 0.0)
    estimate = mean_difference(ours, zeros)
    half = 1.96 * np.std(list(ours.values())) / 20
    assert estimate.high - estimate.value == pytest.approx(half, rel=0.1)
    assert estimate.value - estimate.low == pytest.approx(half, rel=0.1)


@few
@given(arms(1))
def test_resamples_keep_to_their_strata(rows):
    pairs = shared(rows[0])
    tasks = np.array([task for task, _ in pairs])
    within = _within_tasks(pairs, np.random.default_rng(0))
    assert within.shape == (NUM_RESAMPLES, len(pairs))
    assert (np.sort(tasks[within], axis=1) == np.sort(tasks)).all()
    both = _tasks_and_seeds(pairs, np.random.default_rng(0))
    per_task = both.shape[1] // len(set(tasks))
    blocks = tasks[both].reshape(NUM_RESAMPLES, -1, per_task)
    assert (blocks == blocks[:, :, :1]).all()
    assert set(both.ravel()) == set(range(len(pairs)))
