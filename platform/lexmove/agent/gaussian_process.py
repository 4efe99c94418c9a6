"""One Gaussian process: Matérn-5/2 with a length-scale per dimension, fitted by MAP."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, lapack
from scipy.optimize import minimize
from threadpoolctl import ThreadpoolController

Array = NDArray[np.float64]

_JITTER = 1e-8
_MAX_ITERATIONS = 20
_MAX_FIT_POINTS = 64
_NUM_REMEMBERED = 256

# Predictions are made in blocks whose matrices stay in the processor's cache: in one piece, a
# thousand points take several times as long, most of it spent on fresh memory.
_BLOCK_ENTRIES, _MIN_BLOCK = 12_288, 32
_MIN_VARIANCE = 1e-12

# Logarithmic priors (mean, standard deviation), targets being standardised and inputs in the
# unit cube. Length-scales grow with sqrt(D), so that the prior's complexity does not depend on
# the number of dimensions (Hvarfner et al. 2024, arXiv 2402.02229), here with a smaller constant.
_LENGTH_PRIOR = (-0.7, 0.9)
_SIGNAL_PRIOR = (0.0, 0.7)
_NOISE_PRIOR = (-5.0, 1.5)
_LOG_BOUNDS = {"length": (-3.5, 4.0), "signal": (-3.0, 3.0), "noise": (-12.0, 0.5)}


def one_blas_thread() -> AbstractContextManager[object]:
    """Keeps BLAS to one thread: on matrices as small as these a second one costs more than it does.

    On a busy machine of two cores a decision takes three to seven times as long with two.
    """
    limited: AbstractContextManager[object] = _blas().limit(limits=1)
    return limited


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


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


@lru_cache(maxsize=64)
def prior(num_groups: int) -> tuple[Array, Array]:
    """Mean and standard deviation of the log-hyperparameters, (G + 2,) each."""
    length = _LENGTH_PRIOR[0] + 0.5 * np.log(num_groups)
    mean = np.array([length] * num_groups + [_SIGNAL_PRIOR[0], _NOISE_PRIOR[0]])
    std = np.array([_LENGTH_PRIOR[1]] * num_groups + [_SIGNAL_PRIOR[1], _NOISE_PRIOR[1]])
    mean.setflags(write=False)
    std.setflags(write=False)
    return mean, std


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """The P = N (N − 1) / 2 pairs of N points: indices (P,) and squared distances (P, G)."""

    num_points: int
    rows: NDArray[np.int_]
    columns: NDArray[np.int_]
    distances: Array


def pairs(Z_NE: Array, groups_E: NDArray[np.int_]) -> Pairs:
    """All pairs of points, their squared distance in each group of columns."""
    rows, columns = np.tril_indices(len(Z_NE), -1)
    starts = np.flatnonzero(np.diff(groups_E, prepend=-1))
    gaps = (Z_NE[rows] - Z_NE[columns]) ** 2
    distances = gaps if len(starts) == len(groups_E) else np.add.reduceat(gaps, starts, axis=1)
    return Pairs(num_points=len(Z_NE), rows=rows, columns=columns, distances=distances)


def negative_log_posterior(theta: Array, pairs: Pairs, y_N: Array) -> tuple[float, Array]:
    """Minus the log of marginal likelihood × prior, and its gradient in `theta` (G + 2,).

    Rasmussen & Williams 2006, eqs. 5.8 and 5.9, on one triangle of the matrix.
    """
    n = pairs.num_points
    inverse_l2 = np.exp(-2.0 * theta[:-2])
    signal, noise = np.exp(theta[-2:])
    a = np.sqrt(5.0 * (pairs.distances @ inverse_l2))
    decay = signal * np.exp(-a)
    slope = (1.0 + a) * decay
    k = slope + a * a / 3.0 * decay
    A = np.zeros((n, n), order="F")
    A[pairs.rows, pairs.columns] = k
    A.flat[:: n + 1] = signal + noise + _JITTER
    L = lapack.dpotrf(A, lower=1, clean=0, overwrite_a=1)[0]
    log_root = np.log(L.diagonal()).sum()
    alpha = lapack.dpotrs(L, y_N, lower=1)[0]
    inverse = lapack.dpotri(L, lower=1, overwrite_c=1)[0]
    W = alpha[pairs.rows] * alpha[pairs.columns] - inverse[pairs.rows, pairs.columns]
    trace = alpha @ alpha - np.trace(inverse)
    # dk/d(log l_g) = (5/3) s (1 + a) exp(−a) d²_g / l_g²: no division by r, so none by zero.
    gradient = np.empty(len(theta))
    gradient[:-2] = (-5.0 / 3.0) * ((W * slope) @ pairs.distances) * inverse_l2
    gradient[-2:] = -(W @ k + 0.5 * signal * trace), -0.5 * noise * trace
    value = 0.5 * y_N @ alpha + log_root + 0.5 * n * np.log(2 * np.pi)
    mean, std = prior(len(theta) - 2)
    deviation = (theta - mean) / std
    return float(value + 0.5 * deviation @ deviation), gradient + deviation / std


def fit(Z_NE: Array, y_N: Array, groups_E: NDArray[np.int_]) -> Hyper:
    """MAP hyperparameters by L-BFGS with analytic gradients, from the prior's mode.

    More than 64 points are thinned: the best half and an even spread of the rest, so that the
    time of a decision stays bounded. The last fits are remembered by their content.
    """
    kept = thinned(y_N)
    Z_NE, y_N = Z_NE[kept], y_N[kept]
    if len(y_N) < 2 or not np.ptp(y_N):
        return Hyper.from_vector(prior(int(groups_E[-1]) + 1)[0])
    return _fit(Z_NE.tobytes(), y_N.tobytes(), groups_E.astype(int).tobytes())


@lru_cache(maxsize=_NUM_REMEMBERED)
def _fit(Z: bytes, y: bytes, groups: bytes) -> Hyper:
    """`fit` of arrays as bytes, which can be looked up."""
    groups_E = np.frombuffer(groups, dtype=int)
    Z_NE = np.frombuffer(Z).reshape(-1, len(groups_E))
    mean, _ = prior(int(groups_E[-1]) + 1)
    bounds = [_LOG_BOUNDS["length"]] * (len(mean) - 2)
    bounds += [_LOG_BOUNDS["signal"], _LOG_BOUNDS["noise"]]
    result = minimize(
        negative_log_posterior,
        mean,
        args=(pairs(Z_NE, groups_E), np.frombuffer(y)),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": _MAX_ITERATIONS, "ftol": 1e-4},
    )
    return Hyper.from_vector(np.asarray(result.x))


def forget_fits() -> None:
    """As in a new process: nothing is remembered."""
    _fit.cache_clear()


def thinned(y_N: Array) -> NDArray[np.int_]:
    """Which of the points `fit` looks at, ascending; the last answers are remembered."""
    if len(y_N) <= _MAX_FIT_POINTS:
        return np.arange(len(y_N))
    return _thinned(y_N.tobytes())


@lru_cache(maxsize=16)
def _thinned(y: bytes) -> NDArray[np.int_]:
    order = np.argsort(-np.frombuffer(y), kind="stable")
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
        pending_PE: inputs whose targets are taken to be their posterior means: the mean stays,
            the uncertainty shrinks (kriging believer, Ginsbourger et al. 2010).
    """

    def __init__(
        self,
        Z_NE: Array,
        y_N: Array,
        *,
        groups_E: NDArray[np.int_],
        hyper: Hyper,
        pending_PE: Array | None = None,
    ) -> None:
        self.hyper = hyper
        # With the root of 5 in it, distances come as Matérn's a².
        self._scale_E = np.sqrt(5.0) * np.exp(-hyper.log_lengths)[groups_E]
        self._signal = float(np.exp(hyper.log_signal))
        self._y = y_N
        num_points = len(y_N)
        if not num_points:
            return
        X = self._scale_E * (Z_NE if pending_PE is None else np.concatenate([Z_NE, pending_PE]))
        self._right = _right_factor(X)
        K = self._signal * _correlation(_left_factor(X) @ self._right)
        self._root = _inverse_root(K, float(np.exp(hyper.log_noise)))
        # The leading block of the root is the root of the leading block.
        measured = self._root[:num_points, :num_points]
        self._alpha = (measured @ y_N) @ measured
        if len(X) > num_points:
            fantasies = self._alpha @ K[:num_points, num_points:]
            self._y = np.concatenate([y_N, fantasies])
            self._alpha = (self._root @ self._y) @ self._root

    @property
    def noise(self) -> float:
        """Standard deviation of the noise, in standardised units."""
        return float(np.exp(0.5 * self.hyper.log_noise))

    def predict(self, Z_ME: Array) -> tuple[Array, Array]:
        """Mean and standard deviation (M,) of the noiseless function; the prior's without data."""
        if not len(self._y) or not len(Z_ME):
            return np.zeros(len(Z_ME)), np.full(len(Z_ME), np.sqrt(self._signal))
        left = _left_factor(Z_ME * self._scale_E)
        size = max(_MIN_BLOCK, _BLOCK_ENTRIES // len(self._y))
        blocks = [self._block(left[at : at + size]) for at in range(0, len(left), size)]
        means, explained = zip(*blocks, strict=True)
        shares = np.maximum(1.0 - self._signal * np.concatenate(explained), _MIN_VARIANCE)
        return self._signal * np.concatenate(means), np.sqrt(self._signal * shares)

    def _block(self, left_BE: Array) -> tuple[Array, Array]:
        """Means and explained variances (B,), both still without the signal's factors."""
        correlation_BN = _correlation(left_BE @ self._right)
        means = correlation_BN @ self._alpha
        # A product with a triangle takes half the time of one with a full matrix.
        V_NB = blas.dtrmm(1.0, self._root, correlation_BN.T, lower=1, overwrite_b=1)
        return means, np.einsum("nb,nb->b", V_NB, V_NB)

    def leave_one_out(self) -> Array:
        """Mean at each point predicted from the others, (N,).

        Rasmussen & Williams 2006, eq. 5.12.
        """
        precision = np.einsum("nm,nm->m", self._root, self._root)
        means: Array = self._y - self._alpha / precision
        return means


def _inverse_root(K: Array, noise: float) -> Array:
    """L⁻¹ of K + noise = L Lᵀ, lower triangular."""
    A = K.copy()
    A.flat[:: len(A) + 1] += noise + _JITTER
    L, info = lapack.dpotrf(A, lower=1, clean=1)
    assert info == 0, "a Matérn matrix with noise is positive definite"
    root: Array = lapack.dtrtri(L, lower=1, overwrite_c=1)[0]
    return root


def _left_factor(X_ME: Array) -> Array:
    """With `_right_factor`, all squared distances in one product: x² + y² − 2 x y."""
    ones = np.ones((len(X_ME), 1))
    return np.concatenate([X_ME, np.einsum("me,me->m", X_ME, X_ME)[:, None], ones], axis=1)


def _right_factor(Y_NE: Array) -> Array:
    ones = np.ones((1, len(Y_NE)))
    return np.concatenate([-2.0 * Y_NE.T, ones, np.einsum("ne,ne->n", Y_NE, Y_NE)[None]])


def _correlation(squares: Array) -> Array:
    """(1 + a + a²/3) exp(−a) for a², a = √5 r (Rasmussen & Williams 2006, eq. 4.17).

    In place of `squares`: most of the time of a prediction is spent here.
    """
    np.maximum(squares, 0.0, out=squares)
    a = np.sqrt(squares)
    squares *= 1.0 / 3.0
    squares += a
    squares += 1.0
    np.negative(a, out=a)
    squares *= np.exp(a, out=a)
    return squares
