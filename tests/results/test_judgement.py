"""Judgements: differences with their noise, and what a user is warned of."""

import json
import math

import numpy as np
import pytest

from lexmove.results.judgement import (
    Calibration,
    Difference,
    Ensemble,
    Judgement,
    Winner,
    warnings_of,
)
from lexmove.results.paired_bootstrap import Contestant, paired_interval
from lexmove.space.search_space import Config

LABELS = np.arange(400) % 2


def contestant(name, *accuracies, seed=0, seeds=None):
    """A classifier whose seeds are right that often, each on examples of its own."""
    rng = np.random.default_rng(seed)
    is_right = {}
    for number, accuracy in enumerate(accuracies):
        right = np.ones(400)
        right[rng.permutation(400)[: round(400 * (1 - accuracy))]] = 0
        is_right[number if seeds is None else seeds[number]] = right
    return Contestant(
        name=name,
        seeds=tuple(is_right),
        score=lambda seed, index: float(is_right[seed][index].mean()),
    )


def interval(one, other):
    return paired_interval(one, other, num_examples=400)


def test_an_interval_holds_both_noises():
    found = interval(contestant("w", 0.8, 0.82, 0.84), contestant("o", 0.7, 0.72, 0.74, seed=1))
    assert found.mean == pytest.approx(0.1)
    assert found.low < 0.1 < found.high
    assert found.num_seeds == 3
    # Of the examples alone, were mistakes independent, for the mean of three seeds:
    # 1.96 · sqrt((.8·.2 + .7·.3) / 400 / 3) = .034; the seeds' differences are all .1.
    assert 0.028 < (found.high - found.low) / 2 < 0.04


def flat(score):
    return Contestant(name="o", seeds=(), score=lambda seed, index: score)


def test_the_seeds_noise_is_students_t_of_their_mean():
    """No noise of examples: a seed scores the same on all."""
    scores = {0: 0.5, 1: 0.6, 2: 0.7}
    noisy = Contestant(name="w", seeds=(0, 1, 2), score=lambda seed, index: scores[seed])
    found = interval(noisy, flat(0.0))
    assert found.mean == pytest.approx(0.6)
    # t(.975, 2) · sd / sqrt(3) = 4.3027 · .1 / 1.7321 = .24842
    assert (found.low, found.high) == pytest.approx((0.35158, 0.84842), abs=1e-5)


@pytest.mark.parametrize("num_seeds", [2, 3, 5])
def test_of_few_seeds_too_the_interval_holds_the_truth_as_often_as_it_says(num_seeds):
    """200 draws of seeds, no noise of examples: .95 ± .045 at three standard deviations.

    A bootstrap of the seeds held it in .50, .75 and .85 of the draws.
    """
    rng, num_held = np.random.default_rng(0), 0
    for _ in range(200):
        scores = rng.normal(0.7, 0.1, num_seeds).tolist()
        noisy = Contestant(
            name="w", seeds=tuple(range(num_seeds)), score=lambda seed, index, of=scores: of[seed]
        )
        found = paired_interval(noisy, flat(0.7), num_examples=1)
        num_held += found.low <= 0 <= found.high
    assert 0.905 <= num_held / 200 <= 0.995


def test_seeds_that_differ_by_their_examples_alone_add_little_to_the_interval():
    """Two seeds of the same accuracy: half of the intervals are those of the examples."""
    reference = contestant("o", 0.7).score(0, np.arange(400))
    halves = []
    for number in range(9):
        found = interval(contestant("w", 0.7, 0.7, seed=number), flat(reference))
        halves.append((found.high - found.low) / 2)
    # 1.96 · sqrt(.7·.3 / 400 / 2) = .032
    assert 0.028 < np.median(halves) < 0.036


def test_of_one_seed_the_interval_is_that_of_the_examples():
    found = interval(contestant("w", 0.7), flat(0.7))
    # 1.96 · sqrt(.7·.3 / 400) = .045
    assert 0.04 < (found.high - found.low) / 2 < 0.05
    assert found.num_seeds == 1
    one = difference("TF-IDF", "test", -0.2, 0.05, num_seeds=1)
    assert one.excludes_zero
    assert not one.is_certain
    (line,) = warned(judgement(one))
    assert "-0.200, 95 % between -0.250 and -0.150, one seed, not counting how far seeds" in line


