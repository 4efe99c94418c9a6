"""The rows of a trial: what it says about its config, at which fidelity and since when."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from lexmove.study.fidelity import Fidelity
from lexmove.study.study import Study
from lexmove.study.trial import Measured, Trial, TrialStatus

_FAILED = (TrialStatus.FAILED, TrialStatus.INFEASIBLE)
_PENDING = (TrialStatus.RUNNING, TrialStatus.PREEMPTED)


class Row(NamedTuple):
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


def rows_of(study: Study, trial: Trial) -> list[Row]:
    """What a trial reached; a failure, at full fidelity, where it has ended without."""
    rungs = study.spec.fidelity.rungs
    rows = _measured_rows(study, trial, rungs)
    if rows or trial.status in _PENDING:
        return rows
    return [_row(study, trial, trial.events[-1].seq, rungs[-1], np.nan)]


def _row(study: Study, trial: Trial, seq: int, fidelity: Fidelity, score: float) -> Row:
    place = fidelity_place(fidelity, study.spec.fidelity.maximum)
    return Row(seq, trial.trial_id, fidelity, place, score)


def _measured_rows(study: Study, trial: Trial, rungs: Sequence[Fidelity]) -> list[Row]:
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


def _reached(study: Study, trial: Trial) -> dict[Fidelity, Row]:
    """What a trial reached, by fidelity; of one measured twice the first counts."""
    rows: dict[Fidelity, Row | None] = {}
    for event in trial.events:
        if isinstance(event, Measured) and event.measurement.fidelity not in rows:
            fidelity = event.measurement.fidelity
            value = event.measurement.metrics.get(study.spec.metric, math.nan)
            row = _row(study, trial, event.seq, fidelity, study.sign * value)
            rows[fidelity] = row if math.isfinite(value) else None
    return {fidelity: row for fidelity, row in rows.items() if row is not None}
