"""Class by class: scikit-learn's own figures, and what a class is taken for."""

import json

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from app.judged_study import run_study, url
from lexmove.app import stored
from lexmove.app.by_class import class_scores
from lexmove.app.evidence import Repetition
from lexmove.app.reporting import write_report
from lexmove.cli.result_view import write_result
from lexmove.results.wording import NOTHING, class_rows
from lexmove.trials.prediction import DecisionRule
from lexmove.trials.tasks.examples import Examples
from lexmove.trials.tasks.task import TaskData

NAMES = ("market", "credit", "operational", "none of these")
RNG = np.random.default_rng(0)
LOGITS = [RNG.normal(size=(50, 4)) - [0, 0, 0, 9] for _ in range(3)]  # the last is never said


def task_with(labels: np.ndarray) -> TaskData:
    split = Examples(texts=tuple(f"text {i}" for i in range(len(labels))), labels=labels)
    return TaskData(name="made", labels=NAMES, train=split, validation=split, test=split)


def members(rule: DecisionRule) -> dict[int, Repetition]:
    return {
        seed: Repetition(trial=None, rule=rule, logits={"test": logits})
        for seed, logits in enumerate(LOGITS)
    }


@pytest.mark.parametrize("is_multi_label", [False, True])
def test_scores_are_those_of_scikit_learn(is_multi_label: bool) -> None:
    rule = DecisionRule(is_multi_label=is_multi_label)
    shape = (50, 4) if is_multi_label else 50
    labels = RNG.integers(0, 2 if is_multi_label else 3, shape)
    found = class_scores(task_with(labels), members(rule))
    decided = [rule.decide(rule.probabilities(logits)) for logits in LOGITS]
    theirs = np.mean(
        [
            precision_recall_fscore_support(labels, each, labels=range(4), zero_division=0)[:3]
            for each in decided
        ],
        axis=0,
    )
    assert tuple(item.name for item in found) == NAMES
    for at, item in enumerate(found[:3]):
        assert (item.precision, item.recall, item.f1) == pytest.approx(tuple(theirs[:, at]))
    assert found[3].precision is None, "it is never said"
    if is_multi_label:
        assert found[3].recall == 0.0
        assert {item.taken_for for item in found} == {None}
        return
    assert (found[3].examples, found[3].recall, found[3].f1) == (0, None, None)
    matrix = np.mean([confusion_matrix(labels, each, labels=range(4)) for each in decided], axis=0)
    np.fill_diagonal(matrix, 0)
    for row, item in zip(matrix, found, strict=True):
        assert item.num_taken == pytest.approx(row.max())
        assert item.taken_for == (NAMES[row.argmax()] if row.any() else None)


def test_of_many_classes_the_lowest_are_shown_by_their_size() -> None:
    found = class_scores(
        task_with(np.repeat([0, 1, 2], [30, 15, 5])), members(DecisionRule(is_multi_label=False))
    )
    rows = class_rows(found, most=3, say=str.upper)
    assert [row[0] for row in rows][-1] == "NONE OF THESE"
    assert [int(row[1]) for row in rows] == sorted((int(row[1]) for row in rows), reverse=True)
    assert rows[-1][2:] == [NOTHING] * 4
    taken = next(item for item in found if item.name.upper() == rows[0][0])
    assert (
        rows[0][5] == f"{taken.taken_for.upper()} ({100 * taken.num_taken / taken.examples:.0f} %)"
    )


def test_best_and_the_page_show_them(tmp_path, capsys) -> None:
    outcome = run_study(tmp_path)
    assert [item.name for item in outcome.judgement.classes] == ["lease", "tax"]
    again = stored.load("s", store=url(tmp_path))
    assert again.judgement.classes == outcome.judgement.classes
    told = json.loads(json.dumps(again.best_json(), allow_nan=False))["classes"]
    assert [item["examples"] for item in told] == [
        item.examples for item in again.judgement.classes
    ]
    write_result(again)
    said = capsys.readouterr().out
    assert "The winner on test, class by class (mean of its seeds)" in said
    write_report(["s"], tmp_path / "page.html", store=url(tmp_path))
    page = (tmp_path / "page.html").read_text()
    assert "mostly taken for" in page
    assert "The winner on test, class by class: the mean of its seeds." in page
