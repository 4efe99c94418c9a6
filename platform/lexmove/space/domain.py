"""Domains: the values one hyperparameter may take, and their one door to the unit interval.

Every domain maps its values to [0, 1] and back. Discrete values sit at the centres of equal
bins, so that a uniform draw from the unit interval is a uniform draw of values and
`from_unit(to_unit(v)) == v` holds exactly, but for rounding in whole numbers beyond 10^14.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar, TypeGuard

from lexmove.errors import InvalidConfigError

Value = bool | int | float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain(ABC):
    """What every domain offers. Values are plain Python values, never numpy scalars."""

    is_ordered: ClassVar[bool] = True
    """Whether raise and lower mean something."""

    @property
    @abstractmethod
    def num_levels(self) -> int | None:
        """How many values there are; None for a continuum."""

    @property
    @abstractmethod
    def default_value(self) -> Value:
        """The declared default, or the middle of the domain."""

    @abstractmethod
    def contains(self, value: object) -> bool:
        """Whether `value` is one of the domain's values, of the right type."""

    @abstractmethod
    def own(self, value: Value) -> Value:
        """A contained value as this domain writes it: of the type it was declared with."""

    @abstractmethod
    def to_unit(self, value: Value) -> float:
        """The place of a value in [0, 1]; `value` must be contained."""

    @abstractmethod
    def from_unit(self, unit: float) -> Value:
        """The value at a place in the unit interval; outside it, the nearest end's."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """A JSON value from which `domain_from_json` makes an equal domain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Float(Domain):
    """Real numbers in [low, high], on a logarithmic scale if `log`."""

    low: float
    high: float
    log: bool = False
    default: float | None = None

    def __post_init__(self) -> None:
        _check_bounds(self)

    @property
    def num_levels(self) -> int | None:
        return None

    @property
    def default_value(self) -> float:
        return self.from_unit(0.5) if self.default is None else float(self.default)

    def contains(self, value: object) -> bool:
        return _is_number(value) and self.low <= value <= self.high

    def own(self, value: Value) -> float:
        return float(value)

    def to_unit(self, value: Value) -> float:
        low, high, at = self.low, self.high, float(value)
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(at)
        return min(1.0, max(0.0, (at - low) / (high - low)))

    def from_unit(self, unit: float) -> float:
        unit = min(1.0, max(0.0, float(unit)))
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            value = math.exp(low + unit * (high - low))
        else:
            value = self.low + unit * (self.high - self.low)
        return min(self.high, max(self.low, value))

    def to_json(self) -> dict[str, Any]:
        return _numeric_json(self, "float")


