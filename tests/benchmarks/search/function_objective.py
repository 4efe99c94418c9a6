"""Functions as tasks: noise, crashes and run times around a formula; its best and its median."""

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.search.task import METRIC, SearchTask
from lexmove.errors import TrialFailedError
from lexmove.space.domain import Domain, Value
from lexmove.space.search_space import Config, Hyperparameter, SearchSpace
from lexmove.study.fidelity import Fidelity
from lexmove.study.protocols import Report
from lexmove.study.trial import Measurement, Segment

Score = Callable[[Mapping[str, Value]], float]
"""A noiseless value, higher is better; NaN where the config fails."""

_NUM_DRAWS = 2000
_NUM_CLIMBS = 4
_NUM_STEPS = 700
_MEDIAN_S = 60.0
_RUN_TIME_SPREAD = 0.8
_RUN_TIME_NOISE = 0.2


@dataclass(frozen=True, kw_only=True)
class Function:
    """A formula over a space, and what surrounds it.

    `noise_std` is the standard deviation of one measurement; scores range over about 1, so that
    0.01 is 1 %. `crash_share` is the share of uniform draws that fail. `peak` is the optimum
    where it is known; what it leaves out is at its default.
    """

    space: SearchSpace
    score: Score
    noise_std: float = 0.0
    crash_share: float = 0.0
    peak: Mapping[str, Value] | None = None

    def task(self, name: str, family: str) -> SearchTask:
        """The task of this function; takes a fraction of a second."""
        peaks = () if self.peak is None else (self.space.complete(self.peak),)
        best, median = best_and_median(self.space, self.score, peaks=peaks)
        return SearchTask(
            name=name,
            family=family,
            space=self.space,
            objective=FunctionObjective(name=name, function=self),
            best=best,
            median=median,
        )


@dataclass(frozen=True, kw_only=True)
class FunctionObjective:
    """Reports the function's score with noise after a run time that depends on the config.

    Run times are log-normal around an exponential of a random direction of the unit cube, so that
    trials that run side by side end out of order. `name` seeds the direction and the noise.
    """

    name: str
    function: Function

    def __call__(self, segment: Segment, *, trial_dir: Path, report: Report) -> None:
        score = self.function.score(segment.config)
        if math.isnan(score):
            raise TrialFailedError("diverged")
        rng = np.random.default_rng([seed_of(self.name), segment.seed])
        noise, slowness = rng.standard_normal(2)
        units_D = self.function.space.to_unit(segment.config)
        log_time = float(self._slopes @ (units_D - 0.5)) + _RUN_TIME_NOISE * slowness
        report(
            Measurement(
                fidelity=segment.until,
                metrics={METRIC: score + self.function.noise_std * float(noise)},
                duration_s=_MEDIAN_S * math.exp(log_time),
                checkpoint=f"epoch_{segment.until}",
            )
        )

    def value(self, config: Config, fidelity: Fidelity) -> float:
        return self.function.score(config)

    @cached_property
    def _slopes(self) -> NDArray[np.float64]:
        rng = np.random.default_rng(seed_of(self.name))
        return rng.normal(0.0, _RUN_TIME_SPREAD, len(self.function.space.searched))


def seed_of(name: str) -> int:
    """A seed that is the same in every process, which `hash` is not."""
    return zlib.crc32(name.encode())


def space_of(
    when: Mapping[str, Mapping[str, tuple[Value, ...]]] | None = None, /, **domains: Domain
) -> SearchSpace:
    """A space of these domains; `when` holds the conditions of those that have one."""
    return SearchSpace(
        hyperparameters=tuple(
            Hyperparameter(name=name, domain=domain, when=(when or {}).get(name, {}))
            for name, domain in domains.items()
        )
    )


def best_and_median(
    space: SearchSpace, score: Score, *, peaks: Sequence[Config] = ()
) -> tuple[float, float]:
    """The best value that draws and climbs from the best of them found, and the draws' median.

    A failed config is worse than any other, in the median too. `peaks` are climbed from as well.
    """
    rng = np.random.default_rng(11)

    def reached(config: Mapping[str, Value]) -> float:
        value = score(config)
        return -math.inf if math.isnan(value) else value

    draws = [space.sample(rng) for _ in range(_NUM_DRAWS)]
    values = np.array([reached(config) for config in draws])
    starts = [*peaks, *(draws[index] for index in np.argsort(-values)[:_NUM_CLIMBS])]
    return max(_climb(space, reached, start, rng) for start in starts), float(np.median(values))


def _climb(space: SearchSpace, score: Score, start: Config, rng: np.random.Generator) -> float:
    """Random steps in one or a few dimensions, longer after a success, shorter after a failure."""
    units_D, best = space.to_unit(start), score(start)
    step, num_dims = 0.15, len(units_D)
    # About two dimensions move at a time; all of them never do where there are many.
    for _ in range(_NUM_STEPS):
        is_moved = rng.random(num_dims) < min(0.7, 2 / num_dims)
        near_D = np.clip(units_D + step * is_moved * rng.standard_normal(num_dims), 0, 1)
        if rng.random() < 0.2:
            # A jump: the levels of a category have no distance.
            near_D[rng.integers(num_dims)] = rng.random()
        config = space.from_unit(near_D)
        value = score(config)
        if value > best:
            units_D, best = space.to_unit(config), value
            step = min(0.3, step * 1.5)
        else:
            step = max(1e-3, step * 0.97)
    return best
