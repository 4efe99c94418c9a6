"""Learning online where one direction is right for all hyperparameters, and where none is.

`python -m benchmarks.one_direction` (twenty minutes on two cores, `--quick` half a minute) prints a
table, writes no file. The value is a weighted mean over all hyperparameters: of curves that rise,
as where more is better of everything, or of bowls with their optima anywhere. All defaults are
low, and what is measured is noisy.
"""

import argparse
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

import numpy as np
import optuna
from numpy.typing import NDArray

from benchmarks.proposers import KNOWN, Objective, Play, by_proposer, markdown_row
from benchmarks.search.ours import OnlineProposer
from lexmove.agent.proposer import PolicyProposer
from lexmove.space.domain import Float, Value
from lexmove.space.search_space import Hyperparameter, SearchSpace

Shape = Literal["rising", "bowls"]

NUM_TRIALS = 100
CHECKPOINTS = (16, 25, 50, 100)
NOISE = 0.05

_KINDS: tuple[tuple[Shape, int], ...] = (("rising", 30), ("rising", 12), ("bowls", 12))
_FIRST_INDEX = 1000
"""Others than those on which the learner was developed."""


@dataclass(frozen=True, kw_only=True)
class WeightedMean:
    """A weighted mean of one curve for each of `num_dims` numbers in the unit range."""

    shape: Shape
    num_dims: int
    index: int

    @cached_property
    def space(self) -> SearchSpace:
        """Its hyperparameters, all with a low default."""
        domain = Float(low=0.0, high=1.0, default=0.2)
        return SearchSpace(
            hyperparameters=tuple(
                Hyperparameter(name=f"x{i}", domain=domain) for i in range(self.num_dims)
            )
        )

    def true_value(self, config: Mapping[str, Value]) -> float:
        """The value without noise."""
        return self._at(np.array([float(config[name]) for name in self.space.names]))

    def regret(self, values: Sequence[float]) -> NDArray[np.float64]:
        """Of the best true value so far: 0 the optimum, 1 the median of uniform draws."""
        draws = np.random.default_rng(7).random((500, self.num_dims))
        best, median = self._at(self._optimum), np.median([self._at(x) for x in draws])
        return (best - np.maximum.accumulate(values)) / (best - median)

    def _at(self, x: NDArray[np.float64]) -> float:
        distances = (x - self._optimum) ** 2
        return float(self._weights @ (1.0 - distances * (1 if self.shape == "rising" else 2)))

    @cached_property
    def _weights(self) -> NDArray[np.float64]:
        weights = np.exp(np.random.default_rng(self._seed).normal(0.0, 0.7, self.num_dims))
        return weights / weights.sum()

    @cached_property
    def _optimum(self) -> NDArray[np.float64]:
        if self.shape == "rising":
            return np.ones(self.num_dims)
        return np.random.default_rng([*self._seed, 1]).uniform(0.2, 0.9, self.num_dims)

    @property
    def _seed(self) -> list[int]:
        return [self.num_dims, self.index]


def _learning(space: SearchSpace, objective: Objective, seed: int, num_trials: int) -> None:
    by_proposer(partial(OnlineProposer, seed))(space, objective, seed, num_trials)


_ARMS: Mapping[str, Play] = {
    "lexmove, not learning": by_proposer(partial(PolicyProposer, sample=True, gated=True)),
    "lexmove, learning online": _learning,
    "Optuna TPE, multivariate": KNOWN["Optuna TPE, multivariate"].play,
}
"""The first two differ in the learner alone; both draw and have the gate."""


def _regrets(arm: str, task: WeightedMean) -> list[float]:
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    noise = np.random.default_rng([task.index, 5])
    values: list[float] = []

    def measured(config: Mapping[str, Value]) -> float:
        values.append(task.true_value(config))
        return values[-1] + NOISE * noise.standard_normal()

    _ARMS[arm](task.space, measured, task.index, NUM_TRIALS)
    regrets = task.regret(values)
    return [float(regrets[at - 1]) for at in CHECKPOINTS]


def main() -> None:
    """Plays every arm and prints its rows: means, and differences to the first arm."""
    options = _options()
    kinds, num_tasks = (_KINDS[:1], 2) if options.quick else (_KINDS, options.tasks)
    arms = list(_ARMS)[:2] if options.quick else list(_ARMS)
    heads = [f"@{at}" for at in CHECKPOINTS]
    print(markdown_row(["space", "arm", *heads, *(f"difference {head}" for head in heads)]))
    print(markdown_row(["---"] * (2 + 2 * len(heads))))
    with ProcessPoolExecutor(options.processes) as pool:
        for shape, num_dims in kinds:
            tasks = [
                WeightedMean(shape=shape, num_dims=num_dims, index=_FIRST_INDEX + i)
                for i in range(num_tasks)
            ]
            plain: NDArray[np.float64] | None = None
            for arm in arms:
                regrets = np.array(list(pool.map(partial(_regrets, arm), tasks)))
                plain = regrets if plain is None else plain
                cells = [f"{mean:.3f}" for mean in regrets.mean(axis=0)]
                apart = regrets - plain
                errors = apart.std(axis=0, ddof=1) / np.sqrt(len(apart))
                cells += [
                    f"{mean:+.3f} ± {error:.3f}"
                    for mean, error in zip(apart.mean(axis=0), errors, strict=True)
                ]
                print(markdown_row([f"{num_dims} {shape}", arm, *cells]), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tasks", type=int, default=24, help="for each space (default: 24)")
    parser.add_argument("--processes", type=int, default=2, help="at once (default: 2)")
    parser.add_argument("--quick", action="store_true", help="two tasks of one space, ours only")
    return parser.parse_args()


if __name__ == "__main__":
    main()
