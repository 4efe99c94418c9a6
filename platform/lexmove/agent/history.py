"""The history: a study as rows of points, scores and fidelities, in the order of their arrival."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lexmove.agent.encoding import Array, Encoding, Mask
from lexmove.study.fidelity import Fidelity
from lexmove.study.study import Study
from lexmove.study.trial import Measured, Trial, TrialStatus

_FAILED = (TrialStatus.FAILED, TrialStatus.INFEASIBLE)
_PENDING = (TrialStatus.RUNNING, TrialStatus.PREEMPTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A study as rows in the order of their arrival: N measured or failed ones, P pending.

    A trial has several rows where it has rungs. `scores` is the objective, higher is better,
    lifted to full fidelity by the median gain of the trials measured on both sides; a failure
    has the worst score. `measured` are the scores before that, NaN of a failure. `fidelity` is
    in [0, 1], logarithmic, 1 the maximum. `trial_ids` says whose a row is. `units` (N, D) and
    `pending` (P, D) are points of the unit cube. `tried` (T, D) are those of all trials, by id.
    `num_scored` counts the trials with measured rows; `incumbent` is the best score as measured,
    0 without one.
    """

    units: Array
    scores: Array
    measured: Array
    fidelity: Array
    trial_ids: NDArray[np.int_]
    failed: Mask
    pending: Array
    tried: Array
    num_scored: int
    incumbent: float


class _Row(NamedTuple):
    """What one trial had reached at one fidelity; `seq` is the event since when it is known."""

    seq: int
    trial_id: int
    fidelity: Fidelity
    place: float
    score: float


@lru_cache(maxsize=1024)
def fidelity_place(fidelity: Fidelity, maximum: Fidelity) -> float:
    """A fidelity on a logarithmic scale: 1 unit is 0, the maximum is 1."""
    if maximum <= 1:
        return 1.0
    return float(np.log(min(max(fidelity, 1), maximum)) / np.log(maximum))


def read_history(study: Study, encoding: Encoding) -> History:
    """The rows of a study: what each trial reached, what failed, what is still running."""
    plan = study.spec.fidelity
    key = repr(("rows", study.spec.metric, study.sign, plan))
    read = partial(_rows_of, study, rungs=plan.rungs)
    rows = sorted(row for trial in study.trials for row in trial.derive(key, partial(read, trial)))
    pending = [trial.trial_id for trial in study.trials if trial.status in _PENDING]
    tried = encoding.points(study.trials)
    trial_ids = np.array([row.trial_id for row in rows], dtype=int)
    measured = np.array([row.score for row in rows])
    fidelity = np.array([row.place for row in rows])
    failed = np.isnan(measured)
    return History(
        units=tried[trial_ids],
        scores=lifted(measured, fidelity, trial_ids),
        measured=measured,
        fidelity=fidelity,
        trial_ids=trial_ids,
        failed=failed,
        pending=tried[np.array(pending, dtype=int)],
        tried=tried,
        num_scored=len(set(trial_ids[~failed].tolist())),
        incumbent=0.0 if study.incumbent is None else study.sign * study.incumbent.value,
    )


def _rows_of(study: Study, trial: Trial, rungs: Sequence[Fidelity]) -> list[_Row]:
    """What a trial reached; a failure, at full fidelity, where it has ended without."""
    rows = _measured_rows(study, trial, rungs)
    if rows or trial.status in _PENDING:
        return rows
    return [_row(study, trial, trial.events[-1].seq, rungs[-1], np.nan)]


def _row(study: Study, trial: Trial, seq: int, fidelity: Fidelity, score: float) -> _Row:
    place = fidelity_place(fidelity, study.spec.fidelity.maximum)
    return _Row(seq, trial.trial_id, fidelity, place, score)


def _measured_rows(study: Study, trial: Trial, rungs: Sequence[Fidelity]) -> list[_Row]:
    """A finished trial at its best; one that stopped early at its last and at every rung."""
    if trial.status in _FAILED:
        return []
    reached = _reached(study, trial)
    if not reached:
        return []
    last = max(reached)
    rows = [reached[rung] for rung in rungs[:-1] if rung in reached and rung < last]
    if trial.status is TrialStatus.COMPLETED:
        best, end = max(row.score for row in reached.values()), rungs[-1]
        return [*rows, _row(study, trial, trial.events[-1].seq, end, best)]
    # A first segment that is still running says too little to stand beside finished ones.
    if trial.status in _PENDING and last not in rungs:
        return rows
    return [*rows, reached[last]]


def _reached(study: Study, trial: Trial) -> dict[Fidelity, _Row]:
    """What a trial reached, by fidelity; of one measured twice the first counts."""
    rows: dict[Fidelity, _Row | None] = {}
    for event in trial.events:
        if isinstance(event, Measured) and event.measurement.fidelity not in rows:
            fidelity = event.measurement.fidelity
            value = event.measurement.metrics.get(study.spec.metric, math.nan)
            row = _row(study, trial, event.seq, fidelity, study.sign * value)
            rows[fidelity] = row if math.isfinite(value) else None
    return {fidelity: row for fidelity, row in rows.items() if row is not None}


def lifted(measured_N: Array, fidelity_N: Array, trial_ids_N: NDArray[np.int_]) -> Array:
    """Scores as they would be at the highest fidelity; failures have the worst."""
    is_measured = ~np.isnan(measured_N)
    if not is_measured.any():
        return np.zeros(len(measured_N))
    scores = measured_N.copy()
    levels = sorted(set(fidelity_N[is_measured].tolist()))
    if len(levels) > 1:
        lift = _lift(
            levels, measured_N[is_measured], fidelity_N[is_measured], trial_ids_N[is_measured]
        )
        scores[is_measured] += lift
    return np.where(is_measured, scores, scores[is_measured].min())


def _lift(
    levels: Sequence[float], measured_N: Array, fidelity_N: Array, trial_ids_N: NDArray[np.int_]
) -> Array:
    """What is to come from each row's fidelity to the highest one measured, (N,), mostly > 0.

    The median gain between neighbouring fidelities over the trials that have both.
    """
    at = [
        dict(zip(trial_ids_N[here].tolist(), measured_N[here].tolist(), strict=True))
        for here in (fidelity_N == level for level in levels)
    ]
    to_come = [0.0]
    for lower, upper in reversed(list(pairwise(at))):
        gains = [upper[trial_id] - lower[trial_id] for trial_id in lower if trial_id in upper]
        to_come.append(to_come[-1] + (median(gains) if gains else 0.0))
    lift: Array = np.array(to_come[::-1])[np.searchsorted(levels, fidelity_N)]
    return lift
