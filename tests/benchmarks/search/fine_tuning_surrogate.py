"""A smooth answer for any config of a space, from measured ones: a Gaussian process."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

Array = NDArray[np.float64]

_MIN_NOISE = 1e-3
"""Noise variance over signal variance: also what keeps the matrix regular."""

_LENGTH_PRIOR = (0.5, 1.0)
_NOISE_PRIOR = (-3.0, 1.5)
"""Mean and standard deviation of the logarithms; what is irrelevant gets a long length-scale."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Surrogate:
    """Matérn-5/2 with a length-scale per feature, (F,), the same for every output of E.

    `places` are the features of what was measured, (N, F), and `weights` (N, E). Hyperparameters
    are those of the last output, the end of the curve. `left_out`, (N, E), predicts each row from
    the others (Rasmussen and Williams 2006, eq. 5.12). All predictions are held within `low` and
    `high`, (E,), the values that were measured.
    """

    places: Array
    lengths: Array
    noise: float
    means: Array
    weights: Array
    left_out: Array
    low: Array
    high: Array

    @classmethod
    def fitted(cls, places: Array, curves: Array) -> "Surrogate":
        """Fits curves (N, E) at places (N, F): maximum a posteriori from one start."""
        means, ends = curves.mean(axis=0), curves[:, -1]
        scaled = (ends - ends.mean()) / (ends.std() + 1e-12)
        start = np.append(np.full(places.shape[1], _LENGTH_PRIOR[0]), _NOISE_PRIOR[0])
        found = minimize(_negative_log_posterior, start, args=(places, scaled), method="L-BFGS-B")
        # Rounded, so that another processor's last digits change nothing that can be seen.
        lengths, noise = _scales(np.round(found.x, 1))
        kernel = _matern(places, places, lengths) + noise * np.eye(len(places))
        inverse = cho_solve(cho_factor(kernel), np.eye(len(kernel)))
        weights = inverse @ (curves - means)
        low, high = curves.min(axis=0), curves.max(axis=0)
        return cls(
            places=places,
            lengths=lengths,
            noise=noise,
            means=means,
            weights=weights,
            left_out=np.clip(curves - weights / np.diag(inverse)[:, None], low, high),
            low=low,
            high=high,
        )

    def __call__(self, asked: Array) -> Array:
        """Curves, (M, E), at places (M, F)."""
        kernel = _matern(asked, self.places, self.lengths)
        return np.clip(self.means + kernel @ self.weights, self.low, self.high)


def _scales(logs: Array) -> tuple[Array, float]:
    """Length-scales and noise."""
    return np.exp(logs[:-1]), float(np.exp(logs[-1])) + _MIN_NOISE


def _matern(one: Array, other: Array, lengths: Array) -> Array:
    apart = np.sqrt(5.0) * cdist(one / lengths, other / lengths)
    kernel: Array = (1 + apart + apart**2 / 3) * np.exp(-apart)
    return kernel


def _negative_log_posterior(logs: Array, places: Array, told: Array) -> float:
    """Of log length-scales and log noise; the signal variance takes its best value."""
    size = len(told)
    lengths, noise = _scales(logs)
    factor = cho_factor(_matern(places, places, lengths) + noise * np.eye(size))
    variance = told @ cho_solve(factor, told) / size
    fit = 0.5 * size * np.log(variance) + np.log(np.diag(factor[0])).sum()
    strays = (logs[:-1] - _LENGTH_PRIOR[0]) / _LENGTH_PRIOR[1]
    stray = (logs[-1] - _NOISE_PRIOR[0]) / _NOISE_PRIOR[1]
    return float(fit + 0.5 * (strays @ strays + stray**2))
