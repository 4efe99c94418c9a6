"""Trials per second: short simulated trials on eight slots, by bare Ray Tune and by lexmove.

Both have reused workers and the same objective: it waits for 50 ms and reports one value. Bare Tune
draws configs at random and keeps its own logs; lexmove records every event in a SQLite store, and
its agent decides.
"""

import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lexmove.space.domain import Float
from lexmove.space.search_space import Config, Hyperparameter, SearchSpace
from lexmove.study.protocols import Proposer, Report
from lexmove.study.study import StudySpec
from lexmove.study.trial import Measurement, Segment

NUM_SLOTS = 8
TRIAL_S = 0.05

_NUM_HYPERPARAMETERS = 4
_OBJECT_STORE_BYTES = 256 * 2**20

SPACE = SearchSpace(
    hyperparameters=tuple(
        Hyperparameter(name=f"x{i}", domain=Float(low=0.0, high=1.0))
        for i in range(_NUM_HYPERPARAMETERS)
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """How long `num_trials` took from the first to the last, in seconds of wall-clock time."""

    num_trials: int
    wall_s: float

    @property
    def share_of_ideal(self) -> float:
        """The time that the trials alone would take, over the time that they took."""
        return self.num_trials * TRIAL_S / NUM_SLOTS / self.wall_s

    @property
    def line(self) -> str:
        """In words."""
        return (
            f"{self.num_trials} trials in {self.wall_s:.1f} s, {self.num_trials / self.wall_s:.1f} "
            f"trials/s, {self.share_of_ideal:.0%} of the ideal"
        )


def value_of(config: Any) -> float:
    """A bowl with its top of 0 at .3."""
    return -sum((config[f"x{i}"] - 0.3) ** 2 for i in range(_NUM_HYPERPARAMETERS))


@contextmanager
def short_ray() -> Iterator[None]:
    """A Ray of its own with as many CPUs as there are slots, whatever the machine has."""
    import ray

    ray.init(
        address="local",
        num_cpus=NUM_SLOTS,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=_OBJECT_STORE_BYTES,
    )
    try:
        yield
    finally:
        ray.shutdown()


def bare_tune(num_trials: int) -> Throughput:
    """Ray Tune as its documentation has it, with `reuse_actors`; Ray must run."""
    from ray import tune

    def objective(config: dict[str, float]) -> None:
        time.sleep(TRIAL_S)
        tune.report({"value": value_of(config)})

    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_resources(objective, {"cpu": 1}),
            param_space={f"x{i}": tune.uniform(0, 1) for i in range(_NUM_HYPERPARAMETERS)},
            tune_config=tune.TuneConfig(
                num_samples=num_trials,
                max_concurrent_trials=NUM_SLOTS,
                reuse_actors=True,
                metric="value",
                mode="max",
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        return _timed(num_trials, tuner.fit)


def lexmove(num_trials: int, proposer: Proposer) -> Throughput:
    """The way of `lexmove tune` behind its checks; Ray must run."""
    from lexmove.coordinator.coordinator import Coordinator
    from lexmove.coordinator.run import run_stages
    from lexmove.coordinator.stage import Stage, Work
    from lexmove.coordinator.store import open_store
    from lexmove.coordinator.study_dir import StudyDir
    from lexmove.coordinator.tune import Slots

    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{folder}/studies.db")
        store.create(
            StudySpec(name="scale", space=SPACE, num_trials=num_trials, parallel=NUM_SLOTS)
        )
        coordinator = Coordinator(store=store, name="scale", proposer=proposer)
        study_dir = StudyDir(Path(folder) / "studies" / "scale")
        study_dir.create()

        stage = Stage(
            name="scale",
            coordinator=coordinator,
            study_dir=study_dir,
            on_change=lambda study: None,
        )
        works = {"scale": Work(objective=wait_and_report)}

        def run() -> None:
            run_stages(
                iter([stage]),
                works,
                name="scale",
                slots=Slots(parallel=NUM_SLOTS),
                tune_dir=study_dir.tune,
            )

        timed = _timed(num_trials, run)
        assert len(coordinator.study.ranking) == num_trials, "every trial has its score"
        return timed


def wait_and_report(segment: Segment, *, trial_dir: Path, report: Report) -> None:
    """The simulated trial (an `Objective`)."""
    time.sleep(TRIAL_S)
    report(Measurement(fidelity=segment.until, metrics={"value": value_of(Config(segment.config))}))


def _timed(num_trials: int, run: Callable[[], object]) -> Throughput:
    begun_s = time.monotonic()
    run()
    return Throughput(num_trials=num_trials, wall_s=time.monotonic() - begun_s)
