"""One Gaussian process: Matérn-5/2 with a length-scale per dimension, fitted by MAP."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack, solve_triangular
from scipy.optimize import minimize

Array = NDArray[np.float64]

_JITTER = 1e-8
_MAX_ITERATIONS = 20
_MAX_FIT_POINTS = 64

# Logarithmic priors (mean, standard deviation), targets being standardised and inputs in the
# unit cube. Length-scales grow with sqrt(D), so that the prior's complexity does not depend on
# the number of dimensions (Hvarfner et al. 2024, arXiv 2402.02229), here with a smaller constant.
_LENGTH_PRIOR = (-0.7, 0.9)
_SIGNAL_PRIOR = (0.0, 0.7)
_NOISE_PRIOR = (-5.0, 1.5)
_LOG_BOUNDS = {"length": (-3.5, 4.0), "signal": (-3.0, 3.0), "noise": (-12.0, 0.5)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyper:
    """Logarithms of the length-scales (G,), the signal variance and the noise variance."""

    log_lengths: Array
    log_signal: float
    log_noise: float

    @classmethod
    def from_vector(cls, theta: Array) -> "Hyper":
        """Reads (G + 2,): lengths, signal, noise."""
        return cls(log_lengths=theta[:-2], log_signal=float(theta[-2]), log_noise=float(theta[-1]))

    @property
    def vector(self) -> Array:
        """(G + 2,): lengths, signal, noise."""
        return np.concatenate([self.log_lengths, [self.log_signal, self.log_noise]])


def prior(num_groups: int) -> tuple[Array, Array]:
    """Mean and standard deviation of the log-hyperparameters, (G + 2,) each."""
    length = _LENGTH_PRIOR[0] + 0.5 * np.log(num_groups)
    mean = np.array([length] * num_groups + [_SIGNAL_PRIOR[0], _NOISE_PRIOR[0]])
    std = np.array([_LENGTH_PRIOR[1]] * num_groups + [_SIGNAL_PRIOR[1], _NOISE_PRIOR[1]])
    return mean, std


def squared_distances(Z_NE: Array, groups_E: NDArray[np.int_]) -> Array:
    """Squared distance of all pairs in each group of columns, (N * N, G)."""
    starts = np.flatnonzero(np.diff(groups_E, prepend=-1))
    gaps = (Z_NE[:, None, :] - Z_NE[None, :, :]) ** 2
    summed: Array = np.add.reduceat(gaps, starts, axis=2)
    return summed.reshape(len(Z_NE) ** 2, len(starts))


def matern(r2: Array, signal: float) -> Array:
    """k(r) = s (1 + a + a²/3) exp(−a), a = √5 r (Rasmussen & Williams 2006, eq. 4.17)."""
    a = np.sqrt(5.0 * np.maximum(r2, 0.0))
    k: Array = signal * (1.0 + a + a * a / 3.0) * np.exp(-a)
    return k


def negative_log_posterior(theta: Array, D2: Array, y_N: Array) -> tuple[float, Array]:
    """Minus the log of marginal likelihood × prior, and its gradient in `theta` (G + 2,).

    `D2` (N², G) from `squared_distances`. Rasmussen & Williams 2006, eqs. 5.8 and 5.9.
    """
    hyper, n = Hyper.from_vector(theta), len(y_N)
    inverse_l2 = np.exp(-2.0 * hyper.log_lengths)
    signal, noise = np.exp(hyper.log_signal), np.exp(hyper.log_noise)
    a = np.sqrt(5.0 * np.maximum((D2 @ inverse_l2).reshape(n, n), 0.0))
    decay = signal * np.exp(-a)
    K = (1.0 + a + a * a / 3.0) * decay
    L = _cholesky(K, noise)
    inverse = lapack.dpotri(L, lower=1)[0]
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    alpha = inverse @ y_N
    W = np.outer(alpha, alpha) - inverse
    # dk/d(log l_g) = (5/3) s (1 + a) exp(−a) d²_g / l_g²: no division by r, so none by zero.
    slope = (W * (5.0 / 3.0) * (1.0 + a) * decay).ravel()
    gradient = -0.5 * np.concatenate(
        [(slope @ D2) * inverse_l2, [np.sum(W * K), noise * np.trace(W)]]
    )
    value = 0.5 * y_N @ alpha + np.log(np.diag(L)).sum() + 0.5 * n * np.log(2.0 * np.pi)
    mean, std = prior(D2.shape[1])
    deviation = (theta - mean) / std
    return float(value + 0.5 * deviation @ deviation), gradient + deviation / std


def _cholesky(K: Array, noise: float) -> Array:
    A = K.copy()
    A.flat[:: len(A) + 1] += noise + _JITTER
    L, info = lapack.dpotrf(A, lower=1, clean=1)
    assert info == 0, "a Matérn matrix with noise is positive definite"
    factor: Array = L
    return factor


def fit(Z_NE: Array, y_N: Array, groups_E: NDArray[np.int_]) -> Hyper:
    """MAP hyperparameters by L-BFGS with analytic gradients, from the prior's mode.

    More than 64 points are thinned for the fit, not for the prediction: the best half and an
    even spread of the rest, so that the time of a decision stays bounded.
    """
    if len(y_N) > _MAX_FIT_POINTS:
        kept = _thinned(y_N)
        Z_NE, y_N = Z_NE[kept], y_N[kept]
    mean, _ = prior(int(groups_E[-1]) + 1)
    if len(y_N) < 2 or not np.ptp(y_N):
        return Hyper.from_vector(mean)
    bounds = [_LOG_BOUNDS["length"]] * (len(mean) - 2)
    bounds += [_LOG_BOUNDS["signal"], _LOG_BOUNDS["noise"]]
    result = minimize(
        negative_log_posterior,
        mean,
        args=(squared_distances(Z_NE, groups_E), y_N),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": _MAX_ITERATIONS, "ftol": 1e-4},
    )
    return Hyper.from_vector(np.asarray(result.x))


def _thinned(y_N: Array) -> NDArray[np.int_]:
    order = np.argsort(-y_N, kind="stable")
    half = _MAX_FIT_POINTS // 2
    rest = np.sort(order[half:])
    spread = np.linspace(0, len(rest) - 1, _MAX_FIT_POINTS - half).round().astype(int)
    return np.sort(np.concatenate([order[:half], rest[spread]]))


class GaussianProcess:
    """The posterior under fixed hyperparameters.

    Args:
        Z_NE: embedded inputs.
        y_N: targets, standardised.
        groups_E: the length-scale of each column.
        hyper: what `fit` found.
    """

    def __init__(
        self, Z_NE: Array, y_N: Array, *, groups_E: NDArray[np.int_], hyper: Hyper
    ) -> None:
        self.hyper = hyper
        self._scale_E = np.exp(-hyper.log_lengths)[groups_E]
        self._signal = float(np.exp(hyper.log_signal))
        self._X = Z_NE * self._scale_E
        self._y = y_N
        if not len(y_N):
            return
        K = matern(_pair_distances(self._X, self._X), self._signal)
        self._L = _cholesky(K, np.exp(hyper.log_noise))
        half = solve_triangular(self._L, y_N, lower=True, check_finite=False)
        self._alpha = solve_triangular(self._L, half, lower=True, trans=1, check_finite=False)

    @property
    def noise(self) -> float:
        """Standard deviation of the noise, in standardised units."""
        return float(np.exp(0.5 * self.hyper.log_noise))

    def predict(self, Z_ME: Array) -> tuple[Array, Array]:
        """Mean and standard deviation (M,) of the noiseless function; the prior's without data."""
        if not len(self._y):
            return np.zeros(len(Z_ME)), np.full(len(Z_ME), np.sqrt(self._signal))
        k_MN = matern(_pair_distances(Z_ME * self._scale_E, self._X), self._signal)
        V = solve_triangular(self._L, k_MN.T, lower=True, check_finite=False)
        variance = np.maximum(self._signal - np.einsum("nm,nm->m", V, V), 1e-12)
        return k_MN @ self._alpha, np.sqrt(variance)

    def leave_one_out(self) -> Array:
        """Mean at each point predicted from the others, (N,).

        Rasmussen & Williams 2006, eq. 5.12.
        """
        inverse = lapack.dpotri(self._L, lower=1)[0]
        means: Array = self._y - self._alpha / np.diag(inverse)
        return means


def _pair_distances(X_ME: Array, Y_NE: Array) -> Array:
    squares = np.einsum("me,me->m", X_ME, X_ME)[:, None] + np.einsum("ne,ne->n", Y_NE, Y_NE)
    distances: Array = squares - 2.0 * (X_ME @ Y_NE.T)
    return distances
