"""Domains behind values: what a hyperparameter may be, judged by the values that it had."""

import json
import math
from collections.abc import Sequence
from typing import Any

from lexmove.space.domain import Categorical, Constant, Domain, Float, Integer, Ordinal, Value

_MAX_LISTED = 12
"""More numbers than these are a range, not a list."""

_MIN_REPEATS = 2.0
"""How often a number of a list comes on average; a range hardly repeats one."""

_MIN_LOG_RATIO = 10.0
"""A range over less than this ratio is not taken for a logarithmic one."""


def plain(value: Any) -> Value:
    """A value as a hyperparameter can have it: what is none (a list, null) as its JSON text."""
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return json.dumps(value, default=str)


def as_one_kind(values: Sequence[Value]) -> list[Value]:
    """The values as they are where all are flags, numbers or texts, else all as texts."""
    kinds = {
        bool if isinstance(value, bool) else str if isinstance(value, str) else float
        for value in values
    }
    return list(values) if len(kinds) < 2 else [_text(value) for value in values]


def _text(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def listed(values: Sequence[Value]) -> Domain:
    """The domain of a list of values of one kind: numbers by size, one value alone as it is."""
    distinct = list(dict.fromkeys(values))
    if len(distinct) == 1:
        return Constant(value=distinct[0])
    if any(isinstance(value, bool | str) for value in distinct):
        return Categorical(values=tuple(distinct))
    return Ordinal(values=tuple(sorted(distinct)))


def seen_domain(values: Sequence[Value]) -> Domain:
    """The domain that values of one kind seem to be drawn from."""
    distinct = set(values)
    is_list = len(distinct) <= _MAX_LISTED and len(values) >= _MIN_REPEATS * len(distinct)
    if is_list or len(distinct) == 1 or any(isinstance(value, bool | str) for value in distinct):
        return listed(values)
    numbers = sorted(float(value) for value in values)
    if all(isinstance(value, int) for value in distinct):
        return Integer(low=int(numbers[0]), high=int(numbers[-1]), log=_is_log(numbers))
    return Float(low=numbers[0], high=numbers[-1], log=_is_log(numbers))


def _is_log(numbers: Sequence[float]) -> bool:
    """Whether sorted numbers lie more evenly on a logarithmic scale."""
    low, high = numbers[0], numbers[-1]
    if low <= 0 or high / low < _MIN_LOG_RATIO:
        return False
    middle = numbers[len(numbers) // 2]
    linear = (middle - low) / (high - low)
    logarithmic = math.log(middle / low) / math.log(high / low)
    return abs(logarithmic - 0.5) < abs(linear - 0.5)
