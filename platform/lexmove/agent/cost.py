"""Cost: how long a config trains, learned from those that trained, where time is the limit."""

import numpy as np

from lexmove.agent.encoding import Array, Encoding
from lexmove.agent.gaussian_process import GaussianProcess, fit, thinned

_MIN_TIMED = 3
"""Trials before anything is said about the time of others."""

_MAX_TIMED = 128


class Cost:
    """Regression of the logarithm of a trial's pace, in seconds per unit of fidelity.

    A Gaussian process with length-scales of its own: what makes a trial slow is seldom what makes
    it good. Expected improvement over it is the improvement per second (Snoek, Larochelle and
    Adams 2012, arXiv 1206.2944).

    Args:
        encoding: the space.
        units_TD: points of the unit cube that were tried, in the order in which they were.
        paces_T: their seconds per unit of fidelity; NaN where that is not known. With fewer than
            three of them nothing costs anything.
        num_fitted: how many of the first points with a pace the length-scales are fitted to.
    """

    def __init__(
        self, encoding: Encoding, units_TD: Array, paces_T: Array, *, num_fitted: int
    ) -> None:
        self._encoding = encoding
        self._process: GaussianProcess | None = None
        timed = np.flatnonzero(np.isfinite(paces_T))
        logs = np.log(paces_T[timed])
        if len(timed) < _MIN_TIMED or not np.ptp(logs):
            return
        self._scale = float(logs.std())
        y = _standardised(logs)
        Z = encoding.embed(units_TD[timed])
        # Standardised by themselves, so that later decisions find the same fit.
        first = _standardised(logs[:num_fitted])
        kept = thinned(first)
        hyper = fit(Z[kept], first[kept], encoding.groups)
        self._process = GaussianProcess(
            Z[-_MAX_TIMED:], y[-_MAX_TIMED:], groups_E=encoding.groups, hyper=hyper
        )

    def __call__(self, units_MD: Array) -> Array:
        """Logarithm of the seconds that M points take, over that of the mean trial, (M,)."""
        if self._process is None:
            return np.zeros(len(units_MD))
        means, _ = self._process.predict(self._encoding.embed(units_MD))
        logs: Array = self._scale * means
        return logs


def _standardised(values_N: Array) -> Array:
    spread = float(values_N.std())
    standard: Array = (values_N - values_N.mean()) / (spread or 1.0)
    return standard
