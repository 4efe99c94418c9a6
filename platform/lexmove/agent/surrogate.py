"""The surrogate: two Gaussian processes that learn from a study what any config would reach."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lexmove.agent.belief import rank_correlation
from lexmove.agent.cost import Cost
from lexmove.agent.encoding import Array, Encoding, Mask
from lexmove.agent.feasibility import Feasibility
from lexmove.agent.gaussian_process import GaussianProcess, Hyper, fit, thinned
from lexmove.agent.history import History, lifted

MAX_ROWS = 256
"""Rows that a process sees at most: the best half and the latest of the rest."""

_MAX_DROP = 5.0
"""A score further below the best than this many gaps between best and median is cut off there."""

_FIRST_FIT, _FIT_GROWTH = 10, 1.25
"""Length-scales are fitted at every length of the history up to the first, then at each growth."""


def _capped(scores_N: Array, failed_N: Mask) -> NDArray[np.int_]:
    """The rows that a process sees; of equal scores those that were measured come first."""
    if len(scores_N) <= MAX_ROWS:
        return np.arange(len(scores_N))
    order = np.lexsort((failed_N, -scores_N))
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
    """Two processes over one history; running and failed trials are fantasies at their means.

    A failure so leaves the scores around it as they are, and tells `feasibility` alone what it
    was. `feasibility` gives the probability that a trial at a point ends with a score, `cost` what
    its time takes away.
    `scored` (N,) are the rows of the history that the processes learn from, `targets` (2, N) what.
    """

    agreement: float | None = None
    """Rank correlation, in [−1, 1], of what earlier studies say of the study's trials with their
    scores; None where there are no earlier ones, or too few trials to tell."""

    def __init__(self, history: History, encoding: Encoding) -> None:
        self._encoding = encoding
        self.history = history
        # Also where all rows are at the first rung: what the end adds to them is not known.
        self._has_fidelity = bool(np.any(history.fidelity < 1.0))
        groups = encoding.groups
        self._groups = np.append(groups, groups[-1] + 1) if self._has_fidelity else groups
        kept = _capped(history.scores, history.failed)
        scored, failed = kept[~history.failed[kept]], kept[history.failed[kept]]
        self.scored = scored
        scores = clipped(history.scores[scored])
        self._shift, self._scale = _location(scores)
        self.targets = _targets(scores)
        running = self._embed(history.pending, np.ones(len(history.pending)))
        fantasies = np.concatenate([running, self._rows(failed)])
        Z = self._rows(scored)
        self._processes = [
            GaussianProcess(Z, y, groups_E=self._groups, hyper=hyper, pending_PE=fantasies)
            for y, hyper in zip(self.targets, self._hypers(), strict=True)
        ]
        self.feasibility = Feasibility(
            encoding,
            history.units,
            history.failed,
            kept=kept,
            num_fitted=num_fitted(len(history.failed)),
        )
        self.cost = Cost(
            encoding,
            history.tried,
            history.paces,
            num_fitted=num_fitted(int(np.count_nonzero(np.isfinite(history.paces)))),
        )

    def _rows(self, rows_N: NDArray[np.int_]) -> Array:
        """Rows of the history as the processes see them."""
        return self._embed(self.history.units[rows_N], self.history.fidelity[rows_N])

    def _hypers(self) -> list[Hyper]:
        """The hyperparameters of each process, fitted to the first scores of the history."""
        history, scored = self.history, np.flatnonzero(~self.history.failed)
        first = scored[: num_fitted(len(scored))]
        columns = (history.measured, history.fidelity, history.trial_ids)
        found = []
        for y in _first_targets(*(column[first].tobytes() for column in columns)):
            kept = thinned(y)
            found.append(fit(self._rows(first[kept]), y[kept], self._groups))
        return found

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
        if len(self.targets[0]) < 4 or not np.ptp(self.targets[0]):
            return 0.0
        return rank_correlation(self.leave_one_out(), self.targets[0]) or 0.0

    def leave_one_out(self) -> Array:
        """The first process's mean at each of its scores, predicted from the others, (N,)."""
        return self._processes[0].leave_one_out()[: len(self.targets[0])]

    def predict(self, units_MD: Array, places_M: Array) -> Prediction:
        """Posterior of the config points at fidelities `places_M` (see `fidelity_place`)."""
        Z = self._embed(units_MD, places_M)
        means, stds = zip(*(process.predict(Z) for process in self._processes), strict=True)
        return self._told(np.stack(means), np.stack(stds))

    def _told(self, means: Array, stds: Array) -> Prediction:
        """Standardised means and deviations, (2, M) each, and what the first say of gains."""
        return Prediction(
            means=means,
            stds=stds,
            gains=means[0] * self._scale + self._shift - self.history.incumbent,
            gain_stds=stds[0] * self._scale,
        )

    def _embed(self, units_MD: Array, places_M: Array) -> Array:
        Z = self._encoding.embed(units_MD)
        return np.column_stack([Z, places_M]) if self._has_fidelity else Z


def clipped(scores_N: Array, *, max_drop: float = _MAX_DROP) -> Array:
    """Scores with hopeless ones lifted, so that one divergence does not flatten the rest.

    None is left further below the best than `max_drop` gaps between best and median.
    """
    # Beyond ±1e150 squares overflow.
    return _cut_low(np.clip(scores_N, -1e150, 1e150), max_drop)


def _targets(scores_N: Array) -> Array:
    """Scores standardised, and the same made normal, (2, N); the last ones are remembered."""
    return _targets_of(scores_N.tobytes())


@lru_cache(maxsize=16)
def _first_targets(measured: bytes, fidelity: bytes, trial_ids: bytes) -> Array:
    """The targets of rows as bytes, which can be looked up: most decisions have seen them."""
    scores = lifted(
        np.frombuffer(measured), np.frombuffer(fidelity), np.frombuffer(trial_ids, dtype=int)
    )
    return _targets(clipped(scores))


@lru_cache(maxsize=16)
def _targets_of(scores: bytes) -> Array:
    scores_N = np.frombuffer(scores)
    shift, scale = _location(scores_N)
    # Rounding makes an affine change of the objective leave no trace in the decisions.
    raw = np.round((scores_N - shift) / scale, 9)
    targets = np.stack([raw, yeo_johnson(raw)])
    targets.setflags(write=False)
    return targets


def _cut_low(scores_N: Array, max_drop: float) -> Array:
    if len(scores_N) < 3:
        return scores_N
    best, median = scores_N.max(), _median(scores_N)
    if best <= median:
        return scores_N
    cut: Array = np.maximum(scores_N, best - max_drop * (best - median))
    return cut


def _median(values_N: Array) -> float:
    # `np.median` takes ten times as long for the few values of a study.
    ordered, middle = np.sort(values_N), len(values_N) // 2
    return 0.5 * float(ordered[-1 - middle] + ordered[middle])


def _location(scores_N: Array) -> tuple[float, float]:
    if not len(scores_N):
        return 0.0, 1.0
    spread = float(scores_N.std())
    negligible = 1e-12 * float(np.abs(scores_N).max())
    return float(scores_N.mean()), spread if spread > negligible else 1.0


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
