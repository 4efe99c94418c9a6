"""Selection: which of the many scored points become the candidates of a decision."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from lexmove.agent.acquisition import floor_scores
from lexmove.agent.belief import log_belief
from lexmove.agent.candidates import Kind, Origin, Pool, build_pool, overlooked, refine_pool
from lexmove.agent.encoding import SAME_TOLERANCE, Array, Encoding, is_apart, nearest
from lexmove.agent.portfolio import Opening, next_start
from lexmove.agent.surrogate import Surrogate
from lexmove.agent.trust_region import outside
from lexmove.space.search_space import Config
from lexmove.study.study import Study

MIN_DISTANCE = 0.02
"""Candidates of one decision lie at least this far apart in some dimension (unit ranges)."""

MIN_GLOBAL_RATIO = 0.125
"""Share of the slots kept for global points."""

_FAR_OFF = 100.0
"""Taken from the score of what lies outside the trust region: behind all that lies inside."""

_MAX_RANKED = 400
_BLOCK = 96


class Start(NamedTuple):
    """A config that may be started now; `origin` indexes the origins, `score` is the floor's.

    `decode` makes the config when it is asked for. `expert` says what put it forward: the
    floor's rule or the start portfolio. `reason` is why, where the move alone does not say it. One
    of the portfolio that `gives_way` comes after the first that ASHA promotes.
    """

    decode: Callable[[], Config]
    units: Array
    origin: int
    kind: Kind
    score: float
    expert: str
    reason: str = ""
    gives_way: bool = False


def choose_starts(
    study: Study,
    encoding: Encoding,
    surrogate: Surrogate,
    origins: Sequence[Origin],
    rng: np.random.Generator,
    *,
    rule: str,
    room: int,
) -> tuple[Start, ...]:
    """At most `room` new configs, the best first; () when none is found that was not tried.

    What the user asks for stands alone, and so does the space's default. While the surrogate knows
    too little, the start portfolio's next point stands before the floor's candidates.
    """
    seen = surrogate.history.tried
    opening = next_start(study, encoding, surrogate)
    first = [] if opening is None else [_portfolio_start(opening)]
    if opening is not None and opening.is_alone:
        return tuple(first)
    scored = _scored_pool(study, encoding, surrogate, origins, rng, rule=rule)
    taken = np.concatenate([seen, *(start.units[None] for start in first)])
    kept = _spread(scored.pool, scored.scores, taken, room=room - len(first))
    if not len(kept) and not first:
        rest = Pool.anywhere(overlooked(encoding, seen, rng))
        scored = _Scored(pool=rest, scores=_score(study, encoding, surrogate, rest, rule))
        kept = _spread(rest, scored.scores, seen, room=room)
    is_timed = study.spec.wall_clock_s is not None
    expert = f"floor:{rule}{'_per_second' * is_timed}"
    starts = _floor_starts(encoding, origins, scored, kept, expert)
    return (*first, *starts)


def _portfolio_start(opening: Opening) -> Start:
    return Start(
        decode=lambda: opening.config,
        units=opening.units,
        origin=0,
        kind=opening.kind,
        score=np.inf,
        expert=opening.expert,
        reason=opening.reason,
        gives_way=opening.gives_way,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scored:
    pool: Pool
    scores: Array


def _floor_starts(
    encoding: Encoding,
    origins: Sequence[Origin],
    scored: _Scored,
    kept: NDArray[np.int_],
    expert: str,
) -> list[Start]:
    pool = scored.pool.take(kept)
    rows = zip(
        pool.units,
        pool.origin.tolist(),
        pool.is_global.tolist(),
        scored.scores[kept].tolist(),
        strict=True,
    )
    return [
        Start(
            decode=partial(encoding.config, units, None if is_global else origins[origin].config),
            units=units,
            origin=origin,
            kind="global" if is_global else "move",
            score=score,
            expert=expert,
        )
        for units, origin, is_global, score in rows
    ]


def _scored_pool(
    study: Study,
    encoding: Encoding,
    surrogate: Surrogate,
    origins: Sequence[Origin],
    rng: np.random.Generator,
    *,
    rule: str,
) -> _Scored:
    """The pool and its scores, after one round of local search around the best point."""
    pool = build_pool(encoding, origins, rng)
    if not len(pool.units):
        return _Scored(pool=pool, scores=np.empty(0))
    scores = _score(study, encoding, surrogate, pool, rule)
    finer = refine_pool(encoding, pool, int(np.argmax(scores)), rng)
    if len(finer.units):
        pool, scores = (
            Pool.join([pool, finer]),
            np.append(scores, _score(study, encoding, surrogate, finer, rule)),
        )
    return _Scored(pool=pool, scores=scores)


def _score(study: Study, encoding: Encoding, surrogate: Surrogate, pool: Pool, rule: str) -> Array:
    prediction = surrogate.predict(pool.units, np.ones(len(pool.units)))
    scores = floor_scores(prediction, surrogate.best, rule=rule)
    weighed: Array = scores + np.log(surrogate.feasibility(pool.units)) - surrogate.cost(pool.units)
    if encoding.has_priors:
        weighed += log_belief(encoding, surrogate.history, pool.units, rule=rule)
    return weighed - _FAR_OFF * outside(study, encoding, surrogate.history, pool.units)


def _spread(pool: Pool, scores_M: Array, taken_ND: Array, *, room: int) -> NDArray[np.int_]:
    """The best new points that keep their distance from one another, best first.

    A space with fewer points than `room` gives all that were not taken.
    """
    order = np.argsort(-scores_M, kind="stable")
    num_global = int(MIN_GLOBAL_RATIO * room)
    for ranked in (order[:_MAX_RANKED], order):
        new = ranked[is_apart(pool.units[ranked], taken_ND, SAME_TOLERANCE)]
        best = _greedy(pool.units, new, room=room - num_global)
        if len(best) == room - num_global:
            break
    others = new[pool.is_global[new] & ~np.isin(new, best)]
    if num_global and len(others):
        # The reserved slots go to the best global points among those that were ranked.
        others = others[nearest(pool.units[others], pool.units[best]) > SAME_TOLERANCE]
        best = np.append(best, _greedy(pool.units, others, room=num_global))
    return best[np.argsort(-scores_M[best], kind="stable")]


def _greedy(units_MD: Array, order: NDArray[np.int_], *, room: int) -> NDArray[np.int_]:
    """Takes points in order, leaving out those too near to one taken before."""
    chosen: list[int] = []
    for at in range(0, len(order), _BLOCK):
        block = order[at : at + _BLOCK]
        units = units_MD[block]
        is_free = nearest(units, units_MD[chosen]) > MIN_DISTANCE
        is_far = cdist(units, units, "chebyshev") > MIN_DISTANCE
        while len(chosen) < room and is_free.any():
            index = is_free.argmax()
            chosen.append(block[index])
            is_free &= is_far[index]
        if len(chosen) == room:
            break
    return np.array(chosen, dtype=int)
