"""The surrogate: two Gaussian processes that learn from a study what any config would reach."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lexmove.agent.encoding import Array, Encoding, Mask
from lexmove.agent.gaussian_process import GaussianProcess, Hyper, fit
from lexmove.study.fidelity import Fidelity
from lexmove.study.study import Study
from lexmove.study.trial import Measured, Trial, TrialStatus

MAX_ROWS = 256
"""Rows that a process sees at most: the best half and the latest of the rest."""

_MAX_DROP = 5.0
"""A score further below the best than this many gaps between best and median is cut off there."""

_FIRST_FIT, _FIT_GROWTH = 10, 1.25
"""Length-scales are fitted at every length of the history up to the first, then at each growth."""

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
    score: float


def fidelity_place(fidelity: Fidelity, maximum: Fidelity) -> float:
    """A fidelity on a logarithmic scale: 1 unit is 0, the maximum is 1."""
    if maximum <= 1:
        return 1.0
    return float(np.log(min(max(fidelity, 1), maximum)) / np.log(maximum))


def read_history(study: Study, encoding: Encoding) -> History:
    """The rows of a study: what each trial reached, what failed, what is still running."""
    rows: list[_Row] = []
    pending: list[int] = []
    rungs = study.spec.fidelity.rungs
    for trial in study.trials:
        if trial.status in _PENDING:
            pending.append(trial.trial_id)
        reached = _rows_of(study, trial, rungs)
        rows += reached
        if not reached and trial.status not in _PENDING:
            rows.append(_failure(study, trial))
    rows.sort()
    tried = encoding.units([trial.started.config for trial in study.trials])
    maximum = study.spec.fidelity.maximum
    trial_ids = np.array([row.trial_id for row in rows], dtype=int)
    measured = np.array([row.score for row in rows])
    fidelity = np.array([fidelity_place(row.fidelity, maximum) for row in rows])
    failed = np.isnan(measured)
    return History(
        units=tried[trial_ids],
        scores=_lifted(measured, fidelity, trial_ids),
        measured=measured,
        fidelity=fidelity,
        trial_ids=trial_ids,
        failed=failed,
        pending=tried[np.array(pending, dtype=int)],
        tried=tried,
        num_scored=len(set(trial_ids[~failed].tolist())),
        incumbent=0.0 if study.incumbent is None else study.sign * study.incumbent.value,
    )


def _failure(study: Study, trial: Trial) -> _Row:
    return _Row(
        seq=trial.events[-1].seq,
        trial_id=trial.trial_id,
        fidelity=study.spec.fidelity.maximum,
        score=np.nan,
    )


def _rows_of(study: Study, trial: Trial, rungs: Sequence[Fidelity]) -> list[_Row]:
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
        return [*rows, _Row(trial.events[-1].seq, trial.trial_id, end, best)]
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
            row = _Row(event.seq, trial.trial_id, fidelity, study.sign * value)
            rows[fidelity] = row if math.isfinite(value) else None
    return {fidelity: row for fidelity, row in rows.items() if row is not None}


def _lifted(measured_N: Array, fidelity_N: Array, trial_ids_N: NDArray[np.int_]) -> Array:
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
        to_come.append(to_come[-1] + (float(np.median(gains)) if gains else 0.0))
    lift: Array = np.array(to_come[::-1])[np.searchsorted(levels, fidelity_N)]
    return lift


def _capped(scores_N: Array) -> NDArray[np.int_]:
    """The rows that a process sees."""
    if len(scores_N) <= MAX_ROWS:
        return np.arange(len(scores_N))
    order = np.argsort(-scores_N, kind="stable")
    best, rest = order[: MAX_ROWS // 2], np.sort(order[MAX_ROWS // 2 :])
    return np.sort(np.concatenate([best, rest[-(MAX_ROWS - len(best)) :]]))


def num_fitted(num_rows: int) -> int:
    """How many of the first rows the length-scales are fitted to.

    A geometric schedule, so that most decisions find the fit of an earlier one: it is a function
    of the history alone, and remembering it changes no decision.
    """
    milestone = _FIRST_FIT
    if num_rows <= milestone:
        return num_rows
    while (following := int(np.ceil(milestone * _FIT_GROWTH))) <= num_rows:
        milestone = following
    return milestone


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What the process says about M points: of the scores and of their Yeo-Johnson transform.

    `means` and `stds` are (2, M) in standardised units of each target. `gains` and `gain_stds` (M,)
    are the first one's, over the incumbent, in units of the objective.
    """

    means: Array
    stds: Array
    gains: Array
    gain_stds: Array


