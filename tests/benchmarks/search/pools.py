"""Discrete pools: a proposer's config becomes the nearest measured one that was not tried yet."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.search.task import Config
from lexmove.space.domain import Categorical
from lexmove.space.move import move_between
from lexmove.space.search_space import Config as SpaceConfig
from lexmove.space.search_space import SearchSpace
from lexmove.study.protocols import Proposer
from lexmove.study.study import Study
from lexmove.study.trial import Suggestion

Array = NDArray[np.float64]

_SIDE = 0.5**0.5
"""Of a category's column: two values are then as far apart as the two ends of a number."""


def features(space: SearchSpace, config: Config) -> Array:
    """The config's place in the unit cube, a category spread over a column per value, (F,)."""
    columns: list[float] = []
    for item in space.searched:
        if isinstance(item.domain, Categorical):
            columns += [_SIDE * (config[item.name] == value) for value in item.domain.values]
        else:
            columns.append(item.domain.to_unit(config[item.name]))
    return np.array(columns)


def distances(features_NF: Array, asked_F: Array) -> Array:
    """Squared distances, (N,)."""
    distances: Array = ((features_NF - asked_F) ** 2).sum(axis=1)
    return distances


class SnappingProposer:
    """Lets a proposer search a pool: what it wants to start becomes the nearest config left.

    The trial then holds the measured config, and the proposer finds that in the study. Stateless:
    what is tried is read from the study. None once the whole pool is tried.
    """

    def __init__(self, proposer: Proposer, pool: Sequence[Config]) -> None:
        self._proposer = proposer
        self._pool = tuple(pool)

    @property
    def name(self) -> str:
        """What the move log calls it."""
        return self._proposer.name

    def propose(
        self, study: Study, rng: np.random.Generator, *, lane: int = 0
    ) -> Suggestion | None:
        suggestion = self._proposer.propose(study, rng, lane=lane)
        if suggestion is None or suggestion.trial_id is not None:
            return suggestion
        tried = {trial.config for trial in study.trials}
        found = nearest_left(study.spec.space, self._pool, suggestion.config, tried)
        return None if found is None else _snapped(suggestion, found, study)


def nearest_left(
    space: SearchSpace,
    pool: Sequence[Config],
    asked: SpaceConfig,
    taken: Collection[SpaceConfig],
) -> SpaceConfig | None:
    """What of a pool is nearest to a config and not taken; None where all is."""
    left = [config for item in pool if (config := space.config(item)) not in taken]
    if not left:
        return None
    places = np.array([features(space, config) for config in left])
    return left[int(distances(places, features(space, asked)).argmin())]


def _snapped(suggestion: Suggestion, config: SpaceConfig, study: Study) -> Suggestion:
    """The suggestion of another config; its move, where it is one, leads there."""
    decision, space = suggestion.decision, study.spec.space
    if decision.move is not None:
        origin = decision.move.origin
        before = space.default if origin is None else study.trials[origin].config
        move = move_between(space, before, config, origin=origin)
        decision = replace(decision, move=move)
    return replace(suggestion, config=config, decision=decision)
