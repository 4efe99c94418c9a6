"""Says what the table of fine-tunings holds: spread, noise, transfer, how good its surrogate is.

python -m benchmarks.search.fine_tuning_summary
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.search.fine_tuning_runs import Run, read_table
from benchmarks.search.fine_tuning_table import Measured, by_data

_NEAR_BEST = 0.1
"""Macro-F1 below the best up to which a config counts as near it."""

Array = NDArray[np.float64]


def lines() -> Iterator[str]:
    """The summary, data set by data set, then between them."""
    runs, about = read_table()
    failed = sum(run.status != "completed" for run in runs)
    yield f"{len(runs)} runs, {failed} failed, {_hours(runs):.1f} h of processor time"
    data = by_data()
    for name, measured in data.items():
        yield ""
        yield from _of_data(name, measured, about["references"][name])
    yield ""
    for one, other in itertools.combinations(data, 2):
        yield _between(one, other, data)


def _hours(runs: list[Run]) -> float:
    seconds = (sum(run.epochs["train_s"]) + sum(run.epochs["evaluation_s"]) for run in runs)
    return sum(seconds) / 3600


def _of_data(name: str, measured: Measured, reference: Mapping[str, Any]) -> Iterator[str]:
    curves, on_test = measured.curves("validation"), measured.curves("test")[:, -1]
    ends = curves[:, -1]
    numbers = [group[0].config_id for group in measured.runs]
    best, default = int(ends.argmax()), numbers.index(0)
    spread = np.quantile(ends, [0, 0.25, 0.5, 0.75, 0.9, 1])
    yield f"{name}: {len(ends)} configs"
    yield f"  validation: {_listed(spread)} (worst, quartiles, 90 %, best)"
    yield (
        f"  validation / test: default {ends[default]:.3f} / {on_test[default]:.3f}, best"
        f" (config {numbers[best]}) {ends[best]:.3f} / {on_test[best]:.3f}, TF-IDF"
        f" {reference['validation']['f1_macro']:.3f} / {reference['test']['f1_macro']:.3f}"
    )
    yield f"  rank correlation of validation and test: {_rank(ends, on_test):.2f}"
    yield (
        "  rank correlation of each epoch with the last: "
        + _listed(np.array([_rank(epoch, ends) for epoch in curves.T]))
    )
    residuals, ends_of_repeats = measured.residuals
    is_near = ends_of_repeats > ends.max() - _NEAR_BEST
    yield (
        f"  noise sd at the end: {_sd(residuals[:, -1]):.4f} of {len(residuals)} runs, near the"
        f" best {_sd(residuals[is_near, -1]):.4f} of {is_near.sum()}"
    )
    predicted = measured.surrogate.left_out[:, -1]
    yield (
        f"  surrogate, leaving one config out: rank correlation {_rank(predicted, ends):.2f},"
        f" error {_sd(predicted - ends):.3f}, against {ends.std():.3f} of the mean"
    )


def _between(one: str, other: str, data: Mapping[str, Measured]) -> str:
    by_number = [
        dict(
            zip(
                [group[0].config_id for group in data[name].runs],
                data[name].curves("validation")[:, -1],
                strict=True,
            )
        )
        for name in (one, other)
    ]
    shared = sorted(set(by_number[0]) & set(by_number[1]))
    first, second = (np.array([ends[number] for number in shared]) for ends in by_number)
    return (
        f"{one} and {other}: rank correlation {_rank(first, second):.2f}; regret of copying the"
        f" best of the one to the other {_copied(first, second):.2f}, back"
        f" {_copied(second, first):.2f}"
    )


def _copied(source: Array, target: Array) -> float:
    """Normalised regret on the target of the source's best config."""
    best = target.max()
    return float((best - target[source.argmax()]) / (best - np.median(target)))


def _rank(one: Array, other: Array) -> float:
    return float(spearmanr(one, other)[0])


def _sd(differences: Array) -> float:
    """Root of the mean square; NaN of nothing."""
    return float(np.sqrt((differences**2).mean())) if len(differences) else float("nan")


def _listed(values: Array) -> str:
    return " ".join(f"{value:.3f}" for value in values)


def main() -> None:
    """Prints the summary."""
    for line in lines():
        print(line)


if __name__ == "__main__":
    main()
