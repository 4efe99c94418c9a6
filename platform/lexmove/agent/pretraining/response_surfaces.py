"""Response surfaces: random functions on the unit cube that look like tuning tasks.

Higher is better. A surface is drawn once from a generator and is a plain function afterwards.
Shape suffixes: N points, D hyperparameters, E columns of the latent (two for a categorical).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lexmove.agent.encoding import Array, Encoding

Surface = Callable[[Array], Array]
"""Noiseless scores (N,) of points (N, D)."""

_NUM_FEATURES = 128
_HIDDEN = 24
_NUM_PROBES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Latent:
    """Where points lie for a random function: ordered dimensions warped, categoricals embedded.

    `warp` (2, O) are Kumaraswamy's a and b of the O ordered dimensions (input warping as in
    Snoek et al. 2014; 1 and 1 leave a dimension as it is); `tables` hold a random place in two
    columns for every level of a categorical. `scales` (E,) multiply the columns: 0 makes a
    dimension irrelevant.
    """

    ordered: NDArray[np.int_]
    warp: Array
    categorical: NDArray[np.int_]
    tables: tuple[Array, ...]
    scales: Array

    def __call__(self, units_ND: Array) -> Array:
        """The columns (N, E)."""
        inside = np.clip(units_ND[:, self.ordered], 1e-9, 1.0 - 1e-9)
        columns = [1.0 - (1.0 - inside ** self.warp[0]) ** self.warp[1]]
        for i, table in zip(self.categorical, self.tables, strict=True):
            level = np.minimum(units_ND[:, i] * len(table), len(table) - 1).astype(int)
            columns.append(table[level])
        embedded: Array = np.concatenate(columns, axis=1) * self.scales
        return embedded


def draw_latent(
    rng: np.random.Generator, encoding: Encoding, *, irrelevant: float = 0.2, warp: float = 0.0
) -> Latent:
    """A latent in which each dimension is irrelevant with a probability, but never all of them.

    Args:
        rng: where it is drawn from.
        encoding: the space.
        irrelevant: share of irrelevant dimensions.
        warp: standard deviation of the logarithms of Kumaraswamy's a and b.
    """
    is_relevant = rng.random(encoding.num_dims) >= irrelevant
    is_relevant[rng.integers(encoding.num_dims)] = True
    ordered = np.flatnonzero(encoding.is_ordered)
    categorical = np.flatnonzero(~encoding.is_ordered)
    bends = rng.normal(0.0, warp, (2, len(ordered)))
    relevant_E = np.concatenate([is_relevant[ordered], np.repeat(is_relevant[categorical], 2)])
    return Latent(
        ordered=ordered,
        warp=np.exp(bends),
        categorical=categorical,
        tables=tuple(rng.normal(0.5, 0.5, (encoding.levels[i], 2)) for i in categorical),
        scales=relevant_E.astype(float),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FourierSurface:
    """A draw of a Gaussian process by random Fourier features (Rahimi & Recht 2007), and a bowl.

    `frequencies` (E, R), `phases` (R,), `weights` (R,). `bowl` is the weight of a quadratic fall
    from `centre` (E,): tuning objectives are more benign than draws of a process.
    """

    latent: Latent
    frequencies: Array
    phases: Array
    weights: Array
    bowl: float
    centre: Array

    def __call__(self, units_ND: Array) -> Array:
        """Scores (N,)."""
        z_NE = self.latent(units_ND)
        scores: Array = np.cos(z_NE @ self.frequencies + self.phases) @ self.weights
        if self.bowl:
            scores = scores - self.bowl * ((z_NE - self.centre) ** 2).sum(axis=1)
        return scores


def draw_process(
    rng: np.random.Generator,
    latent: Latent,
    *,
    smoothness: float = np.inf,
    bowl: float = 0.0,
    max_order: int | None = None,
) -> FourierSurface:
    """A draw with one length-scale per column, Gamma-distributed, longer in more dimensions.

    Args:
        rng: where it is drawn from.
        latent: which columns matter.
        smoothness: Matérn's ν; infinite for the squared exponential kernel.
        bowl: weight of the quadratic fall.
        max_order: if given, a feature sees that many columns at most: an additive function.
    """
    size = len(latent.scales)
    num_relevant = max(1.0, latent.scales.sum())
    lengths_E = rng.gamma(3.0, 0.3 / 3.0, size) * np.sqrt(num_relevant) + 0.1
    frequencies = rng.normal(size=(size, _NUM_FEATURES)) / lengths_E[:, None]
    if np.isfinite(smoothness):
        # The spectrum of a Matérn kernel is Student's t with 2ν degrees of freedom.
        frequencies /= np.sqrt(rng.chisquare(2 * smoothness, _NUM_FEATURES) / (2 * smoothness))
    if max_order is not None:
        places = rng.random((size, _NUM_FEATURES)) - latent.scales[:, None]
        frequencies = np.where(places.argsort(axis=0).argsort(axis=0) < max_order, frequencies, 0.0)
    return FourierSurface(
        latent=latent,
        frequencies=frequencies,
        phases=rng.uniform(0.0, 2.0 * np.pi, _NUM_FEATURES),
        weights=rng.normal(size=_NUM_FEATURES) * np.sqrt(2.0 / _NUM_FEATURES),
        bowl=bowl / num_relevant,
        centre=rng.uniform(0.15, 0.85, size) * latent.scales,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSurface:
    """A random network of one hidden layer with ridges: pairs of columns that must fit together.

    `ridges` (Q, 5): two columns, the slope between them, the offset and the width; what lies off
    the line z_i = slope z_j + offset loses log(1 + gap² / width²), as a learning rate does that
    does not fit its batch size.
    """

    latent: Latent
    inner: Array
    biases: Array
    outer: Array
    activation: Callable[[Array], Array]
    ridges: Array
    ridge_weight: float

    def __call__(self, units_ND: Array) -> Array:
        """Scores (N,)."""
        z_NE = self.latent(units_ND)
        scores: Array = self.activation(z_NE @ self.inner + self.biases) @ self.outer
        for one, other, slope, offset, width in self.ridges:
            gap = z_NE[:, int(one)] - slope * z_NE[:, int(other)] - offset
            scores = scores - self.ridge_weight * np.log1p((gap / width) ** 2)
        return scores


def relu(values: Array) -> Array:
    """max(0, x)."""
    positive: Array = np.maximum(values, 0.0)
    return positive


def draw_network(
    rng: np.random.Generator, latent: Latent, *, activation: Callable[[Array], Array]
) -> NetworkSurface:
    """A network whose slopes are steeper the fewer dimensions matter, with 0 to 2 ridges."""
    size = len(latent.scales)
    num_relevant = max(1.0, latent.scales.sum())
    steepness = rng.uniform(2.0, 6.0) / np.sqrt(num_relevant)
    inner = rng.normal(size=(size, _HIDDEN)) * steepness
    anchors_HE = rng.random((_HIDDEN, size)) * latent.scales
    relevant = np.flatnonzero(latent.scales)
    num_ridges = int(rng.integers(0, 3)) if len(relevant) > 1 else 0
    ridges = [[*rng.choice(relevant, 2, replace=False), *_ridge(rng)] for _ in range(num_ridges)]
    return NetworkSurface(
        latent=latent,
        inner=inner,
        # Every hidden unit bends inside the cube.
        biases=-np.einsum("he,eh->h", anchors_HE, inner),
        outer=rng.normal(size=_HIDDEN) / np.sqrt(_HIDDEN),
        activation=activation,
        ridges=np.array(ridges, dtype=float).reshape(num_ridges, 5),
        ridge_weight=float(rng.uniform(0.1, 0.6)),
    )


def _ridge(rng: np.random.Generator) -> tuple[float, float, float]:
    """Slope, offset and width of a line that crosses the cube."""
    slope = float(rng.uniform(-1.2, 1.2))
    through, height = rng.uniform(0.2, 0.8, 2)
    return slope, float(height - slope * through), float(rng.uniform(0.03, 0.3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Standardised:
    """A surface with median 0 and a spread of 1 below warping, then warped.

    `bend` > 0 flattens the top and lengthens the tail below, as scores do that have a ceiling;
    `plateau` is a value under which everything is equal (chance level), −inf for none.
    """

    surface: Surface
    shift: float
    scale: float
    bend: float = 0.0
    plateau: float = -np.inf

    def __call__(self, units_ND: Array) -> Array:
        """Scores (N,)."""
        scores: Array = (self.surface(units_ND) - self.shift) / self.scale
        if self.bend:
            scores = -np.expm1(-self.bend * np.clip(scores, -4.0, 8.0)) / self.bend
        if np.isfinite(self.plateau):
            scores = np.maximum(scores, self.plateau)
        return scores


def standardised(
    surface: Surface,
    rng: np.random.Generator,
    encoding: Encoding,
    *,
    bend: float = 0.0,
    plateau_ratio: float = 0.0,
) -> Standardised:
    """The surface measured on random points; `plateau_ratio` of them lie at chance level."""
    units = encoding.snap(rng.random((_NUM_PROBES, encoding.num_dims)))
    scores = surface(units)
    spread = float(np.subtract(*np.quantile(scores, [0.84, 0.16]))) / 2.0
    plain = Standardised(
        surface=surface, shift=float(np.median(scores)), scale=max(spread, 1e-6), bend=bend
    )
    if not plateau_ratio:
        return plain
    plateau = float(np.quantile(plain(units), plateau_ratio))
    return Standardised(
        surface=surface, shift=plain.shift, scale=plain.scale, bend=bend, plateau=plateau
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuningSurface:
    """A fine-tuning score: unimodal in the log learning rate, a sharp cliff above, the rest weak.

    Dimension 0 is the learning rate. `couplings` (D,) shift its optimum with the other dimensions
    (a larger batch wants a larger rate), `weak` (D,) are the small quadratic effects of those
    around `centre` (D,), `offsets` the gain of each level of a categorical. Widths are in unit
    ranges of the learning rate. Scores lie between `chance` and `peak`.
    """

    optimum: float
    couplings: Array
    centre: Array
    weak: Array
    offsets: tuple[tuple[int, Array], ...]
    width_below: float
    cliff_gap: float
    cliff_width: float
    chance: float
    peak: float
    power: float = field(default=2.0)

    def __call__(self, units_ND: Array) -> Array:
        """Scores (N,)."""
        away_ND = units_ND - self.centre
        gap_N = units_ND[:, 0] - self.optimum - away_ND @ self.couplings
        below = np.exp(-(np.abs(np.minimum(gap_N, 0.0) / self.width_below) ** self.power))
        steep = np.clip((gap_N - self.cliff_gap) / self.cliff_width, -30.0, 30.0)
        above = 1.0 / (1.0 + np.exp(steep))
        reached = below * above - (away_ND**2) @ self.weak
        for i, gains in self.offsets:
            level = np.minimum(units_ND[:, i] * len(gains), len(gains) - 1).astype(int)
            reached = reached + gains[level]
        scores: Array = self.chance + (self.peak - self.chance) * np.clip(reached, 0.0, 1.1)
        return scores


def draw_fine_tuning(
    rng: np.random.Generator, encoding: Encoding, *, power: float = 2.0, coupling: float = 0.15
) -> FineTuningSurface:
    """A fine-tuning task; `power` shapes the rise below the optimum, 1 gives it a kink."""
    size = encoding.num_dims
    categorical = np.flatnonzero(~encoding.is_ordered)
    ordered = encoding.is_ordered.astype(float)
    ordered[0] = 0.0
    matters = ordered * (rng.random(size) >= 0.3)
    chance = float(rng.uniform(0.05, 0.5))
    return FineTuningSurface(
        optimum=float(rng.uniform(0.3, 0.8)),
        couplings=rng.normal(0.0, coupling, size) * matters,
        centre=rng.uniform(0.2, 0.8, size),
        weak=rng.exponential(0.5, size) * matters,
        offsets=tuple((int(i), rng.normal(0.0, 0.04, encoding.levels[i])) for i in categorical),
        width_below=float(rng.uniform(0.1, 0.4)),
        cliff_gap=float(rng.uniform(0.05, 0.25)),
        cliff_width=float(rng.uniform(0.01, 0.06)),
        chance=chance,
        peak=float(rng.uniform(chance + 0.2, 0.97)),
        power=power,
    )
