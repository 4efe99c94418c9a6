"""How numbers, times and decisions read on the command line."""

from collections.abc import Mapping
from itertools import pairwise

from lexmove.results.wording import (
    NOTHING,
    say_arm,
    say_count,
    say_duration,
    say_gain,
    say_metric,
    say_move,
    say_number,
    say_prior,
    say_value_of,
    say_why,
)
from lexmove.space.domain import (
    Categorical,
    Constant,
    Domain,
    Float,
    Integer,
    Ordinal,
    Value,
)
from lexmove.space.move import say_value
from lexmove.study.study import Study

__all__ = [
    "NOTHING",
    "incumbent_curve",
    "say_arm",
    "say_config",
    "say_count",
    "say_domain",
    "say_duration",
    "say_gain",
    "say_metric",
    "say_move",
    "say_number",
    "say_prior",
    "say_value_of",
    "say_when",
    "say_why",
    "sparkline",
]

_BARS = "▁▂▃▄▅▆▇█"


def say_config(config: Mapping[str, Value]) -> str:
    """A config on one line."""
    return ", ".join(f"{name} {say_value(value)}" for name, value in config.items())


def say_domain(domain: Domain) -> str:
    """What a hyperparameter may be, in words."""
    match domain:
        case Constant():
            return f"always {say_value(domain.value)}"
        case Categorical():
            return f"one of {_listed(domain.values)}"
        case Ordinal():
            return f"one of {_listed(domain.values)}, in order"
        case Float() | Integer():
            kind = "whole numbers " if isinstance(domain, Integer) else ""
            scale = ", by factors" if domain.log else ""
            return f"{kind}{say_value(domain.low)} to {say_value(domain.high)}{scale}"
        case _:
            raise AssertionError(f"a domain without words: {domain}")


def _listed(values: tuple[Value, ...]) -> str:
    return ", ".join(map(say_value, values))


def say_when(when: Mapping[str, tuple[Value, ...]]) -> str:
    """The condition of a hyperparameter, in words."""
    return " and ".join(f"{name} is {_listed(values)}" for name, values in when.items())


def sparkline(values: list[float], *, width: int = 24) -> str:
    """A curve as one line of bars."""
    if len(values) < 2:
        return ""
    values = values[-width:]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(_BARS[int((value - low) / span * (len(_BARS) - 1))] for value in values)


def incumbent_curve(study: Study) -> list[float]:
    """The incumbent's value after each trial that was started, from the first value on."""
    points = study.trajectory
    curve: list[float] = []
    for (started, value), (following, _) in pairwise([*points, (len(study.trials) + 1, 0.0)]):
        curve += [value] * max(1, following - started)
    return curve
