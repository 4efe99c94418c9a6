"""The unit cube of a search space in arrays: snapping, activity, forbidden points, distances."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lexmove.errors import UsageError
from lexmove.space.domain import Constant, Domain, Integer, Value
from lexmove.space.search_space import Config, SearchSpace

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

SAME_TOLERANCE = 1e-3
"""Two points closer than this in every dimension (unit ranges) count as one config."""

_MATCH = 1e-9
_ONE_HOT = 0.5**0.5
_MAX_ENUMERATED = 512


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

    def units(self, configs: Sequence[Mapping[str, Value]]) -> Array:
        """What `SearchSpace.to_unit` says of every config, (N, D)."""
        rows = [
            [
                item.domain.to_unit(config[item.name]) if item.name in config else default
                for item, default in zip(self.space.searched, self.default, strict=True)
            ]
            for config in configs
        ]
        return np.array(rows, dtype=float).reshape(len(rows), self.num_dims)

    @property
    def is_discrete(self) -> Mask:
        """Which dimensions have levels, (D,)."""
        return self.levels > 0

    @cached_property
    def _conditional(self) -> tuple[int, ...]:
        return tuple(i for i, item in enumerate(self.space.searched) if item.when)

    def snap(self, units_ND: Array) -> Array:
        """The nearest points that stand for values, and default positions where inactive."""
        snapped = np.clip(units_ND, 0.0, 1.0)
        for i, domain in enumerate(self.domains):
            if isinstance(domain, Integer) and domain.log:
                snapped[:, i] = _snap_log_integer(domain, snapped[:, i])
            elif self.levels[i]:
                level = np.minimum(np.floor(snapped[:, i] * self.levels[i]), self.levels[i] - 1)
                snapped[:, i] = (level + 0.5) / self.levels[i]
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
            for i in self._conditional:
                active[:, i] = self._holds(self.space.searched[i].when, units_ND, active)
            if np.array_equal(before, active):
                break
        return active

    def forbidden(self, units_ND: Array) -> Mask:
        """Which snapped points a `forbid` rule matches, (N,)."""
        hit = np.zeros(len(units_ND), dtype=bool)
        if self.space.forbid:
            active = self.active(units_ND)
            for rule in self.space.forbid:
                hit |= self._holds(rule, units_ND, active)
        return hit

    def _holds(
        self, rule: Mapping[str, tuple[Value, ...]], units_ND: Array, active_ND: Mask
    ) -> Mask:
        holds = np.ones(len(units_ND), dtype=bool)
        for name, values in rule.items():
            domain = self.space[name].domain
            if isinstance(domain, Constant):
                holds &= domain.value in values
                continue
            i = self._index[name]
            places = np.array([domain.to_unit(value) for value in values])
            match = np.abs(units_ND[:, i, None] - places) < _MATCH
            holds &= match.any(axis=1) & active_ND[:, i]
        return holds

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
        active = self.active(units_ND) if self._conditional else None
        columns: list[Array] = []
        for i in range(self.num_dims):
            if self.is_ordered[i]:
                columns.append(units_ND[:, i : i + 1])
            else:
                level = np.minimum(units_ND[:, i] * self.levels[i], self.levels[i] - 1).astype(int)
                one_hot: Array = np.eye(self.levels[i])[level] * _ONE_HOT
                columns.append(one_hot)
            if active is not None and i in self._conditional:
                columns.append(np.where(active[:, i : i + 1], 0.5, 0.0))
        return np.concatenate(columns, axis=1)

    @cached_property
    def enumerated(self) -> Array | None:
        """All allowed points (N, D) of a small discrete space; None for larger ones."""
        if not self.is_discrete.all() or np.prod(self.levels, dtype=float) > _MAX_ENUMERATED:
            return None
        axes = np.meshgrid(*map(level_places, self.domains), indexing="ij")
        grid = np.stack([axis.ravel() for axis in axes], axis=1)
        points: Array = np.unique(self.settle(grid), axis=0)
        return points[~self.forbidden(points)]

    def config(self, units_D: Array, origin: Config | None = None) -> Config:
        """The config at a point; dimensions that agree with `origin` keep its exact values."""
        if origin is None:
            return self.space.from_unit(units_D)
        values = dict(origin)
        here = self.space.to_unit(origin)
        for item, unit, old in zip(self.space.searched, units_D, here, strict=True):
            if unit != old or item.name not in origin:
                values[item.name] = item.domain.from_unit(float(unit))
        return self.space.complete(values)


def level_places(domain: Domain) -> Array:
    """Where the levels of a discrete domain lie in the unit interval, ascending."""
    if isinstance(domain, Integer):
        return np.array([domain.to_unit(value) for value in range(domain.low, domain.high + 1)])
    assert domain.num_levels is not None, "a continuum has no levels"
    return (np.arange(domain.num_levels) + 0.5) / domain.num_levels


def _snap_log_integer(domain: Integer, units_N: Array) -> Array:
    low, high = np.log(domain.low - 0.5), np.log(domain.high + 0.5)
    values = np.floor(np.exp(low + units_N * (high - low)) + 0.5)
    snapped: Array = (np.log(np.clip(values, domain.low, domain.high)) - low) / (high - low)
    return snapped


def nearest(points_ND: Array, others_MD: Array) -> Array:
    """Chebyshev distance of each point to the nearest of the others, (N,); inf without any."""
    if not len(others_MD):
        return np.full(len(points_ND), np.inf)
    gaps = np.abs(points_ND[:, None, :] - others_MD[None, :, :]).max(axis=2)
    distances: Array = gaps.min(axis=1)
    return distances
