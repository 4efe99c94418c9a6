"""Spaces most of whose configs fail: the floor, the same without its early start, and peers.

`python -m benchmarks.mostly_failing` (half an hour on one core, `--quick` one minute) prints a
table, writes no file. Choices, some pairs of which do not go together, as optimizers, precisions
and kernels do not; the default works. A failed trial has no score.
"""

import argparse
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, count, islice
from typing import NamedTuple

import numpy as np
import optuna
from numpy.typing import NDArray

from benchmarks.proposers import KNOWN, Arm, floor_with, interquartile_mean, markdown_row
from lexmove.agent import portfolio
from lexmove.space.domain import Categorical, Float, Value
from lexmove.space.search_space import Hyperparameter, SearchSpace

Conflict = tuple[int, int, int, int]
"""Two choices, and the levels of them that fail together."""

NUM_TRIALS = 100
CHECKPOINTS = (16, 25, 50, 100)

_NUM_DRAWS = 500
_NUM_CLIMBS = 20
_NUM_STEPS = 1500
_MOST_CHANGED = 3
_NEVER = 10**6

_SPACES = ((10, 3, 0.4, 4), (12, 3, 0.3, 0), (16, 3, 0.3, 0), (20, 2, 0.3, 0))
"""Choices, their levels, the conflict rate, numbers."""

_FIRST_INDEX = 1000
"""Others than those on which the rules were developed."""


class _Formula(NamedTuple):
    alone: NDArray[np.float64]
    together: NDArray[np.float64]
    conflicts: list[Conflict]
    centre: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Choices:
    """Choices of `num_levels` levels each, `num_floats` numbers, and what does not go together.

    Of each pair of choices one combination of levels fails with probability `conflict_rate`,
    never that of the defaults. The value is a sum over choices and pairs of choices, less a bowl
    of the numbers.
    """

    num_choices: int
    num_levels: int
    conflict_rate: float
    num_floats: int = 0
    index: int

    @cached_property
    def space(self) -> SearchSpace:
        """Its hyperparameters; every choice's default is its first level."""
        levels = Categorical(values=tuple(range(self.num_levels)))
        number = Float(low=0.0, high=1.0, default=0.5)
        choices = [Hyperparameter(name=f"c{i}", domain=levels) for i in range(self.num_choices)]
        numbers = [Hyperparameter(name=f"x{i}", domain=number) for i in range(self.num_floats)]
        return SearchSpace(hyperparameters=(*choices, *numbers))

    def objective(self, config: Mapping[str, Value]) -> float | None:
        """The value of a config; None where it fails."""
        choices = np.array([int(config[f"c{i}"]) for i in range(self.num_choices)])
        numbers = np.array([float(config[f"x{i}"]) for i in range(self.num_floats)])
        if self._fails(choices):
            return None
        return self._value(choices) - 2.0 * float(np.sum((numbers - self._formula.centre) ** 2))

    def regret(self, values: Sequence[float | None]) -> NDArray[np.float64]:
        """Regret of the best so far: 0 the best known, 1 the default, whether tried or not."""
        scores = [self._default if value is None else value for value in values]
        incumbents = np.maximum.accumulate([self._default, *scores])[1:]
        return np.maximum(0.0, self._best - incumbents) / (self._best - self._default)

    @property
    def has_better(self) -> bool:
        """Whether there is anything better than the default."""
        return self._best > self._default

    @cached_property
    def failing(self) -> float:
        """The share of uniform draws that fail."""
        return float(np.mean([self._fails(choices) for choices in self._draws]))

    @cached_property
    def _formula(self) -> _Formula:
        rng = np.random.default_rng([self.num_choices, self.num_levels, self.index])
        num, levels = self.num_choices, self.num_levels
        spread = np.exp(rng.normal(0.0, 0.5, (num, 1)))
        alone = rng.standard_normal((num, levels)) * spread
        together = 0.5 * rng.standard_normal((num, num, levels, levels)) / np.sqrt(num)
        conflicts: list[Conflict] = []
        for first, second in combinations(range(num), 2):
            pair = tuple(rng.integers(levels, size=2).tolist())
            if rng.random() < self.conflict_rate and any(pair):
                conflicts.append((first, second, *pair))
        centre = 0.2 + 0.6 * rng.random(self.num_floats)
        return _Formula(alone=alone, together=together, conflicts=conflicts, centre=centre)

    def _fails(self, choices: NDArray[np.int_]) -> bool:
        return any(choices[i] == a and choices[j] == b for i, j, a, b in self._formula.conflicts)

    def _value(self, choices: NDArray[np.int_]) -> float:
        alone, together = self._formula.alone, self._formula.together
        each = np.arange(self.num_choices)
        paired = together[each[:, None], each[None], choices[:, None], choices[None]]
        return float(alone[each, choices].sum() + np.tril(paired, -1).sum())

    @property
    def _draws(self) -> NDArray[np.int_]:
        rng = np.random.default_rng(7)
        return rng.integers(self.num_levels, size=(_NUM_DRAWS, self.num_choices))

    @cached_property
    def _default(self) -> float:
        default = self.objective(self.space.default)
        assert default is not None
        return default

    @cached_property
    def _best(self) -> float:
        """The best value that climbs from the default found; the numbers add nothing at best."""
        return max(self._climb(np.random.default_rng(seed)) for seed in range(_NUM_CLIMBS))

    def _climb(self, rng: np.random.Generator) -> float:
        choices = np.zeros(self.num_choices, dtype=int)
        value = self._value(choices)
        for _ in range(_NUM_STEPS):
            changed = rng.choice(
                self.num_choices, rng.integers(1, _MOST_CHANGED + 1), replace=False
            )
            moved = choices.copy()
            moved[changed] = rng.integers(self.num_levels, size=len(changed))
            # Sideways, too: the best may lie behind a ridge of equals.
            if not self._fails(moved) and self._value(moved) >= value:
                choices, value = moved, self._value(moved)
        return value


