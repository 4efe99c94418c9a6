"""The surrogate: two Gaussian processes that learn from a study what any config would reach."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lexmove.agent.encoding import Array, Encoding, Mask
from lexmove.agent.gaussian_process import GaussianProcess, fit
from lexmove.study.fidelity import Fidelity
from lexmove.study.study import Study
from lexmove.study.trial import Trial, TrialStatus

MAX_ROWS = 256
"""Rows that the processes see at most: the best half and the latest of the rest."""

_MAX_DROP = 5.0
"""A score further below the best than this many gaps between best and median is cut off there."""

_FAILED = (TrialStatus.FAILED, TrialStatus.INFEASIBLE)
_PENDING = (TrialStatus.RUNNING, TrialStatus.PREEMPTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A study as rows. N measured rows (several of one trial where it has rungs), P pending.

    `scores` is the objective, higher is better, lifted to full fidelity by the median gain of
    the trials measured on both sides; a failure has the worst score. `fidelity` is in [0, 1],
    logarithmic, 1 the maximum. `units` (N, D) and `pending` (P, D) are points of the unit cube.
    `tried` (T, D) are those of all trials, by id. `num_scored` counts the trials with measured
    rows; `incumbent` is the best score as measured, 0 without one.
    """

    units: Array
    scores: Array
    fidelity: Array
    failed: Mask
    pending: Array
    tried: Array
    num_scored: int
    incumbent: float


def fidelity_place(fidelity: Fidelity, maximum: Fidelity) -> float:
    """A fidelity on a logarithmic scale: 1 unit is 0, the maximum is 1."""
    if maximum <= 1:
        return 1.0
    return float(np.log(min(max(fidelity, 1), maximum)) / np.log(maximum))


def read_history(study: Study, encoding: Encoding) -> History:
    """The rows of a study: what each trial reached, what failed, what is still running."""
    rows: list[tuple[Trial, Fidelity, float]] = []
    failed: list[Trial] = []
    pending: list[Trial] = []
    for trial in study.trials:
        if trial.status in _PENDING:
            pending.append(trial)
        reached = _rows_of(study, trial)
        rows += reached
        if not reached and trial.status not in _PENDING:
            failed.append(trial)
    tried = encoding.units([trial.config for trial in study.trials])
    maximum = study.spec.fidelity.maximum
    scores = np.array([score for _, _, score in rows]) - _shortfall(rows)
    worst = scores.min() if len(scores) else 0.0
    trials = [trial for trial, _, _ in rows] + failed
    places = [fidelity_place(fidelity, maximum) for _, fidelity, _ in rows]
    return _capped(
        History(
            units=tried[_ids(trials)],
            scores=np.concatenate([scores, np.full(len(failed), worst)]),
            fidelity=np.array(places + [1.0] * len(failed)),
            failed=np.array([False] * len(rows) + [True] * len(failed), dtype=bool),
            pending=tried[_ids(pending)],
            tried=tried,
            num_scored=len({trial.trial_id for trial, _, _ in rows}),
            incumbent=0.0 if study.incumbent is None else study.sign * study.incumbent.value,
        )
    )


def _ids(trials: list[Trial]) -> NDArray[np.int_]:
    return np.array([trial.trial_id for trial in trials], dtype=int)


def _rows_of(study: Study, trial: Trial) -> list[tuple[Trial, Fidelity, float]]:
    """A finished trial at its best; one that stopped early at its last and at every rung."""
    if trial.status in _FAILED:
        return []
    rungs = study.spec.fidelity.rungs
    reached = {
        item.fidelity: score
        for item in trial.measurements
        if (score := study.score_at(trial, item.fidelity)) is not None
    }
    if not reached:
        return []
    last = max(reached)
    rows = [(trial, rung, reached[rung]) for rung in rungs[:-1] if rung in reached and rung < last]
    if trial.status is TrialStatus.COMPLETED:
        return [*rows, (trial, study.spec.fidelity.maximum, max(reached.values()))]
    # A first segment that is still running says too little to stand beside finished ones.
    if trial.status in _PENDING and last not in rungs:
        return rows
    return [*rows, (trial, last, reached[last])]


def _shortfall(rows: list[tuple[Trial, Fidelity, float]]) -> Array:
    """What a row's fidelity adds to its score against the highest one measured, (N,), mostly < 0.

    The median gain between neighbouring fidelities over the trials that have both.
    """
    by_trial: dict[int, dict[Fidelity, float]] = {}
    for trial, fidelity, score in rows:
        by_trial.setdefault(trial.trial_id, {})[fidelity] = score
    levels = sorted({fidelity for _, fidelity, _ in rows})
    gap = dict.fromkeys(levels, 0.0)
    for lower, upper in reversed(list(pairwise(levels))):
        gains = [
            reached[upper] - reached[lower]
            for reached in by_trial.values()
            if lower in reached and upper in reached
        ]
        gap[lower] = gap[upper] - (float(np.median(gains)) if gains else 0.0)
    return np.array([gap[fidelity] for _, fidelity, _ in rows])


def _capped(history: History) -> History:
    if len(history.scores) <= MAX_ROWS:
        return history
    order = np.argsort(-history.scores, kind="stable")
    best, rest = order[: MAX_ROWS // 2], np.sort(order[MAX_ROWS // 2 :])
    kept = np.sort(np.concatenate([best, rest[-(MAX_ROWS - len(best)) :]]))
    return History(
        units=history.units[kept],
        scores=history.scores[kept],
        fidelity=history.fidelity[kept],
        failed=history.failed[kept],
        pending=history.pending,
        tried=history.tried,
        num_scored=history.num_scored,
        incumbent=history.incumbent,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What two processes (raw and Yeo-Johnson targets) say about M points.

    `means` and `stds` are (2, M) in standardised units of each process. `gains` and `gain_stds`
    (M,) are the first one's, over the incumbent, in units of the objective.
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
        # Beyond ±1e150 squares overflow.
        scores = _cut_low(np.clip(history.scores, -1e150, 1e150))
        self._shift, self._scale = _location(scores)
        # Rounding makes an affine change of the objective leave no trace in the decisions.
        raw = np.round((scores - self._shift) / self._scale, 9)
        self.targets = np.stack([raw, yeo_johnson(raw)])
        self._has_fidelity = len(np.unique(history.fidelity)) > 1
        groups = encoding.groups
        self._groups = np.append(groups, groups[-1] + 1) if self._has_fidelity else groups
        self._processes = [self._fitted(y) for y in self.targets]

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
        """Noise of the raw process, as a share of the spread of the history."""
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

    def _fitted(self, y_N: Array) -> GaussianProcess:
        Z = self._embed(self.history.units, self.history.fidelity)
        hyper = fit(Z, y_N, self._groups)
        process = GaussianProcess(Z, y_N, groups_E=self._groups, hyper=hyper)
        if not len(self.history.pending):
            return process
        # Kriging believer (Ginsbourger et al. 2010): the mean stays, the uncertainty shrinks.
        pending = self._embed(self.history.pending, np.ones(len(self.history.pending)))
        fantasies, _ = process.predict(pending)
        return GaussianProcess(
            np.concatenate([Z, pending]),
            np.concatenate([y_N, fantasies]),
            groups_E=self._groups,
            hyper=hyper,
        )


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
