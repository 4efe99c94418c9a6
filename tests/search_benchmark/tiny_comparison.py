"""Two tasks that take milliseconds, and a benchmark over them; as a script, the real command."""

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.search.arm import Arm, Make
from benchmarks.search.asked_and_told import StartsFirst, rungs
from benchmarks.search.comparison import Comparison
from benchmarks.search.run import main
from benchmarks.search.setting import UNITS
from benchmarks.search.task import METRIC, SearchTask
from lexmove.agent.baselines import make_proposer
from lexmove.errors import TrialFailedError
from lexmove.space.domain import Float, Ordinal
from lexmove.space.search_space import Config, Hyperparameter, SearchSpace
from lexmove.study.protocols import Report
from lexmove.study.trial import Measurement, Segment

SPACE = SearchSpace(
    hyperparameters=(
        Hyperparameter(name="x", domain=Float(low=0.0, high=1.0)),
        Hyperparameter(name="n", domain=Ordinal(values=(1, 2, 3, 4))),
    )
)
MAX_FIDELITY = 4


@dataclass(frozen=True, eq=False)
class Slope:
    """Best at `peak`, noisy, rising with every epoch; fails at the upper end."""

    peak: float

    def value(self, config: Config, fidelity: int) -> float:
        if config["x"] > 0.95:
            return float("nan")
        distance = abs(config["x"] - self.peak) + 0.1 * abs(config["n"] - 2)
        return (1 - distance) * fidelity / MAX_FIDELITY

    def __call__(self, segment: Segment, *, trial_dir: Path, report: Report) -> None:
        if segment.config["x"] > 0.95:
            raise TrialFailedError("too far")
        for fidelity in range(segment.after + 1, segment.until + 1):
            noise = np.random.default_rng([segment.seed, fidelity]).normal(0, 0.01)
            value = self.value(segment.config, fidelity) + noise
            report(
                Measurement(
                    fidelity=fidelity,
                    metrics={METRIC: value},
                    duration_s=1.0,
                    checkpoint=f"{fidelity}",
                )
            )


def task(name: str, peak: float) -> SearchTask:
    return SearchTask(
        name=name,
        family="tiny",
        space=SPACE,
        objective=Slope(peak),
        best=1.0,
        median=0.6,
        max_fidelity=MAX_FIDELITY,
    )


def make(proposer: str) -> Make:
    def made(task, budget, *, seed, starts):
        return StartsFirst(make_proposer(proposer), starts=starts)

    return made


ARMS = (
    Arm(name="lexmove", group="ours", make=make("floor"), version="1", plan=rungs(2, first=1)),
    Arm(name="Sobol", group="peer", make=make("sobol"), version="1"),
    Arm(name="random", group="baseline", make=make("random"), version="1"),
)
ABSENT = Arm(name="elsewhere", group="peer", make=make("random"), version="unknown")


def tiny(*, arms: tuple[Arm, ...] = ARMS, peak: float = 0.3) -> Comparison:
    tasks = {"tiny-low": peak, "tiny-high": 0.7}
    return Comparison(
        tasks={name: cache(lambda name=name, at=at: task(name, at)) for name, at in tasks.items()},
        families=dict.fromkeys(tasks, "tiny"),
        arms=dict.fromkeys(UNITS, (*arms, ABSENT)),
        absent={"elsewhere": "not installed: nowhere"},
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:], tiny()))
