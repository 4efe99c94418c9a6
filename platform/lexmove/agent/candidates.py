"""Candidates: the moves, global points and continuations on offer for one decision."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lexmove.agent.encoding import Array, Encoding, Mask, level_places
from lexmove.space.move import STEP_SIZES, Move
from lexmove.space.search_space import Config
from lexmove.study.fidelity import Fidelity
from lexmove.study.study import Study
from lexmove.study.trial import Decision, Suggestion

Kind = Literal["move", "global", "continue", "default"]

NUM_ORIGINS = 3
"""Moves start from this many of the best trials."""

NUM_MULTI_MOVES = 256
"""Random moves of one to four hyperparameters, for each origin."""

NUM_GLOBAL = 32
"""Points drawn without looking at any origin."""

_MAX_CHANGED = 4
_MAX_LISTED_LEVELS = 16
_STEP_JITTER = 0.25
_NUM_REPEATS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One action on offer: start `config`, or continue trial `trial_id`, up to `until`.

    `text` is the move in words. `predicted_gain` ± `predicted_gain_std` is what the surrogate
    expects over the incumbent at full fidelity, in units of the objective; None while it knows
    nothing. `expert` is the part of the floor that put the candidate forward.
    """

    config: Config
    until: Fidelity
    move: Move
    text: str
    kind: Kind
    trial_id: int | None = None
    predicted_gain: float | None = None
    predicted_gain_std: float | None = None
    expert: str = ""

    def to_suggestion(self, decision: Decision) -> Suggestion:
        """What the coordinator is told."""
        return Suggestion(
            config=self.config, until=self.until, decision=decision, trial_id=self.trial_id
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A config that moves start from; `trial_id` is None for the space's default."""

    trial_id: int | None
    config: Config
    units: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """M points as arrays: where they are, which origin they are told from, whether global."""

    units: Array
    origin: NDArray[np.int_]
    is_global: Mask

    @classmethod
    def join(cls, pools: "Sequence[Pool]") -> "Pool":
        """All points of several pools, in order."""
        return cls(
            units=np.concatenate([pool.units for pool in pools]),
            origin=np.concatenate([pool.origin for pool in pools]),
            is_global=np.concatenate([pool.is_global for pool in pools]),
        )

    def take(self, kept: NDArray[np.int_] | Mask) -> "Pool":
        """The points at these indices."""
        return Pool(
            units=self.units[kept],
            origin=self.origin[kept],
            is_global=self.is_global[kept],
        )


def origins_of(study: Study) -> tuple[Origin, ...]:
    """The best trials, best first; the space's default while there is none."""
    space = study.spec.space
    best = [study.trials[item.trial_id] for item in study.ranking[:NUM_ORIGINS]]
    found = [
        Origin(trial_id=trial.trial_id, config=trial.config, units=space.to_unit(trial.config))
        for trial in best
    ]
    default = Origin(trial_id=None, config=space.default, units=space.to_unit(space.default))
    return tuple(found) or (default,)


def build_pool(encoding: Encoding, origins: Sequence[Origin], rng: np.random.Generator) -> Pool:
    """Allowed points to score: moves from every origin, crossovers, and points from anywhere.

    All points of a small discrete space are in it.
    """
    pools: list[Pool] = []
    for index, origin in enumerate(origins):
        steps = _single_steps(encoding, origin.units, rng)
        moves = _multi_moves(encoding, origin.units, rng)
        pools.append(_pool(encoding, np.concatenate([steps, moves]), origin=index))
    crossed = _crossovers(origins, rng)
    anywhere = [rng.random((NUM_GLOBAL, encoding.num_dims)), *crossed]
    if encoding.enumerated is not None:
        anywhere.append(encoding.enumerated)
    pools.append(_pool(encoding, np.concatenate(anywhere), origin=0, is_global=True))
    return Pool.join(pools)


def refine_pool(encoding: Encoding, pool: Pool, best: int, rng: np.random.Generator) -> Pool:
    """Small random steps around the best point so far: local search on the score."""
    centre = pool.units[best]
    width = np.exp(rng.uniform(np.log(0.005), np.log(0.1), size=(64, 1)))
    noise = rng.standard_normal((64, encoding.num_dims)) * width
    chosen = rng.random((64, encoding.num_dims)) < 0.5
    moved = np.where(chosen & encoding.is_ordered, centre + noise, centre)
    return _pool(
        encoding,
        moved,
        origin=int(pool.origin[best]),
        is_global=bool(pool.is_global[best]),
    )


def _pool(encoding: Encoding, units_MD: Array, *, origin: int, is_global: bool = False) -> Pool:
    units = encoding.snap(units_MD)
    units = units[~encoding.forbidden(units)]
    return Pool(
        units=units,
        origin=np.full(len(units), origin),
        is_global=np.full(len(units), is_global),
    )


def _single_steps(encoding: Encoding, units_D: Array, rng: np.random.Generator) -> Array:
    """Every level of discrete dimensions, jittered steps of each size along ordered ones."""
    active = encoding.active(units_D[None])[0]
    sizes = np.tile(np.array([*STEP_SIZES, *(-size for size in STEP_SIZES)]), _NUM_REPEATS)
    rows: list[Array] = []
    for i in np.flatnonzero(active):
        if 0 < encoding.levels[i] <= _MAX_LISTED_LEVELS:
            places = level_places(encoding.domains[i])
        else:
            places = units_D[i] + sizes * np.exp(_STEP_JITTER * rng.standard_normal(len(sizes)))
            places = places[(places >= 0.0) & (places <= 1.0)]
        block = np.repeat(units_D[None], len(places), axis=0)
        block[:, i] = places
        rows.append(block)
    return np.concatenate(rows) if rows else np.empty((0, encoding.num_dims))


def _multi_moves(encoding: Encoding, units_D: Array, rng: np.random.Generator) -> Array:
    shape = (NUM_MULTI_MOVES, encoding.num_dims)
    width = np.exp(rng.uniform(np.log(STEP_SIZES[0]), np.log(STEP_SIZES[-1]), (shape[0], 1)))
    stepped = units_D + width * rng.standard_normal(shape)
    # A step out of the cube comes back in on the same side.
    stepped = np.where(stepped < 0.0, -stepped, np.where(stepped > 1.0, 2.0 - stepped, stepped))
    drawn = np.where(encoding.is_ordered, stepped, rng.random(shape))
    order = np.argsort(rng.random(shape), axis=1)
    changed = order < rng.integers(1, _MAX_CHANGED + 1, size=(shape[0], 1))
    moves: Array = np.where(changed, drawn, units_D)
    return moves


def _crossovers(origins: Sequence[Origin], rng: np.random.Generator) -> list[Array]:
    if len(origins) < 2:
        return []
    first, second = origins[0].units, origins[1].units
    return [np.where(rng.random((32, len(first))) < 0.5, first, second)]
