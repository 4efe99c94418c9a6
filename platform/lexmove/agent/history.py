"""The history: a study as rows of points, scores and fidelities, in the order of their arrival."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lexmove.agent.encoding import Array, Encoding, Mask
from lexmove.agent.ledger import Ledger
from lexmove.study.study import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A study as rows in the order of their arrival: N measured or failed ones, P pending.

    A trial has several rows where it has rungs. `scores` is the objective, higher is better,
    lifted to full fidelity by the median gain of the trials measured on both sides; a failure
    has the worst score. `measured` are the scores before that, NaN of a failure. `fidelity` is
    in [0, 1], logarithmic, 1 the maximum. `trial_ids` says whose a row is. `units` (N, D) and
    `pending` (P, D) are points of the unit cube. `tried` (T, D) are those of all trials, by id.
    `num_scored` counts the trials with measured rows; `incumbent` is the best score as measured,
    0 without one. `paces` (T,) are seconds per unit of fidelity, NaN where they are not known, and
    of all trials where time is not the limit.
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
    paces: Array

    @property
    def points(self) -> Array:
        """`units`, each trial once."""
        return self.tried[np.bincount(self.trial_ids, minlength=len(self.tried)) > 0]


def read_history(study: Study, encoding: Encoding) -> History:
    """The rows of a study: what each trial reached, what failed, what is still running."""
    ledger = Ledger.of(study, encoding)
    tried = ledger.units
    trial_ids, fidelity, measured = ledger.rows
    failed = np.isnan(measured)
    is_timed = study.spec.wall_clock_s is not None
    return History(
        units=tried[trial_ids],
        scores=lifted(measured, fidelity, trial_ids),
        measured=measured,
        fidelity=fidelity,
        trial_ids=trial_ids,
        failed=failed,
        pending=tried[ledger.pending],
        tried=tried,
        num_scored=int(np.count_nonzero(np.bincount(trial_ids[~failed]))),
        incumbent=0.0 if study.incumbent is None else study.sign * study.incumbent.value,
        paces=ledger.paces if is_timed else np.full(len(tried), np.nan),
    )


def lifted(measured_N: Array, fidelity_N: Array, trial_ids_N: NDArray[np.int_]) -> Array:
    """Scores as they would be at the highest fidelity; failures have the worst."""
    is_measured = ~np.isnan(measured_N)
    if not is_measured.any():
        return np.zeros(len(measured_N))
    scores = measured_N.copy()
    if np.ptp(fidelity_N[is_measured]):
        scores[is_measured] += _lift(
            measured_N[is_measured], fidelity_N[is_measured], trial_ids_N[is_measured]
        )
    return np.where(is_measured, scores, scores[is_measured].min())


def _lift(measured_N: Array, fidelity_N: Array, trial_ids_N: NDArray[np.int_]) -> Array:
    """What is to come from each row's fidelity to the highest one measured, (N,), mostly > 0.

    The median gain between neighbouring fidelities over the trials that have both.
    """
    levels = np.unique(fidelity_N)
    at = [fidelity_N == level for level in levels]
    to_come = [0.0]
    for lower, upper in reversed(list(pairwise(at))):
        _, first, then = np.intersect1d(
            trial_ids_N[lower], trial_ids_N[upper], assume_unique=True, return_indices=True
        )
        gains = measured_N[upper][then] - measured_N[lower][first]
        to_come.append(to_come[-1] + (float(np.median(gains)) if len(gains) else 0.0))
    lift: Array = np.array(to_come[::-1])[np.searchsorted(levels, fidelity_N)]
    return lift
