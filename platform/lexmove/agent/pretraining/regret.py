"""Regret of a simulated task, normalised, and the potential that rewards are differences of."""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from lexmove.agent.encoding import Array, Encoding
from lexmove.agent.simulated_workers import KnownObjective
from lexmove.space.search_space import SearchSpace
from lexmove.study.fidelity import Fidelity

_REGRET_FLOOR = 0.003
"""Regret below which improvements stop to matter: a tenth of the seed noise of a fine-tuning."""

_NUM_RANDOM = 512
_NUM_CLIMBERS = 6
_NUM_TRIES = 24
_STEPS = (0.25, 0.16, 0.12, 0.08, 0.06, 0.04, 0.03, 0.02, 0.012, 0.007)
"""Standard deviations, in unit ranges, of the rounds of local search."""


@runtime_checkable
class ManyValued(Protocol):
    """A known objective that tells many points at once, as synthetic ones do."""

    def values(self, units_ND: Array, fidelity: Fidelity) -> Array:
        """Noiseless values (N,) of snapped points of the unit cube; NaN where they fail."""
        ...


def true_values(
    objective: KnownObjective, encoding: Encoding, units_ND: Array, fidelity: Fidelity
) -> Array:
    """Noiseless values (N,) of snapped points; −inf where they fail."""
    if isinstance(objective, ManyValued):
        values = objective.values(units_ND, fidelity)
    else:
        values = np.array(
            [objective.value(encoding.config(units), fidelity) for units in units_ND], dtype=float
        )
    finite: Array = np.where(np.isfinite(values), values, -np.inf)
    return finite


@dataclass(frozen=True, slots=True, kw_only=True)
class Regret:
    """Normalised regret: 0 at the best, 1 at the median of an objective's random configs."""

    best: float
    median: float

    @classmethod
    def of(
        cls,
        objective: KnownObjective,
        space: SearchSpace,
        maximum: Fidelity,
        rng: np.random.Generator,
    ) -> "Regret":
        """Measured at full fidelity: the median of random configs, the best after local search.

        The best of random configs alone would lie far below the best in many dimensions, and a
        policy that passes it would earn nothing more. Configs that fail count as the worst.
        """
        encoding = Encoding.of(space)
        units_ND = _allowed(encoding, rng.random((_NUM_RANDOM, encoding.num_dims)))
        values_N = true_values(objective, encoding, units_ND, maximum)
        median = float(np.median(values_N))
        best = _climbed(objective, encoding, units_ND, values_N, maximum=maximum, rng=rng)
        return cls(best=best, median=median if math.isfinite(median) else best - 1.0)

    def __call__(self, value: float) -> float:
        """The regret in [0, 1]: what is worse than the median counts as the median."""
        return float(self.many(np.array([value]))[0])

    def many(self, values_N: Array) -> Array:
        """The regrets (N,) of many values."""
        scale = max(self.best - self.median, 1e-12)
        finite = np.where(np.isfinite(values_N), values_N, self.median)
        regrets: Array = np.clip((self.best - finite) / scale, 0.0, 1.0)
        return regrets


def _allowed(encoding: Encoding, units_ND: Array) -> Array:
    snapped = encoding.snap(units_ND)
    is_allowed = ~encoding.forbidden(snapped)
    return snapped[is_allowed] if is_allowed.any() else encoding.default[None]


def _climbed(
    objective: KnownObjective,
    encoding: Encoding,
    units_ND: Array,
    values_N: Array,
    *,
    maximum: Fidelity,
    rng: np.random.Generator,
) -> float:
    """The best value after a local search around the best points, ever smaller steps."""
    for step in _STEPS:
        kept = np.argsort(-values_N, kind="stable")[:_NUM_CLIMBERS]
        units_ND, values_N = units_ND[kept], values_N[kept]
        tries = np.repeat(units_ND, _NUM_TRIES, axis=0)
        is_moved = rng.random(tries.shape) < max(0.4, 1.5 / encoding.num_dims)
        # A level further is half the unit interval away at most; a small step would not reach it.
        reach = np.maximum(step, 0.7 / np.maximum(encoding.levels, 1) * encoding.is_discrete)
        moved = _allowed(encoding, tries + is_moved * rng.normal(size=tries.shape) * reach)
        units_ND = np.concatenate([units_ND, moved])
        values_N = np.append(values_N, true_values(objective, encoding, moved, maximum))
    return float(values_N.max())


def potential(regret: float) -> float:
    """−log10(regret + 0.003) − regret: what rewards are differences of.

    Orders of magnitude count near the best, plain improvement counts far from it. Differences of
    a potential telescope: the undiscounted return of an episode is its last minus its first.
    """
    return float(potentials(np.array([regret]))[0])


def potentials(regrets_N: Array) -> Array:
    """`potential` of many regrets, (N,)."""
    result: Array = -np.log10(regrets_N + _REGRET_FLOOR) - regrets_N
    return result
