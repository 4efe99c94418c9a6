"""Metrics: scikit-learn's own figures, their bounds, LexGLUE's column, and the user's functions."""

import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lexmove.errors import TrialFailedError, UsageError
from lexmove.trials.measuring import check_metric, evaluate, measure, resolve_metric
from lexmove.trials.metrics import METRICS
from lexmove.trials.own_code_loading import settled_name

TRUE = np.array([0, 0, 1, 2, 2, 2])
PROBABILITIES = np.array(
    [
        [0.8, 0.1, 0.1],
        [0.3, 0.5, 0.2],
        [0.2, 0.6, 0.2],
        [0.1, 0.2, 0.7],
        [0.1, 0.1, 0.8],
        [0.4, 0.3, 0.3],
    ]
)
PREDICTED = PROBABILITIES.argmax(axis=1)

TRUE_SETS = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 0]])
SET_PROBABILITIES = np.array([[0.9, 0.3, 0.1], [0.2, 0.6, 0.2], [0.6, 0.4, 0.1], [0.8, 0.1, 0.3]])
PREDICTED_SETS = (SET_PROBABILITIES > 0.5).astype(np.int64)


@st.composite
def predictions(draw):
    """True and predicted labels and probabilities, of one class per text or of several."""
    size, num_labels = draw(st.integers(2, 30)), draw(st.integers(2, 5))
    is_multi_label = draw(st.booleans())
    shape = (size, num_labels) if is_multi_label else (size,)
    labels = arrays(
        np.int64, shape, elements=st.integers(0, 1 if is_multi_label else num_labels - 1)
    )
    weights = draw(arrays(np.float64, (size, num_labels), elements=st.floats(0.01, 1)))
    total = 1 if is_multi_label else weights.sum(axis=1, keepdims=True)
    return draw(labels), draw(labels), weights / total


def test_metrics_of_one_class_per_text_are_those_of_scikit_learn():
    one_hot = np.eye(3, dtype=int)[TRUE]
    assert evaluate(TRUE, PREDICTED, PROBABILITIES) == pytest.approx(
        {
            "f1_macro": sklearn.metrics.f1_score(TRUE, PREDICTED, average="macro"),
            "f1_micro": sklearn.metrics.f1_score(TRUE, PREDICTED, average="micro"),
            "accuracy": 4 / 6,
            "mcc": sklearn.metrics.matthews_corrcoef(TRUE, PREDICTED),
            "auprc": sklearn.metrics.average_precision_score(one_hot, PROBABILITIES),
        }
    )


def test_metrics_of_one_class_per_text_by_hand():
    found = evaluate(TRUE, PREDICTED, PROBABILITIES)
    # F1: 2·1/(2+2), 2·1/(2+1), 2·2/(2+3).
    assert found["f1_macro"] == pytest.approx((1 / 2 + 2 / 3 + 4 / 5) / 3)
    # Right 4 of 6; true counts 2, 1, 3; predicted counts 2, 2, 2: (4·6-12) / sqrt((36-14)(36-12)).
    assert found["mcc"] == pytest.approx((24 - 12) / math.sqrt(22 * 24))
    # Class 0 is found at ranks 1 and 3, class 1 at rank 1, class 2 at ranks 1, 2 and 3.
    assert found["auprc"] == pytest.approx(((1 + 2 / 3) / 2 + 1 + 1) / 3)


def test_metrics_of_several_labels_are_those_of_scikit_learn_by_hand_where_it_has_none():
    found = evaluate(TRUE_SETS, PREDICTED_SETS, SET_PROBABILITIES)
    assert found == pytest.approx(
        {
            # A label that is never there and never given scores 0.
            "f1_macro": (4 / 5 + 2 / 3 + 0) / 3,
            "f1_micro": 6 / 8,
            "accuracy": 2 / 4,
            # The third label, which no text has, says nothing about either of these.
            "mcc": np.mean(
                [
                    sklearn.metrics.matthews_corrcoef(TRUE_SETS[:, i], PREDICTED_SETS[:, i])
                    for i in (0, 1)
                ]
            ),
            "auprc": sklearn.metrics.average_precision_score(
                TRUE_SETS[:, :2], SET_PROBABILITIES[:, :2]
            ),
        }
    )
    for name, average in (("f1_macro", "macro"), ("f1_micro", "micro")):
        wanted = sklearn.metrics.f1_score(
            TRUE_SETS, PREDICTED_SETS, average=average, zero_division=0
        )
        assert found[name] == pytest.approx(wanted)


@given(prediction=predictions())
def test_metrics_stay_in_their_range_in_every_case(prediction):
    for no_label_column in (False, True):
        found = evaluate(*prediction, no_label_column=no_label_column)
        assert set(found) == set(METRICS)
        for name, value in found.items():
            assert (-1 if name == "mcc" else 0) <= value <= 1 + 1e-12, name


@given(prediction=predictions(), seed=st.integers(0, 2**32))
def test_the_order_of_examples_changes_nothing(prediction, seed):
    order = np.random.default_rng(seed).permutation(len(prediction[0]))
    shuffled = evaluate(*(each[order] for each in prediction))
    assert shuffled == pytest.approx(evaluate(*prediction))


