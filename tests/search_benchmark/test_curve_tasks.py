"""The benchmark's learning curves: segments, noise, crossings, falls and failures."""

import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.search import catalogue
from benchmarks.search.curve_tasks import CurveObjective
from benchmarks.search.task import METRIC
from lexmove.errors import TrialFailedError
from lexmove.study.trial import Segment
from search_benchmark.measuring import draws, measure, task_of, truth

CURVES = catalogue.names("curves")


def _curves(name: str, number: int = 400) -> np.ndarray:
    task = task_of(name)
    assert isinstance(task.objective, CurveObjective)
    return np.array([task.objective.curve(config) for config in draws(task, number)])


@pytest.mark.parametrize("name", CURVES)
def test_segments_of_a_trial_report_what_the_whole_would(name: str) -> None:
    task = task_of(name)
    for config in draws(task, 20):
        whole = measure(task, config, seed=1)
        half = task.max_fidelity // 2
        first = measure(task, config, seed=1, until=half)
        rest = measure(task, config, seed=1, after=half) if len(first) == half else []
        assert first + rest == whole


@pytest.mark.parametrize("name", CURVES)
def test_the_noise_of_curves_is_as_declared(name: str) -> None:
    task = task_of(name)
    objective = task.objective
    assert isinstance(objective, CurveObjective)
    dynamics = objective.dynamics
    config = next(config for config in draws(task, 50) if not math.isnan(truth(task, config)))
    errors = np.array(
        [
            [item.metrics[METRIC] for item in measure(task, config, seed=seed)]
            - objective.curve(config)
            for seed in range(150)
        ]
    )
    within = errors - errors.mean(axis=1, keepdims=True)
    assert np.std(within) == pytest.approx(dynamics.noise_std, rel=0.1)
    of_runs = math.sqrt(dynamics.run_std**2 + dynamics.noise_std**2 / dynamics.epochs)
    assert np.std(errors.mean(axis=1)) == pytest.approx(of_runs, rel=0.2)
    assert 0.003 <= dynamics.noise_std <= 0.01


@pytest.mark.parametrize("name", CURVES)
def test_full_trainings_are_13_to_52_epochs_and_early_ranks_say_something_but_not_all(
    name: str,
) -> None:
    task = task_of(name)
    assert 13 <= task.max_fidelity <= 52
    curves = _curves(name)
    curves = curves[~np.isnan(curves[:, -1])]
    early, best = curves[:, task.max_fidelity // 4], curves.max(axis=1)
    ranks = np.corrcoef(np.argsort(np.argsort(early)), np.argsort(np.argsort(best)))
    assert 0.5 < ranks[0, 1] < 0.97


@pytest.mark.parametrize("name", CURVES)
def test_curves_cross(name: str) -> None:
    curves = _curves(name, 100)
    curves = curves[~np.isnan(curves[:, -1])]
    quarter = curves.shape[1] // 4
    is_ahead_early = curves[:, None, quarter] > curves[None, :, quarter] + 0.01
    is_ahead_late = curves[:, None, -1] > curves[None, :, -1] + 0.01
    assert (is_ahead_early & is_ahead_late.T).mean() > 0.02


@pytest.mark.parametrize(
    ("name", "falling", "failing"),
    [
        ("rising", (0.0, 0.0), (0.0, 0.0)),
        ("crossing", (0.0, 0.0), (0.0, 0.0)),
        ("overfitting", (0.5, 0.8), (0.0, 0.0)),
        ("diverging", (0.0, 0.0), (0.2, 0.3)),
        ("adapters", (0.2, 0.5), (0.1, 0.25)),
        ("collapsing", (0.4, 0.65), (0.0, 0.0)),
    ],
)
def test_families_fall_and_fail_as_their_names_say(name: str, falling, failing) -> None:
    curves = _curves(f"curves-{name}", 1000)
    is_failed = np.isnan(curves[:, -1])
    whole = curves[~is_failed]
    share = np.mean(whole.max(axis=1) - whole[:, -1] > 0.02)
    assert falling[0] <= share <= falling[1]
    assert failing[0] <= is_failed.mean() <= failing[1]


def test_a_diverging_trial_reports_until_it_fails_and_says_so() -> None:
    task = task_of("curves-diverging")
    failed = [config for config in draws(task, 200) if math.isnan(truth(task, config))]
    lengths = [len(measure(task, config, seed=0)) for config in failed]
    assert 0 < min(lengths) < max(lengths) < task.max_fidelity
    segment = Segment(trial_id=0, config=failed[0], seed=0, until=task.max_fidelity)
    with pytest.raises(TrialFailedError, match="diverged"):
        task.objective(segment, trial_dir=Path(), report=lambda _: None)


def test_a_collapsed_trial_goes_on_at_chance() -> None:
    curves = _curves("curves-collapsing", 1000)
    task = task_of("curves-collapsing")
    assert isinstance(task.objective, CurveObjective)
    is_collapsed = curves[:, -1] == task.objective.dynamics.chance
    assert 0.1 < is_collapsed.mean() < 0.3
    assert (curves[is_collapsed].max(axis=1) > 0.3).mean() > 0.5
