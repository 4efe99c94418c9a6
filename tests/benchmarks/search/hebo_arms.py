"""HEBO's arm: warped inputs and outputs, and the ensemble of acquisitions MACE, as shipped.

HEBO draws from the global generators of numpy and torch: they are seeded before every question,
so that a study is the same whatever ran before it in the process, and put back after it. The space
is flat, as for Ax. Failures are told at the worst value seen: HEBO has no other word for them. It
knows nothing of pending trials.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.search.arm import Arm
from benchmarks.search.asked_and_told import (
    AskedAndTold,
    Optimiser,
    Starts,
    decoded,
    encoded_all,
    version_of,
)
from benchmarks.search.play import Budget
from benchmarks.search.task import SearchTask
from lexmove.space.domain import Categorical, Float, Integer, Ordinal
from lexmove.space.search_space import Config, Hyperparameter, SearchSpace
from lexmove.study.protocols import Proposer

if TYPE_CHECKING:
    import pandas as pd

DISTRIBUTION = "HEBO"

_VERSION = version_of(DISTRIBUTION, wrapper=1)


class HeboOptimiser(Optimiser):
    """One HEBO run. It minimises, so that scores are told with their sign turned."""

    def __init__(self, space: SearchSpace, *, seed: int) -> None:
        with _seeded(seed, 0):
            from hebo.design_space.design_space import DesignSpace
            from hebo.optimizers.hebo import HEBO

            design = DesignSpace().parse([_parameter(item) for item in space.searched])
            self._hebo = HEBO(design, scramble_seed=seed)
        self._space = space
        self._seed = seed
        self._num_asked = 0
        self._rows: dict[int, pd.DataFrame] = {}
        self._failed: list[pd.DataFrame] = []

    def ask(self, trial_id: int) -> Config | None:
        self._num_asked += 1
        with _seeded(self._seed, self._num_asked):
            self._rows[trial_id] = row = self._hebo.suggest(1)
        return decoded(self._space, {name: row[name].iloc[0] for name in row.columns})

    def attach(self, trial_id: int, config: Config) -> None:
        import pandas as pd

        self._rows[trial_id] = pd.DataFrame([encoded_all(self._space, config)])

    def tell(self, trial_id: int, score: float) -> None:
        self._observe(self._rows[trial_id], -score)
        self._tell_failed()

    def fail(self, trial_id: int) -> None:
        self._failed.append(self._rows[trial_id])
        self._tell_failed()

    def withdraw(self, trial_id: int) -> None:
        """Nothing to undo: HEBO keeps no list of what it suggested."""

    def _tell_failed(self) -> None:
        """Before any value is known, failures wait."""
        if len(self._hebo.y):
            for row in self._failed:
                self._observe(row, float(self._hebo.y.max()))
            self._failed = []

    def _observe(self, row: "pd.DataFrame", loss: float) -> None:
        with _seeded(self._seed, self._num_asked):
            self._hebo.observe(row, np.array([[loss]]))


@contextmanager
def _seeded(seed: int, index: int) -> Iterator[None]:
    """The global generators at a place of their own for each question; warnings are kept back."""
    import torch

    # HEBO and pymoo draw from NumPy's global generator, so that one it has to be.
    numpy_state, torch_state = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    drawn = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
    np.random.seed(drawn)  # noqa: NPY002
    torch.manual_seed(drawn)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        torch.set_rng_state(torch_state)


def _parameter(item: Hyperparameter) -> dict[str, Any]:
    match item.domain:
        case Float(low=low, high=high, log=log):
            return {"name": item.name, "type": "pow" if log else "num", "lb": low, "ub": high}
        case Integer(low=low, high=high, log=log):
            return {"name": item.name, "type": "pow_int" if log else "int", "lb": low, "ub": high}
        case Ordinal(values=values):
            return {"name": item.name, "type": "int", "lb": 0, "ub": len(values) - 1}
        case Categorical(values=values):
            return {"name": item.name, "type": "cat", "categories": list(range(len(values)))}
    raise AssertionError(item.domain)


def _make(task: SearchTask, budget: Budget, *, seed: int, starts: Starts) -> Proposer:
    del budget
    return AskedAndTold("HEBO", HeboOptimiser(task.space, seed=seed), starts=starts)


ARMS = (Arm(name="HEBO", group="peer", make=_make, version=_VERSION),)
