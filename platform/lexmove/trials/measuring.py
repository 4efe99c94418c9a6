"""Measuring a prediction by what a job asks for: one of `metrics`, or the user's own function."""

from functools import lru_cache

import numpy as np

from lexmove.errors import TrialFailedError, UsageError, did_you_mean
from lexmove.job.own_code import is_own
from lexmove.trials.metrics import (
    METRICS,
    Labels,
    Metric,
    Probabilities,
    all_metrics,
    as_counted,
)
from lexmove.trials.own_code_loading import METRIC, load_own, one_number


def evaluate(
    true: Labels,
    predicted: Labels,
    probabilities: Probabilities,
    *,
    metric: str = "f1_macro",
    no_label_column: bool = False,
) -> dict[str, float]:
    """All of `METRICS` of one prediction, and `metric`, by name.

    `no_label_column` counts texts without a label as `metrics.as_counted` says.

    Raises:
        UsageError: an unknown metric.
        TrialFailedError: the user's own function raised, or returned no finite number.
    """
    found = all_metrics(true, predicted, probabilities, no_label_column=no_label_column)
    if metric not in found:
        found[metric] = resolve_metric(metric)(true, predicted, probabilities)
    return found


def measure(
    true: Labels,
    predicted: Labels,
    probabilities: Probabilities,
    *,
    metric: str,
    no_label_column: bool = False,
) -> float:
    """The one `metric` of a prediction, where `evaluate` would measure too much.

    Raises:
        UsageError: an unknown metric.
        TrialFailedError: the user's own function raised, or returned no finite number.
    """
    true = as_counted(true, metric, no_label_column=no_label_column)
    predicted = as_counted(predicted, metric, no_label_column=no_label_column)
    return resolve_metric(metric)(true, predicted, probabilities)


def check_metric(name: str, *, num_labels: int = 2, is_multi_label: bool | None = None) -> None:
    """Refuses a metric that cannot be measured; called before a study starts.

    A function of the user's own is tried on a made-up example with `num_labels` classes, of one
    class per text or of several as `is_multi_label` says; where it does not, either will do.

    Raises:
        UsageError: an unknown metric, or a function that is not there, fails, or returns no finite
            number.
    """
    if name in METRICS:
        return
    metric = resolve_metric(name)
    kinds = (False, True) if is_multi_label is None else (is_multi_label,)
    failures = [_failure(metric, _made_up(num_labels, is_multi_label=kind)) for kind in kinds]
    if all(failures):
        raise UsageError(
            f"{failures[0]}; that was a made-up example of {max(4, num_labels)} texts and "
            f"{num_labels} classes. It is called with true labels, predicted labels (int64) and "
            "probabilities (float64, a column per class), and must return one finite number"
        )


def _failure(metric: Metric, example: tuple[Labels, Labels, Probabilities]) -> str | None:
    try:
        metric(*example)
    except TrialFailedError as error:
        return error.reason
    return None


def _made_up(num_labels: int, *, is_multi_label: bool) -> tuple[Labels, Labels, Probabilities]:
    """At least 4 texts, every class among them; the last text is judged wrongly."""
    size = max(4, num_labels)
    if is_multi_label:
        true = np.add.outer(np.arange(size), np.arange(num_labels)) % 2
        predicted = np.vstack([true[:-1], 1 - true[-1:]])
        return true, predicted, np.where(predicted == 1, 0.8, 0.2)
    true = np.arange(size) % num_labels
    predicted = np.append(true[:-1], (true[-1] + 1) % num_labels)
    probabilities = np.full((size, num_labels), 0.2 / max(num_labels - 1, 1))
    probabilities[np.arange(size), predicted] = 0.8
    return true, predicted, probabilities


@lru_cache
def resolve_metric(name: str) -> Metric:
    """The metric of that name, or the user's own function; loaded once per process.

    A function of the user's own raises `TrialFailedError` with its name where it fails.

    Raises:
        UsageError: an unknown metric, or a function that is not there.
    """
    if name in METRICS:
        return METRICS[name]
    if not is_own(name):
        known = did_you_mean(name, tuple(METRICS))
        raise UsageError(f"unknown metric {name!r}{known} ({METRIC.forms})")
    found = load_own(name)

    def metric(true: Labels, predicted: Labels, probabilities: Probabilities) -> float:
        return one_number(name, found, true, predicted, probabilities)

    return metric