@given(prediction=predictions())
def test_a_perfect_prediction_scores_one_where_every_class_occurs(prediction):
    labels, _, probabilities = prediction
    num_labels = probabilities.shape[1]
    if labels.ndim == 1:
        labels = np.concatenate([labels, np.arange(num_labels)])
        certain = np.eye(num_labels)[labels]
    else:
        labels = np.concatenate([labels, np.eye(num_labels, dtype=np.int64)])
        certain = labels.astype(np.float64)
    assert evaluate(labels, labels, certain) == pytest.approx(dict.fromkeys(METRICS, 1.0))


@pytest.mark.parametrize(
    ("true", "predicted", "wanted"),
    [
        ([0, 0], [0, 0], {"f1_macro": 1, "f1_micro": 1, "accuracy": 1, "mcc": 0, "auprc": 1}),
        ([0, 1], [0, 0], {"f1_macro": 1 / 3, "f1_micro": 0.5, "accuracy": 0.5, "mcc": 0}),
        ([0, 0], [0, 1], {"f1_macro": 1 / 3, "f1_micro": 0.5, "accuracy": 0.5, "mcc": 0}),
        (
            [[0, 0], [0, 0]],
            [[0, 0], [0, 0]],
            {"f1_macro": 0, "f1_micro": 0, "accuracy": 1, "mcc": 0, "auprc": 0},
        ),
        (
            [[1, 0], [1, 0]],
            [[1, 0], [1, 0]],
            {"f1_macro": 0.5, "f1_micro": 1, "accuracy": 1, "mcc": 0, "auprc": 1},
        ),
    ],
)
def test_degenerate_cases_have_the_values_they_are_documented_with(true, predicted, wanted):
    found = evaluate(np.array(true), np.array(predicted), np.full((2, 2), 0.5))
    assert {name: found[name] for name in wanted} == pytest.approx(wanted)


def test_a_label_that_is_the_only_one_is_scored_like_one_of_several():
    true, predicted = np.array([[1], [1], [0], [0]]), np.array([[1], [0], [0], [0]])
    found = evaluate(true, predicted, np.array([[0.9], [0.2], [0.3], [0.1]]))
    assert found == pytest.approx(
        {
            "f1_macro": 2 / 3,
            "f1_micro": 2 / 3,
            "accuracy": 3 / 4,
            "mcc": (4 * 1 - 2 * 1) / math.sqrt(2 * 2 * 1 * 3),
            "auprc": (1 + 2 / 3) / 2,
        }
    )


def test_constant_probabilities_score_the_share_of_a_class():
    true = np.array([0, 0, 0, 1])
    found = evaluate(true, np.zeros(4, dtype=np.int64), np.tile([0.75, 0.25], (4, 1)))
    assert found["auprc"] == pytest.approx((3 / 4 + 1 / 4) / 2)


def test_texts_without_a_label_count_as_lexglue_counts_them():
    true = np.array([[1, 0], [0, 0], [0, 0], [0, 1]])
    predicted = np.array([[1, 0], [0, 0], [0, 0], [0, 0]])
    probabilities = np.where(predicted == 1, 0.9, 0.1)
    without = evaluate(true, predicted, probabilities)
    with_column = evaluate(true, predicted, probabilities, no_label_column=True)
    assert without["f1_macro"] == pytest.approx((1 + 0) / 2)
    assert without["f1_micro"] == pytest.approx(2 / 3)
    # The column is [0, 1, 1, 0] in truth and [0, 1, 1, 1] in prediction: an F1 of 4/5.
    assert with_column["f1_macro"] == pytest.approx((1 + 0 + 4 / 5) / 3)
    assert with_column["f1_micro"] == pytest.approx(2 * 3 / (2 * 3 + 1 + 1))
    for name in ("accuracy", "mcc", "auprc"):
        assert with_column[name] == without[name]


def test_a_model_that_says_nothing_is_right_about_texts_without_a_label():
    nothing, probabilities = np.zeros((3, 2), dtype=np.int64), np.full((3, 2), 0.1)
    found = evaluate(nothing, nothing, probabilities, no_label_column=True)
    assert found["f1_micro"] == 1
    assert found["f1_macro"] == pytest.approx(1 / 3)
    assert measure(nothing, nothing, probabilities, metric="f1_micro", no_label_column=True) == 1
    assert measure(nothing, nothing, probabilities, metric="f1_micro") == 0


def test_the_column_means_nothing_where_every_text_has_one_class():
    plain = evaluate(TRUE, PREDICTED, PROBABILITIES)
    assert evaluate(TRUE, PREDICTED, PROBABILITIES, no_label_column=True) == plain


COSTS = """
import numpy as np

WEIGHT = 3

def missed(true, predicted, probabilities):
    return np.float64(WEIGHT * (true != predicted).mean())

def of_sets(true, predicted, probabilities):
    return true.sum(axis=1).mean() / predicted.shape[1]

def narrow(true, predicted):
    return 0.0

def rows(true, predicted, probabilities):
    return (true == predicted).astype(float)

def never(true, predicted, probabilities):
    return np.nan

def later(true, predicted, probabilities):
    return 1.0 if len(true) == 4 else 1 / 0

def class_2(true, predicted, probabilities):
    return float(probabilities[:, 2].mean())
"""


