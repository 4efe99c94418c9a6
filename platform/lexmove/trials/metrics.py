"""Metrics of a classifier: macro-F1, micro-F1 and accuracy."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lexmove.errors import UsageError, did_you_mean

Labels = NDArray[np.int64]
Metric = Callable[[Labels, Labels], float]
"""Takes true and predicted labels; returns a ratio in [0, 1].

Labels are class indices, (N,) each, or 0 and 1 per class, (N, C) each, of multi-label texts.
"""


def f1_macro(true: Labels, predicted: Labels) -> float:
    """Unweighted mean of the classes' F1; a class never predicted scores 0."""
    from sklearn.metrics import f1_score

    return float(f1_score(true, predicted, average="macro", zero_division=0))


def f1_micro(true: Labels, predicted: Labels) -> float:
    """F1 over all decisions; with one label per example it equals accuracy."""
    from sklearn.metrics import f1_score

    return float(f1_score(true, predicted, average="micro", zero_division=0))


def accuracy(true: Labels, predicted: Labels) -> float:
    """Share of examples whose class was predicted; of several labels, all and no other."""
    is_right = true == predicted
    return float(np.mean(is_right.all(axis=1) if is_right.ndim == 2 else is_right))


METRICS: dict[str, Metric] = {"f1_macro": f1_macro, "f1_micro": f1_micro, "accuracy": accuracy}
"""What every trial measures, by the name a job may ask for."""


def check_metric(name: str) -> None:
    """Refuses a metric that trials do not measure; called before a study starts.

    Raises:
        UsageError: an unknown metric.
    """
    if name not in METRICS:
        raise UsageError(f"unknown metric {name!r}{did_you_mean(name, tuple(METRICS))}")


def evaluate(true: Labels, predicted: Labels) -> dict[str, float]:
    """All metrics of one prediction."""
    return {name: metric(true, predicted) for name, metric in METRICS.items()}