class Surrogate:
    """Two processes over one history; running trials are fantasies at their posterior means."""

    def __init__(self, history: History, encoding: Encoding) -> None:
        self._encoding = encoding
        self.history = history
        # Also where all rows are at the first rung: what the end adds to them is not known.
        self._has_fidelity = bool(np.any(history.fidelity < 1.0))
        groups = encoding.groups
        self._groups = np.append(groups, groups[-1] + 1) if self._has_fidelity else groups
        kept = _capped(history.scores)
        scores = _clipped(history.scores[kept])
        self._shift, self._scale = _location(scores)
        self.targets = _targets(scores)
        Z = self._embed(history.units, history.fidelity)
        pending = self._embed(history.pending, np.ones(len(history.pending)))
        self._processes = [
            GaussianProcess(Z[kept], y, groups_E=self._groups, hyper=hyper, pending_PE=pending)
            for y, hyper in zip(self.targets, self._hypers(Z), strict=True)
        ]

    def _hypers(self, Z_NE: Array) -> list[Hyper]:
        """The hyperparameters of each process, fitted to the first rows of the history."""
        history, n = self.history, num_fitted(len(self.history.scores))
        first = _lifted(history.measured[:n], history.fidelity[:n], history.trial_ids[:n])
        return [fit(Z_NE[:n], y, self._groups) for y in _targets(_clipped(first))]

    @property
    def best(self) -> Array:
        """The best target of each process, (2,); 0 without any."""
        if not self.targets.size:
            return np.zeros(2)
        best: Array = self.targets.max(axis=1)
        return best

    @property
    def length_scales(self) -> Array:
        """Geometric mean of both processes' length-scales, (D,)."""
        logs = [process.hyper.log_lengths for process in self._processes]
        mean: Array = np.exp(np.mean(logs, axis=0)[: self._encoding.num_dims])
        return mean

    @property
    def noise(self) -> float:
        """Standard deviation of the noise, as a share of the spread of the history."""
        return self._processes[0].noise

    def trust(self) -> float:
        """Leave-one-out rank correlation with the truth, in [−1, 1]; 0 where unknown."""
        n = len(self.targets[0])
        if n < 4 or not np.ptp(self.targets[0]):
            return 0.0
        predicted = self._processes[0].leave_one_out()[:n]
        if not np.ptp(predicted):
            return 0.0
        return float(np.corrcoef(_ranks(predicted), _ranks(self.targets[0]))[0, 1])

    def predict(self, units_MD: Array, places_M: Array) -> Prediction:
        """Posterior of the config points at fidelities `places_M` (see `fidelity_place`)."""
        Z = self._embed(units_MD, places_M)
        means, stds = zip(*(process.predict(Z) for process in self._processes), strict=True)
        return Prediction(
            means=np.stack(means),
            stds=np.stack(stds),
            gains=means[0] * self._scale + self._shift - self.history.incumbent,
            gain_stds=stds[0] * self._scale,
        )

    def _embed(self, units_MD: Array, places_M: Array) -> Array:
        Z = self._encoding.embed(units_MD)
        return np.column_stack([Z, places_M]) if self._has_fidelity else Z


def _clipped(scores_N: Array) -> Array:
    # Beyond ±1e150 squares overflow.
    return _cut_low(np.clip(scores_N, -1e150, 1e150))


def _targets(scores_N: Array) -> Array:
    """Scores standardised, and the same made normal, (2, N)."""
    shift, scale = _location(scores_N)
    # Rounding makes an affine change of the objective leave no trace in the decisions.
    raw = np.round((scores_N - shift) / scale, 9)
    return np.stack([raw, yeo_johnson(raw)])


def _cut_low(scores_N: Array) -> Array:
    """Scores with hopeless ones lifted, so that one divergence does not flatten the rest."""
    if len(scores_N) < 3:
        return scores_N
    best, median = scores_N.max(), np.median(scores_N)
    if best <= median:
        return scores_N
    cut: Array = np.maximum(scores_N, best - _MAX_DROP * (best - median))
    return cut


def _location(scores_N: Array) -> tuple[float, float]:
    if not len(scores_N):
        return 0.0, 1.0
    spread = float(scores_N.std())
    negligible = 1e-12 * max(1.0, float(np.abs(scores_N).max()))
    return float(scores_N.mean()), spread if spread > negligible else 1.0


def _ranks(values_N: Array) -> Array:
    ranks: Array = np.argsort(np.argsort(values_N, kind="stable"), kind="stable").astype(float)
    return ranks


_LAMBDAS = np.linspace(-1.0, 3.0, 41)


def yeo_johnson(values_N: Array) -> Array:
    """Values made as normal as a power can (Yeo & Johnson 2000), standardised again.

    The power is the most likely one on a grid over [−1, 3].
    """
    if len(values_N) < 4 or not np.ptp(values_N):
        return values_N
    warped = _power(values_N, _LAMBDAS[:, None])
    log_slopes = (_LAMBDAS - 1.0) * np.sum(np.sign(values_N) * np.log1p(np.abs(values_N)))
    likelihood = log_slopes - 0.5 * len(values_N) * np.log(warped.var(axis=1))
    chosen = warped[np.argmax(likelihood)]
    standard: Array = np.round((chosen - chosen.mean()) / chosen.std(), 9)
    return standard


def _power(values_N: Array, lambdas: Array) -> Array:
    up, down = np.log1p(np.maximum(values_N, 0.0)), np.log1p(np.maximum(-values_N, 0.0))
    # expm1(λ t) / λ tends to t at λ = 0; the grid meets 0 and 2 up to rounding only.
    return _box(up, lambdas) - _box(down, 2.0 - lambdas)


def _box(logs: Array, power: Array) -> Array:
    safe = np.where(np.abs(power) < 1e-9, 1.0, power)
    boxed: Array = np.where(np.abs(power) < 1e-9, logs, np.expm1(safe * logs) / safe)
    return boxed
