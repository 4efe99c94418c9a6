"""The reference classifier learns and is scored like the model."""

from lexmove.trials.metrics import METRICS
from lexmove.trials.tasks.reference import reference_scores
from lexmove.trials.tasks.task import load_task


def test_the_reference_learns_and_repeats_itself(small_task):
    task = load_task(small_task)
    scores = reference_scores(task)
    assert set(scores.validation) == set(scores.test) == set(METRICS)
    # Three balanced classes: chance is .33; measured .73 and .87.
    assert scores.validation["f1_macro"] > 0.5
    assert scores.test["f1_macro"] > 0.5
    assert reference_scores(task) == scores
