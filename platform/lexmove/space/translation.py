"""Translation: a config of one search space as the nearest one of another, and how near that is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from lexmove.space.domain import Constant, Domain, Float, Integer, Ordinal, Value
from lexmove.space.search_space import Config, SearchSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """`config` in the target space; it may be forbidden there.

    `excess` is by how much the value that fits worst lay outside its domain, in unit ranges: 0
    where all lay inside, infinity where a value has no counterpart (another category, a text for
    a number). `is_exact` says whether every value that the spaces share was kept.
    """

    config: Config
    excess: float
    is_exact: bool


def translate(values: Mapping[str, Value], target: SearchSpace) -> Translation:
    """The nearest config of `target`.

    Hyperparameters are the same where their names are. Those that only the target has take their
    defaults, those that it lacks are left out. Numbers outside their range are clipped, numbers
    between the levels of an ordered list go to the nearest one; a fixed number stays as it is
    fixed. What cannot be carried over takes its default.
    """
    carried = {
        name: carry(value, target[name].domain) for name, value in values.items() if name in target
    }
    kept = {name: found[0] for name, found in carried.items() if found is not None}
    config = target.complete(kept)
    shared = [name for name in carried if name in config]
    found = {name: carried[name] for name in shared}
    return Translation(
        config=config,
        excess=max((math.inf if pair is None else pair[1] for pair in found.values()), default=0.0),
        is_exact=all(config[name] == values[name] for name in shared),
    )


def carry(value: Value, domain: Domain) -> tuple[Value, float] | None:
    """The nearest value of a domain, and how far outside the domain `value` lies.

    The distance is in unit ranges, 0 inside. None where there is no nearest value: categories
    have no near, and nor have a text and a number.
    """
    if domain.contains(value):
        return domain.own(value), 0.0
    if isinstance(value, bool | str):
        return None
    if isinstance(domain, Constant):
        return None if isinstance(domain.value, bool | str) else (domain.value, 0.0)
    place = _place(float(value), domain)
    if place is None:
        return None
    return domain.from_unit(place), max(0.0, -place, place - 1.0)


def _place(value: float, domain: Domain) -> float | None:
    """Where a number lies on the unit range of a domain, below 0 or above 1 if outside."""
    if isinstance(domain, Float | Integer):
        half = 0.5 if isinstance(domain, Integer) else 0.0
        return _share(value, domain.low - half, domain.high + half, log=domain.log)
    if not isinstance(domain, Ordinal):
        return None
    if any(isinstance(level, bool | str) for level in domain.values):
        return None
    levels = [float(level) for level in domain.values]
    if len(levels) < 2 or levels != sorted(levels):
        return None
    # Between 8 and 32 the middle is 16: what is listed in order is mostly meant by factors.
    log = min(levels) > 0
    index, (low, high) = next(
        (pair for pair in enumerate(pairwise(levels)) if value <= pair[1][1]),
        (len(levels) - 2, (levels[-2], levels[-1])),
    )
    share = _share(value, low, high, log=log)
    return None if share is None else (index + share + 0.5) / len(levels)


def _share(value: float, low: float, high: float, *, log: bool) -> float | None:
    if log:
        if value <= 0:
            return None
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low)