@dataclass(frozen=True, slots=True, kw_only=True)
class Integer(Domain):
    """Whole numbers in [low, high], on a logarithmic scale if `log`."""

    low: int
    high: int
    log: bool = False
    default: int | None = None

    def __post_init__(self) -> None:
        _check_bounds(self)

    @property
    def num_levels(self) -> int | None:
        return self.high - self.low + 1

    @property
    def default_value(self) -> int:
        return self.from_unit(0.5) if self.default is None else self.default

    def contains(self, value: object) -> bool:
        return _is_whole(value) and self.low <= value <= self.high

    def own(self, value: Value) -> int:
        return int(value)

    def _edges(self) -> tuple[float, float]:
        low, high = self.low - 0.5, self.high + 0.5
        return (math.log(low), math.log(high)) if self.log else (low, high)

    def to_unit(self, value: Value) -> float:
        low, high = self._edges()
        at = math.log(float(value)) if self.log else float(value)
        return (at - low) / (high - low)

    def from_unit(self, unit: float) -> int:
        low, high = self._edges()
        at = low + min(1.0, max(0.0, float(unit))) * (high - low)
        value = math.exp(at) if self.log else at
        return min(self.high, max(self.low, math.floor(value + 0.5)))

    def to_json(self) -> dict[str, Any]:
        return _numeric_json(self, "integer")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listed(Domain):
    """A domain given by the list of its values."""

    values: tuple[Value, ...]
    default: Value | None = None

    def __post_init__(self) -> None:
        if not self.values:
            raise InvalidConfigError("values is empty: list at least one value")
        if any(isinstance(value, float) and not math.isfinite(value) for value in self.values):
            raise InvalidConfigError(f"values {list(self.values)} must be finite")
        if len({_kind(value) for value in self.values}) > 1:
            raise InvalidConfigError(
                f"values {list(self.values)} mix flags, numbers and texts: keep to one of them"
            )
        if len(set(self.values)) != len(self.values):
            raise InvalidConfigError(f"values {list(self.values)} repeat a value: list each once")
        if self.default is not None and not self.contains(self.default):
            raise InvalidConfigError(
                f"default {self.default!r} is not among the values {list(self.values)}"
            )

    @property
    def num_levels(self) -> int | None:
        return len(self.values)

    @property
    def default_value(self) -> Value:
        return self._fallback() if self.default is None else self.default

    def _fallback(self) -> Value:
        return self.values[0]

    def contains(self, value: object) -> bool:
        return any(_same(value, known) for known in self.values)

    def own(self, value: Value) -> Value:
        return next(known for known in self.values if _same(value, known))

    def to_unit(self, value: Value) -> float:
        return (self.values.index(self.own(value)) + 0.5) / len(self.values)

    def from_unit(self, unit: float) -> Value:
        index = math.floor(min(1.0, max(0.0, float(unit))) * len(self.values))
        return self.values[min(index, len(self.values) - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordinal(_Listed):
    """Listed values with an order, lowest first: raise and lower go to the neighbour."""

    def _fallback(self) -> Value:
        return self.values[(len(self.values) - 1) // 2]

    def to_json(self) -> dict[str, Any]:
        return {"type": "ordinal", "values": list(self.values), "default": self.default}


@dataclass(frozen=True, slots=True, kw_only=True)
class Categorical(_Listed):
    """Listed values without an order: a move switches to another one."""

    is_ordered: ClassVar[bool] = False

    def to_json(self) -> dict[str, Any]:
        return {"type": "categorical", "values": list(self.values), "default": self.default}


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant(Domain):
    """One fixed value: part of every config, never moved."""

    is_ordered: ClassVar[bool] = False
    value: Value

    @property
    def num_levels(self) -> int | None:
        return 1

    @property
    def default_value(self) -> Value:
        return self.value

    def contains(self, value: object) -> bool:
        return _same(value, self.value)

    def own(self, value: Value) -> Value:
        del value
        return self.value

    def to_unit(self, value: Value) -> float:
        del value
        return 0.5

    def from_unit(self, unit: float) -> Value:
        del unit
        return self.value

    def to_json(self) -> dict[str, Any]:
        return {"type": "constant", "value": self.value}


def domain_from_json(data: Mapping[str, Any]) -> Domain:
    """Reads what `Domain.to_json` wrote."""
    fields = {key: value for key, value in data.items() if key != "type"}
    if "values" in fields:
        fields["values"] = tuple(fields["values"])
    return _DOMAINS[data["type"]](**fields)


_DOMAINS: dict[str, type[Domain]] = {
    "float": Float,
    "integer": Integer,
    "ordinal": Ordinal,
    "categorical": Categorical,
    "constant": Constant,
}


def _is_number(value: object) -> TypeGuard[float]:
    """Whether it is one, whatever library it is from."""
    return not isinstance(value, bool) and isinstance(value, Real)


def _is_whole(value: object) -> TypeGuard[int]:
    return not isinstance(value, bool) and isinstance(value, Integral)


def _same(one: object, other: object) -> bool:
    """Equality that keeps True apart from 1, and lets 1 stand for 1.0."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _kind(value: Value) -> type[bool | float | str]:
    """What a value is mixed with; 1 and 1.0 are both numbers, True is none."""
    if isinstance(value, bool):
        return bool
    return str if isinstance(value, str) else float


def _check_bounds(domain: Float | Integer) -> None:
    low, high = domain.low, domain.high
    if not math.isfinite(high - low):
        raise InvalidConfigError(f"bounds [{low}, {high}] must be finite")
    if low >= high:
        raise InvalidConfigError(
            f"min {low} must be below max {high}; for one value write {{value: {low}}}"
        )
    if domain.log and low <= 0:
        raise InvalidConfigError(f"log: true needs min above 0, not {low}")
    if domain.default is not None and not domain.contains(domain.default):
        raise InvalidConfigError(f"default {domain.default} is outside [{low}, {high}]")


def _numeric_json(domain: Float | Integer, kind: str) -> dict[str, Any]:
    return {
        "type": kind,
        "low": domain.low,
        "high": domain.high,
        "log": domain.log,
        "default": domain.default,
    }


def held(domain: Domain) -> str:
    """What a domain holds, in words; flags as a file spells them."""
    if isinstance(domain, Float | Integer):
        kind = "a whole number" if isinstance(domain, Integer) else "a number"
        return f"it is {kind} in [{domain.low}, {domain.high}]"
    levels = domain.num_levels or 1
    values = (domain.from_unit((index + 0.5) / levels) for index in range(levels))
    return f"it is one of {', '.join(map(_spelled, values))}"


def _spelled(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
