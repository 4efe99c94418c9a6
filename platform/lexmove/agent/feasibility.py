"""Feasibility: how likely a config is to end with a score, learned from those that failed."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from lexmove.agent.encoding import Array, Encoding, Mask
from lexmove.agent.gaussian_process import GaussianProcess, fit, thinned

_PRIOR = 1.0
"""Label of a trial that held, and what is expected far from all trials; a failure is at −1."""

_SOFTNESS = 0.3
"""Standard deviation of the threshold between the labels, so that no point is certain."""

_LOWEST = 1e-4


class Feasibility:
    """Label regression by a Gaussian process: P = Φ((mean + prior) / √(softness² + std²)).

    It has length-scales of its own, because what makes a trial fail is seldom what makes it good.
    Failures without a cause in the config become noise and lower the probability around them.
    The regression stands in for a Laplace approximation (Rasmussen & Williams 2006, section 6.5).

    Args:
        encoding: the space.
        units_ND: points of the unit cube that ended, in the order in which they did.
        failed_N: which of them failed.
        kept: which of them the process sees.
        num_fitted: how many of the first points the length-scales are fitted to.
    """

    def __init__(
        self,
        encoding: Encoding,
        units_ND: Array,
        failed_N: Mask,
        *,
        kept: NDArray[np.int_],
        num_fitted: int,
    ) -> None:
        self._encoding = encoding
        self._process: GaussianProcess | None = None
        if failed_N.any():
            labels = np.where(failed_N, -2.0 * _PRIOR, 0.0)
            fitted = thinned(labels[:num_fitted])
            hyper = fit(encoding.embed(units_ND[fitted]), labels[fitted], encoding.groups)
            self._process = GaussianProcess(
                encoding.embed(units_ND[kept]), labels[kept], groups_E=encoding.groups, hyper=hyper
            )

    def __call__(self, units_MD: Array) -> Array:
        """Probability (M,) in [1e-4, 1] that a trial ends with a score; 1 before any failure."""
        if self._process is None:
            return np.ones(len(units_MD))
        means, stds = self._process.predict(self._encoding.embed(units_MD))
        held: Array = ndtr((means + _PRIOR) / np.hypot(_SOFTNESS, stds))
        return np.clip(held, _LOWEST, 1.0)