def test_the_same_answers_are_no_difference():
    found = interval(contestant("w", 0.8, 0.82), contestant("same", 0.8, 0.82))
    assert (found.mean, found.low, found.high) == (0, 0, 0)


def test_only_shared_seeds_are_compared():
    one = contestant("w", 0.9, 0.6, seeds=(1, 2))
    other = contestant("o", 0.6, 0.6, 0.1, seeds=(2, 3, 4))
    found = interval(one, other)
    assert (found.mean, found.num_seeds) == (pytest.approx(0.0), 1)
    assert interval(one, contestant("x", 0.5, seeds=(9,))) is None


def test_what_is_not_random_meets_the_mean_of_the_other_seeds():
    fixed = Contestant(name="reference", seeds=(), score=lambda seed, index: 0.9)
    assert interval(contestant("w", 0.6, 0.7), fixed).mean == pytest.approx(0.65 - 0.9)


def test_draws_without_a_score_are_left_out_and_too_many_leave_no_interval():
    def often(share):
        rng = np.random.default_rng(0)
        return Contestant(
            name="w",
            seeds=(1, 2),
            score=lambda seed, index: 0.5 if rng.random() < share else math.nan,
        )

    assert interval(often(0.9), flat(0.4)).low == pytest.approx(0.1)
    assert interval(often(0.01), flat(0.4)) is None


def test_a_slow_metric_ends_early():
    calls = []

    def slow(seed, index):
        calls.append(seed)
        return 0.5

    one = Contestant(name="w", seeds=(1,), score=slow)
    assert paired_interval(one, flat(0.4), num_examples=400, limit_s=0.0).mean == pytest.approx(0.1)
    assert len(calls) == 51, "fifty draws, and the mean"


def difference(other, split, mean, half, num_seeds=3):
    return Difference(
        other=other,
        split=split,
        mean=mean,
        low=mean - half,
        high=mean + half,
        num_seeds=num_seeds,
    )


def judgement(*differences, winner="trial 3", **fields):
    return Judgement(
        key="k",
        winner=Winner(arm=winner, config=Config({"lr": 0.1}), until=4, trial_id=3),
        differences=differences,
        sizes={"validation": 150, "test": 300},
        **fields,
    )


def warned(found, finalists=("trial 3", "trial 1")):
    return warnings_of(found, finalists=finalists, default="default", reference="TF-IDF")


def test_a_split_without_an_example_of_a_class_is_named():
    found = judgement(absent={"test": ("lease",), "validation": tuple("abcdefg")})
    assert Judgement.from_json(json.loads(json.dumps(found.to_json()))) == found
    (test, validation) = (text for text in warned(found) if "has no example of" in text)
    assert test.startswith("test has no example of class 'lease': one text that is taken for")
    assert (
        "validation has no example of 7 classes 'a', 'b', 'c', 'd', 'e' and 2 more:" in validation
    )


def test_a_winner_that_says_one_class_of_every_text_is_told_first():
    found = judgement(only_class="granted")
    assert Judgement.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert warned(found)[0].startswith("trial 3 says 'granted' of every validation text: nothing")


