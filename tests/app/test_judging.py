"""Judging: differences with their noise, and what a user is warned of."""

import numpy as np
import pytest

from lexmove.app.judging import _Answers, _Arm, _Judge
from lexmove.results.judgement import Calibration, Difference, Ensemble, Judgement, warnings_of
from lexmove.trials.tasks.examples import Examples
from lexmove.trials.tasks.task import TaskData

LABELS = np.arange(400) % 2
SPLIT = Examples(texts=("t",) * 400, labels=LABELS)
TASK = TaskData(name="t", labels=("a", "b"), train=SPLIT, validation=SPLIT, test=SPLIT)


def arm(name, *accuracies, seed=0):
    """A classifier whose seeds are right that often, on texts of their own."""
    rng = np.random.default_rng(seed)
    decisions = []
    for accuracy in accuracies:
        wrong = rng.permutation(400)[: round(400 * (1 - accuracy))]
        answer = LABELS.copy()
        answer[wrong] = 1 - answer[wrong]
        decisions.append(answer)
    answers = _Answers(probabilities=[np.eye(2)[each] for each in decisions], decisions=decisions)
    return _Arm(name=name, answers={"test": answers}, trials=[None] * len(decisions))


def judge(metric="accuracy", sign=1.0):
    return _Judge(task=TASK, metric=metric, sign=sign)


def test_a_difference_has_both_noises_in_its_interval():
    winner, other = arm("w", 0.8, 0.82, 0.84), arm("o", 0.7, 0.72, 0.74, seed=1)
    (found,) = judge().differences(winner, [other], "test")
    assert found.mean == pytest.approx(0.1)
    assert found.low < 0.1 < found.high
    assert found.is_certain
    # Two accuracies on 400 texts alone, averaged over three seeds whose mistakes are independent:
    # 1.96 · sqrt((.8·.2 + .7·.3) / 400 / 3) = .034; the seeds themselves add to it. Measured .051.
    assert 0.025 < (found.high - found.low) / 2 < 0.07


def test_the_same_answers_are_no_difference():
    winner, same = arm("w", 0.8, 0.82), arm("same", 0.8, 0.82)
    (found,) = judge().differences(winner, [same], "test")
    assert (found.mean, found.low, found.high) == (0, 0, 0)
    assert not found.is_certain


def test_one_answer_is_compared_with_the_mean_of_several():
    (found,) = judge().differences(arm("w", 0.6, 0.7), [arm("reference", 0.9, seed=2)], "test")
    assert found.mean == pytest.approx(0.65 - 0.9)
    assert found.high < 0


def test_what_is_to_be_small_counts_the_other_way_round():
    winner, other = arm("w", 0.8), arm("o", 0.7, seed=1)
    (found,) = judge(sign=-1.0).differences(winner, [other], "test")
    assert found.mean == pytest.approx(-0.1)


def difference(other, split, mean, half):
    return Difference(other=other, split=split, mean=mean, low=mean - half, high=mean + half)


def judgement(*differences, winner="trial 3"):
    sizes = {"validation": 150, "test": 300}
    return Judgement(winner=winner, differences=differences, sizes=sizes)


def warned(found, finalists=("trial 3", "trial 1")):
    return warnings_of(found, finalists=finalists, default="default", reference="TF-IDF")


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
        (difference("TF-IDF", "test", -0.04, 0.03), "TF-IDF scores higher on test"),
        (
            difference("default", "validation", 0.02, 0.05),
            "validation has 150 examples, too few for a difference of 0.020: below about 0.050",
        ),
    ],
)
def test_what_cannot_be_told_is_said(found, wanted):
    (line,) = warned(judgement(found))
    assert line.startswith(wanted)


def test_a_default_that_wins_is_said():
    (line,) = warned(judgement(winner="default"))
    assert line == "no tuned config is better than the default when both are repeated"


def test_a_judgement_survives_json():
    full = Judgement(
        winner="trial 3",
        differences=(difference("default", "test", 0.1, 0.05),),
        sizes={"validation": 1, "test": 2},
        ensemble=Ensemble(num_models=3, validation=0.5, test=0.6),
        calibration=Calibration(temperature=1.5, error_before=0.1, error_after=0.05),
        threshold=0.3,
        model="/m",
    )
    for item in (full, judgement()):
        assert Judgement.from_json(item.to_json()) == item
