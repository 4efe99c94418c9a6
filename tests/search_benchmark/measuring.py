"""What the tests of tasks do with one: draw configs, run a segment, ask for the truth."""

import contextlib
from pathlib import Path

import numpy as np

from benchmarks.search import catalogue
from benchmarks.search.curve_tasks import CurveObjective
from benchmarks.search.task import Config, SearchTask
from lexmove.errors import TrialFailedError
from lexmove.study.trial import Measurement, Segment


def task_of(name: str) -> SearchTask:
    return catalogue.TASKS[name]()


def draws(task: SearchTask, number: int, seed: int = 0) -> list[Config]:
    rng = np.random.default_rng(seed)
    return [task.space.sample(rng) for _ in range(number)]


def measure(
    task: SearchTask, config: Config, *, seed: int, after: int = 0, until: int | None = None
) -> list[Measurement]:
    """What one segment reports before it ends, well or as diverged."""
    segment = Segment(
        trial_id=0, config=config, seed=seed, after=after, until=until or task.max_fidelity
    )
    reported: list[Measurement] = []
    with contextlib.suppress(TrialFailedError):
        task.objective(segment, trial_dir=Path(), report=reported.append)
    return reported


def truth(task: SearchTask, config: Config) -> float:
    """The best checkpoint of a config; NaN where it fails."""
    if isinstance(task.objective, CurveObjective):
        return task.objective.best_checkpoint(config)
    return task.objective.value(config, task.max_fidelity)
