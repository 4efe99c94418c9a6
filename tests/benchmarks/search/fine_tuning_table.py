"""The project's own table of fine-tunings as tasks: validation macro-F1 after every epoch.

`record_fine_tuning.py` measures it. Two views of each data set:

- `fine_tuning-NAME`: any config of the space, answered by a surrogate of the measured curves. A
  measurement adds the residuals of a real repeat, drawn from the configs next in score: a lucky
  run is lucky in all its epochs.
- `fine_tuning-NAME-pool`: measured configs alone; a call reports one of the runs, `value` is the
  mean over them. Let `SnappingProposer` choose what a proposer's config stands for.

Leaving one config out, the surrogate's final scores correlate in rank with the measured ones at
.95, .91 and .85 (category, families, role; 72 configs each) and miss them by .05, .04 and .07,
where the mean of all misses by .16, .13 and .24. Repeats differ by a standard deviation of .02 to
.04. `fine_tuning_summary.py` says all that of the table as it is.

Limits: one small model on 400 texts, so the learning rate and the pooling explain most of it. The
surrogate smooths: its optimum is lower and broader than the real one. It is a Gaussian process and
so may flatter searchers that fit one; the pool does not. Where a pool's config was run once, noise
is part of its `value`, and its best config owes a part of its lead to luck. Configs of which a run
failed are left out. Run times are processor time on one shared machine.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.search.fine_tuning_runs import Run, read_table
from benchmarks.search.fine_tuning_surrogate import Surrogate
from benchmarks.search.function_objective import best_and_median
from benchmarks.search.pools import distances, features
from benchmarks.search.task import METRIC, Config, SearchTask
from lexmove.space.search_space import Config as SpaceConfig
from lexmove.space.search_space import SearchSpace
from lexmove.study.fidelity import Fidelity
from lexmove.study.protocols import Report
from lexmove.study.trial import Measurement, Segment

FAMILY = "fine_tuning"

Array = NDArray[np.float64]
Split = Literal["validation", "test"]

_NUM_NEAR = 8
"""Residuals that a noisy measurement is drawn from: those of the configs next in score."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """The completed runs on one data set: for each of N configs its repeats, E epochs each."""

    space: SearchSpace
    runs: tuple[tuple[Run, ...], ...]

    @property
    def num_epochs(self) -> int:
        """E, a full training."""
        return self.runs[0][0].num_epochs

    @cached_property
    def configs(self) -> tuple[SpaceConfig, ...]:
        """The measured configs, (N,)."""
        return tuple(self.space.config(group[0].config) for group in self.runs)

    @cached_property
    def places(self) -> Array:
        """The features of the configs, (N, F)."""
        return np.array([features(self.space, config) for config in self.configs])

    def curves(self, split: Split) -> Array:
        """Macro-F1 after every epoch, (N, E), the mean over the repeats of each config."""
        return np.array([_curves(group, split).mean(axis=0) for group in self.runs])

    @cached_property
    def surrogate(self) -> Surrogate:
        """Fitted to the validation curves."""
        return Surrogate.fitted(self.places, self.curves("validation"))

    @cached_property
    def test_surrogate(self) -> Surrogate:
        """Fitted to the test curves."""
        return Surrogate.fitted(self.places, self.curves("test"))

    @cached_property
    def residuals(self) -> tuple[Array, Array]:
        """What repeats differ by, (R, E), unbiased, and the final scores of their configs, (R,)."""
        residuals, ends = [], []
        for group in self.runs:
            scores = _curves(group, "validation")
            if len(scores) > 1:
                # The mean was taken over the same few runs.
                widening = np.sqrt(len(scores) / (len(scores) - 1))
                residuals.append(widening * (scores - scores.mean(axis=0)))
                ends.append(np.full(len(scores), scores[:, -1].mean()))
        if not residuals:
            return np.zeros((1, self.num_epochs)), np.zeros(1)
        return np.concatenate(residuals), np.concatenate(ends)

    @cached_property
    def epoch_s(self) -> dict[float, Array]:
        """Seconds of each epoch, (runs, E), by batch size: nothing else changes them much."""
        found: dict[float, list[Array]] = {}
        for group in self.runs:
            for run in group:
                seconds = np.add(run.epochs["train_s"], run.epochs["evaluation_s"])
                found.setdefault(_batch_size(run.config), []).append(seconds)
        return {size: np.array(rows) for size, rows in found.items()}


def _curves(group: Sequence[Run], split: Split) -> Array:
    return np.array([run.epochs[f"{split}_f1_macro"] for run in group])


def _batch_size(config: Config) -> float:
    return float(config["per_device_train_batch_size"])


@dataclass(frozen=True, kw_only=True, eq=False)
class SurrogateObjective:
    """Any config: the surrogate's curve, plus a real repeat's residuals in a measurement."""

    measured: Measured

    def value(self, config: Config, fidelity: Fidelity) -> float:
        """Noiseless validation macro-F1."""
        return float(self._curve(self.measured.surrogate, config)[fidelity - 1])

    def test_value(self, config: Config, fidelity: Fidelity) -> float:
        """Noiseless test macro-F1."""
        return float(self._curve(self.measured.test_surrogate, config)[fidelity - 1])

    def _curve(self, surrogate: Surrogate, config: Config) -> Array:
        curve: Array = surrogate(features(self.measured.space, config)[None])[0]
        return curve

    def __call__(self, segment: Segment, *, trial_dir: Path, report: Report) -> None:
        rng = np.random.default_rng(segment.seed)
        curve_E = self._curve(self.measured.surrogate, segment.config)
        residuals_RE, ends_R = self.measured.residuals
        nearest = np.argsort(np.abs(ends_R - curve_E[-1]), kind="stable")[:_NUM_NEAR]
        noisy_E = np.clip(curve_E + residuals_RE[rng.choice(nearest)], 0.0, 1.0)
        seconds_E = rng.choice(self.measured.epoch_s[_batch_size(segment.config)])
        _report(segment, noisy_E, seconds_E, report)


@dataclass(frozen=True, kw_only=True, eq=False)
class PoolObjective:
    """Measured configs: a call reports one of their runs. Any other config is its nearest one."""

    measured: Measured

    def value(self, config: Config, fidelity: Fidelity) -> float:
        """Validation macro-F1, the mean over the runs of the config."""
        return self._mean(config, fidelity, "validation")

    def test_value(self, config: Config, fidelity: Fidelity) -> float:
        """Test macro-F1, the mean over the runs of the config."""
        return self._mean(config, fidelity, "test")

    def _mean(self, config: Config, fidelity: Fidelity, split: Split) -> float:
        return float(_curves(self._runs(config), split)[:, fidelity - 1].mean())

    def _runs(self, config: Config) -> tuple[Run, ...]:
        asked = features(self.measured.space, config)
        return self.measured.runs[int(distances(self.measured.places, asked).argmin())]

    def __call__(self, segment: Segment, *, trial_dir: Path, report: Report) -> None:
        runs = self._runs(segment.config)
        run = runs[segment.seed % len(runs)]
        seconds_E = np.add(run.epochs["train_s"], run.epochs["evaluation_s"])
        _report(segment, np.array(run.epochs["validation_f1_macro"]), seconds_E, report)


def _report(segment: Segment, scores_E: Array, seconds_E: Array, report: Report) -> None:
    for epoch in range(segment.after + 1, segment.until + 1):
        report(
            Measurement(
                fidelity=epoch,
                metrics={METRIC: float(scores_E[epoch - 1])},
                duration_s=float(seconds_E[epoch - 1]),
                checkpoint=f"epoch_{epoch}",
            )
        )


def tasks() -> dict[str, Callable[[], SearchTask]]:
    """Both views of every data set in the table by name; each is built when first called."""
    made: dict[str, Callable[[], SearchTask]] = {}
    for name in by_data():
        made[f"{FAMILY}-{name}"] = cache(partial(_smooth, name))
        made[f"{FAMILY}-{name}-pool"] = cache(partial(_pooled, name))
    return made


def test_score(task: SearchTask, config: Config, fidelity: Fidelity) -> float:
    """Macro-F1 on the test split, which no search sees: as `value` is that on validation."""
    assert isinstance(task.objective, SurrogateObjective | PoolObjective), task.name
    return task.objective.test_value(config, fidelity)


@cache
def by_data() -> dict[str, Measured]:
    """Every data set's runs; those of configs that failed are left out."""
    runs, about = read_table()
    space = SearchSpace.from_json(about["space"])
    grouped: dict[str, dict[int, list[Run]]] = {}
    for run in runs:
        grouped.setdefault(run.task, {}).setdefault(run.config_id, []).append(run)
    return {
        name: Measured(
            space=space,
            runs=tuple(
                tuple(group)
                for group in by_config.values()
                if all(run.status == "completed" for run in group)
            ),
        )
        for name, by_config in grouped.items()
    }


def _smooth(name: str) -> SearchTask:
    measured = by_data()[name]
    objective = SurrogateObjective(measured=measured)
    ends_N = measured.curves("validation")[:, -1]
    best, median = best_and_median(
        measured.space,
        lambda config: objective.value(config, measured.num_epochs),
        peaks=[measured.configs[int(ends_N.argmax())]],
    )
    return _task(f"{FAMILY}-{name}", measured, objective, best=best, median=median)


def _pooled(name: str) -> SearchTask:
    measured = by_data()[name]
    ends_N = measured.curves("validation")[:, -1]
    task = _task(
        f"{FAMILY}-{name}-pool",
        measured,
        PoolObjective(measured=measured),
        best=float(ends_N.max()),
        median=float(np.median(ends_N)),
    )
    return replace(task, pool=measured.configs)


def _task(
    name: str,
    measured: Measured,
    objective: SurrogateObjective | PoolObjective,
    *,
    best: float,
    median: float,
) -> SearchTask:
    return SearchTask(
        name=name,
        family=FAMILY,
        space=measured.space,
        objective=objective,
        best=best,
        median=median,
        max_fidelity=measured.num_epochs,
        data=measured.runs[0][0].task,
    )
