"""Ax's arm: BoTorch's Gaussian process through Ax's `Client`, its generation strategy as shipped.

The default strategy is the centre of the space, four Sobol points, then log expected improvement.
The space is flat: an inactive hyperparameter is still modelled, at its default where the config
came from elsewhere. `Ordinal` is an ordered choice of indices. A crashed or forbidden trial is
marked abandoned: marked failed, Ax suggests the same point again and again (measured), and its
documentation names abandoned for what must not come back.
"""

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

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
from benchmarks.search.task import METRIC, SearchTask
from lexmove.space.domain import Categorical, Float, Integer, Ordinal
from lexmove.space.search_space import Config, Hyperparameter, SearchSpace
from lexmove.study.protocols import Proposer

if TYPE_CHECKING:
    from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

DISTRIBUTION = "ax-platform"

_VERSION = f"{version_of(DISTRIBUTION, wrapper=1)} {version_of('botorch', wrapper=1)}"


class AxClient(Optimiser):
    """One experiment of Ax's `Client`, in memory."""

    def __init__(self, space: SearchSpace, *, seed: int) -> None:
        with _quiet():
            from ax.api.client import Client
            from ax.utils.common.logger import set_ax_logger_levels

            set_ax_logger_levels(logging.ERROR)
            self._client = Client(random_seed=seed)
            self._client.configure_experiment([_parameter(item) for item in space.searched])
            self._client.configure_optimization(METRIC)
            self._client.configure_generation_strategy(initialization_random_seed=seed)
        self._space = space
        self._num_points = math.prod(item.domain.num_levels or math.inf for item in space.searched)
        self._indices: dict[int, int] = {}
        self._used: set[Config] = set()

    def ask(self, trial_id: int) -> Config | None:
        if len(self._used) >= self._num_points:
            # Ax would draw for minutes before it gave up.
            return None
        with _quiet():
            answers = self._client.get_next_trials(1)
        for index, parameters in answers.items():
            self._indices[trial_id] = index
            self._used.add(Config(parameters))
            return decoded(self._space, parameters)
        return None

    def attach(self, trial_id: int, config: Config) -> None:
        parameters = encoded_all(self._space, config)
        self._used.add(Config(parameters))
        with _quiet():
            self._indices[trial_id] = self._client.attach_trial(parameters)

    def tell(self, trial_id: int, score: float) -> None:
        with _quiet():
            self._client.complete_trial(self._indices[trial_id], {METRIC: score})

    def fail(self, trial_id: int) -> None:
        with _quiet():
            self._client.mark_trial_abandoned(self._indices[trial_id])


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what BoTorch and linear_operator warn of at every step."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _parameter(item: Hyperparameter) -> "RangeParameterConfig | ChoiceParameterConfig":
    from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

    match item.domain:
        case Float(low=low, high=high, log=log):
            return RangeParameterConfig(
                item.name, (low, high), "float", scaling="log" if log else "linear"
            )
        case Integer(low=low, high=high, log=log):
            return RangeParameterConfig(
                item.name, (low, high), "int", scaling="log" if log else "linear"
            )
        case Ordinal(values=values) | Categorical(values=values):
            return ChoiceParameterConfig(
                item.name,
                list(range(len(values))),
                "int",
                is_ordered=item.domain.is_ordered,
            )
    raise AssertionError(item.domain)


def _make(task: SearchTask, budget: Budget, *, seed: int, starts: Starts) -> Proposer:
    del budget
    return AskedAndTold("Ax", AxClient(task.space, seed=seed), starts=starts)


ARMS = (Arm(name="Ax", group="peer", make=_make, version=_VERSION),)