def test_a_clear_winner_needs_no_warning():
    assert not warned(
        judgement(
            difference("trial 1", "validation", 0.05, 0.03),
            difference("default", "validation", 0.2, 0.05),
            difference("default", "test", 0.2, 0.05),
            difference("TF-IDF", "test", 0.1, 0.05),
        )
    )


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (
            difference("trial 1", "validation", 0.01, 0.03),
            "trial 3 and trial 1 cannot be told apart on validation",
        ),
        (
            difference("default", "test", 0.01, 0.03),
            "the lead over the default config is within noise on test (+0.010, 95 % between"
            " -0.020 and +0.040)",
        ),
        (
            difference("default", "test", 0.1, 0.03, num_seeds=1),
            "the lead over the default config rests on one seed (+0.100, 95 % between +0.070"
            " and +0.130, one seed, not counting how far seeds differ): more would tell",
        ),
        (
            difference("default", "test", -0.2, 0.05),
            "the default config does better on test (-0.200",
        ),
        (difference("TF-IDF", "test", -0.04, 0.03), "TF-IDF does better on test"),
        (difference("TF-IDF", "test", 0.0, 0.0), "TF-IDF does as well on test as the tuned"),
        (difference("TF-IDF", "test", -0.0003, 0.08), "TF-IDF does as well on test as the tuned"),
        (
            # A cost of some thousandths: what is small is small beside its noise.
            difference("TF-IDF", "test", -0.0003, 0.0005),
            "TF-IDF does better on test than the tuned transformer (-0.00030, 95 % between"
            " -0.00080 and +0.00020, within noise)",
        ),
        (
            difference("default", "test", -1500.0, 2500.0),
            "the lead over the default config is within noise on test (-1500, 95 % between -4000"
            " and +1000)",
        ),
        (
            difference("default", "validation", 0.02, 0.05),
            "150 validation examples and 3 seeds are too few for a difference of 0.020: below about"
            " 0.050 it is noise; give more seeds (finalists.seeds), or more examples",
        ),
        (
            difference("default", "validation", 0.02, 0.05, num_seeds=1),
            "validation has 150 examples, too few for a difference of 0.020: below about 0.050 it"
            " is noise; give more of them",
        ),
    ],
)
def test_what_cannot_be_told_is_said(found, wanted):
    (line,) = warned(judgement(found))
    assert line.startswith(wanted)


def test_a_lead_beyond_noise_is_no_tie_however_small_the_metric():
    assert not warned(judgement(difference("TF-IDF", "test", 0.0003, 0.0001)))


def test_gaps_and_a_default_that_wins_are_said():
    lines = warned(judgement(winner="default", gaps=("a node is gone",)))
    assert lines == (
        "a node is gone",
        "no tuned config is better than the default when both are repeated",
    )


@pytest.mark.parametrize(
    ("mean", "wanted"),
    [
        (-0.1, "(-0.100, 95 % between -0.150 and -0.050), and cannot win: only what the search"),
        (-0.01, "(-0.010, 95 % between -0.060 and +0.040, within noise), and cannot win"),
        (0.0, None),
    ],
)
def test_a_comparison_that_repeats_better_is_told(mean, wanted):
    found = judgement(difference("by hand", "validation", mean, 0.05))
    lines = warnings_of(
        found, finalists=["trial 3"], comparisons=["by hand"], default="default", reference=None
    )
    assert len(lines) == (wanted is not None)
    assert all(
        line.startswith(f"the comparison by hand does better on validation than trial 3 {wanted}")
        for line in lines
    )


@pytest.mark.parametrize(("after", "is_said"), [(0.13, True), (0.1001, False), (0.07, False)])
def test_a_calibration_that_does_harm_on_test_is_said(after, is_said):
    fitted = Calibration(temperature=1.5, error_before=0.1, error_after=after)
    lines = warned(judgement(calibration=fitted))
    assert len(lines) == is_said
    assert all("fit the test split less well (0.100 → 0.130)" in line for line in lines)


def test_a_model_that_is_trained_anew_has_the_threshold_from_before_calibration():
    fitted = Calibration(temperature=3.5, error_before=0.1, error_after=0.05)
    moved = 1 / (1 + math.exp(-math.log(0.2 / 0.8) / 3.5))
    assert judgement(threshold=moved, calibration=fitted).raw_threshold == pytest.approx(0.2)
    assert judgement(threshold=0.2).raw_threshold == 0.2
    assert judgement().raw_threshold is None


def test_a_judgement_survives_json():
    full = judgement(
        difference("default", "test", 0.1, 0.05),
        ensemble=Ensemble(num_models=3, validation=0.5, test=0.6, threshold=0.2),
        calibration=Calibration(temperature=1.0, error_before=0.1, error_after=0.1, does_harm=True),
        threshold=0.3,
        model="/m",
        model_scores={"validation": 0.5, "test": 0.4},
        gaps=("one",),
    )
    for item in (full, judgement()):
        assert Judgement.from_json(item.to_json()) == item
    older = full.to_json()
    del older["model_scores"], older["ensemble"]["threshold"], older["calibration"]["does_harm"]
    assert Judgement.from_json(older).model_scores == {}
