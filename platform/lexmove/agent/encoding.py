"""The unit cube of a search space in arrays: snapping, activity, forbidden points, distances."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from lexmove.errors import UsageError
from lexmove.space.domain import Constant, Domain, Float, Integer, Value
from lexmove.space.search_space import Config, SearchSpace

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

SAME_TOLERANCE = 1e-3
"""Two points closer than this in every dimension (unit ranges) count as one config."""

_MATCH = 1e-9
_ROUNDED = 1e-4
"""A level is still known at this distance from its place: what is stored may be rounded."""

_ONE_HOT = 0.5**0.5
_MAX_ENUMERATED = 512
_MAX_LISTED = 100_000
_NUM_REMEMBERED = 32

_FEW_PAIRS = 300_000
"""So many pairs of points are compared faster than they are sorted."""


class Encoding:
    """What `SearchSpace.to_unit` and `complete` do, for many points at once.

    Shape suffixes: N points, D searched hyperparameters, E embedded columns.

    Raises:
        UsageError: the space has nothing to search.
    """

    def __init__(self, space: SearchSpace) -> None:
        if not space.searched:
            raise UsageError(
                f"nothing to search: {', '.join(space.names)} can take one value only; "
                "give at least one hyperparameter min and max, or several values"
            )
        self.space = space
        self.domains: tuple[Domain, ...] = tuple(item.domain for item in space.searched)
        self.num_dims = len(self.domains)
        self.levels = np.array([domain.num_levels or 0 for domain in self.domains], dtype=int)
        self.is_ordered: Mask = np.array([domain.is_ordered for domain in self.domains], dtype=bool)
        self.default: Array = space.to_unit({})
        self._index = {item.name: i for i, item in enumerate(space.searched)}
        self._log_integers = {
            i: domain
            for i, domain in enumerate(self.domains)
            if isinstance(domain, Integer) and domain.log
        }
        self._even_levels = np.array(
            [i for i in np.flatnonzero(self.levels) if i not in self._log_integers], dtype=int
        )

    @classmethod
    def of(cls, space: SearchSpace) -> "Encoding":
        """The encoding of a space; the last ones are remembered by the space's identity."""
        found = _REMEMBERED.get(id(space))
        if found is None:
            # It holds the space, so that no other one can come to have the same identity.
            found = _REMEMBERED[id(space)] = cls(space)
            while len(_REMEMBERED) > _NUM_REMEMBERED:
                _REMEMBERED.popitem(last=False)
        return found

    def units(self, configs: Sequence[Mapping[str, Value]]) -> Array:
        """What `SearchSpace.to_unit` says of every config, (N, D)."""
        units = np.repeat(self.default[None], len(configs), axis=0)
        for i, item in enumerate(self.space.searched):
            values = [config.get(item.name) for config in configs]
            here = [row for row, value in enumerate(values) if value is not None]
            units[here, i] = _unit_places(item.domain, [v for v in values if v is not None])
        return units

    @property
    def is_discrete(self) -> Mask:
        """Which dimensions have levels, (D,)."""
        return self.levels > 0

    @property
    def is_conditional(self) -> bool:
        """Whether any dimension is active under a condition only."""
        return bool(self._conditional)

    @cached_property
    def _conditional(self) -> tuple[int, ...]:
        return tuple(i for i, item in enumerate(self.space.searched) if item.when)

    def snap(self, units_ND: Array) -> Array:
        """The nearest points that stand for values, and default positions where inactive."""
        snapped = np.clip(units_ND, 0.0, 1.0)
        even, levels = self._even_levels, self.levels[self._even_levels]
        places = np.minimum(np.floor(snapped[:, even] * levels), levels - 1)
        snapped[:, even] = (places + 0.5) / levels
        for i, domain in self._log_integers.items():
            snapped[:, i] = _snap_log_integer(domain, snapped[:, i])
        return self.settle(snapped)

    def settle(self, units_ND: Array) -> Array:
        """Snapped points with every inactive dimension at its default."""
        if not self._conditional:
            return units_ND
        return np.where(self.active(units_ND), units_ND, self.default)

    def active(self, units_ND: Array) -> Mask:
        """Which dimensions are active at snapped points, (N, D)."""
        active = np.ones(units_ND.shape, dtype=bool)
        # One pass for each level of nesting; a pass more changes nothing.
        for _ in self._conditional:
            before = active.copy()
            for i, rule in self._when:
                active[:, i] = self._holds(rule, units_ND, active)
            if len(self._conditional) == 1 or np.array_equal(before, active):
                break
        return active

    def forbidden(self, units_ND: Array) -> Mask:
        """Which snapped points a `forbid` rule matches, (N,)."""
        hit = np.zeros(len(units_ND), dtype=bool)
        if self._forbid:
            active = self.active(units_ND)
            for rule in self._forbid:
                hit |= self._holds(rule, units_ND, active)
        return hit

    @cached_property
    def _tolerance(self) -> Array:
        """How near a level's place a point stands for it, (D,): far less than to the next one."""
        # On a logarithmic scale neighbours may lie up to 36 times closer than spread evenly.
        near = 0.02 / np.maximum(self.levels, 1)
        return np.where(self.is_discrete, np.clip(near, _MATCH, _ROUNDED), _MATCH)

    @cached_property
    def _when(self) -> tuple[tuple[int, "_Rule"], ...]:
        return tuple((i, self._rule(self.space.searched[i].when)) for i in self._conditional)

    @cached_property
    def _forbid(self) -> "tuple[_Rule, ...]":
        return tuple(map(self._rule, self.space.forbid))

    def _rule(self, rule: Mapping[str, tuple[Value, ...]]) -> "_Rule":
        terms: list[tuple[int, Array]] = []
        can_hold = True
        for name, values in rule.items():
            domain = self.space[name].domain
            if isinstance(domain, Constant):
                # It has its value where it is active.
                condition = self._rule(self.space[name].when)
                terms += condition.terms
                can_hold &= condition.can_hold and domain.value in values
            else:
                places = np.array([domain.to_unit(value) for value in values])
                terms.append((self._index[name], places))
        return _Rule(terms=tuple(terms), can_hold=can_hold)

    def _holds(self, rule: "_Rule", units_ND: Array, active_ND: Mask) -> Mask:
        holds = np.full(len(units_ND), rule.can_hold)
        for i, places in rule.terms:
            match = np.abs(units_ND[:, i, None] - places) < self._tolerance[i]
            holds &= match.any(axis=1) & active_ND[:, i]
        return holds

    @cached_property
    def has_priors(self) -> bool:
        """Whether the user believes anything about any dimension."""
        return any(item.prior is not None for item in self.space.searched)

    def log_prior(self, units_ND: Array) -> Array:
        """The logarithm of the priors' product over its highest value, (N,); inactive is 0."""
        active = self.active(units_ND)
        total = np.zeros(len(units_ND))
        for i, item in enumerate(self.space.searched):
            if item.prior is not None:
                total += np.where(active[:, i], item.prior.log_density(units_ND[:, i]), 0.0)
        return total

    def believed(self, shares_ND: Array) -> Array:
        """Uniform points of the cube as draws from the priors, (N, D), not snapped."""
        if not self.has_priors:
            return shares_ND
        columns = [
            shares_ND[:, i] if item.prior is None else item.prior.quantile(shares_ND[:, i])
            for i, item in enumerate(self.space.searched)
        ]
        return np.stack(columns, axis=1)

    @cached_property
    def groups(self) -> NDArray[np.int_]:
        """The dimension that each embedded column belongs to, (E,), ascending."""
        widths = [
            (1 if self.is_ordered[i] else self.levels[i]) + (i in self._conditional)
            for i in range(self.num_dims)
        ]
        return np.repeat(np.arange(self.num_dims), widths)

    def embed(self, units_ND: Array) -> Array:
        """Points whose Euclidean distance per dimension is the kernel's, (N, E).

        An ordered dimension is its unit value. A categorical one is one-hot, scaled so that two
        different values are 1 apart (a Hamming distance). A conditional one has its activity
        beside it, at half weight, so that inactive is not the same as active at the default.
        """
        if self._is_embedded:
            return units_ND
        Z = np.zeros((len(units_ND), len(self.groups)))
        Z[:, self._first_columns[self.is_ordered]] = units_ND[:, self.is_ordered]
        rows = np.arange(len(units_ND))
        for i in np.flatnonzero(~self.is_ordered):
            level = np.minimum(units_ND[:, i] * self.levels[i], self.levels[i] - 1).astype(int)
            Z[rows, self._first_columns[i] + level] = _ONE_HOT
        if self._conditional:
            conditional = list(self._conditional)
            last = np.searchsorted(self.groups, conditional, side="right") - 1
            Z[:, last] = 0.5 * self.active(units_ND)[:, conditional]
        return Z

    @cached_property
    def _first_columns(self) -> NDArray[np.int_]:
        """The first embedded column of every dimension, (D,)."""
        return np.searchsorted(self.groups, np.arange(self.num_dims))

    @cached_property
    def _is_embedded(self) -> bool:
        """Whether points are their own embedding."""
        return bool(self.is_ordered.all()) and not self._conditional

    @cached_property
    def places(self) -> tuple[Array, ...]:
        """Where the levels of each dimension lie, ascending; () where it has none, or too many."""
        return tuple(
            level_places(domain) if 0 < num_levels <= _MAX_ENUMERATED else np.empty(0)
            for domain, num_levels in zip(self.domains, self.levels, strict=True)
        )

    def level_gaps(self, units_D: Array) -> Array:
        """How far the next levels lie from a snapped point, the farther one, (D,); 0 without."""
        gaps_D: Array = np.zeros(self.num_dims)
        gaps_D[self.is_discrete] = 1.0 / self.levels[self.is_discrete]
        for i, domain in self._log_integers.items():
            value = domain.from_unit(units_D[i])
            near = [domain.to_unit(at) for at in (value - 1, value + 1) if domain.contains(at)]
            gaps_D[i] = np.abs(np.array(near) - units_D[i]).max()
        return gaps_D

    @cached_property
    def enumerated(self) -> Array | None:
        """All allowed points (N, D) of a small discrete space; None for larger ones."""
        return self.listed if self._num_points <= _MAX_ENUMERATED else None

    @cached_property
    def listed(self) -> Array | None:
        """All allowed points (N, D) of a discrete space of up to 100,000; None for larger ones."""
        if self._num_points > _MAX_LISTED:
            return None
        axes = np.meshgrid(*map(level_places, self.domains), indexing="ij")
        grid = np.stack([axis.ravel() for axis in axes], axis=1)
        points: Array = np.unique(self.settle(grid), axis=0)
        return points[~self.forbidden(points)]

    @cached_property
    def _num_points(self) -> float:
        """How many points there are, allowed or not; infinite where there is a continuum."""
        return float(np.prod(self.levels, dtype=float)) if self.is_discrete.all() else np.inf

    @cached_property
    def _has_conditions(self) -> bool:
        """Whether anything is a part of some configs only, be it a constant."""
        return any(item.when for item in self.space.hyperparameters)

    def config(self, units_D: Array, origin: Config | None = None) -> Config:
        """The config at a point; dimensions that agree with `origin` keep its exact values."""
        if origin is None:
            return self.space.from_unit(units_D)
        values = dict(origin)
        for item, unit in zip(self.space.searched, units_D.tolist(), strict=True):
            if item.name not in origin or unit != item.domain.to_unit(origin[item.name]):
                values[item.name] = item.domain.from_unit(unit)
        return self.space.complete(values) if self._has_conditions else Config(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """A `when` or `forbid`: dimensions with the places of the values that they must have.

    `can_hold` is False where a constant has another value.
    """

    terms: tuple[tuple[int, Array], ...]
    can_hold: bool


_REMEMBERED: OrderedDict[int, Encoding] = OrderedDict()


def level_places(domain: Domain) -> Array:
    """Where the levels of a discrete domain lie in the unit interval, ascending."""
    if isinstance(domain, Integer):
        return np.array([domain.to_unit(value) for value in range(domain.low, domain.high + 1)])
    assert domain.num_levels is not None, "a continuum has no levels"
    return (np.arange(domain.num_levels) + 0.5) / domain.num_levels


def _unit_places(domain: Domain, values: list[Value]) -> Array:
    """`Domain.to_unit` of many values, up to rounding."""
    if not isinstance(domain, Float):
        places = {value: domain.to_unit(value) for value in set(values)}
        return np.array([places[value] for value in values])
    low, high, at = domain.low, domain.high, np.array(values, dtype=float)
    if domain.log:
        low, high, at = np.log(low), np.log(high), np.log(at)
    clipped: Array = np.clip((at - low) / (high - low), 0.0, 1.0)
    return clipped


def _snap_log_integer(domain: Integer, units_N: Array) -> Array:
    low, high = np.log(domain.low - 0.5), np.log(domain.high + 0.5)
    values = np.floor(np.exp(low + units_N * (high - low)) + 0.5)
    snapped: Array = (np.log(np.clip(values, domain.low, domain.high)) - low) / (high - low)
    return snapped


def is_apart(points_ND: Array, others_MD: Array, tolerance: float) -> Mask:
    """Which points lie further than the tolerance from all others in some dimension, (N,).

    Only others whose coordinates add up to about the same can be near, so that few are looked at.
    """
    if len(points_ND) * len(others_MD) < _FEW_PAIRS:
        return nearest(points_ND, others_MD) > tolerance
    sums_M, sums_N = others_MD.sum(axis=1), points_ND.sum(axis=1)
    order = np.argsort(sums_M)
    reach = others_MD.shape[1] * (tolerance + _MATCH)
    low = np.searchsorted(sums_M, sums_N - reach, "left", sorter=order)
    num = np.searchsorted(sums_M, sums_N + reach, "right", sorter=order) - low
    rows = np.repeat(np.arange(len(points_ND)), num)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(num) - num, num)
    close = order[np.repeat(low, num) + within]
    # One dimension after the other: hardly any pair is left after the first few.
    for i in range(others_MD.shape[1]):
        near = np.abs(points_ND[rows, i] - others_MD[close, i]) <= tolerance
        rows, close = rows[near], close[near]
    apart = np.ones(len(points_ND), dtype=bool)
    apart[rows] = False
    return apart


def nearest(points_ND: Array, others_MD: Array) -> Array:
    """Chebyshev distance of each point to the nearest of the others, (N,); inf without any."""
    if not len(others_MD):
        return np.full(len(points_ND), np.inf)
    distances: Array = cdist(points_ND, others_MD, "chebyshev").min(axis=1)
    return distances
