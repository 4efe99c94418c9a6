"""Candidates: the moves, global points and continuations on offer for one decision."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lexmove.agent.encoding import Array, Encoding, Mask
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

_MAX_OVERLOOKED = 256
_NUM_DRAWS = 16_384

_MAX_CHANGED = 4
_MAX_LISTED_LEVELS = 16
_STEP_JITTER = 0.25
_NUM_REPEATS = 3
_SIGNED_STEPS = np.tile([*STEP_SIZES, *(-size for size in STEP_SIZES)], _NUM_REPEATS)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One action on offer: start `config`, or continue trial `trial_id`, up to `until`.

    Most candidates are never looked at: `decode` makes the config and `tell` says the move to it,
    when asked. `predicted_gain` ± `predicted_gain_std` is what the surrogate expects over the
    incumbent at full fidelity, in units of the objective; None while it knows nothing. `expert`
    is the part of the floor that put the candidate forward.
    """

    decode: Callable[[], Config] = field(repr=False, compare=False)
    tell: Callable[[Config], tuple[Move, str]] = field(repr=False, compare=False)
    until: Fidelity
    kind: Kind
    trial_id: int | None = None
    predicted_gain: float | None = None
    predicted_gain_std: float | None = None
    expert: str = ""

    @cached_property
    def config(self) -> Config:
        """What is tried."""
        return self.decode()

    @cached_property
    def _told(self) -> tuple[Move, str]:
        return self.tell(self.config)

    @property
    def move(self) -> Move:
        """The change of hyperparameters."""
        return self._told[0]

    @property
    def text(self) -> str:
        """The move in words."""
        return self._told[1]

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

    @classmethod
    def anywhere(cls, units_MD: Array) -> "Pool":
        """Global points, told from the best origin."""
        num_points = len(units_MD)
        return cls(
            units=units_MD,
            origin=np.zeros(num_points, dtype=int),
            is_global=np.ones(num_points, dtype=bool),
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
    best = [study.trials[item.trial_id] for item in study.leaders(NUM_ORIGINS)]
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
    moves = [
        np.concatenate(
            [_single_steps(encoding, origin.units, rng), _multi_moves(encoding, origin.units, rng)]
        )
        for origin in origins
    ]
    anywhere = [rng.random((NUM_GLOBAL, encoding.num_dims)), *_crossovers(origins, rng)]
    if encoding.has_priors:
        anywhere.append(encoding.believed(rng.random((NUM_GLOBAL, encoding.num_dims))))
    if encoding.enumerated is not None:
        anywhere.append(encoding.enumerated)
    sources = [*range(len(moves)), *[-1] * len(anywhere)]
    source = np.repeat(sources, [len(points) for points in (*moves, *anywhere)])
    return _allowed(
        encoding,
        np.concatenate([*moves, *anywhere]),
        origin=np.maximum(source, 0),
        is_global=source < 0,
    )


def overlooked(encoding: Encoding, tried_ND: Array, rng: np.random.Generator) -> Array:
    """Allowed points to look through when no other way finds one that was not tried, (M, D).

    All of a discrete space of up to 100,000 points; else the default, single steps from the latest
    256 that were tried, and many draws.
    """
    if encoding.listed is not None:
        return encoding.listed
    steps = [
        _single_steps(encoding, units, rng)
        for units in (encoding.default, *tried_ND[-_MAX_OVERLOOKED:])
    ]
    draws = rng.random((_NUM_DRAWS, encoding.num_dims))
    points = encoding.snap(np.concatenate([encoding.default[None], *steps, draws]))
    return points[~encoding.forbidden(points)]


def refine_pool(encoding: Encoding, pool: Pool, best: int, rng: np.random.Generator) -> Pool:
    """Small random steps around the best point so far: local search on the score."""
    centre = pool.units[best]
    width = np.exp(rng.uniform(np.log(0.005), np.log(0.1), size=(64, 1)))
    noise = rng.standard_normal((64, encoding.num_dims)) * width
    chosen = rng.random((64, encoding.num_dims)) < 0.5
    moved = np.where(chosen & encoding.is_ordered, centre + noise, centre)
    return _allowed(
        encoding,
        moved,
        origin=np.repeat(pool.origin[best], len(moved)),
        is_global=np.repeat(pool.is_global[best], len(moved)),
    )


def _allowed(
    encoding: Encoding, units_MD: Array, *, origin: NDArray[np.int_], is_global: Mask
) -> Pool:
    """The points snapped to values, without forbidden ones."""
    pool = Pool(units=encoding.snap(units_MD), origin=origin, is_global=is_global)
    return pool.take(~encoding.forbidden(pool.units)) if encoding.space.forbid else pool


def _single_steps(encoding: Encoding, units_D: Array, rng: np.random.Generator) -> Array:
    """Every level of discrete dimensions, jittered steps of each size along ordered ones."""
    jitter = np.exp(_STEP_JITTER * rng.standard_normal((encoding.num_dims, len(_SIGNED_STEPS))))
    stepped = units_D[:, None] + _SIGNED_STEPS * jitter
    active = encoding.active(units_D[None])[0]
    places = [
        encoding.places[i] if 0 < encoding.levels[i] <= _MAX_LISTED_LEVELS else stepped[i]
        for i in np.flatnonzero(active)
    ]
    changed = np.repeat(np.flatnonzero(active), [len(each) for each in places])
    values = np.concatenate([*places, np.empty(0)])
    is_inside = (values >= 0.0) & (values <= 1.0)
    changed, values = changed[is_inside], values[is_inside]
    rows = np.repeat(units_D[None], len(values), axis=0)
    rows[np.arange(len(values)), changed] = values
    return rows


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
