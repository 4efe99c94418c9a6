"""Metrics of a classifier: F1, accuracy, Matthews correlation and precision–recall.

This file goes along with an exported training, and so imports nothing of lexmove.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Probabilities = NDArray[np.float64]
Metric = Callable[[Labels, Labels, Probabilities], float]
"""Takes true labels, predicted labels and probabilities; returns one finite number.

Labels are class indices, (N,) each, or 0 and 1 per class, (N, C) each, of multi-label texts.
Probabilities are float64, (N, C): rows that add up to 1, or one for each label of its own.
"""


def f1_macro(true: Labels, predicted: Labels, _probabilities: Probabilities) -> float:
    """Unweighted mean of the classes' F1, in [0, 1]; a class never predicted scores 0.

    Classes that neither occur nor are predicted are left out where a text has one class, and
    score 0 where it has several labels: scikit-learn's figures with `zero_division=0`, without its
    checks, which take thirty times as long where a comparison scores thousands of draws.
    """
    hits, given = _hits_and_given(true, predicted)
    if true.ndim == 1:
        hits, given = hits[given > 0], given[given > 0]
    return float(np.divide(2 * hits, given, out=np.zeros(len(hits)), where=given > 0).mean())


def f1_micro(true: Labels, predicted: Labels, _probabilities: Probabilities) -> float:
    """F1 over all decisions, in [0, 1]; with one class per text it equals accuracy.

    0 where no text has a label and none is predicted.
    """
    hits, given = _hits_and_given(true, predicted)
    return float(2 * hits.sum() / given.sum()) if given.any() else 0.0


def _hits_and_given(true: Labels, predicted: Labels) -> tuple[Labels, Labels]:
    """Right decisions for every class, (C,), and how often it is true plus how often predicted."""
    if true.ndim == 2:
        return (true * predicted).sum(axis=0), true.sum(axis=0) + predicted.sum(axis=0)
    size = int(max(true.max(), predicted.max())) + 1
    counts = np.bincount(true, minlength=size) + np.bincount(predicted, minlength=size)
    return np.bincount(true[true == predicted], minlength=size), counts


def accuracy(true: Labels, predicted: Labels, _probabilities: Probabilities) -> float:
    """Share of texts whose class was predicted; of several labels, all and no other."""
    is_right = true == predicted
    return float(np.mean(is_right.all(axis=1) if is_right.ndim == 2 else is_right))


def mcc(true: Labels, predicted: Labels, _probabilities: Probabilities) -> float:
    """Matthews correlation coefficient, in [-1, 1]; 0 is chance.

    0 where all texts have the same class, or all are given the same one. Of several labels the
    unweighted mean over labels, as Hugging Face's `evaluate` averages it, without the labels that
    all texts have or none: for these it is undefined. 0 where that leaves no label.
    """
    from sklearn.metrics import matthews_corrcoef

    if true.ndim == 2:
        return _mean_phi(true, predicted)
    if len(np.unique(true)) < 2 or len(np.unique(predicted)) < 2:
        return 0.0
    return float(matthews_corrcoef(true, predicted))


def _mean_phi(true: Labels, predicted: Labels) -> float:
    """Of two classes Matthews' coefficient is the correlation of the indicators (phi)."""
    size, both = len(true), (true * predicted).sum(axis=0)
    num_true, num_predicted = true.sum(axis=0), predicted.sum(axis=0)
    covariance = size * both - num_true * num_predicted
    spread_true = num_true * (size - num_true)
    spread = np.sqrt(spread_true.astype(np.float64) * (num_predicted * (size - num_predicted)))
    phi = np.divide(covariance, spread, out=np.zeros_like(spread), where=spread > 0)
    varies = spread_true > 0
    return float(phi[varies].mean()) if varies.any() else 0.0


def auprc(true: Labels, _predicted: Labels, probabilities: Probabilities) -> float:
    """Area under the precision–recall curve, in [0, 1]: average precision, each class against rest.

    The unweighted mean over classes, or labels, that occur in `true`; 0 where none does. What a
    constant answer scores is the mean share of those classes.
    """
    from sklearn.metrics import average_precision_score

    is_class = true == 1 if true.ndim == 2 else true[:, None] == np.arange(probabilities.shape[1])
    scores = [
        average_precision_score(is_class[:, label], probabilities[:, label])
        for label in np.flatnonzero(is_class.any(axis=0))
    ]
    return float(np.mean(scores)) if scores else 0.0


METRICS: dict[str, Metric] = {
    "f1_macro": f1_macro,
    "f1_micro": f1_micro,
    "accuracy": accuracy,
    "mcc": mcc,
    "auprc": auprc,
}
"""What every trial measures, by the name a job may ask for; more is better."""

_WITH_NO_LABEL = ("f1_macro", "f1_micro", "accuracy")


def all_metrics(
    true: Labels, predicted: Labels, probabilities: Probabilities, *, no_label_column: bool = False
) -> dict[str, float]:
    """All of `METRICS` of one prediction, by name; `no_label_column` as in `as_counted`."""

    def counted(labels: Labels, name: str) -> Labels:
        return as_counted(labels, name, no_label_column=no_label_column)

    return {
        name: metric(counted(true, name), counted(predicted, name), probabilities)
        for name, metric in METRICS.items()
    }


def as_counted(labels: Labels, metric: str, *, no_label_column: bool) -> Labels:
    """Labels as the metric of that name counts them.

    With `no_label_column`, F1 and accuracy of multi-label texts see one further column in true and
    predicted labels: 1 where a text has none. This is how LexGLUE scores ECtHR and UNFAIR-ToS
    (Chalkidis et al. 2022, arXiv 2110.00976).
    """
    if no_label_column and labels.ndim == 2 and metric in _WITH_NO_LABEL:
        return np.column_stack([labels, (labels == 0).all(axis=1)])
    return labels
