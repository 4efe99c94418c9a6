"""Durations of a job: `90s`, `30m`, `6h` or `1d`."""

import math
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

_DURATION_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration_s(value: Any) -> Any:
    """Seconds of `90s`, `30m`, `6h` or `1d`; a number is in seconds already."""
    if not isinstance(value, str):
        return value
    number, unit = value.strip()[:-1], value.strip()[-1:]
    try:
        seconds = float(number) * _DURATION_UNITS_S[unit]
    except (KeyError, ValueError):
        raise ValueError(f"{value!r} is no duration; write 90s, 30m, 6h or 1d") from None
    if not 0 < seconds < math.inf:
        raise ValueError(f"{value!r} is no duration above 0; write 90s, 30m, 6h or 1d")
    return seconds


Duration = Annotated[
    float,
    Field(gt=0),
    BeforeValidator(_duration_s),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": r"^[0-9.]+[smhd]$"},
            ]
        }
    ),
]
"""A time in seconds; a file may say `90s`, `30m`, `6h` or `1d`."""
