"""What other tasks of a family teach in the plainest way: their best configs, to copy or to start.

The task itself is left out. Only families whose tasks all share one space have anything to copy.
"""

import itertools
import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from benchmarks.search.asked_and_told import StartsFirst
from benchmarks.search.task import SearchTask
from lexmove.agent.baselines import make_proposer
from lexmove.space.search_space import Config, SearchSpace
from lexmove.study.protocols import Proposer

NUM_STARTS = 4
"""Configs in the start portfolio that every arm is handed."""

_NUM_NEAR_BEST = 8
_NUM_DRAWS = 4096
_MAX_LISTED = 100_000


class Family:
    """Tasks on one space, and which configs do well on them.

    A table is searched through; on any other space 4,096 uniform draws stand for it.
    """

    def __init__(self, tasks: Sequence[SearchTask]) -> None:
        self._tasks = tuple(tasks)

    @cached_property
    def _shares_a_space(self) -> bool:
        first = self._tasks[0].space
        return len(self._tasks) > 1 and all(task.space == first for task in self._tasks)

    def can_teach(self) -> bool:
        """Whether there is anything to copy."""
        return self._shares_a_space

    def copied(self, task: SearchTask) -> tuple[Config, ...]:
        """The best config of each other task, the most useful to the others first."""
        return self._portfolio(task, num_each=1, size=len(self._tasks))

    def starts(self, task: SearchTask) -> tuple[Config, ...]:
        """The start portfolio of 4 out of the best 8 configs of each other task."""
        return self._portfolio(task, num_each=_NUM_NEAR_BEST, size=NUM_STARTS)

    def _portfolio(self, task: SearchTask, *, num_each: int, size: int) -> tuple[Config, ...]:
        """Greedily the config that most lowers the others' mean regret of the best so far."""
        if not self._shares_a_space:
            return ()
        others = [other for other in self._tasks if other.teaches(task)]
        candidates = [
            config for other in others for config in self._near_best[other.name][:num_each]
        ]
        unique = list(dict.fromkeys(candidates))
        regrets = np.array([[_regret(other, config) for other in others] for config in unique])
        return tuple(unique[row] for row in _greedily(regrets, size))

    @cached_property
    def _near_best(self) -> dict[str, list[Config]]:
        return {task.name: _best(task, _NUM_NEAR_BEST) for task in self._tasks}


def _greedily(regrets_NT: NDArray[np.float64], size: int) -> list[int]:
    """Rows in the order of their marginal use, ties to the earlier."""
    chosen: list[int] = []
    reached = np.full(regrets_NT.shape[1], np.inf)
    for _ in range(min(size, len(regrets_NT))):
        means = np.minimum(regrets_NT, reached).mean(axis=1)
        means[chosen] = np.inf
        chosen.append(int(np.argmin(means)))
        reached = np.minimum(reached, regrets_NT[chosen[-1]])
    return chosen


def _regret(task: SearchTask, config: Config) -> float:
    """Between 0 and 1: failing, or being worse than the median, is all the same to a start."""
    value = task.objective.value(config, task.max_fidelity)
    return min(1.0, task.regret(value)) if math.isfinite(value) else 1.0


def _best(task: SearchTask, num: int) -> list[Config]:
    pooled = [task.space.config(config) for config in task.pool or ()]
    configs = pooled or _all_configs(task.space)
    values = np.array([task.objective.value(config, task.max_fidelity) for config in configs])
    order = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")
    return [configs[row] for row in order[:num]]


def _all_configs(space: SearchSpace) -> Sequence[Config]:
    """Every config where they can be listed, else uniform draws."""
    levels = [item.domain.num_levels for item in space.searched]
    if None in levels or math.prod(filter(None, levels)) > _MAX_LISTED:
        rng = np.random.default_rng(0)
        return [space.sample(rng) for _ in range(_NUM_DRAWS)]
    places = [(np.arange(num or 1) + 0.5) / (num or 1) for num in levels]
    configs = (space.from_unit(np.array(units)) for units in itertools.product(*places))
    return list(dict.fromkeys(item for item in configs if not space.is_forbidden(item)))


def copying(starts: Sequence[Config], copied: Sequence[Config]) -> Proposer:
    """The starts that were handed over, the copies, then random draws."""
    first = tuple(dict.fromkeys([*starts, *copied]))
    return StartsFirst(make_proposer("random"), starts=first)