def tasks(num_tasks: int) -> Iterator[tuple[str, list[Choices]]]:
    """Four kinds of spaces with so many tasks each."""
    for num_choices, num_levels, conflict_rate, num_floats in _SPACES:
        numbers = f", {num_floats} numbers" * bool(num_floats)
        drawn = (
            Choices(
                num_choices=num_choices,
                num_levels=num_levels,
                conflict_rate=conflict_rate,
                num_floats=num_floats,
                index=index,
            )
            for index in count(_FIRST_INDEX)
        )
        some = islice((task for task in drawn if task.has_better), num_tasks)
        yield f"{num_choices} choices of {num_levels}{numbers}", list(some)


ARMS = (
    KNOWN["floor"],
    Arm(
        name="floor, Sobol until three have a score",
        play=floor_with(portfolio, "NUM_FAILED_BEFORE_FLOOR", _NEVER),
    ),
    KNOWN["random"],
    KNOWN["hill_climbing"],
    KNOWN["Optuna TPE, multivariate"],
    KNOWN["Optuna GPSampler"],
)


def main() -> None:
    """Plays every arm and prints its rows."""
    options = _options()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    arms, num_tasks = (ARMS[:2], 1) if options.quick else (ARMS, options.tasks)
    print(markdown_row(["space", "arm", *(f"@{at}" for at in CHECKPOINTS), "failed"]))
    print(markdown_row(["---"] * (3 + len(CHECKPOINTS))))
    for name, some in tasks(num_tasks):
        failing = np.mean([task.failing for task in some])
        for arm in arms:
            played = [_played(task, arm, seed) for seed, task in enumerate(some)]
            regrets = np.array(
                [task.regret(values) for task, values in zip(some, played, strict=True)]
            )
            cells = [f"{interquartile_mean(regrets[:, at - 1]):.3f}" for at in CHECKPOINTS]
            failed = np.mean([value is None for values in played for value in values])
            print(
                markdown_row([f"{name} ({failing:.1%} fail)", arm.name, *cells, f"{failed:.0%}"]),
                flush=True,
            )


def _played(task: Choices, arm: Arm, seed: int) -> list[float | None]:
    values: list[float | None] = []

    def recorded(config: Mapping[str, Value]) -> float | None:
        values.append(task.objective(config))
        return values[-1]

    arm.play(task.space, recorded, seed, NUM_TRIALS)
    return values


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=12, help="for each space (default: 12)")
    parser.add_argument("--quick", action="store_true", help="one task for each space, ours only")
    return parser.parse_args()


if __name__ == "__main__":
    with warnings.catch_warnings():
        # Optuna calls the multivariate TPE experimental.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        main()