@pytest.fixture
def costs(tmp_path, monkeypatch):
    """A folder that holds `costs.py`, and is the current one."""
    (tmp_path / "costs.py").write_text(COSTS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_function_in_a_file_is_measured_beside_the_others(costs):
    name = settled_name("costs.py:missed")
    assert name == f"{costs}/costs.py:missed"
    check_metric(name)
    found = evaluate(TRUE, PREDICTED, PROBABILITIES, metric=name)
    assert set(found) == {*METRICS, name}
    assert found[name] == pytest.approx(3 * 2 / 6)
    assert type(found[name]) is float
    assert resolve_metric(name) is resolve_metric(name)


def test_a_function_in_a_module_of_the_current_folder_is_found(costs, monkeypatch):
    (costs / "house").mkdir()
    (costs / "house" / "rules_of_risk.py").write_text(COSTS)
    name = "house.rules_of_risk:missed"
    assert settled_name(name) == name
    assert measure(TRUE, PREDICTED, PROBABILITIES, metric=name) == pytest.approx(1.0)


def test_a_file_named_like_an_installed_package_hides_nothing(costs):
    (costs / "sklearn.py").write_text(COSTS)
    check_metric(f"{costs}/sklearn.py:missed")
    assert sklearn.metrics.accuracy_score([1], [1]) == 1
    assert evaluate(TRUE, PREDICTED, PROBABILITIES)["accuracy"] == pytest.approx(4 / 6)


def test_built_in_names_stay_as_they_are():
    for name in METRICS:
        check_metric(name)
        assert settled_name(name) == name
        assert resolve_metric(name) is METRICS[name]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("macro_f1", r"unknown metric 'macro_f1'; did you mean 'f1_macro'\?"),
        ("costs.py", r"unknown metric 'costs.py'; .*path/to/file\.py:function"),
        (":missed", r"unknown metric ':missed'"),
        ("cost.py:missed", r"there is no file .*/cost\.py"),
        ("no_such_house.rules:missed", r"there is no module 'no_such_house', neither in /"),
        ("json.no_such_part:missed", r"there is no module 'json.no_such_part'"),
        ("costs.py:mised", r"costs\.py has no function 'mised'; did you mean 'missed'\?"),
        ("costs.py:WEIGHT", r"'WEIGHT' in costs\.py is no function but 3"),
        ("costs.py:narrow", r"'costs\.py:narrow' failed with TypeError: narrow\(\) takes 2 .*"),
        ("costs.py:rows", r"'costs\.py:rows' returned array\(\[1\., 1\., 1\., 0\.\]\), which is"),
        ("costs.py:never", r"'costs\.py:never' returned nan.* made-up example of 4 texts and 2"),
        ("broken.py:missed", r"broken\.py cannot be imported: NameError: name 'nothing' is not"),
        ("needy.py:missed", r"needy\.py cannot be imported: ModuleNotFoundError: .*no_such_lib"),
        ("broken:missed", r"broken cannot be imported: NameError: name 'nothing' is not"),
        ("needy:missed", r"needy cannot be imported: ModuleNotFoundError: .*no_such_lib"),
        ("empty.py:missed", r"empty\.py has no function 'missed'; it defines none"),
    ],
)
def test_a_metric_that_cannot_be_measured_is_refused_with_the_reason(costs, name, message):
    (costs / "broken.py").write_text("nothing\n")
    (costs / "needy.py").write_text("import no_such_lib\n")
    (costs / "empty.py").write_text("")
    resolve_metric.cache_clear()
    with pytest.raises(UsageError, match=message):
        check_metric(name)


def test_what_a_function_takes_is_tried_as_the_task_will_ask_it(costs):
    check_metric(f"{costs}/costs.py:of_sets")
    check_metric(f"{costs}/costs.py:of_sets", is_multi_label=True)
    with pytest.raises(UsageError, match=r"of_sets' failed with .*AxisError"):
        check_metric(f"{costs}/costs.py:of_sets", is_multi_label=False)
    check_metric(f"{costs}/costs.py:class_2", num_labels=6)
    with pytest.raises(UsageError, match=r"IndexError.*4 texts and 2 classes"):
        check_metric(f"{costs}/costs.py:class_2")


def test_a_function_that_fails_inside_a_trial_is_named(costs):
    name = f"{costs}/costs.py:later"
    check_metric(name)
    with pytest.raises(TrialFailedError, match=r"later' failed with ZeroDivisionError") as caught:
        evaluate(TRUE, PREDICTED, PROBABILITIES, metric=name)
    assert name in caught.value.reason
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_an_unknown_metric_is_not_measured():
    with pytest.raises(UsageError, match="unknown metric 'recall'"):
        evaluate(TRUE, PREDICTED, PROBABILITIES, metric="recall")
